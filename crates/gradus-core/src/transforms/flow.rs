//! What follows from marks on a program's inputs, without deriving the program: which results have a tangent, and which
//! have a batch axis. What else is asked of a program time and again is kept here, too.
//!
//! A loop asks this of its body several times before it derives it once, and so does every loop inside the body. The
//! answers are kept with the program, so that nested programs are walked once for each set of marks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use crate::graph::Eqn;
use crate::nest::level;
use crate::primitive::Cost;
use gradus_num::Curve;

use crate::{Graph, Op};

/// Marks of a program's results.
pub(crate) type Marks = Arc<[bool]>;

/// Marks of a program's inputs, and the name of the axis that is mapped over, if the program knows it.
type Question = (Box<[bool]>, Option<Box<str>>);

/// The answers of one program.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    active: Mutex<HashMap<Question, Marks>>,
    batched: Mutex<HashMap<Question, Marks>>,
    /// A hash of all of it.
    pub(crate) hash: OnceLock<u64>,
    /// What one run costs.
    pub(crate) cost: OnceLock<Cost>,
    /// Whether something in it may run only once.
    pub(crate) once: OnceLock<bool>,
    /// How deep derivatives nest in it.
    pub(crate) levels: OnceLock<u8>,
    /// What can go wrong in a run.
    pub(crate) hazards: OnceLock<Hazards>,
    /// The axes that operations in it are over.
    pub(crate) axes: OnceLock<Box<[Arc<str>]>>,
}

/// What can go wrong when a program runs whose results do not count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hazards {
    /// It can fail on its data.
    pub(crate) fails: bool,
    /// It has a loop that may not end.
    pub(crate) loops: bool,
    /// It can fail, and no data is known on which it does not: a primitive of a user, an index into an axis without elements.
    pub(crate) opaque: bool,
}

impl Hazards {
    pub(crate) fn any(self) -> bool {
        self.fails || self.loops
    }
    pub(crate) fn or(self, other: Self) -> Self {
        Hazards {
            fails: self.fails || other.fails,
            loops: self.loops || other.loops,
            opaque: self.opaque || other.opaque,
        }
    }
}

impl Clone for Answers {
    /// A copy may be changed: it starts without answers.
    fn clone(&self) -> Self {
        Answers::default()
    }
}

/// Which results of `graph` have a tangent when the marked inputs have one.
pub(crate) fn active(graph: &Graph, marks: &[bool]) -> Marks {
    answered(graph, &graph.answers.active, marks, None, |graph, eqn, marks, _| {
        if marks.contains(&true) { tangents(graph, eqn, marks) } else { vec![false; eqn.outputs.len()] }
    })
}

/// Which results of `graph` are batched when the marked inputs are, over an axis that may have a name.
pub(crate) fn batched(graph: &Graph, marks: &[bool], name: Option<&str>) -> Marks {
    let name = name.filter(|name| graph.is_over(name));
    answered(graph, &graph.answers.batched, marks, name, batches)
}

type Rule = fn(&Graph, &Eqn, &[bool], Option<&str>) -> Vec<bool>;

fn answered(
    graph: &Graph,
    answers: &Mutex<HashMap<Question, Marks>>,
    marks: &[bool],
    name: Option<&str>,
    rule: Rule,
) -> Marks {
    let lock = || answers.lock().unwrap_or_else(|e| e.into_inner());
    let question: Question = (marks.into(), name.map(Box::from));
    if let Some(known) = lock().get(&question) {
        return known.clone();
    }
    let answer: Marks = level(|| follow(graph, marks, name, rule)).into();
    lock().insert(question, answer.clone());
    answer
}

fn follow(graph: &Graph, marks: &[bool], name: Option<&str>, rule: Rule) -> Vec<bool> {
    let mut marked = vec![false; graph.types().len()];
    for (v, &m) in graph.inputs().iter().zip(marks) {
        marked[v.index()] = m;
    }
    for eqn in graph.eqns() {
        let inputs: Vec<bool> = eqn.inputs.iter().map(|v| marked[v.index()]).collect();
        for (v, m) in eqn.outputs.iter().zip(rule(graph, eqn, &inputs, name)) {
            marked[v.index()] = m;
        }
    }
    graph.outputs().iter().map(|v| marked[v.index()]).collect()
}

/// Which results of an equation have a tangent when the marked operands, one at least, have one.
fn tangents(graph: &Graph, eqn: &Eqn, marks: &[bool]) -> Vec<bool> {
    match &eqn.op {
        Op::Cond(p) => p.active(marks),
        Op::Scan(p) => p.active(marks).moving(),
        Op::While(p) => p.active(marks),
        Op::Replay(p) => p.active(marks).1,
        Op::Call(p) => p.active(marks),
        Op::Full(_)
        | Op::Iota(_)
        | Op::RandomBits(_)
        | Op::FoldIn(_)
        | Op::Compare(_)
        | Op::Logic(_)
        | Op::Not(_)
        | Op::StopGradient(_)
        | Op::ArgReduce(_) => vec![false; eqn.outputs.len()],
        Op::Unary(p) if p.entry().curve == Curve::Step => vec![false; eqn.outputs.len()],
        Op::Unary(_)
        | Op::Binary(_)
        | Op::LinearMul(_)
        | Op::Clamp(_)
        | Op::Select(_)
        | Op::Cast(_)
        | Op::Reduce(_)
        | Op::Cumulative(_)
        | Op::Recurrence(_)
        | Op::Sort(_)
        | Op::Reshape(_)
        | Op::Permute(_)
        | Op::Broadcast(_)
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Concat(_)
        | Op::Reverse(_)
        | Op::Gather(_)
        | Op::ScatterAdd(_)
        | Op::Dot(_)
        | Op::Conv(_)
        | Op::MaxPool(_)
        | Op::SumPool(_)
        | Op::Collective(_)
        | Op::External(_) => eqn.outputs.iter().map(|&v| graph.ty(v).dtype.is_differentiable()).collect(),
    }
}

/// Which results of an equation are batched when the marked operands are, over an axis of this name.
fn batches(_: &Graph, eqn: &Eqn, marks: &[bool], name: Option<&str>) -> Vec<bool> {
    if !marks.contains(&true) && !eqn.op.is_over(name) {
        return vec![false; eqn.outputs.len()];
    }
    match &eqn.op {
        Op::Cond(p) => p.batched(marks, name),
        Op::Scan(p) => p.batched(marks, name).concat(),
        Op::While(p) => p.batched(marks, name).0,
        Op::Replay(p) => p.batched(marks, name).1,
        Op::Collective(p) if eqn.op.is_over(name) => vec![p.per_example()],
        _ => vec![true; eqn.outputs.len()],
    }
}

#[cfg(all(test, feature = "table"))]
mod tests {
    use super::*;
    use crate::table::rows;
    use crate::transforms::{jvp_inline, vmap_inline};
    use crate::{Batched, Builder, Jvp, Result, Var};

    /// Every set of marks of a few inputs, else single ones and all.
    fn choices(able: &[bool]) -> Vec<Vec<bool>> {
        let places: Vec<usize> = (0..able.len()).filter(|&i| able[i]).collect();
        let of = |chosen: &dyn Fn(usize) -> bool| -> Vec<bool> {
            let mut marks = vec![false; able.len()];
            places.iter().enumerate().for_each(|(k, &i)| marks[i] = chosen(k));
            marks
        };
        if places.len() <= 4 {
            return (1..1usize << places.len()).map(|set| of(&|k| set >> k & 1 == 1)).collect();
        }
        let mut out: Vec<Vec<bool>> = (0..places.len()).map(|only| of(&|k| k == only)).collect();
        out.push(of(&|_| true));
        out
    }

    fn derived(graph: &Graph, marks: &[bool], mode: Jvp) -> Result<Vec<bool>> {
        let mut b = Builder::new();
        let args: Vec<Var> = graph.input_types().into_iter().map(|ty| b.input(ty)).collect();
        let dots: Vec<Option<Var>> =
            graph.input_types().into_iter().zip(marks).map(|(ty, &m)| m.then(|| b.input(ty))).collect();
        let (_, dots) = jvp_inline(&mut b, graph, &args, &dots, mode)?;
        Ok(dots.iter().map(Option::is_some).collect())
    }

    fn vectorised(graph: &Graph, marks: &[bool]) -> Result<Vec<bool>> {
        let mut b = Builder::new();
        let mut args: Vec<Batched> = Vec::new();
        for (ty, &m) in graph.input_types().iter().zip(marks) {
            args.push((b.input(crate::ops::batched_type(ty, m, 3)?), m));
        }
        Ok(vmap_inline(&mut b, graph, &args, 3.into())?.into_iter().map(|o| o.1).collect())
    }

    fn check(name: &str, graph: &Graph) {
        let floats: Vec<bool> = graph.input_types().iter().map(|ty| ty.dtype.is_float()).collect();
        for marks in choices(&floats) {
            for mode in [Jvp::Forward, Jvp::Split] {
                if let Ok(found) = derived(graph, &marks, mode) {
                    assert_eq!(*active(graph, &marks), *found, "{name} {mode:?} {marks:?}\n{graph}");
                }
            }
        }
        for marks in choices(&vec![true; floats.len()]) {
            if let Ok(found) = vectorised(graph, &marks) {
                assert_eq!(*batched(graph, &marks, None), *found, "{name} vmap {marks:?}\n{graph}");
            }
        }
    }

    #[test]
    fn marks_are_those_of_the_derived_programs() {
        for row in rows() {
            for case in &row.cases {
                check(&format!("{} {}", row.name, case.label), &case.graph().unwrap());
            }
        }
    }
}

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

/// The answers of one program, by the marks of its inputs.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    active: Mutex<HashMap<Box<[bool]>, Marks>>,
    batched: Mutex<HashMap<Box<[bool]>, Marks>>,
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
}

/// What can go wrong when a program runs whose results do not count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hazards {
    /// It can fail on its data.
    pub(crate) fails: bool,
    /// It has a loop that may not end.
    pub(crate) loops: bool,
}

impl Hazards {
    pub(crate) fn any(self) -> bool {
        self.fails || self.loops
    }
    pub(crate) fn or(self, other: Self) -> Self {
        Hazards { fails: self.fails || other.fails, loops: self.loops || other.loops }
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
    answered(graph, &graph.answers.active, marks, tangents)
}

/// Which results of `graph` are batched when the marked inputs are.
pub(crate) fn batched(graph: &Graph, marks: &[bool]) -> Marks {
    answered(graph, &graph.answers.batched, marks, batches)
}

fn answered(
    graph: &Graph,
    answers: &Mutex<HashMap<Box<[bool]>, Marks>>,
    marks: &[bool],
    rule: fn(&Graph, &Eqn, &[bool]) -> Vec<bool>,
) -> Marks {
    let lock = || answers.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(known) = lock().get(marks) {
        return known.clone();
    }
    let answer: Marks = level(|| follow(graph, marks, rule)).into();
    lock().insert(marks.into(), answer.clone());
    answer
}

fn follow(graph: &Graph, marks: &[bool], rule: fn(&Graph, &Eqn, &[bool]) -> Vec<bool>) -> Vec<bool> {
    let mut marked = vec![false; graph.types().len()];
    for (v, &m) in graph.inputs().iter().zip(marks) {
        marked[v.index()] = m;
    }
    for eqn in graph.eqns() {
        let inputs: Vec<bool> = eqn.inputs.iter().map(|v| marked[v.index()]).collect();
        if inputs.contains(&true) {
            for (v, m) in eqn.outputs.iter().zip(rule(graph, eqn, &inputs)) {
                marked[v.index()] = m;
            }
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
        | Op::External(_) => eqn.outputs.iter().map(|&v| graph.ty(v).dtype.is_differentiable()).collect(),
    }
}

/// Which results of an equation are batched when the marked operands, one at least, are.
fn batches(_: &Graph, eqn: &Eqn, marks: &[bool]) -> Vec<bool> {
    match &eqn.op {
        Op::Cond(p) => p.batched(marks),
        Op::Scan(p) => p.batched(marks).concat(),
        Op::While(p) => p.batched(marks).0,
        Op::Replay(p) => p.batched(marks).1,
        _ => vec![true; eqn.outputs.len()],
    }
}

#[cfg(all(test, feature = "table"))]
mod tests {
    use super::*;
    use crate::table::rows;
    use crate::transforms::{jvp_inline, vmap_inline};
    use crate::{Batched, Builder, Mode, Result, Var};

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

    fn derived(graph: &Graph, marks: &[bool], mode: Mode) -> Result<Vec<bool>> {
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
        Ok(vmap_inline(&mut b, graph, &args, 3)?.into_iter().map(|o| o.1).collect())
    }

    fn check(name: &str, graph: &Graph) {
        let floats: Vec<bool> = graph.input_types().iter().map(|ty| ty.dtype.is_float()).collect();
        for marks in choices(&floats) {
            for mode in [Mode::Forward, Mode::Split] {
                if let Ok(found) = derived(graph, &marks, mode) {
                    assert_eq!(*active(graph, &marks), *found, "{name} {mode:?} {marks:?}\n{graph}");
                }
            }
        }
        for marks in choices(&vec![true; floats.len()]) {
            if let Ok(found) = vectorised(graph, &marks) {
                assert_eq!(*batched(graph, &marks), *found, "{name} vmap {marks:?}\n{graph}");
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

//! Programs that can fail on their data: an index out of range, an integer divided by zero.
//!
//! Two transforms make them total. [`guarded`] takes a program that runs only for some examples of a batch, such as a
//! branch that `vmap` computes for all of them: where it does not count, its data is replaced by data it cannot fail on.
//! [`with_status`] makes failing a result: a back end that cannot stop in the middle of a program, as an accelerator,
//! runs the whole of it and reads the [`Status`] afterwards.

use std::sync::Arc;

use smallvec::smallvec;

use super::flow::Hazards;
use crate::graph::{Eqn, Vars};
use crate::nest::level;
use crate::ops::{
    ArgReduce, Broadcast, Call, CallKind, Cast, Compare, Concat, Cond, Custom, Gather, Logic, Not, Replay,
    Reshape, Scan, Select, Slice, While, inputs_like,
};
use crate::{Array, Binary, Builder, DType, Error, ErrorKind, Graph, Op, Result, Shape, Site, Type, Var};

/// What an equation can fail on: its second operand, which holds indices or divisors.
#[derive(Clone, Debug, PartialEq)]
enum Fault {
    /// An index outside an axis.
    Index { op: &'static str, extent: usize, from_end: bool },
    /// An integer divisor that is 0.
    Divisor { op: &'static str },
}

impl Fault {
    fn of(graph: &Graph, eqn: &Eqn) -> Option<Fault> {
        let index = |axis: usize, from_end| {
            let extent = graph.ty(eqn.inputs[0]).shape[axis];
            Some(Fault::Index { op: eqn.op.name(), extent, from_end })
        };
        match &eqn.op {
            Op::Gather(g) => index(g.axis, g.from_end),
            Op::ScatterAdd(s) => index(s.axis, s.from_end),
            Op::Binary(Binary::Div | Binary::Rem) if graph.ty(eqn.inputs[0]).dtype.is_int() => {
                Some(Fault::Divisor { op: eqn.op.name() })
            }
            _ => None,
        }
    }

    /// A number that is fine, unless the axis has no elements: see [`Hazards::opaque`].
    fn harmless(&self) -> f64 {
        match self {
            Fault::Index { .. } => 0.0,
            Fault::Divisor { .. } => 1.0,
        }
    }

    /// Where the operand is fine, element by element.
    fn fine(&self, b: &mut Builder, x: Var) -> Result<Var> {
        let ty = b.ty(x).clone();
        match *self {
            Fault::Index { extent, from_end, .. } => {
                // Bounds that the dtype does not hold exclude nothing.
                let held = |bound: f64, least: f64| if ty.dtype.holds(bound) { bound } else { least };
                let first = if from_end { held(-(extent as f64), f64::from(i32::MIN)) } else { 0.0 };
                let first = b.full(&ty, first);
                let last = b.full(&ty, held(extent as f64 - 1.0, f64::from(i32::MAX)));
                let (above, below) = (b.emit1(Compare::Ge, &[x, first])?, b.emit1(Compare::Le, &[x, last])?);
                b.emit1(Logic::And, &[above, below])
            }
            Fault::Divisor { .. } => {
                let zero = b.zeros_like(x);
                b.emit1(Compare::Ne, &[x, zero])
            }
        }
    }

    fn error(&self, value: i64, at: i64) -> ErrorKind {
        match *self {
            Fault::Index { op, extent, from_end } => {
                ErrorKind::Index { op, index: value, at: usize::try_from(at).ok(), extent, from_end }
            }
            Fault::Divisor { op } => ErrorKind::division_by_zero(op),
        }
    }
}

impl Op {
    /// What the primitive can do that its results do not show.
    pub(crate) fn hazards(&self, operand: &Type) -> Hazards {
        let none = Hazards::default();
        let index = |axis: usize| Hazards { fails: true, opaque: operand.shape[axis] == 0, ..none };
        match self {
            Op::Gather(g) => index(g.axis),
            Op::ScatterAdd(s) => index(s.axis),
            Op::Binary(Binary::Div | Binary::Rem) => Hazards { fails: operand.dtype.is_int(), ..none },
            Op::External(_) => Hazards { opaque: true, ..none },
            op => {
                let inside = op.graphs().iter().fold(none, |h, g| h.or(g.hazards()));
                Hazards { loops: inside.loops || matches!(op, Op::While(_)), ..inside }
            }
        }
    }
}

impl Graph {
    pub(crate) fn hazards(&self) -> Hazards {
        let of = |eqn: &Eqn| match eqn.inputs.first() {
            Some(&v) => eqn.op.hazards(self.ty(v)),
            None => Hazards::default(),
        };
        let find = || level(|| self.eqns().iter().fold(Hazards::default(), |h, eqn| h.or(of(eqn))));
        *self.answers.hazards.get_or_init(find)
    }
}

/// The program with one more input, a boolean scalar at place `at` of the inputs, which says whether its results count.
/// If they do not, it neither fails on its data nor goes through a loop of unknown length.
pub(crate) fn guarded(graph: &Graph, at: usize) -> Result<Graph> {
    let mut b = Builder::sized(graph);
    let mut map: Vec<Option<Var>> = vec![None; graph.types().len()];
    let mut counts = None;
    for i in 0..=graph.inputs().len() {
        if i == at {
            counts = Some(b.input(Type::new(DType::Bool, [])));
        }
        if let Some(&v) = graph.inputs().get(i) {
            map[v.index()] = Some(b.input(graph.ty(v).clone()));
        }
    }
    let counts = counts.expect("the place is one among the inputs");
    for eqn in graph.eqns() {
        let args: Vars = eqn.inputs.iter().map(|v| map[v.index()].expect("operands come first")).collect();
        let outer = b.set_origin(eqn.origin());
        let outputs = level(|| guard(&mut b, graph, eqn, args, counts));
        b.set_origin(outer);
        for (old, new) in eqn.outputs.iter().zip(outputs?) {
            map[old.index()] = Some(new);
        }
    }
    let outputs = graph.outputs().iter().map(|v| map[v.index()].expect("outputs are defined")).collect();
    Ok(b.finish(outputs))
}

fn guard(b: &mut Builder, graph: &Graph, eqn: &Eqn, mut args: Vars, counts: Var) -> Result<Vars> {
    if let Some(fault) = Fault::of(graph, eqn) {
        args[1] = chosen(b, counts, args[1], fault.harmless())?;
        return b.emit(eqn.op.clone(), &args);
    }
    if eqn.op.graphs().iter().all(|g| !g.hazards().any()) && !matches!(eqn.op, Op::While(_)) {
        return b.emit_again(graph, eqn, &args);
    }
    let guarded = |graph: &Graph, at| guarded(graph, at).map(Arc::new);
    let (op, at): (Op, usize) = match &eqn.op {
        Op::Cond(p) => {
            let (on_true, on_false) = (guarded(&p.on_true, 0)?, guarded(&p.on_false, 0)?);
            (Cond { on_true, on_false }.into(), 1)
        }
        Op::Scan(p) => {
            (Scan { constants: p.constants + 1, body: guarded(&p.body, 0)?, ..p.clone() }.into(), 0)
        }
        Op::While(p) => {
            let mut f = Builder::new();
            let args =
                inputs_like(&mut f, [Type::new(DType::Bool, [])].into_iter().chain(p.cond.input_types()));
            let goes_on = f.inline(&*guarded(&p.cond, 0)?, &args)?[0];
            let goes_on = f.emit1(Logic::And, &[args[0], goes_on])?;
            let (cond, body) = (Arc::new(f.finish(vec![goes_on])), guarded(&p.body, 0)?);
            (While { constants: p.constants + 1, cond, body, ..p.clone() }.into(), 0)
        }
        Op::Replay(p) => {
            let levels = p.levels.iter().map(|level| guarded(level, 1)).collect::<Result<_>>()?;
            (Replay { constants: p.constants + 1, levels, ..(**p).clone() }.into(), 1)
        }
        Op::Call(p) => {
            // What a rule is for comes first; the rest is captured.
            let at = args.len();
            let kind = match &p.kind {
                CallKind::Checkpoint => CallKind::Checkpoint,
                CallKind::Custom(c) => CallKind::Custom(Custom { rule: guarded(&c.rule, at)?, ..c.clone() }),
            };
            (Call { kind, body: guarded(&p.body, at)? }.into(), at)
        }
        _ => unreachable!("no other primitive carries programs"),
    };
    args.insert(at, counts);
    b.emit(op, &args)
}

/// `x` where the boolean scalar holds, else the number.
fn chosen(b: &mut Builder, condition: Var, x: Var, otherwise: f64) -> Result<Var> {
    let ty = b.ty(x).clone();
    let mask = if ty.shape.rank() == 0 {
        condition
    } else {
        b.emit1(Broadcast { shape: ty.shape.clone(), axes: smallvec![] }, &[condition])?
    };
    let otherwise = b.full(&ty, otherwise);
    b.emit1(Select, &[mask, x, otherwise])
}

/// Words of a status: which fault, counted from 1 (0 says that there is none), the index, and its place.
const WORDS: usize = 3;

fn status_type() -> Type {
    Type::new(DType::I64, [WORDS])
}

/// What the status of a program made by [`with_status`] means.
#[derive(Clone, Debug, Default)]
pub struct Status {
    faults: Vec<(Fault, Site)>,
}

impl Status {
    /// The error that a status tells of, with the line of the operation that failed: of the first one, in the order in
    /// which the program runs.
    ///
    /// # Errors
    /// If the elements are not those of such a status.
    pub fn error(&self, status: &Array) -> Result<Option<Error>> {
        let wrong = || ErrorKind::Argument { op: "status", detail: "no status of this program".into() };
        let Some(&[number, value, at]) = status.elements::<i64>() else { return Err(wrong().into()) };
        if number == 0 {
            return Ok(None);
        }
        let fault = usize::try_from(number).ok().and_then(|n| self.faults.get(n - 1));
        let (fault, site) = fault.ok_or_else(wrong)?;
        Ok(Some(Error::new(fault.error(value, at), site.clone())))
    }
}

/// The program with one more result, a status of three integers, that never fails on its data; `None` if it does not do
/// so as it is. If the status tells of an error, the other results mean nothing.
///
/// Where a branch is not taken, or a loop not entered, nothing fails. What an external primitive of the user's fails on is
/// not told by a status.
///
/// ```
/// use gradus_core::transforms::with_status;
/// use gradus_core::{Array, Builder, DType, ErrorKind, Type, interpret};
///
/// let mut b = Builder::new();
/// let x = b.input(Type::new(DType::F32, [3]));
/// let i = b.input(Type::new(DType::I64, [2]));
/// let y = b.emit1(gradus_core::ops::Gather { axis: 0, batch: 0, from_end: true }, &[x, i])?;
/// let (program, status) = with_status(&b.finish(vec![y]))?.expect("an index may be out of range");
/// let x = Array::new([3], vec![1f32, 2.0, 3.0])?;
/// let run = |i: [i64; 2]| interpret(&program, &[x.clone(), Array::new([2], i.to_vec())?]);
/// let fine = run([0, 2])?;
/// assert_eq!(fine[0].to_f64(), [1.0, 3.0]);
/// assert_eq!(status.error(&fine[1])?, None);
/// let error = status.error(&run([0, 7])?[1])?.expect("7 is out of range");
/// assert!(matches!(error.kind(), ErrorKind::Index { index: 7, at: Some(1), extent: 3, .. }));
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// If the program cannot be rebuilt, for example because its values would be too large.
pub fn with_status(graph: &Graph) -> Result<Option<(Graph, Status)>> {
    if !graph.hazards().fails {
        return Ok(None);
    }
    let mut status = Status::default();
    let graph = status.closed(graph)?;
    Ok(Some((graph, status)))
}

impl Status {
    /// A program with its status as the last result.
    fn closed(&mut self, graph: &Graph) -> Result<Graph> {
        let mut b = Builder::sized(graph);
        let args = inputs_like(&mut b, graph.input_types());
        let (mut outputs, status) = self.inline(&mut b, graph, &args)?;
        outputs.push(instantiated(&mut b, status));
        Ok(b.finish(outputs))
    }

    /// Emits a program that does not fail: its results and its status, if it has one.
    fn inline(&mut self, b: &mut Builder, graph: &Graph, args: &[Var]) -> Result<(Vec<Var>, Option<Var>)> {
        let mut map: Vec<Option<Var>> = vec![None; graph.types().len()];
        for (v, &arg) in graph.inputs().iter().zip(args) {
            map[v.index()] = Some(arg);
        }
        let mut status = None;
        for eqn in graph.eqns() {
            let args: Vars =
                eqn.inputs.iter().map(|v| map[v.index()].expect("operands come first")).collect();
            let outer = b.set_origin(eqn.origin());
            let done = level(|| self.total(b, graph, eqn, args));
            let (outputs, own) = done?;
            status = earlier(b, status, own)?;
            b.set_origin(outer);
            for (old, new) in eqn.outputs.iter().zip(outputs) {
                map[old.index()] = Some(new);
            }
        }
        let outputs = graph.outputs().iter().map(|v| map[v.index()].expect("outputs are defined")).collect();
        Ok((outputs, status))
    }

    /// Emits an equation that does not fail.
    fn total(
        &mut self,
        b: &mut Builder,
        graph: &Graph,
        eqn: &Eqn,
        args: Vars,
    ) -> Result<(Vars, Option<Var>)> {
        if let Some(fault) = Fault::of(graph, eqn) {
            return self.caught(b, graph, eqn, args, fault);
        }
        if eqn.op.graphs().iter().all(|g| !g.hazards().fails) {
            return Ok((b.emit_again(graph, eqn, &args)?, None));
        }
        let fine = b.full(&status_type(), 0.0);
        let own = eqn.outputs.len();
        let (mut results, at) = match &eqn.op {
            Op::Cond(p) => {
                let (on_true, on_false) = (self.closed(&p.on_true)?, self.closed(&p.on_false)?);
                let op = Cond { on_true: Arc::new(on_true), on_false: Arc::new(on_false) };
                (b.emit(op, &args)?, own)
            }
            Op::Scan(p) => {
                let (body, carry) = (self.scan_body(p)?, p.constants + p.carry);
                let mut operands = args;
                operands.insert(carry, fine);
                (b.emit(Scan { carry: p.carry + 1, body: Arc::new(body), ..p.clone() }, &operands)?, p.carry)
            }
            Op::While(p) => {
                // Whether it goes on is carried, so that what fails in finding that out is told, too.
                let (goes_on, status) = self.inline(b, &p.cond, &args)?;
                let status = instantiated(b, status);
                let mut operands = args;
                operands.extend([status, goes_on[0]]);
                let (cond, body) = self.while_parts(p)?;
                let op = While { cond: Arc::new(cond), body: Arc::new(body), ..p.clone() };
                let mut results = b.emit(op, &operands)?;
                results.truncate(own + 1);
                (results, own)
            }
            Op::Replay(p) => {
                let mut operands = args;
                for states in p.ranges().2.iter().rev() {
                    operands.insert(states.end, fine);
                }
                let last = p.widths().last().copied().unwrap_or(0);
                let op = Replay { levels: self.levels(p)?, ..(**p).clone() };
                (b.emit(op, &operands)?, last)
            }
            Op::Call(p) if matches!(p.kind, CallKind::Checkpoint) => {
                let body = Arc::new(self.closed(&p.body)?);
                (b.emit(Call { kind: CallKind::Checkpoint, body }, &args)?, own)
            }
            // Nothing is derived any more: the rule is not asked for.
            Op::Call(p) => {
                let (outputs, status) = self.inline(b, &p.body, &args)?;
                return Ok((outputs.into(), status));
            }
            _ => unreachable!("no other primitive carries programs"),
        };
        let status = results.remove(at);
        Ok((results, Some(status)))
    }

    /// Emits a primitive on operands that it cannot fail on, and what was wrong with those it has.
    fn caught(
        &mut self,
        b: &mut Builder,
        graph: &Graph,
        eqn: &Eqn,
        mut args: Vars,
        fault: Fault,
    ) -> Result<(Vars, Option<Var>)> {
        let x = args[1];
        let ty = b.ty(x).clone();
        let elements = ty.shape.size();
        if elements == 0 {
            return Ok((b.emit_again(graph, eqn, &args)?, None));
        }
        let fine = fault.fine(b, x)?;
        let harmless = b.full(&ty, fault.harmless());
        args[1] = b.emit1(Select, &[fine, x, harmless])?;
        let outputs: Vars = if matches!(fault, Fault::Index { extent: 0, .. }) {
            eqn.outputs.iter().map(|&v| b.full(graph.ty(v), 0.0)).collect()
        } else {
            b.emit(eqn.op.clone(), &args)?
        };
        // The first element that is wrong.
        let wrong = b.emit1(Not, &[fine])?;
        let wrong = b.emit1(Reshape(Shape::from([elements])), &[wrong])?;
        let wrong = b.emit1(Cast(DType::I32), &[wrong])?;
        let at = b.emit1(ArgReduce { axis: 0, max: true }, &[wrong])?;
        let pick = Gather { axis: 0, batch: 0, from_end: false };
        let any = b.emit1(pick, &[wrong, at])?;
        let values = b.emit1(Reshape(Shape::from([elements])), &[x])?;
        let value = b.emit1(pick, &[values, at])?;
        let (any, value) = (b.cast(any, DType::I64)?, b.cast(value, DType::I64)?);
        self.faults.push((fault, eqn.site.clone()));
        let number = b.full(&Type::new(DType::I64, []), self.faults.len() as f64);
        let number = b.emit1(Binary::Mul, &[any, number])?;
        let mut words = Vars::new();
        for word in [number, value, at] {
            words.push(b.emit1(Reshape(Shape::from([1])), &[word])?);
        }
        Ok((outputs, Some(b.emit1(Concat { axis: 0 }, &words)?)))
    }

    /// The body of a loop that carries the status last.
    fn scan_body(&mut self, p: &Scan) -> Result<Graph> {
        let mut f = Builder::sized(&p.body);
        let types = p.body.input_types();
        let (before, rows) = types.split_at(p.constants + p.carry);
        let mut args = inputs_like(&mut f, before.iter().cloned());
        let so_far = f.input(status_type());
        args.extend(inputs_like(&mut f, rows.iter().cloned()));
        let (mut results, status) = self.inline(&mut f, &p.body, &args)?;
        let status = earlier(&mut f, Some(so_far), status)?.unwrap_or(so_far);
        results.insert(p.carry, status);
        Ok(f.finish(results))
    }

    /// Condition and body of a loop that carries the status and whether it goes on.
    fn while_parts(&mut self, p: &While) -> Result<(Graph, Graph)> {
        let types = p.body.input_types();
        let carried = [status_type(), Type::new(DType::Bool, [])];
        let mut f = Builder::new();
        let args = inputs_like(&mut f, types.iter().cloned().chain(carried.clone()));
        let number = f.emit1(Slice::along(&Shape::from([WORDS]), 0, 0, 1), &[args[types.len()]])?;
        let number = f.emit1(Reshape(Shape::default()), &[number])?;
        let zero = f.zeros_like(number);
        let fine = f.emit1(Compare::Eq, &[number, zero])?;
        let goes_on = f.emit1(Logic::And, &[fine, args[types.len() + 1]])?;
        let cond = f.finish(vec![goes_on]);

        let mut f = Builder::sized(&p.body);
        let args = inputs_like(&mut f, types.iter().cloned().chain(carried));
        let (mut next, status) = self.inline(&mut f, &p.body, &args[..types.len()])?;
        let status = earlier(&mut f, Some(args[types.len()]), status)?;
        let state = [&args[..p.constants], &next].concat();
        let (goes_on, own) = self.inline(&mut f, &p.cond, &state)?;
        let status = earlier(&mut f, status, own)?;
        next.push(instantiated(&mut f, status));
        next.push(goes_on[0]);
        Ok((cond, f.finish(next)))
    }

    /// The levels of a replay, each with a status as its last state, which knows of those of the levels below.
    fn levels(&mut self, p: &Replay) -> Result<Vec<Arc<Graph>>> {
        let ranges = p.ranges().2;
        let mut out = Vec::new();
        for (k, graph) in p.levels.iter().enumerate() {
            let mut f = Builder::sized(graph);
            let (mut args, mut status) = (Vec::new(), None);
            for (i, ty) in graph.input_types().into_iter().enumerate() {
                for _ in ranges[..k].iter().filter(|states| states.end == i) {
                    let below = f.input(status_type());
                    status = earlier(&mut f, status, Some(below))?;
                }
                args.push(f.input(ty));
            }
            for _ in ranges[..=k].iter().filter(|states| states.end == args.len()) {
                let so_far = f.input(status_type());
                status = earlier(&mut f, status, Some(so_far))?;
            }
            let (mut results, own) = self.inline(&mut f, graph, &args)?;
            let status = earlier(&mut f, status, own)?;
            let status = instantiated(&mut f, status);
            results.insert(ranges[k].len(), status);
            out.push(Arc::new(f.finish(results)));
        }
        Ok(out)
    }
}

fn instantiated(b: &mut Builder, status: Option<Var>) -> Var {
    status.unwrap_or_else(|| b.full(&status_type(), 0.0))
}

/// The first of two statuses that tells of an error.
fn earlier(b: &mut Builder, first: Option<Var>, second: Option<Var>) -> Result<Option<Var>> {
    let (Some(first), Some(second)) = (first, second) else { return Ok(first.or(second)) };
    let number = b.emit1(Slice::along(&Shape::from([WORDS]), 0, 0, 1), &[first])?;
    let zero = b.zeros_like(number);
    let fine = b.emit1(Compare::Eq, &[number, zero])?;
    let fine = b.emit1(Reshape(Shape::default()), &[fine])?;
    let fine = b.emit1(Broadcast { shape: Shape::from([WORDS]), axes: smallvec![] }, &[fine])?;
    b.emit1(Select, &[fine, second, first]).map(Some)
}

//! Arithmetic in 16-bit floats as arithmetic in `f32` between conversions, so that no kernel needs to know those types.
//!
//! Operands are widened, exactly; results are rounded, each once, as the interpreter does it. Earlier choices, above
//! all which residuals to keep, are made among 16-bit values: each stage widens its own operands, so that no widened
//! value is kept for another stage. A conversion to 16 bits is never undone by one that widens.

use gradus_core::graph::{Eqn, Vars};
use gradus_core::ops::{Cast, Full, Op};
use gradus_core::quick::Map;
use gradus_core::{Array, DType, Graph, Origin, Result, Type, Var};

use super::Copier;
use crate::Target;
use crate::keep::definitions;

/// Whether an equation is arithmetic in a type that the machine does not compute in.
fn is_narrow(graph: &Graph, eqn: &Eqn, target: &Target) -> bool {
    let narrow = |v: &&Var| graph.ty(**v).dtype.is_rounded();
    let first = eqn.inputs.iter().chain(&eqn.outputs).find(narrow);
    eqn.op.is_arithmetic() && first.is_some_and(|v| !(target.computes)(&eqn.op, graph.ty(*v).dtype))
}

/// The graph with such equations in `f32`, and the stages of its equations.
pub(crate) fn widened(graph: Graph, stages: &[u32], target: &Target) -> Result<(Graph, Vec<u32>)> {
    if !graph.eqns().iter().any(|eqn| is_narrow(&graph, eqn, target)) {
        return Ok((graph, stages.to_vec()));
    }
    let mut w =
        Widener { graph: &graph, made: definitions(&graph), c: Copier::new(&graph), known: Map::default() };
    let mut out = Vec::with_capacity(stages.len());
    for (eqn, &stage) in graph.eqns().iter().zip(stages) {
        if is_narrow(&graph, eqn, target) {
            w.widen(eqn, stage)?;
        } else {
            w.c.copy(eqn)?;
        }
        out.resize(w.c.b.graph().eqns().len(), stage);
    }
    Ok(w.c.finish_staged(graph.outputs(), out))
}

struct Widener<'a> {
    graph: &'a Graph,
    made: Vec<Option<usize>>,
    c: Copier<'a>,
    /// What old values are in `f32`, by stage.
    known: Map<(Var, u32), Var>,
}

impl Widener<'_> {
    fn widen(&mut self, eqn: &Eqn, stage: u32) -> Result<()> {
        let args: Vars =
            eqn.inputs.iter().map(|&v| self.wide(v, stage, &eqn.origin())).collect::<Result<_>>()?;
        let outer = self.c.b.set_origin(eqn.origin());
        let results = self.c.b.emit(eqn.op.clone(), &args)?;
        for (&old, new) in eqn.outputs.iter().zip(results) {
            let rounded = self.c.b.cast(new, self.graph.ty(old).dtype)?;
            self.c.set(old, rounded);
        }
        self.c.b.set_origin(outer);
        Ok(())
    }

    /// An old value in `f32`, if it is narrower.
    fn wide(&mut self, v: Var, stage: u32, origin: &Origin) -> Result<Var> {
        let ty = self.graph.ty(v);
        if !ty.dtype.is_rounded() {
            return Ok(self.c.get(v));
        }
        if let Some(&known) = self.known.get(&(v, stage)) {
            return Ok(known);
        }
        let (repeated, mut root) = self.repeated(v);
        let outer = self.c.b.set_origin(origin.clone());
        let mut wide = match self.made[root.index()].map(|i| &self.graph.eqns()[i].op) {
            Some(Op::Full(full)) => {
                let ty = Type::new(DType::F32, full.shape.clone());
                self.c.b.full(&ty, rounded(full))
            }
            _ if root != v => self.wide(root, stage, origin)?,
            _ => {
                root = v;
                self.c.b.emit1(Cast(ty.dtype.wide()), &[self.c.get(root)])?
            }
        };
        for &i in repeated.iter().rev() {
            wide = self.c.b.emit1(self.graph.eqns()[i].op.clone(), &[wide])?;
        }
        self.c.b.set_origin(outer);
        self.known.insert((v, stage), wide);
        Ok(wide)
    }

    /// The smaller value that a value repeats, and the equations in between, the last first: it is widened before it is
    /// repeated.
    fn repeated(&self, v: Var) -> (Vec<usize>, Var) {
        let (mut equations, mut at) = (Vec::new(), v);
        while let Some(i) = self.made[at.index()]
            && let Op::Broadcast(_) | Op::Reshape(_) = &self.graph.eqns()[i].op
        {
            equations.push(i);
            at = self.graph.eqns()[i].inputs[0];
        }
        let constant = self.made[at.index()].is_some_and(|i| matches!(self.graph.eqns()[i].op, Op::Full(_)));
        if constant || self.graph.ty(at).shape.size() < self.graph.ty(v).shape.size() {
            (equations, at)
        } else {
            (Vec::new(), v)
        }
    }
}

/// The number that a constant is in its type.
fn rounded(full: &Full) -> f64 {
    Array::full([], full.dtype, full.value).to_f64()[0]
}

#[cfg(test)]
mod tests {
    use gradus_core::ops::{Axes, Reduce, ReduceKind};
    use gradus_core::{Binary, Builder, Unary, interpret};

    use super::*;
    use crate::Place;
    use crate::kernel::{StepOp, Work};
    use crate::{Options, plan};

    fn program(dtype: DType) -> Graph {
        let mut b = Builder::new();
        let (x, row) = (b.input(Type::new(dtype, [64, 100])), b.input(Type::new(dtype, [100])));
        let repeated = gradus_core::ops::Broadcast { shape: [64, 100].into(), axes: Axes::from_slice(&[1]) };
        let row = b.emit1(repeated, &[row]).unwrap();
        let third = b.full(&Type::new(dtype, [64, 100]), 1.0 / 3.0);
        let y = b.emit1(Binary::Mul, &[x, row]).unwrap();
        let y = b.emit1(Binary::Add, &[y, third]).unwrap();
        let y = b.emit1(Unary::Neg, &[y]).unwrap();
        let axes = Axes::from_slice(&[1]);
        let sum = b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[y]).unwrap();
        b.finish(vec![y, sum])
    }

    #[test]
    fn arithmetic_is_widened_and_rounded() {
        for dtype in [DType::Bf16, DType::F16] {
            let graph = program(dtype);
            let stages = vec![0; graph.eqns().len()];
            let (wide, _) = widened(graph.clone(), &stages, &Target::default()).unwrap();
            let narrow = |eqn: &&Eqn| is_narrow(&wide, eqn, &Target::default());
            assert_eq!(wide.eqns().iter().filter(narrow).count(), 0, "{wide}");
            let args: Vec<Array> = graph
                .input_types()
                .into_iter()
                .map(|ty| {
                    let n = ty.shape.size();
                    Array::new(ty.shape.clone(), (0..n).map(|i| (i as f64).sin()).collect::<Vec<_>>())
                        .unwrap()
                        .cast(dtype)
                })
                .collect();
            assert!(interpret(&graph, &args).unwrap() == interpret(&wide, &args).unwrap());
            // Operations that the back end computes in this type are unchanged.
            let own = Target { computes: |op, _| matches!(op, Op::Unary(_)), ..Target::default() };
            let (mixed, _) = widened(graph, &stages, &own).unwrap();
            let negates = mixed.eqns().iter().find(|e| matches!(e.op, Op::Unary(_))).unwrap();
            assert_eq!(mixed.ty(negates.outputs[0]).dtype, dtype);
        }
    }

    #[test]
    fn a_chain_reads_and_writes_sixteen_bits() {
        let graph = program(DType::Bf16);
        let plan = plan(&graph, &Options::default()).unwrap();
        // What is repeated is widened before.
        let [row, kernel] = plan.kernels() else { panic!("{} kernels", plan.kernels().len()) };
        assert_eq!(row.writes.iter().map(|&v| plan.graph().ty(v).bytes()).sum::<usize>(), 400);
        let Work::Region(region) = &kernel.work else { panic!("no region") };
        let read: Vec<DType> = region.loads.iter().map(|load| load.dtype).collect();
        assert_eq!(read, [DType::Bf16, DType::F32]);
        assert!(kernel.writes.iter().all(|&v| plan.graph().ty(v).dtype == DType::Bf16));
        assert!(kernel.writes.iter().all(|&v| matches!(plan.place(v), Some(Place::Result(_)))));
        let rounds = region.steps.iter().filter(|step| matches!(step.op, StepOp::Round(_))).count();
        assert_eq!(rounds, 2, "{:?}", region.steps);
    }
}

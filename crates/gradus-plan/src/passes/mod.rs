//! Passes from graph to graph: each preserves all values to the bit, except the sign of zeros.

mod algebra;
mod pads;
mod picks;
mod products;
mod rewrite;
mod widen;

use std::hash::{Hash as _, Hasher as _};

use gradus_core::graph::Vars;
use gradus_core::ops::{CallKind, Op};
use gradus_core::quick::{Quick, Set};
use gradus_core::{Builder, Graph, Origin, Phase, Result, Var, nest, transforms};

/// The equations of a graph in a hash table by what they compute; the table is at most half full.
#[derive(Default)]
struct Known {
    /// One more than the number of an equation, and some bits of its hash.
    slots: Vec<(u32, u32)>,
    held: usize,
}

impl Known {
    fn sized(equations: usize) -> Self {
        Known { slots: vec![(0, 0); (2 * equations + 16).next_power_of_two()], held: 0 }
    }

    /// The slot of the equation of this hash that `is` accepts, or the empty slot for it.
    fn slot(&self, hash: u64, is: impl Fn(usize) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let (number @ 1.., bits) = self.slots[at] {
            if bits == (hash >> 32) as u32 && is(number as usize - 1) {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }

    fn insert(&mut self, slot: usize, hash: u64, equation: usize, hash_of: impl Fn(usize) -> u64) {
        self.slots[slot] = (equation as u32 + 1, (hash >> 32) as u32);
        self.held += 1;
        if 2 * self.held > self.slots.len() {
            let old = std::mem::replace(self, Known::sized(self.slots.len()));
            for (number, _) in old.slots.into_iter().filter(|s| s.0 > 0) {
                let hash = hash_of(number as usize - 1);
                let slot = self.slot(hash, |_| false);
                self.slots[slot] = (number, (hash >> 32) as u32);
            }
            self.held = old.held;
        }
    }
}

/// The hash of an equation: a primitive with its operands.
fn hash_of(op: &Op, inputs: &[Var]) -> u64 {
    let mut quick = Quick::default();
    (op, inputs).hash(&mut quick);
    quick.finish()
}

/// A graph being rewritten, each equation simplified and shared with an earlier equal one.
pub(crate) struct Rewriter {
    b: Builder,
    /// Equations by what they compute.
    known: Known,
    /// The equation that defines a value, by its number in the new graph; `u32::MAX` where none does.
    defined: Vec<u32>,
    /// The indices that elements are gathered at, with the extents of the axes and whether negative ones count from the end.
    read_at: Set<(Var, usize, bool)>,
    /// The phase of the call that is being inlined.
    phase: Phase,
}

impl Rewriter {
    /// Emits an equation, or finds the equal one.
    fn emit(&mut self, op: Op, inputs: &[Var]) -> Result<Vars> {
        if op.runs_once() {
            return self.b.emit(op, inputs);
        }
        let hash = hash_of(&op, inputs);
        let eqns = self.b.graph().eqns();
        let same = |i: usize| eqns[i].inputs[..] == *inputs && eqns[i].op.computes_the_same(&op);
        let slot = self.known.slot(hash, same);
        if let (number @ 1.., _) = self.known.slots[slot] {
            self.b.share(number as usize - 1);
            return Ok(self.b.graph().eqns()[number as usize - 1].outputs.clone());
        }
        let outputs = self.b.emit(op, inputs)?;
        if outputs.is_empty() {
            return Ok(outputs);
        }
        let eqns = self.b.graph().eqns();
        let made = eqns.len() - 1;
        self.known.insert(slot, hash, made, |i| hash_of(&eqns[i].op, &eqns[i].inputs));
        if let (Op::Gather(g), &[x, indices]) = (&eqns[made].op, inputs) {
            self.read_at.insert((indices, self.b.shape(x)[g.axis], g.from_end));
        }
        self.defined.resize(self.b.graph().types().len(), u32::MAX);
        for v in &outputs {
            self.defined[v.index()] = made as u32;
        }
        Ok(outputs)
    }

    /// The primitive that defines `v`, if an equation does.
    fn definition(&self, v: Var) -> Option<(&Op, &[Var])> {
        let eqn = self.b.graph().eqns().get(*self.defined.get(v.index())? as usize)?;
        Some((&eqn.op, &eqn.inputs))
    }

    /// The number that `v` is everywhere.
    fn constant(&self, v: Var) -> Option<f64> {
        match self.definition(v) {
            Some((Op::Full(full), _)) => Some(full.value),
            _ => None,
        }
    }

    fn graph(&mut self, graph: &Graph, args: &[Var]) -> Result<Vec<Var>> {
        let mut map: Vec<Option<Var>> = vec![None; graph.types().len()];
        for (v, &arg) in graph.inputs().iter().zip(args) {
            map[v.index()] = Some(arg);
        }
        for eqn in graph.eqns() {
            let inputs: Vars =
                eqn.inputs.iter().map(|v| map[v.index()].expect("operands come first")).collect();
            let phase = eqn.phase.max(self.phase);
            let outer = self.b.set_origin(Origin { phase, ..eqn.origin() });
            let outputs = match &eqn.op {
                // A custom rule is no longer needed once derivatives have been taken.
                Op::Call(call) if matches!(call.kind, CallKind::Custom(_)) => {
                    let outside = std::mem::replace(&mut self.phase, phase);
                    let outputs = nest::level(|| self.graph(&call.body, &inputs)).map(Vars::from);
                    self.phase = outside;
                    outputs
                }
                op => self.simplified(op, &inputs),
            };
            self.b.set_origin(outer);
            for (old, &new) in eqn.outputs.iter().zip(&outputs?) {
                map[old.index()] = Some(new);
            }
        }
        Ok(graph.outputs().iter().map(|v| map[v.index()].expect("outputs are defined")).collect())
    }
}

/// Shares equal equations, in the earliest of their phases, folds constants, removes what changes nothing, inlines
/// custom rules, splits reductions over scattered axes, transposes products, picks elements before computing from them,
/// concatenates padded parts, and removes dead code.
pub(crate) fn simplify(graph: &Graph) -> Result<Graph> {
    // Dead equations must not count as readers of others.
    let graph = products::turn(transforms::prune(graph.clone()))?;
    let mut r = Rewriter {
        b: Builder::sized(&graph),
        known: Known::sized(graph.eqns().len()),
        defined: Vec::with_capacity(graph.types().len()),
        read_at: Set::default(),
        phase: Phase::FORWARD,
    };
    let args: Vec<Var> = graph.input_types().into_iter().map(|ty| r.b.input(ty)).collect();
    let outputs = r.graph(&graph, &args)?;
    pads::joined(transforms::settled(transforms::prune(r.b.finish(outputs))))
}

pub(crate) use rewrite::Copier;
pub(crate) use widen::widened;

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_core::ops::{Permute, Reduce, ReduceKind};
    use gradus_core::{Binary, DType, Type, Unary};

    #[test]
    fn equal_equations_and_identities_vanish() {
        let mut b = Builder::new();
        let x = b.input(Type::new(DType::F32, [2, 3]));
        let ty = b.ty(x).clone();
        let one = b.full(&ty, 1.0);
        let p = b.emit1(Binary::Mul, &[x, one]).unwrap();
        let (s, t) = (b.emit1(Unary::Sin, &[p]).unwrap(), b.emit1(Unary::Sin, &[x]).unwrap());
        let n = b.emit1(Unary::Neg, &[t]).unwrap();
        let n = b.emit1(Unary::Neg, &[n]).unwrap();
        let id = b.emit1(Permute { axes: [0, 1].into_iter().collect() }, &[n]).unwrap();
        let y = b.emit1(Binary::Add, &[s, id]).unwrap();
        let g = simplify(&b.finish(vec![y])).unwrap();
        assert_eq!(g.eqns().len(), 2, "{g}");
    }

    #[test]
    fn equal_equations_take_the_earliest_phase() {
        for phases in [[Phase::backward(1), Phase::FORWARD], [Phase::FORWARD, Phase::backward(2)]] {
            let mut b = Builder::new();
            let x = b.input(Type::new(DType::F32, [2]));
            let sines = phases.map(|phase| {
                b.set_origin(Origin { phase, ..Origin::default() });
                b.emit1(Unary::Sin, &[x]).unwrap()
            });
            b.set_origin(Origin::default());
            // It read a gradient as long as the sine was backward only.
            let y = b.emit1(Unary::Exp, &[sines[0]]).unwrap();
            let y = b.emit1(Binary::Mul, &[y, sines[1]]).unwrap();
            let g = simplify(&b.finish(vec![y])).unwrap();
            assert_eq!(g.eqns().iter().map(|e| e.phase).collect::<Vec<_>>(), [Phase::FORWARD; 3], "{g}");
        }
    }

    #[test]
    fn scattered_axes_are_reduced_one_after_another() {
        let mut b = Builder::new();
        let x = b.input(Type::new(DType::F32, [2, 3, 4]));
        let op = Reduce { kind: ReduceKind::Max, axes: [0, 2].into_iter().collect() };
        let y = b.emit1(op, &[x]).unwrap();
        let g = simplify(&b.finish(vec![y])).unwrap();
        assert_eq!(g.eqns().len(), 2, "{g}");
    }
}

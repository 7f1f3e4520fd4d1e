//! Passes from graph to graph: each leaves the values as they are, to the bit but for the sign of zeros.

mod algebra;
mod pads;
mod picks;
mod products;
mod rewrite;

use std::hash::{Hash, Hasher};

use gradus_core::graph::Vars;
use gradus_core::ops::{CallKind, Op};
use gradus_core::quick::{Map, Set};
use gradus_core::{Builder, Graph, Result, Site, Var, nest, transforms};

/// A primitive with its operands, as the key of a table.
#[derive(PartialEq)]
struct Key(Op, Vars);

// Parameters are integers, and floats compared by their bits: equality is reflexive.
impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
        self.1.hash(state);
    }
}

/// A graph being written again, each equation simplified and shared with an equal one before it.
pub(crate) struct Rewriter {
    b: Builder,
    /// Equations by what they compute.
    known: Map<Key, Vars>,
    /// The equation that defines a value, by its number in the new graph.
    defined: Vec<Option<usize>>,
    /// The indices that elements are gathered at, with the extents of the axes.
    read_at: Set<(Var, usize)>,
    /// Transpositions of the rule that is being written out.
    transposed: u8,
}

impl Rewriter {
    /// Emits an equation, or finds the equal one.
    fn emit(&mut self, op: Op, inputs: &[Var]) -> Result<Vars> {
        let key = Key(op, inputs.into());
        if let Some(found) = self.known.get(&key) {
            return Ok(found.clone());
        }
        let outputs = self.b.emit(key.0.clone(), inputs)?;
        if let (Op::Gather(g), &[x, indices]) = (&key.0, inputs) {
            self.read_at.insert((indices, self.b.shape(x)[g.axis]));
        }
        self.defined.resize(self.b.graph().types().len(), None);
        for v in &outputs {
            self.defined[v.index()] = Some(self.b.graph().eqns().len() - 1);
        }
        self.known.insert(key, outputs.clone());
        Ok(outputs)
    }

    /// The primitive that defines `v`, if an equation does.
    fn definition(&self, v: Var) -> Option<(&Op, &[Var])> {
        let at = (*self.defined.get(v.index())?)?;
        let eqn = &self.b.graph().eqns()[at];
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
            let transposed = eqn.site.transposed.max(self.transposed);
            let outer = self.b.set_site(Site { transposed, ..eqn.site.clone() });
            let outputs = match &eqn.op {
                // A rule of the user's own has done its work when derivatives have been taken.
                Op::Call(call) if matches!(call.kind, CallKind::Custom(_)) => {
                    let outside = std::mem::replace(&mut self.transposed, transposed);
                    let outputs = nest::level(|| self.graph(&call.body, &inputs)).map(Vars::from);
                    self.transposed = outside;
                    outputs
                }
                op => self.simplified(op, &inputs),
            };
            self.b.set_site(outer);
            for (old, &new) in eqn.outputs.iter().zip(&outputs?) {
                map[old.index()] = Some(new);
            }
        }
        Ok(graph.outputs().iter().map(|v| map[v.index()].expect("outputs are defined")).collect())
    }
}

/// Shares equal equations, folds constants, removes what changes nothing, writes out custom rules, splits
/// reductions over scattered axes, turns transposed products round, picks elements before
/// computing from them, puts padded parts side by side, and drops dead code.
pub(crate) fn simplify(graph: &Graph) -> Result<Graph> {
    // What is dead must not seem to be there for other equations.
    let graph = products::turn(transforms::prune(graph.clone()))?;
    let mut r = Rewriter {
        b: Builder::sized(&graph),
        known: Map::with_capacity_and_hasher(graph.eqns().len(), Default::default()),
        defined: Vec::with_capacity(graph.types().len()),
        read_at: Set::default(),
        transposed: 0,
    };
    let args: Vec<Var> = graph.input_types().into_iter().map(|ty| r.b.input(ty)).collect();
    let outputs = r.graph(&graph, &args)?;
    pads::joined(transforms::prune(r.b.finish(outputs)))
}

pub(crate) use rewrite::Copier;

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
    fn scattered_axes_are_reduced_one_after_another() {
        let mut b = Builder::new();
        let x = b.input(Type::new(DType::F32, [2, 3, 4]));
        let op = Reduce { kind: ReduceKind::Max, axes: [0, 2].into_iter().collect() };
        let y = b.emit1(op, &[x]).unwrap();
        let g = simplify(&b.finish(vec![y])).unwrap();
        assert_eq!(g.eqns().len(), 2, "{g}");
    }
}

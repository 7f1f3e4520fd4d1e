//! Counting a function's operations: one run on a number that counts, from which every mode's cost follows.

use core::cell::Cell;
use std::vec::Vec;

use super::function::VectorFn;
use crate::{Binary, Kind, Real, Scalar, Unary};

/// How many operations of each kind one evaluation performs, and how many entries it leaves on a tape.
///
/// Counting is exact and repeatable, unlike timing, so the same function always gets the same mode and with
/// it the same bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpCounts {
    /// Additions, subtractions, and what costs about as much: negation, comparison-like functions.
    pub sums: usize,
    /// Multiplications.
    pub products: usize,
    /// Divisions and roots.
    pub divisions: usize,
    /// Exponentials, logarithms, trigonometric and hyperbolic functions.
    pub elementary: usize,
    /// General powers, error functions, the gamma family.
    pub special: usize,
    /// Entries on a tape, inputs included.
    pub entries: usize,
}

impl OpCounts {
    /// Counts one evaluation at `x`.
    pub(crate) fn of<F: VectorFn>(f: &F, x: &[f64]) -> OpCounts {
        let counter = Counter::default();
        let inputs: Vec<Counting<'_>> = x
            .iter()
            .map(|&value| {
                counter.add(|c| c.entries += 1);
                Counting { value, node: counter.next_node(), counter: Some(&counter) }
            })
            .collect();
        let mut outputs = vec![Counting::from_f64(0.0); f.outputs(x.len())];
        f.call(&inputs, &mut outputs);
        counter.counts.get()
    }

    /// All operations.
    pub fn total(&self) -> usize {
        self.sums + self.products + self.divisions + self.elementary + self.special
    }
}

#[derive(Default)]
struct Counter {
    counts: Cell<OpCounts>,
    nodes: Cell<u64>,
}

impl Counter {
    fn add(&self, change: impl FnOnce(&mut OpCounts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    fn next_node(&self) -> u64 {
        self.nodes.set(self.nodes.get() + 1);
        self.nodes.get()
    }
}

/// A number that counts the operations it takes part in. Like a tape variable it belongs to one node, so that the
/// entries a tape would write are counted as well.
#[derive(Clone, Copy)]
struct Counting<'a> {
    value: f64,
    node: u64,
    counter: Option<&'a Counter>,
}

impl Scalar for Counting<'_> {
    type Mask = bool;

    fn lit(&self, value: f64) -> Self {
        Counting::from_f64(value)
    }

    fn unary(&self, op: Unary) -> Self {
        if let Some(counter) = self.counter {
            counter.add(|c| match (op, op.entry().cost.0) {
                (Unary::Powi(n), _) => c.products += 1 + (n.unsigned_abs().max(2).ilog2() as usize),
                (_, Kind::Sum) => c.sums += 1,
                (_, Kind::Product) => c.products += 1,
                (_, Kind::Division) => c.divisions += 1,
                (_, Kind::Elementary) => c.elementary += 1,
                (_, Kind::Special) => c.special += 1,
            });
        }
        Counting { value: self.value.unary(op), ..*self }
    }

    fn binary(&self, op: Binary, rhs: &Self) -> Self {
        let value = self.value.binary(op, &rhs.value);
        let Some(counter) = self.counter.or(rhs.counter) else { return Counting::from_f64(value) };
        counter.add(|c| match op {
            Binary::Add | Binary::Sub | Binary::Max | Binary::Min => c.sums += 1,
            Binary::Mul => c.products += 1,
            Binary::Div | Binary::Rem | Binary::Hypot => c.divisions += 1,
            Binary::Atan2 => c.elementary += 1,
            Binary::Pow => c.special += 1,
        });
        let node = match (self.counter, rhs.counter) {
            (Some(_), Some(_)) if self.node != rhs.node => {
                counter.add(|c| c.entries += 1);
                counter.next_node()
            }
            (Some(_), _) => self.node,
            _ => rhs.node,
        };
        Counting { value, node, counter: Some(counter) }
    }

    fn lt(&self, rhs: &Self) -> bool {
        self.value < rhs.value
    }
    fn le(&self, rhs: &Self) -> bool {
        self.value <= rhs.value
    }
    fn eq(&self, rhs: &Self) -> bool {
        self.value == rhs.value
    }
    fn select(mask: &bool, on_true: &Self, on_false: &Self) -> Self {
        if *mask { *on_true } else { *on_false }
    }
}

impl Real for Counting<'_> {
    fn from_f64(value: f64) -> Self {
        Counting { value, node: 0, counter: None }
    }
    fn value(&self) -> f64 {
        self.value
    }
}

crate::operators::real_operators!(['a] Counting<'a>);

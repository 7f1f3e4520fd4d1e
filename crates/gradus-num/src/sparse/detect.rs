//! Pattern detection: one run of the function on a number that remembers which inputs it depends on.
//!
//! The run records a graph of unions. Sets of input indices are then worked out for the nodes that are used more
//! than once or asked for; the others are walked through, so that a long sum costs its length and not its square.
//!
//! A pattern holds for the branches that the function took at the point where it was detected. `max` and
//! `min` count both arguments.

use core::cell::RefCell;
use std::vec::Vec;

use super::Pattern;
use crate::drivers::{ScalarFn, VectorFn};
use crate::{Binary, Curve, Real, Scalar, Unary};

const CONSTANT: u32 = u32::MAX;

/// A number that carries a value and the set of inputs it depends on.
#[derive(Clone, Copy)]
pub struct Dependent<'a> {
    value: f64,
    node: u32,
    graph: Option<&'a Graph>,
}

/// The unions, and the second-order interactions, that a run recorded.
#[derive(Default)]
struct Graph(RefCell<Inner>);

#[derive(Default)]
struct Inner {
    inputs: usize,
    /// Whether the function inspected a value: its branches, and with them the pattern, may change with the point.
    inspected: bool,
    /// Node `inputs + k` is the union of two earlier nodes.
    unions: Vec<(u32, u32)>,
    /// Nodes that went through a nonlinear function of one argument: all pairs within the set interact.
    curved: Vec<u32>,
    /// Pairs of nodes that were multiplied: all pairs across the two sets interact.
    crossed: Vec<(u32, u32)>,
}

impl Graph {
    fn union(&self, a: u32, b: u32) -> u32 {
        let mut inner = self.0.borrow_mut();
        inner.unions.push((a, b));
        let node = inner.inputs + inner.unions.len() - 1;
        assert!(node < CONSTANT as usize, "the function is too long for pattern detection: 2^32 unions");
        node as u32
    }

    fn curve(&self, node: u32) {
        let mut inner = self.0.borrow_mut();
        // Marking twice in a row is common (`exp(sin(x))`) and adds nothing.
        if inner.curved.last() != Some(&node) {
            inner.curved.push(node);
        }
    }

    fn inputs<'a>(&'a self, x: &[f64]) -> Vec<Dependent<'a>> {
        self.0.borrow_mut().inputs = x.len();
        let input = |(j, &value)| Dependent { value, node: j as u32, graph: Some(self) };
        x.iter().enumerate().map(input).collect()
    }
}

impl Inner {
    fn children(&self, node: u32) -> Option<(u32, u32)> {
        (node as usize).checked_sub(self.inputs).map(|k| self.unions[k])
    }

    /// The sorted input sets of the asked nodes; none if they take more than `limit` indices.
    fn sets(&self, asked: &[u32], limit: usize) -> Option<Sets> {
        let nodes = self.inputs + self.unions.len();
        let mut uses = vec![0u8; nodes];
        for &node in asked {
            uses[node as usize] = 2;
        }
        for node in (self.inputs..nodes).rev().filter(|&n| n >= self.inputs) {
            if uses[node] > 0 {
                let (a, b) = self.unions[node - self.inputs];
                uses[a as usize] = uses[a as usize].saturating_add(1);
                uses[b as usize] = uses[b as usize].saturating_add(1);
            }
        }
        let mut sets = Sets { range: vec![(0, 0); nodes], indices: Vec::new() };
        let mut seen = vec![u32::MAX; self.inputs];
        let mut stack = Vec::new();
        for node in 0..nodes {
            if uses[node] < 2 {
                continue;
            }
            let start = sets.indices.len();
            stack.push(node as u32);
            while let Some(next) = stack.pop() {
                let at = next as usize;
                let stored = if at != node && uses[at] >= 2 { sets.range[at] } else { (0, 0) };
                match self.children(next) {
                    _ if stored.1 > stored.0 => {
                        for place in stored.0..stored.1 {
                            let input = sets.indices[place];
                            sets.add(input, node as u32, &mut seen);
                        }
                    }
                    None => sets.add(next, node as u32, &mut seen),
                    Some((a, b)) => stack.extend([a, b]),
                }
            }
            if sets.indices.len() > limit {
                return None;
            }
            sets.indices[start..].sort_unstable();
            sets.range[node] = (start, sets.indices.len());
        }
        Some(sets)
    }
}

/// The input sets of the nodes that were worked out.
struct Sets {
    range: Vec<(usize, usize)>,
    indices: Vec<u32>,
}

impl Sets {
    fn add(&mut self, input: u32, for_node: u32, seen: &mut [u32]) {
        if seen[input as usize] != for_node {
            seen[input as usize] = for_node;
            self.indices.push(input);
        }
    }

    fn of(&self, node: u32) -> &[u32] {
        let (start, end) = self.range[node as usize];
        &self.indices[start..end]
    }
}

/// The pattern of the Jacobian of `f` at `x`.
pub fn jacobian_pattern<F: VectorFn>(f: &F, x: &[f64]) -> Pattern {
    detect_jacobian(f, x, Scope::Here).unwrap_or_else(|| unreachable!("without a limit there is a pattern"))
}

/// What a detected pattern has to be good for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scope {
    /// The branches taken at this point, however dense.
    Here,
    /// Every point, and worth colouring: there is none if the function compares or reads values, or if the sets take
    /// more than a bounded number of indices for each operation and input.
    Everywhere,
}

/// Indices for each node of the graph that [`Scope::Everywhere`] allows.
const SPARSE_SETS: usize = 64;

impl Scope {
    fn admits(self, inner: &Inner) -> Option<usize> {
        match self {
            Scope::Here => Some(usize::MAX),
            Scope::Everywhere if inner.inspected => None,
            Scope::Everywhere => Some(SPARSE_SETS * (inner.inputs + inner.unions.len())),
        }
    }
}

pub(crate) fn detect_jacobian<F: VectorFn>(f: &F, x: &[f64], scope: Scope) -> Option<Pattern> {
    let graph = Graph::default();
    let inputs = graph.inputs(x);
    let mut outputs = vec![Dependent::from_f64(0.0); f.outputs(x.len())];
    f.call(&inputs, &mut outputs);
    let inner = graph.0.borrow();
    let asked: Vec<u32> = outputs.iter().map(|y| y.node).filter(|&node| node != CONSTANT).collect();
    let sets = inner.sets(&asked, scope.admits(&inner)?)?;
    Some(Pattern::from_rows(
        x.len(),
        outputs.iter().map(|y| if y.node == CONSTANT { &[][..] } else { sets.of(y.node) }),
    ))
}

/// The pattern of the Hessian of `f` at `x`: symmetric, the diagonal only where it may be nonzero.
pub fn hessian_pattern<F: ScalarFn>(f: &F, x: &[f64]) -> Pattern {
    detect_hessian(f, x, Scope::Here).unwrap_or_else(|| unreachable!("without a limit there is a pattern"))
}

pub(crate) fn detect_hessian<F: ScalarFn>(f: &F, x: &[f64], scope: Scope) -> Option<Pattern> {
    let graph = Graph::default();
    let inputs = graph.inputs(x);
    f.call(&inputs);
    let inner = graph.0.borrow();
    let crossed = inner.crossed.iter().flat_map(|&(a, b)| [a, b]);
    let asked: Vec<u32> = inner.curved.iter().copied().chain(crossed).collect();
    let limit = scope.admits(&inner)?;
    let sets = inner.sets(&asked, limit)?;
    let area = |a: u32, b: u32| sets.of(a).len() * sets.of(b).len();
    let entries = inner.curved.iter().map(|&a| area(a, a)).sum::<usize>()
        + inner.crossed.iter().map(|&(a, b)| 2 * area(a, b)).sum::<usize>();
    if entries > limit {
        return None;
    }
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); x.len()];
    let mut add = |from: &[u32], to: &[u32]| {
        for &i in from {
            let row = &mut rows[i as usize];
            row.extend_from_slice(to);
            // Keep what repeated products add to a row near its final size.
            if row.len() > 4 * x.len() + 64 {
                row.sort_unstable();
                row.dedup();
            }
        }
    };
    for &node in &inner.curved {
        add(sets.of(node), sets.of(node));
    }
    for &(a, b) in &inner.crossed {
        add(sets.of(a), sets.of(b));
        add(sets.of(b), sets.of(a));
    }
    Some(Pattern::from_rows(x.len(), rows))
}

/// How an operation of two dependent arguments curves.
#[derive(Clone, Copy, PartialEq)]
enum Curvature {
    Linear,
    /// `xy`
    Product,
    /// `x/y`: also curved in the second
    Quotient,
    All,
}

fn curvature(op: Binary) -> Curvature {
    match op {
        Binary::Add | Binary::Sub | Binary::Rem | Binary::Max | Binary::Min => Curvature::Linear,
        Binary::Mul => Curvature::Product,
        Binary::Div => Curvature::Quotient,
        Binary::Pow | Binary::Atan2 | Binary::Hypot => Curvature::All,
    }
}

impl Scalar for Dependent<'_> {
    type Mask = bool;

    fn lit(&self, value: f64) -> Self {
        Dependent::from_f64(value)
    }

    fn unary(&self, op: Unary) -> Self {
        let value = self.value.unary(op);
        match (op.curve(), self.graph) {
            (_, None) | (Curve::Step, _) => Dependent::from_f64(value),
            (Curve::Straight, _) => Dependent { value, ..*self },
            (Curve::Curved, Some(graph)) => {
                graph.curve(self.node);
                Dependent { value, ..*self }
            }
        }
    }

    fn binary(&self, op: Binary, rhs: &Self) -> Self {
        let value = self.value.binary(op, &rhs.value);
        let curvature = curvature(op);
        match (self.graph, rhs.graph) {
            (None, None) => Dependent::from_f64(value),
            (Some(graph), None) => {
                if curvature == Curvature::All {
                    graph.curve(self.node);
                }
                Dependent { value, ..*self }
            }
            (None, Some(graph)) => {
                if matches!(curvature, Curvature::All | Curvature::Quotient) {
                    graph.curve(rhs.node);
                }
                Dependent { value, ..*rhs }
            }
            (Some(graph), Some(_)) => {
                if self.node == rhs.node {
                    if curvature != Curvature::Linear {
                        graph.curve(self.node);
                    }
                    return Dependent { value, ..*self };
                }
                match curvature {
                    Curvature::Linear => {}
                    Curvature::Product => graph.0.borrow_mut().crossed.push((self.node, rhs.node)),
                    Curvature::Quotient => {
                        graph.0.borrow_mut().crossed.push((self.node, rhs.node));
                        graph.curve(rhs.node);
                    }
                    Curvature::All => {
                        graph.0.borrow_mut().crossed.push((self.node, rhs.node));
                        graph.curve(self.node);
                        graph.curve(rhs.node);
                    }
                }
                Dependent { value, node: graph.union(self.node, rhs.node), graph: Some(graph) }
            }
        }
    }

    fn lt(&self, rhs: &Self) -> bool {
        self.value() < rhs.value()
    }
    fn le(&self, rhs: &Self) -> bool {
        self.value() <= rhs.value()
    }
    fn eq(&self, rhs: &Self) -> bool {
        self.value() == rhs.value()
    }
    fn select(mask: &bool, on_true: &Self, on_false: &Self) -> Self {
        if *mask { *on_true } else { *on_false }
    }
}

impl Real for Dependent<'_> {
    fn from_f64(value: f64) -> Self {
        Dependent { value, node: CONSTANT, graph: None }
    }
    fn value(&self) -> f64 {
        if let Some(graph) = self.graph {
            graph.0.borrow_mut().inspected = true;
        }
        self.value
    }
}

crate::operators::real_operators!(['a] Dependent<'a>);

//! Sparse Hessians: star or acyclic colouring, forward-over-reverse passes, recovery.

use std::collections::VecDeque;
use std::string::String;
use std::vec::Vec;

use super::color::{Coloring, NONE, color_acyclic, color_star, neighbours};
use super::{Csr, Pattern, hessian_pattern};
use crate::drivers::plan::{plain_cost, second_order_cost};
use crate::drivers::scalar::second_order_sweep;
use crate::drivers::{Candidate, Lanes, OneOutput, OpCounts, Slot, at_second_order_width};
use crate::{Dual, ScalarFn};

/// How the entries follow from the compressed columns.
enum Recovery {
    /// Each entry stands alone in one compressed entry: row, colour, place.
    Direct(Vec<(u32, u32, u32)>),
    /// The diagonal stands alone; along each two-coloured tree the others follow from the leaves inwards.
    Substitution { diagonal: Vec<(u32, u32, u32)>, edges: Vec<Edge> },
}

/// One entry and its mirror image, read at the leaf and taken off its parent.
struct Edge {
    leaf: u32,
    parent: u32,
    places: [u32; 2],
}

/// The sparse Hessian of one function: the pattern and the colouring are computed once.
///
/// Both triangles are stored. A star colouring reads each entry directly; an acyclic colouring needs fewer passes
/// and subtracts entries already known. The cheaper is taken, direct at a tie.
///
/// ```
/// use gradus_num::{Real, scalar_fn, sparse::SparseHessian};
///
/// fn chain<R: Real>(x: &[R]) -> R {
///     x.windows(2).map(|w| w[0] * w[0] * w[1]).sum()
/// }
/// let x = vec![1.0; 1000];
/// let mut hessian = SparseHessian::new(scalar_fn!(chain), &x);
/// assert!(hessian.colors() <= 3);
/// let h = hessian.evaluate(&x);
/// assert_eq!((h.get(5, 5), h.get(5, 6), h.get(6, 5), h.get(5, 7)), (2.0, 2.0, 2.0, 0.0));
/// ```
pub struct SparseHessian<F> {
    f: F,
    passes: HessianPasses,
}

/// All of a sparse Hessian but the function: a driver that has the function keeps these beside it.
pub(crate) struct HessianPasses {
    pattern: Pattern,
    counts: OpCounts,
    coloring: Coloring,
    recovery: Recovery,
    chosen: Candidate,
    lanes: Lanes,
    /// `n` rows of one number for each colour.
    compressed: Vec<f64>,
}

impl<F: ScalarFn> SparseHessian<F> {
    /// Detects the pattern at `x`, colours it and plans the passes. The pattern holds for the branches that `f`
    /// takes at `x`.
    pub fn new(f: F, x: &[f64]) -> Self {
        let pattern = hessian_pattern(&f, x);
        Self::with_pattern(f, x, pattern)
    }

    /// With a known symmetric pattern, which must contain every entry that can be nonzero.
    ///
    /// # Panics
    /// If the pattern's shape is not that of the Hessian, or it is not symmetric.
    pub fn with_pattern(f: F, x: &[f64], pattern: Pattern) -> Self {
        assert_eq!(
            (pattern.rows(), pattern.cols()),
            (x.len(), x.len()),
            "the pattern has the Hessian's shape"
        );
        assert!(pattern == pattern.transpose(), "the pattern of a Hessian is symmetric");
        let counts = OpCounts::of(&OneOutput(&f), x);
        let mut passes = HessianPasses::direct(pattern, counts);
        let acyclic = color_acyclic(&passes.pattern);
        let acyclic_cost = second_order_cost(&counts, x.len(), acyclic.count);
        if acyclic_cost.ratio < passes.chosen.ratio {
            passes.recovery = substitution(&passes.pattern, &acyclic);
            passes.compressed = vec![0.0; x.len() * acyclic.count];
            passes.coloring = acyclic;
            passes.chosen = acyclic_cost;
        }
        SparseHessian { f, passes }
    }

    /// The pattern that [`evaluate_into`](Self::evaluate_into) fills, row by row.
    pub fn pattern(&self) -> &Pattern {
        &self.passes.pattern
    }

    /// The number of colours, which is the number of Hessian-vector products.
    pub fn colors(&self) -> usize {
        self.passes.coloring.count
    }

    /// What was chosen.
    pub fn explain(&self) -> String {
        self.passes.explain()
    }

    /// The Hessian at `x`.
    pub fn evaluate(&mut self, x: &[f64]) -> Csr {
        let (mut gradient, mut values) = (vec![0.0; x.len()], vec![0.0; self.pattern().nonzeros()]);
        self.evaluate_into(x, &mut gradient, &mut values);
        Csr { pattern: self.pattern().clone(), values }
    }

    /// Writes the gradient and the Hessian's values at `x`, these in the pattern's order, and returns `f(x)`;
    /// allocates nothing after the first call.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn evaluate_into(&mut self, x: &[f64], gradient: &mut [f64], values: &mut [f64]) -> f64 {
        self.passes.evaluate_into(&self.f, x, gradient, values)
    }
}

impl HessianPasses {
    /// Passes that read each entry directly, from a star colouring: no entry is a difference of others.
    pub(crate) fn direct(pattern: Pattern, counts: OpCounts) -> Self {
        let coloring = color_star(&pattern);
        let chosen = second_order_cost(&counts, pattern.rows(), coloring.count);
        let recovery = direct(&pattern, &coloring);
        let compressed = vec![0.0; pattern.rows() * coloring.count];
        HessianPasses { pattern, counts, coloring, recovery, chosen, lanes: Lanes::default(), compressed }
    }

    /// The pattern of the values.
    pub(crate) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The passes, their cost in nanoseconds.
    pub(crate) fn chosen(&self) -> Candidate {
        self.chosen
    }

    /// What was chosen.
    pub(crate) fn explain(&self) -> String {
        let how = match self.recovery {
            Recovery::Direct(_) => "star colouring, direct recovery",
            Recovery::Substitution { .. } => "acyclic colouring, recovery by substitution",
        };
        format!(
            "{0} x {0} Hessian, {1} nonzeros: {2} colours ({how}) in {3} forward-over-reverse sweeps of {4}, \
             {5:.1}x the function; {0} columns without colouring",
            self.pattern.rows(),
            self.pattern.nonzeros(),
            self.coloring.count,
            self.chosen.passes,
            self.chosen.width,
            self.chosen.ratio / plain_cost(&self.counts),
        )
    }

    /// Writes the gradient and the values at `x`, and returns `f(x)`.
    pub(crate) fn evaluate_into<F: ScalarFn>(
        &mut self,
        f: &F,
        x: &[f64],
        gradient: &mut [f64],
        values: &mut [f64],
    ) -> f64 {
        let (n, colors) = (self.pattern.rows(), self.coloring.count);
        assert_eq!(x.len(), n, "one number for each input");
        assert_eq!(gradient.len(), n, "one derivative for each input");
        assert_eq!(values.len(), self.pattern.nonzeros(), "one value for each entry of the pattern");
        let mut value = f64::NAN;
        at_second_order_width!(self.chosen.width, W, {
            let buffers = Slot::<W>::slot(&mut self.lanes);
            // One pass at least, for the gradient of a function without curvature.
            for start in (0..colors.max(1)).step_by(W) {
                let lanes = W.min(colors - start);
                buffers.first.clear();
                buffers.first.extend(x.iter().zip(&self.coloring.colors).map(|(&x, &color)| {
                    let mut v = Dual::constant(x);
                    if color != NONE && (start..start + lanes).contains(&(color as usize)) {
                        v.tangent[color as usize - start] = 1.0;
                    }
                    v
                }));
                let y = second_order_sweep(f, &mut buffers.tape, &buffers.first, |i, adjoint| {
                    gradient[i] = adjoint.primal;
                    let row = &mut self.compressed[i * colors..(i + 1) * colors];
                    row[start..start + lanes].copy_from_slice(&adjoint.tangent[..lanes]);
                });
                value = y.primal;
            }
        });
        recover(&self.recovery, &mut self.compressed, &self.coloring, values);
        value
    }
}

fn recover(recovery: &Recovery, compressed: &mut [f64], coloring: &Coloring, values: &mut [f64]) {
    let colors = coloring.count;
    let (alone, edges) = match recovery {
        Recovery::Direct(entries) => (entries, &[][..]),
        Recovery::Substitution { diagonal, edges } => (diagonal, &edges[..]),
    };
    for &(row, color, place) in alone {
        values[place as usize] = compressed[row as usize * colors + color as usize];
    }
    for edge in edges {
        let (leaf, parent) = (edge.leaf as usize, edge.parent as usize);
        let entry = compressed[leaf * colors + coloring.colors[parent] as usize];
        values[edge.places[0] as usize] = entry;
        values[edge.places[1] as usize] = entry;
        compressed[parent * colors + coloring.colors[leaf] as usize] -= entry;
    }
}

/// For a star colouring: entry `(i, j)` is read in row `j` under the colour of `i` if `i` is the only neighbour of `j`
/// with it, and else in row `i` under the colour of `j`, of which the same then holds.
fn direct(pattern: &Pattern, coloring: &Coloring) -> Recovery {
    let colors = &coloring.colors;
    let alone = |v: usize, color: u32| neighbours(pattern, v).filter(|&w| colors[w] == color).count() == 1;
    let mut entries = Vec::with_capacity(pattern.nonzeros());
    for i in 0..pattern.rows() {
        for (place, &j) in pattern.row_range(i).zip(pattern.row(i)) {
            let j = j as usize;
            let (row, color) = if alone(j, colors[i]) { (j, colors[i]) } else { (i, colors[j]) };
            entries.push((row as u32, color, place as u32));
        }
    }
    Recovery::Direct(entries)
}

/// For an acyclic colouring: the order in which each two-coloured tree is taken apart from its leaves.
fn substitution(pattern: &Pattern, coloring: &Coloring) -> Recovery {
    let colors = &coloring.colors;
    let count = coloring.count;
    let place = |v: usize, w: usize| pattern.position(v, w).unwrap_or(usize::MAX);
    let mut diagonal = Vec::new();
    // The neighbours of each vertex in each colour that have not been separated from it yet.
    let mut remaining = vec![0u32; pattern.rows() * count];
    for v in 0..pattern.rows() {
        if let Some(at) = pattern.position(v, v) {
            diagonal.push((v as u32, colors[v], at as u32));
        }
        for w in neighbours(pattern, v) {
            remaining[v * count + colors[w] as usize] += 1;
        }
    }
    let mut leaves: VecDeque<(usize, u32)> = VecDeque::new();
    for v in 0..pattern.rows() {
        for color in 0..count {
            if remaining[v * count + color] == 1 {
                leaves.push_back((v, color as u32));
            }
        }
    }
    let mut done = vec![false; pattern.nonzeros()];
    let mut edges = Vec::new();
    while let Some((leaf, color)) = leaves.pop_front() {
        let open = |&w: &usize| colors[w] == color && !done[place(leaf, w)];
        // The edge may have gone from its other end, if both were leaves.
        let Some(parent) = neighbours(pattern, leaf).find(open) else { continue };
        let places = [place(leaf, parent), place(parent, leaf)];
        done[places[0]] = true;
        done[places[1]] = true;
        edges.push(Edge { leaf: leaf as u32, parent: parent as u32, places: places.map(|p| p as u32) });
        let left = &mut remaining[parent * count + colors[leaf] as usize];
        *left -= 1;
        if *left == 1 {
            leaves.push_back((parent, colors[leaf]));
        }
    }
    Recovery::Substitution { diagonal, edges }
}

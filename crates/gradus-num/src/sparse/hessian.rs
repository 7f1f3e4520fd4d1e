//! Sparse Hessians: star or acyclic colouring, forward-over-reverse passes, recovery.

use std::collections::VecDeque;
use std::string::String;
use std::vec::Vec;

use super::check::{Check, WrongPattern, missing, union};
use super::color::{Coloring, NONE, color_acyclic, color_star, neighbours};
use super::{Csr, Pattern, hessian_pattern};
use crate::drivers::plan::{plain_cost, second_order_cost};
use crate::drivers::push::any_nan;
use crate::drivers::push2::{self, sweep};
use crate::drivers::{Buffers, Candidate, Lanes, OneOutput, OpCounts, Slot, at_second_order_width};
use crate::{Dual, Real, ScalarFn, Tape};

/// How the entries follow from the compressed columns.
enum Recovery {
    /// Each entry stands alone in one compressed entry: row, colour, place.
    Direct(Vec<(u32, u32, u32)>),
    /// The diagonal stands alone; along each two-coloured tree the others follow from the leaves inwards. `taken` has for
    /// each compressed entry the sizes of all that has been taken off it: what it may have lost to rounding, in units.
    Substitution { diagonal: Vec<(u32, u32, u32)>, edges: Vec<Edge>, taken: Vec<f64> },
}

/// An entry that is smaller than what it is a difference of by more than this is not taken from there: 12 bits of 53.
const LOST: f64 = 4096.0;

/// One entry and its mirror image, read at the leaf and taken off its parent.
struct Edge {
    leaf: u32,
    parent: u32,
    places: [u32; 2],
}

/// The sparse Hessian of one function: the pattern and the colouring are computed once.
///
/// Both triangles are stored. A star colouring reads each entry directly; an acyclic colouring needs fewer passes
/// and subtracts entries already known. The cheaper is taken, direct at a tie. Where an evaluation finds entries so different
/// in size that the differences would lose more than 12 bits, or entries that are not finite, it is done anew with a star
/// colouring, which then stays.
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
///
/// Each evaluation checks that the pattern still holds, as described at [`SparseJacobian`](super::SparseJacobian): one more
/// Hessian-vector product, in a lane that is free or in a sweep of its own.
pub struct SparseHessian<F> {
    f: F,
    passes: HessianPasses,
    given: bool,
    check: Option<Check>,
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
    /// takes at `x`; where others bring in more entries, an evaluation finds them.
    pub fn new(f: F, x: &[f64]) -> Self {
        let pattern = hessian_pattern(&f, x);
        SparseHessian { given: false, ..Self::with_pattern(f, x, pattern) }
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
        let passes = HessianPasses::cheapest(pattern, OpCounts::of(&OneOutput(&f), x));
        SparseHessian { f, passes, given: true, check: Some(Check::new(x.len(), x.len())) }
    }

    /// Whether each evaluation checks the pattern (on by default).
    pub fn verifying(mut self, verify: bool) -> Self {
        let n = self.pattern().rows();
        self.check = verify.then(|| Check::new(n, n));
        self
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
    ///
    /// # Panics
    /// If `x` has the wrong length, or a pattern that was given lacks an entry.
    pub fn evaluate(&mut self, x: &[f64]) -> Csr {
        self.try_evaluate(x).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The Hessian at `x`.
    ///
    /// # Errors
    /// If a pattern that was given lacks an entry.
    pub fn try_evaluate(&mut self, x: &[f64]) -> Result<Csr, WrongPattern> {
        let (mut gradient, mut values) = (vec![0.0; x.len()], Vec::new());
        self.try_evaluate_into(x, &mut gradient, &mut values)?;
        Ok(Csr { pattern: self.pattern().clone(), values })
    }

    /// Writes the gradient and the Hessian's values at `x`, these in the order of the [`pattern`](Self::pattern), to whose
    /// size `values` is set, and returns `f(x)`; allocates nothing after the first call unless pattern or colouring change.
    ///
    /// # Panics
    /// If a length does not fit, or a pattern that was given lacks an entry.
    pub fn evaluate_into(&mut self, x: &[f64], gradient: &mut [f64], values: &mut Vec<f64>) -> f64 {
        self.try_evaluate_into(x, gradient, values).unwrap_or_else(|error| panic!("{error}"))
    }

    /// [`evaluate_into`](Self::evaluate_into) with the error instead of a panic.
    ///
    /// # Errors
    /// If a pattern that was given lacks an entry.
    pub fn try_evaluate_into(
        &mut self,
        x: &[f64],
        gradient: &mut [f64],
        values: &mut Vec<f64>,
    ) -> Result<f64, WrongPattern> {
        values.resize(self.pattern().nonzeros(), 0.0);
        let value = self.passes.evaluate_into(&self.f, x, gradient, values, self.check.as_mut());
        match &self.check {
            Some(check) if !check.holds(&self.passes.pattern, values) => self.renew(x, gradient, values),
            _ => Ok(value),
        }
    }

    /// What an evaluation does whose check has failed.
    #[cold]
    fn renew(&mut self, x: &[f64], gradient: &mut [f64], values: &mut Vec<f64>) -> Result<f64, WrongPattern> {
        let present = hessian_pattern(&self.f, x);
        match missing(self.pattern(), &present) {
            None => {}
            Some(error) if self.given => return Err(error),
            Some(_) => {
                let pattern = union(self.pattern(), &present);
                self.passes = HessianPasses::cheapest(pattern, OpCounts::of(&OneOutput(&self.f), x));
                values.resize(self.pattern().nonzeros(), 0.0);
            }
        }
        Ok(self.passes.evaluate_into(&self.f, x, gradient, values, None))
    }
}

impl HessianPasses {
    /// The cheaper of direct recovery and substitution.
    fn cheapest(pattern: Pattern, counts: OpCounts) -> Self {
        let mut passes = HessianPasses::direct(pattern, counts);
        let n = passes.pattern.rows();
        let acyclic = color_acyclic(&passes.pattern);
        let acyclic_cost = second_order_cost(&counts, n, acyclic.count);
        if acyclic_cost.ratio < passes.chosen.ratio {
            passes.recovery = substitution(&passes.pattern, &acyclic);
            passes.compressed = vec![0.0; n * acyclic.count];
            passes.coloring = acyclic;
            passes.chosen = acyclic_cost;
        }
        passes
    }

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
        mut check: Option<&mut Check>,
    ) -> f64 {
        let n = self.pattern.rows();
        assert_eq!(x.len(), n, "one number for each input");
        assert_eq!(gradient.len(), n, "one derivative for each input");
        assert_eq!(values.len(), self.pattern.nonzeros(), "one value for each entry of the pattern");
        let value = at_second_order_width!(self.chosen.width, W, {
            let Buffers { aimed, tape, tracked, tape_tracked, .. } = Slot::<W>::slot(&mut self.lanes);
            // The check goes along in the last pass if that has a lane free.
            let free = !self.coloring.count.is_multiple_of(W) || self.coloring.count == 0;
            let along = if free { check.take() } else { None };
            let mut out = (&mut *gradient, &mut self.compressed[..], along);
            let value = compress(f, x, &self.coloring, aimed, tape, &mut out);
            if any_nan(out.0) || any_nan(out.1) {
                compress(f, x, &self.coloring, tracked, tape_tracked, &mut out)
            } else {
                value
            }
        });
        if let Some(check) = check {
            let (direction, product) = (&check.direction, &mut check.product);
            push2::hvp(f, (x, &direction[..]), &mut self.lanes, gradient, product);
        }
        if recover(&mut self.recovery, &mut self.compressed, &self.coloring, values) {
            return value;
        }
        let pattern = core::mem::replace(&mut self.pattern, Pattern::from_rows(0, [[]; 0]));
        *self = HessianPasses::direct(pattern, self.counts);
        self.evaluate_into(f, x, gradient, values, None)
    }
}

/// Writes the gradient and the compressed Hessian, a column for each colour, and returns `f(x)`.
fn compress<F: ScalarFn, T: Real, const W: usize>(
    f: &F,
    x: &[f64],
    coloring: &Coloring,
    inputs: &mut Vec<Dual<T, W>>,
    tape: &mut Tape<Dual<T, W>>,
    (gradient, compressed, check): &mut (&mut [f64], &mut [f64], Option<&mut Check>),
) -> f64 {
    let (colors, mut value) = (coloring.count, f64::NAN);
    // One pass at least, for the gradient of a function without curvature.
    for start in (0..colors.max(1)).step_by(W) {
        let lanes = W.min(colors - start);
        inputs.clear();
        inputs.extend(x.iter().zip(&coloring.colors).map(|(&x, &color)| {
            let mut v = Dual::<T, W>::from_f64(x);
            if color != NONE && (start..start + lanes).contains(&(color as usize)) {
                v.tangent[color as usize - start] = T::one();
            }
            v
        }));
        let last = start + W >= colors;
        if let Some(check) = check
            && last
        {
            for (input, &v) in inputs.iter_mut().zip(&check.direction) {
                input.tangent[lanes] = T::from_f64(v);
            }
        }
        let y = sweep(f, tape, inputs, |i, adjoint| {
            gradient[i] = adjoint.value();
            for lane in 0..lanes {
                compressed[i * colors + start + lane] = adjoint.tangent[lane].value();
            }
            if let Some(check) = check
                && last
            {
                check.product[i] = adjoint.tangent[lanes].value();
            }
        });
        value = y.value();
    }
    value
}

/// Reads the entries off. Whether all of them kept their digits.
fn recover(recovery: &mut Recovery, compressed: &mut [f64], coloring: &Coloring, values: &mut [f64]) -> bool {
    let colors = coloring.count;
    let (alone, edges, taken) = match recovery {
        Recovery::Direct(entries) => (entries, &[][..], &mut [][..]),
        Recovery::Substitution { diagonal, edges, taken } => (diagonal, &edges[..], &mut taken[..]),
    };
    for &(row, color, place) in alone.iter() {
        values[place as usize] = compressed[row as usize * colors + color as usize];
    }
    taken.fill(0.0);
    let mut kept = true;
    for edge in edges {
        let (leaf, parent) = (edge.leaf as usize, edge.parent as usize);
        let at = leaf * colors + coloring.colors[parent] as usize;
        let rest = parent * colors + coloring.colors[leaf] as usize;
        let entry = compressed[at];
        kept &= taken[at] <= LOST * entry.abs();
        values[edge.places[0] as usize] = entry;
        values[edge.places[1] as usize] = entry;
        compressed[rest] -= entry;
        taken[rest] += taken[at] + entry.abs();
    }
    kept
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
    Recovery::Substitution { diagonal, edges, taken: vec![0.0; pattern.rows() * count] }
}

//! Sparse Jacobians: pattern, colouring and passes once, then values as often as wanted.

use std::string::String;
use std::vec::Vec;

use super::check::{Check, WrongPattern, missing, union};
use super::color::{Coloring, NONE, color_columns};
use super::{Csr, Pattern, jacobian_pattern};
use crate::drivers::plan::{forward_cost, plain_cost, reverse_cost};
use crate::drivers::push::{any_nan, jvp};
use crate::drivers::vector::record;
use crate::drivers::{Candidate, Lanes, Mode, OpCounts, Slot, at_width};
use crate::{Dual, Real, Tape, VectorFn};

/// One compressed pass: which inputs (or outputs) are seeded in which lane, and which values are read where.
#[derive(Default)]
struct Pass {
    seeds: Vec<(u32, u32)>,
    /// Output (or input), lane, place among the values.
    reads: Vec<(u32, u32, u32)>,
}

/// The sparse Jacobian of one function: the pattern and the colouring are computed once.
///
/// Columns that share no row are pushed forward together, rows that share no column are pulled back together,
/// and where it costs less both are done: a few dense rows in reverse, the rest forward, or the other way round.
///
/// ```
/// use gradus_num::{Real, sparse::SparseJacobian, vector_fn};
///
/// fn second_difference<R: Real>(x: &[R], y: &mut [R]) {
///     for i in 1..x.len() - 1 {
///         y[i] = x[i - 1] - x[i] * x[i] + x[i + 1];
///     }
/// }
/// let x: Vec<f64> = (0..100).map(f64::from).collect();
/// let mut jacobian = SparseJacobian::new(vector_fn!(second_difference, |n| n), &x);
/// assert_eq!(jacobian.colors(), (3, 0)); // three colours forward, none in reverse
/// let j = jacobian.evaluate(&x);
/// assert_eq!((j.get(7, 6), j.get(7, 7), j.get(7, 9)), (1.0, -14.0, 0.0));
/// ```
///
/// # A pattern that no longer holds
///
/// A branch of the function may bring in an input that the pattern does not have. So each evaluation also pushes a random
/// direction through, in a lane that is free anyway or in a pass of its own, and compares it with the matrix's product. Where
/// they differ the pattern is detected again at that point: one that was detected is extended and the evaluation repeated,
/// one that was given is an error. An entry below a billionth of the others of its row is not told from rounding.
/// [`verifying`](Self::verifying) switches the check off.
///
/// ```
/// use gradus_num::{Real64, sparse::{Pattern, SparseJacobian}, vector_fn};
///
/// fn branching<R: Real64>(x: &[R], y: &mut [R]) {
///     y[0] = if x[0] > 0.0 { x[0] * x[1] } else { x[0] };
/// }
/// let mut jacobian = SparseJacobian::new(vector_fn!(branching, 1), &[-1.0, 2.0]);
/// assert_eq!(jacobian.pattern().nonzeros(), 1);
/// assert_eq!(jacobian.evaluate(&[3.0, 2.0]).values, [2.0, 3.0]); // found anew
///
/// let one = Pattern::from_rows(2, [[0u32]]);
/// let mut given = SparseJacobian::with_pattern(vector_fn!(branching, 1), &[-1.0, 2.0], one);
/// let error = given.try_evaluate(&[3.0, 2.0]).unwrap_err();
/// assert_eq!((error.row, error.column), (0, 1));
/// ```
pub struct SparseJacobian<F> {
    f: F,
    passes: JacobianPasses,
    given: bool,
    check: Option<Check>,
}

/// All of a sparse Jacobian but the function: a driver that has the function keeps these beside it.
pub(crate) struct JacobianPasses {
    pattern: Pattern,
    counts: OpCounts,
    forward: Vec<Pass>,
    forward_width: usize,
    forward_colors: usize,
    reverse: Vec<Pass>,
    reverse_width: usize,
    reverse_colors: usize,
    cost: f64,
    /// What was not chosen: only forward, only reverse.
    single: (f64, f64),
    lanes: Lanes,
    tape: Tape,
    outputs: Vec<f64>,
}

/// A split of the entries between forward and reverse passes.
struct Split {
    columns: Coloring,
    rows: Coloring,
    /// Whether each entry is read from a reverse pass.
    reversed: Vec<bool>,
    forward: Candidate,
    reverse: Candidate,
}

impl Split {
    fn cost(&self) -> f64 {
        self.forward.ratio + self.reverse.ratio
    }
}

/// How many ways to split between forward and reverse are tried, in each direction.
const SPLITS: usize = 6;

impl<F: VectorFn> SparseJacobian<F> {
    /// Detects the pattern at `x`, colours it and plans the passes. The pattern holds for the branches that `f`
    /// takes at `x`; where others bring in more entries, an evaluation finds them.
    pub fn new(f: F, x: &[f64]) -> Self {
        let pattern = jacobian_pattern(&f, x);
        SparseJacobian { given: false, ..Self::with_pattern(f, x, pattern) }
    }

    /// With a known pattern, which must contain every entry that can be nonzero.
    ///
    /// # Panics
    /// If the pattern's shape is not that of the Jacobian.
    pub fn with_pattern(f: F, x: &[f64], pattern: Pattern) -> Self {
        let shape = (f.outputs(x.len()), x.len());
        assert_eq!((pattern.rows(), pattern.cols()), shape, "the pattern has the Jacobian's shape");
        let passes = JacobianPasses::new(pattern, OpCounts::of(&f, x));
        let check = Some(Check::new(shape.1, shape.0));
        SparseJacobian { f, passes, given: true, check }
    }

    /// Whether each evaluation checks the pattern (on by default).
    pub fn verifying(mut self, verify: bool) -> Self {
        let (rows, cols) = (self.pattern().rows(), self.pattern().cols());
        self.check = verify.then(|| Check::new(cols, rows));
        self.passes.lanes = Lanes::default();
        self
    }

    /// The pattern that [`evaluate_into`](Self::evaluate_into) fills, row by row.
    pub fn pattern(&self) -> &Pattern {
        &self.passes.pattern
    }

    /// The number of colours: of columns pushed forward, of rows pulled back.
    pub fn colors(&self) -> (usize, usize) {
        self.passes.colors()
    }

    /// What was chosen and why.
    pub fn explain(&self) -> String {
        self.passes.explain()
    }

    /// The Jacobian at `x`.
    ///
    /// # Panics
    /// If `x` has the wrong length, or a pattern that was given lacks an entry.
    pub fn evaluate(&mut self, x: &[f64]) -> Csr {
        self.try_evaluate(x).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The Jacobian at `x`.
    ///
    /// # Errors
    /// If a pattern that was given lacks an entry.
    pub fn try_evaluate(&mut self, x: &[f64]) -> Result<Csr, WrongPattern> {
        let mut values = Vec::new();
        self.try_evaluate_into(x, &mut values)?;
        Ok(Csr { pattern: self.pattern().clone(), values })
    }

    /// Writes the Jacobian's values at `x` in the order of the [`pattern`](Self::pattern), to whose size `values` is set;
    /// allocates nothing after the first call unless the pattern grows.
    ///
    /// # Panics
    /// If `x` has the wrong length, or a pattern that was given lacks an entry.
    pub fn evaluate_into(&mut self, x: &[f64], values: &mut Vec<f64>) {
        self.try_evaluate_into(x, values).unwrap_or_else(|error| panic!("{error}"));
    }

    /// [`evaluate_into`](Self::evaluate_into) with the error instead of a panic.
    ///
    /// # Errors
    /// If a pattern that was given lacks an entry.
    pub fn try_evaluate_into(&mut self, x: &[f64], values: &mut Vec<f64>) -> Result<(), WrongPattern> {
        values.resize(self.pattern().nonzeros(), 0.0);
        self.passes.evaluate_into(&self.f, x, values, self.check.as_mut());
        match &self.check {
            Some(check) if !check.holds(&self.passes.pattern, values) => self.renew(x, values),
            _ => Ok(()),
        }
    }

    /// What an evaluation does whose check has failed.
    #[cold]
    fn renew(&mut self, x: &[f64], values: &mut Vec<f64>) -> Result<(), WrongPattern> {
        let present = jacobian_pattern(&self.f, x);
        match missing(self.pattern(), &present) {
            None => Ok(()),
            Some(error) if self.given => Err(error),
            Some(_) => {
                let pattern = union(self.pattern(), &present);
                self.passes = JacobianPasses::new(pattern, OpCounts::of(&self.f, x));
                values.resize(self.pattern().nonzeros(), 0.0);
                self.passes.evaluate_into(&self.f, x, values, None);
                self.passes.lanes = Lanes::default();
                Ok(())
            }
        }
    }

    /// The modes in use.
    pub fn modes(&self) -> Vec<Mode> {
        let forward = (!self.passes.forward.is_empty()).then_some(Mode::Forward);
        let reverse = (!self.passes.reverse.is_empty()).then_some(Mode::Reverse);
        forward.into_iter().chain(reverse).collect()
    }
}

impl JacobianPasses {
    /// Colours the pattern and plans the passes.
    pub(crate) fn new(pattern: Pattern, counts: OpCounts) -> Self {
        let outputs = pattern.rows();
        let (transposed, places) = pattern.transpose_with_places();
        let split_at = |by_rows: bool, keep: &dyn Fn(usize) -> bool| {
            split(&pattern, &transposed, &places, &counts, by_rows, keep)
        };
        let all_forward = split_at(true, &|_| false);
        let all_reverse = split_at(true, &|_| true);
        let single = (all_forward.cost(), all_reverse.cost());
        let mut best = if single.0 <= single.1 { all_forward } else { all_reverse };
        for (by_rows, side) in [(true, &pattern), (false, &transposed)] {
            for threshold in thresholds(side) {
                let candidate = split_at(by_rows, &|line| side.row(line).len() > threshold);
                if candidate.cost() < best.cost() {
                    best = candidate;
                }
            }
        }
        let (forward_width, reverse_width) = (best.forward.width, best.reverse.width);
        JacobianPasses {
            forward: passes(&best.columns, forward_width, &pattern, &|place| !best.reversed[place], false),
            reverse: passes(&best.rows, reverse_width, &pattern, &|place| best.reversed[place], true),
            forward_width,
            reverse_width,
            forward_colors: best.columns.count,
            reverse_colors: best.rows.count,
            cost: best.cost(),
            single,
            outputs: vec![0.0; outputs],
            pattern,
            counts,
            lanes: Lanes::default(),
            tape: Tape::new(),
        }
    }

    /// The number of colours: of columns pushed forward, of rows pulled back.
    pub(crate) fn colors(&self) -> (usize, usize) {
        (self.forward_colors, self.reverse_colors)
    }

    /// What was chosen and why.
    pub(crate) fn explain(&self) -> String {
        let plain = plain_cost(&self.counts);
        let mut parts = Vec::new();
        if !self.forward.is_empty() {
            let (colors, passes) = (self.forward_colors, self.forward.len());
            parts.push(format!(
                "{colors} column colours in {passes} forward passes of {}",
                self.forward_width
            ));
        }
        if !self.reverse.is_empty() {
            let (colors, passes) = (self.reverse_colors, self.reverse.len());
            parts.push(format!("{colors} row colours in {passes} reverse sweeps of {}", self.reverse_width));
        }
        if parts.is_empty() {
            parts.push(String::from("no passes"));
        }
        format!(
            "{} x {} Jacobian, {} nonzeros: {}, {:.1}x the function; forward only would be {:.1}x, reverse only {:.1}x",
            self.pattern.rows(),
            self.pattern.cols(),
            self.pattern.nonzeros(),
            parts.join(" and "),
            self.cost / plain,
            self.single.0 / plain,
            self.single.1 / plain,
        )
    }

    /// Writes the Jacobian's values at `x` in the pattern's order, and keeps the function's; fills the check, if there is one.
    pub(crate) fn evaluate_into<F: VectorFn>(
        &mut self,
        f: &F,
        x: &[f64],
        values: &mut [f64],
        mut check: Option<&mut Check>,
    ) {
        assert_eq!(x.len(), self.pattern.cols(), "one number for each input");
        assert_eq!(values.len(), self.pattern.nonzeros(), "one value for each entry of the pattern");
        if self.forward.is_empty() && self.reverse.is_empty() {
            self.outputs.fill(0.0);
            f.call(x, &mut self.outputs);
        }
        if !self.forward.is_empty() {
            at_width!(self.forward_width, W, {
                let used = self.forward_colors - (self.forward.len() - 1) * W;
                // The check goes along in the last pass if that has a lane free.
                let along = if used < W { check.take() } else { None };
                let mut along = along.map(|check| (used, check));
                let (passes, outputs) = (&self.forward, &mut self.outputs);
                let work = &mut Slot::<W>::slot(&mut self.lanes).unguarded;
                push_forward(f, passes, x, work, outputs, values, &mut along);
                if any_nan(values) {
                    // Seeds that are there may be the direction of a check.
                    let work = &mut Slot::<W>::slot(&mut self.lanes).tracked;
                    work.clear();
                    push_forward(f, passes, x, work, outputs, values, &mut along);
                }
            });
        }
        if let Some(check) = check {
            jvp(f, x, &check.direction, &mut self.lanes, &mut self.outputs, &mut check.product);
        }
        if !self.reverse.is_empty() {
            at_width!(self.reverse_width, W, {
                let adjoints = &mut Slot::<W>::slot(&mut self.lanes).adjoints;
                let passes = &self.reverse;
                record(f, &mut self.tape, x, &mut self.outputs, |tape, outputs| {
                    for pass in passes {
                        let seeds = pass.seeds.iter().map(|&(i, lane)| (lane as usize, outputs[i as usize]));
                        tape.pullback_seeded_lanes_into::<W>(seeds, adjoints);
                        for &(j, lane, place) in &pass.reads {
                            values[place as usize] = adjoints[1 + j as usize][lane as usize];
                        }
                    }
                });
            });
        }
    }

    /// The function's values at the point of the last evaluation.
    pub(crate) fn outputs(&self) -> &[f64] {
        &self.outputs
    }

    /// The pattern of the values.
    pub(crate) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The larger part of the passes, with the cost of all, in nanoseconds.
    pub(crate) fn summary(&self) -> Candidate {
        let (mode, width, passes) = if self.forward.len() >= self.reverse.len() {
            (Mode::Forward, self.forward_width, self.forward.len())
        } else {
            (Mode::Reverse, self.reverse_width, self.reverse.len())
        };
        Candidate { mode, width, passes, ratio: self.cost }
    }

    /// The modelled cost of all passes, in nanoseconds.
    pub(crate) fn cost(&self) -> f64 {
        self.cost
    }
}

fn push_forward<F: VectorFn, T: Real, const W: usize>(
    f: &F,
    passes: &[Pass],
    x: &[f64],
    work: &mut Vec<Dual<T, W>>,
    outputs: &mut [f64],
    values: &mut [f64],
    check: &mut Option<(usize, &mut Check)>,
) {
    let (n, m) = (x.len(), outputs.len());
    // A single pass has the same seeds in every call: only the primals change.
    let seeded = passes.len() == 1 && work.len() == n + m;
    if seeded {
        for (v, &x) in work.iter_mut().zip(x) {
            v.primal = T::from_f64(x);
        }
    } else {
        work.clear();
        work.extend(x.iter().map(|&x| Dual::constant(T::from_f64(x))));
        work.resize(n + m, Dual::constant(T::zero()));
    }
    let (inputs, results) = work.split_at_mut(n);
    for (at, pass) in passes.iter().enumerate() {
        let last = at + 1 == passes.len();
        if let Some((lane, check)) = check
            && last
            && !seeded
        {
            for (input, &v) in inputs.iter_mut().zip(&check.direction) {
                input.tangent[*lane] = T::from_f64(v);
            }
        }
        if !seeded {
            for &(j, lane) in &pass.seeds {
                inputs[j as usize].tangent[lane as usize] = T::one();
            }
        }
        results.fill(Dual::constant(T::zero()));
        f.call(inputs, results);
        for &(i, lane, place) in &pass.reads {
            values[place as usize] = results[i as usize].tangent[lane as usize].value();
        }
        if let Some((lane, check)) = check
            && last
        {
            for (entry, result) in check.product.iter_mut().zip(results.iter()) {
                *entry = result.tangent[*lane].value();
            }
        }
        if passes.len() > 1 {
            for &(j, lane) in &pass.seeds {
                inputs[j as usize].tangent[lane as usize] = T::zero();
            }
        }
    }
    for (output, result) in outputs.iter_mut().zip(results) {
        *output = result.value();
    }
}

/// Degrees above which a line counts as dense: a few that are exceeded by few lines.
fn thresholds(side: &Pattern) -> Vec<usize> {
    let mut degrees: Vec<usize> = (0..side.rows()).map(|line| side.row(line).len()).collect();
    degrees.sort_unstable();
    degrees.dedup();
    degrees.pop();
    degrees.into_iter().rev().take(SPLITS).filter(|&degree| degree > 0).collect()
}

/// Colours for a split: by rows, the rows for which `dense` holds go in reverse and the others forward; by
/// columns, the columns for which it holds go forward and the others in reverse.
fn split(
    pattern: &Pattern,
    transposed: &Pattern,
    places: &[usize],
    counts: &OpCounts,
    by_rows: bool,
    dense: &dyn Fn(usize) -> bool,
) -> Split {
    let mut reversed = vec![false; pattern.nonzeros()];
    let (columns, rows);
    if by_rows {
        for i in (0..pattern.rows()).filter(|&i| dense(i)) {
            reversed[pattern.row_range(i)].fill(true);
        }
        columns = color_columns(&pattern.keep_rows(|i| !dense(i)));
        rows = color_columns(&pattern.keep_rows(dense).transpose());
    } else {
        for j in (0..pattern.cols()).filter(|&j| !dense(j)) {
            for at in transposed.row_range(j) {
                reversed[places[at]] = true;
            }
        }
        columns = color_columns(&transposed.keep_rows(dense).transpose());
        rows = color_columns(&transposed.keep_rows(|j| !dense(j)));
    }
    let forward = forward_cost(counts, pattern.cols(), columns.count);
    let reverse = reverse_cost(counts, rows.count);
    Split { columns, rows, reversed, forward, reverse }
}

/// The passes of one coloured side. `transposed` says that rows are seeded and columns are read.
fn passes(
    coloring: &Coloring,
    width: usize,
    pattern: &Pattern,
    takes: &dyn Fn(usize) -> bool,
    transposed: bool,
) -> Vec<Pass> {
    let mut passes: Vec<Pass> = Vec::new();
    passes.resize_with(coloring.count.div_ceil(width), Pass::default);
    for (vertex, &color) in coloring.colors.iter().enumerate() {
        if color != NONE {
            passes[color as usize / width].seeds.push((vertex as u32, color % width as u32));
        }
    }
    for i in 0..pattern.rows() {
        for (place, &j) in pattern.row_range(i).zip(pattern.row(i)) {
            if takes(place) {
                let (seeded, read) = if transposed { (i, j) } else { (j as usize, i as u32) };
                let color = coloring.colors[seeded];
                let pass = &mut passes[color as usize / width];
                pass.reads.push((read, color % width as u32, place as u32));
            }
        }
    }
    passes
}

//! The cost model, the choice it makes, and the words for it.
//!
//! A mode's cost is the sum over the operations of their measured [`UnitCosts`]. It ranks the modes; as a ratio to the plain
//! function it is rough, most of all for short functions, which a compiler may vectorise when they are called with plain
//! numbers. A wrong choice between two modes that cost nearly the same costs little.

use core::fmt;
use std::string::String;
use std::vec::Vec;

use super::cost::UnitCosts;
use super::count::OpCounts;
use super::width::{SECOND_ORDER_WIDTHS, WIDTHS};

/// Forward or reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dual numbers, a chunk of directions a pass. For a Hessian: a dual number within a dual number.
    Forward,
    /// A tape and one sweep back for each chunk of outputs. For a Hessian: dual numbers on a tape.
    Reverse,
}

/// One way to compute the derivative, and what the model says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Forward or reverse.
    pub mode: Mode,
    /// Directions (forward), rows (reverse) or Hessian columns (both) carried by one pass.
    pub width: usize,
    /// The number of passes.
    pub passes: usize,
    /// The cost of all passes, as a multiple of the plain function's.
    pub ratio: f64,
}

/// What a user asks for: a mode, and perhaps how much one pass carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forced {
    pub mode: Mode,
    pub width: Option<usize>,
}

impl From<Mode> for Forced {
    fn from(mode: Mode) -> Self {
        Forced { mode, width: None }
    }
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Jacobian,
    Hessian,
}

/// A mode and a chunk width, chosen from the shapes and the operation counts, with the alternative it beat.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    task: Task,
    inputs: usize,
    outputs: usize,
    counts: OpCounts,
    chosen: Candidate,
    other: Candidate,
    forced: bool,
    /// The model's cost of the plain function, in nanoseconds.
    plain: f64,
    /// What coloured passes, if these were chosen, are: then `chosen` is their largest part and `other` the full matrix.
    coloured: Option<String>,
}

fn plain(c: &OpCounts) -> f64 {
    let u = UnitCosts::current();
    u.call
        + c.sums as f64 * u.sum
        + c.products as f64 * u.product
        + c.divisions as f64 * u.division
        + c.elementary as f64 * u.elementary
        + c.special as f64 * u.special
}

/// The local derivatives, in either mode.
fn slopes(c: &OpCounts) -> f64 {
    let u = UnitCosts::current();
    c.divisions as f64 * u.division_slope
        + c.elementary as f64 * u.elementary_slope
        + c.special as f64 * u.special_slope
}

/// `width` tangents of each of `n` inputs, through all operations.
fn tangents(c: &OpCounts, n: usize, width: usize) -> f64 {
    let u = UnitCosts::current();
    let chained = (c.divisions + c.elementary + c.special) as f64;
    let at = WIDTHS.iter().position(|&w| w >= width).unwrap_or(WIDTHS.len() - 1);
    c.sums as f64 * u.sum_lanes[at]
        + c.products as f64 * u.product_lanes[at]
        + chained * u.chain_lanes[at]
        + (width * n) as f64 * u.seed_lane
}

fn forward_pass(c: &OpCounts, n: usize, width: usize) -> f64 {
    plain(c) + slopes(c) + tangents(c, n, width)
}

fn record(c: &OpCounts) -> f64 {
    let u = UnitCosts::current();
    u.tape + plain(c) + slopes(c) + c.total() as f64 * u.weight + c.entries as f64 * u.entry
}

fn sweep(c: &OpCounts, width: usize) -> f64 {
    let u = UnitCosts::current();
    c.entries as f64 * (u.sweep + (width - 1) as f64 * u.sweep_lane)
}

/// Dual numbers on a tape: the arithmetic twice (values and weights), larger entries.
fn forward_over_reverse(c: &OpCounts, n: usize, width: usize) -> f64 {
    let u = UnitCosts::current();
    let second_slopes = slopes(c) + plain(c);
    let entries = c.entries as f64 * (u.entry + u.sweep) * (1.0 + 0.6 * width as f64);
    u.tape + 2.0 * forward_pass(c, n, width) + second_slopes + entries
}

/// A dual number of one inner direction and `width` outer ones.
fn forward_over_forward(c: &OpCounts, n: usize, width: usize) -> f64 {
    plain(c) * 2.0 + slopes(c) * 2.0 + 2.2 * tangents(c, n, width)
}

impl Plan {
    pub(crate) fn new(
        task: Task,
        inputs: usize,
        outputs: usize,
        counts: OpCounts,
        forced: Option<Forced>,
    ) -> Plan {
        let widths = |mode: Mode| match forced {
            Some(Forced { mode: of, width: Some(width) }) if of == mode => vec![width],
            _ => WIDTHS.to_vec(),
        };
        let (forward, reverse) = match task {
            Task::Jacobian => (
                best(Mode::Forward, &widths(Mode::Forward), |w| {
                    let passes = inputs.div_ceil(w).max(1);
                    (passes, passes as f64 * forward_pass(&counts, inputs, w))
                }),
                best(Mode::Reverse, &widths(Mode::Reverse), |w| {
                    let passes = outputs.div_ceil(w).max(1);
                    (passes, record(&counts) + passes as f64 * sweep(&counts, w))
                }),
            ),
            Task::Hessian => (
                best(Mode::Forward, &SECOND_ORDER_WIDTHS, |w| {
                    // Row i takes the columns from i on.
                    let passes: usize = (0..inputs).map(|i| (inputs - i).div_ceil(w)).sum();
                    (passes, passes as f64 * forward_over_forward(&counts, inputs, w))
                }),
                best(Mode::Reverse, &SECOND_ORDER_WIDTHS, |w| {
                    let passes = inputs.div_ceil(w).max(1);
                    (passes, passes as f64 * forward_over_reverse(&counts, inputs, w))
                }),
            ),
        };
        let relative = |mut candidate: Candidate| {
            candidate.ratio /= plain(&counts);
            candidate
        };
        let (forward, reverse) = (relative(forward), relative(reverse));
        let take_forward = match forced {
            Some(forced) => forced.mode == Mode::Forward,
            None => forward.ratio <= reverse.ratio,
        };
        let (chosen, other) = if take_forward { (forward, reverse) } else { (reverse, forward) };
        Plan {
            task,
            inputs,
            outputs,
            counts,
            chosen,
            other,
            forced: forced.is_some(),
            plain: plain(&counts),
            coloured: None,
        }
    }

    /// The cost of the chosen way in the model's nanoseconds.
    pub(crate) fn cost(&self) -> f64 {
        self.chosen.ratio * self.plain
    }

    /// The plan for coloured passes of the given cost (in nanoseconds) in place of this one.
    pub(crate) fn coloured(&self, mut passes: Candidate, words: String) -> Plan {
        passes.ratio /= self.plain;
        Plan { chosen: passes, other: self.chosen, coloured: Some(words), ..self.clone() }
    }

    /// Whether the passes are compressed by a colouring of the sparsity pattern.
    pub fn is_coloured(&self) -> bool {
        self.coloured.is_some()
    }

    /// The mode that is used.
    pub fn mode(&self) -> Mode {
        self.chosen.mode
    }

    /// The chosen way.
    pub fn chosen(&self) -> Candidate {
        self.chosen
    }

    /// The best way in the other mode.
    pub fn other(&self) -> Candidate {
        self.other
    }

    /// The operation counts that the costs follow from.
    pub fn counts(&self) -> OpCounts {
        self.counts
    }

    /// What was chosen and why, in two lines.
    ///
    /// ```
    /// use gradus_num::{Real, ScalarDriver, scalar_fn};
    /// fn f<R: Real>(x: &[R]) -> R {
    ///     x.iter().map(|&x| x * x).sum()
    /// }
    /// let plan = ScalarDriver::new(scalar_fn!(f), &[1.0; 12]).gradient_plan();
    /// assert!(plan.explain().starts_with("12 inputs, 1 output: "));
    /// println!("{}", plan.explain());
    /// ```
    pub fn explain(&self) -> String {
        let Plan { inputs, outputs, counts, .. } = self;
        if let Some(words) = &self.coloured {
            return format!(
                "{words}; the full matrix would be {:.1}x: coloured passes chosen\nno branch depends on the inputs, so the \
                 pattern holds everywhere; {} operations",
                self.other.ratio,
                counts.total(),
            );
        }
        let (reverse, forward) = match self.chosen.mode {
            Mode::Forward => (&self.other, &self.chosen),
            Mode::Reverse => (&self.chosen, &self.other),
        };
        let (reverse_words, forward_words) = match self.task {
            Task::Jacobian => (sweeps(reverse, *outputs), chunks(forward, "chunk")),
            Task::Hessian => (chunks(reverse, "reverse sweep"), chunks(forward, "nested chunk")),
        };
        let name = match self.chosen.mode {
            Mode::Forward => "forward",
            Mode::Reverse => "reverse",
        };
        let verb = if self.forced { "forced" } else { "chosen" };
        let task = match self.task {
            Task::Jacobian => "",
            Task::Hessian => ", Hessian",
        };
        format!(
            "{inputs} {}, {outputs} {}{task}: {reverse_words} {:.1}x the function; forward would be \
             {forward_words}, {:.1}x: {name} {verb}\n{} operations ({} sums, {} products, {} divisions and roots, \
             {} elementary, {} special), {} tape entries of 24 bytes, about {:.0} ns plain",
            plural(*inputs, "input"),
            plural(*outputs, "output"),
            reverse.ratio,
            forward.ratio,
            counts.total(),
            counts.sums,
            counts.products,
            counts.divisions,
            counts.elementary,
            counts.special,
            counts.entries,
            self.plain,
        )
    }
}

fn best(mode: Mode, widths: &[usize], cost: impl Fn(usize) -> (usize, f64)) -> Candidate {
    let candidates: Vec<Candidate> = widths
        .iter()
        .map(|&width| {
            let (passes, ratio) = cost(width);
            Candidate { mode, width, passes, ratio }
        })
        .collect();
    candidates
        .iter()
        .skip(1)
        .fold(candidates[0], |best, &next| if next.ratio < best.ratio { next } else { best })
}

fn sweeps(c: &Candidate, outputs: usize) -> String {
    let rows = if outputs > 1 && c.width > 1 { format!(" of {} rows", c.width) } else { String::new() };
    format!("{} reverse {}{rows}", c.passes, plural(c.passes, "sweep"))
}

fn chunks(c: &Candidate, word: &str) -> String {
    format!("{} {} of {}", c.passes, plural(c.passes, word), c.width)
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { String::from(word) } else { format!("{word}s") }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.explain())
    }
}

/// The cheapest way to push `directions` tangents through a function, in nanoseconds instead of ratios.
pub(crate) fn forward_cost(counts: &OpCounts, inputs: usize, directions: usize) -> Candidate {
    best(Mode::Forward, &WIDTHS, |w| {
        let passes = directions.div_ceil(w);
        (passes, passes as f64 * forward_pass(counts, inputs, w))
    })
}

/// The cheapest way to pull `rows` cotangents back, in nanoseconds instead of ratios.
pub(crate) fn reverse_cost(counts: &OpCounts, rows: usize) -> Candidate {
    best(Mode::Reverse, &WIDTHS, |w| {
        let passes = rows.div_ceil(w);
        (passes, if passes == 0 { 0.0 } else { record(counts) + passes as f64 * sweep(counts, w) })
    })
}

/// The cheapest way to take `directions` combinations of Hessian columns, in nanoseconds instead of ratios.
pub(crate) fn second_order_cost(counts: &OpCounts, inputs: usize, directions: usize) -> Candidate {
    best(Mode::Reverse, &SECOND_ORDER_WIDTHS, |w| {
        let passes = directions.div_ceil(w);
        (passes, passes as f64 * forward_over_reverse(counts, inputs, w))
    })
}

/// The model's cost of the plain function.
pub(crate) fn plain_cost(counts: &OpCounts) -> f64 {
    plain(counts)
}

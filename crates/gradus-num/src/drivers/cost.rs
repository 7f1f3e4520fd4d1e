//! The unit costs that plans are made from, and their measurement.

use core::fmt;
use core::hint::black_box;
use std::sync::OnceLock;
use std::time::Instant;
use std::vec::Vec;

use super::width::WIDTHS;
use crate::dual::Unguarded;
use crate::{Dual, Real, Tape};

/// What one operation of each kind costs, in nanoseconds: plainly, and more in each mode.
///
/// The costs that come with the crate were measured by [`UnitCosts::measure`] in a release build on one AVX2 core at the
/// default target. They are constants, so that the same function gets the same mode, and with it the same bits, in
/// every run. [`calibrate`] replaces them by those of the machine at hand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitCosts {
    /// A call, and the loads and stores around it.
    pub call: f64,
    /// An addition.
    pub sum: f64,
    /// A multiplication.
    pub product: f64,
    /// A division or root.
    pub division: f64,
    /// An exponential, logarithm, trigonometric or hyperbolic function.
    pub elementary: f64,
    /// A power, error or gamma function.
    pub special: f64,
    /// The local derivative of a division, more than its value.
    pub division_slope: f64,
    /// The local derivative of an elementary function.
    pub elementary_slope: f64,
    /// The local derivative of a special function.
    pub special_slope: f64,
    /// All tangents through a sum, for each chunk width (1, 2, 4, 8, 16).
    pub sum_lanes: [f64; 5],
    /// All tangents through a product.
    pub product_lanes: [f64; 5],
    /// All tangents through any other operation.
    pub chain_lanes: [f64; 5],
    /// Setting one tangent of one input.
    pub seed_lane: f64,
    /// An operation on a tape variable that writes no entry.
    pub weight: f64,
    /// Writing an entry.
    pub entry: f64,
    /// Sweeping an entry back.
    pub sweep: f64,
    /// Sweeping one row more at the same time.
    pub sweep_lane: f64,
    /// Resetting a tape, making its inputs, reading the adjoints.
    pub tape: f64,
}

impl UnitCosts {
    /// The costs that come with the crate.
    pub const SHIPPED: UnitCosts = UnitCosts {
        call: 1.7,
        sum: 0.68,
        product: 0.69,
        division: 1.14,
        elementary: 5.8,
        special: 8.8,
        division_slope: 1.2,
        elementary_slope: 0.8,
        special_slope: 9.7,
        sum_lanes: [0.16, 0.5, 0.6, 1.3, 2.6],
        product_lanes: [0.2, 0.3, 0.8, 1.4, 2.8],
        chain_lanes: [0.4, 0.9, 1.6, 2.9, 5.6],
        seed_lane: 0.05,
        weight: 1.0,
        entry: 1.4,
        sweep: 1.83,
        sweep_lane: 0.67,
        tape: 41.0,
    };

    /// Those that plans are made from: the machine's after [`calibrate`], else [`SHIPPED`](Self::SHIPPED).
    pub fn current() -> &'static UnitCosts {
        CALIBRATED.get().unwrap_or(&Self::SHIPPED)
    }

    /// Times short programs of each kind with plain numbers, dual numbers of every chunk width, and a tape: some
    /// milliseconds. The least of several repeats counts, so that a busy machine disturbs little.
    pub fn measure() -> UnitCosts {
        let [sum, product, division, elementary, special] = KINDS.map(Forward::of);
        let chain_lanes =
            core::array::from_fn(|k| (division.lanes[k] + elementary.lanes[k] + special.lanes[k]) / 3.0);
        let weight = (on_tape(Kind::Scale).record - sum.plain).max(FLOOR);
        let taped = on_tape(Kind::Product);
        UnitCosts {
            call: shortest(|| _ = black_box(tiny(black_box(&[1.5; 2])))).max(FLOOR),
            sum: sum.plain,
            product: product.plain,
            division: division.plain,
            elementary: elementary.plain,
            special: special.plain,
            division_slope: division.slope,
            elementary_slope: elementary.slope,
            special_slope: special.slope,
            sum_lanes: sum.lanes,
            product_lanes: product.lanes,
            chain_lanes,
            seed_lane: seeding(),
            weight,
            entry: (taped.record - product.plain - weight).max(FLOOR),
            sweep: taped.sweep,
            sweep_lane: taped.sweep_lane,
            tape: empty_tape(),
        }
    }
}

static CALIBRATED: OnceLock<UnitCosts> = OnceLock::new();

/// Measures this machine's unit costs, once in the process, and has all drivers made from then on plan with them.
///
/// Plans then fit the machine better, but a choice between modes that cost nearly the same may differ from run to run, and
/// with it the last bit of a derivative.
///
/// ```
/// use gradus_num::drivers::{UnitCosts, calibrate};
///
/// let costs = calibrate();
/// println!("{costs}");
/// assert_eq!(UnitCosts::current(), costs);
/// ```
pub fn calibrate() -> &'static UnitCosts {
    CALIBRATED.get_or_init(UnitCosts::measure)
}

impl fmt::Display for UnitCosts {
    /// One line a cost.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("call", self.call),
            ("sum", self.sum),
            ("product", self.product),
            ("division", self.division),
            ("elementary", self.elementary),
            ("special", self.special),
            ("division_slope", self.division_slope),
            ("elementary_slope", self.elementary_slope),
            ("special_slope", self.special_slope),
            ("seed_lane", self.seed_lane),
            ("weight", self.weight),
            ("entry", self.entry),
            ("sweep", self.sweep),
            ("sweep_lane", self.sweep_lane),
            ("tape", self.tape),
        ];
        rows.iter().try_for_each(|(name, ns)| writeln!(f, "{name}: {ns:.2},"))?;
        let lanes = [
            ("sum_lanes", self.sum_lanes),
            ("product_lanes", self.product_lanes),
            ("chain_lanes", self.chain_lanes),
        ];
        lanes.iter().try_for_each(|(name, ns)| writeln!(f, "{name}: {ns:.2?},"))
    }
}

/// No cost is measured as nothing: ratios of costs are taken.
const FLOOR: f64 = 0.01;
/// Three chains, so that the processor overlaps them as it does in common code, but two do not fit one vector.
const CHAINS: usize = 3;
const STEPS: usize = 64;
const OPERATIONS: f64 = (CHAINS * STEPS) as f64;

#[derive(Clone, Copy)]
enum Kind {
    Sum,
    Product,
    Division,
    Elementary,
    Special,
    /// A product with a constant, which writes no entry on a tape.
    Scale,
}

const KINDS: [Kind; 5] = [Kind::Sum, Kind::Product, Kind::Division, Kind::Elementary, Kind::Special];

/// A program of one kind of operation whose values stay near 1.
#[inline(never)]
fn program<R: Real>(kind: Kind, x: &[R]) -> R {
    let mut s = [x[0], x[1], x[2]];
    for step in 0..STEPS {
        for (k, s) in s.iter_mut().enumerate() {
            let other = x[(k + step) % CHAINS];
            *s = match kind {
                Kind::Sum => *s + other,
                Kind::Product => *s * other,
                Kind::Division => other / *s,
                Kind::Elementary if step % 2 == 0 => s.sin(),
                Kind::Elementary => s.exp(),
                Kind::Special if step % 2 == 0 => s.erf(),
                Kind::Special => other.powf(s),
                Kind::Scale => *s * R::from_f64(1.001),
            };
        }
    }
    s[0] + s[1] + s[2]
}

#[inline(never)]
fn tiny(x: &[f64]) -> f64 {
    x[0] + x[1]
}

const POINT: [f64; CHAINS] = [1.01, 0.99, 1.005];

/// Nanoseconds a call: the least mean of several short batches.
fn shortest(mut run: impl FnMut()) -> f64 {
    const BATCH: u32 = 24;
    let mut best = f64::INFINITY;
    for _ in 0..25 {
        let start = Instant::now();
        for _ in 0..BATCH {
            run();
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH));
    }
    best
}

/// Costs of one operation in forward mode.
struct Forward {
    plain: f64,
    slope: f64,
    lanes: [f64; WIDTHS.len()],
}

impl Forward {
    fn of(kind: Kind) -> Forward {
        fn dual<const N: usize>(kind: Kind) -> f64 {
            let x: [Dual<Unguarded, N>; CHAINS] =
                core::array::from_fn(|k| Dual::variable(Unguarded::from_f64(POINT[k]), k % N));
            shortest(|| _ = black_box(program(kind, black_box(&x)))) / OPERATIONS
        }
        let plain = shortest(|| _ = black_box(program(kind, black_box(&POINT)))) / OPERATIONS;
        let all = [dual::<1>(kind), dual::<2>(kind), dual::<4>(kind), dual::<8>(kind), dual::<16>(kind)];
        // What does not grow with the number of tangents is the local derivative.
        let slope = (all[0] - plain - (all[3] - all[0]) / 7.0).max(0.0);
        Forward { plain: plain.max(FLOOR), slope, lanes: all.map(|time| (time - plain - slope).max(FLOOR)) }
    }
}

/// Costs of one operation on a tape.
struct Taped {
    record: f64,
    sweep: f64,
    sweep_lane: f64,
}

fn on_tape(kind: Kind) -> Taped {
    let mut tape = Tape::new();
    let record = shortest(|| {
        tape.reset();
        let x = POINT.map(|x| tape.var(x));
        black_box(program(kind, black_box(&x)));
    });
    tape.reset();
    let x = POINT.map(|x| tape.var(x));
    let y = program(kind, &x);
    let (mut one, mut eight) = (Vec::new(), Vec::new());
    let sweep = shortest(|| tape.pullback_lanes_into::<1>(&[y], black_box(&mut one))) / OPERATIONS;
    let wide = shortest(|| tape.pullback_lanes_into::<8>(&[y; 8], black_box(&mut eight))) / OPERATIONS;
    let sweep_lane = ((wide - sweep) / 7.0).max(FLOOR);
    Taped { record: record / OPERATIONS, sweep: sweep.max(FLOOR), sweep_lane }
}

fn empty_tape() -> f64 {
    let mut tape = Tape::new();
    let mut gradient = [0.0; CHAINS];
    shortest(|| {
        _ = crate::reverse::value_and_gradient_into(&mut tape, |x| x[0], black_box(&POINT), &mut gradient)
    })
}

/// One tangent of one input: a pass over many inputs that computes nothing.
fn seeding() -> f64 {
    const INPUTS: usize = 64;
    let x = [1.0; INPUTS];
    let (mut work, mut gradient) = (Vec::new(), [0.0; INPUTS]);
    let nothing = |x: &[Dual<f64, 8>]| x[0];
    let all = shortest(|| {
        _ = crate::forward::gradient_into(nothing, black_box(&x), &mut work, &mut gradient);
    });
    (all / (INPUTS * INPUTS) as f64).max(FLOOR)
}

//! One point of `gradus modes`: the same Jacobian in every mode, times and peaks.

use std::hint::black_box;
use std::time::{Duration, Instant};

use gradus::num::sparse::SparseJacobian;
use gradus::num::{Mode, VectorDriver, checkpoint};

use super::family::Family;
use crate::memory::{count_from_here, most_allocated};

/// A mode of computing the Jacobian, with its measured time and memory.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// `forward`, `chunked forward`, `reverse`, `sparse`, `checkpointed reverse` or `automatic`.
    pub mode: &'static str,
    /// Columns or rows a pass.
    pub width: usize,
    /// Seconds, the median of the rounds.
    pub seconds: f64,
    /// Bytes allocated at most at once, beyond those of arguments and results.
    pub peak: usize,
}

/// What was measured for one function.
pub struct Point {
    pub family: Family,
    /// Every mode but the automatic one.
    pub measurements: Vec<Measurement>,
    pub automatic: Measurement,
    /// What the automatic choice took, in the names of [`Measurement::mode`].
    pub took: &'static str,
}

impl Point {
    /// The fastest width of a mode.
    pub fn of(&self, mode: &str) -> Option<&Measurement> {
        self.measurements.iter().filter(|w| w.mode == mode).min_by(|a, b| a.seconds.total_cmp(&b.seconds))
    }

    /// The fastest of all modes.
    pub fn best(&self) -> &Measurement {
        let first = &self.automatic;
        self.measurements.iter().fold(first, |best, w| if w.seconds < best.seconds { w } else { best })
    }

    /// The time of the automatic choice over the best.
    pub fn ratio(&self) -> f64 {
        self.automatic.seconds / self.best().seconds
    }
}

/// How long to measure.
#[derive(Clone, Copy)]
pub struct Effort {
    /// The length of one batch of calls.
    pub batch: Duration,
    /// The most rounds, in each of which every mode runs once.
    pub rounds: usize,
    /// The length of all rounds, roughly.
    pub point: Duration,
}

/// A mode to be timed.
struct Contender<'a> {
    measurement: Measurement,
    run: Box<dyn FnMut() + 'a>,
    samples: Vec<f64>,
}

/// A mode slower than this many times the best is not timed again: what it took at first is enough to draw it.
const HOPELESS: f64 = 2.5;
const WIDTHS: [usize; 3] = [4, 8, 16];

/// Buffers for one Jacobian, its point and its values.
struct JacobianBuffers {
    x: Vec<f64>,
    y: Vec<f64>,
    jacobian: Vec<f64>,
}

impl JacobianBuffers {
    fn of(family: Family) -> JacobianBuffers {
        JacobianBuffers {
            x: family.point(),
            y: vec![0.0; family.outputs],
            jacobian: vec![0.0; family.inputs * family.outputs],
        }
    }
}

/// Builds a contender, calls it once and notes its peak. `prepare` makes what is kept between calls.
fn contender<'a, P: 'a>(
    mode: &'static str,
    width: impl FnOnce(&P) -> usize,
    family: Family,
    prepare: impl FnOnce(&[f64]) -> P,
    call: impl Fn(&mut P, &mut JacobianBuffers) + 'a,
) -> Contender<'a> {
    let mut buffers = JacobianBuffers::of(family);
    let before = count_from_here();
    let mut kept = prepare(&buffers.x);
    let width = width(&kept);
    // What preparing needed for a while is not the mode's.
    count_from_here();
    call(&mut kept, &mut buffers);
    let peak = most_allocated().saturating_sub(before);
    let measurement = Measurement { mode, width, seconds: f64::INFINITY, peak };
    let run = Box::new(move || call(&mut kept, black_box(&mut buffers)));
    Contender { measurement, run, samples: Vec::new() }
}

fn driver(family: Family, mode: &'static str, forced: Option<(Mode, usize)>) -> Contender<'static> {
    contender(
        mode,
        |driver: &VectorDriver<Family>| driver.plan().chosen().width,
        family,
        |x| match forced {
            Some((mode, width)) => VectorDriver::new(family, x).with_width(mode, width),
            None => VectorDriver::new(family, x),
        },
        |driver, buffers| driver.jacobian_into(&buffers.x, &mut buffers.y, &mut buffers.jacobian),
    )
}

/// Coloured passes, their values scattered into the full matrix as the other modes leave it.
fn sparse(family: Family) -> Contender<'static> {
    contender(
        "sparse",
        |(jacobian, _): &(SparseJacobian<Family>, Vec<f64>)| jacobian.colors().0 + jacobian.colors().1,
        family,
        |x| {
            let jacobian = SparseJacobian::new(family, x);
            let values = vec![0.0; jacobian.pattern().nonzeros()];
            (jacobian, values)
        },
        |(jacobian, values), buffers| {
            jacobian.evaluate_into(&buffers.x, values);
            buffers.jacobian.fill(0.0);
            let pattern = jacobian.pattern();
            for (i, row) in buffers.jacobian.chunks_exact_mut(buffers.x.len()).enumerate() {
                for (&j, &value) in pattern.row(i).iter().zip(&values[pattern.row_range(i)]) {
                    row[j as usize] = value;
                }
            }
        },
    )
}

/// Reverse mode that stores a logarithmic number of layers' states. For one output.
fn checkpointed(family: Family) -> Contender<'static> {
    let slots = 1 + family.depth.ilog2() as usize;
    contender(
        "checkpointed reverse",
        |_: &()| 1,
        family,
        |_| (),
        move |_, buffers| {
            let start: Vec<f64> = (0..family.numbers())
                .map(|i| {
                    let (input, factor) = family.spread(i);
                    buffers.x[input] * factor
                })
                .collect();
            let gradient = checkpoint::gradient(&family, family.depth, slots, &start, &[]);
            buffers.y[0] = gradient.value;
            buffers.jacobian.fill(0.0);
            for (i, slope) in gradient.state.iter().enumerate() {
                let (input, factor) = family.spread(i);
                buffers.jacobian[input] += slope * factor;
            }
        },
    )
}

/// Seconds a call.
fn batch(run: &mut dyn FnMut(), calls: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        run();
    }
    start.elapsed().as_secs_f64() / f64::from(calls)
}

/// Measures every mode of computing the Jacobian of one function.
pub fn point(family: Family, effort: Effort) -> Point {
    let automatic = driver(family, "automatic", None);
    let mut all = vec![automatic, driver(family, "forward", Some((Mode::Forward, 1)))];
    all.extend(WIDTHS.map(|w| driver(family, "chunked forward", Some((Mode::Forward, w)))));
    all.extend([1, 4, 8, 16].map(|w| driver(family, "reverse", Some((Mode::Reverse, w)))));
    all.push(sparse(family));
    if family.outputs == 1 {
        all.push(checkpointed(family));
    }
    let calls: Vec<u32> = all
        .iter_mut()
        .map(|c| {
            let first = batch(&mut c.run, 1);
            c.measurement.seconds = first;
            (effort.batch.as_secs_f64() / first).clamp(1.0, 1e6) as u32
        })
        .collect();
    // The first call of a batch-sized run is warm: what is slow now stays slow.
    for (c, &calls) in all.iter_mut().zip(&calls) {
        if calls > 1 {
            c.measurement.seconds = batch(&mut c.run, calls);
        }
    }
    let best = all.iter().map(|c| c.measurement.seconds).fold(f64::INFINITY, f64::min);
    let worth: Vec<usize> =
        (0..all.len()).filter(|&k| k == 0 || all[k].measurement.seconds < HOPELESS * best).collect();
    let round: f64 = worth.iter().map(|&k| all[k].measurement.seconds * f64::from(calls[k])).sum();
    let rounds = ((effort.point.as_secs_f64() / round) as usize).clamp(3, effort.rounds);
    for _ in 0..rounds {
        for &k in &worth {
            let seconds = batch(&mut all[k].run, calls[k]);
            all[k].samples.push(seconds);
        }
    }
    for c in &mut all {
        if !c.samples.is_empty() {
            c.samples.sort_by(f64::total_cmp);
            c.measurement.seconds = c.samples[c.samples.len() / 2];
        }
    }
    let plan = VectorDriver::new(family, &family.point()).plan();
    let took = match (plan.is_coloured(), plan.mode(), plan.chosen().width) {
        (true, ..) => "sparse",
        (_, Mode::Forward, 1) => "forward",
        (_, Mode::Forward, _) => "chunked forward",
        (_, Mode::Reverse, _) => "reverse",
    };
    let mut measurements = all.into_iter().map(|c| c.measurement);
    let automatic = measurements.next().unwrap_or(Measurement {
        mode: "automatic",
        width: 0,
        seconds: f64::NAN,
        peak: 0,
    });
    Point { family, measurements: measurements.collect(), automatic, took }
}

//! Learning rates over the course of training.

use std::f64::consts::PI;

use gradus::Tree;

/// A learning rate as a function of the step.
///
/// ```
/// use gradus_nn::Schedule;
/// let rate = Schedule::Cosine { peak: 0.1, warmup: 10, steps: 110, floor: 0.0 };
/// assert!((rate.at(4) - 0.05).abs() < 1e-15); // warming up
/// assert_eq!(rate.at(10), 0.1);
/// assert!((rate.at(60) - 0.05).abs() < 1e-15); // half way
/// assert_eq!(rate.at(1000), 0.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Tree)]
#[non_exhaustive]
pub enum Schedule {
    /// Always the same.
    Constant(f64),
    /// Up to `peak` in a line over `warmup` steps, then down to `floor` along half a cosine at step `steps`
    /// (Loshchilov and Hutter 2017).
    Cosine {
        /// The largest rate.
        peak: f64,
        /// Steps until it is reached.
        warmup: usize,
        /// Steps until the end.
        steps: usize,
        /// The rate from then on.
        floor: f64,
    },
    /// `initial · factorⁿ` after `n` times `every` steps.
    Stairs {
        /// The first rate.
        initial: f64,
        /// What it is multiplied with.
        factor: f64,
        /// After how many steps, each time.
        every: usize,
    },
}

impl Schedule {
    /// The rate of the step of this number, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        match *self {
            Schedule::Constant(rate) => rate,
            Schedule::Cosine { peak, warmup, .. } if step < warmup => {
                peak * (step + 1) as f64 / warmup as f64
            }
            Schedule::Cosine { peak, warmup, steps, floor } => {
                let length = steps.saturating_sub(warmup).max(1) as f64;
                let done = ((step - warmup) as f64 / length).min(1.0);
                floor + (peak - floor) * 0.5 * (1.0 + (PI * done).cos())
            }
            Schedule::Stairs { initial, factor, every } => {
                initial * factor.powi((step / every.max(1)).min(i32::MAX as usize) as i32)
            }
        }
    }
}

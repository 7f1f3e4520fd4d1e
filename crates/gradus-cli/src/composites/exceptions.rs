//! What is not held to the bounds, each with the words that `docs/kinks.md` has for it.

use gradus::DType;

use super::{Exact, Point};

/// Results of some functions that have wider bounds.
pub struct Exception {
    /// The functions.
    pub names: &'static [&'static str],
    /// The orders.
    orders: &'static [usize],
    /// A sentence of `docs/kinks.md`.
    pub words: &'static str,
    /// Whether a result may be as it is.
    allowed: fn(&Result) -> bool,
}

/// A result to be excepted.
struct Result<'a> {
    point: &'a Point,
    order: usize,
    got: f64,
    single: bool,
}

impl Exception {
    /// Whether the exception is made for this result.
    pub fn covers(&self, point: &Point, order: usize, got: f64, dtype: DType) -> bool {
        let result = Result { point, order, got, single: dtype == DType::F32 };
        self.names.contains(&point.name) && self.orders.contains(&order) && (self.allowed)(&result)
    }
}

impl Result<'_> {
    fn exact(&self) -> &Exact {
        &self.point.exact[self.order]
    }
    fn epsilon(&self) -> f64 {
        if self.single { f64::from(f32::EPSILON) } else { f64::EPSILON }
    }
    fn largest(&self) -> f64 {
        if self.single { f64::from(f32::MAX) } else { f64::MAX }
    }
    /// The smallest number with all its digits.
    fn smallest(&self) -> f64 {
        if self.single { f64::from(f32::MIN_POSITIVE) } else { f64::MIN_POSITIVE }
    }
    /// Whether the error is of the order of rounding a number of this size.
    fn rounded(&self, size: f64) -> bool {
        (self.got - self.exact().near).abs() <= 16.0 * self.epsilon() * size * self.exact().condition
    }
    /// The largest and the smallest argument.
    fn sizes(&self) -> [f64; 2] {
        let sizes = self.point.x.iter().map(|x| x.abs());
        [sizes.clone().fold(0.0, f64::max), sizes.fold(f64::INFINITY, f64::min)]
    }
    /// The sizes of the terms of a derivative of `y = (x - mean)/s`, `s² = var + ε`, taken together:
    /// `∂y[k]/∂x[i] = (δ[ki] - 1/n - y[k] y[i]/n)/s`, and what that is by `x[j]`, with `∂s/∂x[j] = y[j]/n`.
    fn terms_of_standardize(&self) -> f64 {
        let (x, [i, j], k) = (&self.point.x, self.point.by, self.point.element);
        let epsilon = if self.point.name == "standardize(0)" { 0.0 } else { 1e-5f64.sqrt() };
        let (n, s) = (x.len() as f64, self.spread().hypot(epsilon));
        let mean = x.iter().map(|x| x / n).sum::<f64>();
        let y = |i: usize| ((x[i] - mean) / s).abs();
        let first = |k: usize, i: usize| f64::from(u8::from(k == i)) + 1.0 / n + y(k) * y(i) / n;
        match self.order {
            1 => first(k, i) / s,
            _ => (first(k, i) * y(j) + first(k, j) * y(i) + y(k) * first(i, j)) / n / s / s,
        }
    }
    /// The standard deviation of the arguments.
    fn spread(&self) -> f64 {
        let x = &self.point.x;
        let n = x.len() as f64;
        let mean = x.iter().map(|x| x / n).sum::<f64>();
        let top = x.iter().map(|x| (x - mean).abs()).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        top * x.iter().map(|x| ((x - mean) / top).powi(2) / n).sum::<f64>().sqrt()
    }
}

/// Functions that divide by a length.
const UNITS: &[&str] = &["norm", "global_norm", "norm_p(1.5)", "norm_p(3)", "std", "std(1)"];
const STANDARD: &[&str] = &["standardize", "standardize(0)", "layer_norm", "batch_norm"];

/// All of them.
pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        names: &["gelu", "gelu_tanh", "softmax"],
        orders: &[0],
        words: "units times the condition number: the exponent is rounded",
        allowed: |r| {
            r.exact().units(r.got, [DType::F64, DType::F32][usize::from(r.single)])
                <= 8.0 * r.exact().condition
        },
    },
    Exception {
        names: &["gelu", "gelu_tanh", "silu", "mish"],
        orders: &[0, 1, 2],
        words: "results that are a product with a subnormal number have its digits",
        allowed: |r| r.exact().near.abs() < 2048.0 * r.smallest(),
    },
    Exception {
        names: &["mean", "mse", "mae", "huber", "binary_cross_entropy"],
        orders: &[0],
        words: "infinite where the sum is, although the mean is not",
        allowed: |r| r.got == f64::INFINITY && r.exact().near > r.largest() / (2.0 * r.point.x.len() as f64),
    },
    Exception {
        names: UNITS,
        orders: &[2],
        words: "the second derivative along the vector itself cancels: units of the inverse of the length",
        allowed: |r| r.rounded(1.0 / r.point.exact[0].near),
    },
    Exception {
        names: STANDARD,
        orders: &[1, 2],
        words: "derivatives along the row itself cancel: units of the terms that they are sums of",
        allowed: |r| {
            let size = r.terms_of_standardize();
            size > r.largest() || (r.got - r.exact().near).abs() <= 16.0 * r.epsilon() * size
        },
    },
    Exception {
        names: &["softmax"],
        orders: &[1, 2],
        words: "derivatives beside an element with nearly all of the weight cancel: units of the weight",
        allowed: |r| r.rounded(1.0),
    },
    Exception {
        names: &["softmax"],
        orders: &[2],
        words: "the second derivative between equal weights cancels: units of the first",
        allowed: |r| r.rounded(r.point.exact[1].near.abs()),
    },
    Exception {
        names: &["clip_by_norm"],
        orders: &[1, 2],
        words: "derivatives of what was clipped: units of the factor, and fewer digits where the square of the norm is out of range",
        allowed: |r| {
            let norm = r.sizes()[0];
            r.rounded(4.0 * 0.37 / norm.powi(r.order as i32)) || norm > r.largest().sqrt() * 1e-2
        },
    },
    Exception {
        names: &["norm", "global_norm", "norm_p(1.5)", "norm_p(3)"],
        orders: &[1, 2],
        words: "elements so small beside the length that their square underflows",
        allowed: |r| r.sizes()[1] / r.sizes()[0] < if r.single { 1e-18 } else { 1e-150 },
    },
    Exception {
        names: &[
            "std",
            "std(1)",
            "standardize",
            "standardize(0)",
            "layer_norm",
            "batch_norm",
            "norm",
            "global_norm",
            "norm_p(1.5)",
            "norm_p(3)",
        ],
        orders: &[0, 1, 2],
        words: "rows of subnormal numbers: their mean has few digits, and the inverse of their length is out of range",
        allowed: |r| r.sizes()[0] < 64.0 * r.smallest(),
    },
    Exception {
        names: &["batch_norm"],
        orders: &[0, 1, 2],
        words: "batch normalisation of channels whose squares are out of range",
        allowed: |r| r.sizes()[0] > r.largest().sqrt() * 0.1,
    },
    Exception {
        names: &["batch_norm"],
        orders: &[0, 1, 2],
        words: "the variance loses the digits by which the square of the distance between the mean and the first example exceeds it",
        allowed: |r| {
            let (x, n) = (&r.point.x, r.point.x.len() as f64);
            let about_first = x.iter().map(|y| (y - x[0]).powi(2) / n).sum::<f64>();
            let variance = r.spread().powi(2) + 1e-5;
            r.rounded(4.0 * (about_first / variance).max(1.0) * variance.sqrt().recip().powi(r.order as i32))
        },
    },
];

//! Single-precision functions against references in double precision: which, where, and the error in units in the
//! last place.

use gradus_cpu::vmath::{self, Level};
use gradus_num::Unary;

/// A function with its name and its reference.
pub type Case = (&'static str, Unary, fn(f64) -> f64);

/// Every function whose reference is a plain double-precision function.
pub const CASES: [Case; 32] = [
    ("recip", Unary::Recip, |x| 1.0 / x),
    ("sqrt", Unary::Sqrt, libm::sqrt),
    ("rsqrt", Unary::Rsqrt, |x| 1.0 / libm::sqrt(x)),
    ("cbrt", Unary::Cbrt, libm::cbrt),
    ("exp", Unary::Exp, libm::exp),
    ("exp2", Unary::Exp2, libm::exp2),
    ("expm1", Unary::Expm1, libm::expm1),
    ("log", Unary::Log, libm::log),
    ("log2", Unary::Log2, libm::log2),
    ("log1p", Unary::Log1p, libm::log1p),
    ("sin", Unary::Sin, libm::sin),
    ("cos", Unary::Cos, libm::cos),
    ("tan", Unary::Tan, libm::tan),
    ("asin", Unary::Asin, libm::asin),
    ("acos", Unary::Acos, libm::acos),
    ("atan", Unary::Atan, libm::atan),
    ("sinh", Unary::Sinh, libm::sinh),
    ("cosh", Unary::Cosh, libm::cosh),
    ("tanh", Unary::Tanh, libm::tanh),
    ("asinh", Unary::Asinh, libm::asinh),
    ("acosh", Unary::Acosh, |x| if x < 1.0 { f64::NAN } else { libm::acosh(x) }),
    ("atanh", Unary::Atanh, libm::atanh),
    ("sigmoid", Unary::Sigmoid, |x| {
        let e = libm::exp(-x.abs());
        if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
    }),
    ("softplus", Unary::Softplus, |x| (if x > 0.0 { x } else { 0.0 }) + libm::log1p(libm::exp(-x.abs()))),
    ("erf", Unary::Erf, libm::erf),
    ("erfc", Unary::Erfc, libm::erfc),
    ("powi 2", Unary::Powi(2), |x| x * x),
    ("powi 3", Unary::Powi(3), |x| x * x * x),
    ("powi 4", Unary::Powi(4), |x| (x * x) * (x * x)),
    ("powi 7", Unary::Powi(7), |x| x * (x * x) * (x * x) * (x * x)),
    ("powi -2", Unary::Powi(-2), |x| 1.0 / (x * x)),
    ("powi -3", Unary::Powi(-3), |x| 1.0 / (x * x * x)),
];

/// The error of `got` in units in the last place of a single-precision result near `exact`.
pub fn ulps(got: f32, exact: f64) -> f64 {
    let nearest = exact as f32;
    if nearest.is_nan() || got.is_nan() {
        return if nearest.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got == nearest {
        let signs = got != 0.0 || got.is_sign_negative() == exact.is_sign_negative();
        // The distance within half a unit is not worth a division, unless asked for by a larger one.
        return if signs { ((got as f64 - exact).abs() / spacing(exact)).min(0.5) } else { f64::INFINITY };
    }
    let place = |x: f32| if x.is_infinite() { 2f64.powi(128).copysign(x as f64) } else { x as f64 };
    let exact = exact.clamp(-(2f64.powi(128)), 2f64.powi(128));
    (place(got) - exact).abs() / spacing(exact)
}

/// The distance between single-precision numbers at the size of `x`.
fn spacing(x: f64) -> f64 {
    let exponent = ((x.abs().to_bits() >> 52) as i32 - 1023).clamp(-126, 127);
    f64::from_bits(((exponent - 23 + 1023) as u64) << 52)
}

/// The largest error over the arguments whose bits are `first, first + stride, ...`, `count` of them, and where.
pub fn worst(case: &Case, level: Level, first: u32, stride: u32, count: usize) -> (f64, f32) {
    let mut x = [0f32; 1024];
    let mut y = [0f32; 1024];
    let mut worst = (0.0, 0.0);
    let mut bits = first;
    for begin in (0..count).step_by(x.len()) {
        let n = x.len().min(count - begin);
        for value in &mut x[..n] {
            *value = f32::from_bits(bits);
            bits = bits.wrapping_add(stride);
        }
        // SAFETY: both arrays hold `n` elements and the level is one of this machine.
        unsafe { vmath::unary_raw_at(level, case.1, x.as_ptr(), y.as_mut_ptr(), n) };
        for i in 0..n {
            let error = ulps(y[i], (case.2)(x[i] as f64));
            if error > worst.0 {
                worst = (error, x[i]);
            }
        }
    }
    worst
}

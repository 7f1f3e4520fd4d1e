//! Single-precision functions against references in double precision: which, where, and the error in units in the
//! last place.

use gradus_cpu::vmath::{self, InstructionSet};
use gradus_num::Unary;

/// A function with its name and its reference.
pub type Case = (&'static str, Unary, fn(f64) -> f64);

/// Every function whose reference is a plain double-precision function.
pub const CASES: [Case; 33] = [
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
    ("sech2", Unary::Sech2, |x| {
        let e = libm::exp(-2.0 * x.abs());
        4.0 * e / ((1.0 + e) * (1.0 + e))
    }),
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

/// For each level the largest error over the arguments whose bits are `first, first + stride, ...`, `count` of them, and
/// where.
///
/// Errors are estimated with the double-precision functions of this crate, whose own errors are below a hundred-millionth
/// of a unit; what looks like a new largest one is measured against the independent reference.
pub fn worst(
    case: &Case,
    levels: &[InstructionSet],
    first: u32,
    stride: u32,
    count: usize,
) -> Vec<(f64, f32)> {
    const BLOCK: usize = 1024;
    let (mut x, mut wide, mut near) = ([0f32; BLOCK], [0f64; BLOCK], [0f64; BLOCK]);
    let mut y = vec![[0f32; BLOCK]; levels.len()];
    let mut worst = vec![(0.0, 0.0); levels.len()];
    let mut bits = first;
    for begin in (0..count).step_by(BLOCK) {
        let n = BLOCK.min(count - begin);
        for i in 0..n {
            x[i] = f32::from_bits(bits);
            wide[i] = x[i] as f64;
            bits = bits.wrapping_add(stride);
        }
        vmath::unary(case.1, &wide[..n], &mut near[..n]);
        for (y, &level) in y.iter_mut().zip(levels) {
            // SAFETY: both arrays hold `n` elements and the level is one of this machine.
            unsafe { vmath::unary_raw_at(level, case.1, x.as_ptr(), y.as_mut_ptr(), n) };
        }
        for i in 0..n {
            let mut before = (0, 0.0);
            for (k, worst) in worst.iter_mut().enumerate() {
                let got = y[k][i];
                if k == 0 || got.to_bits() != before.0 {
                    before = (got.to_bits(), ulps(got, near[i]));
                }
                if before.1 + 1e-3 > worst.0 {
                    let error = ulps(got, (case.2)(wide[i]));
                    if error > worst.0 {
                        *worst = (error, x[i]);
                    }
                }
            }
        }
    }
    worst
}

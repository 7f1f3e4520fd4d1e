//! Derivatives where they exist, by finite differences; at infinities, by their limit.

use super::{Derivatives, Report, Site, conventions, numbers};
use crate::oracle::compositions::{Context, gradient};

/// What can be said of a derivative from differences.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Difference {
    /// It is this, to about so much.
    Is(f64, f64),
    /// There is none: from the two sides come these.
    None(f64, f64),
    /// Rounding, or a number that is not finite, hides it.
    Unknown,
}

/// From values at `x`, `x ± h` and `x ± h/2`, which round like numbers of the size `beside`.
fn difference(at: f64, [right, left, near_right, near_left]: [f64; 4], h: f64, beside: f64) -> Difference {
    let values = [at, right, left, near_right, near_left];
    if h == 0.0 || values.iter().any(|v| !v.is_finite()) {
        return Difference::Unknown;
    }
    // What rounding of the values, and their underflow, makes of the quotients.
    let noise = 100.0 * (1e-14 * values.iter().fold(beside, |m: f64, v| m.max(v.abs())) + 1e-320) / h;
    let (r, near_r) = ((right - at) / h, (near_right - at) / (h / 2.0));
    let (l, near_l) = ((at - left) / h, (at - near_left) / (h / 2.0));
    // Both sides, extrapolated to the point itself.
    let (from_right, from_left) = (2.0 * near_r - r, 2.0 * near_l - l);
    let size = from_right.abs().max(from_left.abs());
    let change = (near_r - r).abs().max((near_l - l).abs());
    let apart = (from_right - from_left).abs();
    let central = (4.0 * (near_r + near_l) - (r + l)) / 6.0;
    if !central.is_finite() || change > 0.05 * size + noise {
        Difference::Unknown
    } else if apart <= 1e-4 * size + 0.1 * change + noise {
        Difference::Is(central, 1e-5 * size + change + noise)
    } else if apart > 1e-2 * size + 10.0 * noise {
        Difference::None(from_left, from_right)
    } else {
        Difference::Unknown
    }
}

/// Steps relative to the arguments.
const STEP: f64 = 1.0 / 8192.0;

/// Arguments whose squares are numbers.
fn ordinary(x: f64) -> bool {
    x == 0.0 || (1e-150..1e150).contains(&x.abs())
}

/// At an infinity the derivatives of a function of one number are what they tend to, but where its row says otherwise.
pub(super) fn limits(site: &Site<'_>, found: &Derivatives, report: &mut Report) {
    let y = numbers(&site.value(&site.tensor(&site.x)));
    for end in [f64::INFINITY, f64::NEG_INFINITY] {
        let of = |x: f64| site.x.iter().position(|&other| other == x);
        let (Some(at), Some(near)) = (of(end), of(end.signum() * 1e300)) else { continue };
        for (what, numbers) in [("gradient", &found.gradient), ("Hessian", &found.hessian)] {
            let (got, want) = (numbers[at], numbers[near]);
            if y[at].is_nan() || want.is_nan() || (site.row.otherwise)(&[end]) {
                continue;
            }
            report.differences += 1;
            if site.precision().same(got, want, 0.0)
                || (got - want).abs() < 1e-100
                || got == f64::INFINITY && want > 100.0
            {
                continue;
            }
            report.failures.push(format!("{what} at {end}: {got:e}, tends to {want:e}"));
        }
    }
}

/// Compares gradient and Hessian of every point with differences of the value and of the gradient.
pub(super) fn check(site: &Site<'_>, found: &Derivatives, report: &mut Report) {
    let (k, m) = (site.k, site.m);
    let f = |x: &gradus::Tensor| site.value(x);
    // From 0 a step is as small as the other arguments may be.
    let smallest =
        |p: usize| site.point(p).into_iter().map(f64::abs).filter(|x| *x > 0.0).fold(1.0, f64::min);
    let step = |(at, &x): (usize, &f64)| match x {
        _ if x == 0.0 => STEP * smallest(at % m),
        _ if ordinary(x) => x.abs() * STEP,
        _ => 0.0,
    };
    let steps: Vec<f64> = site.x.iter().enumerate().map(step).collect();
    let value = |x: &[f64]| numbers(&f(&site.tensor(x)));
    let slope = |x: &[f64]| numbers(&gradient(Context::Plain, &f, &site.tensor(x)));
    let (y, g) = (value(&site.x), &found.gradient);
    for j in 0..k {
        let moved = |by: f64| -> Vec<f64> {
            let step = |at: usize| if at / m == j { by * steps[at] } else { 0.0 };
            site.x.iter().enumerate().map(|(at, x)| x + step(at)).collect()
        };
        let shifted = [1.0, -1.0, 0.5, -0.5].map(moved);
        let values = shifted.clone().map(|x| value(&x));
        let slopes = shifted.map(|x| slope(&x));
        for p in (0..m).filter(|&p| y[p].is_finite() && site.point(p).into_iter().all(ordinary)) {
            let h = steps[j * m + p];
            let of = |all: &[Vec<f64>; 4], base: f64, at: usize| {
                difference(base, [0, 1, 2, 3].map(|n| all[n][at]), h, found.sizes[p])
            };
            note(site, p, "gradient", &[j], of(&values, y[p], p), g[j * m + p], report);
            for i in 0..k {
                let d = of(&slopes, g[i * m + p], i * m + p);
                note(site, p, "Hessian", &[i, j], d, found.hessian[(j * k + i) * m + p], report);
            }
        }
    }
}

fn note(
    site: &Site<'_>,
    p: usize,
    what: &str,
    by: &[usize],
    want: Difference,
    got: f64,
    report: &mut Report,
) {
    let x = site.point(p);
    match want {
        Difference::Unknown => {}
        _ if conventions::exists(site.row.name, &x) => {}
        Difference::Is(want, within) => {
            report.differences += 1;
            if (got - want).abs() <= within {
                return;
            }
            if let (true, Some(words)) = ((site.row.otherwise)(&x), site.row.kinks.first()) {
                return report.skip(words, 1);
            }
            report.failures.push(format!("{what} by {by:?} at {x:?}: {got:e}, and {want:e} by differences"));
        }
        Difference::None(left, right) => match site.row.kinks {
            [] => report.failures.push(format!(
                "{what} by {by:?} at {x:?}: none, {left:e} from the left and {right:e} from the right, and no line of docs/kinks.md"
            )),
            words => report.skip(words[0], 1),
        },
    }
}

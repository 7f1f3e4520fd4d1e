//! Functions composed from the closed set, chosen so that their derivatives are accurate as well.

use crate::Scalar;

/// `log₁₀ x = ln x / ln 10`.
pub(crate) fn log10<S: Scalar>(x: &S) -> S {
    x.log() * x.lit(core::f64::consts::LOG10_E)
}

/// `x` where positive, else 0. A selection, so that the branch not taken takes no part in derivatives, and written so
/// that NaN is not taken for it.
pub(crate) fn relu<S: Scalar>(x: &S) -> S {
    let zero = x.lit(0.0);
    S::select(&x.le(&zero), &zero, x)
}

/// `min(max(x, low), high)` by selection: on a bound `x` is taken.
pub(crate) fn clip<S: Scalar>(x: &S, low: &S, high: &S) -> S {
    // What is not in order is below the bound, or one of the two is NaN: then that one.
    let raised = S::select(&low.le(x), x, &S::select(&x.eq(x), low, x));
    S::select(&raised.le(high), &raised, &S::select(&raised.eq(&raised), high, &raised))
}

/// `ln(p/(1 - p))`: near ½ the quotient is close to 1, so the logarithm is taken of its distance from 1.
pub(crate) fn logit<S: Scalar>(p: &S) -> S {
    let one = p.lit(1.0);
    let far = p.log() - (-p.clone()).log1p();
    let near = ((p.clone() + p.clone() - one.clone()) / (one - p.clone())).log1p();
    let middle = (p.clone() - p.lit(0.5)).abs().lt(&p.lit(0.2));
    S::select(&middle, &near, &far)
}

/// The largest `|x|` at which `sinc` is its power series.
const SINC_SERIES_BELOW: f64 = 1.5;

/// `sin(x)/x`. The quotient's derivatives cancel near 0, the power series' do not:
/// `Σ (-1)ᵏ x²ᵏ/(2k+1)!`, of which 13 terms reach the last bit for `|x| <= 1.5`. At ±∞ it is 0, with all derivatives.
pub(crate) fn sinc<S: Scalar>(x: &S) -> S {
    let square = x.square();
    let mut series = x.lit(1.0);
    for k in (1..14).rev() {
        let factor = square.clone() * x.lit(1.0 / f64::from((2 * k) * (2 * k + 1)));
        series = x.lit(1.0) - factor * series;
    }
    let (near, finite) = (x.abs().lt(&x.lit(SINC_SERIES_BELOW)), x.abs().lt(&x.lit(f64::INFINITY)));
    S::select(&near, &series, &S::select(&finite, &(x.sin() / x.clone()), &x.recip()))
}

/// `max + ln(1 + e^-(max - min))`. The larger is chosen by `select`, not by `max`, because at a tie each
/// branch is the smooth function itself, with all its derivatives. Equal infinities have no difference:
/// there the function is that infinity.
pub(crate) fn log_add_exp<S: Scalar>(x: &S, y: &S) -> S {
    let gap = x.clone() - y.clone();
    let from_x = x.clone() + (-gap.clone()).softplus();
    let from_y = y.clone() + gap.softplus();
    let smooth = S::select(&x.lt(y), &from_y, &from_x);
    S::select(&gap.eq(&gap), &smooth, &x.max(y))
}

/// `x ln y` with `0 ln y = 0` for any number `y`; the derivative in `x` there is still `ln y` where that is finite, else 0.
pub(crate) fn xlogy<S: Scalar>(x: &S, y: &S) -> S {
    let zero = x.lit(0.0);
    let log = y.log();
    let outside = S::select(&y.eq(y), &zero, y);
    let within = S::select(&y.lt(&x.lit(f64::INFINITY)), &log, &outside);
    let at_zero = S::select(&y.le(&zero), &zero, &within);
    x.clone() * S::select(&x.eq(&zero), &at_zero, &log)
}

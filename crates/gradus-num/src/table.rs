//! The table of element-wise functions: one row each, from which every list of them follows.
//!
//! A row `name Variant family { "formula", "derivative", "domain"; what else its entry says }` stands for the value
//! `math::name` and the rule `rules::family::name`. A list is made by handing a macro of its own to [`for_each_unary!`]: number
//! types get their methods so (`x.sin()` then compiles to the sine and its rule alone, in any build profile and at any
//! nesting depth), the tensor its methods, the checks their rows.

/// Calls `$list! { … }` with the row of every element-wise function of one argument that has no parameter and is no operator.
///
/// ```
/// macro_rules! names {
///     ($($name:ident $Op:ident $family:ident $entry:tt)*) => { [$(stringify!($name)),*] };
/// }
/// assert!(gradus_num::for_each_unary!(names).contains(&"tanh"));
/// ```
#[macro_export]
macro_rules! for_each_unary {
    ($list:ident) => {
        $list! {
            abs Abs kinks { "|x|", "sign x", "all x; derivative 0 at the kink x = 0";
                curve: Straight, cost: (Sum, 1.0), sample: &[(-2.0, -0.4), (0.4, 2.0)], reference: f64::abs, mpmath: "abs(x)",
                exact: true, at: &[(0.0, 0.0, 0.0), (-0.0, 0.0, 0.0)], kinks: &["the middle of [-1, 1]"] }
            sign Sign kinks { "-1, 0 or 1", "0", "all x; NaN at NaN";
                curve: Step, reads: Nothing, cost: (Sum, 1.0), sample: &[(-2.0, -0.4), (0.4, 2.0)],
                reference: |x| if x == 0.0 || x.is_nan() { x } else { 1.0_f64.copysign(x) }, mpmath: "sign(x)",
                exact: true, at: &[(0.0, 0.0, 0.0), (3.0, 0.0, 0.0)], kinks: STEPS }
            floor Floor kinks { "⌊x⌋", "0", "all x; derivative 0 at the steps, too";
                curve: Step, reads: Nothing, cost: (Sum, 1.0), sample: &[(-1.9, -1.1), (0.1, 0.9)], reference: libm::floor,
                mpmath: "floor(x)", exact: true, at: FLAT, kinks: STEPS }
            ceil Ceil kinks { "⌈x⌉", "0", "all x; derivative 0 at the steps, too";
                curve: Step, reads: Nothing, cost: (Sum, 1.0), sample: &[(-1.9, -1.1), (0.1, 0.9)], reference: libm::ceil,
                mpmath: "ceil(x)", exact: true, at: FLAT, kinks: STEPS }
            round Round kinks { "nearest integer, ties to even", "0", "all x; derivative 0 at the steps, too";
                curve: Step, reads: Nothing, cost: (Sum, 1.0), sample: &[(-0.4, 0.4), (0.6, 1.4)], reference: libm::rint,
                mpmath: "nint(x)", exact: true, at: FLAT, kinks: STEPS }
            recip Recip powers { "1/x", "-1/x²", "x ≠ 0";
                reads: Output, cost: (Division, 4.0), within: NonZero, sample: &[(-2.0, -0.4), (0.4, 2.0)],
                reference: |x| 1.0 / x, mpmath: "1/x", at: &[(0.0, -INF, INF), (INF, 0.0, 0.0)] }
            sqrt Sqrt powers { "√x", "1/(2√x)", "x ≥ 0; derivative ∞ at 0";
                reads: Output, cost: (Division, 4.0), within: Positive, sample: &[(0.4, 3.0)], reference: libm::sqrt,
                mpmath: "sqrt(x)", at: &[(0.0, INF, -INF)] }
            rsqrt Rsqrt powers { "1/√x", "-1/(2x√x)", "x > 0";
                reads: Output, cost: (Division, 4.0), within: Positive, sample: &[(0.4, 3.0)],
                reference: |x| 1.0 / libm::sqrt(x), mpmath: "1/sqrt(x)", at: &[(0.0, -INF, INF)] }
            cbrt Cbrt powers { "∛x", "1/(3∛x²)", "all x; odd; derivative ∞ at 0";
                reads: Output, within: NonZero, sample: &[(-2.0, -0.4), (0.4, 2.0)], reference: libm::cbrt,
                mpmath: "sign(x)*cbrt(abs(x))", at: &[(0.0, INF, -INF)] }
            exp Exp exponential { "eˣ", "eˣ", "all x";
                reads: Output, cost: (Elementary, 15.0), sample: &[(-2.0, 2.0)], reference: libm::exp, mpmath: "exp(x)",
                at: &[(-INF, 0.0, 0.0)] }
            exp2 Exp2 exponential { "2ˣ", "2ˣ ln 2", "all x";
                reads: Output, cost: (Elementary, 15.0), sample: &[(-2.0, 2.0)], reference: libm::exp2, mpmath: "mpf(2)**x" }
            expm1 Expm1 exponential { "eˣ - 1", "eˣ", "all x; accurate near 0";
                cost: (Elementary, 15.0), sample: &[(-2.0, 2.0)], reference: libm::expm1, mpmath: "expm1(x)" }
            log Log exponential { "ln x", "1/x", "x > 0; -∞ at 0";
                cost: (Elementary, 15.0), within: Positive, sample: &[(0.4, 3.0)], reference: libm::log, mpmath: "log(x)",
                at: &[(INF, 0.0, 0.0)] }
            log2 Log2 exponential { "log₂ x", "1/(x ln 2)", "x > 0; -∞ at 0";
                cost: (Elementary, 15.0), within: Positive, sample: &[(0.4, 3.0)], reference: libm::log2, mpmath: "log(x)/log(2)" }
            log1p Log1p exponential { "ln(1 + x)", "1/(1 + x)", "x > -1; -∞ at -1; accurate near 0";
                cost: (Elementary, 15.0), within: AboveMinusOne, sample: &[(-0.5, 3.0)], reference: libm::log1p,
                mpmath: "log(1 + x)", at: &[(-1.0, INF, -INF)] }
            sin Sin trig { "sin x", "cos x", "finite x";
                sample: &[(-6.0, 6.0)], reference: |x| libm::tan(x) * libm::cos(x), mpmath: "sin(x)" }
            cos Cos trig { "cos x", "-sin x", "finite x";
                sample: &[(-6.0, 6.0)], reference: |x| 1.0 - 2.0 * libm::pow(libm::sin(0.5 * x), 2.0), mpmath: "cos(x)" }
            tan Tan trig { "tan x", "1 + tan² x", "finite x";
                reads: Output, within: NonZero, sample: &[(-1.1, 1.1), (2.1, 4.1)], reference: libm::tan, mpmath: "tan(x)" }
            asin Asin trig { "arcsin x", "1/√(1-x²)", "|x| ≤ 1; derivative ∞ at ±1";
                within: Unit, sample: &[(-0.7, 0.7)], reference: libm::asin, mpmath: "asin(x)" }
            acos Acos trig { "arccos x", "-1/√(1-x²)", "|x| ≤ 1; derivative -∞ at ±1";
                within: Unit, sample: &[(-0.7, 0.7)], reference: libm::acos, mpmath: "acos(x)" }
            atan Atan trig { "arctan x", "1/(1+x²)", "all x";
                reference: libm::atan, mpmath: "atan(x)", at: &[(INF, 0.0, 0.0)] }
            sinh Sinh hyperbolic { "sinh x", "cosh x", "all x"; reference: libm::sinh, mpmath: "sinh(x)" }
            cosh Cosh hyperbolic { "cosh x", "sinh x", "all x"; reference: libm::cosh, mpmath: "cosh(x)" }
            tanh Tanh hyperbolic { "tanh x", "sech² x", "all x; the derivative is accurate in both tails";
                reference: libm::tanh, mpmath: "tanh(x)", at: &[(INF, 0.0, 0.0)] }
            asinh Asinh hyperbolic { "arsinh x", "1/√(x²+1)", "all x";
                cost: (Elementary, 25.0), reference: elementary::reference::asinh, mpmath: "asinh(x)" }
            acosh Acosh hyperbolic { "arcosh x", "1/√(x²-1)", "x ≥ 1; derivative ∞ at 1";
                cost: (Elementary, 25.0), within: AboveOne, sample: &[(1.4, 4.0)], reference: elementary::reference::acosh,
                mpmath: "acosh(x)" }
            atanh Atanh hyperbolic { "artanh x", "1/(1-x²)", "|x| < 1; ±∞ at ±1";
                cost: (Elementary, 25.0), within: Unit, sample: &[(-0.7, 0.7)],
                reference: |x| 0.5 * libm::log1p(2.0 * x / (1.0 - x)), mpmath: "atanh(x)" }
            sech2 Sech2 hyperbolic { "1/cosh² x", "-2 tanh x sech² x", "all x; accurate in both tails";
                reads: Both, cost: (Elementary, 15.0), reference: |x| libm::pow(1.0 / libm::cosh(x), 2.0), mpmath: "sech(x)**2" }
            sigmoid Sigmoid hyperbolic { "1/(1+e⁻ˣ)", "e⁻ˣ/(1+e⁻ˣ)²", "all x";
                cost: (Elementary, 15.0), sample: &[(-5.0, 5.0)], reference: |x| 1.0 / (1.0 + libm::exp(-x)),
                mpmath: "1/(1 + exp(-x))", at: &[(-INF, 0.0, 0.0)] }
            softplus Softplus hyperbolic { "ln(1+eˣ)", "1/(1+e⁻ˣ)", "all x";
                cost: (Elementary, 25.0), sample: &[(-5.0, 5.0)],
                reference: |x| libm::fmax(x, 0.0) + libm::log1p(libm::exp(-x.abs())), mpmath: "log1p(exp(x))",
                at: &[(INF, 1.0, 0.0)] }
            erf Erf special { "2/√π ∫₀ˣ e^(-t²) dt", "2/√π e^(-x²)", "all x";
                cost: (Special, 25.0), sample: &[(-2.0, 2.0)], reference: special::reference::erf, mpmath: "erf(x)",
                at: &[(INF, 0.0, 0.0), (-INF, 0.0, 0.0)] }
            erfc Erfc special { "1 - erf x", "-2/√π e^(-x²)", "all x; accurate for large x";
                cost: (Special, 25.0), sample: &[(-2.0, 2.0)], reference: special::reference::erfc, mpmath: "erfc(x)",
                at: &[(INF, 0.0, 0.0), (-INF, 0.0, 0.0)] }
            erfinv Erfinv special { "erf⁻¹ x", "√π/2 e^(y²) of the result y", "|x| ≤ 1; ±∞ at ±1, where the derivative is ∞";
                reads: Output, cost: (Special, 80.0), within: Unit, sample: &[(-0.9, 0.9)], units: 8.0,
                reference: special::reference::erfinv, mpmath: "erfinv(x)", at: &[(1.0, INF, INF), (-1.0, INF, -INF)] }
            j0 J0 special { "J₀(x)", "-J₁(x)", "all x; 0 at ±∞";
                cost: (Special, 60.0), sample: &[(-9.0, 9.0)], units: 8.0, wave: |x| libm::sqrt(core::f64::consts::FRAC_2_PI / x.abs()).min(1.0),
                reference: |x| special::reference::bessel(0, x), mpmath: "besselj(0, x)",
                at: &[(0.0, 0.0, -0.5), (INF, 0.0, 0.0), (-INF, 0.0, 0.0)] }
            j1 J1 special { "J₁(x)", "J₀(x) - J₁(x)/x", "all x; 0 at ±∞";
                reads: Both, cost: (Special, 60.0), sample: &[(-9.0, 9.0)], units: 8.0, wave: |x| libm::sqrt(core::f64::consts::FRAC_2_PI / x.abs()).min(1.0),
                reference: |x| special::reference::bessel(1, x), mpmath: "besselj(1, x)",
                at: &[(0.0, 0.5, 0.0), (INF, 0.0, 0.0), (-INF, 0.0, 0.0)] }
            i0e I0e special { "I₀(x) e^-|x|", "I₁(x) e^-|x| - sign(x) I₀(x) e^-|x|", "all x; derivative 0 at the kink x = 0";
                cost: (Special, 400.0), within: NonZero, sample: &[(-6.0, -0.4), (0.4, 6.0)], units: 8.0,
                reference: |x| special::reference::scaled_bessel(0, x), mpmath: "besseli(0, x)*exp(-abs(x))",
                at: &[(0.0, 0.0, 0.0), (INF, 0.0, 0.0), (-INF, 0.0, 0.0)], kinks: &["the middle of [-1, 1]"] }
            i1e I1e special { "I₁(x) e^-|x|", "I₀(x) e^-|x| - I₁(x) e^-|x| (sign(x) + 1/x)", "all x; ½ at 0, where the second derivative jumps";
                cost: (Special, 400.0), within: NonZero, sample: &[(-6.0, -0.4), (0.4, 6.0)], units: 8.0,
                reference: |x| special::reference::scaled_bessel(1, x), mpmath: "besseli(1, x)*exp(-abs(x))",
                at: &[(0.0, 0.5, 0.0), (INF, 0.0, 0.0), (-INF, 0.0, 0.0)], kinks: &["the middle of [-1, 1]"] }
            lgamma Lgamma special { "ln |Γ(x)|", "ψ(x)", "x not 0, -1, -2, …";
                cost: (Special, 80.0), within: Positive, sample: &[(0.5, 6.0), (-1.7, -1.3)], units: 4.0,
                edges: &[3.0, 1e-3, 0.5, 100.0, 1e5, INF, f64::NAN, -0.5, -2.5], reference: special::reference::lgamma,
                mpmath: "log(abs(gamma(x)))", at: &[(INF, INF, 0.0)] }
        }
    };
}

/// Calls `$row!` with one row `method Variant "doc";` for each function of two arguments that is not an operator.
macro_rules! binary_table {
    ($row:ident) => {
        $row! {
            powf Pow "`x^y`; derivatives `y x^(y-1)` and `x^y ln x`.";
            atan2 Atan2 "The angle of the point with ordinate `self` and abscissa `rhs`.";
            hypot Hypot "`√(x² + y²)` without overflow; derivatives `x/h` and `y/h`, 0 at the origin.";
            max Max "The larger, NaN if either is; at a tie each has derivative ½.";
            min Min "The smaller, NaN if either is; at a tie each has derivative ½.";
        }
    };
}

pub(crate) use binary_table;

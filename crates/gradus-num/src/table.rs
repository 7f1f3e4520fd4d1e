//! The one list that joins an operation's name, its enum variant and the file of its rule.
//!
//! A number type walks this list with a small macro of its own instead of matching on the enum at run time:
//! `x.sin()` then compiles to the sine and its rule alone, in any build profile and at any nesting depth.

/// Calls `$row!` with one row `method Variant file "doc";` for each parameterless function of one argument.
macro_rules! unary_table {
    ($row:ident) => {
        $row! {
            abs Abs kinks "`|x|`; derivative 0 at 0.";
            sign Sign kinks "`-1`, `0` or `1` (0 at ±0, NaN at NaN); derivative 0.";
            floor Floor kinks "Largest integer not above `x`; derivative 0.";
            ceil Ceil kinks "Smallest integer not below `x`; derivative 0.";
            round Round kinks "Nearest integer, ties to even; derivative 0.";
            recip Recip powers "`1/x`; derivative `-1/x²`.";
            sqrt Sqrt powers "`√x`; derivative `1/(2√x)`, infinite at 0.";
            rsqrt Rsqrt powers "`1/√x`; derivative `-x^(-3/2)/2`.";
            cbrt Cbrt powers "`∛x`, odd; derivative `1/(3∛x²)`, infinite at 0.";
            exp Exp exponential "`e^x`; derivative `e^x`.";
            exp2 Exp2 exponential "`2^x`; derivative `2^x ln 2`.";
            expm1 Expm1 exponential "`e^x - 1` without cancellation; derivative `e^x`.";
            log Log exponential "`ln x`; derivative `1/x`.";
            log2 Log2 exponential "`log₂ x`; derivative `1/(x ln 2)`.";
            log1p Log1p exponential "`ln(1 + x)` without cancellation; derivative `1/(1 + x)`.";
            sin Sin trig "`sin x`; derivative `cos x`.";
            cos Cos trig "`cos x`; derivative `-sin x`.";
            tan Tan trig "`tan x`; derivative `1 + tan² x`.";
            asin Asin trig "`arcsin x`; derivative `1/√(1 - x²)`.";
            acos Acos trig "`arccos x`; derivative `-1/√(1 - x²)`.";
            atan Atan trig "`arctan x`; derivative `1/(1 + x²)`.";
            sinh Sinh hyperbolic "`sinh x`; derivative `cosh x`.";
            cosh Cosh hyperbolic "`cosh x`; derivative `sinh x`.";
            tanh Tanh hyperbolic "`tanh x`; derivative `sech² x`, accurate in both tails.";
            asinh Asinh hyperbolic "`arsinh x`; derivative `1/√(1 + x²)`.";
            acosh Acosh hyperbolic "`arcosh x`; derivative `1/√(x² - 1)`.";
            atanh Atanh hyperbolic "`artanh x`; derivative `1/(1 - x²)`.";
            sech2 Sech2 hyperbolic "`sech² x = 1/cosh² x`, accurate in both tails; derivative `-2 tanh x sech² x`.";
            sigmoid Sigmoid hyperbolic "`1/(1 + e^-x)`; derivative `sech²(x/2)/4`.";
            softplus Softplus hyperbolic "`ln(1 + e^x)`; derivative `sigmoid x`.";
            erf Erf special "`2/√π ∫₀ˣ e^-t² dt`; derivative `2/√π e^-x²`.";
            erfc Erfc special "`1 - erf x` without cancellation; derivative `-2/√π e^-x²`.";
            lgamma Lgamma special "`ln |Γ(x)|`; derivative `ψ(x)`.";
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

pub(crate) use {binary_table, unary_table};

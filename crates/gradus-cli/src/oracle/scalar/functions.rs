//! Every operation and library function as a [`ScalarFn`], with the points at which it is special.

use gradus::num::{Binary, Real64, Scalar, ScalarFn, Unary};

/// What a function is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    One(Unary),
    Two(Binary),
    Log10,
    Relu,
    Logit,
    Sinc,
    LogAddExp,
    Xlogy,
    Clip,
    Square,
    SinTimesCos,
    PowConstant(f64),
    ConstantPow(f64),
    /// Half the squares of residuals that are all zero at the solution.
    LeastSquares,
    /// `√(x² + y²)` spelled by hand.
    NormByHand,
    /// `ln(eˣ + eʸ)` spelled by hand, which overflows.
    LogSumExpByHand,
    /// A product with a literal 0.
    TimesZero,
    /// A branch that is not taken beside one that is.
    Branch,
    /// `max(√x, y)`.
    MaxOfRoot,
}

/// All of them.
pub fn all() -> Vec<Function> {
    use Function::*;
    let powers = [0, 1, 2, 3, 4, 5, -1, -2, -3, 17].map(Unary::Powi);
    let gammas = [1, 2, 3].map(Unary::Polygamma);
    let unary = Unary::ALL.iter().copied().chain(powers).chain(gammas).map(One);
    let constants = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, -0.5, -1.0, 1e-3].map(PowConstant);
    let bases = [0.0, 1.0, 2.0, 0.5, -2.0].map(ConstantPow);
    let others = [
        Log10,
        Relu,
        Logit,
        Sinc,
        LogAddExp,
        Xlogy,
        Clip,
        Square,
        SinTimesCos,
        LeastSquares,
        NormByHand,
        LogSumExpByHand,
        TimesZero,
        Branch,
        MaxOfRoot,
    ];
    unary.chain(Binary::ALL.iter().copied().map(Two)).chain(constants).chain(bases).chain(others).collect()
}

impl ScalarFn for Function {
    fn call<R: Real64>(&self, x: &[R]) -> R {
        use Function::*;
        match *self {
            One(op) => x[0].unary(op),
            Two(op) => x[0].binary(op, &x[1]),
            Log10 => x[0].log10(),
            Relu => x[0].relu(),
            Logit => x[0].logit(),
            Sinc => x[0].sinc(),
            LogAddExp => x[0].log_add_exp(&x[1]),
            Xlogy => x[0].xlogy(&x[1]),
            Clip => x[0].clip(&x[1], &x[2]),
            Square => x[0].square(),
            SinTimesCos => {
                let (sin, cos) = x[0].sin_cos();
                sin * cos
            }
            PowConstant(p) => x[0].pow_f64(p),
            ConstantPow(base) => R::from_f64(base).powf(&x[0]),
            LeastSquares => {
                let first = x[0] * x[1] - R::from_f64(2.0);
                let second = x[0] * x[0] * x[1] - R::from_f64(2.0);
                (first * first + second * second).scale(0.5)
            }
            NormByHand => (x[0] * x[0] + x[1] * x[1]).sqrt(),
            LogSumExpByHand => (x[0].exp() + x[1].exp()).log(),
            TimesZero => x[0].sqrt() * R::from_f64(0.0) + x[1],
            Branch => {
                let root = x[0].sqrt();
                R::select(&Scalar::le(&x[0], &R::from_f64(0.0)), &x[1], &root) * x[1]
            }
            MaxOfRoot => x[0].sqrt().max(&x[1]),
        }
    }
}

const LINE: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    -1.5,
    1e-320,
    -1e-320,
    1e-300,
    -1e-300,
    1e-160,
    1e-9,
    1e9,
    1e160,
    1e300,
    -1e300,
    709.7,
    -745.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

const PLANE: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    0.5,
    -2.0,
    3.0,
    1e-320,
    1e-300,
    1e-100,
    1e100,
    1e300,
    f64::INFINITY,
    f64::NAN,
];

impl Function {
    pub fn name(&self) -> String {
        format!("{self:?}")
    }

    fn inputs(&self) -> usize {
        use Function::*;
        match self {
            Clip => 3,
            Two(_) | LogAddExp | Xlogy | LeastSquares | NormByHand | LogSumExpByHand | TimesZero | Branch
            | MaxOfRoot => 2,
            _ => 1,
        }
    }

    pub fn special_points(&self) -> Vec<Vec<f64>> {
        let plane = || PLANE.iter().flat_map(|&x| PLANE.iter().map(move |&y| vec![x, y]));
        match (self, self.inputs()) {
            (Function::LeastSquares, _) => vec![vec![1.0, 2.0], vec![0.0, 0.0], vec![2.0, 1.0]],
            (Function::LogSumExpByHand, _) => {
                plane().chain([vec![1000.0, 0.0], vec![-1000.0, -1000.0]]).collect()
            }
            (_, 1) => LINE.iter().map(|&x| vec![x]).collect(),
            (_, 2) => plane().collect(),
            _ => [-1.0, 0.0, 1.0, 2.0, 3.0, f64::NAN]
                .iter()
                .flat_map(|&x| {
                    [[0.0, 2.0], [2.0, 0.0], [1.0, 1.0], [f64::NAN, 1.0]].map(|b| vec![x, b[0], b[1]])
                })
                .collect(),
        }
    }
}

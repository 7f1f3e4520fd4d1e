//! Activations, composed of primitives.

use gradus_core::Binary;

use crate::Tensor;
use crate::transform::with_own_rule;

impl Tensor {
    /// `x` where positive, else 0; NaN at NaN. The derivative at 0 is 0, the left one, as trained networks have it;
    /// [`maximum`](Tensor::maximum) shares a tie.
    ///
    /// ```
    /// use gradus::{Tensor, grad};
    /// let x = Tensor::from([-1.0, 0.0, 2.0]);
    /// assert_eq!(x.relu(), Tensor::from([0.0, 0.0, 2.0]));
    /// assert_eq!(grad(|x: &Tensor| x.relu().sum(()))(&x), Tensor::from([0.0, 0.0, 1.0]));
    /// ```
    #[track_caller]
    pub fn relu(&self) -> Tensor {
        // Values alone have no derivative, and their maximum is one operation.
        if self.is_traced() { self.less_equal(0.0).select(0.0, self) } else { self.maximum(0.0) }
    }

    /// `x` where positive, else `slope x`; derivative `slope` at 0.
    #[track_caller]
    pub fn leaky_relu(&self, slope: f64) -> Tensor {
        self.of_floats("leaky_relu");
        self.less_equal(0.0).select(self.with_constant(Binary::Mul, slope), self)
    }

    /// `min(relu(x), 6)`; derivative 0 at 0 and at 6.
    #[track_caller]
    pub fn relu6(&self) -> Tensor {
        self.greater_equal(6.0).select(6.0, self.relu())
    }

    /// `x` where positive, else `alpha (eˣ - 1)`; derivative `alpha` at 0.
    #[track_caller]
    pub fn elu(&self, alpha: f64) -> Tensor {
        self.of_floats("elu");
        self.less_equal(0.0).select(self.expm1().with_constant(Binary::Mul, alpha), self)
    }

    /// The self-normalising `λ elu(x, α)` with `λ = 1.0507…`, `α = 1.6732…` (Klambauer et al. 2017).
    #[track_caller]
    pub fn selu(&self) -> Tensor {
        self.of_floats("selu");
        self.elu(1.673_263_242_354_377_2).with_constant(Binary::Mul, 1.050_700_987_355_480_5)
    }

    /// `x` limited to `[-1, 1]`; derivative 0 at both bounds, where [`clamp`](Tensor::clamp) has 1.
    #[track_caller]
    pub fn hard_tanh(&self) -> Tensor {
        let raised = self.less_equal(-1.0).select(-1.0, self);
        self.greater_equal(1.0).select(1.0, raised)
    }

    /// `relu6(x + 3) / 6`; derivative 0 at -3 and at 3.
    #[track_caller]
    pub fn hard_sigmoid(&self) -> Tensor {
        self.of_floats("hard_sigmoid");
        self.with_constant(Binary::Add, 3.0).relu6().with_constant(Binary::Div, 6.0)
    }

    /// `x relu6(x + 3) / 6`; 0 at -∞.
    #[track_caller]
    pub fn hard_swish(&self) -> Tensor {
        self.of_floats("hard_swish");
        self.less_equal(-3.0).select(0.0, self * self.hard_sigmoid())
    }

    /// An activation of the shape `x g(x)`, where `g` goes from 0 on the left to 1 on the right, with the derivative
    /// `g(x) + x g'(x)` in one factor. Left of `-limit` the function is what it is there, since `-∞ · 0` is no number; right of
    /// `limit` so is the factor of `g'`, which is 0.
    #[track_caller]
    fn gated(
        &self,
        limit: f64,
        value: fn(&Tensor) -> Tensor,
        gate: fn(&Tensor) -> Tensor,
        slope: fn(&Tensor) -> Tensor,
    ) -> Tensor {
        with_own_rule(
            self,
            |x| value(&x.with_constant(Binary::Max, -limit)),
            |x, _, dx| {
                let x = x.with_constant(Binary::Max, -limit);
                (gate(&x) + x.with_constant(Binary::Min, limit) * slope(&x)) * dx
            },
        )
    }

    /// `x Φ(x) = x erfc(-x/√2) / 2`, accurate in the left tail.
    #[track_caller]
    pub fn gelu(&self) -> Tensor {
        use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};
        self.of_floats("gelu");
        fn root(x: &Tensor) -> Tensor {
            x.with_constant(Binary::Mul, -FRAC_1_SQRT_2)
        }
        self.gated(
            40.0,
            |x| x.with_constant(Binary::Mul, 0.5) * root(x).erfc(),
            |x| root(x).erfc().with_constant(Binary::Mul, 0.5),
            |x| {
                // An infinite argument is not to meet the 0 in the next derivative.
                let exponent = x.with_constant(Binary::Min, 40.0).square().with_constant(Binary::Mul, -0.5);
                exponent.exp().with_constant(Binary::Mul, 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2)
            },
        )
    }

    /// GELU by its tanh approximation: `x (1 + tanh u) / 2 = x / (1 + e^(-2u))` with `u = √(2/π) (x + 0.044715 x³)`.
    #[track_caller]
    pub fn gelu_tanh(&self) -> Tensor {
        self.of_floats("gelu_tanh");
        // `2√(2/π)`
        const SCALE: f64 = 1.595_769_121_605_730_7;
        const CUBIC: f64 = 0.044_715;
        // So far right the gate is 1, and the cube may overflow.
        fn inner(x: &Tensor) -> Tensor {
            x.with_constant(Binary::Min, 25.0)
        }
        fn twice(x: &Tensor) -> Tensor {
            let x = inner(x);
            (&x + x.powi(3).with_constant(Binary::Mul, CUBIC)).with_constant(Binary::Mul, SCALE)
        }
        self.gated(
            25.0,
            |x| x * twice(x).sigmoid(),
            |x| twice(x).sigmoid(),
            |x| {
                let by_x =
                    inner(x).square().with_constant(Binary::Mul, 3.0 * CUBIC).with_constant(Binary::Add, 1.0);
                twice(x).sigmoid_slope() * by_x.with_constant(Binary::Mul, SCALE)
            },
        )
    }

    /// `x / (1 + e⁻ˣ)`, also called swish.
    #[track_caller]
    pub fn silu(&self) -> Tensor {
        self.of_floats("silu");
        self.gated(800.0, |x| x * x.sigmoid(), Tensor::sigmoid, Tensor::sigmoid_slope)
    }

    /// `x tanh(ln(1 + eˣ))`.
    #[track_caller]
    pub fn mish(&self) -> Tensor {
        self.of_floats("mish");
        fn gate(x: &Tensor) -> Tensor {
            x.softplus().tanh()
        }
        self.gated(800.0, |x| x * gate(x), gate, |x| x.softplus().sech2() * x.sigmoid())
    }

    /// The derivative of the logistic function, `sech²(x/2) / 4`.
    #[track_caller]
    fn sigmoid_slope(&self) -> Tensor {
        self.with_constant(Binary::Mul, 0.5).sech2().with_constant(Binary::Mul, 0.25)
    }

    /// `ln(1/(1 + e⁻ˣ))` without overflow.
    #[track_caller]
    pub fn log_sigmoid(&self) -> Tensor {
        self.of_floats("log_sigmoid");
        -(-self).softplus()
    }
}

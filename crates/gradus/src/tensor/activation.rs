//! Activations, composed of primitives.

use gradus_core::Binary;
use gradus_core::ops::Compare;

use crate::{Scalar, Tensor};

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
        self.less_equal(0.0).select(self.expm1().with_constant(Binary::Mul, alpha), self)
    }

    /// The self-normalising `λ elu(x, α)` with `λ = 1.0507…`, `α = 1.6732…` (Klambauer et al. 2017).
    #[track_caller]
    pub fn selu(&self) -> Tensor {
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
        self.with_constant(Binary::Add, 3.0).relu6().with_constant(Binary::Div, 6.0)
    }

    /// `x relu6(x + 3) / 6`; 0 at -∞.
    #[track_caller]
    pub fn hard_swish(&self) -> Tensor {
        self.less_equal(-3.0).select(0.0, self * self.hard_sigmoid())
    }

    /// The tensor, or `low` where it is below that: there the derivative is 0. For functions that vanish so far left, whose
    /// factors would be -∞ and 0.
    #[track_caller]
    fn not_below(&self, low: f64) -> Tensor {
        self.with_constant(Compare::Lt, low).select(Scalar::Float(low).constant(self), self)
    }

    /// `x Φ(x) = x erfc(-x/√2) / 2`, accurate in the left tail.
    #[track_caller]
    pub fn gelu(&self) -> Tensor {
        let x = self.not_below(-40.0);
        let tail = x.with_constant(Binary::Mul, -std::f64::consts::FRAC_1_SQRT_2).erfc();
        x.with_constant(Binary::Mul, 0.5) * tail
    }

    /// GELU by its tanh approximation: `x (1 + tanh u) / 2 = x / (1 + e^(-2u))` with `u = √(2/π) (x + 0.044715 x³)`.
    #[track_caller]
    pub fn gelu_tanh(&self) -> Tensor {
        let x = self.not_below(-25.0);
        // So far right it is `x`, and the cube may overflow.
        let inner = x.with_constant(Compare::Gt, 25.0).select(Scalar::Float(25.0).constant(&x), &x);
        let cubic = &inner + inner.powi(3).with_constant(Binary::Mul, 0.044715);
        let twice = cubic.with_constant(Binary::Mul, 2.0 * (2.0 / std::f64::consts::PI).sqrt());
        x * twice.sigmoid()
    }

    /// `x / (1 + e⁻ˣ)`, also called swish.
    #[track_caller]
    pub fn silu(&self) -> Tensor {
        let x = self.not_below(-800.0);
        let share = x.sigmoid();
        x * share
    }

    /// `x tanh(ln(1 + eˣ))`.
    #[track_caller]
    pub fn mish(&self) -> Tensor {
        let x = self.not_below(-800.0);
        let share = x.softplus().tanh();
        x * share
    }

    /// `ln(1/(1 + e⁻ˣ))` without overflow.
    #[track_caller]
    pub fn log_sigmoid(&self) -> Tensor {
        -(-self).softplus()
    }
}

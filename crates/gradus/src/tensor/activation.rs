//! Activations and normalisations, composed of primitives.

use gradus_core::Binary;
use gradus_core::ops::Compare;

use crate::Tensor;
use crate::tensor::Axes;

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

    /// `x relu6(x + 3) / 6`.
    #[track_caller]
    pub fn hard_swish(&self) -> Tensor {
        self * self.hard_sigmoid()
    }

    /// `x Φ(x) = x (1 + erf(x/√2)) / 2`.
    #[track_caller]
    pub fn gelu(&self) -> Tensor {
        let inner = self.with_constant(Binary::Mul, std::f64::consts::FRAC_1_SQRT_2).erf();
        self.with_constant(Binary::Mul, 0.5) * inner.with_constant(Binary::Add, 1.0)
    }

    /// GELU by its tanh approximation: `x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2`.
    #[track_caller]
    pub fn gelu_tanh(&self) -> Tensor {
        let cubic = self + self.powi(3).with_constant(Binary::Mul, 0.044715);
        let inner = cubic.with_constant(Binary::Mul, (2.0 / std::f64::consts::PI).sqrt()).tanh();
        self.with_constant(Binary::Mul, 0.5) * inner.with_constant(Binary::Add, 1.0)
    }

    /// `x / (1 + e⁻ˣ)`, also called swish.
    #[track_caller]
    pub fn silu(&self) -> Tensor {
        self * self.sigmoid()
    }

    /// `x tanh(ln(1 + eˣ))`.
    #[track_caller]
    pub fn mish(&self) -> Tensor {
        self * self.softplus().tanh()
    }

    /// `ln(1/(1 + e⁻ˣ))` without overflow.
    #[track_caller]
    pub fn log_sigmoid(&self) -> Tensor {
        -(-self).softplus()
    }

    /// `eˣ / Σ eˣ` along an axis, without overflow. Where all of `x` is -∞, as in a row of scores that is masked
    /// altogether, it is 0, with derivative 0.
    ///
    /// ```
    /// use gradus::{Tensor, grad};
    /// let masked = Tensor::from([f64::NEG_INFINITY; 2]);
    /// assert_eq!(masked.softmax(0), Tensor::from([0.0, 0.0]));
    /// assert_eq!(grad(|x: &Tensor| x.softmax(0).index(0, 0))(&masked), Tensor::from([0.0, 0.0]));
    /// ```
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        let top = self.max(Axes::keep(axis)).stop_gradient();
        let top = top.with_constant(Compare::Eq, f64::NEG_INFINITY).select(0.0, top);
        let e = (self - top).exp();
        let sum = e.sum(Axes::keep(axis));
        &e / sum.equal(0.0).select(1.0, &sum)
    }

    /// `ln softmax(x)`, accurate where the softmax underflows.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        let z = self.below_top(axis);
        &z - z.exp().sum(Axes::keep(axis)).log()
    }

    /// The tensor minus its largest value along an axis, which takes no part in derivatives.
    #[track_caller]
    fn below_top(&self, axis: isize) -> Tensor {
        self - self.max(Axes::keep(axis)).stop_gradient()
    }

    /// `(x - x̄) / √(var + ε)` over axes.
    #[track_caller]
    pub fn standardize(&self, axes: impl Into<Axes>, epsilon: f64) -> Tensor {
        let axes = Axes::keep(axes.into());
        let centred = self - self.mean(axes.clone());
        let var = centred.square().mean(axes);
        centred * var.with_constant(Binary::Add, epsilon).rsqrt()
    }
}

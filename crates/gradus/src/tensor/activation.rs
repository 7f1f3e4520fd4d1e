//! Activations and normalisations, composed of primitives.

use gradus_core::Binary;

use crate::Tensor;
use crate::tensor::Axes;

impl Tensor {
    /// `max(x, 0)`; derivative ½ at 0, as for [`maximum`](Tensor::maximum).
    #[track_caller]
    pub fn relu(&self) -> Tensor {
        self.maximum(0.0)
    }

    /// `x` where positive, else `slope x`.
    #[track_caller]
    pub fn leaky_relu(&self, slope: f64) -> Tensor {
        self.greater(0.0).select(self, self.with_constant(Binary::Mul, slope))
    }

    /// `x` where positive, else `alpha (eˣ - 1)`.
    #[track_caller]
    pub fn elu(&self, alpha: f64) -> Tensor {
        self.greater(0.0).select(self, self.expm1().with_constant(Binary::Mul, alpha))
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

    /// `eˣ / Σ eˣ` along an axis, without overflow.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        let e = self.below_top(axis).exp();
        &e / e.sum(Axes::keep(axis))
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

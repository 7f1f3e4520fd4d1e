//! Derivatives of a function of several numbers to one.

use std::any::Any;
use std::boxed::Box;
use std::vec::Vec;

use super::coloured::ColouredHessian;
use super::count::OpCounts;
use super::plan::{Mode, Plan, Task};
use super::{Lanes, OneOutput, ScalarFn, Slot, at_second_order_width, at_width, push, push2};
use crate::{Tape, Taylor, forward, reverse};

/// The derivatives of one scalar function, with the choices made and the buffers kept.
///
/// Made once for a function and a number of inputs; after the first call of each kind no method allocates.
///
/// ```
/// use gradus_num::{Real, Scalar, ScalarDriver, scalar_fn};
///
/// fn f<R: Real>(x: &[R]) -> R {
///     (x[0] * x[1]).sin() + x[1]
/// }
/// let mut driver = ScalarDriver::new(scalar_fn!(f), &[0.0, 1.0]);
/// let mut gradient = [0.0; 2];
/// let value = driver.value_and_gradient_into(&[0.0, 2.0], &mut gradient);
/// assert_eq!((value, gradient), (2.0, [2.0, 1.0]));
/// println!("{}", driver.gradient_plan());
/// ```
pub struct ScalarDriver<F> {
    f: F,
    n: usize,
    counts: OpCounts,
    gradient: Plan,
    hessian: Plan,
    coloured: ColouredHessian,
    lanes: Lanes,
    tape: Tape,
    /// The inputs of [`ScalarDriver::taylor_into`], a `Vec<Taylor<f64, K>>` for the last `K` asked for.
    series: Option<Box<dyn Any + Send>>,
}

impl<F: ScalarFn> ScalarDriver<F> {
    /// A driver for as many inputs as `x` has. The operations are counted at `x`, so take a typical point.
    pub fn new(f: F, x: &[f64]) -> Self {
        let counts = OpCounts::of(&OneOutput(&f), x);
        let n = x.len();
        ScalarDriver {
            gradient: Plan::new(Task::Jacobian, n, 1, counts, None),
            hessian: Plan::new(Task::Hessian, n, 1, counts, None),
            f,
            n,
            counts,
            coloured: ColouredHessian::at(x),
            lanes: Lanes::default(),
            tape: Tape::new(),
            series: None,
        }
    }

    /// Forces a mode for gradients and Hessians, these in full.
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.coloured = ColouredHessian::never();
        self.gradient = Plan::new(Task::Jacobian, self.n, 1, self.counts, Some(mode.into()));
        self.hessian = Plan::new(Task::Hessian, self.n, 1, self.counts, Some(mode.into()));
        self
    }

    /// How gradients are computed.
    pub fn gradient_plan(&self) -> Plan {
        self.gradient.clone()
    }

    /// How Hessians are computed. Asked for the first time, this looks for a sparsity pattern that pays.
    pub fn hessian_plan(&self) -> Plan {
        self.coloured.plan(&self.f, &self.hessian).unwrap_or_else(|| self.hessian.clone())
    }

    /// `f(x)`.
    pub fn value(&self, x: &[f64]) -> f64 {
        self.check(x);
        self.f.call(x)
    }

    /// Writes `∇f(x)` into `gradient` and returns `f(x)`.
    ///
    /// # Panics
    /// If a length is not the driver's number of inputs; so do all methods.
    pub fn value_and_gradient_into(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        self.check(x);
        self.check(gradient);
        let f = &self.f;
        match self.gradient.mode() {
            Mode::Reverse => reverse::value_and_gradient_into(&mut self.tape, |v| f.call(v), x, gradient),
            Mode::Forward => {
                at_width!(
                    self.gradient.chosen().width,
                    W,
                    push::gradient::<F, W>(f, x, &mut self.lanes, gradient)
                )
            }
        }
    }

    /// `f(x)` and `∇f(x)·v`: one forward pass.
    pub fn directional(&mut self, x: &[f64], v: &[f64]) -> (f64, f64) {
        self.check(x);
        self.check(v);
        push::directional(&self.f, x, v, &mut self.lanes)
    }

    /// Writes `∇²f(x) v` into `product` and `∇f(x)` into `gradient`, and returns `f(x)` and `∇f(x)·v`: one
    /// recording of dual numbers and one sweep.
    pub fn hvp_into(
        &mut self,
        x: &[f64],
        v: &[f64],
        gradient: &mut [f64],
        product: &mut [f64],
    ) -> (f64, f64) {
        self.check(x);
        self.check(v);
        self.check(gradient);
        self.check(product);
        push2::hvp(&self.f, (x, v), &mut self.lanes, gradient, product)
    }

    /// Writes `∇f(x)` and the Hessian, a full symmetric matrix by rows, and returns `f(x)`.
    ///
    /// Where no branch depends on the inputs, so that the sparsity pattern is the same everywhere, and a colouring of it
    /// costs less by the model, the first call detects and colours it and all calls take the compressed passes.
    pub fn hessian_into(&mut self, x: &[f64], gradient: &mut [f64], hessian: &mut [f64]) -> f64 {
        self.check(x);
        self.check(gradient);
        let (n, f) = (self.n, &self.f);
        assert_eq!(hessian.len(), n * n, "the Hessian of {n} inputs has {} entries", n * n);
        if let Some(value) = self.coloured.evaluate(f, &self.hessian, x, gradient, hessian) {
            return value;
        }
        let width = self.hessian.chosen().width;
        match self.hessian.mode() {
            Mode::Forward => at_second_order_width!(
                width,
                W,
                push2::hessian_forward::<F, W>(f, x, &mut self.lanes, gradient, hessian)
            ),
            Mode::Reverse => at_second_order_width!(
                width,
                W,
                push2::hessian_reverse::<F, W>(f, x, &mut self.lanes, gradient, hessian)
            ),
        }
    }

    /// `Σ ∂²f/∂xᵢ²`: one second-order pass for each input.
    pub fn laplacian(&mut self, x: &[f64]) -> f64 {
        self.check(x);
        push2::laplacian(&self.f, x, &mut self.lanes)
    }

    /// Writes the value and the derivatives of orders `1..K` of `t ↦ f(x + t v)` at 0: one pass of truncated series,
    /// whose products cost `K²/2` multiplications. The buffer is kept for one `K` at a time.
    ///
    /// ```
    /// use gradus_num::{Real, ScalarDriver, scalar_fn};
    /// fn f<R: Real>(x: &[R]) -> R {
    ///     x[0] * x[0] * x[1]
    /// }
    /// let mut driver = ScalarDriver::new(scalar_fn!(f), &[2.0, 3.0]);
    /// let mut d = [0.0; 5];
    /// driver.taylor_into(&[2.0, 3.0], &[1.0, 1.0], &mut d);
    /// // (2 + t)² (3 + t) = 12 + 16 t + 7 t² + t³
    /// assert_eq!(d, [12.0, 16.0, 14.0, 6.0, 0.0]);
    /// ```
    pub fn taylor_into<const K: usize>(&mut self, x: &[f64], v: &[f64], derivatives: &mut [f64; K]) {
        self.check(x);
        self.check(v);
        let f = &self.f;
        let kept = self.series.as_mut().is_some_and(|s| s.is::<Vec<Taylor<f64, K>>>());
        if !kept {
            self.series = Some(Box::new(Vec::<Taylor<f64, K>>::new()));
        }
        if let Some(work) = self.series.as_mut().and_then(|s| s.downcast_mut()) {
            *derivatives = forward::taylor_along_into(|v: &[Taylor<f64, K>]| f.call(v), x, v, work);
        }
    }

    /// The bytes of the tapes that the driver keeps.
    pub fn tape_bytes(&mut self) -> usize {
        let second = at_second_order_width!(
            self.hessian.chosen().width,
            W,
            Slot::<W>::slot(&mut self.lanes).tape.bytes()
        );
        self.tape.bytes() + second
    }

    #[track_caller]
    fn check(&self, x: &[f64]) {
        assert_eq!(x.len(), self.n, "this driver was made for {} inputs", self.n);
    }
}

/// `f(x)` and `∇f(x)` for a number of inputs known when compiling: one forward pass of exactly that width, all on the
/// stack. The fastest form for up to about a dozen inputs.
///
/// ```
/// use gradus_num::{Real, Scalar, scalar_fn, value_and_gradient_array};
/// fn f<R: Real>(x: &[R]) -> R {
///     x[0] * x[1].sin()
/// }
/// assert_eq!(value_and_gradient_array(&scalar_fn!(f), &[3.0, 0.0]), (0.0, [0.0, 3.0]));
/// ```
#[inline(always)]
pub fn value_and_gradient_array<const N: usize>(f: &impl ScalarFn, x: &[f64; N]) -> (f64, [f64; N]) {
    push::array(f, x)
}

/// `f'(x)` of a function of one number.
///
/// ```
/// use gradus_num::{Real, Scalar, derivative, scalar_fn};
/// fn f<R: Real>(x: &[R]) -> R {
///     x[0].tanh()
/// }
/// assert_eq!(derivative(&scalar_fn!(f), 0.0), 1.0);
/// ```
pub fn derivative(f: &impl ScalarFn, x: f64) -> f64 {
    push::array(f, &[x]).1[0]
}

/// `∇f(x)`, in the mode that costs least.
pub fn gradient(f: &impl ScalarFn, x: &[f64]) -> Vec<f64> {
    value_and_gradient(f, x).1
}

/// `f(x)` and `∇f(x)`, in the mode that costs least.
pub fn value_and_gradient(f: &impl ScalarFn, x: &[f64]) -> (f64, Vec<f64>) {
    let mut gradient = vec![0.0; x.len()];
    let value = ScalarDriver::new(f, x).value_and_gradient_into(x, &mut gradient);
    (value, gradient)
}

/// `f(x)` and `∇f(x)·v` (JVP).
pub fn directional(f: &impl ScalarFn, x: &[f64], v: &[f64]) -> (f64, f64) {
    assert_eq!(x.len(), v.len(), "the direction has one entry for each input");
    push::directional(f, x, v, &mut Lanes::default())
}

/// The Hessian, a full symmetric matrix by rows.
///
/// ```
/// use gradus_num::{Real, hessian, scalar_fn};
/// fn f<R: Real>(x: &[R]) -> R {
///     x[0] * x[0] * x[1]
/// }
/// assert_eq!(hessian(&scalar_fn!(f), &[3.0, 5.0]), [10.0, 6.0, 6.0, 0.0]);
/// ```
pub fn hessian(f: &impl ScalarFn, x: &[f64]) -> Vec<f64> {
    let (mut gradient, mut hessian) = (vec![0.0; x.len()], vec![0.0; x.len() * x.len()]);
    ScalarDriver::new(f, x).hessian_into(x, &mut gradient, &mut hessian);
    hessian
}

/// `∇²f(x) v`.
pub fn hvp(f: &impl ScalarFn, x: &[f64], v: &[f64]) -> Vec<f64> {
    let (mut gradient, mut product) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    ScalarDriver::new(f, x).hvp_into(x, v, &mut gradient, &mut product);
    product
}

/// `Σ ∂²f/∂xᵢ²`.
pub fn laplacian(f: &impl ScalarFn, x: &[f64]) -> f64 {
    ScalarDriver::new(f, x).laplacian(x)
}

/// The value and the derivatives of orders `1..K` of `t ↦ f(x + t v)` at 0.
///
/// ```
/// use gradus_num::{Real, Scalar, scalar_fn, taylor};
/// fn f<R: Real>(x: &[R]) -> R {
///     x[0].exp()
/// }
/// assert_eq!(taylor::<3>(&scalar_fn!(f), &[0.0], &[2.0]), [1.0, 2.0, 4.0]);
/// ```
pub fn taylor<const K: usize>(f: &impl ScalarFn, x: &[f64], v: &[f64]) -> [f64; K] {
    forward::taylor_along(|x| f.call(x), x, v)
}

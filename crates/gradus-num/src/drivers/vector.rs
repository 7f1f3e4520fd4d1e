//! Derivatives of a function of several numbers to several.

use std::vec::Vec;

use super::coloured::ColouredJacobian;
use super::count::OpCounts;
use super::plan::{Forced, Mode, Plan, Task};
use super::width::WIDTHS;
use super::{Lanes, Slot, VectorFn, at_width, push};
use crate::{Real, Real64, Tape, Var};

/// The derivatives of one vector function, with the choices made and the buffers kept.
///
/// Made once for a function and a number of inputs; after the first call of each kind no method allocates.
/// Jacobians are full matrices by rows: entry `i n + j` is `∂fᵢ/∂xⱼ`. For sparse ones see [`crate::sparse`].
///
/// ```
/// use gradus_num::{Real, VectorDriver, vector_fn};
///
/// fn f<R: Real>(x: &[R], y: &mut [R]) {
///     y[0] = x[0] * x[1];
///     y[1] = x[0] + x[1];
/// }
/// let mut driver = VectorDriver::new(vector_fn!(f, 2), &[2.0, 3.0]);
/// let (mut y, mut jacobian) = ([0.0; 2], [0.0; 4]);
/// driver.jacobian_into(&[2.0, 3.0], &mut y, &mut jacobian);
/// assert_eq!((y, jacobian), ([6.0, 5.0], [3.0, 2.0, 1.0, 1.0]));
/// ```
pub struct VectorDriver<F> {
    f: F,
    n: usize,
    m: usize,
    counts: OpCounts,
    plan: Plan,
    coloured: ColouredJacobian,
    lanes: Lanes,
    tape: Tape,
}

impl<F: VectorFn> VectorDriver<F> {
    /// A driver for as many inputs as `x` has. The operations are counted at `x`, so take a typical point.
    pub fn new(f: F, x: &[f64]) -> Self {
        let counts = OpCounts::of(&f, x);
        let (n, m) = (x.len(), f.outputs(x.len()));
        let plan = Plan::new(Task::Jacobian, n, m, counts, None);
        let coloured = ColouredJacobian::at(x, m);
        VectorDriver { f, n, m, counts, plan, coloured, lanes: Lanes::default(), tape: Tape::new() }
    }

    /// Forces a mode for Jacobians, in full.
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.coloured = ColouredJacobian::never();
        self.plan = Plan::new(Task::Jacobian, self.n, self.m, self.counts, Some(mode.into()));
        self
    }

    /// Forces a mode for Jacobians, in full, and how many columns (forward) or rows (reverse) one pass carries.
    ///
    /// # Panics
    /// If the width is not 1, 2, 4, 8 or 16.
    pub fn with_width(mut self, mode: Mode, width: usize) -> Self {
        assert!(WIDTHS.contains(&width), "a pass carries 1, 2, 4, 8 or 16 columns or rows, not {width}");
        self.coloured = ColouredJacobian::never();
        let forced = Forced { mode, width: Some(width) };
        self.plan = Plan::new(Task::Jacobian, self.n, self.m, self.counts, Some(forced));
        self
    }

    /// How Jacobians are computed. Asked for the first time, this looks for a sparsity pattern that pays.
    pub fn plan(&self) -> Plan {
        self.coloured.plan(&self.f, &self.plan).unwrap_or_else(|| self.plan.clone())
    }

    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        self.m
    }

    /// Writes `f(x)` into `y` and the Jacobian by rows into `jacobian`.
    ///
    /// Where no branch depends on the inputs, so that the sparsity pattern is the same everywhere, and a colouring of it
    /// costs less by the model, the first call detects and colours it and all calls take the compressed passes.
    ///
    /// # Panics
    /// If a length does not fit the driver; so do all methods.
    pub fn jacobian_into(&mut self, x: &[f64], y: &mut [f64], jacobian: &mut [f64]) {
        self.check(x, y);
        let (n, m, f) = (self.n, self.m, &self.f);
        assert_eq!(jacobian.len(), m * n, "a Jacobian of {m} rows and {n} columns");
        if self.coloured.evaluate(f, &self.plan, x, y, jacobian) {
            return;
        }
        let width = self.plan.chosen().width;
        match self.plan.mode() {
            Mode::Forward => {
                at_width!(width, W, push::jacobian::<F, W>(f, x, &mut self.lanes, y, jacobian))
            }
            Mode::Reverse => at_width!(width, W, {
                let adjoints = &mut Slot::<W>::slot(&mut self.lanes).adjoints;
                record(f, &mut self.tape, x, y, |tape, outputs| {
                    for (chunk, rows) in outputs.chunks(W).zip(jacobian.chunks_mut(W * n.max(1))) {
                        tape.pullback_lanes_into::<W>(chunk, adjoints);
                        for (lane, row) in rows.chunks_exact_mut(n.max(1)).enumerate() {
                            for (entry, lanes) in row.iter_mut().zip(&adjoints[1..]) {
                                *entry = lanes[lane];
                            }
                        }
                    }
                });
            }),
        }
    }

    /// Writes `f(x)` into `y` and `J(x) v` into `product`: one forward pass.
    pub fn jvp_into(&mut self, x: &[f64], v: &[f64], y: &mut [f64], product: &mut [f64]) {
        self.check(x, y);
        self.check(v, product);
        push::jvp(&self.f, x, v, &mut self.lanes, y, product);
    }

    /// Writes `f(x)` into `y` and `wᵀ J(x)` into `product`: one recording and one sweep.
    pub fn vjp_into(&mut self, x: &[f64], w: &[f64], y: &mut [f64], product: &mut [f64]) {
        self.check(x, y);
        self.check(product, w);
        record(&self.f, &mut self.tape, x, y, |tape, outputs| {
            let adjoints = tape.pullback_with(outputs.iter().copied().zip(w.iter().copied()));
            product.copy_from_slice(adjoints.leading(product.len()));
        });
    }

    #[track_caller]
    fn check(&self, x: &[f64], y: &[f64]) {
        assert_eq!(x.len(), self.n, "this driver was made for {} inputs", self.n);
        assert_eq!(y.len(), self.m, "this driver was made for {} outputs", self.m);
    }
}

/// Calls `f` with outputs cleared, as it may expect.
pub(super) fn call<F: VectorFn, R: Real64>(f: &F, x: &[R], y: &mut [R]) {
    y.fill(R::from_f64(0.0));
    f.call(x, y);
}

/// Records `f` on the tape, writes its values into `y`, and hands its outputs to `sweep`.
pub(crate) fn record<F: VectorFn>(
    f: &F,
    tape: &mut Tape,
    x: &[f64],
    y: &mut [f64],
    sweep: impl for<'t> FnOnce(&'t Tape, &[Var<'t>]),
) {
    tape.reset();
    let tape = &*tape;
    // The outputs live behind the inputs in the same buffer, so that one allocation serves both.
    let mut vars = tape.take_vars();
    tape.vars_into(x, &mut vars);
    vars.resize(x.len() + y.len(), Var::from_f64(0.0));
    let (inputs, outputs) = vars.split_at_mut(x.len());
    f.call(inputs, outputs);
    for (y, output) in y.iter_mut().zip(outputs.iter()) {
        *y = output.primal();
    }
    sweep(tape, outputs);
    tape.give_vars(vars);
}

/// The Jacobian, a matrix by rows: entry `i n + j` is `∂fᵢ/∂xⱼ`; in the mode that costs least.
pub fn jacobian(f: &impl VectorFn, x: &[f64]) -> Vec<f64> {
    let mut driver = VectorDriver::new(f, x);
    driver.coloured = ColouredJacobian::once(x, driver.m);
    let mut jacobian = vec![0.0; driver.m * x.len()];
    driver.jacobian_into(x, &mut vec![0.0; f.outputs(x.len())], &mut jacobian);
    jacobian
}

/// `f(x)` and `J(x) v`.
pub fn jvp(f: &impl VectorFn, x: &[f64], v: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let m = f.outputs(x.len());
    let (mut y, mut product) = (vec![0.0; m], vec![0.0; m]);
    VectorDriver::new(f, x).jvp_into(x, v, &mut y, &mut product);
    (y, product)
}

/// `f(x)` and `wᵀ J(x)`.
pub fn vjp(f: &impl VectorFn, x: &[f64], w: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (mut y, mut product) = (vec![0.0; f.outputs(x.len())], vec![0.0; x.len()]);
    VectorDriver::new(f, x).vjp_into(x, w, &mut y, &mut product);
    (y, product)
}

//! The drivers that choose the mode, in `f32`: derivatives are computed in single precision throughout.
//!
//! Operations are counted once at the point, as for `f64`, and the mode is chosen by the same costs; a function is called
//! with `Dual<f32, N>` or `Var<'_, f32>`, which take `f64` constants as all numbers here. A tangent that happens to be 0 counts as
//! one on which nothing depends (see [`Dual`]). Nothing is kept between calls.
//!
//! ```
//! use gradus_num::{Real64, Scalar, scalar_fn, single};
//!
//! fn f<R: Real64>(x: &[R]) -> R {
//!     x[0] * x[0] * 0.5 + x[1].exp()
//! }
//! assert_eq!(single::gradient(&scalar_fn!(f), &[3.0f32, 0.0]), [3.0, 1.0]);
//! assert_eq!(single::hessian(&scalar_fn!(f), &[3.0f32, 0.0]), [1.0, 0.0, 0.0, 1.0]);
//! ```

use std::vec::Vec;

use super::count::OpCounts;
use super::plan::{Mode, Plan, Task};
use super::{OneOutput, ScalarFn, VectorFn, at_second_order_width, at_width};
use crate::{Dual, Real, forward, reverse};

fn plan(task: Task, f: &impl VectorFn, x: &[f32]) -> Plan {
    let x: Vec<f64> = x.iter().map(|&x| x.into()).collect();
    Plan::new(task, x.len(), f.outputs(x.len()), OpCounts::of(f, &x), None)
}

/// `∇f(x)`, in the mode that costs least.
pub fn gradient(f: &impl ScalarFn, x: &[f32]) -> Vec<f32> {
    value_and_gradient(f, x).1
}

/// `f(x)` and `∇f(x)`, in the mode that costs least.
pub fn value_and_gradient(f: &impl ScalarFn, x: &[f32]) -> (f32, Vec<f32>) {
    let plan = plan(Task::Jacobian, &OneOutput(f), x);
    match plan.mode() {
        Mode::Reverse => reverse::value_and_gradient(|x| f.call(x), x),
        Mode::Forward => {
            at_width!(plan.chosen().width, W, forward::value_and_gradient(|x: &[Dual<f32, W>]| f.call(x), x))
        }
    }
}

/// The Jacobian by rows, in the mode that costs least.
///
/// ```
/// use gradus_num::{single, vector_fn};
/// let f = vector_fn!(|x, y| { y[0] = x[0] * x[1]; y[1] = x[0] - 2.0; }, 2);
/// assert_eq!(single::jacobian(&f, &[3.0f32, 5.0]), [5.0, 3.0, 1.0, 0.0]);
/// ```
pub fn jacobian(f: &impl VectorFn, x: &[f32]) -> Vec<f32> {
    let plan = plan(Task::Jacobian, f, x);
    let m = f.outputs(x.len());
    match plan.mode() {
        Mode::Reverse => reverse::jacobian(
            |x| {
                let mut y = vec![Real::zero(); m];
                f.call(x, &mut y);
                y
            },
            x,
        ),
        Mode::Forward => at_width!(plan.chosen().width, W, {
            let (mut value, mut jacobian) = (vec![0.0; m], vec![0.0; m * x.len()]);
            let f = |x: &[Dual<f32, W>], y: &mut [Dual<f32, W>]| {
                y.fill(Real::zero());
                f.call(x, y);
            };
            forward::jacobian_into(f, x, &mut Vec::new(), &mut value, &mut jacobian);
            jacobian
        }),
    }
}

/// The Hessian, a full symmetric matrix by rows, by forward mode over forward mode.
pub fn hessian(f: &impl ScalarFn, x: &[f32]) -> Vec<f32> {
    let plan = plan(Task::Hessian, &OneOutput(f), x);
    at_second_order_width!(plan.chosen().width, W, forward::hessian::<f32, W>(|x| f.call(x), x))
}

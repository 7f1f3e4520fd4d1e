//! Drivers: derivatives of functions written over [`Real64`](crate::Real64), in whichever mode costs least.
//!
//! A function comes as a [`ScalarFn`] or a [`VectorFn`], traits with one generic method, so that one function can be called with
//! plain numbers, dual numbers, tape variables and counting numbers. [`closure`] makes one of a closure;
//! [`scalar_fn!`](crate::scalar_fn) of a generic function, or of a body and the data that it captures. [`ScalarDriver`] and [`VectorDriver`]
//! count its operations once, choose mode and chunk width by a cost model ([`Plan`]), and keep every buffer
//! between calls. The free functions ([`gradient`], [`jacobian`], ...) make a driver for one call.
//!
//! Each mode compiles the function anew; only the drivers' methods that are called are compiled. A gradient
//! compiles it for nine number types: `f64`'s counting twin, five dual widths, one more for tangents that came out NaN, the tape,
//! and `f64` where the value alone is asked for. `forward::*` and `reverse::*` compile one. For a function of a dozen operations in a release
//! build that came to, in processor seconds of the compiler: 0.1 with no derivative, 0.2 with `forward::gradient`, 1.0 with
//! [`gradient`] and 2.0 with [`hessian`] (`bench/scalar/build-time.sh`).
//!
//! The cost model sums measured [`UnitCosts`]; [`calibrate`] measures those of the machine at hand.

mod closure;
mod coloured;
mod cost;
mod count;
mod function;
pub(crate) mod plan;
pub(crate) mod push;
pub(crate) mod push2;
mod scalar;
pub mod single;
pub(crate) mod vector;
mod width;

pub use closure::{AnyMask, AnyReal, Closure, VectorClosure, closure, vector_closure};
pub use cost::{UnitCosts, calibrate};
pub use count::OpCounts;
pub(crate) use function::OneOutput;
pub use function::{ScalarFn, VectorFn};
pub use plan::{Candidate, Mode, Plan};
pub use scalar::{
    ScalarDriver, derivative, directional, gradient, hessian, hvp, laplacian, taylor, value_and_gradient,
    value_and_gradient_array,
};
pub use vector::{VectorDriver, jacobian, jvp, vjp};
pub(crate) use width::{Buffers, Lanes, Slot, at_second_order_width, at_width};

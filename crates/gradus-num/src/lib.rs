//! Scalar automatic differentiation.
//!
//! One derivative formula per operation ([`rules`]), written over [`Scalar`]; every mode, here and in the
//! tensor crates, is an instantiation of those formulas. Users write their functions over [`Real64`].
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "std")]
pub mod batch;
#[cfg(feature = "std")]
pub mod checkpoint;
mod composed;
#[cfg(feature = "std")]
pub mod drivers;
mod dual;
mod entry;
mod float;
pub mod forward;
#[cfg(feature = "num-traits")]
mod interop;
#[cfg(feature = "std")]
pub mod lanes;
pub mod math;
mod number;
pub mod op;
#[cfg(feature = "std")]
mod operators;
#[cfg(feature = "std")]
pub mod reverse;
pub mod rules;
mod scalar;
#[cfg(feature = "std")]
pub mod sparse;
mod table;
#[cfg(feature = "std")]
pub mod tape;
mod taylor;

#[cfg(feature = "std")]
pub use drivers::{
    AnyReal, Mode, Plan, ScalarDriver, ScalarFn, VectorDriver, VectorFn, closure, derivative, directional,
    gradient, hessian, hvp, jacobian, jvp, laplacian, single, taylor, value_and_gradient,
    value_and_gradient_array, vector_closure, vjp,
};
pub use dual::{Dual, Dual1};
pub use entry::{Curve, Domain, Entry, Kind};
#[cfg(feature = "std")]
pub use lanes::Lanes;
pub use op::{Binary, Reads, Unary};
pub use scalar::{Real, Real64, Scalar};
#[cfg(feature = "std")]
pub use tape::{Tape, Var};
pub use taylor::Taylor;

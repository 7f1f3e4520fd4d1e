//! Sparse Jacobians and Hessians: detect the pattern, colour it, push or pull a few compressed passes, read the
//! entries off.
//!
//! The first three steps are done once, by [`SparseJacobian::new`] and [`SparseHessian::new`]; evaluating at another point
//! is the passes alone, and a check by a random direction that the pattern still holds. Results are [`Csr`] or [`Csc`] matrices, which the feature `sprs` converts for that crate.

mod check;
mod color;
mod detect;
mod hessian;
mod jacobian;
mod pattern;

pub use check::WrongPattern;
pub use color::{Coloring, NONE, color_acyclic, color_columns, color_rows, color_star};
pub(crate) use detect::{Scope, detect_hessian, detect_jacobian};
pub use detect::{hessian_pattern, jacobian_pattern};
pub(crate) use hessian::HessianPasses;
pub use hessian::SparseHessian;
pub(crate) use jacobian::JacobianPasses;
pub use jacobian::SparseJacobian;
pub use pattern::{Csc, Csr, Pattern};

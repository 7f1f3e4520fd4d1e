//! Automatic differentiation for tensors and scalars.
//!
//! Write an ordinary function of tensors; [`grad`], [`jvp`], [`vjp`], [`jacobian`], [`hessian`], [`vmap`] and [`jit`]
//! take it and give a function back. They nest in any order and to any depth.
//!
//! ```
//! use gradus::{Tensor, grad, jit};
//!
//! let loss = |w: &Tensor| (w.sin() * w).sum(());
//! let w = Tensor::from([0.5, 1.0, 2.0]);
//! let slope = grad(loss)(&w);              // reverse mode
//! let curve = grad(|w: &Tensor| grad(loss)(w).sum(()))(&w); // nested
//! let fast = jit(grad(loss));
//! assert_eq!(fast.call(&w), slope);
//! assert!((curve.to_vec::<f64>()[0] - (2.0 * 0.5f64.cos() - 0.5 * 0.5f64.sin())).abs() < 1e-15);
//! ```
//!
//! | for | there are |
//! |---|---|
//! | gradients | [`grad`], [`value_and_grad`], [`value_and_grad_aux`], [`vjp`], [`checkpoint`] |
//! | directions | [`jvp`], [`linearize`], [`hvp`] |
//! | whole matrices | [`jacobian`], [`jacfwd`], [`jacrev`], [`hessian`]; [`Blocks`] is what they give for trees |
//! | batches | [`vmap`], [`vmap_axes`]; axes with names: [`vmap_named`], [`vmap_axes_named`], [`psum`], [`pmean`], [`pmax`], [`pmin`], [`axis_index`], [`all_gather`], [`psum_scatter`] |
//! | compiled functions | [`jit`], [`Jit`], [`Plan`], [`Budget`], [`IntoBudget`], [`Strategy`], [`Phase`], [`PhaseKind`] |
//! | control flow | [`cond`], [`switch`], [`scan`], [`scan_with`], [`fori_loop`], [`while_loop`], [`while_loop_with`], [`Checkpoints`], [`associative_scan`] |
//! | rules of your own | [`custom_jvp`], [`custom_jvp_with_output`], [`custom_jvp_with_residuals`], [`custom_jvp_checked`], [`custom_vjp`], [`external`] |
//! | tensors | [`Tensor`], [`DType`], [`Shape`], [`Axes`], [`Extents`], [`Stencil`], [`Key`] for random numbers |
//! | elements and literals | [`Element`], [`F16`], [`Bf16`], [`Array`], [`Literal`], [`Number`] |
//! | structs of tensors | [`Tree`], [`TreePath`], [`Structure`] |
//! | checks and errors | [`check_grads`], [`CheckError`], [`Error`], [`ErrorKind`], [`Result`], [`Site`], [`scope`], [`raise`] |
//! | where programs run, and how fast | [`Device`], [`backend`], [`Profile`], [`KernelProfile`], [`Peaks`] |
//! | memory of the process | [`memory()`], [`Memory`], [`set_memory_limit`], [`set_kept_limit`], [`release_memory`] |
//! | other libraries | [`interop`], behind features: `ndarray`, `nalgebra`, `faer`, `half`, `image`, `serde`, `npy` |
//! | scalars | [`num`]: dual numbers, Taylor series, tapes, sparse derivatives; [`tensor_fn`], [`tensor_fn_many`] make functions of tensors of theirs |
//! | programs as values | [`core`](mod@crate::core) |
//!
//! [`prelude`] has what most programs use.

#![forbid(unsafe_code)]

extern crate self as gradus;

mod blocks;
mod device;
mod guard;
pub mod interop;
mod known;
mod literal;
mod memory;
mod programs;
mod random;
mod structure;
mod tensor;
mod trace;
mod transform;
mod tree;

pub use blocks::Blocks;
pub use device::Device;
/// Programs as values: for back ends, primitives and transforms of your own.
pub use gradus_core as core;
/// What a device has to offer, for back ends of your own.
pub use gradus_core::backend;
#[doc(inline)]
pub use gradus_core::{
    Array, Bf16, Budget, DType, Element, Error, ErrorKind, F16, Phase, PhaseKind, Result, Shape, Site,
    Strategy,
};
#[cfg(feature = "cpu")]
#[doc(inline)]
pub use gradus_cpu::exec::{KernelProfile, Profile};
#[cfg(feature = "cpu")]
#[doc(inline)]
pub use gradus_cpu::peaks::Peaks;
#[doc(inline)]
pub use gradus_derive::Tree;
/// Scalar automatic differentiation: dual numbers, Taylor series, tapes, drivers.
pub use gradus_num as num;
#[doc(inline)]
pub use gradus_plan::Plan;
pub use guard::raise;
pub use literal::{Literal, Number};
pub use memory::{Memory, memory, release_memory, set_kept_limit, set_memory_limit};
pub use random::Key;
pub use structure::Structure;
#[doc(hidden)]
pub use structure::skipped;
pub use tensor::{Axes, Extents, Stencil, Tensor};
pub use trace::scope;
pub use transform::*;
pub use tree::{Tree, TreePath};

/// What most programs need: `use gradus::prelude::*;`.
pub mod prelude {
    pub use crate::{Axes, DType, Device, Element, Key, Shape, Stencil, Tensor, Tree};
    pub use crate::{grad, hessian, jacobian, jit, jvp, value_and_grad, vjp, vmap};
}

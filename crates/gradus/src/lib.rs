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
//! | | |
//! |---|---|
//! | transforms | [`grad`], [`value_and_grad`], [`jvp`], [`vjp`], [`linearize`], [`jacobian`], [`jacfwd`], [`jacrev`], [`hessian`], [`hvp`], [`vmap`], [`checkpoint`], [`jit`] |
//! | axes with names | [`vmap_named`], [`psum`], [`pmean`], [`pmax`], [`pmin`], [`axis_index`], [`all_gather`], [`psum_scatter`] |
//! | control flow | [`cond`], [`switch`], [`scan`], [`fori_loop`], [`while_loop`], [`associative_scan`] |
//! | rules of your own | [`custom_jvp`], [`custom_vjp`], [`external`] |
//! | tensors | [`Tensor`], [`DType`], [`Shape`], [`Axes`], [`Key`] for random numbers, [`Tree`] for structs of tensors, [`Blocks`] for their Jacobians |
//! | compiled functions | [`Jit`], [`Plan`], [`Budget`], [`Strategy`], [`Checkpoints`] |
//! | where programs run | [`Device`], [`backend`], [`memory()`] |
//! | checks and errors | [`check_grads`], [`Error`], [`ErrorKind`], [`Site`], [`scope`] |
//! | other libraries | `interop`, behind features: `ndarray`, `nalgebra`, `faer`, `half`, `image`, `serde`, `npy` |
//! | numbers | [`num`]: dual numbers, Taylor series, tapes, sparse derivatives |
//! | programs | [`core`](mod@crate::core) |

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

/// The examples of the page about other libraries, run as tests with all features.
#[cfg(all(
    doctest,
    feature = "faer",
    feature = "half",
    feature = "image",
    feature = "nalgebra",
    feature = "ndarray",
    feature = "npy",
    feature = "serde"
))]
#[doc = include_str!("../../../docs/interop.md")]
struct OtherLibraries;

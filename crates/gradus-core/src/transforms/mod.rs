//! Functions from graph to graph: [`jvp`], [`linearize`], [`transpose`], [`vmap`], and what is made of them.
//!
//! Each transform walks the equations once and asks every primitive for one cell of its row. The `_inline`
//! forms emit into a builder; control-flow primitives use them on their sub-graphs.

mod derive;
mod faults;
pub(crate) mod flow;
mod jvp;
mod linear;
mod linearize;
mod loops;
mod prune;
mod settle;
mod transpose;
mod vmap;

pub use derive::{value_and_grad, vjp};
pub(crate) use faults::guarded;
pub use faults::{Status, with_status};
pub use jvp::{jvp, jvp_inline};
pub use linear::{Linearity, check_linear};
pub use linearize::{Linearized, linearize};
pub(crate) use linearize::{Residual, split};
pub use loops::checkpoint_loops;
pub use prune::{prune, reordered};
pub use settle::settled;
pub use transpose::{linear_form, pushed, transpose, transpose_inline, transposed};
pub use vmap::{Lanes, vmap, vmap_inline};

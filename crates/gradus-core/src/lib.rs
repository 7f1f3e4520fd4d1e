//! Tensor programs as values.
//!
//! A [`Graph`] is a closed, typed list of equations over a closed set of primitives ([`ops`]). Each primitive
//! states its row of the op table ([`Primitive`]); every transform ([`transforms`]) is a function from graph to
//! graph written over those rows. [`interpret`] runs a graph slowly and plainly, as the oracle for fast back ends.

#![forbid(unsafe_code)]

mod array;
pub mod backend;
mod builder;
pub mod dtype;
mod error;
pub mod files;
mod finite;
pub mod graph;
#[cfg(feature = "half")]
mod half;
pub mod memory;
pub mod nest;
pub mod ops;
mod phase;
mod primitive;
#[doc(hidden)]
pub mod quick;
mod record;
#[cfg(feature = "serde")]
mod serial;
pub mod shape;
mod strided;
mod sym;
#[cfg(feature = "table")]
pub mod table;
pub mod transforms;

pub use array::{Array, Buffer, Element, Elements};
pub use backend::{Backend, Budget, Executable, Storage, Strategy};
pub use builder::{Builder, DEAD, Origin, check_arguments, interpret};
pub use dtype::{Bf16, CastTo, DType, F16};
pub use error::{Error, ErrorKind, Result, Site};
pub use finite::{NotFinite, first_not_finite};
pub use gradus_num::{Binary, Unary};
pub use graph::{Eqn, Graph, Type, Var};
pub use ops::Op;
pub use phase::{Phase, PhaseKind};
pub use primitive::{Arrays, Batched, Cost, Doc, Jvp, Operand, Primitive, Tangents, Types};
pub use record::record_scalar;
pub use shape::Shape;

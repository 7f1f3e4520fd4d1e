//! Element-wise functions on slices of `f32` and `f64`, vectorised for the machine they run on.
//!
//! Each function is written once as ordinary branch-free code over a few primitives (`isa`) and compiled for
//! every instruction set of the architecture; [`InstructionSet::current`] is chosen when the program runs. Results are within
//! 2 units in the last place of the exact value (`lgamma` and `polygamma` near their zeros excepted), with the IEEE
//! results at zeros, subnormals, infinities and NaN. An element's result depends on its value alone, never on its
//! position or on the length of the slice.
//!
//! * [`unary`], [`binary`], [`compare`], [`select`]: safe, on slices; `*_in_place` where it applies;
//! * `*_raw`: the same on pointers, for callers that have checked lengths already; the output may be an operand;
//! * `*_raw_at`: for a given instruction set, for tests and measurements.

mod binary;
#[rustfmt::skip]
mod coefficients;
mod erf;
mod exp;
mod far;
mod float;
pub(crate) mod fused;
mod hyperbolic;
mod inverse;
pub(crate) mod isa;
pub(crate) use isa::Baseline;
mod log;
pub(crate) mod loops;
mod power;
pub(crate) mod short;
pub(crate) mod small;
pub(crate) mod step;
pub(crate) mod sum;
mod trig;
pub(crate) mod twin;
mod unary;

pub use binary::{
    Compare, Operand, RawOperand, binary, binary_in_place, binary_raw, binary_raw_at, compare, compare_raw,
    select, select_raw,
};
pub use float::{Float, Lanes};
pub use isa::{InstructionSet, InstructionSetError, Isa, Num};
pub use unary::{unary, unary_in_place, unary_raw, unary_raw_at};

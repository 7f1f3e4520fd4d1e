//! Values of the elementary and special functions at `f64`.
//!
//! With the `std` feature the platform's functions serve where they are accurate to 2 units in the last place;
//! the rest come from `libm` or are written here. Without it everything comes from `libm` or is written here.

pub(crate) mod elementary;
mod gamma;
mod lgamma;
pub(crate) mod special;

pub use elementary::*;
pub use gamma::polygamma;
pub use lgamma::lgamma;
pub use special::*;

//! The traits of other libraries for the numbers of this one, each behind a feature of its name.

#[cfg(feature = "nalgebra")]
mod nalgebra;
#[cfg(feature = "ndarray")]
mod ndarray;
mod num_traits;

//! Forward-mode drivers: plain closures at one number type.
//!
//! Each driver seeds dual numbers with directions, calls the closure, and reads the tangents off. `N`, the
//! number of directions carried through one call, comes from the closure's argument type; `n` inputs take
//! `⌈n/N⌉` calls. The `_into` forms write into the caller's buffers and, after a first call at a size, allocate
//! nothing. All are generic over the inner number `T`, so that a driver may be called within a function that
//! is itself being differentiated: the levels are different types and cannot be confused.
//!
//! ```
//! use gradus_num::{Real64, forward};
//!
//! fn rosenbrock<R: Real64>(x: &[R]) -> R {
//!     let (a, b) = (x[0] - 1.0, x[1] - x[0] * x[0]);
//!     a * a + b * b * 100.0
//! }
//! assert_eq!(forward::gradient::<_, 2>(rosenbrock, &[2.0, 1.0]), [2402.0, -600.0]);
//! ```

mod first;
mod mixed;
mod second;
mod series;

pub use first::{
    derivative, directional, gradient, gradient_into, jacobian, jacobian_into, value_and_derivative,
    value_and_gradient,
};
pub use second::{
    hessian, hessian_into, hvp, hvp_into, laplacian, laplacian_into, second_derivative, second_directional,
};

pub use mixed::{MultiTaylor, partial};
pub use series::{taylor, taylor_along, taylor_along_into};

use alloc::vec::Vec;

use crate::{Dual, Real};

/// A number whose derivative is differentiated again: one inner direction, `N` outer ones.
///
/// Second order is a nested dual number. A dedicated second-order type would carry the same four parts through
/// the same nine multiplications a product, and would need a second-derivative formula an operation.
pub type Dual2<T, const N: usize> = Dual<Dual<T, 1>, N>;

/// Why a driver refuses its arguments.
fn same_len(what: &str, expected: usize, got: usize) {
    assert!(expected == got, "{what} has length {got}, but {expected} is needed");
}

/// Fills `work` with the constants `x`, reusing its memory.
fn seed<T: Real, const N: usize>(work: &mut Vec<Dual<T, N>>, x: &[T]) {
    const { assert!(N > 0, "a dual number needs at least one tangent here") };
    work.clear();
    work.extend(x.iter().map(|&xi| Dual::constant(xi)));
}

/// Calls `visit(work, start, width)` with the unit tangents of inputs `start..start + width` set.
fn chunks<T: Real, const N: usize>(
    work: &mut [Dual<T, N>],
    mut visit: impl FnMut(&[Dual<T, N>], usize, usize),
) {
    let n = work.len();
    for start in (0..n).step_by(N) {
        let width = N.min(n - start);
        for lane in 0..width {
            work[start + lane].tangent[lane] = T::one();
        }
        visit(work, start, width);
        for lane in 0..width {
            work[start + lane].tangent[lane] = T::zero();
        }
    }
}

//! Dual numbers: forward mode on one scalar type.
//!
//! A [`Dual`] carries a primal and `N` tangents through the same arithmetic. Every elementary function asks
//! its rule for the local derivative and scales the tangents by it; since the parts may themselves be dual,
//! nesting gives higher orders with no further formula.

mod convert;
mod functions;
mod operators;
#[cfg(feature = "std")]
mod tracked;
#[cfg(feature = "std")]
mod unguarded;

use core::hint::black_box;

use crate::Real;
#[cfg(feature = "std")]
pub(crate) use tracked::Tracked;
#[cfg(feature = "std")]
pub(crate) use unguarded::Unguarded;

/// A value and `N` tangents: `primal + Σ tangent[i] εᵢ` with `εᵢ εⱼ = 0`.
///
/// Comparisons look at the primal alone. A tangent that is exactly zero stays zero whatever it is multiplied
/// with, so a constant below `√0` does not turn into NaN. (Over `f64` a tangent cannot tell that nothing depends on a direction
/// from a derivative that happens to be 0, and takes either for the first: `√(x²)` has the tangent 0 at 0. The drivers
/// that take a [`ScalarFn`](crate::ScalarFn) or [`VectorFn`](crate::VectorFn) tell, and so does the tape: there it is NaN.)
///
/// ```
/// use gradus_num::{Dual, Scalar};
///
/// // f(x, y) = x² sin y at (2, 0): f = 0, ∂f/∂x = 0, ∂f/∂y = 4.
/// let x = Dual::<f64, 2>::variable(2.0, 0);
/// let y = Dual::<f64, 2>::variable(0.0, 1);
/// let f = x * x * y.sin();
/// assert_eq!(f.tangent, [0.0, 4.0]);
///
/// // Nested: d²/dx² x³ at 2 is 12.
/// let x = Dual::<Dual<f64, 1>, 1>::variable(Dual::variable(2.0, 0), 0);
/// assert_eq!((x * x * x).tangent[0].tangent[0], 12.0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Dual<T, const N: usize> {
    /// The value.
    pub primal: T,
    /// The derivatives of the value in `N` directions.
    pub tangent: [T; N],
}

/// A dual number with one tangent.
pub type Dual1<T> = Dual<T, 1>;

impl<T: Real, const N: usize> Dual<T, N> {
    /// A number with the given tangents.
    #[inline]
    pub const fn new(primal: T, tangent: [T; N]) -> Self {
        Self { primal, tangent }
    }

    /// A number that does not depend on any direction.
    #[inline]
    pub fn constant(primal: T) -> Self {
        Self { primal, tangent: [T::zero(); N] }
    }

    /// The independent variable of direction `index`: tangent 1 there and 0 elsewhere.
    ///
    /// # Panics
    /// If `index >= N`.
    #[inline]
    pub fn variable(primal: T, index: usize) -> Self {
        let mut tangent = [T::zero(); N];
        tangent[index] = T::one();
        Self { primal, tangent }
    }

    /// The result `out` of a function whose local derivative is `slope`.
    #[inline]
    pub(crate) fn chain(&self, out: T, slope: T) -> Self {
        if T::GUARDED && !slope.parts_finite() {
            let guarded = black_box(guarded_chain(black_box(self.tangent), slope));
            let mut tangent = self.tangent;
            for (t, g) in tangent.iter_mut().zip(guarded) {
                *t = g;
            }
            return Self { primal: out, tangent };
        }
        let mut tangent = self.tangent;
        for t in &mut tangent {
            *t = t.mul_part(slope);
        }
        Self { primal: out, tangent }
    }

    /// The result `out` of a function of two arguments with the local derivatives `px` and `py`.
    #[inline]
    pub(crate) fn chain2(&self, rhs: &Self, out: T, px: T, py: T) -> Self {
        if T::GUARDED && !(px.parts_finite() && py.parts_finite()) {
            return self.combine_guarded(rhs, out, px, py);
        }
        self.combine(rhs, out, px, py)
    }

    #[inline]
    pub(super) fn combine(&self, rhs: &Self, out: T, px: T, py: T) -> Self {
        let mut tangent = self.tangent;
        for i in 0..N {
            tangent[i] = tangent[i].mul_part(px) + rhs.tangent[i].mul_part(py);
        }
        Self { primal: out, tangent }
    }

    /// [`combine`](Self::combine) where a partial is not finite: a tangent that is exactly zero stays zero.
    ///
    /// The work is out of line, and `black_box` gives the call arrays of its own: were the numbers of the fast path passed by
    /// address, or the result returned into one, they would have to live in memory there too. (On products of
    /// dual numbers with 8 tangents that is worth a third of the time.)
    #[inline(always)]
    pub(super) fn combine_guarded(&self, rhs: &Self, out: T, px: T, py: T) -> Self {
        let guarded = black_box(guarded(black_box(self.tangent), black_box(rhs.tangent), px, py));
        let mut tangent = self.tangent;
        for (t, g) in tangent.iter_mut().zip(guarded) {
            *t = g;
        }
        Self { primal: out, tangent }
    }

    /// Whether every tangent is exactly zero.
    #[inline]
    pub fn is_constant(&self) -> bool {
        self.tangent.iter().all(Real::parts_zero)
    }
}

#[cold]
#[inline(never)]
fn guarded_chain<T: Real, const N: usize>(x: [T; N], slope: T) -> [T; N] {
    x.map(|t| t.mul_guarded(slope))
}

#[cold]
#[inline(never)]
fn guarded<T: Real, const N: usize>(x: [T; N], y: [T; N], px: T, py: T) -> [T; N] {
    core::array::from_fn(|i| x[i].mul_guarded(px) + y[i].mul_guarded(py))
}

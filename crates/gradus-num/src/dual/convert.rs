//! Display.

use core::fmt;

use super::Dual;
use crate::Real;

impl<T: Real + fmt::Display, const N: usize> fmt::Display for Dual<T, N> {
    /// `primal + [t0, t1]ε`; the format's precision applies to every part.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.primal, f)?;
        f.write_str(" + [")?;
        for (i, t) in self.tangent.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            fmt::Display::fmt(t, f)?;
        }
        f.write_str("]ε")
    }
}

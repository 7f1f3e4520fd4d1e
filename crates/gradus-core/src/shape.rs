//! Shapes, strides and NumPy broadcasting.

use core::fmt;
use core::ops::{Deref, DerefMut};

use smallvec::SmallVec;

use crate::ErrorKind;

/// Bytes of an element of the widest dtype.
const WIDEST: usize = 8;

/// The extents of a tensor, outermost axis first. A scalar has none.
///
/// A `Shape` may say anything, as a caller may ask for anything. [`checked`](Shape::checked) is the one test of whether
/// a tensor can have it, and every [`Type`](crate::Type) and [`Array`](crate::Array) has passed it: sizes, bytes, strides
/// and offsets of those are computed without a further thought of overflow.
#[derive(PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Shape(SmallVec<[usize; 4]>);

impl Clone for Shape {
    #[inline]
    fn clone(&self) -> Self {
        // Moves of a known size; the vector's own clone goes extent by extent.
        let mut inline = [0; 4];
        match self.0[..] {
            [] => {}
            [a] => inline[0] = a,
            [a, b] => inline[..2].copy_from_slice(&[a, b]),
            [a, b, c] => inline[..3].copy_from_slice(&[a, b, c]),
            [a, b, c, d] => inline = [a, b, c, d],
            _ => return Shape(SmallVec::from_slice(&self.0)),
        }
        Shape(SmallVec::from_buf_and_len(inline, self.0.len()))
    }
}

impl Shape {
    /// The shape of a scalar.
    pub fn scalar() -> Self {
        Shape::default()
    }

    /// Number of elements: the product of the extents, 1 for a scalar; `usize::MAX` where that is too large for a
    /// `usize`, so that it equals the length of nothing.
    #[inline]
    pub fn size(&self) -> usize {
        self.0.iter().fold(1, |n, &extent| extent.saturating_mul(n))
    }

    /// The bytes of a tensor of this shape at the widest dtype, extents of 0 counted as 1 because strides do not vanish
    /// with them.
    fn widest_bytes(&self) -> u128 {
        self.0.iter().fold(WIDEST as u128, |n, &extent| n.saturating_mul(extent.max(1) as u128))
    }

    /// Whether a tensor can have this shape.
    #[inline]
    fn fits(&self) -> bool {
        let most = isize::MAX as usize / WIDEST;
        let mut elements = 1usize;
        let mut fits = true;
        for &extent in &self.0 {
            let (product, overflow) = elements.overflowing_mul(extent.max(1));
            fits &= !overflow;
            elements = product;
        }
        fits && elements <= most
    }

    /// The shape, if a tensor can have it whatever its dtype: the elements at 8 bytes each, and so all strides and
    /// offsets, within `isize::MAX`. An extent of 0 counts as 1.
    ///
    /// ```
    /// use gradus_core::{ErrorKind, Shape};
    /// assert_eq!(Shape::from([2, 3]).checked("zeros")?.size(), 6);
    /// let absurd = Shape::from([usize::MAX, 4]).checked("zeros");
    /// assert!(matches!(absurd, Err(ErrorKind::TooLarge { op: "zeros", .. })));
    /// # Ok::<(), ErrorKind>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`], on behalf of `op`.
    #[inline]
    pub fn checked(self, op: &'static str) -> Result<Self, ErrorKind> {
        if self.fits() { Ok(self) } else { Err(self.too_large(op)) }
    }

    #[cold]
    fn too_large(self, op: &'static str) -> ErrorKind {
        let bytes = self.widest_bytes();
        ErrorKind::TooLarge { op, shape: self, bytes }
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Distance between neighbours along each axis, in elements, of a row-major array. They saturate where no tensor
    /// can have the shape.
    pub fn strides(&self) -> SmallVec<[isize; 4]> {
        let mut strides: SmallVec<[isize; 4]> = SmallVec::from_elem(0, self.rank());
        let mut step: isize = 1;
        for axis in (0..self.rank()).rev() {
            strides[axis] = step;
            step = step.saturating_mul(isize::try_from(self.0[axis]).unwrap_or(isize::MAX));
        }
        strides
    }

    /// The shape with `extent` put in before `axis`.
    pub fn insert(&self, axis: usize, extent: usize) -> Self {
        let mut out = self.clone();
        out.0.insert(axis, extent);
        out
    }

    /// The shape without `axis`.
    pub fn remove(&self, axis: usize) -> Self {
        let mut out = self.clone();
        out.0.remove(axis);
        out
    }

    /// The shape without every axis in `axes`.
    pub fn without(&self, axes: &[usize]) -> Self {
        self.iter().enumerate().filter(|(a, _)| !axes.contains(a)).map(|(_, &d)| d).collect()
    }

    /// The extents of `axes`, in that order.
    pub fn select(&self, axes: &[usize]) -> Self {
        axes.iter().map(|&a| self[a]).collect()
    }

    /// The shape followed by `other`.
    pub fn concat(&self, other: &[usize]) -> Self {
        self.iter().chain(other).copied().collect()
    }

    /// NumPy broadcasting: axes are matched from the last; an extent of 1 stretches, a missing axis counts as 1.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let mut out = Shape(SmallVec::from_elem(1, rank));
        for axis in 0..rank {
            let extent = |s: &Shape| {
                let skip = rank - s.rank();
                if axis < skip { 1 } else { s[axis - skip] }
            };
            out[axis] = match (extent(self), extent(other)) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
        Some(out)
    }
}

/// Resolves a possibly negative axis of a tensor of `rank` axes.
pub fn resolve_axis(op: &'static str, axis: isize, rank: usize) -> Result<usize, ErrorKind> {
    let resolved = if axis < 0 { axis + rank as isize } else { axis };
    if resolved < 0 || resolved >= rank as isize {
        return Err(ErrorKind::Axis { op, axis, rank });
    }
    Ok(resolved as usize)
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}
impl DerefMut for Shape {
    fn deref_mut(&mut self) -> &mut [usize] {
        &mut self.0
    }
}
impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(iter: I) -> Self {
        Shape(iter.into_iter().collect())
    }
}
impl From<&[usize]> for Shape {
    fn from(extents: &[usize]) -> Self {
        Shape(SmallVec::from_slice(extents))
    }
}
impl<const N: usize> From<[usize; N]> for Shape {
    fn from(extents: [usize; N]) -> Self {
        Shape(SmallVec::from_slice(&extents))
    }
}
impl<const N: usize> From<&[usize; N]> for Shape {
    fn from(extents: &[usize; N]) -> Self {
        Shape(SmallVec::from_slice(extents))
    }
}
impl From<Vec<usize>> for Shape {
    fn from(extents: Vec<usize>) -> Self {
        Shape(SmallVec::from_vec(extents))
    }
}
impl From<&Vec<usize>> for Shape {
    fn from(extents: &Vec<usize>) -> Self {
        Shape(SmallVec::from_slice(extents))
    }
}
impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, extent) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{extent}")?;
        }
        f.write_str("]")
    }
}
impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

//! Shapes, strides and NumPy broadcasting.

use core::fmt;
use core::ops::{Deref, DerefMut};

use smallvec::SmallVec;

use crate::ErrorKind;

/// The extents of a tensor, outermost axis first. A scalar has none.
#[derive(PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Shape(SmallVec<[usize; 4]>);

impl Clone for Shape {
    #[inline]
    fn clone(&self) -> Self {
        // One copy of memory; the vector's own clone goes extent by extent.
        Shape(SmallVec::from_slice(&self.0))
    }
}

impl Shape {
    /// The shape of a scalar.
    pub fn scalar() -> Self {
        Shape::default()
    }

    /// Number of elements: the product of the extents, 1 for a scalar.
    pub fn size(&self) -> usize {
        self.0.iter().product()
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Distance between neighbours along each axis, in elements, of a row-major array.
    pub fn strides(&self) -> SmallVec<[isize; 4]> {
        let mut strides: SmallVec<[isize; 4]> = SmallVec::from_elem(0, self.rank());
        let mut step = 1;
        for axis in (0..self.rank()).rev() {
            strides[axis] = step as isize;
            step *= self.0[axis];
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

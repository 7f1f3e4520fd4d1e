//! Strided views: reshape, permute, broadcast, slice and reverse without moving elements.

use gradus_core::Shape;
use gradus_core::ops::{Broadcast, Op};
use smallvec::SmallVec;

/// An extent and the distance between neighbours, in elements.
pub type Dim = (usize, isize);

/// How the elements of a value are read from a row-major buffer: element `(i, j, …)` lies at
/// `offset + i·stride₀ + j·stride₁ + …`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Where the first element lies.
    pub offset: isize,
    /// Extents and strides, outermost first.
    pub dims: SmallVec<[Dim; 4]>,
}

impl Clone for View {
    #[inline]
    fn clone(&self) -> Self {
        // The vector's own clone copies dim by dim.
        View { offset: self.offset, dims: SmallVec::from_slice(&self.dims) }
    }
}

impl View {
    /// All of a row-major buffer of this shape.
    pub fn of(shape: &Shape) -> Self {
        View { offset: 0, dims: shape.iter().copied().zip(shape.strides()).collect() }
    }

    /// Number of elements.
    pub fn size(&self) -> usize {
        self.dims.iter().map(|d| d.0).product()
    }

    /// Whether the elements are read in order, from the first, without gaps.
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1;
        for &(extent, stride) in self.dims.iter().rev() {
            if extent == 1 {
                continue;
            }
            if stride != step {
                return extent == 0;
            }
            step *= extent as isize;
        }
        self.offset == 0
    }

    /// Whether every element is the same one.
    pub fn is_scalar(&self) -> bool {
        self.dims.iter().all(|d| d.0 == 1 || d.1 == 0)
    }

    /// The same elements in the same order under fewer dims: extents of 1 dropped, adjacent dims merged where their
    /// strides allow.
    pub fn collapsed(&self) -> Self {
        let mut dims: SmallVec<[Dim; 4]> = SmallVec::new();
        for &(extent, stride) in self.dims.iter().filter(|d| d.0 != 1) {
            match dims.last_mut() {
                Some(last) if last.1 == stride * extent as isize => *last = (last.0 * extent, stride),
                _ => dims.push((extent, stride)),
            }
        }
        View { offset: self.offset, dims }
    }

    /// This view after a movement primitive; `None` if elements have to be moved, or the primitive is not movement.
    pub fn moved(&self, op: &Op) -> Option<Self> {
        let mut offset = self.offset;
        let dims = match op {
            Op::Reshape(to) => return self.reshaped(&to.0),
            Op::Permute(p) => p.axes.iter().map(|&a| self.dims[a]).collect(),
            Op::Broadcast(p) => self.broadcast(p),
            Op::Slice(p) => {
                let mut dims = self.dims.clone();
                for (axis, dim) in dims.iter_mut().enumerate() {
                    let (start, stop, step) = (p.start[axis], p.stop[axis], p.step[axis]);
                    offset += dim.1 * start as isize;
                    *dim = ((stop - start).div_ceil(step), p.stride(axis, dim.1));
                }
                dims
            }
            Op::Reverse(p) => {
                let mut dims = self.dims.clone();
                for &axis in &p.axes {
                    offset += dims[axis].1 * (dims[axis].0 as isize - 1);
                    dims[axis].1 = -dims[axis].1;
                }
                dims
            }
            _ => return None,
        };
        Some(View { offset, dims })
    }

    fn broadcast(&self, p: &Broadcast) -> SmallVec<[Dim; 4]> {
        let mut dims: SmallVec<[Dim; 4]> = p.shape.iter().map(|&extent| (extent, 0)).collect();
        for (&(extent, stride), &axis) in self.dims.iter().zip(&p.axes) {
            if extent == dims[axis].0 {
                dims[axis].1 = stride;
            }
        }
        dims
    }

    /// The same elements in order under another shape, if strides can express it.
    pub fn reshaped(&self, shape: &Shape) -> Option<Self> {
        let merged = self.collapsed();
        let mut from = merged.dims.iter().copied();
        let mut dims = SmallVec::new();
        let mut left: Dim = (1, 0);
        if self.size() == 0 {
            return Some(View::of(shape));
        }
        for &extent in shape.iter() {
            if extent == 1 {
                dims.push((1, 0));
                continue;
            }
            if left.0 == 1 {
                left = from.next()?;
            }
            if !left.0.is_multiple_of(extent) {
                return None;
            }
            left.0 /= extent;
            dims.push((extent, left.1 * left.0 as isize));
        }
        Some(View { offset: self.offset, dims })
    }

    /// Whether every element read is one of the first `elements` of the buffer.
    pub fn lies_within(&self, elements: usize) -> bool {
        let (mut low, mut high) = (self.offset as i128, self.offset as i128);
        for &(extent, stride) in &self.dims {
            let span = (extent as i128 - 1) * stride as i128;
            if span < 0 { low += span } else { high += span }
        }
        self.dims.iter().any(|d| d.0 == 0) || (low >= 0 && high < elements as i128)
    }

    /// Whether an element can be read more than once.
    pub fn repeats(&self) -> bool {
        self.dims.iter().any(|d| d.0 > 1 && d.1 == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_core::ops::{Permute, Reshape};

    #[test]
    fn reshape_splits_and_merges_where_strides_allow() {
        let v = View::of(&Shape::from([2, 3, 4]));
        assert!(v.reshaped(&Shape::from([6, 2, 2])).unwrap().is_contiguous());
        let t = v.moved(&Op::Permute(Permute { axes: [1, 0, 2].into_iter().collect() })).unwrap();
        assert!(!t.is_contiguous());
        assert!(t.moved(&Op::Reshape(Reshape(Shape::from([6, 4])))).is_none());
        let split = t.reshaped(&Shape::from([3, 1, 2, 2, 2])).unwrap();
        assert_eq!(split.dims.as_slice(), [(3, 4), (1, 0), (2, 12), (2, 2), (2, 1)]);
    }

    #[test]
    fn a_repeated_row_collapses_to_two_dims() {
        let row = View::of(&Shape::from([4]));
        let op = Broadcast { shape: Shape::from([2, 3, 4]), axes: [2].into_iter().collect() };
        let v = row.moved(&op.into()).unwrap();
        assert_eq!(v.collapsed().dims.as_slice(), [(6, 0), (4, 1)]);
        assert!(v.repeats() && !v.is_scalar());
    }
}

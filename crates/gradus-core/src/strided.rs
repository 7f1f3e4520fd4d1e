//! Copying between row-major buffers through arbitrary strides: all the movement primitives are this.

use crate::Shape;

/// Calls `f(linear, offset)` for every index of `shape` in row-major order, where `offset` is the dot product of
/// the index with `strides`, plus `start`.
#[inline]
pub(crate) fn for_each(shape: &[usize], start: isize, strides: &[isize], mut f: impl FnMut(usize, isize)) {
    if shape.contains(&0) {
        return;
    }
    let Some((&inner, outer)) = shape.split_last() else { return f(0, start) };
    let inner_stride = strides[outer.len()];
    let mut index = vec![0usize; outer.len()];
    let (mut linear, mut base) = (0, start);
    loop {
        let mut offset = base;
        for _ in 0..inner {
            f(linear, offset);
            linear += 1;
            offset += inner_stride;
        }
        let mut axis = outer.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            base += strides[axis];
            if index[axis] < outer[axis] {
                break;
            }
            base -= strides[axis] * outer[axis] as isize;
            index[axis] = 0;
        }
    }
}

/// The elements of `src` at every index of `shape`, read through strides.
pub(crate) fn gather<T: Copy>(src: &[T], shape: &Shape, start: isize, strides: &[isize]) -> Vec<T> {
    let mut out = Vec::with_capacity(shape.size());
    for_each(shape, start, strides, |_, offset| out.push(src[offset as usize]));
    out
}

/// Writes the row-major `src` of `shape` into `dst` through strides.
pub(crate) fn scatter<T: Copy>(dst: &mut [T], src: &[T], shape: &Shape, start: isize, strides: &[isize]) {
    for_each(shape, start, strides, |linear, offset| dst[offset as usize] = src[linear]);
}

/// Splits a shape around one axis: the product of the extents before it, its own, and the product after. The first is 0
/// for a shape without elements, however large its other extents are, so that no loop runs over nothing.
pub(crate) fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    if shape.contains(&0) {
        return (0, shape[axis], shape[axis + 1..].iter().product());
    }
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

//! The operands of the inner kernel: the planes of the input with their padding, and the kernel in panels.
//!
//! Invariant: the convolution is sized; a plane that is copied can hold its padded extents.

use std::ops::Range;

use super::segments::{Line, write};
use super::{Conv, Job, Spatial};
use crate::matmul::{Element, transpose};
use crate::reduce::Shared;
use crate::vmath::Float;

/// Planes of the padded input that a range of results meets, one after another.
#[derive(Clone, Copy)]
pub(super) struct Planes {
    /// Extents of a plane.
    pub extent: Spatial,
    /// Where a plane begins, counted in the padded and dilated input.
    pub first: Spatial,
}

impl Planes {
    /// The planes that results from `first` on, `count` along each axis, meet.
    pub fn of(conv: &Conv, first: Spatial, count: Spatial) -> Self {
        Planes {
            extent: std::array::from_fn(|d| {
                (count[d] - 1) * conv.stride[d] + (conv.kernel[d] - 1) * conv.rhs_dilation[d] + 1
            }),
            first: std::array::from_fn(|d| first[d] * conv.stride[d]),
        }
    }

    /// Elements of a plane.
    pub fn size(&self) -> usize {
        // For extreme padding only the size is computed: it may exceed a `usize`.
        self.extent.iter().fold(1, |n, &extent| extent.saturating_mul(n))
    }

    /// Where a result and a tap meet, the result counted from the first.
    pub fn at(&self, conv: &Conv, position: Spatial, tap: Spatial) -> usize {
        (0..3).fold(0, |at, d| {
            at * self.extent[d] + position[d] * conv.stride[d] + tap[d] * conv.rhs_dilation[d]
        })
    }

    /// Writes one plane of the input.
    ///
    /// # Safety
    /// `x` points to a plane of the convolution's input, and `to` can hold [`size`](Self::size) elements.
    pub unsafe fn copy<T: Float>(&self, conv: &Conv, x: *const T, to: *mut T) {
        let width = self.extent[2];
        let spread = conv.lhs_dilation[2];
        let first = self.first[2] as isize - conv.low[2];
        for line in 0..self.extent[0] * self.extent[1] {
            let at = [line / self.extent[1], line % self.extent[1]];
            let mut plane = Some(0);
            for d in 0..2 {
                let i = (self.first[d] + at[d]) as isize - conv.low[d];
                let step = conv.lhs_dilation[d] as isize;
                let inside = i >= 0 && i % step == 0 && i / step < conv.input[d] as isize;
                plane = plane.filter(|_| inside).map(|p| p * conv.input[d] + (i / step) as usize);
            }
            // SAFETY: the caller's promise; the line lies inside the plane, the segment inside a line of the input.
            unsafe {
                let to = to.add(line * width);
                match plane {
                    None => std::slice::from_raw_parts_mut(to, width).fill(T::ZERO),
                    Some(row) if spread == 1 => {
                        let along = Line { first, step: 1, extent: conv.input[2] };
                        let segment = along.segment(width, row * conv.input[2]);
                        write(&segment, x, to);
                    }
                    Some(row) => {
                        for j in 0..width {
                            let i = first + j as isize;
                            let inside = i >= 0
                                && i % spread as isize == 0
                                && i / (spread as isize) < conv.input[2] as isize;
                            let from = row * conv.input[2] + if inside { i as usize / spread } else { 0 };
                            *to.add(j) = if inside { *x.add(from) } else { T::ZERO };
                        }
                    }
                }
            }
        }
    }
}

/// Elements of a kernel's panels that a task packs at least.
const GRAIN: usize = 1 << 14;

/// The kernel of every group, in panels: for each group, panel and inner index a row of columns, zeros beyond
/// the last.
pub(super) struct Panels<T> {
    elements: Shared<T>,
    /// Panels of a group.
    pub panels: usize,
    inner: usize,
}

impl<T: Float + Element> Panels<T> {
    /// Panels of a group.
    pub fn count_of(conv: &Conv, width: usize) -> usize {
        conv.group_outputs().div_ceil(width)
    }

    /// Elements of all panels.
    pub fn elements_of(conv: &Conv, width: usize) -> usize {
        conv.group_count() * Self::count_of(conv, width) * conv.group_channels() * conv.taps() * width
    }

    /// Packs the kernel to `elements`, which can hold it.
    pub fn new(job: &Job<'_, T>, elements: Shared<T>) -> Self {
        let (conv, width) = (job.conv, T::width());
        let panels = Self::count_of(conv, width);
        let inner = conv.group_channels() * conv.taps();
        let piece = (GRAIN / width).max(1);
        let pieces = inner.div_ceil(piece);
        job.pool.run(conv.group_count() * panels * pieces, &|task| {
            let (first, block) = (task % pieces * piece, task / pieces);
            let range = first..(first + piece).min(inner);
            // SAFETY: rows of the panel that belong to this task alone.
            unsafe {
                let to = elements.at((block * inner + first) * width);
                Self::pack(job, (block / panels, block % panels), range, to);
            }
        });
        Panels { elements, panels, inner }
    }

    /// Packs a range of inner indices of one panel.
    ///
    /// # Safety
    /// `to` can hold a row of columns for each.
    pub unsafe fn pack(job: &Job<'_, T>, (group, panel): (usize, usize), range: Range<usize>, to: *mut T) {
        let (conv, width, taps) = (job.conv, T::width(), job.conv.taps());
        let columns = (conv.group_outputs() - panel * width).min(width);
        let [_, k0, _] = conv.group_offsets(group);
        let (dense, stride) = (conv.has_dense_taps(), conv.k_strides[0] as isize);
        let corner = |c: usize| job.kernel.at(k0 + panel * width * conv.k_strides[0] + c * conv.k_strides[1]);
        // SAFETY: the taps of each of the panel's output channels, which the check of lengths covers; the caller's promise.
        unsafe {
            if columns < width {
                to.write_bytes(0, range.len() * width);
            }
            if taps == 1 {
                let from = (corner(range.start), stride, conv.k_strides[1] as isize);
                transpose(columns, range.len(), from, to, width);
                return;
            }
            let mut k = range.start;
            while k < range.end {
                let (from, t) = (corner(k / taps), k % taps);
                let count = if dense { (taps - t).min(range.end - k) } else { 1 };
                let to = to.add((k - range.start) * width);
                transpose(columns, count, (from.wrapping_offset(conv.tap(t)), stride, 1), to, width);
                k += count;
            }
        }
    }

    /// Row `inner` of a panel.
    pub fn row(&self, group: usize, panel: usize, inner: usize) -> *const T {
        self.elements.at(((group * self.panels + panel) * self.inner + inner) * T::width())
    }
}

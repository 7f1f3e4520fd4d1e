//! A convolution under way: which path it takes, what that needs, and the paths that are a call.
//!
//! Invariant: the convolution is sized and fits its operands, and the room is as large as the chosen path needs.

use super::packed::Planes;
use super::reference::linear_term;
use super::{Conv, MAX_SPATIAL, Need, Room, Spatial, along, correlate, depthwise, indirect, winograd};
use crate::Pool;
use crate::matmul::{Element, Layout, MatMul};
use crate::reduce::Shared;
use crate::vmath::Float;

/// Elements of a padded plane that are written out without a further look.
const MOST_PADDED: usize = 1 << 24;

/// Elements that a task clears at least.
const CLEARED: usize = 1 << 16;

impl Conv {
    /// Chooses the path, from the shape alone.
    pub(super) fn way(&self, target: Target) -> Way {
        if self.is_mostly_padding() {
            return Way::Apart;
        }
        let plain = target == Target::plain(&self.output());
        let positions = self.positions();
        if plain && self.is_pointwise() && positions >= 64 {
            return Way::Pointwise;
        }
        let few = plain && self.group_outputs() <= depthwise::MAX_OUTPUTS;
        if few && self.lhs_dilation == [1; 3] && positions > self.taps() {
            return Way::Depthwise;
        }
        if few && positions <= self.taps() {
            return Way::Correlate;
        }
        if plain { Way::Winograd } else { Way::Indirect }
    }

    /// Whether nearly all that the results reach is padding: too much to write out beside what is not.
    fn is_mostly_padding(&self) -> bool {
        let padded = Planes::of(self, [0; 3], self.output()).size();
        padded > MOST_PADDED && padded / 16 > self.input.iter().product::<usize>() + self.positions()
    }

    fn is_pointwise(&self) -> bool {
        let ones = [1; MAX_SPATIAL];
        self.kernel == ones
            && self.stride == ones
            && self.lhs_dilation == ones
            && self.low == [0; MAX_SPATIAL]
            && self.high == [0; MAX_SPATIAL]
            && self.group_count() == 1
    }

    /// A kernel of one tap is a matrix: `out[n] = kernel · x[n]`.
    fn product(&self) -> MatMul {
        let layout = |strides: [usize; 2]| {
            let mut layout = Layout::strided(strides[1] as isize, 1);
            layout.batch[0] = strides[0] as isize;
            layout
        };
        let weights = Layout::strided(self.k_strides[0] as isize, self.k_strides[1] as isize);
        let (x, out) = (layout(self.x_strides), layout(self.out_strides));
        let mut product = MatMul::new(self.outputs, self.positions(), self.channels, weights, x, out);
        product.batch[0] = self.batch;
        product
    }
}

/// The ways to convolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Pointwise,
    Depthwise,
    Correlate,
    Winograd,
    Indirect,
    /// By the definition.
    Apart,
}

impl Way {
    /// What it needs; the last two may end as the one after them, whose needs are theirs too.
    pub(super) fn need<T: Float + Element>(self, conv: &Conv, width: usize) -> Need {
        match self {
            Way::Pointwise => Need { packed: conv.product().packed::<T>(), ..Need::default() },
            Way::Depthwise => depthwise::need::<T>(conv),
            Way::Correlate => correlate::need::<T>(conv).either(indirect::need::<T>(conv, width)),
            Way::Winograd => winograd::need::<T>(conv, width).either(indirect::need::<T>(conv, width)),
            Way::Indirect => indirect::need::<T>(conv, width),
            Way::Apart => Need::default(),
        }
    }
}

/// A convolution under way: its operands, from their first elements on, where results go, and room to work in.
#[derive(Clone, Copy)]
pub(super) struct Job<'a, T> {
    pub(super) conv: &'a Conv,
    pub(super) pool: &'a Pool,
    pub(super) x: Shared<T>,
    pub(super) kernel: Shared<T>,
    pub(super) out: Shared<T>,
    pub(super) target: Target,
    pub(super) room: Room,
    /// Whether sums have to be taken by definition.
    pub(super) exact: bool,
}

impl<T: Float + Element> Job<'_, T> {
    /// Runs it the chosen way; true when all results are known to be finite. What is not may take another way.
    pub(super) fn dispatch(&self) -> bool {
        let finite = match self.conv.way(self.target) {
            Way::Correlate => correlate::run(self),
            Way::Winograd if !self.exact => winograd::run(self),
            Way::Winograd | Way::Indirect => false,
            Way::Apart => {
                self.apart();
                return false;
            }
            Way::Pointwise => {
                self.pointwise();
                return false;
            }
            Way::Depthwise => {
                depthwise::run(self);
                return false;
            }
        };
        if !finite {
            indirect::run(self);
        }
        finite
    }

    /// Zeros in every element of the result, and nowhere between them.
    pub(super) fn clear(&self) {
        let (conv, positions) = (self.conv, self.conv.positions());
        let planes = conv.result_batch() * conv.outputs;
        self.pool.run_ranges(planes, (CLEARED / positions).max(1), &|range| {
            for plane in range {
                let (n, o) = (plane / conv.outputs, plane % conv.outputs);
                let plane = self.out.at(n * conv.out_strides[0] + o * conv.out_strides[1]);
                // SAFETY: a plane of the result, whose room has been checked; zero bytes are zeros.
                unsafe { plane.write_bytes(0, positions) };
            }
        });
    }

    /// Each result by its definition, without memory for what it reads.
    fn apart(&self) {
        let (conv, positions, output) = (self.conv, self.conv.positions(), self.conv.output());
        self.pool.run_ranges(conv.result_batch() * conv.outputs * positions, 64, &|range| {
            for i in range {
                let (plane, p) = (i / positions, i % positions);
                let (n, o) = (plane / conv.outputs, plane % conv.outputs);
                let at = along(p, &output);
                let place =
                    self.target.offset + (0..MAX_SPATIAL).map(|d| at[d] * self.target.step[d]).sum::<usize>();
                let to = self.out.at(n * conv.out_strides[0] + o * conv.out_strides[1] + place);
                // The job's kernel begins at the first tap.
                let kernel = self.kernel.0.wrapping_sub(conv.k_first);
                // SAFETY: the operands have been checked, and the element of the result belongs to this task alone.
                unsafe { to.write(linear_term(conv, self.x.0, kernel, [n, o, p], [false; 2])) };
            }
        });
    }

    fn pointwise(&self) {
        // SAFETY: all strides have been compared with the operands' lengths, and results do not coincide.
        unsafe {
            self.conv.product().run_raw(
                self.pool,
                <T as Element>::ONE,
                self.kernel.0,
                self.x.0,
                <T as Element>::ZERO,
                self.out.0,
                &|_| (),
            );
        }
    }
}

/// Where results go inside a plane of the result: every position, or one phase of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Distance between results along each spatial axis.
    pub step: Spatial,
    /// Where the first one lies.
    pub offset: usize,
}

impl Target {
    /// Every position, one after another.
    pub(super) fn plain(output: &Spatial) -> Self {
        Target { step: [output[1] * output[2], output[2], 1], offset: 0 }
    }
}

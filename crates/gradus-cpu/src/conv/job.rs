//! A convolution in progress: its algorithm, the workspace of each algorithm, and the algorithms that are a single call.
//!
//! Invariant: the convolution is sized and fits its operands, and the workspace is as large as the chosen algorithm asks for.

use super::packed::Planes;
use super::reference::linear_term;
use super::{
    Conv, MAX_SPATIAL, Spatial, Workspace, WorkspaceSizes, along, correlate, depthwise, indirect, winograd,
};
use crate::Pool;
use crate::matmul::{Element, Layout, MatMul};
use crate::reduce::Shared;
use crate::vmath::Float;

/// Elements of a padded plane that are always written out.
const MOST_PADDED: usize = 1 << 24;

/// Elements that a task clears at least.
const CLEARED: usize = 1 << 16;

impl Conv {
    /// Chooses the algorithm, from the shape alone.
    pub(super) fn algorithm(&self, target: Target) -> Algorithm {
        if self.is_mostly_padding() {
            return Algorithm::Apart;
        }
        let plain = target == Target::plain(&self.output());
        let positions = self.positions();
        if plain && self.is_pointwise() && positions >= 64 {
            return Algorithm::Pointwise;
        }
        let few = plain && self.group_outputs() <= depthwise::MAX_OUTPUTS;
        if few && self.lhs_dilation == [1; 3] && positions > self.taps() {
            return Algorithm::Depthwise;
        }
        if few && positions <= self.taps() {
            return Algorithm::Correlate;
        }
        if plain { Algorithm::Winograd } else { Algorithm::Indirect }
    }

    /// Whether nearly all of the padded input is padding, so that writing it out would cost too much.
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

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// A kernel of one tap: a matrix product.
    Pointwise,
    Depthwise,
    Correlate,
    Winograd,
    Indirect,
    /// Each result by its definition, without a padded copy of the input.
    Apart,
}

impl Algorithm {
    /// Its workspace sizes. `Correlate` and `Winograd` may fall back to `Indirect`, so they include its sizes.
    pub(super) fn workspace_sizes<T: Float + Element>(self, conv: &Conv, width: usize) -> WorkspaceSizes {
        match self {
            Algorithm::Pointwise => {
                WorkspaceSizes { packed: conv.product().packed::<T>(), ..WorkspaceSizes::default() }
            }
            Algorithm::Depthwise => depthwise::workspace_sizes::<T>(conv),
            Algorithm::Correlate => {
                correlate::workspace_sizes::<T>(conv).either(indirect::workspace_sizes::<T>(conv, width))
            }
            Algorithm::Winograd => winograd::workspace_sizes::<T>(conv, width)
                .either(indirect::workspace_sizes::<T>(conv, width)),
            Algorithm::Indirect => indirect::workspace_sizes::<T>(conv, width),
            Algorithm::Apart => WorkspaceSizes::default(),
        }
    }
}

/// A convolution in progress: its operands, from their first elements on, where results go, and its workspace.
#[derive(Clone, Copy)]
pub(super) struct Job<'a, T> {
    pub(super) conv: &'a Conv,
    pub(super) pool: &'a Pool,
    pub(super) x: Shared<T>,
    pub(super) kernel: Shared<T>,
    pub(super) out: Shared<T>,
    pub(super) target: Target,
    pub(super) workspace: Workspace,
    /// Whether sums have to be taken by definition.
    pub(super) exact: bool,
}

impl<T: Float + Element> Job<'_, T> {
    /// Runs the chosen algorithm, or [`indirect`] where its results may not be finite; true when all results are known to be finite.
    pub(super) fn dispatch(&self) -> bool {
        let finite = match self.conv.algorithm(self.target) {
            Algorithm::Correlate => correlate::run(self),
            Algorithm::Winograd if !self.exact => winograd::run(self),
            Algorithm::Winograd | Algorithm::Indirect => false,
            Algorithm::Apart => {
                self.apart();
                return false;
            }
            Algorithm::Pointwise => {
                self.pointwise();
                return false;
            }
            Algorithm::Depthwise => {
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
                // SAFETY: a plane of the result, whose bounds have been checked; zero bytes are zeros.
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

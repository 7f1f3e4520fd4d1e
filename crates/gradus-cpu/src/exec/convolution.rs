//! Convolutions of a plan, read and written through strides.
//!
//! In derivative programs terms of dead tangents do not count: see [`Conv::tangents`](gradus_core::ops::Conv::tangents).
//! Padding has no terms in any.
//!
//! Invariant: a [`PreparedConvolution`] has passed `Conv::sized` and `Conv::fits` for the buffers that its places name, and its
//! workspace is as large as `Conv::workspace_sizes` says or is allocated for the run.

use gradus_core::DType;
use gradus_core::memory::filled;
use gradus_plan::kernel::Convolution;
use gradus_plan::{Kernel, Place, Plan};

use super::places::Memory;
use crate::Pool;
use crate::conv::{Conv, Elements, Workspace, WorkspaceSizes, absorbing};
use crate::matmul::{Element, Linear};
use crate::memory::{Line, fail};
use crate::reduce::Shared;
use crate::vmath::Float;

/// A convolution prepared to run.
#[derive(Clone, Debug)]
pub(super) struct PreparedConvolution {
    conv: Conv,
    /// Of input, kernel and result.
    places: [Place; 3],
    /// Where the input begins.
    offset: usize,
    /// Elements of the input from there on, of the kernel and of the result.
    lengths: [usize; 3],
    double: bool,
    linear: Linear,
    /// Where its workspace is in the arena, how many bytes the plan reserved, and how many the convolution uses.
    workspace: usize,
    found: usize,
    workspace_bytes: usize,
}

/// The convolution as the kernels know it.
pub(super) fn shape(c: &Convolution) -> Conv {
    let [batch, channels, outputs] = c.counts;
    let op = &c.op;
    Conv::new(batch, channels, outputs, &c.input, &c.window)
        .and_then(|conv| conv.stride(&op.stride))
        .and_then(|conv| conv.padding(&op.low, &op.high))
        .and_then(|conv| conv.dilation(&op.lhs_dilation, &op.rhs_dilation))
        .and_then(|conv| conv.groups(op.feature_groups, op.batch_groups))
        .map(|conv| conv.strides(c.x_at.1, c.kernel_at.1, c.out_at))
        .and_then(|conv| conv.taps_at(c.kernel_at.0, &c.taps))
        .and_then(Conv::sized)
        .expect("the planner has checked the convolution")
}

/// The workspace sizes of a convolution.
pub(super) fn workspace_sizes(c: &Convolution) -> WorkspaceSizes {
    let conv = shape(c);
    if c.dtype == DType::F64 { conv.workspace_sizes::<f64>() } else { conv.workspace_sizes::<f32>() }
}

impl PreparedConvolution {
    pub(super) fn new(c: &Convolution, kernel: &Kernel, plan: &Plan) -> Self {
        let place = |v| plan.place(v).expect("values that kernels touch have a place");
        let size = |v| plan.graph().ty(v).shape.size();
        let conv = shape(c);
        let lengths = [size(c.x) - c.x_at.0, size(c.kernel), size(c.out)];
        conv.fits(lengths[0], lengths[1], lengths[2]).expect("views stay inside their buffers");
        PreparedConvolution {
            conv,
            places: [place(c.x), place(c.kernel), place(c.out)],
            offset: c.x_at.0,
            lengths,
            double: c.dtype == DType::F64,
            linear: Linear { tangents: c.op.tangents, marks: c.op.tangents != [false; 2] && !c.op.numbers },
            workspace: kernel.workspace_at,
            found: kernel.workspace,
            workspace_bytes: workspace_sizes(c).workspace,
        }
    }

    /// Its name for checks.
    pub(super) fn path(&self) -> &'static str {
        if self.double { self.conv.path::<f64>() } else { self.conv.path::<f32>() }
    }

    /// # Safety
    /// `memory` holds the plan's values, and nobody else uses the result.
    pub(super) unsafe fn run(&self, memory: &Memory<'_>, pool: &Pool) {
        // SAFETY: the caller's promise.
        unsafe { if self.double { self.typed::<f64>(memory, pool) } else { self.typed::<f32>(memory, pool) } }
    }

    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn typed<T: Float + Element>(&self, memory: &Memory<'_>, pool: &Pool) {
        let [x, kernel, out] = self.places;
        let x = memory.at(x).cast_mut().cast::<T>().wrapping_add(self.offset);
        let (kernel, out) = (memory.at(kernel).cast_mut().cast::<T>(), memory.at_mut(out).cast::<T>());
        // A plan for no particular machine has reserved no workspace.
        let missing = if self.found < self.workspace_bytes {
            self.workspace_bytes.div_ceil(size_of::<Line>())
        } else {
            0
        };
        let mut own = filled("conv", missing, Line::ZERO).unwrap_or_else(|kind| fail(kind));
        // SAFETY: the caller's promise; operands and result fit, and the workspace is large enough.
        unsafe {
            let workspace = match missing {
                0 => Workspace::new(memory.workspace(self.workspace), self.found),
                _ => Workspace::new(own.as_mut_ptr().cast(), size_of_val(&*own)),
            };
            if self.linear.applies() || self.conv.has_holes() {
                let of = |at: *mut T, i: usize| Elements { at: Shared(at), len: self.lengths[i] };
                absorbing(&self.conv, pool, [of(x, 0), of(kernel, 1)], of(out, 2), workspace, self.linear);
            } else {
                self.conv.run_raw(pool, x, kernel, out, workspace, false);
            }
        }
    }
}

//! Convolutions of a plan, read and written through strides.
//!
//! In derivative programs terms of dead tangents do not count: see [`Conv::tangents`](gradus_core::ops::Conv::tangents).
//! Padding has no terms in any.
//!
//! Invariant: a [`Ready`] has passed `Conv::sized` and `Conv::fits` for the buffers that its places name, and its
//! room is as large as `Conv::need` says or is made for the run.

use gradus_core::DType;
use gradus_core::memory::filled;
use gradus_plan::kernel::Convolution;
use gradus_plan::{Kernel, Place, Plan};

use super::places::Memory;
use crate::Pool;
use crate::conv::{Conv, Elements, Need, Room, absorbing};
use crate::matmul::{Element, Linear};
use crate::memory::{Line, fail};
use crate::reduce::Shared;
use crate::vmath::Float;

/// A convolution ready to run.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    conv: Conv,
    /// Of input, kernel and result.
    places: [Place; 3],
    /// Where the input begins.
    offset: usize,
    /// Elements of the input from there on, of the kernel and of the result.
    lengths: [usize; 3],
    double: bool,
    linear: Linear,
    /// Where its room is in the arena, how much was found for it, and how much it needs.
    workspace: usize,
    found: usize,
    room: usize,
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

/// What a convolution needs.
pub(super) fn need(c: &Convolution) -> Need {
    let conv = shape(c);
    if c.dtype == DType::F64 { conv.need::<f64>() } else { conv.need::<f32>() }
}

impl Ready {
    pub(super) fn new(c: &Convolution, kernel: &Kernel, plan: &Plan) -> Self {
        let place = |v| plan.place(v).expect("values that kernels touch have a place");
        let size = |v| plan.graph().ty(v).shape.size();
        let conv = shape(c);
        let lengths = [size(c.x) - c.x_at.0, size(c.kernel), size(c.out)];
        conv.fits(lengths[0], lengths[1], lengths[2]).expect("views stay inside their buffers");
        Ready {
            conv,
            places: [place(c.x), place(c.kernel), place(c.out)],
            offset: c.x_at.0,
            lengths,
            double: c.dtype == DType::F64,
            linear: Linear { tangents: c.op.tangents, marks: c.op.tangents != [false; 2] && !c.op.numbers },
            workspace: kernel.workspace_at,
            found: kernel.workspace,
            room: need(c).room,
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
        // A plan made for no machine in particular has found no room.
        let missing = if self.found < self.room { self.room.div_ceil(size_of::<Line>()) } else { 0 };
        let mut own = filled("conv", missing, Line::ZERO).unwrap_or_else(|kind| fail(kind));
        // SAFETY: the caller's promise; operands and result fit, and there is as much room as needed.
        unsafe {
            let room = match missing {
                0 => Room::new(memory.workspace(self.workspace), self.found),
                _ => Room::new(own.as_mut_ptr().cast(), size_of_val(&*own)),
            };
            if self.linear.applies() || self.conv.has_holes() {
                let of = |at: *mut T, i: usize| Elements { at: Shared(at), len: self.lengths[i] };
                absorbing(&self.conv, pool, [of(x, 0), of(kernel, 1)], of(out, 2), room, self.linear);
            } else {
                self.conv.run_raw(pool, x, kernel, out, room, false);
            }
        }
    }
}

//! Transposes of pooling: zeros everywhere but at the maxima.
//!
//! Invariant: indices and updates are as many, `planes · results`; those recorded by a pooling lie inside their
//! plane.

use gradus_core::DType;
use gradus_plan::kernel::Unpool;
use gradus_plan::{Place, Plan};

use super::library::windows;
use super::places::Memory;
use crate::Pool;
use crate::vmath::Float;
use crate::window::{Origin, Window};

/// A transpose prepared to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct PreparedUnpool {
    /// The windows, where indices are numbers of their taps.
    window: Option<Window>,
    planes: usize,
    /// Elements of a plane, and maxima taken from it.
    plane: usize,
    results: usize,
    double: bool,
    indices: Place,
    updates: Place,
    out: Place,
}

impl PreparedUnpool {
    pub(super) fn new(unpool: &Unpool, plan: &Plan) -> Self {
        let place = |v| plan.place(v).expect("values that kernels touch have a place");
        let lead = unpool.shape.rank() - unpool.window.dims();
        let planes: usize = unpool.shape[..lead].iter().product();
        let size = plan.graph().ty(unpool.indices).shape.size();
        let window = plan.packed(unpool.indices).then(|| {
            windows(&unpool.window, &unpool.shape)
                .expect("taps are numbered where the kernel takes the windows")
                .0
        });
        PreparedUnpool {
            window,
            planes,
            plane: unpool.shape[lead..].iter().product(),
            results: size / planes.max(1),
            double: unpool.dtype == DType::F64,
            indices: place(unpool.indices),
            updates: place(unpool.updates),
            out: place(unpool.out),
        }
    }

    /// # Safety
    /// `memory` holds the values of the plan it was made for, and nobody else writes them meanwhile.
    pub(super) unsafe fn run(&self, memory: &Memory<'_>, pool: &Pool) {
        // SAFETY: the caller's promise.
        unsafe { if self.double { self.typed::<f64>(memory, pool) } else { self.typed::<f32>(memory, pool) } }
    }

    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn typed<T: Float>(&self, memory: &Memory<'_>, pool: &Pool) {
        let all = self.planes * self.results;
        let indices = memory.at(self.indices);
        // SAFETY: operands and result have these sizes; indices are those of a pooling, inside their plane.
        unsafe {
            let updates = std::slice::from_raw_parts(memory.at(self.updates).cast::<T>(), all);
            let origin = match &self.window {
                Some(window) => Origin::Taps(window, std::slice::from_raw_parts(indices, all)),
                None => Origin::Places(std::slice::from_raw_parts(indices.cast::<i32>(), all)),
            };
            let out = memory.at_mut(self.out).cast::<T>();
            origin.spread(pool, self.planes, self.plane, updates, out);
        }
    }
}

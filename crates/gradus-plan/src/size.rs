//! The memory of a plan itself, as opposed to the memory that it plans.

use std::collections::HashSet;
use std::sync::Arc;

use crate::kernel::{Kernel, Work};
use crate::plan::{Place, Plan};

impl Plan {
    /// An estimate of the bytes of the plan and of what a back end prepares from it: each equation, type and kernel at
    /// its size without spilled small vectors, kernels twice. Parts that several kernels share count once.
    pub fn own_bytes(&self) -> usize {
        let (mut plans, mut graphs) = (vec![self], vec![]);
        let mut seen = HashSet::new();
        let mut bytes = 0;
        while let Some(plan) = plans.pop() {
            bytes += size_of::<Plan>() + plan.kernels.len() * 2 * size_of::<Kernel>();
            bytes += plan.graph.types().len() * (size_of::<Option<Place>>() + 2 * size_of::<usize>());
            graphs.push(plan.graph());
            for kernel in plan.kernels() {
                bytes += size_of_val(&*kernel.eqns);
                match &kernel.work {
                    Work::Region(region) => {
                        let parts = region.steps.len() + region.loads.len() + region.stores.len();
                        bytes += parts * PART;
                    }
                    Work::Blocked(group) => bytes += group.parts.len() * 2 * size_of::<Kernel>(),
                    Work::Control(_, inner) => {
                        plans.extend(
                            inner.iter().filter(|p| seen.insert(Arc::as_ptr(p).cast::<()>())).map(|p| &**p),
                        );
                    }
                    _ => {}
                }
            }
        }
        while let Some(graph) = graphs.pop() {
            bytes += graph.own_bytes();
            let inner = graph.eqns().iter().flat_map(|eqn| eqn.op.graphs());
            graphs.extend(inner.filter(|g| seen.insert(Arc::as_ptr(g).cast::<()>())).map(|g| &**g));
        }
        bytes
    }
}

/// Bytes of a load, a step or a store, planned and prepared.
const PART: usize = 400;

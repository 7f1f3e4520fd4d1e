//! The prepared kernels of a plan, and the loop that runs them.
//!
//! Invariant: kernels of a plan run in its order, each alone on what it writes.

use std::sync::Arc;
use std::time::Instant;

use gradus_core::memory::probe;
use gradus_core::{Error, Op, Result, Site, Type, nest};
use gradus_plan::kernel::{Assemble, Fill, Work};
use gradus_plan::{Place, Plan, Return};
use smallvec::SmallVec;

use super::control::Control;
use super::library::LibraryKernel;
use super::places::Memory;
use super::{blocked, convolution, primitive, product, region, small, strided, tile, unpool};
use crate::Pool;
use crate::vmath::Float;

/// A plan ready to run.
pub(super) struct Program {
    pub(super) plan: Arc<Plan>,
    kernels: Vec<PreparedKernel>,
    /// Results that are arguments or other results, for runs inside another plan.
    passed: Vec<(usize, Return, usize)>,
}

/// A kernel prepared to run.
enum PreparedKernel {
    Region(region::Compiled),
    Small(small::Compiled),
    Product(product::PreparedProduct),
    Convolution(convolution::PreparedConvolution),
    Blocked(blocked::PreparedGroup),
    Assemble(Assemble, Vec<Place>, Place, usize),
    Unpool(unpool::PreparedUnpool),
    /// With the bytes that it allocates.
    Primitive(Op, Option<LibraryKernel>, usize, Operands, Site),
    Control(Control, Operands, Site),
}

/// Places and types of operands and results.
pub(super) struct Operands {
    pub(super) inputs: SmallVec<[(Place, Type); 4]>,
    pub(super) outputs: SmallVec<[(Place, Type); 2]>,
}

impl Drop for Program {
    fn drop(&mut self) {
        // Programs lie inside each other.
        nest::level(|| self.kernels.clear());
    }
}

impl Program {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let kernels = (0..plan.kernels().len()).map(|k| PreparedKernel::new(&plan, k)).collect();
        let passed = plan.returns().iter().zip(plan.output_types()).enumerate();
        let passed = passed
            .filter(|(_, (how, _))| **how != Return::Written)
            .map(|(i, (how, ty))| (i, *how, ty.bytes()))
            .collect();
        Program { kernels, passed, plan }
    }

    /// Adds the path of each kernel.
    pub(super) fn paths(&self, to: &mut Vec<String>) {
        for kernel in &self.kernels {
            let path = match kernel {
                PreparedKernel::Region(region) => region.path().into(),
                PreparedKernel::Small(_) => "small".into(),
                PreparedKernel::Product(product) => product.path().into(),
                PreparedKernel::Convolution(convolution) => format!("convolution {}", convolution.path()),
                PreparedKernel::Blocked(group) => group.path().into(),
                PreparedKernel::Assemble(..) => "assemble".into(),
                PreparedKernel::Unpool(_) => "unpool".into(),
                PreparedKernel::Primitive(_, Some(fast), ..) => fast.path().into(),
                PreparedKernel::Primitive(op, None, ..) => format!("reference {}", op.variant()),
                PreparedKernel::Control(control, ..) => {
                    control.paths(to);
                    control.path().into()
                }
            };
            to.push(path);
        }
    }

    /// Adds the columns that each group with masks has computed, and all its columns.
    pub(super) fn masked_columns(&self, to: &mut Vec<(u64, u64)>) {
        for kernel in &self.kernels {
            match kernel {
                PreparedKernel::Blocked(group) => to.extend(group.columns()),
                PreparedKernel::Control(control, ..) => control.masked_columns(to),
                _ => {}
            }
        }
    }

    /// Runs the kernels in order.
    ///
    /// # Safety
    /// `memory` holds arguments of the program's types and can hold the written results and the arena; all of it
    /// outlives the call, and nobody else writes arguments or touches the rest meanwhile.
    pub(super) unsafe fn run(&self, memory: &Memory<'_>, pool: &Pool) -> Result<()> {
        for kernel in &self.kernels {
            // SAFETY: the caller's promise; the plan keeps values that are alive together apart.
            unsafe { kernel.run(memory, pool)? };
        }
        Ok(())
    }

    /// Runs the kernels in order, and tells when each began and ended.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    pub(super) unsafe fn run_timed(
        &self,
        memory: &Memory<'_>,
        pool: &Pool,
        mut each: impl FnMut(usize, Instant, Instant),
    ) -> Result<()> {
        for (k, kernel) in self.kernels.iter().enumerate() {
            let begin = Instant::now();
            // SAFETY: the caller's promise, as in `run`.
            unsafe { kernel.run(memory, pool)? };
            each(k, begin, Instant::now());
        }
        Ok(())
    }

    /// Runs the kernels and copies results that no kernel writes: for a program inside another.
    ///
    /// # Safety
    /// As for [`run`](Self::run), with buffers for all results.
    pub(super) unsafe fn run_inside(&self, memory: &Memory<'_>, pool: &Pool) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe {
            self.run(memory, pool)?;
            for &(to, how, bytes) in &self.passed {
                let from = match how {
                    Return::Argument(i) => memory.arguments[i],
                    Return::Same(i) => memory.results[i].cast_const(),
                    Return::Written => continue,
                };
                std::ptr::copy_nonoverlapping(from, memory.results[to], bytes);
            }
        }
        Ok(())
    }
}

impl PreparedKernel {
    fn new(plan: &Plan, k: usize) -> Self {
        let kernel = &plan.kernels()[k];
        let place = |v| plan.place(v).expect("values that kernels touch have a place");
        let operands = || {
            let eqn = &plan.graph().eqns()[kernel.eqns[0]];
            let types = |vars: &[gradus_core::Var]| {
                vars.iter().map(|&v| plan.graph().ty(v).clone()).collect::<Vec<Type>>()
            };
            Operands {
                inputs: kernel.reads.iter().map(|&v| place(v)).zip(types(&eqn.inputs)).collect(),
                outputs: kernel.writes.iter().map(|&v| place(v)).zip(types(&eqn.outputs)).collect(),
            }
        };
        match &kernel.work {
            Work::Region(region) => {
                let general = region::Compiled::new(region, plan, k);
                match small::Compiled::new(region, &general) {
                    Some(small) => PreparedKernel::Small(small),
                    None => PreparedKernel::Region(general),
                }
            }
            Work::Product(p) => PreparedKernel::Product(product::PreparedProduct::new(p, plan)),
            Work::Convolution(c) => {
                PreparedKernel::Convolution(convolution::PreparedConvolution::new(c, kernel, plan))
            }
            Work::Blocked(s) => PreparedKernel::Blocked(blocked::PreparedGroup::new(s, plan, k)),
            Work::Assemble(a) => {
                let size = |v| plan.graph().ty(v).shape.size();
                for part in &a.parts {
                    let inside = part.from.lies_within(size(part.value)) && part.to.lies_within(size(a.out));
                    assert!(
                        inside && part.from.size() == part.to.size(),
                        "parts lie inside what they make up"
                    );
                }
                let parts = a.parts.iter().map(|p| place(p.value)).collect();
                PreparedKernel::Assemble(a.clone(), parts, place(a.out), plan.graph().ty(a.out).bytes())
            }
            Work::Unpool(u) => PreparedKernel::Unpool(unpool::PreparedUnpool::new(u, plan)),
            Work::Primitive(op) => {
                let operands = operands();
                let (fast, allocates) = {
                    let inputs: Vec<&Type> = operands.inputs.iter().map(|(_, ty)| ty).collect();
                    let outputs: Vec<&Type> = operands.outputs.iter().map(|(_, ty)| ty).collect();
                    let packed = kernel.writes.get(1).is_some_and(|&v| plan.packed(v));
                    let fast = LibraryKernel::new(op, &inputs, &outputs, packed);
                    let copies = || inputs.iter().chain(&outputs).map(|ty| ty.bytes()).sum();
                    let allocates = fast.as_ref().map_or_else(copies, |fast| fast.allocates(&inputs).0);
                    (fast, allocates)
                };
                PreparedKernel::Primitive(op.clone(), fast, allocates, operands, kernel.site.clone())
            }
            Work::Control(op, plans) => {
                let control = Control::new(op, plans, kernel.workspace_at);
                PreparedKernel::Control(control, operands(), kernel.site.clone())
            }
        }
    }

    /// # Safety
    /// As for [`Program::run`].
    unsafe fn run(&self, memory: &Memory<'_>, pool: &Pool) -> Result<()> {
        // SAFETY: the caller's promise, for each kind of kernel.
        unsafe {
            match self {
                PreparedKernel::Region(region) => tile::run(region, memory, pool),
                PreparedKernel::Small(small) => small.run(memory),
                PreparedKernel::Unpool(unpool) => unpool.run(memory, pool),
                PreparedKernel::Product(product) => product.run(memory, pool),
                PreparedKernel::Convolution(convolution) => convolution.run(memory, pool),
                PreparedKernel::Blocked(group) => group.run(memory, pool),
                PreparedKernel::Assemble(a, parts, out, bytes) => {
                    let to = memory.at_mut(*out);
                    if let Some(zero) = a.fill {
                        fill(to, *bytes, a.width, zero == Fill::Dead);
                    }
                    for (part, &place) in a.parts.iter().zip(parts) {
                        strided::copy(memory.at(place), &part.from, to, &part.to, a.width);
                    }
                }
                PreparedKernel::Primitive(op, fast, allocates, operands, site) => {
                    let inputs: SmallVec<[_; 4]> =
                        operands.inputs.iter().map(|(p, ty)| (memory.at(*p), ty.clone())).collect();
                    let outputs: SmallVec<[_; 2]> =
                        operands.outputs.iter().map(|(p, ty)| (memory.at_mut(*p), ty.clone())).collect();
                    let failed = |kind| Error::new(kind, site.clone());
                    probe(op.name(), *allocates).map_err(failed)?;
                    let done = match fast {
                        Some(fast) => fast.run(&inputs, &outputs, pool).map_err(failed)?,
                        None => false,
                    };
                    if !done {
                        primitive::run(op, &inputs, &outputs).map_err(failed)?;
                    }
                }
                PreparedKernel::Control(control, operands, site) => {
                    nest::level(|| control.run(operands, memory, pool)).map_err(|e| e.or_at(site))?;
                }
            }
        }
        Ok(())
    }
}

/// Fills `bytes` bytes with zeros, or, if `dead`, with those of dead tangents of `width` bytes each.
///
/// # Safety
/// They are valid for writes, and aligned for such elements.
pub(super) unsafe fn fill(to: *mut u8, bytes: usize, width: usize, dead: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        match width {
            // The sign alone, of either 16-bit type.
            2 if dead => std::slice::from_raw_parts_mut(to.cast::<u16>(), bytes / 2).fill(1 << 15),
            4 if dead => std::slice::from_raw_parts_mut(to.cast(), bytes / 4).fill(f32::DEAD),
            8 if dead => std::slice::from_raw_parts_mut(to.cast(), bytes / 8).fill(f64::DEAD),
            _ => to.write_bytes(0, bytes),
        }
    }
}

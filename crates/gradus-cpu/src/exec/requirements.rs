//! Memory that kernels use beside the values they read and write, for the planner: the workspace of convolutions, the
//! packed operands of products, the allocations of primitives.
//!
//! What lies in the arena and what is allocated while a kernel runs are functions of the sizes alone: the same for any
//! number of threads and any instruction set. Beside that each thread keeps scratch memory.

use gradus_core::{DType, Op, Type};
use gradus_plan::kernel::{Along, BlockedPart, Product, Work};
use gradus_plan::{ALIGN, Requirements};

use super::library::LibraryKernel;
use super::product::matmul;
use super::region::tiles;
use super::{blocked, convolution};
use crate::matmul::serial_scratch;
use crate::memory::scratch::OWN;

/// The memory requirements of a kernel; see [`gradus_plan::Target::requirements`].
///
/// ```
/// use gradus_core::{Builder, DType, Type, ops};
///
/// let mut b = Builder::new();
/// let x = b.input(Type::new(DType::F32, [32, 8, 32, 32]));
/// let kernel = b.input(Type::new(DType::F32, [16, 8, 3, 3]));
/// let y = b.emit1(ops::Conv::new(2), &[x, kernel])?;
/// let options = gradus_plan::Options { target: gradus_cpu::target()?, ..Default::default() };
/// let plan = gradus_plan::plan(&b.finish(vec![y]), &options)?;
/// // The convolution packs its kernel in the arena, which holds nothing else.
/// assert!(plan.arena_bytes() >= 4 * 16 * 8 * 9);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn requirements(work: &Work, reads: &[Type], writes: &[Type]) -> Requirements {
    let mut requirements = bare(work, reads, writes);
    // Small and large scratch memory of one purpose are kept apart.
    requirements.scratch.iter_mut().filter(|bytes| **bytes > OWN).for_each(|bytes| *bytes += OWN);
    requirements
}

fn bare(work: &Work, reads: &[Type], writes: &[Type]) -> Requirements {
    let touched = || reads.iter().chain(writes).map(Type::bytes).sum::<usize>();
    match work {
        Work::Convolution(c) => {
            let sizes = convolution::workspace_sizes(c);
            let mut requirements = packing(sizes.packed);
            requirements.workspace = sizes.workspace;
            requirements.scratch[PATCHES] = sizes.patches;
            requirements
        }
        Work::Product(p) => packing(packed(p)),
        Work::Blocked(group) => {
            // Products that have to look at zero factors are computed by other means.
            let sizes = blocked::block_sizes(group);
            let one = group.parts.iter().map(|part| packed_part(part, &sizes)).max();
            let mut requirements = packing(one.unwrap_or(0));
            let layout = blocked::ScratchLayout::of(group);
            requirements.scratch[BLOCKED] = group.scratch.next_multiple_of(ALIGN) + layout.of_thread();
            requirements.scratch[TILES] = group.regions().map(tiles).max().unwrap_or(0);
            requirements
        }
        Work::Primitive(op) => {
            let inputs: Vec<&Type> = reads.iter().collect();
            let outputs: Vec<&Type> = writes.iter().collect();
            let (outside, own) = match LibraryKernel::new(op, &inputs, &outputs, false) {
                Some(fast) => fast.allocates(&inputs),
                // Copies of the operands, and results that are copied again.
                None => (2 * touched(), 0),
            };
            let own_memory = match op {
                Op::External(p) => p.primitive().workspace(reads, writes),
                _ => 0,
            };
            let mut requirements = Requirements { outside: outside + own_memory, ..Requirements::default() };
            requirements.scratch[PRIMITIVE] = own;
            requirements
        }
        Work::Region(region) => {
            let mut requirements = Requirements::default();
            requirements.scratch[TILES] = tiles(region);
            requirements
        }
        Work::Assemble(_) | Work::Unpool(_) | Work::Control(..) => Requirements::default(),
    }
}

/// Which of [`Requirements::scratch`] is which.
const REPACKED: usize = 0;
const PATCHES: usize = 1;
const TILES: usize = 2;
const BLOCKED: usize = 3;
const PRIMITIVE: usize = 4;

/// What a thread keeps for the operands of a product that it packs.
fn packed(p: &Product) -> usize {
    if p.dtype == DType::F64 { matmul(p).packed::<f64>() } else { matmul(p).packed::<f32>() }
}

/// What it keeps for its part of a product, of which it takes a block of rows at a time.
fn packed_part(part: &BlockedPart, blocks: &[usize]) -> usize {
    let Work::Product(p) = &part.work else { return 0 };
    let strides = [p.a, p.b, p.c].map(|(_, row, col)| (row, col));
    let sizes = blocks.iter().map(|&here| {
        let mut size = p.size;
        let axis = match part.along {
            Along::Rows => 0,
            Along::Columns => 1,
            Along::Inner => 2,
        };
        size[axis] = here;
        size
    });
    let bytes = |size| {
        if p.dtype == DType::F64 {
            size_of::<f64>() * serial_scratch::<f64>(size, strides)
        } else {
            size_of::<f32>() * serial_scratch::<f32>(size, strides)
        }
    };
    sizes.map(bytes).max().unwrap_or(0)
}

fn packing(packed: usize) -> Requirements {
    let mut requirements = Requirements::default();
    requirements.scratch[REPACKED] = packed;
    requirements
}

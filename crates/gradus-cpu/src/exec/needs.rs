//! What the kernels need beside the values they read and write, for the planner: the room that convolutions work in, what
//! products pack, what primitives allocate.
//!
//! What lies in the arena and what is allocated while a kernel runs are functions of the sizes alone: the same for any
//! number of threads and any instruction set. Beside that each thread keeps scratch memory.

use gradus_core::{DType, Op, Type};
use gradus_plan::kernel::{Along, Product, SlabPart, Work};
use gradus_plan::{ALIGN, Needs};

use super::fast::Fast;
use super::product::matmul;
use super::region::tiles;
use super::{convolution, slabs};
use crate::matmul::serial_room;
use crate::memory::scratch::OWN;

/// What a kernel needs; see [`gradus_plan::Target::needs`].
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
pub fn needs(work: &Work, reads: &[Type], writes: &[Type]) -> Needs {
    let mut needs = bare(work, reads, writes);
    // Small and large scratch memory of one purpose are kept apart.
    needs.scratch.iter_mut().filter(|bytes| **bytes > OWN).for_each(|bytes| *bytes += OWN);
    needs
}

fn bare(work: &Work, reads: &[Type], writes: &[Type]) -> Needs {
    let touched = || reads.iter().chain(writes).map(Type::bytes).sum::<usize>();
    match work {
        Work::Convolution(c) => {
            let need = convolution::need(c);
            let mut needs = packing(need.packed);
            needs.workspace = need.room;
            needs.scratch[PATCHES] = need.patches;
            needs
        }
        Work::Product(p) => packing(packed(p)),
        Work::Slabs(slabs) => {
            // Products that have to look at zero factors are computed by other means.
            let sizes = slabs::block_sizes(slabs);
            let one = slabs.parts.iter().map(|part| packed_part(part, &sizes)).max();
            let mut needs = packing(one.unwrap_or(0));
            let room = slabs::Room::of(slabs);
            needs.scratch[SLABS] = slabs.scratch.next_multiple_of(ALIGN) + room.of_thread();
            needs.scratch[TILES] = slabs.regions().map(tiles).max().unwrap_or(0);
            needs
        }
        Work::Primitive(op) => {
            let inputs: Vec<&Type> = reads.iter().collect();
            let outputs: Vec<&Type> = writes.iter().collect();
            let (outside, own) = match Fast::new(op, &inputs, &outputs, false) {
                Some(fast) => fast.allocates(&inputs),
                // Copies of the operands, and results that are copied again.
                None => (2 * touched(), 0),
            };
            let own_memory = match op {
                Op::External(p) => p.primitive().workspace(reads, writes),
                _ => 0,
            };
            let mut needs = Needs { outside: outside + own_memory, ..Needs::default() };
            needs.scratch[PRIMITIVE] = own;
            needs
        }
        Work::Region(region) => {
            let mut needs = Needs::default();
            needs.scratch[TILES] = tiles(region);
            needs
        }
        Work::Assemble(_) | Work::Unpool(_) | Work::Control(..) => Needs::default(),
    }
}

/// Which of [`Needs::scratch`] is which.
const REPACKED: usize = 0;
const PATCHES: usize = 1;
const TILES: usize = 2;
const SLABS: usize = 3;
const PRIMITIVE: usize = 4;

/// What a thread keeps for the operands of a product that it packs.
fn packed(p: &Product) -> usize {
    if p.dtype == DType::F64 { matmul(p).packed::<f64>() } else { matmul(p).packed::<f32>() }
}

/// What it keeps for its part of a product, of which it takes a block of rows at a time.
fn packed_part(part: &SlabPart, blocks: &[usize]) -> usize {
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
    let room = |size| {
        if p.dtype == DType::F64 {
            size_of::<f64>() * serial_room::<f64>(size, strides)
        } else {
            size_of::<f32>() * serial_room::<f32>(size, strides)
        }
    };
    sizes.map(room).max().unwrap_or(0)
}

fn packing(packed: usize) -> Needs {
    let mut needs = Needs::default();
    needs.scratch[REPACKED] = packed;
    needs
}

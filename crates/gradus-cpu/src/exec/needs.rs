//! What the kernels need beside the values they read and write, for the planner: the room that convolutions work in, what
//! products pack, what primitives allocate.
//!
//! Everything is a function of the sizes, of the instruction set and of the number of threads that the pool of the
//! process has: one that was started larger keeps more scratch than is told here. The tiles that each thread keeps for
//! regions, 24 KiB of them, are as little counted as its stack.

use gradus_core::{DType, Type};
use gradus_plan::Needs;
use gradus_plan::kernel::{Product, Work};

use super::convolution;
use super::fast::Fast;
use super::product::matmul;
use super::region::long_tiles;
use crate::Pool;
use crate::matmul::Packed;

/// What a kernel needs; see [`gradus_plan::Options::needs`].
///
/// ```
/// use gradus_core::{Builder, DType, Type, ops};
///
/// let mut b = Builder::new();
/// let x = b.input(Type::new(DType::F32, [32, 8, 32, 32]));
/// let kernel = b.input(Type::new(DType::F32, [16, 8, 3, 3]));
/// let y = b.emit1(ops::Conv::new(2), &[x, kernel])?;
/// let options = gradus_plan::Options { needs: gradus_cpu::exec::needs, ..Default::default() };
/// let plan = gradus_plan::plan(&b.finish(vec![y]), &options)?;
/// // The convolution packs its kernel in the arena, which holds nothing else.
/// assert!(plan.arena_bytes() >= 4 * 16 * 8 * 9);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn needs(work: &Work, reads: &[Type], writes: &[Type]) -> Needs {
    let touched = || reads.iter().chain(writes).map(Type::bytes).sum::<usize>();
    match work {
        Work::Convolution(c) => {
            let need = convolution::need(c);
            let mut needs = packing(need.packed);
            needs.workspace = need.room;
            needs.kept[PATCHES] = Pool::expected() * need.patches;
            needs
        }
        Work::Product(p) => packing(packed(p)),
        Work::Slabs(slabs) => {
            let products = slabs.parts.iter().filter_map(|part| match &part.work {
                Work::Product(p) => Some(packing(packed(p))),
                _ => None,
            });
            let mut needs = products.fold(Needs::default(), Needs::either);
            // A slab's product is not cut into blocks: each worker may pack and transpose whole operands.
            needs.outside = needs.outside.max(slabs.workers * slabs.packed());
            needs.kept[REPACKED] = needs.kept[REPACKED].max(slabs.workers * slabs.repacked());
            needs
        }
        Work::Primitive(op) => {
            let inputs: Vec<&Type> = reads.iter().collect();
            let outputs: Vec<&Type> = writes.iter().collect();
            let outside = match Fast::new(op, &inputs, &outputs, false) {
                Some(fast) => fast.allocates(&inputs),
                // Copies of the operands, and results that are copied again.
                None => 2 * touched(),
            };
            Needs { outside, ..Needs::default() }
        }
        Work::Region(region) => {
            let mut needs = Needs::default();
            needs.kept[TILES] = Pool::expected() * long_tiles(region);
            needs
        }
        Work::Assemble(_) | Work::Unpool(_) | Work::Control(..) => Needs::default(),
    }
}

/// Which of [`Needs::kept`] is which.
const REPACKED: usize = 0;
const PATCHES: usize = 1;
const TILES: usize = 2;

fn packed(p: &Product) -> Packed {
    let (matmul, threads) = (matmul(p), Pool::expected());
    if p.dtype == DType::F64 { matmul.packed::<f64>(threads) } else { matmul.packed::<f32>(threads) }
}

fn packing(packed: Packed) -> Needs {
    let mut needs = Needs { outside: packed.call, ..Needs::default() };
    needs.kept[REPACKED] = packed.repack;
    needs
}

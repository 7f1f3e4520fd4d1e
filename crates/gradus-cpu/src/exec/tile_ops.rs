//! Steps of a region prepared to run on tiles: loops, and arithmetic in registers.

use gradus_core::DType;
use gradus_plan::kernel::{Level, Region, StepOp};

use super::fused;
use super::join::Joined;
use super::lanes;
use crate::vmath::fused::{Op, Place as Operand};
use crate::vmath::step::{OPERANDS, StepFn};

/// What runs at once on a tile.
#[derive(Clone, Debug)]
pub(super) enum TileOp {
    /// A loop.
    Loop(Loop),
    /// Arithmetic in registers.
    Fused(Fused),
}

/// Arithmetic in registers.
#[derive(Clone, Debug)]
pub(super) struct Fused {
    pub(super) level: Level,
    /// Of `f64`, else of `f32`.
    pub(super) double: bool,
    pub(super) ops: Vec<Op>,
    /// Whether complete blocks may be computed; see [`Loop::blocks`].
    pub(super) blocks: bool,
}

/// A loop over a tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loop {
    pub(super) op: StepOp,
    pub(super) dtype: DType,
    pub(super) out_dtype: DType,
    pub(super) level: Level,
    pub(super) args: [u16; OPERANDS],
    /// For each operand, 0 where one block stands for all its elements.
    pub(super) moves: [u8; OPERANDS],
    pub(super) out: u16,
    /// The second result, of steps that have one; else the first.
    pub(super) second: u16,
    /// Whether the result is one block for all.
    pub(super) block: bool,
    /// Whether complete blocks may be computed, since all operands and results lie in tiles: for a few rows, that is
    /// faster than the exact number.
    pub(super) blocks: bool,
    /// Whether it sums rows: the loop takes their number as its integer.
    pub(super) summed: bool,
    /// The loop to call, with its integer, where the step has a loop of its own.
    pub(super) call: Option<(StepFn, i32)>,
}

impl Fused {
    /// `same` marks slots whose elements are all equal, `moves` those with one element per point, `in_tile` those in
    /// tiles.
    pub(super) fn new(
        region: &Region,
        fused: &fused::Fused,
        same: impl Fn(u16) -> bool,
        moves: impl Fn(u16) -> bool,
        in_tile: impl Fn(usize) -> bool,
    ) -> Self {
        let place = |slot: u16| {
            let step = if moves(slot) { region.slot(slot).0.size() as u8 } else { 0 };
            Operand { slot, step, same: same(slot) }
        };
        let ops = fused.ops.iter().map(|op| {
            // Unused operands repeat the first.
            let arg =
                |i: usize| op.args.get(i).or(op.args.first()).map_or(Operand::default(), |&slot| place(slot));
            let out = op.stored.then(|| place(op.value));
            Op { code: op.code, args: [arg(0), arg(1)], out, mask: region.slot(op.value).0 == DType::Bool }
        });
        let ops = ops.collect();
        let stored = fused.ops.iter().filter(|op| op.stored).map(|op| &op.value);
        let mut slots = fused.ops.iter().flat_map(|op| &op.args).chain(stored);
        let blocks = fused.level == Level::Row && slots.all(|&slot| in_tile(slot.into()));
        Fused { level: fused.level, double: fused.dtype == DType::F64, ops, blocks }
    }
}

impl Loop {
    pub(super) fn new(
        region: &Region,
        i: usize,
        joined: &Joined,
        thin: &[bool],
        in_tile: impl Fn(usize) -> bool,
    ) -> Self {
        let (step, own) = (&region.steps[i], region.first_step() + i);
        let (mut out, mut second) = (own, own);
        let mut args = [0; OPERANDS];
        let (read, call): (&[u16], _) = match joined {
            Joined::Away | Joined::Pair { .. } => unreachable!("a step that runs alone here"),
            Joined::Alone => {
                (&step.args, lanes::step(step.op, step.dtype, step.out, scalar_bits(region, &step.args)))
            }
            Joined::Chain { chain, args } => (args, lanes::chain(*chain, step.dtype)),
            Joined::Sum { summand, args } => (args, lanes::sum(*summand, step.dtype)),
            Joined::Twin { twin, x, first, second: other } => {
                (out, second) = (usize::from(*first), usize::from(*other));
                (std::slice::from_ref(x), lanes::twin(*twin, step.dtype))
            }
        };
        // Unused operands repeat the first.
        args.fill(read.first().copied().unwrap_or_default());
        args[..read.len()].copy_from_slice(read);
        let summed = matches!(joined, Joined::Sum { .. });
        let blocks = step.level == Level::Row
            && call.is_some()
            && !summed
            && [out, second].into_iter().chain(args.map(usize::from)).all(in_tile);
        Loop {
            op: step.op,
            dtype: step.dtype,
            out_dtype: step.out,
            level: step.level,
            args,
            moves: args.map(|a| u8::from(!thin[a as usize])),
            out: out as u16,
            second: second as u16,
            block: thin[out],
            blocks,
            summed,
            call,
        }
    }
}

/// Operands that are constants or single elements: a bit each.
fn scalar_bits(region: &Region, args: &[u16]) -> u8 {
    args.iter().enumerate().fold(0, |bits, (i, &a)| bits | u8::from(region.is_scalar(a)) << i)
}

//! A region prepared to run: slots become pointers, values get tiles of scratch memory.
//!
//! Contiguous operands are read in place and results written in place; everything else passes through tiles small
//! enough to stay in the first-level cache. A tile is reused once it has no readers left.

use std::collections::HashMap;

use gradus_core::ops::ReduceKind;
use gradus_core::{Bf16, DType, F16, Var};
use gradus_plan::kernel::{Domain, Level, Region, StepOp, Work};
use gradus_plan::{Place, Plan, View, chunks};
use smallvec::SmallVec;

use super::fused::{self, Item, MOST, Times};
use super::join::{Joined, join};
use super::reduce::LEAF;
use super::tile_ops::{Fused, Loop, TileOp};
use crate::vmath::fused::LENGTH;
use crate::vmath::step::BLOCK;
use crate::vmath::sum::Summand;

/// How a tile gets its operand.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// Contiguous: only the pointer advances.
    Direct,
    /// One element for all points: this many copies of it, filled in once.
    Splat(usize),
    /// Copied through strides.
    Strided(View),
    /// Unpacked from bits, starting with this one.
    Bits(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) place: Place,
    pub(super) width: usize,
    pub(super) level: Level,
    pub(super) mode: Access,
    /// Offset of the first element, in bytes.
    pub(super) offset: isize,
    pub(super) slot: usize,
    /// Offset of its tile in the scratch memory.
    pub(super) tile: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Constant {
    /// Its value; the first bytes, for a narrow dtype.
    pub(super) value: u64,
    pub(super) width: usize,
    pub(super) slot: usize,
    /// How often it is filled in.
    pub(super) copies: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) place: Place,
    pub(super) width: usize,
    pub(super) dtype: DType,
    pub(super) level: Level,
    pub(super) slot: usize,
    /// Whether the value is computed in a tile and copied at the end, because its place is still being read.
    pub(super) copied: bool,
    /// Whether it is copied into bits.
    pub(super) bits: bool,
    pub(super) reduce: Option<ReduceKind>,
    /// Where its partial results begin in the kernel's workspace.
    pub(super) partials: usize,
}

/// A region ready to run.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    pub(super) domain: Domain,
    /// Points in a tile; for rows, rows in a tile.
    pub(super) tile: usize,
    /// Elements that a tile buffer holds.
    pub(super) capacity: usize,
    pub(super) slots: usize,
    pub(super) scratch: usize,
    /// Slots that stay in scratch memory, with their offsets.
    pub(super) temps: Vec<(usize, usize)>,
    pub(super) loads: Vec<Load>,
    pub(super) constants: Vec<Constant>,
    pub(super) steps: Vec<TileOp>,
    pub(super) stores: Vec<Store>,
    pub(super) workspace: usize,
    /// Estimated nanoseconds on one thread.
    pub(super) nanos: f64,
}

impl Compiled {
    /// Its name for checks.
    pub(super) fn path(&self) -> &'static str {
        match (self.domain, super::tile::is_shared(self)) {
            (Domain::Flat { .. }, false) => "region",
            (Domain::Flat { .. }, true) => "region, shared",
            (Domain::Rows { .. }, false) => "rows",
            (Domain::Rows { .. }, true) => "rows, shared",
            (Domain::LongRows { .. }, false) => "long rows",
            (Domain::LongRows { .. }, true) => "long rows, shared",
            (Domain::Columns { .. }, false) => "columns",
            (Domain::Columns { .. }, true) => "columns, shared",
        }
    }

    /// Whether it reduces something at its end.
    pub(super) fn reduces(&self) -> bool {
        self.stores.iter().any(|s| s.reduce.is_some())
    }
}

/// The bytes of tiles that a region should use.
const CACHE: usize = 24 * 1024;

/// The most bytes of tiles that a thread keeps for a region, reached where rows are long.
pub(super) fn tiles(region: &Region) -> usize {
    let slots = region.first_step() + region.steps.len();
    let width = (0..slots).map(|s| region.slot(s as u16).0.size()).max().unwrap_or(4);
    let row = match region.domain {
        Domain::Rows { cols, .. } => cols,
        _ => 0,
    };
    let blocks = slots * (BLOCK * width).next_multiple_of(64) + slots.min(MOST) * LENGTH * width;
    (slots * row.max(LEAF) * width).max(CACHE) + blocks
}

impl Compiled {
    pub(super) fn new(region: &Region, plan: &Plan, k: usize) -> Self {
        let compiled = Compiled::with_rows(region, plan, k, usize::MAX);
        // In a tile of one row, one block is enough for a value that is constant along the row. Tiles with only the
        // visible columns have more rows.
        match compiled.domain {
            Domain::Rows { .. } if compiled.tile == 1 && !narrow(region, plan, k) => {
                Compiled::with_rows(region, plan, k, 1)
            }
            _ => compiled,
        }
    }

    /// With tiles of so many rows at most.
    fn with_rows(region: &Region, plan: &Plan, k: usize, most: usize) -> Self {
        let kernel = &plan.kernels()[k];
        let first = region.first_step();
        let slots = first + region.steps.len();
        let (joined, uses) = join(region, false);
        let items = fused::items(region, &joined, &uses);
        let times = Times::new(region, &joined, &items);
        let narrow = narrow(region, plan, k);

        let thin = thin(region, &joined, &items, most == 1);
        let mut tiles = Tiles::default();
        // The contents of each slot's tile; a slot without a tile points to memory.
        let mut tile_of: Vec<Option<usize>> = vec![None; slots];
        let mut loads = loads(region, plan);
        for load in &loads {
            // Where only the visible columns exist, operands with all columns are read row by row.
            let rows = narrow && load.level == Level::Full && !matches!(load.place, Place::Local(_));
            if (rows || !matches!(load.mode, Access::Direct)) && !thin[load.slot] {
                tile_of[load.slot] = Some(tiles.take());
            }
        }
        let mut constants = Vec::new();
        for (i, &(value, dtype)) in region.constants.iter().enumerate() {
            let slot = region.loads.len() + i;
            if !thin[slot] {
                tile_of[slot] = Some(tiles.take());
            }
            constants.push(Constant { value: bytes_of(value, dtype), width: dtype.size(), slot, copies: 0 });
        }

        let stores = stores(region, plan, k, &times);
        let mut outside = vec![false; slots];
        for store in stores.iter().filter(|store| store.reduce.is_none() && !store.copied) {
            outside[store.slot] = true;
        }
        let mut dies: Vec<SmallVec<[usize; 4]>> = vec![SmallVec::new(); items.len()];
        for slot in first..slots {
            if let Some(item) = times.dies(slot) {
                dies[item].push(slot);
            }
        }
        let mut steps = Vec::with_capacity(items.len());
        for (item, dead) in items.iter().zip(&dies) {
            let mut tile = |slot: usize| {
                if !outside[slot] && !thin[slot] && times.inside[slot].is_none() && tile_of[slot].is_none() {
                    tile_of[slot] = Some(tiles.take());
                }
            };
            let in_tile = |slot: usize| (slot >= region.loads.len() || thin[slot]) && !outside[slot];
            match item {
                Item::Fused(fused) => {
                    fused.ops.iter().filter(|op| op.stored).for_each(|op| tile(op.value.into()));
                    let same = |slot: u16| thin[usize::from(slot)] || region.is_scalar(slot);
                    let moves = |slot: u16| !same(slot) && times.inside[usize::from(slot)].is_none();
                    steps.push(TileOp::Fused(Fused::new(region, fused, same, moves, in_tile)));
                }
                &Item::Step(i) => {
                    let step = Loop::new(region, i, &joined[i], &thin, in_tile);
                    tile(step.out.into());
                    tile(step.second.into());
                    steps.push(TileOp::Loop(step));
                }
            }
            for &dead in dead {
                if let Some(tile) = tile_of[dead] {
                    tiles.give(tile);
                }
            }
        }

        // All tiles can hold the widest element.
        let width = (0..slots).map(|s| region.slot(s as u16).0.size()).max().unwrap_or(4);
        let busy =
            tiles.count + loads.iter().filter(|l| matches!(l.mode, Access::Direct)).count() + stores.len();
        let (tile, capacity) = tile_size(region.domain, busy.max(1) * width, most);
        let bytes = (capacity.next_multiple_of(BLOCK) * width).next_multiple_of(64);
        let copies = |slot: usize| if thin[slot] { BLOCK } else { capacity };
        for load in &mut loads {
            load.tile = tile_of[load.slot].map_or(0, |t| t * bytes);
            if let Access::Splat(n) = &mut load.mode {
                *n = copies(load.slot);
            }
        }
        for constant in &mut constants {
            constant.copies = copies(constant.slot);
        }
        let mut temps: Vec<(usize, usize)> =
            (0..slots).filter_map(|s| tile_of[s].map(|t| (s, t * bytes))).collect();
        let mut scratch = tiles.count * bytes;
        for slot in (0..slots).filter(|&slot| thin[slot]) {
            temps.push((slot, scratch));
            scratch += (BLOCK * width).next_multiple_of(64);
        }
        // Values that only the operations fused with theirs read: one item after the other uses the same blocks.
        let inside = (0..slots).filter_map(|slot| Some((slot, times.inside[slot]?)));
        temps.extend(inside.clone().map(|(slot, at)| (slot, scratch + at * LENGTH * width)));
        scratch += inside.map(|(_, at)| at + 1).max().unwrap_or(0) * LENGTH * width;
        let points = region.domain.points() as f64;
        let nanos = kernel.flops * 0.06 + points * (region.steps.len() + region.stores.len()) as f64 * 0.1;
        Compiled {
            domain: region.domain,
            tile,
            capacity,
            slots,
            scratch,
            temps,
            loads,
            constants,
            steps,
            stores,
            workspace: kernel.workspace_at,
            nanos,
        }
    }
}

/// The place of a value that a kernel touches.
fn place(plan: &Plan, v: Var) -> Place {
    plan.place(v).expect("values that kernels touch have a place")
}

/// Points, or rows, of a region.
fn points(region: &Region, level: Level) -> usize {
    match level {
        Level::Full => region.domain.points(),
        Level::Row => region.domain.rows().unwrap_or(0),
    }
}

/// The operands of a region; tiles and copies are set once their size is known.
fn loads(region: &Region, plan: &Plan) -> Vec<Load> {
    let loads = region.loads.iter().enumerate().map(|(slot, load)| {
        let all = load.view.is_scalar() || load.view.size() == points(region, load.level);
        let size = plan.graph().ty(load.value).shape.size();
        assert!(all && load.view.lies_within(size), "a region reads inside its operands");
        let width = load.dtype.size();
        let mode = if plan.packed(load.value) {
            Access::Bits(load.view.offset as usize)
        } else if load.view.is_scalar() {
            Access::Splat(0)
        } else if load.view.dims.len() == 1 && load.view.dims[0].1 == 1 {
            Access::Direct
        } else {
            Access::Strided(View { offset: 0, dims: load.view.dims.clone() })
        };
        let offset = load.view.offset * width as isize;
        Load { place: place(plan, load.value), width, level: load.level, mode, offset, slot, tile: 0 }
    });
    loads.collect()
}

/// The results of a region. They are written directly to memory, unless an operand in that memory is read after the result is
/// computed.
fn stores(region: &Region, plan: &Plan, k: usize, times: &Times) -> Vec<Store> {
    let first = region.first_step();
    let in_place: HashMap<Var, Var> = plan.in_place(k).iter().copied().collect();
    let loaded: HashMap<Var, usize> =
        region.loads.iter().enumerate().rev().map(|(slot, l)| (l.value, slot)).collect();
    let mut partials = 0;
    let stores = region.stores.iter().map(|store| {
        let slot = usize::from(store.slot);
        let (dtype, level) = region.slot(store.slot);
        let size = plan.graph().ty(store.value).shape.size();
        let fits = store.reduce.is_some() || size >= points(region, level);
        assert!(fits, "a region writes inside its results");
        let source = in_place.get(&store.value);
        let hazard = source.is_some_and(|read| slot < first || times.last[loaded[read]] > times.made[slot]);
        let bits = plan.packed(store.value);
        let own = partials;
        if store.reduce.is_some() {
            partials += partial_bytes(region.domain, dtype.size());
        }
        Store {
            place: place(plan, store.value),
            width: dtype.size(),
            dtype,
            level,
            slot,
            copied: store.reduce.is_none() && (hazard || bits || slot < first),
            bits,
            reduce: store.reduce,
            partials: own,
        }
    });
    stores.collect()
}

/// Whether a region runs on the visible columns only.
fn narrow(region: &Region, plan: &Plan, k: usize) -> bool {
    matches!(&plan.kernels()[k].work, Work::Blocked(group) if group.narrows(region))
}

/// Slots of which one block is enough: constants, single elements and, in tiles of one row, values that are constant
/// along the row, where all readers can repeat a block.
fn thin(region: &Region, joined: &[Joined], items: &[Item], one_row: bool) -> Vec<bool> {
    let first = region.first_step();
    let candidate = |slot: usize| {
        let same = match region.loads.get(slot) {
            Some(load) => load.view.is_scalar(),
            None => slot < first || one_row && region.steps[slot - first].op == StepOp::Expand,
        };
        same && region.slot(slot as u16).0.is_wide_float()
    };
    let mut thin: Vec<bool> = (0..first + region.steps.len()).map(candidate).collect();
    for store in &region.stores {
        thin[store.slot as usize] = false;
    }
    // Arithmetic in registers reads a repeated value once.
    for i in items.iter().filter_map(|item| if let Item::Step(i) = item { Some(*i) } else { None }) {
        let step = &region.steps[i];
        let whole: &[u16] = match (&joined[i], step.op) {
            (Joined::Away | Joined::Pair { .. } | Joined::Chain { .. }, _) => &[],
            (Joined::Twin { x, .. }, _) => std::slice::from_ref(x),
            (Joined::Sum { summand: Summand::ScaledSquare, args }, _) => &args[..1],
            (Joined::Sum { args, .. }, _) => args,
            // A mask is not of floats.
            (
                Joined::Alone,
                StepOp::Binary(_) | StepOp::LinearMul { .. } | StepOp::Compare(_) | StepOp::Select,
            ) => &[],
            (Joined::Alone, _) => &step.args,
        };
        for &slot in whole {
            thin[slot as usize] = false;
        }
    }
    thin
}

/// The bytes of a value converted to a dtype.
fn bytes_of(value: f64, dtype: DType) -> u64 {
    let mut bytes = [0; 8];
    let mut put = |from: &[u8]| bytes[..from.len()].copy_from_slice(from);
    match dtype {
        DType::F32 => put(&(value as f32).to_ne_bytes()),
        DType::F64 => put(&value.to_ne_bytes()),
        DType::I32 => put(&(value as i32).to_ne_bytes()),
        DType::I64 => put(&(value as i64).to_ne_bytes()),
        DType::U8 => put(&(value as u8).to_ne_bytes()),
        DType::Bool => put(&[u8::from(value != 0.0)]),
        DType::Bf16 => put(&Bf16::from(value).0.to_ne_bytes()),
        DType::F16 => put(&F16::from(value).0.to_ne_bytes()),
    }
    u64::from_ne_bytes(bytes)
}

/// Bytes of the partial results of one reduction.
fn partial_bytes(domain: Domain, width: usize) -> usize {
    let count = match domain {
        Domain::Flat { .. } => 0,
        Domain::Rows { rows, cols } => {
            rows.div_ceil(chunks::column_chunk(rows, cols)) * chunks::column_width(cols)
        }
        Domain::LongRows { rows, cols } => rows * cols.div_ceil(chunks::ROW_CHUNK),
        Domain::Columns { outer, reduced, inner } => {
            outer * reduced.div_ceil(chunks::column_chunk(reduced, inner)) * chunks::column_width(inner)
        }
    };
    (count * width).next_multiple_of(64)
}

/// Points (or rows, `most` of them) in a tile, and elements that its buffers hold.
fn tile_size(domain: Domain, bytes_per_point: usize, most: usize) -> (usize, usize) {
    let fits = (CACHE / bytes_per_point).clamp(LEAF / 2, 4 * LEAF);
    let even = if fits >= LEAF { fits / LEAF * LEAF } else { LEAF / 2 };
    match domain {
        Domain::Flat { n } => (even, even.min(n)),
        Domain::Rows { rows, cols } => {
            let tile = (even / cols.max(1)).clamp(1, rows.max(1)).min(most);
            (tile, (tile * cols).max(tile))
        }
        Domain::LongRows { .. } => (even.max(LEAF), even.max(LEAF)),
        Domain::Columns { outer, reduced, inner } => (even, even.min(outer * reduced * inner)),
    }
}

/// Tiles handed out and given back.
#[derive(Default)]
struct Tiles {
    count: usize,
    free: Vec<usize>,
}

impl Tiles {
    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        })
    }
    fn give(&mut self, tile: usize) {
        self.free.push(tile);
    }
}

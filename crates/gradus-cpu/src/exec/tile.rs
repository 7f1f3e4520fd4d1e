//! The tile machine: runs a region tile by tile, on one thread or several.
//!
//! Work is cut into tasks by the shape of the region; a task goes through its tiles in order. Reductions that cross
//! tiles leave partial results, one a task, which are combined in a fixed order: the bits do not depend on which thread
//! ran which task.
//!
//! Invariant: a tile lies inside the region's domain, so its views stay inside their buffers; every slot has a
//! pointer to as many elements as a tile holds, rounded up to a block; tasks write disjoint parts.

use std::ops::Range;

use gradus_core::DType;
use gradus_core::ops::ReduceKind;
use gradus_plan::kernel::{Domain, Level, StepOp};
use gradus_plan::{Place, chunks};
use smallvec::SmallVec;

use super::lanes::{self, Operands};
use super::places::Memory;
use super::reduce::{self, Combine, with_number};
use super::region::{Access, Compiled, Load, Store};
use super::tile_ops::TileOp;
use super::{bits, strided};
use crate::Pool;
use crate::memory::scratch::{self, Slot};
use crate::vmath::fused::fused_raw;
use crate::vmath::step::{BLOCK, Call};

/// Serial work below this never goes to the pool.
const WORTH_SHARING: f64 = 30_000.0;
/// The work that a thread should get at once.
const TASK: f64 = 15_000.0;
/// The approximate number of times that a thread takes work during one kernel: enough for all to end together.
const TURNS: usize = 8;

type Pointers = SmallVec<[*mut u8; 48]>;

/// A tile: its first point and row, and how many of each.
#[derive(Clone, Copy)]
struct Tile {
    point: usize,
    points: usize,
    row: usize,
    rows: usize,
    cols: usize,
    /// If `cols` are only the visible columns: the columns of a full row, and the first visible one. Points are then
    /// counted among the visible columns.
    whole: Option<(usize, usize)>,
}

/// A range of columns of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) from: usize,
    pub(super) count: usize,
}

impl Tile {
    fn count(&self, level: Level) -> usize {
        match level {
            Level::Full => self.points,
            Level::Row => self.rows,
        }
    }
    fn start(&self, level: Level) -> usize {
        match level {
            Level::Full => self.point,
            Level::Row => self.row,
        }
    }
}

/// Whether threads share a region.
pub(super) fn is_shared(region: &Compiled) -> bool {
    region.nanos >= WORTH_SHARING && tasks(region).0 > 1
}

/// Runs a region.
///
/// # Safety
/// `memory` holds every value of the plan that the region was compiled for, and nobody else uses the parts that this
/// kernel reads and writes.
pub(super) unsafe fn run(region: &Compiled, memory: &Memory<'_>, pool: &Pool) {
    let (tasks, per_task) = tasks(region);
    let work = |tasks: Range<usize>| {
        with_scratch(region, |scratch| {
            // SAFETY: the caller's promise; tasks write disjoint parts.
            unsafe {
                let mut runner = Runner::new(region, memory, scratch);
                for task in tasks {
                    runner.task(task, per_task);
                }
            }
        });
    };
    if region.nanos < WORTH_SHARING || tasks == 1 {
        work(0..tasks);
    } else {
        // A thread takes neighbouring tasks, so that it reads memory mostly in order.
        let turns = ((region.nanos / TASK) as usize).clamp(1, pool.threads() * TURNS);
        pool.run_ranges(tasks, tasks.div_ceil(turns), &work);
    }
    for store in region.stores.iter().filter(|s| s.reduce.is_some()) {
        // SAFETY: the partial results are complete, and the caller's promise covers the result.
        unsafe { combine_partials(region, memory, store) };
    }
}

/// Runs the part of a region that computes some of its points (of its rows, if it has rows, and of those perhaps only
/// some columns), on the calling thread.
///
/// # Safety
/// As for [`run`]; the region reduces nothing at its end, and the range lies inside it. With `cols`, values it writes
/// have as many columns, and so have local values that it reads in order.
pub(super) unsafe fn run_part(
    region: &Compiled,
    memory: &Memory<'_>,
    units: Range<usize>,
    cols: Option<Columns>,
) {
    // SAFETY: the caller's promise.
    with_scratch(region, |scratch| unsafe {
        Runner::new(region, memory, scratch).units(units, cols);
    });
}

/// Calls `f` with this thread's memory for tiles.
fn with_scratch(region: &Compiled, f: impl FnOnce(*mut u8)) {
    scratch::with(Slot::Tiles, region.scratch, f);
}

/// Number of tasks, and tiles (or rows) in each.
fn tasks(region: &Compiled) -> (usize, usize) {
    match region.domain {
        Domain::LongRows { rows, cols } => (rows * cols.div_ceil(chunks::ROW_CHUNK), 1),
        Domain::Columns { outer, reduced, inner } => {
            (outer * reduced.div_ceil(chunks::column_chunk(reduced, inner)), 1)
        }
        Domain::Rows { rows, cols } if region.reduces() => {
            (rows.div_ceil(chunks::column_chunk(rows, cols)), 1)
        }
        Domain::Flat { n: units } | Domain::Rows { rows: units, .. } => {
            let tiles = units.div_ceil(region.tile).max(1);
            let tasks = ((region.nanos / TASK) as usize).clamp(1, 256).min(tiles);
            let per_task = tiles.div_ceil(tasks);
            (tiles.div_ceil(per_task), per_task)
        }
    }
}

struct Runner<'a> {
    region: &'a Compiled,
    memory: &'a Memory<'a>,
    scratch: *mut u8,
    pointers: Pointers,
}

impl<'a> Runner<'a> {
    /// # Safety
    /// `scratch` holds the region's scratch bytes.
    unsafe fn new(region: &'a Compiled, memory: &'a Memory<'a>, scratch: *mut u8) -> Self {
        let mut pointers = Pointers::from_elem(std::ptr::null_mut(), region.slots);
        for &(slot, offset) in &region.temps {
            // SAFETY: offsets of tiles lie inside the scratch memory.
            pointers[slot] = unsafe { scratch.add(offset) };
        }
        for constant in &region.constants {
            // SAFETY: its tile holds at least `copies` elements.
            unsafe {
                strided::fill(
                    std::ptr::from_ref(&constant.value).cast(),
                    constant.width,
                    pointers[constant.slot],
                    constant.copies,
                );
            }
        }
        for load in &region.loads {
            let Access::Splat(copies) = load.mode else { continue };
            // SAFETY: as above; the one element is inside its buffer.
            unsafe {
                let from = memory.at(load.place).offset(load.offset);
                strided::fill(from, load.width, pointers[load.slot], copies);
            }
        }
        Runner { region, memory, scratch, pointers }
    }

    /// # Safety
    /// As for [`run`]; every task is run once.
    unsafe fn task(&mut self, task: usize, per_task: usize) {
        let region = self.region;
        // SAFETY: tiles lie inside the domain.
        unsafe {
            match region.domain {
                Domain::Rows { rows, cols } if region.reduces() => self.columns(task, rows, cols),
                Domain::Flat { n: all } | Domain::Rows { rows: all, .. } => {
                    let size = per_task * region.tile;
                    self.units(task * size..((task + 1) * size).min(all), None);
                }
                Domain::LongRows { cols, .. } => self.long_row(task, cols),
                Domain::Columns { reduced, inner, .. } => self.columns(task, reduced, inner),
            }
        }
    }

    /// Some of the points of a flat region, or of the rows of one with rows: of those perhaps only some columns.
    ///
    /// # Safety
    /// As for [`run_part`]; the range lies inside the region.
    unsafe fn units(&mut self, units: Range<usize>, some: Option<Columns>) {
        let size = some.map_or(self.region.tile, |some| (self.region.capacity / some.count).max(1));
        for at in units.clone().step_by(size) {
            let n = (units.end - at).min(size);
            let tile = match self.region.domain {
                Domain::Rows { cols: all, .. } => {
                    let cols = some.map_or(all, |some| some.count);
                    let whole = some.map(|some| (all, some.from));
                    Tile { point: at * cols, points: n * cols, row: at, rows: n, cols, whole }
                }
                _ => Tile { point: at, points: n, row: 0, rows: 0, cols: 0, whole: None },
            };
            // SAFETY: the tile lies inside the region.
            unsafe { self.tile(tile) };
        }
    }

    /// One chunk of a long row.
    unsafe fn long_row(&mut self, task: usize, cols: usize) {
        let region = self.region;
        let per_row = cols.div_ceil(chunks::ROW_CHUNK);
        let (row, chunk) = (task / per_row, task % per_row);
        let begin = chunk * chunks::ROW_CHUNK;
        let end = (begin + chunks::ROW_CHUNK).min(cols);
        let mut first = true;
        let mut col = begin;
        while col < end {
            let points = (end - col).min(region.tile);
            // SAFETY: the tile lies inside the row; partial results lie in the workspace.
            unsafe {
                let tile = Tile { point: row * cols + col, points, row: 0, rows: 0, cols: 0, whole: None };
                self.compute(tile);
                for store in &region.stores {
                    let Some(kind) = store.reduce else { continue };
                    let partial = self.memory.workspace(region.workspace + store.partials);
                    let x = self.pointers[store.slot];
                    with_number!(store.dtype, T => {
                        let at = partial.cast::<T>().add(task);
                        let total = if first { T::start(kind) } else { *at };
                        at.write(reduce::reduce_row::<T>(kind, total, x.cast(), points));
                    });
                }
                self.copy_out(tile);
            }
            first = false;
            col += points;
        }
    }

    /// One chunk of rows, each added to the sums of its columns; narrow ones to several side by side, which
    /// are joined in pairs at the end.
    unsafe fn columns(&mut self, task: usize, reduced: usize, inner: usize) {
        let region = self.region;
        let chunk = chunks::column_chunk(reduced, inner);
        let per_outer = reduced.div_ceil(chunk);
        let (outer, part) = (task / per_outer, task % per_outer);
        let begin = (outer * reduced + part * chunk) * inner;
        let rows = chunk.min(reduced - part * chunk);
        let end = begin + rows * inner;
        let width = chunks::column_width(inner);
        let whole_rows = matches!(region.domain, Domain::Rows { .. });
        // SAFETY: the range lies inside the domain; each task has its own row of partial results.
        unsafe {
            for store in &region.stores {
                let Some(kind) = store.reduce else { continue };
                let acc = self.memory.workspace(region.workspace + store.partials);
                with_number!(store.dtype, T => {
                    let acc = acc.cast::<T>().add(task * width);
                    for j in 0..width {
                        acc.add(j).write(T::start(kind));
                    }
                });
            }
            let mut point = begin;
            while point < end {
                let tile = if whole_rows {
                    let (row, rows) = (point / inner, region.tile.min((end - point) / inner));
                    Tile { point, points: rows * inner, row, rows, cols: inner, whole: None }
                } else {
                    let points = (end - point).min(region.tile);
                    Tile { point, points, row: 0, rows: 0, cols: 0, whole: None }
                };
                self.compute(tile);
                for store in &region.stores {
                    let Some(kind) = store.reduce else { continue };
                    let acc = self.memory.workspace(region.workspace + store.partials);
                    let x = self.pointers[store.slot];
                    with_number!(store.dtype, T => {
                        let acc = acc.cast::<T>().add(task * width);
                        add_runs::<T>(kind, acc, x.cast(), (point - begin) % width, width, tile.points);
                    });
                }
                self.copy_out(tile);
                point += tile.points;
            }
            for store in &region.stores {
                let Some(kind) = store.reduce else { continue };
                let acc = self.memory.workspace(region.workspace + store.partials);
                with_number!(store.dtype, T => {
                    let acc = acc.cast::<T>().add(task * width);
                    join_rows::<T>(kind, acc, chunks::column_lanes(inner), inner, inner);
                });
            }
        }
    }

    /// # Safety
    /// As for [`run`]; the tile lies inside the domain.
    unsafe fn tile(&mut self, tile: Tile) {
        // SAFETY: the caller's promise.
        unsafe {
            self.compute(tile);
            self.copy_out(tile);
        }
    }

    /// All steps.
    ///
    /// # Safety
    /// As for [`tile`](Self::tile).
    unsafe fn compute(&mut self, tile: Tile) {
        let region = self.region;
        // SAFETY: the caller's promise, for every operand and result; steps name slots of the region.
        unsafe {
            for load in &region.loads {
                self.load(load, tile);
            }
            for store in &region.stores {
                if store.reduce.is_none() && !store.copied {
                    let at = tile.start(store.level) * store.width;
                    self.pointers[store.slot] = self.memory.at_mut(store.place).add(at);
                }
            }
            // A step often has only hundreds of elements, so finding its operands must take little time.
            assert_eq!(self.pointers.len(), region.slots, "a tile has a block for every slot");
            let pointers = self.pointers.as_ptr();
            let at = |slot: u16| *pointers.add(usize::from(slot));
            for step in &region.steps {
                let step = match step {
                    TileOp::Loop(step) => step,
                    TileOp::Fused(fused) => {
                        let n = tile.count(fused.level);
                        let n = if fused.blocks { n.next_multiple_of(BLOCK) } else { n };
                        if fused.double {
                            fused_raw::<f64>(&fused.ops, &self.pointers, n);
                        } else {
                            fused_raw::<f32>(&fused.ops, &self.pointers, n);
                        }
                        continue;
                    }
                };
                let arg = |i: usize| at(step.args[i]).cast_const();
                let out = at(step.out);
                if let Some((call, number)) = step.call {
                    let (n, number) = match step.summed {
                        true => (tile.cols, tile.rows as i32),
                        false => (tile.count(step.level), number),
                    };
                    let n = if step.blocks { n.next_multiple_of(BLOCK) } else { n };
                    let args = [arg(0), arg(1), arg(2)];
                    call(&Call { args, moves: step.moves, out, second: at(step.second), n, number });
                    continue;
                }
                match step.op {
                    StepOp::Causal { rows, offset } => {
                        let from = tile.whole.map_or(0, |(_, from)| from as isize);
                        for i in 0..tile.rows {
                            let shown = ((tile.row + i) % rows) as isize + offset + 1 - from;
                            let shown = shown.clamp(0, tile.cols as isize) as usize;
                            let row = out.add(i * tile.cols);
                            row.write_bytes(1, shown);
                            row.add(shown).write_bytes(0, tile.cols - shown);
                        }
                    }
                    StepOp::Iota { inner, extent } if tile.whole.is_some() && step.level == Level::Full => {
                        let ((all, from), width) =
                            (tile.whole.unwrap_or((tile.cols, 0)), step.out_dtype.size());
                        for i in 0..tile.rows {
                            let (start, out) = ((tile.row + i) * all + from, out.add(i * tile.cols * width));
                            lanes::iota(step.out_dtype, start, inner, extent, out, tile.cols);
                        }
                    }
                    StepOp::Iota { inner, extent } => {
                        let start = tile.start(step.level);
                        lanes::iota(step.out_dtype, start, inner, extent, out, tile.count(step.level));
                    }
                    StepOp::Expand => {
                        let (rows, cols) = if step.block { (1, BLOCK) } else { (tile.rows, tile.cols) };
                        strided::expand(arg(0), step.dtype.size(), out, rows, cols);
                    }
                    StepOp::Reduce(kind) => reduce_rows(kind, step.dtype, arg(0), out, tile.rows, tile.cols),
                    op => {
                        let n = tile.count(step.level);
                        let args = [arg(0), arg(1), arg(2)];
                        lanes::run(op, step.dtype, step.out_dtype, Operands { args, out, n });
                    }
                }
            }
        }
    }

    /// Copies the results in tiles to memory, over operands that have no readers left.
    ///
    /// # Safety
    /// As for [`tile`](Self::tile).
    unsafe fn copy_out(&mut self, tile: Tile) {
        // SAFETY: the caller's promise.
        unsafe {
            for store in self.region.stores.iter().filter(|s| s.copied) {
                if store.bits {
                    let at = self.memory.at_mut(store.place).add(tile.start(store.level) / 8);
                    bits::pack(self.pointers[store.slot], at, tile.count(store.level));
                    continue;
                }
                let at = self.memory.at_mut(store.place).add(tile.start(store.level) * store.width);
                let bytes = tile.count(store.level) * store.width;
                std::ptr::copy_nonoverlapping(self.pointers[store.slot], at, bytes);
            }
        }
    }

    /// # Safety
    /// As for [`tile`](Self::tile).
    unsafe fn load(&mut self, load: &Load, tile: Tile) {
        if let Some(whole) = tile.whole.filter(|_| load.level == Level::Full) {
            // SAFETY: the caller's promise.
            return unsafe { self.load_rows(load, tile, whole) };
        }
        let (start, n) = (tile.start(load.level), tile.count(load.level));
        // SAFETY: the view stays inside its buffer for every point of the domain.
        unsafe {
            match &load.mode {
                Access::Splat(_) => {}
                Access::Direct => {
                    let base = self.memory.at(load.place).offset(load.offset);
                    self.pointers[load.slot] = base.add(start * load.width).cast_mut();
                }
                Access::Bits(first) => {
                    let out = self.scratch.add(load.tile);
                    bits::unpack(self.memory.at(load.place), first + start, out, n);
                }
                Access::Strided(view) => {
                    let base = self.memory.at(load.place).offset(load.offset);
                    if let Some(offset) = strided::inside_one_run(view, start, n) {
                        self.pointers[load.slot] = base.offset(offset * load.width as isize).cast_mut();
                        return;
                    }
                    let out = self.scratch.add(load.tile);
                    self.pointers[load.slot] = out;
                    strided::gather(base, view, load.width, start, n, out);
                }
            }
        }
    }
}

impl Runner<'_> {
    /// Columns of rows that have `all` of them, the first one at `from`, unless the value has no others.
    ///
    /// # Safety
    /// As for [`tile`](Self::tile).
    unsafe fn load_rows(&mut self, load: &Load, tile: Tile, (all, from): (usize, usize)) {
        let local = matches!(load.place, Place::Local(_));
        // SAFETY: the view stays inside its buffer for every point of the domain; the load has a tile of its own.
        unsafe {
            let base = self.memory.at(load.place).offset(load.offset);
            if matches!(load.mode, Access::Splat(_)) {
                return;
            }
            if local && matches!(load.mode, Access::Direct) {
                self.pointers[load.slot] = base.add(tile.point * load.width).cast_mut();
                return;
            }
            let out = self.scratch.add(load.tile);
            self.pointers[load.slot] = out;
            for i in 0..tile.rows {
                let (start, out) = ((tile.row + i) * all + from, out.add(i * tile.cols * load.width));
                match &load.mode {
                    Access::Splat(_) => {}
                    Access::Direct => {
                        let bytes = tile.cols * load.width;
                        std::ptr::copy_nonoverlapping(base.add(start * load.width), out, bytes);
                    }
                    Access::Bits(first) => {
                        bits::unpack(self.memory.at(load.place), first + start, out, tile.cols)
                    }
                    Access::Strided(view) => match strided::inside_one_run(view, start, tile.cols) {
                        Some(at) => {
                            let from = base.offset(at * load.width as isize);
                            std::ptr::copy_nonoverlapping(from, out, tile.cols * load.width);
                        }
                        None => strided::gather(base, view, load.width, start, tile.cols, out),
                    },
                }
            }
        }
    }
}

/// # Safety
/// `x` holds `rows * cols` elements, `out` holds `rows`.
unsafe fn reduce_rows(kind: ReduceKind, dtype: DType, x: *const u8, out: *mut u8, rows: usize, cols: usize) {
    with_number!(dtype, T => {
        // SAFETY: the caller's promise.
        unsafe { reduce::reduce_rows::<T>(kind, x.cast(), out.cast(), rows, cols) };
    });
}

/// Adds `n` elements, the first of which belongs to column `col` of `inner`.
///
/// # Safety
/// `acc` holds `inner` elements, `x` holds `n`.
unsafe fn add_runs<T: Combine>(
    kind: ReduceKind,
    acc: *mut T,
    x: *const T,
    mut col: usize,
    inner: usize,
    n: usize,
) {
    let mut at = 0;
    while at < n {
        let run = (inner - col).min(n - at);
        // SAFETY: `col + run <= inner` and `at + run <= n`.
        unsafe { reduce::accumulate(kind, acc.add(col), x.add(at), run) };
        at += run;
        col = 0;
    }
}

/// Adds rows of `inner` elements that lie `stride` apart, in pairs, into the first.
///
/// # Safety
/// `x` holds the rows, and nobody else uses them.
unsafe fn join_rows<T: Combine>(kind: ReduceKind, x: *mut T, mut rows: usize, stride: usize, inner: usize) {
    while rows > 1 {
        let half = rows.div_ceil(2);
        for r in half..rows {
            // SAFETY: rows below `rows`; two rows are apart.
            unsafe { reduce::accumulate(kind, x.add((r - half) * stride), x.add(r * stride), inner) };
        }
        rows = half;
    }
}

/// # Safety
/// The partial results of the region are complete; nobody else uses the result.
unsafe fn combine_partials(region: &Compiled, memory: &Memory<'_>, store: &Store) {
    let Some(kind) = store.reduce else { return };
    // SAFETY: partial results lie in the workspace, the result in its place.
    unsafe {
        let partials = memory.workspace(region.workspace + store.partials);
        let out = memory.at_mut(store.place);
        with_number!(store.dtype, T => {
            let (partials, out) = (partials.cast::<T>(), out.cast::<T>());
            match region.domain {
                Domain::LongRows { rows, cols } => {
                    let n = cols.div_ceil(chunks::ROW_CHUNK);
                    for r in 0..rows {
                        out.add(r).write(reduce::reduce_row::<T>(kind, T::start(kind), partials.add(r * n), n));
                    }
                }
                Domain::Columns { reduced, inner, .. } | Domain::Rows { rows: reduced, cols: inner } => {
                    let outer = if let Domain::Columns { outer, .. } = region.domain { outer } else { 1 };
                    let n = reduced.div_ceil(chunks::column_chunk(reduced, inner));
                    let width = chunks::column_width(inner);
                    for o in 0..outer {
                        let from = partials.add(o * n * width);
                        join_rows::<T>(kind, from, n, width, inner);
                        std::ptr::copy_nonoverlapping(from, out.add(o * inner), inner);
                    }
                }
                Domain::Flat { .. } => {}
            }
        });
    }
}

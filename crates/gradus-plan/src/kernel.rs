//! What a plan consists of: kernels that read and write buffers, independent of who runs them.

use std::ops::Range;
use std::sync::Arc;

use gradus_core::ops::{Axes, Compare, Conv, Logic, Op, ReduceKind, Window};
use gradus_core::{Binary, DType, Shape, Site, Unary, Var};
use smallvec::SmallVec;

use crate::{Plan, Requirements, View};

/// The iteration space of a [`Region`].
///
/// Values at *full* level have one element for every point, in row-major order; values at *row* level one for every
/// row. The order in which a reduction combines depends on this space alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// `n` points, no reduction.
    Flat {
        /// The number of points.
        n: usize,
    },
    /// Rows short enough for a tile: reductions over a row can be read again in the same region, reductions over all
    /// rows are made at its end.
    Rows {
        /// The number of rows.
        rows: usize,
        /// Points in a row.
        cols: usize,
    },
    /// Long rows, reduced at the end of the region.
    LongRows {
        /// The number of rows.
        rows: usize,
        /// Points in a row.
        cols: usize,
    },
    /// `outer × reduced × inner`, reduced over the middle at the end of the region.
    Columns {
        /// Extent before the reduced axes.
        outer: usize,
        /// Extent reduced over.
        reduced: usize,
        /// Extent after.
        inner: usize,
    },
}

impl Domain {
    /// The number of points.
    pub fn points(&self) -> usize {
        match *self {
            Domain::Flat { n } => n,
            Domain::Rows { rows, cols } | Domain::LongRows { rows, cols } => rows * cols,
            Domain::Columns { outer, reduced, inner } => outer * reduced * inner,
        }
    }
    /// The space that serves the kernels of both spaces: a flat space of the same number of points joins any other, and
    /// short rows may also be summed over each other.
    pub(crate) fn with(self, other: Domain) -> Option<Domain> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Domain::Flat { n }, other) | (other, Domain::Flat { n }) if n == other.points() => Some(other),
            (rows @ Domain::Rows { rows: n, cols }, Domain::Columns { outer: 1, reduced, inner })
            | (Domain::Columns { outer: 1, reduced, inner }, rows @ Domain::Rows { rows: n, cols })
                if (n, cols) == (reduced, inner) =>
            {
                Some(rows)
            }
            _ => None,
        }
    }
    /// The number of rows, for values at row level.
    pub fn rows(&self) -> Option<usize> {
        match *self {
            Domain::Rows { rows, .. } => Some(rows),
            _ => None,
        }
    }
}

/// Rows up to this many elements are reduced inside a tile.
pub const SHORT_ROW: usize = 4096;
/// Longer rows, up to this many elements, are reduced inside a tile only where there are [many](MANY_ROWS), so that
/// each thread has rows of its own.
pub const LONG_ROW: usize = 1 << 16;
/// The number of rows that is enough work for all threads.
pub const MANY_ROWS: usize = 64;

/// Whether a value inside a region has one element per point or one per row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// One element per point.
    Full,
    /// One element per row.
    Row,
}

/// What a step of a region computes, element by element unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepOp {
    /// A function of one argument.
    Unary(Unary),
    /// A function of two arguments.
    Binary(Binary),
    /// The product of a residual and a tangent, or of two tangents.
    LinearMul {
        /// Whether the first is a tangent, too.
        both: bool,
    },
    /// A comparison.
    Compare(Compare),
    /// Logic.
    Logic(Logic),
    /// Negation of booleans or bits.
    Not,
    /// Selection by a mask.
    Select,
    /// Conversion; the operand's dtype is the step's, the result's that of its slot.
    Cast,
    /// Rounding to a 16-bit float type, the result being an `f32`.
    Round(DType),
    /// The index along an axis: `(point / inner) % extent`.
    Iota {
        /// Distance between neighbours.
        inner: usize,
        /// Extent of the axis.
        extent: usize,
    },
    /// A causal mask: whether the column is at most the row's number, counted in a slab of `rows`, plus `offset`.
    Causal {
        /// Rows of a slab.
        rows: usize,
        /// How many columns beyond the row's number.
        offset: isize,
    },
    /// Repeats a row-level value along its row.
    Expand,
    /// Combines each row.
    Reduce(ReduceKind),
    /// The same value.
    Copy,
}

/// A value inside a region: [`Region::loads`], then [`Region::constants`], then [`Region::steps`].
pub type Slot = u16;

/// A value read from outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Load {
    /// Which value.
    pub value: Var,
    /// Its dtype.
    pub dtype: DType,
    /// Its level.
    pub level: Level,
    /// Its elements, over the points (or rows) of the domain; collapsed.
    pub view: View,
}

/// One operation of a region.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it computes.
    pub op: StepOp,
    /// The dtype it computes in (of its last operand; of the result for an index).
    pub dtype: DType,
    /// The dtype of the result.
    pub out: DType,
    /// The level of the result.
    pub level: Level,
    /// Its operands.
    pub args: SmallVec<[Slot; 3]>,
    /// The equation it stands for.
    pub eqn: usize,
}

/// A value written to memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// Which slot.
    pub slot: Slot,
    /// Which value it becomes.
    pub value: Var,
    /// The reduction it goes through at the end of the region: along the rows of [`Domain::LongRows`], over the middle of
    /// [`Domain::Columns`], over all rows of [`Domain::Rows`].
    pub reduce: Option<ReduceKind>,
}

/// A fused region: a short program run tile by tile.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// The iteration space.
    pub domain: Domain,
    /// What it reads.
    pub loads: Vec<Load>,
    /// Constants, with their dtypes.
    pub constants: Vec<(f64, DType)>,
    /// What it computes, in order.
    pub steps: Vec<Step>,
    /// What it writes.
    pub stores: Vec<Store>,
}

impl Region {
    /// Number of slots before the first step.
    pub fn first_step(&self) -> usize {
        self.loads.len() + self.constants.len()
    }
    /// Whether a slot has one element for all points.
    pub fn is_scalar(&self, slot: Slot) -> bool {
        match self.loads.get(slot as usize) {
            Some(load) => load.view.is_scalar(),
            None => usize::from(slot) < self.first_step(),
        }
    }
    /// Dtype and level of a slot.
    pub fn slot(&self, slot: Slot) -> (DType, Level) {
        let i = slot as usize;
        if let Some(load) = self.loads.get(i) {
            (load.dtype, load.level)
        } else if let Some(constant) = self.constants.get(i - self.loads.len()) {
            (constant.1, Level::Full)
        } else {
            let step = &self.steps[i - self.first_step()];
            (step.out, step.level)
        }
    }
}

/// A batched matrix product `C[b, i, j] = Σₖ A[b, i, k] B[b, k, j]`; A, B and C are strided.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// Left operand.
    pub lhs: Var,
    /// Right operand.
    pub rhs: Var,
    /// Result.
    pub out: Var,
    /// Element type.
    pub dtype: DType,
    /// Batch axes: extent, strides of A, B and C.
    pub batch: SmallVec<[(usize, [isize; 3]); 2]>,
    /// Rows, columns, inner extent.
    pub size: [usize; 3],
    /// A: offset, row stride, column stride.
    pub a: (isize, isize, isize),
    /// B: offset, row stride, column stride.
    pub b: (isize, isize, isize),
    /// C: offset, row stride, column stride.
    pub c: (isize, isize, isize),
    /// In linear programs, which operands are tangents: terms of which one is dead do not count.
    pub tangents: [bool; 2],
    /// Whether results of which no term counts are dead.
    pub marks: bool,
}

/// A convolution `out[n, o, p] = Σ x[n, c, ·] kernel[o, c, k]` as [`Conv`] defines it, read and written in place:
/// exchanged axes and reversed taps are strides.
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    /// Input.
    pub x: Var,
    /// Kernel.
    pub kernel: Var,
    /// Result.
    pub out: Var,
    /// Element type.
    pub dtype: DType,
    /// Steps, padding, dilations, groups, and which operands are tangents.
    pub op: Conv,
    /// Examples, channels, output channels.
    pub counts: [usize; 3],
    /// Spatial extents of the input.
    pub input: Axes,
    /// Spatial extents of the kernel.
    pub window: Axes,
    /// Input: offset, distances between examples and between channels; spatial axes lie row-major, without gaps.
    pub x_at: (usize, [usize; 2]),
    /// Kernel: offset, distances between output channels and between the channels of a group.
    pub kernel_at: (usize, [usize; 2]),
    /// Kernel: distances along the spatial axes.
    pub taps: SmallVec<[isize; 3]>,
    /// Result: distances between examples and between output channels.
    pub out_at: [usize; 2],
}

/// One operand of an [`Assemble`].
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Which value.
    pub value: Var,
    /// Its elements.
    pub from: View,
    /// Where they go in the result, with the extents of `from`.
    pub to: View,
}

/// A zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// The number.
    Zero,
    /// That of a dead tangent.
    Dead,
}

/// Movement: parts written into places of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Assemble {
    /// Result.
    pub out: Var,
    /// Bytes of an element.
    pub width: usize,
    /// The value of places that no part covers; `None` if the parts cover all.
    pub fill: Option<Fill>,
    /// The operands.
    pub parts: Vec<Part>,
}

/// The transpose of max pooling: each cotangent goes to the element that was its maximum, everything else is zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Unpool {
    /// The windows of the pooling.
    pub window: Window,
    /// The shape of its operand.
    pub shape: Shape,
    /// Its indices; where they are [packed](Plan::packed), the number of the tap in its window, in a byte.
    pub indices: Var,
    /// The cotangents of its maxima.
    pub updates: Var,
    /// The cotangent of its operand.
    pub out: Var,
    /// Element type of the cotangents.
    pub dtype: DType,
}

/// Which dimension of a part the rows of a slab run along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Along the rows of its result.
    Rows,
    /// Along the columns of a product.
    Columns,
    /// Along the inner extent of a product, which then accumulates over the blocks.
    Inner,
}

/// A kernel of a blocked group: a [`Region`] without reductions at its end, or a [`Product`].
#[derive(Clone, Debug)]
pub struct BlockedPart {
    /// What it does.
    pub work: Work,
    /// Which of its dimensions the rows run along.
    pub along: Along,
}

/// A value of which only one block of rows exists at a time, in scratch memory.
#[derive(Clone, Debug)]
pub struct Local {
    /// Which value.
    pub value: Var,
    /// Bytes of a row.
    pub row_bytes: usize,
    /// Where its block begins in the scratch memory of a worker.
    pub offset: usize,
}

/// A blocked group: kernels run together on one block of rows at a time. A *slab* is the part of their values at one
/// index of the leading axes that they share.
#[derive(Clone, Debug)]
pub struct Blocked {
    /// The number of slabs.
    pub count: usize,
    /// Rows of a slab.
    pub rows: usize,
    /// The most rows of a block.
    pub block: usize,
    /// The kernels that each block goes through, in order.
    pub parts: Vec<BlockedPart>,
    /// Values that never reach memory.
    pub locals: Vec<Local>,
    /// Local values written over others: `(written, read)`.
    pub in_place: Vec<(Var, Var)>,
    /// Estimated seconds of the arithmetic on two threads.
    pub seconds: f64,
    /// Bytes of the local values of a block, in the scratch memory of a thread.
    pub scratch: usize,
    /// Columns that masks leave out of the computation.
    pub masked: Option<Masked>,
}

/// Which columns of a row are visible under a mask.
#[derive(Clone, Debug, PartialEq)]
pub enum Mask {
    /// In row `i` of a slab, the columns up to `i + offset`, or those `beyond`.
    Causal {
        /// How many columns beyond the row's number.
        offset: isize,
        /// Whether the later columns are visible instead.
        beyond: bool,
    },
    /// The columns where one of [`Masked::values`] is true, or where it is false.
    Value {
        /// Which one.
        index: usize,
        /// Its value where a column is visible.
        shown: bool,
    },
    /// The columns visible under both.
    And(Box<Mask>, Box<Mask>),
    /// The columns visible under either.
    Or(Box<Mask>, Box<Mask>),
}

impl Mask {
    /// The smallest range of the `columns` that contains all columns visible to some rows of a slab. `of_value` gives
    /// it for a [value](Mask::Value).
    pub fn visible(
        &self,
        rows: &Range<usize>,
        columns: usize,
        of_value: &impl Fn(usize, bool) -> Range<usize>,
    ) -> Range<usize> {
        let column = |at: isize| at.clamp(0, columns as isize) as usize;
        match *self {
            Mask::Causal { offset, beyond: false } => 0..column(rows.end as isize + offset),
            Mask::Causal { offset, beyond: true } => column(rows.start as isize + offset + 1)..columns,
            Mask::Value { index, shown } => of_value(index, shown),
            Mask::And(ref a, ref b) => {
                let (a, b) = (a.visible(rows, columns, of_value), b.visible(rows, columns, of_value));
                a.start.max(b.start)..a.end.min(b.end)
            }
            Mask::Or(ref a, ref b) => {
                let (a, b) = (a.visible(rows, columns, of_value), b.visible(rows, columns, of_value));
                match (a.is_empty(), b.is_empty()) {
                    (true, _) => b,
                    (_, true) => a,
                    _ => a.start.min(b.start)..a.end.max(b.end),
                }
            }
        }
    }
}

/// Columns that have no effect because of a mask: for a block of rows, those that are visible to none of them.
///
/// Leaving them out is exact only if masked exponentials are zero and all values are finite. So the executor computes
/// one masked column for every row as well: if the `guards` are zero there, all results are finite, and so is every
/// operand of the columns that no row computes, the results are those of the full computation.
#[derive(Clone, Debug, PartialEq)]
pub struct Masked {
    /// All columns.
    pub columns: usize,
    /// Which of them have an effect.
    pub mask: Mask,
    /// Booleans in memory that the mask is made of, over the points of the group.
    pub values: Vec<Load>,
    /// Local values that may be stored with the visible columns only.
    pub locals: Vec<Var>,
    /// Those of them that are zero in all masked columns if they are zero in one.
    pub guards: Vec<Var>,
}

impl Masked {
    /// The share of all columns that blocks of `block` rows compute, as far as it is known before the run.
    pub fn used(&self, rows: usize, block: usize) -> f64 {
        let of = |from: usize| {
            let of_rows = from..(from + block).min(rows);
            of_rows.len() * self.mask.visible(&of_rows, self.columns, &|_, _| 0..self.columns).len()
        };
        let used: usize = (0..rows).step_by(block.max(1)).map(of).sum();
        used as f64 / (rows * self.columns) as f64
    }
}

impl Blocked {
    /// Blocks of a slab.
    pub fn blocks(&self) -> usize {
        self.rows.div_ceil(self.block)
    }
    /// Whether a region among the parts computes only the visible columns.
    pub fn narrows(&self, region: &Region) -> bool {
        let touched = region.loads.iter().map(|l| l.value).chain(region.stores.iter().map(|s| s.value));
        self.masked.as_ref().is_some_and(|m| touched.into_iter().any(|v| m.locals.contains(&v)))
    }
    /// Whether a part accumulates over the blocks of a slab, in order.
    pub fn adds_up(&self) -> bool {
        self.parts.iter().any(|p| p.along == Along::Inner)
    }
}

/// What a kernel does.
#[derive(Clone, Debug)]
pub enum Work {
    /// A fused region.
    Region(Region),
    /// A matrix product.
    Product(Product),
    /// A convolution.
    Convolution(Box<Convolution>),
    /// Movement.
    Assemble(Assemble),
    /// The transpose of a pooling.
    Unpool(Unpool),
    /// A blocked group of regions and products.
    Blocked(Blocked),
    /// One primitive, operands and results contiguous.
    Primitive(Op),
    /// A primitive that carries programs, each planned; their arenas lie in this kernel's workspace.
    Control(Op, Vec<Arc<Plan>>),
}

/// A kernel: its work, the values it reads and writes, and its costs.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// What it does.
    pub work: Work,
    /// Values it reads, each once (for [`Work::Primitive`] and [`Work::Control`]: the operands in order).
    pub reads: SmallVec<[Var; 4]>,
    /// Values it writes (for [`Work::Primitive`] and [`Work::Control`]: the results in order).
    pub writes: SmallVec<[Var; 2]>,
    /// Bytes of its workspace in the arena.
    pub workspace: usize,
    /// All memory that it uses beside the values it reads and writes.
    pub requirements: Requirements,
    /// Where its scratch begins.
    pub workspace_at: usize,
    /// Its stage in a reverse-mode program: 0 is the forward pass, later numbers are the parts of the backward pass in
    /// order.
    pub stage: u32,
    /// The equations it stands for.
    pub eqns: Vec<usize>,
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes read and written.
    pub bytes: f64,
    /// The source line of its last equation.
    pub site: Site,
}

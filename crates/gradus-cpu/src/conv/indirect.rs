//! Convolution as one product, whose left operand is never stored.
//!
//! Results (example, position) are rows, (channel, tap) is the inner dimension, output channels are columns. A task
//! takes a few examples (or a band of a large one), copies their planes with zeros around them, a slab of channels at a
//! time, and runs the [inner kernel](super::micro) over them by pieces of the inner dimension and panels of columns.
//! With one tap, or one result in a plane, elements are read in place. Weight gradients are convolutions too, of few
//! results with a long inner dimension: where there are too few tasks, the channels are cut into slices, whose results
//! are added in a tree. The kernel is packed for all tasks, or piece by piece where only one task reads a piece. All
//! sizes come from the shape alone.
//!
//! Invariant: the convolution is sized and fits its operands; places in copied planes have 32 bits, which is
//! asserted.

use super::packed::{Panels, Planes};
use super::workspace::{WorkspaceSizes, bytes_of};
use super::{Conv, Job, Spatial, Target, micro};
use crate::matmul::{Element, Sum, transpose};
use crate::memory::scratch::{self, Slot};
use crate::reduce::{Reduction, Shared, columns_raw};
use crate::vmath::Float;

/// Rows of a task to aim for, the most, and the least.
const ROWS: usize = 192;
const MOST_ROWS: usize = 800;
const FEW_ROWS: usize = 48;

/// The inner dimension up to which tasks may have few rows, since each task reads a panel from beginning to end.
const SHORT: usize = 8192;

/// The most inner indices in a table, where elements are read in place.
const TABLE: usize = 1 << 16;

/// Elements of planes that are copied together: a part of the second-level cache.
const PLANES: usize = 96 * 1024;

/// Inner indices taken together: a panel of them stays in the first cache, and sums stay short.
const DEPTH: usize = 384;

/// Tasks to aim for, and the shortest slice of the inner dimension worth one.
const TASKS: usize = 16;
const MIN_SLICE: usize = 1024;

/// The sizes that a convolution is cut into, from its shape alone.
struct Cut {
    /// Examples of a task, and how many such groups there are.
    examples: usize,
    groups: usize,
    /// The axis that large examples are cut along, results of a band, bands.
    axis: usize,
    band: usize,
    bands: usize,
    /// Panels of columns of a task, and how many such blocks.
    panels: usize,
    blocks: usize,
    /// Channels of a slice, slices.
    channels: usize,
    slices: usize,
    /// Channels whose planes are copied together.
    slab: usize,
    /// Whether elements are read in place.
    direct: bool,
    /// Whether a piece of the kernel is packed by the only task that reads it.
    late: bool,
}

impl Cut {
    fn new(conv: &Conv, panels: usize) -> Self {
        let output = conv.output();
        let (batch, channels) = (conv.result_batch(), conv.group_channels());
        let axis = (0..3).find(|&d| output[d] > 1).unwrap_or(2);
        let line = conv.positions() / output[axis];
        let mut band = output[axis];
        while band > 1 && line * band > MOST_ROWS {
            band = band.div_ceil(2);
        }
        let bands = output[axis].div_ceil(band);
        let inner = channels * conv.taps();
        let few = (batch * conv.positions()).div_ceil(TASKS).clamp(FEW_ROWS, ROWS);
        let wanted = if inner <= SHORT { few } else { ROWS };
        let examples = if bands == 1 { wanted.div_ceil(conv.positions()).min(batch) } else { 1 };
        let groups = batch.div_ceil(examples);
        let examples = batch.div_ceil(groups);
        let tasks = conv.group_count() * groups * bands;
        let mut blocks = 1;
        while tasks * blocks < TASKS && panels >= 2 * blocks {
            blocks *= 2;
        }
        let per_block = panels.div_ceil(blocks);
        let blocks = panels.div_ceil(per_block);
        let most = (inner / MIN_SLICE).clamp(1, channels);
        let slices = (TASKS / (tasks * blocks)).clamp(1, most);
        let per_slice = channels.div_ceil(slices);
        let mut whole = output;
        whole[axis] = band;
        let plane = Planes::of(conv, [0; 3], whole).size();
        let direct = lies_inside(conv, examples, per_slice);
        let slab = if direct { TABLE / conv.taps() } else { PLANES / (examples * plane) };
        Cut {
            slab: slab.clamp(1, per_slice),
            direct,
            late: groups * bands == 1,
            examples,
            groups,
            axis,
            band,
            bands,
            panels: per_block,
            blocks,
            channels: per_slice,
            slices: channels.div_ceil(per_slice),
        }
    }
}

impl Cut {
    /// Results of a full band along each axis, and its planes.
    fn band(&self, conv: &Conv) -> (Spatial, Planes) {
        let mut whole = conv.output();
        whole[self.axis] = self.band;
        (whole, Planes::of(conv, [0; 3], whole))
    }

    /// Elements of a task's planes, and of the piece of the kernel that it packs.
    fn copied(&self, planes: &Planes) -> usize {
        if self.direct { 0 } else { self.examples * self.slab * planes.size() }
    }

    fn packed(&self, width: usize) -> usize {
        if self.late { DEPTH * width } else { 0 }
    }
}

/// Whether planes need not be copied: one tap, or one result in a plane, and none of them outside the input.
fn lies_inside(conv: &Conv, examples: usize, channels: usize) -> bool {
    let output = conv.output();
    let inside = (0..3).all(|d| {
        let reach = (output[d] - 1) * conv.stride[d] + (conv.kernel[d] - 1) * conv.rhs_dilation[d] + 1;
        conv.low[d] <= 0 && reach as isize - conv.low[d] <= conv.input[d] as isize
    });
    let plane: usize = conv.input.iter().product();
    let reach = |count: usize, stride: usize| count.saturating_mul(stride);
    let reach = reach(examples, conv.x_strides[0]).saturating_add(reach(channels, conv.x_strides[1]));
    let reach = reach.saturating_add(2 * plane);
    let once = conv.taps() == 1 || conv.positions() == 1;
    once && inside && conv.lhs_dilation == [1; 3] && u32::try_from(reach).is_ok()
}

/// Where an index along each axis of the input lies.
fn place(conv: &Conv, at: Spatial) -> usize {
    (0..3).fold(0, |place, d| place * conv.input[d] + at[d])
}

/// The place along each axis of a flattened index.
fn unflatten(extent: &Spatial, i: usize) -> Spatial {
    [i / extent[2] / extent[1], i / extent[2] % extent[1], i % extent[2]]
}

/// A convolution in progress.
struct Work<'a, T> {
    job: Job<'a, T>,
    cut: Cut,
    /// The kernel, if it was packed for all tasks.
    weights: Option<Panels<T>>,
    /// Results of a full band along each axis, and its planes.
    whole: Spatial,
    planes: Planes,
    /// Where rows and inner indices lie in a task's planes; bands and slices that are shorter use the first of them.
    rows: &'a [u32],
    inner: &'a [u32],
    /// With slices, a matrix of results for each of them.
    partial: Shared<T>,
}

/// Its workspace sizes.
pub(super) fn workspace_sizes<T: Float + Element>(conv: &Conv, width: usize) -> WorkspaceSizes {
    let panels = Panels::<T>::count_of(conv, width);
    let cut = Cut::new(conv, panels);
    let (whole, planes) = cut.band(conv);
    let positions: usize = whole.iter().product();
    let partial = if cut.slices > 1 { cut.slices * conv.results() } else { 0 };
    let tables = bytes_of::<u32>(cut.examples * positions) + bytes_of::<u32>(cut.slab * conv.taps());
    let copied = cut.copied(&planes);
    let task = copied + cut.examples * positions * cut.panels * width + cut.packed(width);
    let weights = if cut.late { 0 } else { Panels::<T>::elements_of(conv, width) };
    WorkspaceSizes {
        workspace: bytes_of::<T>(weights) + tables + bytes_of::<T>(partial),
        patches: bytes_of::<T>(task.max(conv.positions())),
        ..WorkspaceSizes::default()
    }
}

/// Convolves.
pub(super) fn run<T: Float + Element>(job: &Job<'_, T>) {
    let (conv, pool, mut workspace) = (job.conv, job.pool, job.workspace);
    let cut = Cut::new(conv, Panels::<T>::count_of(conv, T::width()));
    let packed = (!cut.late).then(|| workspace.take(Panels::<T>::elements_of(conv, T::width())));
    let weights = packed.map(|elements| Panels::new(job, elements));
    let (output, taps) = (conv.output(), conv.taps());
    let (whole, planes) = cut.band(conv);
    let positions: usize = whole.iter().product();
    let reached = cut.copied(&planes);
    assert!(u32::try_from(reached).is_ok(), "planes that are copied together have places of 32 bits");
    let row = |r: usize| {
        let at = unflatten(&whole, r % positions);
        let e = r / positions;
        if cut.direct {
            let at = std::array::from_fn(|d| at[d] * conv.stride[d]);
            return (e * conv.x_strides[0] + place(conv, at)) as u32;
        }
        (e * cut.slab * planes.size() + planes.at(conv, at, [0; 3])) as u32
    };
    let inner_at = |k: usize| {
        let (c, at) = (k / taps, unflatten(&conv.kernel, k % taps));
        if cut.direct {
            let at = std::array::from_fn(|d| at[d] * conv.rhs_dilation[d]);
            return (c * conv.x_strides[1] + place(conv, at)) as u32;
        }
        (c * planes.size() + planes.at(conv, [0; 3], at)) as u32
    };
    // SAFETY: the workspace is valid until the convolution is done.
    let (rows, inner) = unsafe {
        (workspace.table(cut.examples * positions, row), workspace.table(cut.slab * taps, inner_at))
    };
    let (plane, size, slices, target) = (conv.positions(), conv.results(), cut.slices, job.target);
    let partial = workspace.take(if slices > 1 { slices * size } else { 0 });
    let work = Work { job: *job, cut, weights, whole, planes, rows, inner, partial };
    pool.run(work.tasks(), &|task| work.run(task));
    if slices > 1 {
        pool.run(conv.result_batch() * conv.outputs, &|task| {
            let (n, o) = (task / conv.outputs, task % conv.outputs);
            scratch::with(Slot::Patches, plane, |sums: *mut T| {
                // SAFETY: one plane of each slice's matrix, and the plane of the result that belongs to this task.
                unsafe {
                    columns_raw(Reduction::Sum, work.partial.at(task * plane), size, slices, plane, sums);
                    let to = job.out.at(n * conv.out_strides[0] + o * conv.out_strides[1]);
                    write_out(sums, 1, 1, ([0; 3], output), to, 0, target);
                }
            });
        });
    }
}

impl<T: Float + Element> Work<'_, T> {
    fn tasks(&self) -> usize {
        let Cut { groups, bands, blocks, slices, .. } = self.cut;
        self.job.conv.group_count() * groups * bands * blocks * slices
    }

    fn run(&self, task: usize) {
        let (conv, cut) = (self.job.conv, &self.cut);
        let (slice, rest) = (task % cut.slices, task / cut.slices);
        let (block, rest) = (rest % cut.blocks, rest / cut.blocks);
        let (band, rest) = (rest % cut.bands, rest / cut.bands);
        let (group, g) = (rest % cut.groups, rest / cut.groups);
        let (e0, c0) = (group * cut.examples, slice * cut.channels);
        let examples = (conv.result_batch() - e0).min(cut.examples);
        let channels = (conv.group_channels() - c0).min(cut.channels);
        let [x0, _, out0] = conv.group_offsets(g);
        let (mut first, mut count) = ([0; 3], self.whole);
        first[cut.axis] = band * cut.band;
        count[cut.axis] = (conv.output()[cut.axis] - first[cut.axis]).min(cut.band);
        let planes = Planes { first: Planes::of(conv, first, count).first, ..self.planes };
        let (size, here): (usize, usize) = (planes.size(), count.iter().product());
        // Groups of several examples are never cut into bands.
        let rows = &self.rows[..examples * here];
        let columns = cut.panels * T::width();
        let copied = cut.copied(&self.planes);
        let all = copied + rows.len() * columns + cut.packed(T::width());
        // The offset of the first result's first tap, if elements are read in place.
        let corner = std::array::from_fn(|d| first[d] * conv.stride[d] + conv.low[d].unsigned_abs());
        scratch::with(Slot::Patches, all, |padded: *mut T| {
            // SAFETY: the scratch can hold the planes, the results, and a piece of the kernel.
            let (sums, packed) = unsafe { (padded.add(copied), padded.add(copied + rows.len() * columns)) };
            for begin in (0..channels).step_by(cut.slab) {
                let slab = (channels - begin).min(cut.slab);
                let at = |e: usize, c: usize| {
                    x0 + (e0 + e) * conv.x_strides[0] + (c0 + begin + c) * conv.x_strides[1]
                };
                let mut from = self.job.x.at(at(0, 0) + place(conv, corner)).cast_const();
                if !cut.direct {
                    for e in 0..examples {
                        for c in 0..slab {
                            // SAFETY: a plane of the input, and scratch memory that can hold it.
                            unsafe {
                                let to = padded.add((e * cut.slab + c) * size);
                                planes.copy(conv, self.job.x.at(at(e, c)), to);
                            }
                        }
                    }
                    from = padded;
                }
                self.multiply((from, packed), rows, [g, block, c0 + begin], slab, sums, begin > 0);
            }
            let o0 = block * columns;
            let outputs = (conv.group_outputs() - o0).min(columns);
            for e in 0..examples {
                let n = e0 + e;
                // SAFETY: the results of these examples, positions and output channels belong to this task alone, and
                // with slices the places in its matrix.
                unsafe {
                    let from = sums.add(e * here * columns);
                    if cut.slices == 1 {
                        let to = self.job.out.at(out0 + n * conv.out_strides[0] + o0 * conv.out_strides[1]);
                        write_out(
                            from,
                            columns,
                            outputs,
                            (first, count),
                            to,
                            conv.out_strides[1],
                            self.job.target,
                        );
                    } else {
                        let (plane, o) = (conv.positions(), g * conv.group_outputs() + o0);
                        let to = self.partial.at(slice * conv.results() + (n * conv.outputs + o) * plane);
                        let flat = Target::plain(&conv.output());
                        write_out(from, columns, outputs, (first, count), to, plane, flat);
                    }
                }
            }
        });
    }

    /// The product of a task, or a part of it: `channels` channels from `c0`, the panels of a block.
    fn multiply(
        &self,
        (x, packed): (*const T, *mut T),
        rows: &[u32],
        [g, block, c0]: [usize; 3],
        channels: usize,
        sums: *mut T,
        add: bool,
    ) {
        let (conv, cut, width) = (self.job.conv, &self.cut, T::width());
        let taps = conv.taps();
        for (piece, inner) in self.inner[..channels * taps].chunks(DEPTH).enumerate() {
            let first = c0 * taps + piece * DEPTH;
            for p in 0..cut.panels.min(Panels::<T>::count_of(conv, T::width()) - block * cut.panels) {
                let panel = block * cut.panels + p;
                let b = match &self.weights {
                    Some(weights) => weights.row(g, panel, first),
                    None => {
                        // SAFETY: the scratch can hold a piece, which lies in the kernel.
                        unsafe { Panels::pack(&self.job, (g, panel), first..first + inner.len(), packed) };
                        packed.cast_const()
                    }
                };
                let work = micro::Task {
                    x,
                    rows,
                    inner,
                    b,
                    half: conv.group_outputs() - panel * width <= width / 2,
                    to: sums.wrapping_add(p * width),
                    stride: cut.panels * width,
                    sum: Sum::added(add || piece > 0),
                };
                // SAFETY: offsets of rows and of inner indices add up to places in the planes, the panel holds the
                // inner indices, and the results have their rows.
                unsafe { T::multiply(&work) };
            }
        }
    }
}

/// Writes results, a row of `columns` for each position, to their places in the planes of `outputs` output channels.
///
/// # Safety
/// The results are valid, and `to` points to the plane of the first output channel, the others `stride` apart.
unsafe fn write_out<T: Element>(
    from: *const T,
    columns: usize,
    outputs: usize,
    (first, count): (Spatial, Spatial),
    to: *mut T,
    stride: usize,
    target: Target,
) {
    let place = target.offset + (0..3).map(|d| first[d] * target.step[d]).sum::<usize>();
    let dense = (0..3).all(|d| count[d] == 1 || target.step[d] == count[d + 1..].iter().product());
    // SAFETY: the caller's promise.
    unsafe {
        if dense {
            let here = count.iter().product();
            transpose(here, outputs, (from.cast_mut(), columns as isize, 1), to.add(place), stride);
            return;
        }
        for o in 0..outputs {
            let mut row = from.wrapping_add(o);
            for d in 0..count[0] {
                for h in 0..count[1] {
                    let line = to.add(o * stride + place + d * target.step[0] + h * target.step[1]);
                    for w in 0..count[2] {
                        *line.add(w * target.step[2]) = *row;
                        row = row.wrapping_add(columns);
                    }
                }
            }
        }
    }
}

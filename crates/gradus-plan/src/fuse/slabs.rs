//! Kernels run together, slab by slab: attention without its score matrix in memory.
//!
//! A batched product, a softmax over its rows and another batched product share their leading axes: each index of them
//! (a head of an example) is a *slab* that can go through all three before the next one begins. So can a block of rows
//! of a slab, since what lies between works row by row; a product that sums over the rows adds up block after block.
//! Values that only such kernels read then live in scratch memory that stays in cache.
//!
//! A group grows along the order of the kernels: a product opens it, and kernels join that read its values where they
//! were written, in the same slab and block. Nothing here knows about attention: forward and backward passes, masks
//! and dropout between the products, and other chains of batched products all take part. What is computed for an
//! element does not change; only sums over rows are added up by blocks, whose size depends on shapes alone.

use std::collections::BinaryHeap;

use gradus_core::{Graph, Type, Var};
use smallvec::SmallVec;

use super::order::dedup;
use super::{Fused, Source};
use crate::arena::{self, Block};
use crate::kernel::{Along, Domain, Kernel, Level, Local, Product, Region, SlabPart, Slabs, Work};
use crate::plan::kernel_seconds;
use crate::view::Dim;
use crate::{ALIGN, Needs, Options};

/// Bytes of a block of the widest value: a few of them stay in a second-level cache.
const BLOCK: usize = 512 * 1024;
/// The least rows of a block: with fewer, products would spend their time on packing.
const LEAST_ROWS: usize = 32;
/// Bytes below which keeping values out of memory gains nothing.
const LEAST_BYTES: usize = 32 * 1024;
/// A product without batch axes opens a group only if its result is so many times as wide as its inner extent.
const EXPANDS: usize = 4;

/// The iteration space that a group shares.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Space {
    count: usize,
    rows: usize,
    /// Without batch axes, values narrower than this are not read inside: a group then never runs through a network of
    /// layers.
    narrow: usize,
}

struct Group {
    stage: u32,
    space: Space,
    members: Vec<usize>,
    dead: bool,
}

struct Finder<'a> {
    graph: &'a Graph,
    kernels: &'a [Kernel],
    /// The kernel that writes a value, if it is the only one.
    writer: Vec<Option<usize>>,
    /// For each kernel, the kernels it comes after.
    after: Vec<Vec<u64>>,
    group_of: Vec<Option<usize>>,
    /// How the rows run through a product that belongs to a group.
    along: Vec<Along>,
    groups: Vec<Group>,
}

/// Puts kernels together where that keeps values out of memory.
pub(super) fn group(graph: &Graph, fused: &mut Fused, options: &Options) {
    let opens = |k: &Kernel| matches!(&k.work, Work::Product(p) if opened(p).is_some());
    if !fused.kernels.iter().any(opens) {
        return;
    }
    let mut finder = Finder::new(graph, &fused.kernels);
    for k in 0..fused.kernels.len() {
        finder.kernel(k);
    }
    let mut needed = vec![false; graph.types().len()];
    for v in graph.outputs() {
        if let Source::View(root, _) = &fused.sources[v.index()] {
            needed[root.index()] = true;
        }
    }
    let mut made: Vec<(Vec<usize>, Kernel)> = Vec::new();
    for group in finder.groups.iter().filter(|g| !g.dead && g.members.len() > 1) {
        if let Some(kernel) = finder.written(group, &needed, options) {
            made.push((group.members.clone(), kernel));
        }
    }
    if !made.is_empty() {
        let kernels = std::mem::take(&mut fused.kernels);
        fused.kernels = ordered(kernels, made);
    }
}

/// The space of a group that a product opens.
fn opened(p: &Product) -> Option<Space> {
    let count: usize = p.batch.iter().map(|b| b.0).product();
    let [rows, width, inner] = p.size;
    let narrow = if count > 1 { 0 } else { EXPANDS * inner };
    (rows > 1 && width > 1 && width >= narrow).then_some(Space { count, rows, narrow })
}

impl<'a> Finder<'a> {
    fn new(graph: &'a Graph, kernels: &'a [Kernel]) -> Self {
        let n = graph.types().len();
        let mut writers: Vec<SmallVec<[usize; 1]>> = vec![SmallVec::new(); n];
        let mut after: Vec<Vec<u64>> = Vec::with_capacity(kernels.len());
        for (k, kernel) in kernels.iter().enumerate() {
            let mut own = vec![0u64; kernels.len().div_ceil(64)];
            for &j in kernel.reads.iter().flat_map(|v| &writers[v.index()]) {
                own.iter_mut().zip(&after[j]).for_each(|(a, b)| *a |= b);
                own[j / 64] |= 1 << (j % 64);
            }
            after.push(own);
            kernel.writes.iter().for_each(|v| writers[v.index()].push(k));
        }
        let only = |w: SmallVec<[usize; 1]>| if let [k] = w[..] { Some(k) } else { None };
        Finder {
            graph,
            kernels,
            writer: writers.into_iter().map(only).collect(),
            after,
            group_of: vec![None; kernels.len()],
            along: vec![Along::Rows; kernels.len()],
            groups: Vec::new(),
        }
    }

    /// Lets kernel `k` join the groups whose values it reads, or open one.
    fn kernel(&mut self, k: usize) {
        let kernel = &self.kernels[k];
        if !matches!(kernel.work, Work::Product(_) | Work::Region(_)) {
            return;
        }
        let mut near: Vec<usize> = kernel
            .reads
            .iter()
            .filter_map(|v| self.group_of[self.writer[v.index()]?])
            .filter(|&g| self.groups[g].stage == kernel.stage)
            .collect();
        near.sort_unstable();
        near.dedup();
        // All of them together, else the youngest that takes it.
        if near.len() > 1 && self.join(k, &near) {
            return;
        }
        for &g in near.iter().rev() {
            if self.join(k, &[g]) {
                return;
            }
        }
        if let Work::Product(p) = &kernel.work
            && let Some(space) = opened(p)
        {
            self.group_of[k] = Some(self.groups.len());
            self.groups.push(Group { stage: kernel.stage, space, members: vec![k], dead: false });
        }
    }

    /// Makes one group of several and a kernel, if they fit.
    fn join(&mut self, k: usize, groups: &[usize]) -> bool {
        let space = self.groups[groups[0]].space;
        if groups.iter().any(|&g| self.groups[g].space != space) {
            return false;
        }
        let mut members: Vec<usize> = groups.iter().flat_map(|&g| self.groups[g].members.clone()).collect();
        members.push(k);
        members.sort_unstable();
        let before = self.along.clone();
        for &m in &members {
            match self.fits(m, space, &members) {
                Some(along) => self.along[m] = along,
                None => {
                    self.along = before;
                    return false;
                }
            }
        }
        if !self.convex(&members) {
            self.along = before;
            return false;
        }
        let (&home, others) = groups.split_first().expect("called with groups");
        others.iter().for_each(|&g| self.groups[g].dead = true);
        members.iter().for_each(|&m| self.group_of[m] = Some(home));
        self.groups[home].members = members;
        true
    }

    /// Whether nothing that is no member comes between members.
    fn convex(&self, members: &[usize]) -> bool {
        let mut own = vec![0u64; self.kernels.len().div_ceil(64)];
        members.iter().for_each(|m| own[m / 64] |= 1 << (m % 64));
        let mut before = vec![0u64; own.len()];
        for &m in members {
            before.iter_mut().zip(&self.after[m]).for_each(|(a, b)| *a |= b);
        }
        let (first, last) = (members[0], members[members.len() - 1]);
        (first..last).all(|x| {
            let bit = 1u64 << (x % 64);
            let between = before[x / 64] & bit != 0 && own[x / 64] & bit == 0;
            !between || self.after[x].iter().zip(&own).all(|(a, b)| a & b == 0)
        })
    }

    /// How the rows of the space run through kernel `k`, if all that it reads of other members lies in its own slab and
    /// block.
    fn fits(&self, k: usize, space: Space, members: &[usize]) -> Option<Along> {
        let inside = |v: Var| self.writer[v.index()].filter(|j| members.contains(j));
        let all = space.count * space.rows;
        match &self.kernels[k].work {
            Work::Region(region) => {
                // What is summed over rows comes out when all rows are done, not block by block.
                if region.stores.iter().any(|s| s.reduce.is_some()) {
                    return None;
                }
                let cols = match region.domain {
                    Domain::Rows { rows, cols } if rows == all => cols,
                    Domain::Flat { n } if n > 0 && n.is_multiple_of(all) => n / all,
                    _ => return None,
                };
                let local = |load: &crate::kernel::Load| {
                    let Some(j) = inside(load.value) else { return true };
                    let Some(width) = self.width(j, load.value, space) else { return false };
                    let dims = load.view.collapsed().dims;
                    let whole = load.view.is_contiguous();
                    let repeated: SmallVec<[Dim; 2]> =
                        [(all, 1), (cols, 0)].into_iter().filter(|d| d.0 != 1).collect();
                    match load.level {
                        Level::Row => width == 1 && whole && load.view.size() == all,
                        Level::Full if width == cols => whole && load.view.size() == all * cols,
                        Level::Full => width == 1 && load.view.offset == 0 && dims[..] == repeated[..],
                    }
                };
                region.loads.iter().all(local).then_some(Along::Rows)
            }
            Work::Product(p) => self.product(p, space, inside),
            _ => None,
        }
    }

    fn product(&self, p: &Product, space: Space, inside: impl Fn(Var) -> Option<usize>) -> Option<Along> {
        if p.batch.iter().map(|b| b.0).product::<usize>() != space.count {
            return None;
        }
        let mut found: Option<Along> = None;
        let [m, n, k] = p.size;
        // For each operand: how its rows lie in the product, whether it is read in order or transposed.
        let operands = [
            (p.lhs, p.a, 0, [(m, k, Along::Rows), (k, m, Along::Inner)]),
            (p.rhs, p.b, 1, [(k, n, Along::Inner), (n, k, Along::Columns)]),
        ];
        for (v, (offset, row, col), which, ways) in operands {
            let Some(j) = inside(v) else { continue };
            let width = self.width(j, v, space)?;
            let mut stride = (space.rows * width) as isize;
            for &(extent, strides) in p.batch.iter().rev() {
                if strides[which] != stride {
                    return None;
                }
                stride *= extent as isize;
            }
            let lies = |rows: usize, cols: usize, row: isize, col: isize| {
                (rows, cols) == (space.rows, width)
                    && (rows == 1 || row == width as isize)
                    && (cols == 1 || col == 1)
            };
            let [(r, c, straight), (tr, tc, turned)] = ways;
            let along = if offset != 0 {
                return None;
            } else if lies(r, c, row, col) {
                straight
            } else if lies(tr, tc, col, row) {
                turned
            } else {
                return None;
            };
            if found.is_some_and(|f| f != along) {
                return None;
            }
            found = Some(along);
        }
        // A product of outer values only runs along its own rows.
        found.or((m == space.rows).then_some(Along::Rows))
    }

    /// Elements a row of value `v`, which member `j` writes, if members may read it: row after row, slab after slab.
    fn width(&self, j: usize, v: Var, space: Space) -> Option<usize> {
        let all = space.count * space.rows;
        let size = self.graph.ty(v).shape.size();
        if !size.is_multiple_of(all) {
            return None;
        }
        let width = size / all;
        if width > 1 && width < space.narrow {
            return None;
        }
        if let Work::Product(p) = &self.kernels[j].work {
            let in_rows = self.along[j] == Along::Rows && p.size[1] == width;
            let mut stride = (space.rows * width) as isize;
            for &(extent, [_, _, c]) in p.batch.iter().rev() {
                if c != stride {
                    return None;
                }
                stride *= extent as isize;
            }
            let in_order = p.c.0 == 0 && p.c.1 == width as isize && (width == 1 || p.c.2 == 1);
            (in_rows && in_order).then_some(width)
        } else {
            Some(width)
        }
    }

    /// The group as one kernel; `None` where that gains nothing.
    fn written(&self, group: &Group, needed: &[bool], options: &Options) -> Option<Kernel> {
        let Space { count, rows, .. } = group.space;
        let member = |k: usize| group.members.contains(&k);
        let parts: Vec<&Kernel> = group.members.iter().map(|&m| &self.kernels[m]).collect();
        let mut read_outside = vec![false; self.graph.types().len()];
        for kernel in self.kernels.iter().enumerate().filter(|(k, _)| !member(*k)).map(|(_, kernel)| kernel) {
            kernel.reads.iter().for_each(|v| read_outside[v.index()] = true);
        }
        let stays = |v: Var| {
            !needed[v.index()] && !read_outside[v.index()] && self.writer[v.index()].is_some_and(member)
        };
        let made: Vec<Var> = parts.iter().flat_map(|k| k.writes.iter().copied()).collect();
        let locals: Vec<Var> = made.iter().copied().filter(|&v| stays(v)).collect();
        let bytes = |v: Var| self.graph.ty(v).bytes();
        let inside: usize = locals.iter().map(|&v| bytes(v)).sum();
        let reads = dedup(parts.iter().flat_map(|k| k.reads.iter().copied()).filter(|v| !made.contains(v)));
        let writes = dedup(made.iter().copied().filter(|v| !locals.contains(v)));
        let outside: usize = reads.iter().chain(&writes).map(|&v| bytes(v)).sum();
        let products = |k: &&&Kernel| matches!(k.work, Work::Product(_));
        let flops: f64 = parts.iter().map(|k| k.flops).sum();
        let multiplying: f64 =
            parts.iter().filter(products).map(|k| kernel_seconds(true, k.flops, 0.0)).sum();
        // Written once, read once at least; with batch axes a tenth of the time is worth it.
        let saved = kernel_seconds(false, 0.0, 2.0 * inside as f64);
        let worth = match count {
            1 => inside > 4 * outside && inside >= 8 * LEAST_BYTES,
            _ => saved * 10.0 >= multiplying || inside > 2 * outside,
        };
        if inside < LEAST_BYTES || !worth {
            return None;
        }
        let row_bytes = |v: Var| bytes(v) / (count * rows);
        let widest = locals.iter().map(|&v| row_bytes(v)).max()?.max(1);
        let most = (BLOCK / widest / LEAST_ROWS * LEAST_ROWS).max(LEAST_ROWS);
        let block = rows.div_ceil(rows.div_ceil(most));
        let (locals, in_place, scratch) = self.laid_out(&parts, &locals, &row_bytes, block);
        let slab_parts: Vec<SlabPart> = group
            .members
            .iter()
            .map(|&m| SlabPart { work: self.kernels[m].work.clone(), along: self.along[m] })
            .collect();
        let adds = slab_parts.iter().any(|p| p.along == Along::Inner);
        let tasks = if adds { count } else { count * rows.div_ceil(block) };
        let workers = options.workers.clamp(1, tasks);
        let last = parts[parts.len() - 1];
        let work = Work::Slabs(Slabs {
            count,
            rows,
            block,
            parts: slab_parts,
            locals,
            in_place,
            seconds: multiplying + kernel_seconds(false, flops - multiplying / 6e-12, 0.0),
            scratch,
            workers,
        });
        let types = |vars: &[Var]| vars.iter().map(|&v| self.graph.ty(v).clone()).collect::<Vec<Type>>();
        let needs = (options.needs)(&work, &types(&reads), &types(&writes));
        let workspace = workers * scratch;
        Some(Kernel {
            reads,
            writes: writes.into_iter().collect(),
            workspace,
            needs: Needs { workspace, ..needs },
            workspace_at: 0,
            stage: group.stage,
            eqns: parts.iter().flat_map(|k| k.eqns.iter().copied()).collect(),
            flops,
            bytes: outside as f64,
            site: last.site.clone(),
            work,
        })
    }

    /// Places for local values in the scratch memory of a worker, those written over others, and the bytes of it all.
    fn laid_out(
        &self,
        parts: &[&Kernel],
        values: &[Var],
        row_bytes: &impl Fn(Var) -> usize,
        block: usize,
    ) -> (Vec<Local>, Vec<(Var, Var)>, usize) {
        let n = self.graph.types().len();
        let mut last = vec![0; n];
        for (i, part) in parts.iter().enumerate() {
            part.reads.iter().chain(&part.writes).for_each(|v| last[v.index()] = i);
        }
        let mut blocks: Vec<Block> = Vec::new();
        let mut block_of = vec![None; n];
        let mut in_place = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let free = |read: Var, written: Var| {
                values.contains(&read) && values.contains(&written) && last[read.index()] == i
            };
            let width = |v: Var| self.graph.ty(v).dtype.size();
            for (written, read) in arena::in_place(part, free, width, |v| self.graph.ty(v).bytes()) {
                if let Some(b) = block_of[read.index()] {
                    let b: usize = b;
                    block_of[written.index()] = Some(b);
                    blocks[b].to = last[written.index()];
                    in_place.push((written, read));
                }
            }
            for &v in part.writes.iter().filter(|v| values.contains(v)) {
                if block_of[v.index()].is_none() {
                    block_of[v.index()] = Some(blocks.len());
                    let bytes = row_bytes(v) * block;
                    blocks.push(Block { from: i, to: last[v.index()], bytes, offset: 0 });
                }
            }
        }
        let scratch = arena::pack(&mut blocks).next_multiple_of(64 * ALIGN);
        let local = |&v: &Var| Local {
            value: v,
            row_bytes: row_bytes(v),
            offset: block_of[v.index()].map_or(0, |b| blocks[b].offset),
        };
        (values.iter().map(local).collect(), in_place, scratch)
    }
}

/// The kernels in order, groups at the place of their last member or as soon after as what they read is there.
fn ordered(kernels: Vec<Kernel>, mut groups: Vec<(Vec<usize>, Kernel)>) -> Vec<Kernel> {
    loop {
        // Nodes: groups, then kernels of their own.
        let mut node_of: Vec<usize> = (0..kernels.len()).map(|k| groups.len() + k).collect();
        for (g, (members, _)) in groups.iter().enumerate() {
            members.iter().for_each(|&m| node_of[m] = g);
        }
        let nodes = groups.len() + kernels.len();
        let mut key = vec![0; nodes];
        let mut waits = vec![0usize; nodes];
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes];
        let mut writers: std::collections::HashMap<Var, SmallVec<[usize; 1]>> = Default::default();
        for (k, kernel) in kernels.iter().enumerate() {
            let node = node_of[k];
            key[node] = k;
            for &from in kernel.reads.iter().filter_map(|v| writers.get(v)).flatten() {
                if from != node && !readers[from].contains(&node) {
                    readers[from].push(node);
                    waits[node] += 1;
                }
            }
            for v in &kernel.writes {
                let own = writers.entry(*v).or_default();
                if !own.contains(&node) {
                    own.push(node);
                }
            }
        }
        let mut present: Vec<usize> = node_of.clone();
        present.sort_unstable();
        present.dedup();
        let next = |node: usize| std::cmp::Reverse((kernels[key[node]].stage, key[node], node));
        let mut ready: BinaryHeap<_> = present.iter().copied().filter(|&n| waits[n] == 0).map(next).collect();
        let mut order = Vec::with_capacity(present.len());
        while let Some(std::cmp::Reverse((_, _, node))) = ready.pop() {
            order.push(node);
            for &r in &readers[node] {
                waits[r] -= 1;
                if waits[r] == 0 {
                    ready.push(next(r));
                }
            }
        }
        if order.len() < present.len() {
            // Two groups wait for one another: the later one is left as it was.
            let stuck = (0..groups.len()).rev().find(|&g| waits[g] > 0);
            groups.remove(stuck.expect("kernels alone form no cycle"));
            continue;
        }
        let count = groups.len();
        let mut of_groups: Vec<Option<Kernel>> = groups.into_iter().map(|(_, kernel)| Some(kernel)).collect();
        let mut alone: Vec<Option<Kernel>> = kernels.into_iter().map(Some).collect();
        let taken = order.into_iter().filter_map(|node| {
            if node < count { of_groups[node].take() } else { alone[node - count].take() }
        });
        return taken.collect();
    }
}

/// How deep products transpose an operand at once.
const DEPTH: usize = 512;

impl Slabs {
    /// Bytes that a worker's products transpose at once, at most.
    pub fn repacked(&self) -> usize {
        let one = |p: &SlabPart| match &p.work {
            Work::Product(product) => {
                let [m, n, k] = product.size;
                let own = |extent: usize, along: Along| {
                    if p.along == along { extent.min(self.block) } else { extent }
                };
                // The operand on the side where the result's neighbours are.
                let (side, stride) = if product.c.2.abs() < product.c.1.abs() {
                    (own(n, Along::Columns), product.b.2)
                } else {
                    (own(m, Along::Rows), product.a.1)
                };
                let depth = own(k, Along::Inner).min(DEPTH);
                if stride == 1 { 0 } else { side.next_multiple_of(16) * depth * product.dtype.size() }
            }
            _ => 0,
        };
        self.parts.iter().map(one).max().unwrap_or(0)
    }
    /// The regions among the parts.
    pub(crate) fn regions(&self) -> impl Iterator<Item = &Region> {
        self.parts.iter().filter_map(|p| match &p.work {
            Work::Region(region) => Some(region),
            _ => None,
        })
    }
}

//! Blocked groups: kernels run together on blocks of rows, such as attention without its score matrix in memory.
//!
//! A batched product, a softmax over its rows and another batched product share their leading axes: each index of them
//! (a head of an example) is a *slab* that can pass through all three kernels before the next one begins. So can a
//! block of rows of a slab, since the kernels in between work row by row; a product that sums over the rows accumulates
//! block by block. Values that only these kernels read then live in scratch memory that stays in cache.
//!
//! A group grows in the order of the kernels: a product opens it, and kernels join that read its values in the slab and
//! block where they were written. Nothing here knows about attention: forward and backward passes, masks and dropout
//! between the products, and other chains of batched products all take part. The computation of each element does not
//! change, sums over rows included: the executor adds in the same order as for a product of its own.

mod causal;
mod masked;
mod order;
mod packing;
mod write;

use std::collections::{BTreeSet, HashSet};

use gradus_core::{Graph, Var};
use smallvec::SmallVec;

use super::order::dedup;
use super::{Fused, Source};
use crate::Options;
use crate::kernel::{Along, Domain, Kernel, Level, Product, Work};
use crate::view::Dim;
use crate::work;
use causal::Masks;

/// The most kernels of a group, and the most other kernels between them that are examined for dependences.
const MEMBERS: usize = 64;
const BETWEEN: usize = 4096;
/// A product without batch axes opens a group only if its result is this many times as wide as its inner extent.
const EXPANDS: usize = 4;

/// The iteration space that a group shares.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Space {
    count: usize,
    rows: usize,
    /// Without batch axes, values narrower than this are not local, so that a group never spans the layers of a
    /// network.
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
    kernels: Vec<Kernel>,
    /// The kernel that writes a value, if it is the only one.
    writer: Vec<Option<usize>>,
    /// For each kernel, the writers of its operands.
    before: Vec<SmallVec<[usize; 4]>>,
    group_of: Vec<Option<usize>>,
    /// How the rows run through a product that belongs to a group.
    along: Vec<Along>,
    groups: Vec<Group>,
}

/// Forms blocked groups where that keeps values out of memory.
pub(super) fn group(graph: &Graph, fused: &mut Fused, options: &Options) {
    let opens = |k: &Kernel| matches!(&k.work, Work::Product(p) if opened(p).is_some());
    if !fused.kernels.iter().any(opens) {
        return;
    }
    let mut finder = Finder::new(graph, std::mem::take(&mut fused.kernels));
    for k in 0..finder.kernels.len() {
        finder.kernel(k);
    }
    finder.groups.retain(|g| !g.dead && g.members.len() > 1);
    let mut needed = vec![false; graph.types().len()];
    for v in graph.outputs() {
        if let Source::View(root, _) = &fused.sources[v.index()] {
            needed[root.index()] = true;
        }
    }
    finder.make_masks(&needed);
    let mut readers = vec![0; graph.types().len()];
    finder.kernels.iter().flat_map(|k| &k.reads).for_each(|v| readers[v.index()] += 1);
    let made: Vec<(Vec<usize>, Kernel)> = finder
        .groups
        .iter()
        .filter_map(|group| Some((group.members.clone(), finder.written(group, &needed, &readers, options)?)))
        .collect();
    fused.kernels = finder.kernels;
    if !made.is_empty() {
        fused.kernels = order::ordered(std::mem::take(&mut fused.kernels), made);
    }
    drop_unread(&mut fused.kernels, needed);
}

/// Removes regions without readers: those of masks that groups compute themselves.
fn drop_unread(kernels: &mut Vec<Kernel>, mut read: Vec<bool>) {
    let stays: Vec<bool> = (kernels.iter().rev())
        .map(|kernel| {
            let stays =
                !matches!(kernel.work, Work::Region(_)) || kernel.writes.iter().any(|v| read[v.index()]);
            if stays {
                kernel.reads.iter().for_each(|v| read[v.index()] = true);
            }
            stays
        })
        .collect();
    let mut stays = stays.into_iter().rev();
    kernels.retain(|_| stays.next().unwrap_or(true));
}

/// The space of a group that a product opens.
fn opened(p: &Product) -> Option<Space> {
    let count: usize = p.batch.iter().map(|b| b.0).product();
    let [rows, width, inner] = p.size;
    let narrow = if count > 1 { 0 } else { EXPANDS * inner };
    (rows > 1 && width > 1 && width >= narrow).then_some(Space { count, rows, narrow })
}

impl<'a> Finder<'a> {
    fn new(graph: &'a Graph, kernels: Vec<Kernel>) -> Self {
        let n = graph.types().len();
        let mut writers: Vec<SmallVec<[usize; 1]>> = vec![SmallVec::new(); n];
        let mut before: Vec<SmallVec<[usize; 4]>> = Vec::with_capacity(kernels.len());
        for (k, kernel) in kernels.iter().enumerate() {
            before.push(kernel.reads.iter().flat_map(|v| writers[v.index()].iter().copied()).collect());
            kernel.writes.iter().for_each(|v| writers[v.index()].push(k));
        }
        let only = |w: SmallVec<[usize; 1]>| if let [k] = w[..] { Some(k) } else { None };
        Finder {
            graph,
            writer: writers.into_iter().map(only).collect(),
            before,
            group_of: vec![None; kernels.len()],
            along: vec![Along::Rows; kernels.len()],
            groups: Vec::new(),
            kernels,
        }
    }

    /// Lets kernel `k` join the groups whose values it reads, or open one.
    fn kernel(&mut self, k: usize) {
        let kernel = &self.kernels[k];
        if !matches!(kernel.work, Work::Product(_) | Work::Region(_)) {
            return;
        }
        let (stage, opens) = (
            kernel.stage,
            match &kernel.work {
                Work::Product(p) => opened(p),
                _ => None,
            },
        );
        let mut near: Vec<usize> = kernel
            .reads
            .iter()
            .filter_map(|v| self.group_of[self.writer[v.index()]?])
            .filter(|&g| self.groups[g].stage == stage)
            .collect();
        near.sort_unstable();
        near.dedup();
        // All of them merged, else the youngest that accepts the kernel.
        if near.len() > 1 && self.join(k, &near) {
            return;
        }
        for &g in near.iter().rev() {
            if self.join(k, &[g]) {
                return;
            }
        }
        if let Some(space) = opens {
            self.group_of[k] = Some(self.groups.len());
            self.groups.push(Group { stage, space, members: vec![k], dead: false });
        }
    }

    /// Lets the regions of groups compute the causal masks of the graph, so that these are not stored.
    fn make_masks(&mut self, needed: &[bool]) {
        let masks = Masks::new(self.graph);
        let mut changed = Vec::new();
        for group in &self.groups {
            let Space { count, rows, .. } = group.space;
            for &m in &group.members {
                let Work::Region(region) = &self.kernels[m].work else { continue };
                if let Some(region) = masks.made_inside(region, count * rows, rows) {
                    self.kernels[m].reads = dedup(region.loads.iter().map(|l| l.value)).into_iter().collect();
                    self.kernels[m].work = Work::Region(region);
                    changed.push(m);
                }
            }
        }
        let mut read = needed.to_vec();
        self.kernels.iter().flat_map(|k| &k.reads).for_each(|v| read[v.index()] = true);
        for m in changed {
            let kernel = &mut self.kernels[m];
            if let Work::Region(region) = &mut kernel.work {
                let stored = region.stores.len();
                region.stores.retain(|s| read[s.value.index()]);
                if region.stores.len() < stored {
                    kernel.writes.retain(|v| read[v.index()]);
                }
            }
        }
    }

    /// Merges several groups and a kernel, if they fit.
    fn join(&mut self, k: usize, groups: &[usize]) -> bool {
        let space = self.groups[groups[0]].space;
        if groups.iter().any(|&g| self.groups[g].space != space) {
            return false;
        }
        let mut members: Vec<usize> = groups.iter().flat_map(|&g| self.groups[g].members.clone()).collect();
        members.push(k);
        members.sort_unstable();
        if members.len() > MEMBERS {
            work::simpler("blockwise groups have no more members");
            return false;
        }
        let before: Vec<Along> = members.iter().map(|&m| self.along[m]).collect();
        let restored = |along: &mut [Along]| members.iter().zip(&before).for_each(|(&m, &a)| along[m] = a);
        for &m in &members {
            match self.fits(m, space, &members) {
                Some(along) => self.along[m] = along,
                None => {
                    restored(&mut self.along);
                    return false;
                }
            }
        }
        if !self.convex(&members) {
            restored(&mut self.along);
            return false;
        }
        let (&host, others) = groups.split_first().expect("called with groups");
        others.iter().for_each(|&g| self.groups[g].dead = true);
        members.iter().for_each(|&m| self.group_of[m] = Some(host));
        self.groups[host].members = members;
        true
    }

    /// Whether no other kernel has to run between members.
    fn convex(&self, members: &[usize]) -> bool {
        let member = |k: &usize| members.binary_search(k).is_ok();
        // Other kernels that members depend on, the last first; kernels before all members depend on none of them.
        let mut others: BTreeSet<usize> = BTreeSet::new();
        let mut after: HashSet<usize> = HashSet::new();
        let mut pending: Vec<usize> = members.to_vec();
        while let Some(k) = pending.pop() {
            work::count(1);
            for &j in self.before[k].iter().filter(|&&j| j > members[0] && !member(&j)) {
                if others.insert(j) {
                    pending.push(j);
                }
            }
            if others.len() > BETWEEN {
                work::simpler("distant kernels are no blockwise group");
                return false;
            }
        }
        for k in others {
            if self.before[k].iter().any(|j| member(j) || after.contains(j)) {
                after.insert(k);
            }
        }
        after.is_empty()
    }

    /// The dimension of kernel `k` that the rows of the space run along, if all values that it reads of other members
    /// lie in its own slab and block.
    fn fits(&self, k: usize, space: Space, members: &[usize]) -> Option<Along> {
        let inside = |v: Var| self.writer[v.index()].filter(|j| members.contains(j));
        let all = space.count * space.rows;
        match &self.kernels[k].work {
            Work::Region(region) => {
                // A sum over rows is complete only after all rows, not block by block.
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
        // A product without local operands runs along its own rows.
        found.or((m == space.rows).then_some(Along::Rows))
    }

    /// The elements per row of value `v`, which member `j` writes, if members may read it: row by row, slab by slab.
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
}

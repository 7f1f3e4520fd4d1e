//! Where values live: offsets in one arena, packed so that values alive together never overlap.
//!
//! Greedy by size: the largest block first, each at the lowest gap that fits among the blocks alive at the same time.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use gradus_core::Var;
use gradus_core::quick::Map;

use crate::kernel::{Domain, Kernel, Level, Work};
use crate::work;

/// Alignment of every block.
pub const ALIGN: usize = 64;

/// A block of memory and the kernels during which it is alive, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First kernel.
    pub from: usize,
    /// Last kernel.
    pub to: usize,
    /// Bytes.
    pub bytes: usize,
    /// Where it begins.
    pub offset: usize,
}

/// Up to this many pairs of simultaneously live blocks, blocks are placed by size; beyond, in order of time.
const PAIRS: usize = 1 << 22;

/// Assigns offsets; returns the bytes of the arena, `usize::MAX` if they are more than that.
pub fn pack(blocks: &mut [Block]) -> usize {
    if pairs(blocks) <= PAIRS {
        return by_size(blocks);
    }
    work::simpler("blocks of memory are placed as they come");
    // Forwards or backwards in time, whichever wastes less.
    let mut back: Vec<Block> = blocks.to_vec();
    let end = blocks.iter().map(|b| b.to).max().unwrap_or(0);
    back.iter_mut().for_each(|b| (b.from, b.to) = (end - b.to, end - b.from));
    let (forwards, backwards) = (in_time(blocks), in_time(&mut back));
    if backwards < forwards {
        blocks.iter_mut().zip(&back).for_each(|(b, back)| b.offset = back.offset);
    }
    forwards.min(backwards)
}

/// The number of pairs of blocks that are alive at the same time.
fn pairs(blocks: &[Block]) -> usize {
    let live = || blocks.iter().filter(|b| b.bytes > 0);
    let (mut from, mut to): (Vec<usize>, Vec<usize>) = live().map(|b| (b.from, b.to)).unzip();
    from.sort_unstable();
    to.sort_unstable();
    // Each block overlaps those that began before it and have not ended.
    let mut ended = 0;
    let mut pairs = 0;
    for (begun, &at) in from.iter().enumerate() {
        while to[ended] < at {
            ended += 1;
        }
        pairs += begun - ended;
    }
    pairs
}

/// The largest block first.
fn by_size(blocks: &mut [Block]) -> usize {
    let mut order: Vec<usize> = (0..blocks.len()).filter(|&i| blocks[i].bytes > 0).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(blocks[i].bytes), blocks[i].from, i));
    let mut placed = Placed::new(blocks, &order);
    let mut total = 0;
    let mut alive: Vec<(usize, usize)> = Vec::new();
    for i in order {
        let b = blocks[i];
        let need = b.bytes.next_multiple_of(ALIGN);
        alive.clear();
        placed.meeting(b.from, b.to, |j| {
            let o = &blocks[j];
            alive.push((o.offset, o.offset.saturating_add(o.bytes.next_multiple_of(ALIGN))));
        });
        // Pairs are bounded.
        work::count(1);
        alive.sort_unstable();
        // The smallest gap that fits, else the end.
        let (mut best, mut best_gap, mut end) = (None, usize::MAX, 0);
        for &(from, to) in &alive {
            if from > end && from - end >= need && from - end < best_gap {
                (best, best_gap) = (Some(end), from - end);
            }
            end = end.max(to);
        }
        blocks[i].offset = best.unwrap_or(end);
        total = total.max(blocks[i].offset.saturating_add(need));
        placed.insert(i, b.to);
    }
    total
}

/// The placed blocks, in a tree ordered by first kernel: each node stores the latest end below it.
struct Placed {
    /// Blocks in the order they begin.
    order: Vec<usize>,
    from: Vec<usize>,
    /// Where each block is in that order.
    at: Vec<usize>,
    /// One more than the last kernel of any placed block below a node; 0 where there is none.
    last: Vec<usize>,
    leaves: usize,
}

impl Placed {
    fn new(blocks: &[Block], those: &[usize]) -> Self {
        let mut order = those.to_vec();
        order.sort_unstable_by_key(|&i| (blocks[i].from, i));
        let mut at = vec![0; blocks.len()];
        order.iter().enumerate().for_each(|(k, &i)| at[i] = k);
        let leaves = order.len().next_power_of_two();
        let from = order.iter().map(|&i| blocks[i].from).collect();
        Placed { from, at, last: vec![0; 2 * leaves], leaves, order }
    }

    fn insert(&mut self, block: usize, to: usize) {
        let mut node = self.leaves + self.at[block];
        while node > 0 {
            self.last[node] = self.last[node].max(to + 1);
            node /= 2;
        }
    }

    /// The placed blocks alive at some time from one kernel to another.
    fn meeting(&self, from: usize, to: usize, mut each: impl FnMut(usize)) {
        let begun = self.from.partition_point(|&f| f <= to);
        // Nodes with the first and the number of their leaves.
        let mut pending = vec![(1, 0, self.leaves)];
        while let Some((node, first, count)) = pending.pop() {
            if first >= begun || self.last[node] <= from {
                continue;
            }
            match count {
                1 => each(self.order[first]),
                _ => pending
                    .extend([(2 * node + 1, first + count / 2, count / 2), (2 * node, first, count / 2)]),
            }
        }
    }
}

/// Places blocks in order of time, each in the smallest gap that others have left.
fn in_time(blocks: &mut [Block]) -> usize {
    let mut order: Vec<usize> = (0..blocks.len()).filter(|&i| blocks[i].bytes > 0).collect();
    order.sort_unstable_by_key(|&i| (blocks[i].from, std::cmp::Reverse(blocks[i].bytes), i));
    // Blocks by when they end, gaps by size and by place.
    let mut ends: BinaryHeap<std::cmp::Reverse<(usize, usize)>> = BinaryHeap::new();
    let mut by_size: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut gaps: BTreeMap<usize, usize> = BTreeMap::new();
    let (mut top, mut total) = (0, 0);
    for i in order {
        work::count(1);
        while let Some(&std::cmp::Reverse((to, j))) = ends.peek()
            && to < blocks[i].from
        {
            ends.pop();
            let (mut at, mut size) = (blocks[j].offset, blocks[j].bytes.next_multiple_of(ALIGN));
            if let Some(&after) = gaps.get(&(at + size)) {
                gaps.remove(&(at + size));
                by_size.remove(&(after, at + size));
                size += after;
            }
            if let Some((&before, &bytes)) = gaps.range(..at).next_back()
                && before + bytes == at
            {
                gaps.remove(&before);
                by_size.remove(&(bytes, before));
                (at, size) = (before, size + bytes);
            }
            if at + size == top {
                top = at;
            } else {
                gaps.insert(at, size);
                by_size.insert((size, at));
            }
        }
        let need = blocks[i].bytes.next_multiple_of(ALIGN);
        blocks[i].offset = match by_size.range((need, 0)..).next().copied() {
            Some((size, at)) => {
                by_size.remove(&(size, at));
                gaps.remove(&at);
                if size > need {
                    gaps.insert(at + need, size - need);
                    by_size.insert((size - need, at + need));
                }
                at
            }
            None => {
                top = top.saturating_add(need);
                top - need
            }
        };
        total = total.max(top);
        ends.push(std::cmp::Reverse((blocks[i].to, i)));
    }
    total
}

/// The most bytes alive during one kernel: a lower bound for every packing.
pub fn lower_bound(blocks: &[Block], kernels: usize) -> usize {
    curve(blocks, kernels).into_iter().max().unwrap_or(0)
}

/// Bytes alive during each kernel.
pub fn curve(blocks: &[Block], kernels: usize) -> Vec<usize> {
    let mut change = vec![0isize; kernels + 1];
    for b in blocks.iter().filter(|b| b.bytes > 0) {
        change[b.from] += b.bytes.next_multiple_of(ALIGN) as isize;
        change[b.to + 1] -= b.bytes.next_multiple_of(ALIGN) as isize;
    }
    let mut now = 0;
    change[..kernels]
        .iter()
        .map(|c| {
            now += c;
            now as usize
        })
        .collect()
}

/// The kinds of buffers: one may replace another of its kind, and a result may replace an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Argument,
    Result,
    Inside,
}

/// For each value that a kernel writes, a value that it reads in full, in order, for the last time, and whose buffer
/// the written value may reuse. `read` gives the kind of a buffer that may be reused after this read, `written` the
/// kind of one that may reuse another.
pub(crate) fn in_place(
    kernel: &Kernel,
    read: impl Fn(Var) -> Option<Kind>,
    written: impl Fn(Var) -> Option<Kind>,
    width: impl Fn(Var) -> usize,
    bytes: impl Fn(Var) -> usize,
) -> Vec<(Var, Var)> {
    let Work::Region(region) = &kernel.work else { return Vec::new() };
    let mut times: Map<Var, usize> = Map::default();
    region.loads.iter().for_each(|l| *times.entry(l.value).or_default() += 1);
    let mut uses = vec![0usize; region.loads.len()];
    for &arg in region.steps.iter().flat_map(|s| &s.args) {
        if let Some(uses) = uses.get_mut(arg as usize) {
            *uses += 1;
        }
    }
    // The candidates for reuse, by written value, bytes, level and element width; those read once (a running average)
    // come before those read often (the gradient).
    type Class = (Kind, usize, Level, usize);
    let mut free: Map<Class, BTreeSet<(usize, Var, usize)>> = Map::default();
    for (i, load) in region.loads.iter().enumerate() {
        let fits = times[&load.value] == 1
            && load.view.is_contiguous()
            && points(region.domain, load.level) == load.view.size();
        if let Some(kind) = read(load.value).filter(|_| fits) {
            let by = if kind == Kind::Argument { Kind::Result } else { kind };
            let class = (by, bytes(load.value), load.level, load.dtype.size());
            free.entry(class).or_default().insert((uses[i], load.value, i));
        }
    }
    let mut pairs: Vec<(Var, Var)> = Vec::new();
    for store in region.stores.iter().filter(|s| s.reduce.is_none()) {
        let (_, level) = region.slot(store.slot);
        let Some(kind) = written(store.value) else { continue };
        let class = (kind, bytes(store.value), level, width(store.value));
        let Some(fitting) = free.get_mut(&class) else { continue };
        // Operands of the last step (`p` of `p - rate * g`) come before those of earlier steps.
        let last = (store.slot as usize).checked_sub(region.first_step()).map(|i| &region.steps[i].args[..]);
        let operands =
            last.unwrap_or_default().iter().map(|&a| a as usize).filter(|&i| i < region.loads.len());
        let operand = operands.map(|i| (uses[i], region.loads[i].value, i)).filter(|o| fitting.contains(o));
        if let Some(best) = operand.min_by_key(|o| o.2).or_else(|| fitting.first().copied()) {
            fitting.remove(&best);
            pairs.push((store.value, best.1));
        }
    }
    pairs
}

fn points(domain: Domain, level: Level) -> usize {
    match level {
        Level::Full => domain.points(),
        Level::Row => domain.rows().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_alive_together_are_apart_and_the_bound_is_met() {
        let block = |from, to, bytes| Block { from, to, bytes, offset: 0 };
        let mut blocks = [block(0, 1, 640), block(1, 2, 64), block(2, 3, 640), block(3, 4, 128)];
        let total = pack(&mut blocks);
        for (i, a) in blocks.iter().enumerate() {
            for b in &blocks[i + 1..] {
                let together = a.from <= b.to && b.from <= a.to;
                let apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
                assert!(!together || apart);
            }
        }
        assert_eq!(total, lower_bound(&blocks, 5));
        assert_eq!(curve(&blocks, 5), [640, 704, 704, 768, 128]);
    }
}

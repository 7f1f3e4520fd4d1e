//! Where values live: offsets in one arena, packed so that values alive together never overlap.
//!
//! Greedy by size: the largest block first, each at the lowest gap that fits among the blocks alive at the same time.

use gradus_core::Var;

use crate::kernel::{Domain, Kernel, Level, Load, Work};

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

/// Assigns offsets; returns the bytes of the arena.
pub fn pack(blocks: &mut [Block]) -> usize {
    let mut order: Vec<usize> = (0..blocks.len()).filter(|&i| blocks[i].bytes > 0).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(blocks[i].bytes), blocks[i].from, i));
    let mut placed: Vec<usize> = Vec::new();
    let mut total = 0;
    let mut alive: Vec<(usize, usize)> = Vec::new();
    for i in order {
        let b = blocks[i];
        let need = b.bytes.next_multiple_of(ALIGN);
        alive.clear();
        for &j in &placed {
            let o = &blocks[j];
            if o.from <= b.to && b.from <= o.to {
                alive.push((o.offset, o.offset + o.bytes.next_multiple_of(ALIGN)));
            }
        }
        alive.sort_unstable();
        // The tightest gap that fits, else behind everything.
        let (mut best, mut best_gap, mut end) = (None, usize::MAX, 0);
        for &(from, to) in &alive {
            if from > end && from - end >= need && from - end < best_gap {
                (best, best_gap) = (Some(end), from - end);
            }
            end = end.max(to);
        }
        blocks[i].offset = best.unwrap_or(end);
        total = total.max(blocks[i].offset + need);
        placed.push(i);
    }
    total
}

/// The most bytes alive during one kernel: what no packing can go below.
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

/// For each value that a kernel writes, a value it reads whole, in order, for the last time, whose buffer the written
/// one may take over: `free(read, written)` says whether this is the last read and the buffer is free to take.
pub(crate) fn in_place(
    kernel: &Kernel,
    free: impl Fn(Var, Var) -> bool,
    width: impl Fn(Var) -> usize,
    bytes: impl Fn(Var) -> usize,
) -> Vec<(Var, Var)> {
    let Work::Region(region) = &kernel.work else { return Vec::new() };
    let mut pairs: Vec<(Var, Var)> = Vec::new();
    for store in region.stores.iter().filter(|s| s.reduce.is_none()) {
        let (_, level) = region.slot(store.slot);
        let fits = |load: &Load| {
            let once = region.loads.iter().filter(|l| l.value == load.value).count() == 1;
            once && load.view.is_contiguous()
                && bytes(load.value) == bytes(store.value)
                && !pairs.iter().any(|p| p.1 == load.value)
                && load.level == level
                && load.dtype.size() == width(store.value)
                && free(load.value, store.value)
                && points(region.domain, level) == load.view.size()
        };
        // What the last step itself reads (`p` of `p - rate * g`) comes before what is read earlier, and then what is
        // read once (a running average) before what is read often (the gradient).
        let uses = |i: usize| region.steps.iter().flat_map(|s| &s.args).filter(|&&a| a as usize == i).count();
        let last = (store.slot as usize).checked_sub(region.first_step()).map(|i| &region.steps[i].args);
        let operand = |i: &usize| last.is_some_and(|args| args.contains(&(*i as u16)));
        let fitting: Vec<usize> = (0..region.loads.len()).filter(|&i| fits(&region.loads[i])).collect();
        let best = fitting
            .iter()
            .find(|i| operand(i))
            .or_else(|| fitting.iter().min_by_key(|&&i| (uses(i), region.loads[i].value)));
        if let Some(&i) = best {
            pairs.push((store.value, region.loads[i].value));
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

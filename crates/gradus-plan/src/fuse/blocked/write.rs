//! Writes a group as one kernel: the values in scratch memory, their offsets, and the rows of a block.

use std::collections::HashMap;

use gradus_core::{Type, Var};

use super::masked::Inside;
use super::{Finder, Group, Space};
use crate::arena::{self, Block, Kind};
use crate::fuse::order::dedup;
use crate::kernel::{Along, Blocked, BlockedPart, Kernel, Local, Work};
use crate::{ALIGN, Options, Target};

/// The number of blocks of a slab where masked columns are left out, if it has enough rows.
const CUTS: usize = 8;
/// The least rows of a block whose sums are added to memory.
const LEAST_SUMMED: usize = 64;

impl Finder<'_> {
    /// The group as one kernel; `None` where that gains nothing. `readers` says how many kernels read each value.
    pub(super) fn written(
        &self,
        group: &Group,
        needed: &[bool],
        readers: &[usize],
        options: &Options,
    ) -> Option<Kernel> {
        let Space { count, rows, .. } = group.space;
        let Target { costs, limits, .. } = &options.target;
        let member = |k: usize| group.members.contains(&k);
        let mut parts: Vec<Kernel> = group.members.iter().map(|&m| self.kernels[m].clone()).collect();
        let mut inside: HashMap<Var, usize> = HashMap::new();
        parts.iter().flat_map(|k| &k.reads).for_each(|v| *inside.entry(*v).or_default() += 1);
        let only_inside = |v: Var| inside.get(&v).copied().unwrap_or(0) == readers[v.index()];
        let stays =
            |v: Var| !needed[v.index()] && only_inside(v) && self.writer[v.index()].is_some_and(member);
        let made: Vec<Var> = parts.iter().flat_map(|k| k.writes.iter().copied()).collect();
        let locals: Vec<Var> = made.iter().copied().filter(|&v| stays(v)).collect();
        let bytes = |v: Var| self.graph.ty(v).bytes();
        let inside: usize = locals.iter().map(|&v| bytes(v)).sum();
        let reads = dedup(parts.iter().flat_map(|k| k.reads.iter().copied()).filter(|v| !made.contains(v)));
        let writes = dedup(made.iter().copied().filter(|v| !locals.contains(v)));
        let outside: usize = reads.iter().chain(&writes).map(|&v| bytes(v)).sum();
        let products = |k: &&Kernel| matches!(k.work, Work::Product(_));
        let flops: f64 = parts.iter().map(|k| k.flops).sum();
        let multiplying: f64 = parts.iter().filter(products).map(|k| costs.product(k.flops, 0.0)).sum();
        // Local values save one write and at least one read; with batch axes a tenth of the time is enough.
        let saved = costs.kernel(0.0, 2.0 * inside as f64);
        let worth = match count {
            1 => inside > 4 * outside && inside >= 8 * limits.bytes,
            _ => saved * 10.0 >= multiplying || inside > 2 * outside,
        };
        if inside < limits.bytes || !worth {
            return None;
        }
        let along: Vec<Along> = group.members.iter().map(|&m| self.along[m]).collect();
        let inside = Inside { graph: self.graph, all: count * rows, locals: &locals };
        let masked = inside.masked(&mut parts, &along, limits.columns);
        let row_bytes = |v: Var| bytes(v) / (count * rows);
        let widest = locals.iter().map(|&v| row_bytes(v)).max()?.max(1);
        let adds = along.contains(&Along::Inner);
        let least = if adds { LEAST_SUMMED } else { limits.rows };
        let mut most = (limits.block / widest / limits.rows * limits.rows).max(least);
        if masked.is_some() {
            most = most.min(rows.div_ceil(CUTS).next_multiple_of(8).max(limits.rows));
        }
        let block = rows.div_ceil(rows.div_ceil(most));
        let (locals, in_place, scratch) = self.laid_out(&parts, &locals, &row_bytes, block);
        let blocked_parts: Vec<BlockedPart> =
            parts.iter().zip(&along).map(|(p, &along)| BlockedPart { work: p.work.clone(), along }).collect();
        // Columns known to be masked cost nothing.
        let used = masked.as_ref().map_or(1.0, |m| m.used(rows, block));
        let (flops, multiplying) = (flops * used, multiplying * used);
        let last = &parts[parts.len() - 1];
        let work = Work::Blocked(Blocked {
            count,
            rows,
            block,
            parts: blocked_parts,
            locals,
            in_place,
            seconds: multiplying + costs.kernel(flops - multiplying / costs.product_flop, 0.0),
            scratch,
            masked,
        });
        let types = |vars: &[Var]| vars.iter().map(|&v| self.graph.ty(v).clone()).collect::<Vec<Type>>();
        let requirements = (options.target.requirements)(&work, &types(&reads), &types(&writes));
        Some(Kernel {
            reads,
            writes: writes.into_iter().collect(),
            workspace: requirements.workspace,
            requirements,
            workspace_at: 0,
            stage: group.stage,
            eqns: parts.iter().flat_map(|k| k.eqns.iter().copied()).collect(),
            flops,
            bytes: outside as f64,
            site: last.site.clone(),
            work,
        })
    }

    /// The offsets of local values in the scratch memory of a worker, those written over others, and the total bytes.
    fn laid_out(
        &self,
        parts: &[Kernel],
        values: &[Var],
        row_bytes: &impl Fn(Var) -> usize,
        block: usize,
    ) -> (Vec<Local>, Vec<(Var, Var)>, usize) {
        let mut last: HashMap<Var, usize> = HashMap::new();
        for (i, part) in parts.iter().enumerate() {
            part.reads.iter().chain(&part.writes).for_each(|v| _ = last.insert(*v, i));
        }
        let mut blocks: Vec<Block> = Vec::new();
        let mut block_of: HashMap<Var, usize> = HashMap::new();
        let mut in_place = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let read = |v: Var| (values.contains(&v) && last[&v] == i).then_some(Kind::Inside);
            let written = |v: Var| values.contains(&v).then_some(Kind::Inside);
            let width = |v: Var| self.graph.ty(v).dtype.size();
            let bytes = |v: Var| self.graph.ty(v).bytes();
            for (written, read) in arena::in_place(part, read, written, width, bytes) {
                if let Some(&b) = block_of.get(&read) {
                    block_of.insert(written, b);
                    blocks[b].to = last[&written];
                    in_place.push((written, read));
                }
            }
            for &v in part.writes.iter().filter(|v| values.contains(v)) {
                block_of.entry(v).or_insert_with(|| {
                    let bytes = row_bytes(v) * block;
                    blocks.push(Block { from: i, to: last[&v], bytes, offset: 0 });
                    blocks.len() - 1
                });
            }
        }
        let scratch = arena::pack(&mut blocks).next_multiple_of(64 * ALIGN);
        let local = |&v: &Var| Local {
            value: v,
            row_bytes: row_bytes(v),
            offset: block_of.get(&v).map_or(0, |&b| blocks[b].offset),
        };
        (values.iter().map(local).collect(), in_place, scratch)
    }
}

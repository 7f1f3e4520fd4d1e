//! Groups become kernels, in an order that respects their dependences and otherwise follows the program.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use gradus_core::ops::Op;
use gradus_core::{Result, Site, Type, Var};
use smallvec::SmallVec;

use super::group::Body;
use super::region::Writer;
use super::{Fused, Fuser, Source, one};
use crate::Requirements;
use crate::kernel::{Domain, Kernel, Region, Work};

/// The types of some values.
type Types = SmallVec<[Type; 4]>;

/// The kernels of all groups.
pub(super) fn kernels(mut fuser: Fuser<'_>) -> Result<Fused> {
    fuser.groups.list.iter_mut().for_each(|g| g.eqns.sort_unstable());
    let live = read_outside(&fuser);
    let order = sorted(&fuser);
    let mut kernels = Vec::with_capacity(order.len());
    for g in order {
        let kernel = match &fuser.groups.list[g].body {
            Body::Fused(domain) => {
                let region = Writer::new(&fuser, g, *domain).write(&live);
                if region.stores.is_empty() {
                    continue;
                }
                region_kernel(&fuser, g, region)
            }
            Body::Barrier(_) => barrier_kernel(&mut fuser, g),
        };
        kernels.push(kernel);
    }
    Ok(Fused { kernels, sources: fuser.sources })
}

/// The values that are read by another group than the one that defines them, or returned.
fn read_outside(fuser: &Fuser<'_>) -> Vec<bool> {
    let mut live = vec![false; fuser.graph.types().len()];
    for (g, group) in fuser.groups.list.iter().enumerate().filter(|(_, g)| !g.dead) {
        for &v in group.roots.iter() {
            if fuser.groups.producer(v).is_some_and(|p| p.group != g) {
                live[v.index()] = true;
            }
        }
    }
    for v in fuser.graph.outputs() {
        if let Source::View(root, _) = &fuser.sources[v.index()] {
            live[root.index()] = true;
        }
    }
    live
}

/// A topological order that takes the group whose last equation comes first.
pub(super) fn sorted(fuser: &Fuser<'_>) -> Vec<usize> {
    let list = &fuser.groups.list;
    let mut waits = vec![0u32; list.len()];
    // The edges from each group to its readers, and where the edges of each group begin.
    let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(list.len());
    let mut starts = vec![0u32; list.len() + 1];
    let mut from: SmallVec<[usize; 8]> = SmallVec::new();
    for (g, group) in list.iter().enumerate().filter(|(_, g)| !g.dead) {
        from.clear();
        from.extend(group.roots.iter().filter_map(|&v| fuser.groups.producer(v)).map(|p| p.group));
        from.retain(|p| *p != g);
        from.sort_unstable();
        from.dedup();
        waits[g] = from.len() as u32;
        for &p in &from {
            pairs.push((p as u32, g as u32));
            starts[p + 1] += 1;
        }
    }
    (0..list.len()).for_each(|g| starts[g + 1] += starts[g]);
    let mut next = starts.clone();
    let mut readers = vec![0u32; pairs.len()];
    for (p, g) in pairs {
        readers[next[p as usize] as usize] = g;
        next[p as usize] += 1;
    }
    let mut ready: BinaryHeap<Reverse<(u32, usize, usize)>> = BinaryHeap::new();
    let key = |g: usize| Reverse((list[g].stage, list[g].last, g));
    for (g, _) in list.iter().enumerate().filter(|(g, group)| !group.dead && waits[*g] == 0) {
        ready.push(key(g));
    }
    let mut order = Vec::with_capacity(list.len());
    while let Some(Reverse((_, _, g))) = ready.pop() {
        order.push(g);
        for &r in &readers[starts[g] as usize..starts[g + 1] as usize] {
            waits[r as usize] -= 1;
            if waits[r as usize] == 0 {
                ready.push(key(r as usize));
            }
        }
    }
    debug_assert_eq!(order.len(), list.iter().filter(|g| !g.dead).count(), "groups form no cycle");
    order
}

pub(super) fn dedup(vars: impl IntoIterator<Item = Var>) -> SmallVec<[Var; 4]> {
    let mut out: SmallVec<[Var; 4]> = SmallVec::new();
    let mut many: HashSet<Var> = HashSet::new();
    for v in vars {
        if out.len() == out.inline_size() && many.is_empty() {
            many.extend(&out);
        }
        if if many.is_empty() { !out.contains(&v) } else { many.insert(v) } {
            out.push(v);
        }
    }
    out
}

fn region_kernel(fuser: &Fuser<'_>, g: usize, region: Region) -> Kernel {
    let graph = fuser.graph;
    let eqns = fuser.groups.list[g].eqns.clone();
    let (mut flops, mut bytes) = (0.0, 0.0);
    for &i in &eqns {
        flops += cost(fuser, i);
    }
    for load in &region.loads {
        let distinct: usize = load.view.dims.iter().filter(|d| d.1 != 0).map(|d| d.0).product();
        bytes += (distinct * load.dtype.size()) as f64;
    }
    for store in &region.stores {
        bytes += graph.ty(store.value).bytes() as f64;
    }
    let (reads, writes): (SmallVec<[Var; 4]>, SmallVec<[Var; 2]>) =
        (dedup(region.loads.iter().map(|l| l.value)), region.stores.iter().map(|s| s.value).collect());
    let types = |vars: &[Var]| vars.iter().map(|&v| graph.ty(v).clone()).collect::<Types>();
    let workspace = partials(&region, |v| graph.ty(v).dtype.size());
    let work = Work::Region(region);
    let requirements = Requirements {
        workspace,
        ..(fuser.options.target.requirements)(&work, &types(&reads), &types(&writes))
    };
    Kernel {
        reads,
        writes,
        workspace,
        requirements,
        workspace_at: 0,
        site: site(fuser, &eqns),
        stage: fuser.groups.list[g].stage,
        work,
        eqns,
        flops,
        bytes,
    }
}

fn site(fuser: &Fuser<'_>, eqns: &[usize]) -> Site {
    eqns.iter()
        .rev()
        .map(|&i| &fuser.graph.eqns()[i].site)
        .find(|s| s.is_known())
        .cloned()
        .unwrap_or_default()
}

fn cost(fuser: &Fuser<'_>, i: usize) -> f64 {
    let eqn = &fuser.graph.eqns()[i];
    let types = |vars: &[Var]| vars.iter().map(|&v| fuser.graph.ty(v).clone()).collect::<Types>();
    eqn.op.row().cost(&types(&eqn.inputs), &types(&eqn.outputs)).flops
}

/// The rows of a [`Domain::Columns`], or of a [`Domain::Rows`] summed over each other, that one partial result covers:
/// a function of the shape alone, small enough that a sum is as accurate as its terms.
pub fn column_chunk(reduced: usize, inner: usize) -> usize {
    reduced.div_ceil(32).min(64).max(8192usize.div_ceil(inner)).min(reduced.max(1))
}

/// Elements of such a partial result while it is summed: `inner`, or as many times that as make narrow rows
/// [`column_lanes`] side by side.
pub fn column_width(inner: usize) -> usize {
    column_lanes(inner) * inner
}

/// Rows that are summed side by side.
pub fn column_lanes(inner: usize) -> usize {
    64usize.div_ceil(inner.max(1))
}

/// Elements of a [`Domain::LongRows`] that one partial result covers.
pub const ROW_CHUNK: usize = 4096;

/// Scratch bytes for the partial results of a region's reductions.
fn partials(region: &Region, width: impl Fn(Var) -> usize) -> usize {
    let one = match region.domain {
        Domain::Flat { .. } => 0,
        Domain::Rows { rows, cols } => rows.div_ceil(column_chunk(rows, cols)) * column_width(cols),
        Domain::LongRows { rows, cols } => rows * cols.div_ceil(ROW_CHUNK),
        Domain::Columns { outer, reduced, inner } => {
            outer * reduced.div_ceil(column_chunk(reduced, inner)) * column_width(inner)
        }
    };
    region
        .stores
        .iter()
        .filter(|s| s.reduce.is_some())
        .map(|s| (one * width(s.value)).next_multiple_of(64))
        .sum()
}

fn barrier_kernel(fuser: &mut Fuser<'_>, g: usize) -> Kernel {
    let group = &mut fuser.groups.list[g];
    let (eqns, stage) = (group.eqns.clone(), group.stage);
    let reads = group.roots.to_vec();
    let placeholder = Body::Fused(Domain::Flat { n: 0 });
    let Body::Barrier(work) = std::mem::replace(&mut group.body, placeholder) else {
        unreachable!("called for barriers")
    };
    let work = *work;
    let graph = fuser.graph;
    let (reads, writes): (SmallVec<[Var; 4]>, SmallVec<[Var; 2]>) = match &work {
        Work::Product(p) => (dedup([p.lhs, p.rhs]), one(p.out)),
        Work::Convolution(c) => (dedup([c.x, c.kernel]), one(c.out)),
        Work::Assemble(a) => (dedup(reads), one(a.out)),
        Work::Unpool(u) => (dedup([u.indices, u.updates]), one(u.out)),
        Work::Primitive(_) | Work::Control(..) | Work::Region(_) | Work::Blocked(_) => {
            let eqn = &graph.eqns()[eqns[0]];
            let root = |source: &Source| match source {
                Source::View(root, _) => *root,
                _ => unreachable!("operands were made whole"),
            };
            (fuser.operands(eqns[0]).map(root).collect(), eqn.outputs.iter().copied().collect())
        }
    };
    let types = |vars: &[Var]| vars.iter().map(|&v| graph.ty(v).clone()).collect::<Types>();
    let (from, to) = match &work {
        // A primitive sees the shapes of its operands, not those of the buffers that hold them.
        Work::Primitive(_) => (types(&graph.eqns()[eqns[0]].inputs), types(&graph.eqns()[eqns[0]].outputs)),
        _ => (types(&reads), types(&writes)),
    };
    let requirements = match &work {
        Work::Control(op, plans) => {
            let inside =
                plans.iter().fold(Requirements::default(), |most, p| most.either(p.largest_requirements()));
            Requirements { workspace: crate::control::workspace(op, plans), ..inside }
        }
        work => (fuser.options.target.requirements)(work, &from, &to),
    };
    let bytes = match &work {
        // It reads no more than it is asked for.
        Work::Primitive(op @ Op::Gather(_)) => op.row().cost(&from, &to).bytes,
        _ => from.iter().chain(&to).map(Type::bytes).sum::<usize>() as f64,
    };
    let flops = match &work {
        Work::Product(p) => {
            let [m, n, k] = p.size;
            2.0 * (m * n * k * p.batch.iter().map(|b| b.0).product::<usize>()) as f64
        }
        _ => eqns.iter().map(|&i| cost(fuser, i)).sum(),
    };
    Kernel {
        site: site(fuser, &eqns),
        work,
        reads,
        writes,
        workspace: requirements.workspace,
        requirements,
        workspace_at: 0,
        stage,
        eqns,
        flops,
        bytes,
    }
}

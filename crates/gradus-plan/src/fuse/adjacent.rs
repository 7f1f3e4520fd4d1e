//! Groups with nothing between them become one.
//!
//! The walk over the equations lets an equation join the groups of its operands. It does not see what comes later, and
//! it keeps the halves of a program apart, since what one half computes for the other usually waits for long. Here
//! pairs of finished groups are looked at again: where one reads what the other computes, or both read the same, and
//! the first can wait for the second without anything else waiting longer in memory than what is not stored any more,
//! they are one kernel, at the place of the second. So the derivative of a function whose value nobody else reads is
//! computed in one pass, and the gradient of a loss together with the loss.

use gradus_core::Var;
use gradus_core::ops::Op;

use super::group::{Body, Groups, Producer};
use super::order::sorted;
use super::resolve::inside;
use super::{Fuser, Source};
use crate::kernel::{Domain, Level};
use crate::packed::waiting_bytes;

/// A byte in so many points is no cost: it is less than a hundredth of any value that the kernel goes over.
const LITTLE: usize = 64;

/// Where groups stand, and who reads what.
struct Places {
    /// For each group, its place in the order of the kernels.
    at: Vec<usize>,
    /// For each buffer, the groups that read it.
    readers: Vec<Vec<usize>>,
    /// Whether a buffer is returned.
    returned: Vec<bool>,
}

/// The space of two groups, and which of them becomes a part of the other's rows.
struct Union {
    domain: Domain,
    rows: [bool; 2],
}

/// Makes one group of two wherever that is free.
pub(super) fn merge(fuser: &mut Fuser<'_>) {
    let mut places = Places::new(fuser);
    let order = sorted(fuser);
    for h in order {
        // A group that takes in another may then read a third.
        while fuser.groups.resolve(h) == h && takes(fuser, &mut places, h) {}
    }
}

/// Merges one other group with `h`, if there is one that fits.
fn takes(fuser: &mut Fuser<'_>, places: &mut Places, h: usize) -> bool {
    let Body::Fused(domain) = fuser.groups.list[h].body else { return false };
    let mut near: Vec<usize> = Vec::new();
    for &v in &fuser.groups.list[h].roots {
        near.extend(fuser.groups.producer(v).map(|p| p.group));
        // Others that read the same, of the size of the space.
        if fuser.graph.ty(v).shape.size() == domain.points() {
            near.extend(places.readers[v.index()].iter().map(|&g| fuser.groups.resolve(g)));
        }
    }
    near.retain(|&g| g != h && places.at[g] < places.at[h]);
    near.sort_unstable_by_key(|&g| std::cmp::Reverse(places.at[g]));
    near.dedup();
    for g in near {
        if let Some(union) = fits(fuser, g, h)
            && let Some(late) = places.free(fuser, g, h, union.domain.points() / LITTLE)
        {
            join(fuser, places, g, h, &union, &late);
            return true;
        }
    }
    false
}

/// The union of `g` and the later `h`, if a kernel can be both.
fn fits(fuser: &Fuser<'_>, g: usize, h: usize) -> Option<Union> {
    let groups = &fuser.groups;
    let (x, y) = (&groups.list[g], &groups.list[h]);
    let (Body::Fused(a), Body::Fused(b)) = (&x.body, &y.body) else { return None };
    let union = Union::of(*a, *b)?;
    if x.eqns.len() + y.eqns.len() >= fuser.limit(union.domain.points()) {
        return None;
    }
    let fills = [!x.fills.is_empty(), !y.fills.is_empty()];
    if (0..2).any(|i| union.rows[i] && fills[i]) {
        return None;
    }
    // Nothing that comes after `g` comes before `h`.
    let between = |v: &Var| groups.producer(*v).is_some_and(|p| p.group != g && groups.depends(p.group, g));
    if y.roots.iter().any(|v| groups.producer(*v).is_none_or(|p| p.group != h) && between(v)) {
        return None;
    }
    let reads = groups.depends(h, g);
    let level = |v: Var, rows: bool| {
        let p = groups.producer(v)?;
        Some(Producer { level: if rows { Level::Row } else { p.level }, ..p })
    };
    let readable = |&i: &usize| {
        let eqn = &fuser.graph.eqns()[i];
        let own = if matches!(eqn.op, Op::Reduce(_)) {
            Level::Full
        } else {
            level(eqn.outputs[0], union.rows[1]).map_or(Level::Full, |p| p.level)
        };
        fuser.operands[i].iter().all(|source| {
            let Source::View(root, view) = source else { return true };
            match level(*root, union.rows[0]) {
                Some(p) if p.group == g => {
                    let size = fuser.graph.ty(*root).shape.size();
                    inside(p, view, union.domain, own, size).is_some()
                }
                _ => true,
            }
        })
    };
    (!reads || y.eqns.iter().all(readable)).then_some(union)
}

impl Union {
    fn of(a: Domain, b: Domain) -> Option<Self> {
        if let Some(domain) = a.with(b) {
            return Some(Union { domain, rows: [false; 2] });
        }
        match (a, b) {
            (Domain::Rows { rows, .. }, Domain::Flat { n }) if n == rows => {
                Some(Union { domain: a, rows: [false, true] })
            }
            (Domain::Flat { n }, Domain::Rows { rows, .. }) if n == rows => {
                Some(Union { domain: b, rows: [true, false] })
            }
            _ => None,
        }
    }
}

impl Places {
    fn new(fuser: &Fuser<'_>) -> Self {
        let n = fuser.graph.types().len();
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); n];
        for (g, group) in fuser.groups.list.iter().enumerate().filter(|(_, g)| !g.dead) {
            group.roots.iter().for_each(|v| readers[v.index()].push(g));
        }
        let mut returned = vec![false; n];
        for v in fuser.graph.outputs() {
            if let Source::View(root, _) = &fuser.sources[v.index()] {
                returned[root.index()] = true;
            }
        }
        let mut places = Places { at: Vec::new(), readers, returned };
        places.order(fuser);
        places
    }

    fn order(&mut self, fuser: &Fuser<'_>) {
        self.at = vec![0; fuser.groups.list.len()];
        sorted(fuser).into_iter().enumerate().for_each(|(at, g)| self.at[g] = at);
    }

    /// The groups that read buffer `v`, other than the one that makes it.
    fn readers_of<'a>(&'a self, groups: &'a Groups, v: Var) -> impl Iterator<Item = usize> + 'a {
        let made = groups.producer(v).map(|p| p.group);
        self.readers[v.index()].iter().map(|&g| groups.resolve(g)).filter(move |&g| Some(g) != made)
    }

    /// Whether a buffer is read, and only by groups of a kind.
    fn only(&self, groups: &Groups, v: Var, kind: impl Fn(usize) -> bool) -> bool {
        let mut readers = self.readers_of(groups, v).peekable();
        readers.peek().is_some() && readers.all(kind)
    }

    /// If `g` can wait for `h` at a cost in memory of at most `most` bytes: the groups that then wait too.
    fn free(&self, fuser: &Fuser<'_>, g: usize, h: usize, most: usize) -> Option<Vec<usize>> {
        let (groups, graph) = (&fuser.groups, fuser.graph);
        let (from, to) = (self.at[g], self.at[h]);
        let made: Vec<Var> = made_by(fuser, g);
        let waits = |k: usize| k != h && self.at[k] < to;
        let direct = made.iter().any(|&v| self.readers_of(groups, v).any(waits));
        let mut late = Vec::new();
        if direct {
            let all = 0..groups.list.len();
            late.extend(all.filter(|&k| k != g && !groups.list[k].dead && waits(k) && groups.depends(k, g)));
            // What takes long does not wait.
            if late.iter().any(|&k| matches!(groups.list[k].body, Body::Barrier(_))) {
                return None;
            }
        }
        let moves = |k: usize| k == g || late.contains(&k);
        let bytes = |v: Var| waiting_bytes(graph.ty(v));
        let mut longer = 0;
        let mut seen: Vec<Var> = Vec::new();
        for &v in [g].iter().chain(&late).flat_map(|&k| &groups.list[k].roots) {
            if seen.contains(&v) || self.returned[v.index()] {
                continue;
            }
            seen.push(v);
            let stays = || self.readers_of(groups, v).any(|k| !moves(k) && self.at[k] >= to);
            longer += match groups.producer(v) {
                // An argument that something else may be written over.
                None => {
                    let other = |k: usize| !moves(k) && (from..to).contains(&self.at[k]);
                    if self.readers_of(groups, v).any(other) && !stays() { graph.ty(v).bytes() } else { 0 }
                }
                // What only those read that wait is there when the group runs.
                Some(p) if p.group == g && self.only(groups, v, moves) => bytes(v),
                Some(p) if moves(p.group) || stays() => 0,
                Some(_) => graph.ty(v).bytes(),
            };
        }
        let gone = made.iter().filter(|v| !self.returned[v.index()]);
        let less: usize = gone.filter(|&&v| self.only(groups, v, |k| k == h)).map(|&v| bytes(v)).sum();
        (longer <= less + most).then_some(late)
    }
}

/// The buffers that a group makes.
fn made_by(fuser: &Fuser<'_>, g: usize) -> Vec<Var> {
    let group = &fuser.groups.list[g];
    let results = group.eqns.iter().map(|&i| fuser.graph.eqns()[i].outputs[0]);
    results.chain(group.fills.iter().map(|f| f.0)).collect()
}

fn join(fuser: &mut Fuser<'_>, places: &mut Places, g: usize, h: usize, union: &Union, late: &[usize]) {
    for (group, rows) in [g, h].into_iter().zip(union.rows) {
        if rows {
            made_by(fuser, group).into_iter().for_each(|v| fuser.groups.level(v, Level::Row));
        }
    }
    // The later group takes in the earlier one: it keeps its place and its stage.
    fuser.groups.merge(h, g, union.domain);
    if !late.is_empty() {
        places.order(fuser);
    }
}

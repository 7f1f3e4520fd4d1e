//! Merges adjacent groups: those with no group between them.
//!
//! The pass over the equations lets an equation join the groups of its operands. It does not see later equations, and
//! it keeps the stages of a program apart, since values of the forward pass usually stay in memory for long before the
//! backward pass reads them. This pass examines pairs of finished groups. Where one reads from the other, or both read
//! the same buffer, they become one kernel at the place of the second, if delaying the first costs no more memory than
//! the values between them that are no longer stored. So the derivative of a function whose value has no other reader
//! is computed in one pass, and the gradient of a loss together with the loss.

use std::cmp::Reverse;

use gradus_core::Var;
use gradus_core::ops::Op;
use smallvec::SmallVec;

use super::group::{Body, Groups, Marks, Producer};
use super::order::sorted;
use super::resolve::inside;
use super::{Fuser, Source};
use crate::kernel::{Domain, Level};
use crate::packed::waiting_bytes;
use crate::work;

/// Extra memory below one byte per this many points is ignored: it is less than a hundredth of any value of the kernel.
const LITTLE: usize = 64;
/// The most earlier groups that read one buffer, and the most in all, that a group is tried with.
const READERS: usize = 8;
const TRIED: usize = 16;
/// The most groups that are delayed together with one.
const LATE: usize = 256;
/// The most readers of a group that may be delayed.
const CROWD: usize = 64;
/// The most readers of a buffer whose positions are examined, beside the delayed ones.
const ASKED: usize = 32;
/// Groups that may be moved in the order beyond the fixed allowance of each merge.
const MOVED: usize = 1 << 20;
const MOVED_EACH: usize = 1024;

/// The positions of groups, and the readers of buffers.
struct Places {
    /// For each group, its position in the order of the kernels; and the groups in order, some of which have been
    /// merged since.
    at: Vec<usize>,
    order: Vec<usize>,
    /// How many groups may still be moved.
    credit: usize,
    /// For each buffer, the groups that have been visited and read it.
    before: Vec<SmallVec<[usize; 2]>>,
    /// For each group, the candidates for merging, some of which have been merged since.
    near: Vec<Vec<usize>>,
    /// Whether a buffer is returned.
    returned: Vec<bool>,
    /// The equations of regions that read each buffer.
    users: Users,
    groups: Marks,
    values: Marks,
}

/// The equations that read each buffer, one list after the other.
struct Users {
    starts: Vec<u32>,
    eqns: Vec<u32>,
}

impl Users {
    fn new(fuser: &Fuser<'_>) -> Self {
        let roots = |i: usize| {
            fuser.operands(i).filter_map(|source| match source {
                Source::View(root, _) => Some(root.index()),
                _ => None,
            })
        };
        let mut starts = vec![0u32; fuser.graph.types().len() + 1];
        let eqns = || 0..fuser.graph.eqns().len();
        eqns().flat_map(roots).for_each(|v| starts[v + 1] += 1);
        (1..starts.len()).for_each(|v| starts[v] += starts[v - 1]);
        let mut next = starts.clone();
        let mut list = vec![0u32; starts.last().map_or(0, |n| *n as usize)];
        for (i, v) in eqns().flat_map(|i| roots(i).map(move |v| (i, v))) {
            list[next[v] as usize] = i as u32;
            next[v] += 1;
        }
        Users { starts, eqns: list }
    }

    fn of(&self, v: Var) -> &[u32] {
        &self.eqns[self.starts[v.index()] as usize..self.starts[v.index() + 1] as usize]
    }
}

/// The common space of two groups, and which of them joins the rows of the other.
struct Union {
    domain: Domain,
    rows: [bool; 2],
}

/// Merges pairs of groups wherever that costs nothing.
pub(super) fn merge(fuser: &mut Fuser<'_>) {
    let mut places = Places::new(fuser);
    for h in places.order.clone() {
        let Body::Fused(domain) = fuser.groups.list[h].body else { continue };
        let roots = fuser.groups.list[h].roots.to_vec();
        places.meet(fuser, h, &roots, domain);
        for v in roots {
            places.before[v.index()].push(h);
        }
        // A merged group may read from a third one.
        while takes(fuser, &mut places, h) {}
    }
}

/// Merges one other group with `h`, if there is one that fits.
fn takes(fuser: &mut Fuser<'_>, places: &mut Places, h: usize) -> bool {
    for g in places.nearest(&fuser.groups, h) {
        if let Some(union) = fits(fuser, g, h)
            && let Some(late) = places.waiting(fuser, g, h)
            && readable(fuser, &places.users, &union, g, h)
            && places.free(fuser, g, h, &late, union.domain.points() / LITTLE)
        {
            join(fuser, places, g, h, &union, &late);
            return true;
        }
    }
    false
}

/// The union of `g` and the later `h`, if one kernel can compute both.
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
    Some(union)
}

/// Whether `h` can read the values of `g` in place once both are merged.
fn readable(fuser: &Fuser<'_>, users: &Users, union: &Union, g: usize, h: usize) -> bool {
    let groups = &fuser.groups;
    let level = |v: Var, rows: bool| {
        let p = groups.producer(v)?;
        Some(Producer { level: if rows { Level::Row } else { p.level }, ..p })
    };
    let readable = |i: usize| {
        let eqn = &fuser.graph.eqns()[i];
        let own = if matches!(eqn.op, Op::Reduce(_)) {
            Level::Full
        } else {
            level(eqn.outputs[0], union.rows[1]).map_or(Level::Full, |p| p.level)
        };
        fuser.operands(i).all(|source| {
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
    // Equations of `h` that read from `g`, found from the side with fewer candidates.
    let read = read_of(fuser, g, h);
    let all = groups.list[h].eqns.len();
    let reads = read.iter().map(|&v| users.of(v).len()).sum::<usize>();
    work::count(reads.min(all));
    if reads > all {
        return groups.list[h].eqns.iter().all(|&i| readable(i));
    }
    let in_h = |i: usize| groups.producer(fuser.graph.eqns()[i].outputs[0]).is_some_and(|p| p.group == h);
    read.iter().flat_map(|&v| users.of(v)).all(|&i| !in_h(i as usize) || readable(i as usize))
}

/// The buffers of `g` that `h` reads; no more than a region may have equations are visited.
fn read_of(fuser: &Fuser<'_>, g: usize, h: usize) -> SmallVec<[Var; 8]> {
    let groups = &fuser.groups;
    let (x, roots) = (&groups.list[g], &groups.list[h].roots);
    work::count(roots.len().min(x.eqns.len() + x.fills.len()));
    if x.eqns.len() + x.fills.len() < roots.len() {
        return made_by(fuser, g).filter(|&v| roots.contains(v)).collect();
    }
    roots.iter().copied().filter(|&v| groups.producer(v).is_some_and(|p| p.group == g)).collect()
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
        let mut returned = vec![false; n];
        for v in fuser.graph.outputs() {
            if let Source::View(root, _) = &fuser.sources[v.index()] {
                returned[root.index()] = true;
            }
        }
        let order = sorted(fuser);
        let count = fuser.groups.list.len();
        let mut at = vec![0; count];
        order.iter().enumerate().for_each(|(place, &g)| at[g] = place);
        Places {
            at,
            order,
            credit: MOVED,
            before: vec![SmallVec::new(); n],
            near: vec![Vec::new(); count],
            returned,
            users: Users::new(fuser),
            groups: Marks::default(),
            values: Marks::default(),
        }
    }

    /// Records the candidates for merging with `h`: the writers of its operands, and the visited readers of the same
    /// buffers, if those have the size of the space.
    fn meet(&mut self, fuser: &mut Fuser<'_>, h: usize, roots: &[Var], domain: Domain) {
        for &v in roots {
            let made = fuser.groups.producer(v).map(|p| p.group).filter(|&g| g != h);
            self.near[h].extend(made);
            if fuser.graph.ty(v).shape.size() == domain.points() {
                for g in self.read_before(&fuser.groups, v, h) {
                    self.near[h].push(g);
                    // It may be delayed to `h` as a part of another group.
                    self.near[g].push(h);
                }
            }
        }
    }

    /// The last groups that have been visited and read `v`, but for `h`.
    fn read_before(&mut self, groups: &Groups, v: Var, h: usize) -> SmallVec<[usize; 4]> {
        let mut list = std::mem::take(&mut self.before[v.index()]);
        self.groups.begin(groups.list.len());
        let mut found: SmallVec<[usize; 4]> = SmallVec::new();
        while found.len() < READERS
            && let Some(g) = list.pop()
        {
            work::count(1);
            let g = groups.resolve(g);
            if self.groups.mark(g) {
                found.push(g);
            }
        }
        list.extend(found.iter().rev().copied());
        self.before[v.index()] = list;
        found.retain(|g| *g != h);
        found
    }

    /// The earlier groups that `h` is tried with, the last first.
    fn nearest(&mut self, groups: &Groups, h: usize) -> Vec<usize> {
        let mut near = std::mem::take(&mut self.near[h]);
        work::count(near.len());
        self.groups.begin(groups.list.len());
        near.iter_mut().for_each(|g| *g = groups.resolve(*g));
        near.retain(|&g| g != h && self.groups.mark(g));
        near.sort_unstable_by_key(|&g| Reverse(self.at[g]));
        let earlier = near.iter().copied().filter(|&g| self.at[g] < self.at[h]).take(TRIED).collect();
        near.truncate(4 * TRIED);
        self.near[h] = near;
        earlier
    }

    /// The groups that are delayed with `g` if it runs with `h`. `None` if one of them has to come before `h`, or if
    /// the search takes too long.
    fn waiting(&mut self, fuser: &mut Fuser<'_>, g: usize, h: usize) -> Option<Vec<usize>> {
        self.groups.begin(fuser.groups.list.len());
        self.groups.mark(g);
        let mut late: Vec<usize> = Vec::new();
        let mut next = 0;
        loop {
            let from = if next == 0 { g } else { late[next - 1] };
            work::count(1);
            if fuser.groups.is_read_by_more(from, CROWD) {
                work::simpler("what very many kernels read is computed apart");
                return None;
            }
            for k in fuser.groups.behind(from) {
                if k == h {
                    if from != g {
                        return None;
                    }
                } else if self.at[k] < self.at[h] && self.groups.mark(k) {
                    late.push(k);
                    if late.len() > LATE || matches!(fuser.groups.list[k].body, Body::Barrier(_)) {
                        return None;
                    }
                }
            }
            if next == late.len() {
                return Some(late);
            }
            next += 1;
        }
    }

    /// Whether `g` and the groups delayed with it, `late`, can run as late as `h` for at most `most` more bytes of
    /// memory.
    fn free(&mut self, fuser: &mut Fuser<'_>, g: usize, h: usize, late: &[usize], most: usize) -> bool {
        let (from, to) = (self.at[g], self.at[h]);
        if !late.is_empty() && to - from > MOVED_EACH + self.credit {
            work::simpler("distant groups are not merged");
            return false;
        }
        self.groups.begin(fuser.groups.list.len());
        self.groups.mark(g);
        late.iter().for_each(|&k| _ = self.groups.mark(k));
        self.values.begin(fuser.graph.types().len());
        let graph = fuser.graph;
        let bytes = |v: Var| waiting_bytes(graph.ty(v));
        let mut longer = 0;
        // The memory saved is at most the values of `g` that `h` reads.
        let of_g = |fuser: &Fuser<'_>| read_of(fuser, g, h).into_iter().map(bytes).sum::<usize>();
        let mut spared = None;
        for k in [g].iter().chain(late) {
            work::count(fuser.groups.list[*k].roots.len());
            let mut at = 0;
            while at < fuser.groups.list[*k].roots.len() {
                let v = fuser.groups.list[*k].roots[at];
                if fuser.groups.is_inside(*k, at) {
                    continue;
                }
                at += 1;
                if !self.returned[v.index()] && self.values.mark(v.index()) {
                    longer += self.longer(fuser, v, g, h, late.len() + ASKED);
                }
                if longer > most && longer > most + *spared.get_or_insert_with(|| of_g(fuser)) {
                    return false;
                }
            }
        }
        if longer <= most {
            return true;
        }
        // Values of `g` that only `h` reads are no longer stored.
        let mut less = 0;
        for v in read_of(fuser, g, h) {
            if !self.returned[v.index()] && fuser.groups.readers(v, 2).0[..] == [h] {
                less += bytes(v);
            }
        }
        longer <= less + most
    }

    /// The additional bytes that `v` keeps in memory when the marked groups, `g` among them, are delayed to `h`; at
    /// most `asked` of its readers are visited.
    fn longer(&self, fuser: &mut Fuser<'_>, v: Var, g: usize, h: usize, asked: usize) -> usize {
        let (from, to) = (self.at[g], self.at[h]);
        let bytes = fuser.graph.ty(v).bytes();
        let made = fuser.groups.producer(v).map(|p| p.group);
        if made != Some(g)
            && (fuser.groups.list[h].roots.contains(v) || made.is_some_and(|p| self.groups.has(p)))
        {
            return 0;
        }
        // Readers are not recorded for values that stay or have already been recorded.
        let (mut any, mut between) = (false, false);
        let all = fuser.groups.visit_readers(v, asked, |k| {
            any = true;
            if self.groups.has(k) {
                return true;
            }
            between |= (from..to).contains(&self.at[k]);
            made != Some(g) && self.at[k] < to
        });
        // A reader that is not delayed comes in between, or after all delayed groups.
        let Some(all) = all else { return 0 };
        if made == Some(g) {
            // A value that only delayed groups read is still in memory when the group runs.
            return if all && any { waiting_bytes(fuser.graph.ty(v)) } else { 0 };
        }
        // An argument stays in memory anyway, but another value may be written over it.
        if made.is_none() && all && !between { 0 } else { bytes }
    }

    /// Moves the `late` groups behind `h`.
    fn put_behind(&mut self, g: usize, h: usize, late: &[usize]) {
        let (from, to) = (self.at[g], self.at[h]);
        self.credit -= (to - from).saturating_sub(MOVED_EACH).min(self.credit);
        work::count(to - from);
        self.groups.begin(self.at.len());
        late.iter().for_each(|&k| _ = self.groups.mark(k));
        let window = self.order[from..=to].to_vec();
        // Merged groups have left empty positions.
        let moves = |k: &usize| self.groups.has(*k) && from <= self.at[*k] && self.at[*k] < to;
        let (behind, stay): (Vec<usize>, Vec<usize>) = window.into_iter().partition(moves);
        for (place, k) in (from..).zip(stay.into_iter().chain(behind)) {
            self.order[place] = k;
            self.at[k] = place;
        }
    }
}

/// The buffers that a group writes.
fn made_by(fuser: &Fuser<'_>, g: usize) -> impl Iterator<Item = Var> {
    let group = &fuser.groups.list[g];
    let results = group.eqns.iter().map(|&i| fuser.graph.eqns()[i].outputs[0]);
    results.chain(group.fills.iter().map(|f| f.0))
}

fn join(fuser: &mut Fuser<'_>, places: &mut Places, g: usize, h: usize, union: &Union, late: &[usize]) {
    for (group, rows) in [g, h].into_iter().zip(union.rows) {
        if rows {
            let made: Vec<Var> = made_by(fuser, group).collect();
            made.into_iter().for_each(|v| fuser.groups.level(v, Level::Row));
        }
    }
    if !late.is_empty() {
        places.put_behind(g, h, late);
    }
    // The set of buffers with the size of the space may have changed.
    let mut near: Vec<usize> = Vec::new();
    let mut anew: Vec<Var> = Vec::new();
    for group in [h, g] {
        match fuser.groups.list[group].body {
            Body::Fused(own) if own.points() == union.domain.points() => near.append(&mut places.near[group]),
            _ => anew.extend(fuser.groups.list[group].roots.iter()),
        }
    }
    // The later group absorbs the earlier one and keeps its position and stage.
    fuser.groups.take_in(h, g, union.domain);
    places.near[h] = near;
    places.meet(fuser, h, &anew, union.domain);
}

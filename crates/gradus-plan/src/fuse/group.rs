//! Groups of equations and the dependences between them.
//!
//! Every group has a *height* above those of the groups it reads. Whether one group has to come after another is then a
//! search upwards that never goes above the later one; a group that starts to read from a higher one is lifted above
//! it, together with its readers. All searches share a budget of steps: once it is used up, distant groups count as
//! dependent and are not merged.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::kernel::{Domain, Level, Work};
use crate::work;
use gradus_core::quick::Set;
use gradus_core::{DType, Var};
use smallvec::SmallVec;

/// What a group becomes.
pub(super) enum Body {
    /// A region over this space.
    Fused(Domain),
    /// A kernel of its own.
    Barrier(Box<Work>),
}

/// A group.
pub(super) struct Group {
    pub(super) body: Body,
    pub(super) stage: u32,
    /// The equations, in the order they joined.
    pub(super) eqns: Vec<usize>,
    /// Constants written out.
    pub(super) fills: Vec<(Var, f64, DType)>,
    /// Buffers read, from inside and outside.
    pub(super) roots: Roots,
    /// The latest equation, which decides its place.
    pub(super) last: usize,
    /// Merged into another.
    pub(super) dead: bool,
    /// Whether it has equations of several stages, so that the same equation may occur twice.
    pub(super) mixed: bool,
    /// Greater than those of the groups that it reads, until the final merging.
    height: u64,
    /// Groups that read this one; some may have been merged since.
    readers: Vec<usize>,
}

/// A set of buffers, with an index where there are many.
#[derive(Default)]
pub(super) struct Roots {
    list: SmallVec<[Var; 4]>,
    index: Option<Box<Set<Var>>>,
}

impl std::ops::Deref for Roots {
    type Target = [Var];

    fn deref(&self) -> &[Var] {
        &self.list
    }
}

impl Roots {
    /// Up to this many are searched without an index.
    const FEW: usize = 16;

    pub(super) fn contains(&self, v: Var) -> bool {
        self.index.as_ref().map_or_else(|| self.list.contains(&v), |index| index.contains(&v))
    }

    /// Removes the buffer at a position and moves the last one there.
    fn remove(&mut self, at: usize) {
        let v = self.list.swap_remove(at);
        if let Some(index) = &mut self.index {
            index.remove(&v);
        }
    }

    /// Adds a buffer; false if it was there.
    fn insert(&mut self, v: Var) -> bool {
        let new = match &mut self.index {
            Some(index) => index.insert(v),
            None => !self.list.contains(&v),
        };
        if new {
            self.list.push(v);
            if self.index.is_none() && self.list.len() > Self::FEW {
                self.index = Some(Box::new(self.list.iter().copied().collect()));
            }
        }
        new
    }
}

/// Who writes a buffer.
#[derive(Clone, Copy)]
pub(super) struct Producer {
    pub(super) group: usize,
    pub(super) level: Level,
    /// It is complete only after the group has run.
    pub(super) terminal: bool,
}

/// All groups.
pub(super) struct Groups {
    pub(super) list: Vec<Group>,
    producers: Vec<Option<Producer>>,
    /// For each buffer, the groups that read it, the oldest first; some may have been merged since.
    readers: Vec<SmallVec<[usize; 2]>>,
    merged: Vec<Cell<usize>>,
    /// Height of the youngest group.
    top: u64,
    /// Steps that searches may share beyond the fixed allowance of each.
    credit: usize,
    marks: Marks,
}

/// The marks of a search, reused from one search to the next.
#[derive(Default)]
pub(super) struct Marks {
    seen: Vec<u32>,
    search: u32,
}

impl Marks {
    /// Begins a search over `n` things.
    pub(super) fn begin(&mut self, n: usize) {
        self.seen.resize(n.max(self.seen.len()), 0);
        self.search += 1;
    }
    /// Marks `i`; false if this search has marked it before.
    pub(super) fn mark(&mut self, i: usize) -> bool {
        std::mem::replace(&mut self.seen[i], self.search) != self.search
    }
    /// Whether this search has marked `i`.
    pub(super) fn has(&self, i: usize) -> bool {
        self.seen[i] == self.search
    }
}

/// The fixed allowance of each search, the shared steps, and what each group adds to the shared steps.
const STEPS: usize = 64;
const CREDIT: usize = 1 << 20;
const EARNED: usize = 64;
/// The distance between the heights of new groups, which leaves space for lifted ones between them.
const GAP: u64 = 1 << 20;

impl Groups {
    pub(super) fn new(values: usize) -> Self {
        Groups {
            list: Vec::new(),
            producers: vec![None; values],
            readers: vec![SmallVec::new(); values],
            merged: Vec::new(),
            top: 0,
            credit: CREDIT,
            marks: Marks::default(),
        }
    }

    fn push(&mut self, body: Body, stage: u32, at: usize) -> usize {
        let g = self.list.len();
        self.top += GAP;
        self.credit = (self.credit + EARNED).min(CREDIT);
        self.list.push(Group {
            body,
            stage,
            eqns: Vec::new(),
            fills: Vec::new(),
            roots: Roots::default(),
            last: at,
            dead: false,
            mixed: false,
            height: self.top,
            readers: Vec::new(),
        });
        self.merged.push(Cell::new(g));
        g
    }

    pub(super) fn fused(&mut self, domain: Domain, stage: u32, at: usize) -> usize {
        self.push(Body::Fused(domain), stage, at)
    }

    pub(super) fn barrier(
        &mut self,
        work: Work,
        stage: u32,
        at: usize,
        eqn: Option<usize>,
        roots: &[Var],
    ) -> usize {
        let g = self.push(Body::Barrier(Box::new(work)), stage, at);
        self.list[g].eqns.extend(eqn);
        self.read(g, roots);
        g
    }

    pub(super) fn define(&mut self, v: Var, group: usize, level: Level, terminal: bool) {
        self.producers[v.index()] = Some(Producer { group, level, terminal });
    }

    /// The group that writes buffer `v`; `None` for an argument.
    pub(super) fn producer(&self, v: Var) -> Option<Producer> {
        let mut p = self.producers[v.index()]?;
        p.group = self.resolve(p.group);
        Some(p)
    }

    /// The group that `g` is now a part of.
    pub(super) fn resolve(&self, mut g: usize) -> usize {
        while self.merged[g].get() != g {
            let next = self.merged[g].get();
            self.merged[g].set(self.merged[next].get());
            g = next;
        }
        g
    }

    /// Corrects the level of `v`.
    pub(super) fn level(&mut self, v: Var, level: Level) {
        if let Some(p) = &mut self.producers[v.index()] {
            p.level = level;
        }
    }

    /// The groups that read buffer `v`, other than its writer, the youngest first, and whether these are all: at most
    /// `most` are returned.
    pub(super) fn readers(&mut self, v: Var, most: usize) -> (SmallVec<[usize; 4]>, bool) {
        let mut found = SmallVec::new();
        let all = self.visit_readers(v, most, |g| {
            found.push(g);
            true
        });
        (found, all.unwrap_or(false))
    }

    /// Visits those groups until `visit` stops it, with `None`; else whether there were no more than `most`.
    pub(super) fn visit_readers(
        &mut self,
        v: Var,
        most: usize,
        mut visit: impl FnMut(usize) -> bool,
    ) -> Option<bool> {
        let made = self.producer(v).map(|p| p.group);
        let mut list = std::mem::take(&mut self.readers[v.index()]);
        self.marks.begin(self.list.len());
        let mut found: SmallVec<[usize; 8]> = SmallVec::new();
        let mut goes_on = true;
        while goes_on
            && found.len() < most
            && let Some(g) = list.pop()
        {
            work::count(1);
            let g = self.resolve(g);
            if Some(g) != made && self.marks.mark(g) {
                found.push(g);
                goes_on = visit(g);
            }
        }
        let all = list.is_empty();
        list.extend(found.iter().rev().copied());
        self.readers[v.index()] = list;
        goes_on.then_some(all)
    }

    /// Whether `g` writes the buffer at this position of its list and no other group reads it. It is then removed from
    /// the list: while groups are only merged, that does not change.
    pub(super) fn is_inside(&mut self, g: usize, at: usize) -> bool {
        let v = self.list[g].roots[at];
        let inside = self.producers[v.index()].is_some_and(|p| self.resolve(p.group) == g)
            && self.readers[v.index()].iter().rev().all(|&r| self.resolve(r) == g);
        if inside {
            self.readers[v.index()].clear();
            self.list[g].roots.remove(at);
        }
        inside
    }

    /// Whether more than `most` groups may read from `g`.
    pub(super) fn is_read_by_more(&self, g: usize, most: usize) -> bool {
        self.list[g].readers.len() > most
    }

    /// The groups that read from `g`.
    pub(super) fn behind(&mut self, g: usize) -> Vec<usize> {
        let mut readers = std::mem::take(&mut self.list[g].readers);
        work::count(readers.len());
        readers.iter_mut().for_each(|r| *r = self.resolve(*r));
        readers.sort_unstable();
        readers.dedup();
        readers.retain(|&r| r != g);
        self.list[g].readers.clone_from(&readers);
        readers
    }

    /// Whether `x` has to come after `y`, or is the same; also true where the search takes too long.
    pub(super) fn depends(&mut self, x: usize, y: usize) -> bool {
        x == y || self.list[y].height < self.list[x].height && self.reaches(y, x)
    }

    /// Whether a search up from `y`, no higher than `x`, comes to `x`.
    fn reaches(&mut self, y: usize, x: usize) -> bool {
        let mut marks = std::mem::take(&mut self.marks);
        marks.begin(self.list.len());
        let (most, mut steps) = (STEPS + self.credit, 0);
        let mut pending: SmallVec<[usize; 16]> = SmallVec::from_slice(&[y]);
        let mut found = false;
        while let Some(g) = pending.pop() {
            steps += 1 + self.list[g].readers.len();
            if steps > most {
                work::simpler("distant groups are not merged");
                found = true;
                break;
            }
            let behind = self.behind(g);
            if behind.contains(&x) {
                found = true;
                break;
            }
            let below = |r: &usize| self.list[*r].height < self.list[x].height;
            pending.extend(behind.into_iter().filter(below).filter(|&r| marks.mark(r)));
        }
        self.marks = marks;
        self.credit -= steps.saturating_sub(STEPS).min(self.credit);
        found
    }

    /// Lifts `g` to a height, and its readers above it.
    fn lift(&mut self, g: usize, height: u64) {
        // The lowest first: the groups that it reads then have their final heights.
        let mut pending = BinaryHeap::from([Reverse((self.list[g].height, g))]);
        self.list[g].height = self.list[g].height.max(height);
        while let Some(Reverse((_, g))) = pending.pop() {
            let height = self.list[g].height;
            for r in self.behind(g) {
                if self.list[r].height <= height {
                    pending.push(Reverse((self.list[r].height, r)));
                    self.list[r].height = height + 1;
                }
            }
        }
    }

    /// Adds an equation that reads `roots`.
    pub(super) fn add(&mut self, g: usize, eqn: usize, roots: &[Var]) {
        self.list[g].eqns.push(eqn);
        self.list[g].last = self.list[g].last.max(eqn);
        self.read(g, roots);
    }

    fn read(&mut self, g: usize, roots: &[Var]) {
        let mut height = 0;
        for &v in roots {
            if !self.list[g].roots.insert(v) {
                continue;
            }
            self.readers[v.index()].push(g);
            if let Some(p) = self.producer(v).filter(|p| p.group != g) {
                let readers = &mut self.list[p.group].readers;
                if readers.last() != Some(&g) {
                    if readers.len() > STEPS && readers.len() == readers.capacity() {
                        self.behind(p.group);
                    }
                    self.list[p.group].readers.push(g);
                }
                height = height.max(self.list[p.group].height + 1);
            }
        }
        if height > self.list[g].height {
            self.lift(g, height);
        }
    }

    /// Moves everything of `h` into `g`, neither of which depends on the other.
    pub(super) fn merge(&mut self, g: usize, h: usize, domain: Domain) {
        let (low, high) = if self.list[g].height < self.list[h].height { (g, h) } else { (h, g) };
        let height = self.list[high].height;
        if self.list[low].height < height {
            self.lift(low, height);
        }
        self.take_in(g, h, domain);
    }

    /// Moves everything of `h` into `g`. Heights are invalid afterwards.
    pub(super) fn take_in(&mut self, g: usize, h: usize, domain: Domain) {
        let placeholder = Body::Fused(domain);
        let (eqns, fills, roots, readers) = {
            let x = &mut self.list[h];
            x.dead = true;
            x.body = placeholder;
            (
                std::mem::take(&mut x.eqns),
                std::mem::take(&mut x.fills),
                std::mem::take(&mut x.roots),
                std::mem::take(&mut x.readers),
            )
        };
        let (last, mixed) =
            (self.list[h].last, self.list[h].mixed || self.list[h].stage != self.list[g].stage);
        self.merged[h].set(g);
        let group = &mut self.list[g];
        group.body = Body::Fused(domain);
        join(&mut group.eqns, eqns);
        group.fills.extend(fills);
        join(&mut group.readers, readers);
        group.last = group.last.max(last);
        group.mixed |= mixed;
        let roots =
            if roots.len() > group.roots.len() { std::mem::replace(&mut group.roots, roots) } else { roots };
        work::count(roots.len());
        for &v in roots.iter() {
            group.roots.insert(v);
        }
    }
}

/// Appends the shorter of two lists to the longer one.
fn join(to: &mut Vec<usize>, mut from: Vec<usize>) {
    if from.len() > to.len() {
        std::mem::swap(to, &mut from);
    }
    work::count(from.len());
    to.append(&mut from);
}

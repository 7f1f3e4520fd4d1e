//! Groups of equations and who depends on whom.

use crate::kernel::{Domain, Level, Work};
use gradus_core::{DType, Var};

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
    pub(super) roots: Vec<Var>,
    /// The latest equation, which decides its place.
    pub(super) last: usize,
    /// Merged into another.
    pub(super) dead: bool,
    /// Of several stages, so that it may compute the same twice.
    pub(super) mixed: bool,
    /// A bit for each group this one has to come after; its own bit too.
    after: Vec<u64>,
}

/// Who writes a buffer.
#[derive(Clone, Copy)]
pub(super) struct Producer {
    pub(super) group: usize,
    pub(super) level: Level,
    /// It is finished only after the group has run.
    pub(super) terminal: bool,
}

/// All groups.
pub(super) struct Groups {
    pub(super) list: Vec<Group>,
    producers: Vec<Option<Producer>>,
    merged: Vec<usize>,
}

impl Groups {
    pub(super) fn new(values: usize) -> Self {
        Groups { list: Vec::new(), producers: vec![None; values], merged: Vec::new() }
    }

    fn push(&mut self, body: Body, stage: u32, at: usize) -> usize {
        let g = self.list.len();
        let mut group = Group {
            body,
            stage,
            eqns: Vec::new(),
            fills: Vec::new(),
            roots: Vec::new(),
            last: at,
            dead: false,
            mixed: false,
            after: Vec::new(),
        };
        set(&mut group.after, g);
        self.list.push(group);
        self.merged.push(g);
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
        self.depend(g, roots);
        g
    }

    pub(super) fn define(&mut self, v: Var, group: usize, level: Level, terminal: bool) {
        self.producers[v.index()] = Some(Producer { group, level, terminal });
    }

    /// Who writes buffer `v`; nobody writes an argument.
    pub(super) fn producer(&self, v: Var) -> Option<Producer> {
        let mut p = self.producers[v.index()]?;
        p.group = self.resolve(p.group);
        Some(p)
    }

    /// The group that `g` is now a part of.
    pub(super) fn resolve(&self, mut g: usize) -> usize {
        while self.merged[g] != g {
            g = self.merged[g];
        }
        g
    }

    /// Says that `v` has another level than was thought.
    pub(super) fn level(&mut self, v: Var, level: Level) {
        if let Some(p) = &mut self.producers[v.index()] {
            p.level = level;
        }
    }

    /// Whether `x` has to come after `y`, or is it.
    pub(super) fn depends(&self, x: usize, y: usize) -> bool {
        get(&self.list[x].after, y)
    }

    /// Adds an equation that reads `roots`.
    pub(super) fn add(&mut self, g: usize, eqn: usize, roots: &[Var]) {
        self.list[g].eqns.push(eqn);
        self.list[g].last = self.list[g].last.max(eqn);
        self.depend(g, roots);
    }

    fn depend(&mut self, g: usize, roots: &[Var]) {
        let mut after = std::mem::take(&mut self.list[g].after);
        let before: u32 = after.iter().map(|w| w.count_ones()).sum();
        for &v in roots {
            if !self.list[g].roots.contains(&v) {
                self.list[g].roots.push(v);
            }
            if let Some(p) = self.producer(v)
                && p.group != g
            {
                join(&mut after, &self.list[p.group].after);
            }
        }
        let grew = after.iter().map(|w| w.count_ones()).sum::<u32>() != before;
        if grew {
            self.spread(g, &after);
        }
        self.list[g].after = after;
    }

    /// Tells everything that comes after `g` what `g` comes after.
    fn spread(&mut self, g: usize, after: &[u64]) {
        for (i, other) in self.list.iter_mut().enumerate() {
            if i != g && !other.dead && get(&other.after, g) {
                join(&mut other.after, after);
            }
        }
    }

    /// Moves everything of `h` into `g`.
    pub(super) fn merge(&mut self, g: usize, h: usize, domain: Domain) {
        let eqns = std::mem::take(&mut self.list[h].eqns);
        let fills = std::mem::take(&mut self.list[h].fills);
        let roots = std::mem::take(&mut self.list[h].roots);
        let after = std::mem::take(&mut self.list[h].after);
        let last = self.list[h].last;
        let mixed = self.list[h].mixed || self.list[h].stage != self.list[g].stage;
        self.list[h].dead = true;
        self.merged[h] = g;
        let group = &mut self.list[g];
        group.body = Body::Fused(domain);
        group.eqns.extend(eqns);
        group.eqns.sort_unstable();
        group.fills.extend(fills);
        group.last = group.last.max(last);
        group.mixed |= mixed;
        join(&mut group.after, &after);
        for v in roots {
            if !group.roots.contains(&v) {
                group.roots.push(v);
            }
        }
        let all = group.after.clone();
        for (i, other) in self.list.iter_mut().enumerate() {
            if i != g && !other.dead && (get(&other.after, g) || get(&other.after, h)) {
                join(&mut other.after, &all);
            }
        }
    }
}

fn set(bits: &mut Vec<u64>, i: usize) {
    if bits.len() <= i / 64 {
        bits.resize(i / 64 + 1, 0);
    }
    bits[i / 64] |= 1 << (i % 64);
}

fn get(bits: &[u64], i: usize) -> bool {
    bits.get(i / 64).is_some_and(|w| w >> (i % 64) & 1 == 1)
}

fn join(bits: &mut Vec<u64>, other: &[u64]) {
    if bits.len() < other.len() {
        bits.resize(other.len(), 0);
    }
    for (b, o) in bits.iter_mut().zip(other) {
        *b |= o;
    }
}

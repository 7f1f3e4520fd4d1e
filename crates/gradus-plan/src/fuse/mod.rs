//! Grouping of equations into kernels.
//!
//! Movement costs nothing where a [`View`] can express it: it is resolved into how operands are read. Element-wise
//! equations and reductions join [groups](group), which become fused regions. All others are *barriers*: products,
//! primitives with kernels of their own, control flow. One pass over the equations, in order, places each of them.

mod adjacent;
mod blocked;
mod group;
mod order;
mod output_layout;
mod region;
mod resolve;
mod unpool;
mod write_through;

use std::collections::{BTreeSet, HashMap};

use gradus_core::graph::Eqn;
use gradus_core::ops::{Op, ReduceKind};
use gradus_core::{Graph, Result, Shape, Var};
use smallvec::{SmallVec, smallvec};

use crate::kernel::{Assemble, Domain, Fill, Kernel, LONG_ROW, Level, MANY_ROWS, Part, SHORT_ROW, Work};
use crate::{Options, View, bodies};
use group::{Body, Groups};
pub use order::{ROW_CHUNK, column_chunk, column_lanes, column_width};
pub(crate) use resolve::{MOST_BATCH, Source, Sources};

/// The most groups that read one buffer that are searched for one with the same reduction.
const SIBLINGS: usize = 16;

/// The kernels of a graph in order, and what each value is.
pub(crate) struct Fused {
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) sources: Sources,
}

/// Walks over a graph, making groups.
pub(crate) struct Fuser<'a> {
    graph: &'a Graph,
    stages: &'a [u32],
    options: &'a Options,
    /// What each value is read from.
    sources: Sources,
    /// For each equation, the sources of its operands at the time it was placed: a later copy of a value does not serve
    /// earlier readers.
    operands: Vec<SmallVec<[u32; 4]>>,
    groups: Groups,
    /// For each value that is written into the buffer of another one, that layout.
    output_layouts: Vec<Option<output_layout::OutputLayout>>,
    /// The indices of poolings, and the equations that make them.
    poolings: HashMap<Var, usize>,
    /// The current equation.
    at: usize,
}

/// The iteration space of a reduction, from the shape of its operand; `None` when its axes are not adjacent.
pub(crate) fn reduction_domain(shape: &Shape, axes: &[usize]) -> Option<Domain> {
    let live: SmallVec<[usize; 4]> = axes.iter().copied().filter(|&a| shape[a] != 1).collect();
    let (Some(&first), Some(&last)) = (live.first(), live.last()) else {
        return Some(Domain::Rows { rows: shape.size(), cols: 1 });
    };
    if (first..=last).any(|a| shape[a] != 1 && !live.contains(&a)) {
        return None;
    }
    let outer = shape[..first].iter().product();
    let reduced = shape[first..=last].iter().product();
    let inner: usize = shape[last + 1..].iter().product();
    Some(match inner {
        1 if reduced <= SHORT_ROW || (reduced <= LONG_ROW && outer >= MANY_ROWS) => {
            Domain::Rows { rows: outer, cols: reduced }
        }
        1 => Domain::LongRows { rows: outer, cols: reduced },
        _ => Domain::Columns { outer, reduced, inner },
    })
}

/// Whether an equation is computed element by element.
pub(crate) fn is_elementwise(op: &Op) -> bool {
    matches!(
        op,
        Op::Iota(_)
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::LinearMul(_)
            | Op::Compare(_)
            | Op::Logic(_)
            | Op::Not(_)
            | Op::Select(_)
            | Op::Cast(_)
            | Op::StopGradient(_)
    )
}

/// Whether an equation only moves elements so that strides can express it.
pub(crate) fn is_movement(op: &Op) -> bool {
    matches!(op, Op::Reshape(_) | Op::Permute(_) | Op::Broadcast(_) | Op::Slice(_) | Op::Reverse(_))
}

/// Groups the equations of `graph`. Equations of different `stages` share a kernel only where no value then stays in
/// memory longer than before.
pub(crate) fn fuse(graph: &Graph, stages: &[u32], options: &Options) -> Result<Fused> {
    let mut sources = Sources::new(graph.types().len());
    for &v in graph.inputs() {
        sources.set(v, Source::whole(v, &graph.ty(v).shape));
    }
    let groups = Groups::new(graph.types().len());
    let operands = vec![SmallVec::new(); graph.eqns().len()];
    let output_layouts = output_layout::output_layouts(graph);
    let pooling = |(i, eqn): (usize, &Eqn)| matches!(eqn.op, Op::MaxPool(_)).then(|| (eqn.outputs[1], i));
    let poolings = graph.eqns().iter().enumerate().filter_map(pooling).collect();
    let mut fuser =
        Fuser { graph, stages, options, sources, operands, groups, output_layouts, poolings, at: 0 };
    for i in 0..graph.eqns().len() {
        fuser.at = i;
        fuser.equation(i)?;
    }
    for &v in graph.outputs() {
        fuser.at = graph.eqns().len().saturating_sub(1);
        fuser.whole(v);
    }
    adjacent::merge(&mut fuser);
    let mut fused = order::kernels(fuser)?;
    write_through::write(graph, &mut fused);
    blocked::group(graph, &mut fused, options);
    Ok(fused)
}

impl Fuser<'_> {
    fn equation(&mut self, i: usize) -> Result<()> {
        let graph = self.graph;
        let eqn = &graph.eqns()[i];
        match &eqn.op {
            Op::Full(full) => self.set(eqn.outputs[0], Source::Constant(full.value, full.dtype)),
            op if is_movement(op) => self.movement(i),
            op if is_elementwise(op) && !self.fails_on_data(i) => self.elementwise(i),
            Op::Reduce(_) => self.reduction(i),
            Op::Dot(_) if self.product(i) => {}
            Op::ScatterAdd(_) if self.unpool(i) => {}
            Op::Conv(_) if self.convolution(i) => {}
            Op::Pad(_) | Op::Concat(_) => self.assemble(i),
            Op::Cond(_) | Op::Scan(_) | Op::While(_) | Op::Replay(_) | Op::Call(_) => self.control(i)?,
            // Every other primitive is a kernel of its own.
            _ => self.barrier(i, Work::Primitive(eqn.op.clone())),
        }
        Ok(())
    }

    /// Integer division can fail and a region cannot, so it is a kernel of its own.
    fn fails_on_data(&self, i: usize) -> bool {
        let eqn = &self.graph.eqns()[i];
        let is_division = matches!(eqn.op, Op::Binary(gradus_core::Binary::Div | gradus_core::Binary::Rem));
        is_division && self.graph.ty(eqn.outputs[0]).dtype.is_int()
    }

    fn set(&mut self, v: Var, source: Source) {
        self.sources.set(v, source);
    }

    /// The sources of the operands of equation `i` at the time it was placed.
    fn operands(&self, i: usize) -> impl Iterator<Item = &Source> {
        self.operands[i].iter().map(|&name| self.sources.at(name))
    }

    /// Makes `v` a buffer of its own, written by group `g`.
    fn define(&mut self, v: Var, g: usize, level: Level, terminal: bool) {
        self.set(v, Source::whole(v, &self.graph.ty(v).shape));
        self.groups.define(v, g, level, terminal);
    }

    fn movement(&mut self, i: usize) {
        let graph = self.graph;
        let eqn = &graph.eqns()[i];
        let (from, to) = (eqn.inputs[0], eqn.outputs[0]);
        match self.sources[from.index()].clone() {
            Source::Constant(value, dtype) => self.set(to, Source::Constant(value, dtype)),
            Source::View(root, view) => match view.moved(&eqn.op) {
                Some(view) => self.set(to, Source::View(root, view)),
                // Only a reshape of scattered elements reaches this point: they are put in order first.
                None => {
                    self.materialize(from);
                    let view = View::of(&graph.ty(to).shape);
                    self.set(to, Source::View(from, view));
                }
            },
            Source::Undefined => unreachable!("operands come first"),
        }
    }

    /// Copies `v` into a buffer of its own.
    fn materialize(&mut self, v: Var) {
        let ty = self.graph.ty(v).clone();
        match self.sources[v.index()].clone() {
            Source::View(root, from) => {
                let to = View::of(&ty.shape);
                let width = ty.dtype.size();
                let parts = vec![Part { value: root, from, to }];
                let work = Work::Assemble(Assemble { out: v, width, fill: None, parts });
                let g = self.groups.barrier(work, self.stages[self.at], self.at, None, &[root]);
                self.define(v, g, Level::Full, false);
            }
            Source::Constant(value, dtype) => {
                let domain = Domain::Flat { n: ty.shape.size() };
                let g = self.groups.fused(domain, self.stages[self.at], self.at);
                self.groups.list[g].fills.push((v, value, dtype));
                self.define(v, g, Level::Full, false);
            }
            Source::Undefined => unreachable!("operands come first"),
        }
    }

    /// The buffer that holds exactly the elements of `v` in order, created if necessary.
    fn whole(&mut self, v: Var) -> Var {
        match &self.sources[v.index()] {
            Source::View(root, view)
                if view.is_contiguous()
                    && self.graph.ty(*root).shape.size() == self.graph.ty(v).shape.size() =>
            {
                *root
            }
            _ => {
                self.materialize(v);
                v
            }
        }
    }

    /// A region reads along rows; a view that strides across memory is copied first, unless it is small.
    fn prepare_load(&mut self, v: Var) {
        if let Source::View(_, view) = &self.sources[v.index()] {
            let inner = view.collapsed().dims.last().copied();
            if inner.is_some_and(|(_, stride)| stride.unsigned_abs() > 1) && view.size() > 1024 {
                self.materialize(v);
            }
        }
    }

    fn elementwise(&mut self, i: usize) {
        let graph = self.graph;
        let eqn = &graph.eqns()[i];
        for &v in &eqn.inputs {
            self.prepare_load(v);
        }
        let n = graph.ty(eqn.outputs[0]).shape.size();
        let candidates = self.candidates(&eqn.inputs);
        // A row-level value joins the group of the rows it is made from, so that what is computed from both takes no
        // pass of its own.
        let mut host = None;
        for &g in &candidates {
            match self.level_in(g, n, &eqn.inputs) {
                Some(Level::Row) => {
                    host = Some((g, Level::Row));
                    break;
                }
                Some(Level::Full) => host = host.or(Some((g, Level::Full))),
                None => {}
            }
        }
        let (g, level) =
            host.unwrap_or_else(|| (self.groups.fused(Domain::Flat { n }, self.stages[i], i), Level::Full));
        if level == Level::Full {
            for h in candidates {
                self.merge_into(g, h, &eqn.inputs);
            }
        }
        self.join(g, i, &eqn.inputs);
        self.define(eqn.outputs[0], g, level, false);
    }

    /// The groups that define operands, the youngest first.
    fn candidates(&self, inputs: &[Var]) -> SmallVec<[usize; 4]> {
        let mut out: SmallVec<[usize; 4]> = SmallVec::new();
        for v in inputs {
            if let Source::View(root, _) = &self.sources[v.index()]
                && let Some(p) = self.groups.producer(*root)
                && !out.contains(&p.group)
            {
                out.push(p.group);
            }
        }
        out.sort_unstable_by(|a, b| b.cmp(a));
        out
    }

    /// The most equations in a region of this many points: far more where all its values stay in cache.
    fn limit(&self, points: usize) -> usize {
        // Slot numbers have 16 bits, and an equation may use several slots.
        self.options.target.limits.region.saturating_mul((256 / points.max(1)).clamp(1, 32)).min(1 << 13)
    }

    /// The level at which an equation of `n` elements with these operands can join group `g`, if it can.
    fn level_in(&mut self, g: usize, n: usize, inputs: &[Var]) -> Option<Level> {
        let group = &self.groups.list[g];
        let Body::Fused(domain) = group.body else { return None };
        if group.stage != self.stages[self.at] || group.eqns.len() >= self.limit(domain.points()) {
            return None;
        }
        let level = if n == domain.points() {
            Level::Full
        } else if Some(n) == domain.rows() {
            Level::Row
        } else {
            return None;
        };
        inputs.iter().all(|&v| self.readable(g, domain, level, v)).then_some(level)
    }

    /// Whether `v` can be an operand at `level` of group `g`: from inside in place, or from outside without a cycle.
    fn readable(&mut self, g: usize, domain: Domain, level: Level, v: Var) -> bool {
        let Source::View(root, view) = &self.sources[v.index()] else { return true };
        let Some(p) = self.groups.producer(*root) else { return true };
        if p.group != g {
            return !self.groups.depends(p.group, g);
        }
        resolve::inside(p, view, domain, level, self.graph.ty(*root).shape.size()).is_some()
    }

    /// Adds equation `i` to group `g`.
    fn join(&mut self, g: usize, i: usize, inputs: &[Var]) {
        let roots: SmallVec<[Var; 4]> = inputs
            .iter()
            .filter_map(|v| match &self.sources[v.index()] {
                Source::View(root, _) => Some(*root),
                _ => None,
            })
            .collect();
        self.groups.add(g, i, &roots);
        self.operands[i] = inputs.iter().map(|&v| self.sources.now(v)).collect();
    }

    /// Merges two groups that an element-wise equation reads from, where no group has to run between them.
    fn merge_into(&mut self, g: usize, h: usize, inputs: &[Var]) {
        if g == h || self.groups.list[h].dead {
            return;
        }
        let (Body::Fused(a), Body::Fused(b)) = (&self.groups.list[g].body, &self.groups.list[h].body) else {
            return;
        };
        let Some(domain) = a.with(*b) else { return };
        let in_place = inputs.iter().all(|v| match &self.sources[v.index()] {
            Source::View(root, view) => match self.groups.producer(*root) {
                Some(p) if p.group == h => {
                    let size = self.graph.ty(*root).shape.size();
                    resolve::inside(p, view, domain, Level::Full, size).is_some()
                }
                _ => true,
            },
            _ => true,
        });
        let (x, y) = (&self.groups.list[g], &self.groups.list[h]);
        let small = x.eqns.len() + y.eqns.len() < self.limit(domain.points());
        if !in_place || !small || x.stage != y.stage {
            return;
        }
        // The equation's other operands must not depend on the group that is merged.
        let others: SmallVec<[usize; 4]> =
            self.candidates(inputs).into_iter().filter(|&k| k != g && k != h).collect();
        let groups = &mut self.groups;
        let apart = !groups.depends(g, h) && !groups.depends(h, g);
        if apart && others.into_iter().all(|k| !groups.depends(k, h)) {
            groups.merge(g, h, domain);
        }
    }

    fn reduction(&mut self, i: usize) {
        let graph = self.graph;
        let eqn = &graph.eqns()[i];
        let Op::Reduce(reduce) = &eqn.op else { unreachable!("called for reductions") };
        let input = eqn.inputs[0];
        let shape = graph.ty(input).shape.clone();
        let empty = shape.size() == 0;
        let Some(domain) = reduction_domain(&shape, &reduce.axes).filter(|_| !empty) else {
            return self.barrier(i, Work::Primitive(eqn.op.clone()));
        };
        self.prepare_load(input);
        let terminal = !matches!(domain, Domain::Rows { .. });
        let mut candidates = self.candidates(&[input]).into_iter();
        let host = candidates.find(|&g| {
            let Body::Fused(own) = self.groups.list[g].body else { return false };
            own.with(domain).is_some() && self.level_in(g, shape.size(), &[input]) == Some(Level::Full)
        });
        let g = match host {
            Some(g) => {
                if let Body::Fused(own) = &mut self.groups.list[g].body {
                    *own = own.with(domain).unwrap_or(domain);
                }
                g
            }
            None => self.groups.fused(domain, self.stages[i], i),
        };
        self.join(g, i, &[input]);
        self.define(eqn.outputs[0], g, Level::Row, terminal);
        self.merge_siblings(g);
    }

    /// Merges `g`, which reduces, with other groups that reduce over the same space and read the same buffer of its
    /// size, so that the buffer is read once.
    fn merge_siblings(&mut self, g: usize) {
        let Body::Fused(own) = self.groups.list[g].body else { return };
        if matches!(own, Domain::Flat { .. }) {
            return;
        }
        let graph = self.graph;
        let large = |v: &Var| graph.ty(*v).shape.size() == own.points();
        // The groups still to be visited, the oldest first.
        let mut near: BTreeSet<usize> = BTreeSet::new();
        let mut shared: Vec<Var> = self.groups.list[g].roots.iter().copied().filter(large).collect();
        let mut at = 0;
        loop {
            for v in shared.drain(..) {
                near.extend(self.groups.readers(v, SIBLINGS).0.into_iter().filter(|&h| h >= at));
            }
            let Some(h) = near.pop_first() else { break };
            at = h + 1;
            let (x, y) = (&self.groups.list[g], &self.groups.list[h]);
            let (Body::Fused(a), Body::Fused(b)) = (&x.body, &y.body) else { continue };
            let Some(domain) = a.with(*b).filter(|_| !matches!(b, Domain::Flat { .. })) else { continue };
            let small = x.eqns.len() + y.eqns.len() < self.limit(domain.points());
            if h == g || y.dead || x.stage != y.stage || !small {
                continue;
            }
            if !self.groups.depends(g, h) && !self.groups.depends(h, g) {
                let roots = &self.groups.list[h].roots;
                let x = &self.groups.list[g].roots;
                shared.extend(roots.iter().copied().filter(|&v| large(&v) && !x.contains(v)));
                self.groups.merge(g, h, domain);
            }
        }
    }

    /// A kernel of its own, operands and results contiguous.
    fn barrier(&mut self, i: usize, work: Work) {
        let graph = self.graph;
        let eqn = &graph.eqns()[i];
        let roots: SmallVec<[Var; 4]> = eqn.inputs.iter().map(|&v| self.whole(v)).collect();
        let g = self.groups.barrier(work, self.stages[i], i, Some(i), &roots);
        self.operands[i] = roots.iter().map(|&v| self.sources.now(v)).collect();
        for &v in &eqn.outputs {
            self.define(v, g, Level::Full, false);
        }
    }

    fn control(&mut self, i: usize) -> Result<()> {
        let eqn = &self.graph.eqns()[i];
        let plans: Result<Vec<_>> =
            eqn.op.graphs().into_iter().map(|body| bodies::plan(body, self.options)).collect();
        let plans = plans?;
        self.barrier(i, Work::Control(eqn.op.clone(), plans));
        Ok(())
    }

    /// Where `v` may be written, the best place first: in the layout that its readers want, or in its own.
    fn places(&self, v: Var) -> SmallVec<[(Var, View); 2]> {
        let own = (v, View::of(&self.graph.ty(v).shape));
        match &self.output_layouts[v.index()] {
            Some(host) => smallvec![host.view(self.graph), own],
            None => smallvec![own],
        }
    }

    /// Makes `v` a view of a buffer, which group `g` writes.
    fn place(&mut self, v: Var, (buffer, view): (Var, &View), g: usize) {
        self.set(v, Source::View(buffer, view.clone()));
        self.groups.define(buffer, g, Level::Full, false);
    }

    /// A matrix product that reads through views; false when the kernel does not take it.
    fn product(&mut self, i: usize) -> bool {
        let graph = self.graph;
        let eqn = &graph.eqns()[i];
        let Op::Dot(dot) = &eqn.op else { return false };
        let out = eqn.outputs[0];
        if !graph.ty(out).dtype.is_wide_float() || graph.ty(out).shape.size() == 0 {
            return false;
        }
        for &v in &eqn.inputs {
            if matches!(self.sources[v.index()], Source::Constant(..)) {
                self.materialize(v);
            }
        }
        for attempt in 0..2 {
            for (buffer, to) in self.places(out) {
                let to = (buffer, &to);
                let Some(mut product) = resolve::product(dot, &eqn.inputs, &self.sources, to) else {
                    continue;
                };
                product.dtype = graph.ty(out).dtype;
                let reads = [product.lhs, product.rhs];
                let g = self.groups.barrier(Work::Product(product), self.stages[i], i, Some(i), &reads);
                self.place(out, to, g);
                return true;
            }
            if attempt == 0 {
                for &v in &eqn.inputs {
                    if !matches!(&self.sources[v.index()], Source::View(_, view) if view.is_contiguous()) {
                        self.materialize(v);
                    }
                }
            }
        }
        false
    }

    /// A convolution that reads through views; false when the kernels do not take it.
    fn convolution(&mut self, i: usize) -> bool {
        let graph = self.graph;
        let eqn = &graph.eqns()[i];
        let Op::Conv(conv) = &eqn.op else { return false };
        let out = eqn.outputs[0];
        for &v in &eqn.inputs {
            if matches!(self.sources[v.index()], Source::Constant(..)) {
                self.materialize(v);
            }
        }
        for attempt in 0..2 {
            for (buffer, to) in self.places(out) {
                let (ty, to) = (graph.ty(out), (buffer, &to));
                let Some(found) = resolve::convolution(conv, &eqn.inputs, ty, &self.sources, to) else {
                    continue;
                };
                let reads = [found.x, found.kernel];
                let work = Work::Convolution(Box::new(found));
                let g = self.groups.barrier(work, self.stages[i], i, Some(i), &reads);
                self.place(out, to, g);
                return true;
            }
            if attempt == 0 {
                for &v in &eqn.inputs {
                    self.whole(v);
                }
            }
        }
        false
    }

    fn assemble(&mut self, i: usize) {
        let graph = self.graph;
        let eqn = &graph.eqns()[i];
        let out = eqn.outputs[0];
        let (buffer, whole) = self.places(out).swap_remove(0);
        let mut parts = Vec::new();
        let mut at = 0;
        for &v in &eqn.inputs {
            let extents = graph.ty(v).shape.clone();
            let mut to = whole.clone();
            match &eqn.op {
                Op::Pad(pad) => {
                    for axis in 0..extents.rank() {
                        let stride = whole.dims[axis].1;
                        to.offset += stride * pad.low[axis] as isize;
                        to.dims[axis] = (extents[axis], pad.stride(axis, extents[axis], stride));
                    }
                }
                Op::Concat(concat) => {
                    to.offset += whole.dims[concat.axis].1 * at as isize;
                    to.dims[concat.axis].0 = extents[concat.axis];
                    at += extents[concat.axis];
                }
                _ => unreachable!("called for pads and concatenations"),
            }
            if matches!(self.sources[v.index()], Source::Constant(..)) {
                self.materialize(v);
            }
            let Source::View(value, from) = self.sources[v.index()].clone() else {
                unreachable!("operands come first")
            };
            parts.push(Part { value, from, to });
        }
        let reads: SmallVec<[Var; 4]> = parts.iter().map(|p| p.value).collect();
        let fill = match &eqn.op {
            Op::Pad(pad) => Some(if pad.dead { Fill::Dead } else { Fill::Zero }),
            _ => None,
        };
        let width = graph.ty(out).dtype.size();
        let work = Work::Assemble(Assemble { out: buffer, width, fill, parts });
        let g = self.groups.barrier(work, self.stages[i], i, Some(i), &reads);
        self.place(out, (buffer, &whole), g);
    }
}

/// The reduction that an equation is.
fn kind_of(op: &Op) -> Option<ReduceKind> {
    match op {
        Op::Reduce(r) => Some(r.kind),
        _ => None,
    }
}

/// Values written by a kernel, one at least.
fn one(v: Var) -> SmallVec<[Var; 2]> {
    smallvec![v]
}

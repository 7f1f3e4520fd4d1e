//! A group of element-wise equations and reductions, written out as a region.

use gradus_core::ops::Op;
use gradus_core::quick::{Map, Set};
use gradus_core::{DType, Var};
use smallvec::{SmallVec, smallvec};

use super::resolve::{Inside, inside};
use super::{Fuser, Source, kind_of};
use crate::View;
use crate::kernel::{Domain, Level, Load, Region, Slot, Step, StepOp, Store};

/// Slots are numbered when all loads and constants are known; until then they are of three kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Draft {
    Load(usize),
    Constant(usize),
    Step(usize),
}

/// What a step computes: its operation, the types of operands and result, its level, its operands.
type Computed = (StepOp, DType, DType, Level, SmallVec<[Draft; 3]>);

pub(super) struct Writer<'a, 'b> {
    fuser: &'a Fuser<'b>,
    group: usize,
    domain: Domain,
    loads: Vec<Load>,
    constants: Vec<(f64, DType)>,
    /// With the equations they come from.
    steps: Vec<(Computed, usize)>,
    /// Where loads, constants (by their bits) and steps (by their operands) are among those.
    load_of: Map<Load, usize>,
    constant_of: Map<(u64, DType), usize>,
    steps_of: Map<SmallVec<[Draft; 3]>, SmallVec<[usize; 2]>>,
    slots: Map<Var, Draft>,
    /// Values of 16-bit types whose slots hold them in `f32`.
    rounded: Set<Var>,
    expanded: Map<Draft, Draft>,
}

impl<'a, 'b> Writer<'a, 'b> {
    pub(super) fn new(fuser: &'a Fuser<'b>, group: usize, domain: Domain) -> Self {
        Writer {
            fuser,
            group,
            domain,
            loads: Vec::new(),
            constants: Vec::new(),
            steps: Vec::new(),
            load_of: Map::default(),
            constant_of: Map::default(),
            steps_of: Map::default(),
            slots: Map::default(),
            rounded: Set::default(),
            expanded: Map::default(),
        }
    }

    /// The region of the group, with the values in `live` written to memory.
    pub(super) fn write(mut self, live: &[bool]) -> Region {
        let graph = self.fuser.graph;
        let group = &self.fuser.groups.list[self.group];
        let mut stores: Vec<(Draft, Var, Option<_>)> = Vec::new();
        let mut stored: Set<Draft> = Set::default();
        for &(v, value, dtype) in &group.fills {
            let constant = self.constant(value, dtype);
            let out = self.push((StepOp::Copy, dtype, dtype, Level::Full, smallvec![constant]), usize::MAX);
            self.slots.insert(v, out);
            stores.push((out, v, None));
            stored.insert(out);
        }
        let in_registers = self.rounded_in_registers(live);
        for &i in &group.eqns {
            let eqn = &graph.eqns()[i];
            let out = eqn.outputs[0];
            let producer = self.fuser.groups.producer(out);
            let level = producer.map_or(Level::Full, |p| p.level);
            let reduces = kind_of(&eqn.op);
            let operand_level = if reduces.is_some() { Level::Full } else { level };
            let args: SmallVec<[Draft; 3]> =
                (0..eqn.inputs.len()).map(|o| self.operand(i, o, operand_level)).collect();
            let to = graph.ty(out).dtype;
            let from = eqn.inputs.last().map_or(to, |&v| graph.ty(v).dtype);
            if let Some(kind) = reduces.filter(|_| producer.is_some_and(|p| p.terminal)) {
                stores.push((args[0], out, Some(kind)));
                continue;
            }
            let op = match &eqn.op {
                Op::Unary(u) => StepOp::Unary(*u),
                Op::Binary(b) => StepOp::Binary(*b),
                Op::LinearMul(p) => StepOp::LinearMul { both: p.both },
                Op::Compare(c) => StepOp::Compare(*c),
                Op::Logic(l) => StepOp::Logic(*l),
                Op::Not(_) => StepOp::Not,
                Op::Select(_) => StepOp::Select,
                Op::Cast(_) if from == to => StepOp::Copy,
                Op::Cast(_) if in_registers.contains(&out) => StepOp::Round(to),
                Op::Cast(_) => StepOp::Cast,
                Op::StopGradient(_) => StepOp::Copy,
                Op::Iota(p) => StepOp::Iota {
                    inner: p.shape[p.axis + 1..].iter().product::<usize>().max(1),
                    extent: p.shape[p.axis].max(1),
                },
                Op::Reduce(r) => StepOp::Reduce(r.kind),
                other => unreachable!("{other} is no element-wise primitive"),
            };
            let mut slot = match op {
                StepOp::Round(_) => {
                    self.rounded.insert(out);
                    self.push((op, from, from, level, args), i)
                }
                // It exists already.
                StepOp::Cast if self.reads_rounded(i) => args[0],
                _ => self.push((op, from, to, level, args), i),
            };
            // Each value in memory has a slot of its own.
            if live[out.index()] && !stored.insert(slot) {
                slot = self.fresh((StepOp::Copy, to, to, level, smallvec![slot]), i);
                stored.insert(slot);
            }
            self.slots.insert(out, slot);
            if live[out.index()] {
                stores.push((slot, out, None));
            }
        }
        self.finish(stores)
    }

    /// The values that are rounded to a 16-bit type and only read inside the region, to be widened again: their slots
    /// stay in `f32`.
    fn rounded_in_registers(&self, live: &[bool]) -> Set<Var> {
        let (graph, fuser) = (self.fuser.graph, self.fuser);
        let eqns = &fuser.groups.list[self.group].eqns;
        let cast = |i: usize, from: fn(DType) -> bool| {
            let eqn = &graph.eqns()[i];
            let converts = matches!(eqn.op, Op::Cast(_)) && from(graph.ty(eqn.inputs[0]).dtype);
            converts.then(|| (eqn.outputs[0], graph.ty(eqn.outputs[0]).dtype))
        };
        let mut rounded: Set<Var> = Set::default();
        for &i in eqns {
            if let Some((v, to)) = cast(i, |from| !from.is_rounded())
                && to.is_rounded()
                && graph.ty(graph.eqns()[i].inputs[0]).dtype == to.wide()
                && !live[v.index()]
            {
                rounded.insert(v);
            }
        }
        if rounded.is_empty() {
            return rounded;
        }
        for &i in eqns {
            if cast(i, DType::is_rounded).is_some_and(|(_, to)| to == DType::F32) {
                continue;
            }
            for &source in &fuser.operands[i] {
                if let Source::View(root, _) = fuser.sources.at(source) {
                    rounded.remove(root);
                }
            }
        }
        rounded
    }

    /// Whether an equation reads a value that is in `f32` here.
    fn reads_rounded(&self, i: usize) -> bool {
        match self.fuser.sources.at(self.fuser.operands[i][0]) {
            Source::View(root, _) => self.rounded.contains(root),
            Source::Constant(..) | Source::Undefined => false,
        }
    }

    fn push(&mut self, step: Computed, eqn: usize) -> Draft {
        // A recomputation for a later stage may repeat an existing step.
        if self.fuser.groups.list[self.group].mixed
            && let Some(known) = self.steps_of.get(&step.4)
            && let Some(&known) = known.iter().find(|&&known| self.steps[known].0 == step)
        {
            return Draft::Step(known);
        }
        self.fresh(step, eqn)
    }

    fn fresh(&mut self, step: Computed, eqn: usize) -> Draft {
        let at = self.steps.len();
        if self.fuser.groups.list[self.group].mixed {
            self.steps_of.entry(step.4.clone()).or_default().push(at);
        }
        self.steps.push((step, eqn));
        Draft::Step(at)
    }

    fn constant(&mut self, value: f64, dtype: DType) -> Draft {
        Draft::Constant(*self.constant_of.entry((value.to_bits(), dtype)).or_insert_with(|| {
            self.constants.push((value, dtype));
            self.constants.len() - 1
        }))
    }

    /// Operand `o` of equation `i`, at `level`.
    fn operand(&mut self, i: usize, o: usize, level: Level) -> Draft {
        let (graph, fuser) = (self.fuser.graph, self.fuser);
        let mut dtype = graph.ty(graph.eqns()[i].inputs[o]).dtype;
        match fuser.sources.at(fuser.operands[i][o]) {
            Source::Constant(value, dtype) => self.constant(*value, *dtype),
            Source::View(root, view) => {
                if let Some(p) = self.fuser.groups.producer(*root)
                    && p.group == self.group
                    && let Some(slot) = self.slots.get(root).copied()
                {
                    let size = graph.ty(*root).shape.size();
                    if self.rounded.contains(root) {
                        dtype = dtype.wide();
                    }
                    return match inside(p, view, self.domain, level, size) {
                        Some(Inside::Same) => slot,
                        Some(Inside::Expand) => self.expand(slot, dtype),
                        None => unreachable!("checked when the equation joined"),
                    };
                }
                self.load(*root, dtype, level, view)
            }
            Source::Undefined => unreachable!("operands come first"),
        }
    }

    fn expand(&mut self, slot: Draft, dtype: DType) -> Draft {
        if let Some(&known) = self.expanded.get(&slot) {
            return known;
        }
        let eqn = usize::MAX;
        let out = self.push((StepOp::Expand, dtype, dtype, Level::Full, smallvec![slot]), eqn);
        self.expanded.insert(slot, out);
        out
    }

    fn load(&mut self, value: Var, dtype: DType, level: Level, view: &View) -> Draft {
        let load = Load { value, dtype, level, view: view.collapsed() };
        if let Some(&known) = self.load_of.get(&load) {
            return Draft::Load(known);
        }
        self.loads.push(load.clone());
        self.load_of.insert(load, self.loads.len() - 1);
        Draft::Load(self.loads.len() - 1)
    }

    fn finish(self, stores: Vec<(Draft, Var, Option<gradus_core::ops::ReduceKind>)>) -> Region {
        let (loads, constants) = (self.loads.len(), self.constants.len());
        let slot = |d: Draft| -> Slot {
            let number = match d {
                Draft::Load(i) => i,
                Draft::Constant(i) => loads + i,
                Draft::Step(i) => loads + constants + i,
            };
            Slot::try_from(number).expect("a region is cut before it has more slots than are numbered")
        };
        let steps = self
            .steps
            .into_iter()
            .map(|((op, dtype, out, level, args), eqn)| Step {
                op,
                dtype,
                out,
                level,
                args: args.into_iter().map(slot).collect(),
                eqn,
            })
            .collect();
        let stores =
            stores.into_iter().map(|(d, value, reduce)| Store { slot: slot(d), value, reduce }).collect();
        Region { domain: self.domain, loads: self.loads, constants: self.constants, steps, stores }
    }
}

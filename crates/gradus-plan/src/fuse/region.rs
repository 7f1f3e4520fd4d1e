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
                Op::Cast(_) => StepOp::Cast,
                Op::StopGradient(_) => StepOp::Copy,
                Op::Iota(p) => StepOp::Iota {
                    inner: p.shape[p.axis + 1..].iter().product::<usize>().max(1),
                    extent: p.shape[p.axis].max(1),
                },
                Op::Reduce(r) => StepOp::Reduce(r.kind),
                other => unreachable!("{other} is no element-wise primitive"),
            };
            let mut slot = self.push((op, from, to, level, args), i);
            // A place of its own for each value in memory.
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

    fn push(&mut self, step: Computed, eqn: usize) -> Draft {
        // What a later stage computes again may be there already.
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
        let dtype = graph.ty(graph.eqns()[i].inputs[o]).dtype;
        match fuser.sources.at(fuser.operands[i][o]) {
            Source::Constant(value, dtype) => self.constant(*value, *dtype),
            Source::View(root, view) => {
                if let Some(p) = self.fuser.groups.producer(*root)
                    && p.group == self.group
                    && let Some(slot) = self.slots.get(root).copied()
                {
                    let size = graph.ty(*root).shape.size();
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

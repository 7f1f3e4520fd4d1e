//! Masked columns: those that have no effect on the results of a block of rows, so that it need not compute them.
//!
//! A mask is the boolean of a [selection](StepOp::Select) that takes scores where it is true and a large negative
//! number elsewhere. The visible columns are found when the group runs. In the columns that are masked for all rows of
//! a block, a value has one of three kinds: arbitrary, equal in all those columns (computed from row-level values and
//! constants), or known. The kinds are propagated through regions step by step. An exponential of a value that is equal
//! in all masked columns is assumed to be zero (that of a masked score, less the row's maximum), and so are products
//! with it: the executor computes one masked column to check these zeros, and checks that all results are finite.

use gradus_core::ops::{Logic, ReduceKind};
use gradus_core::{Binary, DType, Graph, Unary, Var};
use smallvec::SmallVec;

use crate::kernel::{
    Along, Domain, Kernel, Level, Load, Mask, Masked, Product, Region, Slot, Step, StepOp, Work,
};

/// The most steps that a mask is recognised through.
const TERMS: usize = 16;
/// The number of passes over a group, each with the masks found before.
const PASSES: usize = 4;
/// A constant that replaces masked scores is at most this.
const NEVER: f64 = -1e3;

/// What a value is in masked columns.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Any,
    /// The same in every such column of a row.
    Same,
    Known(f64),
}

#[derive(Clone, Debug)]
struct Tail {
    kind: Kind,
    /// The exponential assumed to be zero that the value is a multiple of: zero only where that is.
    share_of: Option<usize>,
    /// A mask, and the kind of the value in the columns that it masks: it becomes one of the masks of the group where
    /// that helps.
    unless: Option<(Mask, Kind)>,
}

impl Tail {
    fn of(kind: Kind) -> Tail {
        Tail { kind, share_of: None, unless: None }
    }
    fn even(&self) -> bool {
        self.kind != Kind::Any
    }
    fn zero(&self) -> bool {
        self.kind == Kind::Known(0.0)
    }
    /// Whether it may replace masked scores.
    fn never(&self) -> bool {
        match self.kind {
            Kind::Any => false,
            Kind::Same => true,
            Kind::Known(x) => x <= NEVER,
        }
    }
}

/// The space of a group, and its local values.
pub(super) struct Inside<'a> {
    pub(super) graph: &'a Graph,
    pub(super) all: usize,
    pub(super) locals: &'a [Var],
}

/// The masks of a group, and the booleans that they consist of.
#[derive(Default)]
struct Masks {
    chosen: Vec<Mask>,
    values: Vec<Load>,
}

struct MaskAnalysis<'a> {
    inside: &'a Inside<'a>,
    columns: usize,
    /// What parts of the group write.
    made: &'a [Var],
    masks: Masks,
    /// The values that have only the visible columns.
    narrowed: Vec<(Var, Tail)>,
    guards: Vec<Var>,
    /// For each exponential assumed to be zero, whether a guard checks it.
    told: Vec<bool>,
}

impl Inside<'_> {
    /// The columns that masks remove from the parts of a group, if nothing depends on them.
    pub(super) fn masked(&self, parts: &mut [Kernel], along: &[Along], least: usize) -> Option<Masked> {
        let mut widths: SmallVec<[usize; 4]> = SmallVec::new();
        for part in parts.iter() {
            let Work::Region(region) = &part.work else { continue };
            let selects = |s: &Step| s.op == StepOp::Select && s.level == Level::Full;
            let columns = region.domain.points() / self.all;
            if columns >= least && !widths.contains(&columns) && region.steps.iter().any(selects) {
                widths.push(columns);
            }
        }
        widths.into_iter().find_map(|columns| self.of_width(parts, along, columns))
    }

    /// Those among so many columns.
    fn of_width(&self, parts: &mut [Kernel], along: &[Along], columns: usize) -> Option<Masked> {
        let made: Vec<Var> = parts.iter().flat_map(|p| p.writes.iter().copied()).collect();
        let mut masks = Masks::default();
        for _ in 0..PASSES {
            let before = masks.chosen.len();
            let mut analysis = MaskAnalysis {
                inside: self,
                columns,
                made: &made,
                masks,
                narrowed: Vec::new(),
                guards: Vec::new(),
                told: Vec::new(),
            };
            let done = analysis.parts(parts, along);
            let MaskAnalysis { narrowed, guards, told, .. } = analysis;
            masks = analysis.masks;
            if done.is_none() {
                // Steps before the selection by a mask may depend on the mask.
                if masks.chosen.len() == before {
                    return None;
                }
                continue;
            }
            if told.contains(&false) || narrowed.is_empty() {
                return None;
            }
            let locals: Vec<Var> = narrowed.into_iter().map(|n| n.0).collect();
            // Rows are gone through one by one.
            for part in parts {
                if let Work::Region(region) = &mut part.work
                    && region.loads.iter().any(|l| locals.contains(&l.value))
                {
                    region.domain = Domain::Rows { rows: self.all, cols: columns };
                }
            }
            let mask = masks.chosen.into_iter().reduce(|a, b| Mask::Or(Box::new(a), Box::new(b)))?;
            return Some(Masked { columns, mask, values: masks.values, locals, guards });
        }
        None
    }

    fn width(&self, v: Var) -> usize {
        self.graph.ty(v).shape.size() / self.all
    }
}

impl Masks {
    /// Whether a mask is false in masked columns.
    fn hides(&self, mask: &Mask) -> bool {
        self.chosen.contains(mask)
            || match mask {
                Mask::And(a, b) => self.hides(a) || self.hides(b),
                Mask::Or(a, b) => self.hides(a) && self.hides(b),
                Mask::Causal { .. } | Mask::Value { .. } => false,
            }
    }

    fn choose(&mut self, mask: Mask) {
        if !self.hides(&mask) {
            self.chosen.push(mask);
        }
    }

    /// A mask outside which slot `slot` of a region is not `shown`, of at most `terms` terms; `None` where it depends
    /// on values that the group computes.
    fn of(
        &mut self,
        region: &Region,
        made: &[Var],
        slot: Slot,
        shown: bool,
        terms: &mut usize,
    ) -> Option<Mask> {
        *terms = terms.checked_sub(1)?;
        let at = slot as usize;
        if let Some(load) = region.loads.get(at) {
            if load.dtype != DType::Bool || load.level != Level::Full || made.contains(&load.value) {
                return None;
            }
            let index = self.values.iter().position(|l| l == load).unwrap_or_else(|| {
                self.values.push(load.clone());
                self.values.len() - 1
            });
            return Some(Mask::Value { index, shown });
        }
        let step = region.steps.get(at.checked_sub(region.first_step())?)?;
        let mut of = |arg: usize, shown: bool| self.of(region, made, step.args[arg], shown, terms);
        match step.op {
            StepOp::Causal { offset, .. } => Some(Mask::Causal { offset, beyond: !shown }),
            StepOp::Copy => of(0, shown),
            StepOp::Not if step.dtype == DType::Bool => of(0, !shown),
            StepOp::Logic(op @ (Logic::And | Logic::Or)) if step.dtype == DType::Bool => {
                let (a, b) = (of(0, shown), of(1, shown));
                // Of two masks that are combined by and, one alone is a bound.
                match (a, b, (op == Logic::And) == shown) {
                    (Some(a), Some(b), true) => Some(Mask::And(Box::new(a), Box::new(b))),
                    (Some(a), Some(b), false) => Some(Mask::Or(Box::new(a), Box::new(b))),
                    (one, other, true) => one.or(other),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl MaskAnalysis<'_> {
    fn parts(&mut self, parts: &[Kernel], along: &[Along]) -> Option<()> {
        for (part, &along) in parts.iter().zip(along) {
            match &part.work {
                Work::Region(region) => self.region(region)?,
                Work::Product(product) => self.product(product, along)?,
                _ => return None,
            }
        }
        Some(())
    }

    fn tail(&self, v: Var) -> Option<&Tail> {
        self.narrowed.iter().find(|n| n.0 == v).map(|n| &n.1)
    }

    /// A mask outside which a slot is not `shown`.
    fn mask(&mut self, region: &Region, slot: Slot, shown: bool) -> Option<Mask> {
        self.masks.of(region, self.made, slot, shown, &mut { TERMS })
    }

    /// The known value of a boolean slot in masked columns.
    fn boolean(&mut self, region: &Region, slot: Slot) -> Option<bool> {
        [false, true].into_iter().find(|&is| {
            let mask = self.mask(region, slot, !is);
            mask.is_some_and(|mask| self.masks.hides(&mask))
        })
    }

    /// The kind of a value, with its own mask among those of the group.
    fn settled(&mut self, tail: &Tail) -> Tail {
        match &tail.unless {
            Some((mask, kind)) => {
                self.masks.choose(mask.clone());
                Tail::of(*kind)
            }
            None => tail.clone(),
        }
    }

    /// A product: its result has only the visible columns if its operands have all columns; else it must not depend on
    /// the masked columns of its operands.
    fn product(&mut self, p: &Product, along: Along) -> Option<()> {
        let tails: SmallVec<[(Var, Tail); 2]> =
            [p.lhs, p.rhs].into_iter().filter_map(|v| Some((v, self.tail(v)?.clone()))).collect();
        if tails.is_empty() {
            let local = self.inside.locals.contains(&p.out);
            if local && along == Along::Rows && p.size[1] == self.columns {
                self.narrowed.push((p.out, Tail::of(Kind::Any)));
            }
            return Some(());
        }
        for (v, tail) in tails {
            match tail.kind {
                Kind::Known(0.0) => {}
                Kind::Same => self.guard(v),
                _ => return None,
            }
        }
        Some(())
    }

    fn guard(&mut self, v: Var) {
        if !self.guards.contains(&v) {
            self.guards.push(v);
        }
    }

    fn region(&mut self, region: &Region) -> Option<()> {
        let cols = region.domain.points() / self.inside.all;
        if !region.loads.iter().any(|l| self.tail(l.value).is_some()) {
            return Some(());
        }
        if cols != self.columns {
            return None;
        }
        let mut tails: Vec<Tail> = Vec::new();
        for load in &region.loads {
            tails.push(self.load(load)?);
        }
        tails.extend(region.constants.iter().map(|c| Tail::of(Kind::Known(c.0))));
        for step in &region.steps {
            let tail = if step.level == Level::Row && !matches!(step.op, StepOp::Reduce(_)) {
                Tail::of(Kind::Same)
            } else {
                self.step(region, step, &tails)?
            };
            tails.push(tail);
        }
        for store in &region.stores {
            let (dtype, level) = region.slot(store.slot);
            let tail = tails[store.slot as usize].clone();
            if level == Level::Row {
                continue;
            }
            if !self.inside.locals.contains(&store.value) || !dtype.is_wide_float() {
                return None;
            }
            if let Some(id) = tail.share_of {
                self.told[id] = true;
                self.guard(store.value);
            }
            self.narrowed.push((store.value, tail));
        }
        Some(())
    }

    fn load(&self, load: &Load) -> Option<Tail> {
        if load.level == Level::Row {
            return Some(Tail::of(Kind::Same));
        }
        if let Some(tail) = self.tail(load.value) {
            return Some(tail.clone());
        }
        let view = load.view.collapsed();
        let repeated = view.dims.last().is_none_or(|d| d.1 == 0 && d.0.is_multiple_of(self.columns));
        // A full row beside rows with only the visible columns would be ambiguous.
        let local = self.inside.locals.contains(&load.value);
        if local && self.inside.width(load.value) != 1 {
            return None;
        }
        Some(Tail::of(if repeated || view.is_scalar() { Kind::Same } else { Kind::Any }))
    }

    fn step(&mut self, region: &Region, step: &Step, tails: &[Tail]) -> Option<Tail> {
        let of = |slot: Slot| &tails[slot as usize];
        match (step.op, &step.args[..]) {
            (StepOp::Copy, &[x]) => return Some(of(x).clone()),
            (StepOp::Select, &[mask, x, y]) if step.dtype != DType::Bool => {
                return Some(self.select(region, mask, (of(x), of(y)), step, of(mask)));
            }
            (StepOp::Cast, &[x]) if step.dtype == DType::Bool => {
                let kind = match self.boolean(region, x) {
                    Some(is) => Kind::Known(f64::from(u8::from(is))),
                    None => of(x).kind,
                };
                return Some(Tail::of(kind));
            }
            _ => {}
        }
        let args: SmallVec<[Tail; 3]> = step.args.iter().map(|&a| self.settled(of(a))).collect();
        let evenly = Tail::of(if args.iter().all(Tail::even) { Kind::Same } else { Kind::Any });
        let zero = Tail::of(Kind::Known(0.0));
        Some(match (&step.op, &args[..]) {
            (StepOp::Cast | StepOp::Round(_), [x]) if x.zero() => x.clone(),
            (StepOp::Unary(Unary::Exp), [x]) if x.even() => {
                self.told.push(false);
                Tail { share_of: Some(self.told.len() - 1), ..zero }
            }
            (StepOp::Binary(Binary::Div), [x, y]) if x.zero() && y.even() => x.clone(),
            (StepOp::Binary(Binary::Mul) | StepOp::LinearMul { .. }, [x, y]) if x.zero() || y.zero() => {
                // A multiple by a number other than zero is still a guard.
                let share = |x: &Tail, y: &Tail| match y.kind {
                    Kind::Known(factor) if factor != 0.0 => x.share_of,
                    _ => None,
                };
                Tail { share_of: share(x, y).or(share(y, x)), ..zero }
            }
            (StepOp::Binary(Binary::Add | Binary::Sub), [x, y]) if x.zero() && y.zero() => zero,
            (StepOp::Unary(Unary::Neg), [x]) if x.zero() => x.clone(),
            (StepOp::Expand, _) => Tail::of(Kind::Same),
            (StepOp::Iota { inner, .. }, _) if *inner == self.columns => Tail::of(Kind::Same),
            (StepOp::Iota { .. } | StepOp::Causal { .. }, _) => Tail::of(Kind::Any),
            (StepOp::Reduce(ReduceKind::Sum), [x]) if x.zero() => Tail::of(Kind::Same),
            (StepOp::Reduce(ReduceKind::Max | ReduceKind::Min), [x]) if x.even() => Tail::of(Kind::Same),
            (StepOp::Reduce(_), _) => return None,
            _ => evenly,
        })
    }

    /// A selection: the known value of the mask decides; else the mask may become one of the masks of the group.
    fn select(
        &mut self,
        region: &Region,
        mask: Slot,
        (x, y): (&Tail, &Tail),
        step: &Step,
        own: &Tail,
    ) -> Tail {
        match self.boolean(region, mask) {
            Some(true) => return x.clone(),
            Some(false) => return y.clone(),
            None => {}
        }
        if x.zero() && y.zero() {
            return Tail::of(Kind::Known(0.0));
        }
        for (seen, never, shown) in [(x, y, true), (y, x, false)] {
            if seen.even() || !never.never() || step.level != Level::Full {
                continue;
            }
            let Some(mask) = self.mask(region, mask, shown) else { continue };
            // Scores hidden by either of two masks in the same manner are hidden by their union.
            let mask = match &seen.unless {
                Some((before, kind)) if *kind == never.kind => {
                    Mask::And(Box::new(before.clone()), Box::new(mask))
                }
                _ => mask,
            };
            return Tail { unless: Some((mask, never.kind)), ..Tail::of(Kind::Any) };
        }
        let even = own.even() && x.even() && y.even();
        Tail::of(if even { Kind::Same } else { Kind::Any })
    }
}

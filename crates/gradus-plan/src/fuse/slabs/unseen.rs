//! What a mask leaves out: columns that have no effect on a row's results, so that a block need not compute them.
//!
//! Beyond the last column that a [mask](StepOp::Past) has, a value is of one of three kinds: it may be anything, it is
//! the same in all those columns (made from what rows have and constants), or it is known. The kinds go through regions
//! step by step. An exponential of something that is the same there is taken to be zero (that of a masked score, less
//! the row's maximum), and so are products with it: whoever runs the group looks at one such column to see that zeros
//! do come out, and at the results to see that everything is finite.

use gradus_core::ops::{Logic, ReduceKind};
use gradus_core::{Binary, DType, Graph, Unary, Var};
use smallvec::SmallVec;

use crate::kernel::{Along, Domain, Kernel, Level, Load, Product, Region, Step, StepOp, Unseen, Work};

/// What a value is beyond the last column in use.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Any,
    /// The same in every column of a row.
    Same,
    Known(f64),
}

/// A kind, and the exponential taken to be zero of which the value is a share: zero only where that is.
#[derive(Clone, Copy, Debug)]
struct Tail {
    kind: Kind,
    share_of: Option<usize>,
}

impl Tail {
    fn of(kind: Kind) -> Tail {
        Tail { kind, share_of: None }
    }
    fn even(self) -> bool {
        self.kind != Kind::Any
    }
    fn zero(self) -> bool {
        self.kind == Kind::Known(0.0)
    }
}

/// The space of a group, and the values that live in it only.
pub(super) struct Inside<'a> {
    pub(super) graph: &'a Graph,
    pub(super) all: usize,
    pub(super) rows: usize,
    pub(super) locals: &'a [Var],
}

struct Walk<'a> {
    inside: &'a Inside<'a>,
    columns: usize,
    /// The values that have only the columns in use.
    narrowed: Vec<(Var, Tail)>,
    witnesses: Vec<Var>,
    /// For each exponential taken to be zero, whether a witness tells.
    told: Vec<bool>,
}

impl Inside<'_> {
    /// What the masks inside the parts of a group leave out, if nothing depends on it.
    pub(super) fn unseen(&self, parts: &mut [Kernel], along: &[Along], least: usize) -> Option<Unseen> {
        let mut offset: Option<isize> = None;
        let mut columns = None;
        for part in parts.iter() {
            let Work::Region(region) = &part.work else { continue };
            for step in &region.steps {
                if let StepOp::Past { offset: own, .. } = step.op {
                    offset = Some(offset.map_or(own, |o| o.max(own)));
                    let cols = region.domain.points() / self.all;
                    if *columns.get_or_insert(cols) != cols {
                        return None;
                    }
                }
            }
        }
        let offset = usize::try_from(offset?).ok()?;
        let columns = columns?;
        // The last row uses all columns: whatever is odd in them is seen there.
        if columns < least || self.rows + offset < columns {
            return None;
        }
        let mut walk =
            Walk { inside: self, columns, narrowed: Vec::new(), witnesses: Vec::new(), told: Vec::new() };
        for (part, &along) in parts.iter().zip(along) {
            match &part.work {
                Work::Region(region) => walk.region(region)?,
                Work::Product(product) => walk.product(product, along)?,
                _ => return None,
            }
        }
        if walk.told.contains(&false) || walk.narrowed.is_empty() {
            return None;
        }
        let locals: Vec<Var> = walk.narrowed.iter().map(|n| n.0).collect();
        let witnesses = walk.witnesses;
        // Rows are gone through one by one.
        for part in parts {
            if let Work::Region(region) = &mut part.work
                && region.loads.iter().any(|l| locals.contains(&l.value))
            {
                region.domain = Domain::Rows { rows: self.all, cols: columns };
            }
        }
        Some(Unseen { columns, offset, locals, witnesses })
    }

    fn width(&self, v: Var) -> usize {
        self.graph.ty(v).shape.size() / self.all
    }
}

impl Walk<'_> {
    fn tail(&self, v: Var) -> Option<Tail> {
        self.narrowed.iter().find(|n| n.0 == v).map(|n| n.1)
    }

    /// A product: its result has only the columns in use if its operands are whole, else it must be able to do without.
    fn product(&mut self, p: &Product, along: Along) -> Option<()> {
        let tails: SmallVec<[(Var, Tail); 2]> =
            [p.lhs, p.rhs].into_iter().filter_map(|v| Some((v, self.tail(v)?))).collect();
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
                Kind::Same => self.witness(v),
                _ => return None,
            }
        }
        Some(())
    }

    fn witness(&mut self, v: Var) {
        if !self.witnesses.contains(&v) {
            self.witnesses.push(v);
        }
    }

    fn region(&mut self, region: &Region) -> Option<()> {
        let cols = region.domain.points() / self.inside.all;
        let masks = region.steps.iter().any(|s| matches!(s.op, StepOp::Past { .. }));
        if !masks && !region.loads.iter().any(|l| self.tail(l.value).is_some()) {
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
                self.step(step, &tails)?
            };
            tails.push(tail);
        }
        for store in &region.stores {
            let (dtype, level) = region.slot(store.slot);
            let tail = tails[store.slot as usize];
            if level == Level::Row {
                continue;
            }
            if !self.inside.locals.contains(&store.value) || !matches!(dtype, DType::F32 | DType::F64) {
                return None;
            }
            self.narrowed.push((store.value, tail));
            if let Some(id) = tail.share_of {
                self.told[id] = true;
                self.witness(store.value);
            }
        }
        Some(())
    }

    fn load(&self, load: &Load) -> Option<Tail> {
        if load.level == Level::Row {
            return Some(Tail::of(Kind::Same));
        }
        if let Some(tail) = self.tail(load.value) {
            return Some(tail);
        }
        let view = load.view.collapsed();
        let repeated = view.dims.last().is_none_or(|d| d.1 == 0 && d.0.is_multiple_of(self.columns));
        // A whole row beside rows of which only some columns exist: nobody knows which is meant.
        let local = self.inside.locals.contains(&load.value);
        if local && self.inside.width(load.value) != 1 {
            return None;
        }
        Some(Tail::of(if repeated || view.is_scalar() { Kind::Same } else { Kind::Any }))
    }

    fn step(&mut self, step: &Step, tails: &[Tail]) -> Option<Tail> {
        let args: SmallVec<[Tail; 3]> = step.args.iter().map(|&a| tails[a as usize]).collect();
        let all_even = args.iter().all(|t| t.even());
        let evenly = Tail::of(if all_even { Kind::Same } else { Kind::Any });
        let zero = Tail::of(Kind::Known(0.0));
        Some(match (&step.op, &args[..]) {
            (StepOp::Past { .. }, _) => zero,
            (StepOp::Copy, &[x]) => x,
            (StepOp::Cast | StepOp::Round(_), &[x]) => match x.kind {
                Kind::Known(b) if b == 0.0 || b == 1.0 => x,
                _ => evenly,
            },
            (StepOp::Not, &[x]) if step.dtype == DType::Bool => match x.kind {
                Kind::Known(b) => Tail::of(Kind::Known(1.0 - b)),
                _ => evenly,
            },
            (StepOp::Logic(op), &[x, y]) if step.dtype == DType::Bool => {
                let is = |b: f64| x.kind == Kind::Known(b) || y.kind == Kind::Known(b);
                match op {
                    Logic::And if is(0.0) => zero,
                    Logic::Or if is(1.0) => Tail::of(Kind::Known(1.0)),
                    _ => evenly,
                }
            }
            (StepOp::Select, &[mask, x, y]) => match mask.kind {
                Kind::Known(b) => {
                    if b != 0.0 {
                        x
                    } else {
                        y
                    }
                }
                _ => evenly,
            },
            (StepOp::Unary(Unary::Exp), &[x]) if x.even() => {
                self.told.push(false);
                Tail { kind: Kind::Known(0.0), share_of: Some(self.told.len() - 1) }
            }
            (StepOp::Binary(Binary::Div), &[x, y]) if x.zero() && y.even() => x,
            (StepOp::Binary(Binary::Mul) | StepOp::LinearMul { .. }, &[x, y]) if x.zero() || y.zero() => {
                // Times a number that is not zero it still tells.
                let share = |x: Tail, y: Tail| match y.kind {
                    Kind::Known(factor) if factor != 0.0 => x.share_of,
                    _ => None,
                };
                Tail { kind: Kind::Known(0.0), share_of: share(x, y).or(share(y, x)) }
            }
            (StepOp::Binary(Binary::Add | Binary::Sub), &[x, y]) if x.zero() && y.zero() => zero,
            (StepOp::Unary(Unary::Neg), &[x]) if x.zero() => x,
            (StepOp::Expand, _) => Tail::of(Kind::Same),
            (StepOp::Iota { inner, .. }, _) if *inner == self.columns => Tail::of(Kind::Same),
            (StepOp::Iota { .. }, _) => Tail::of(Kind::Any),
            (StepOp::Reduce(ReduceKind::Sum), &[x]) if x.zero() => Tail::of(Kind::Same),
            (StepOp::Reduce(ReduceKind::Max | ReduceKind::Min), &[x]) if x.even() => Tail::of(Kind::Same),
            (StepOp::Reduce(_), _) => return None,
            _ => evenly,
        })
    }
}

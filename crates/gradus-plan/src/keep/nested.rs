//! Forward mode inside reverse mode: local derivatives multiplied out.
//!
//! In the second half of a reverse-mode program cotangents run through linear element-wise equations: products with
//! known factors, sums, negations, selections. A maximal such region maps the cotangents that enter it to those that
//! leave it by a matrix of coefficients, one number a point. Run on a unit cotangent, the region itself gives the
//! coefficients (with its own conventions: a branch not selected contributes zero, whatever its derivative). They
//! depend on values of the first half alone, so they are computed there, and only they have to wait.
//!
//! The matrix replaces the region where it is smaller than what the region read.

use std::collections::HashMap;

use gradus_core::ops::{LinearMul, Op, Select};
use gradus_core::{Binary, Graph, Result, Site, Unary, Var};

use super::boundary::Halves;
use crate::packed::waiting_bytes;
use crate::passes::Copier;

/// A coefficient, as an expression over values of the first half.
#[derive(Clone, Copy)]
enum Coefficient {
    One,
    Times(Var, usize),
    Negative(usize),
    Where(Var, usize, bool),
    Sum(usize, usize),
}

/// What a cotangent is made of: entering cotangents with their coefficients.
type Terms = Vec<(Var, usize)>;

struct Region<'a> {
    graph: &'a Graph,
    halves: &'a Halves,
    pool: Vec<Coefficient>,
    terms: Vec<Option<Terms>>,
}

/// The most entering cotangents that one value is written as a combination of.
const MOST: usize = 4;

/// Replaces linear regions of the second half by their coefficients, where that keeps fewer bytes.
pub(super) fn preaccumulate(graph: &Graph, halves: &Halves) -> Result<Graph> {
    let mut region = Region { graph, halves, pool: Vec::new(), terms: vec![None; graph.types().len()] };
    let mut inner = vec![false; graph.eqns().len()];
    for i in halves.at..graph.eqns().len() {
        inner[i] = region.equation(i);
    }
    // Values that leave a region: read by something else, or returned.
    let mut leaves = vec![false; graph.types().len()];
    for (i, eqn) in graph.eqns().iter().enumerate().filter(|(i, _)| !inner[*i]) {
        let _ = i;
        for v in &eqn.inputs {
            leaves[v.index()] = true;
        }
    }
    for v in graph.outputs() {
        leaves[v.index()] = true;
    }
    let mut replaced: HashMap<usize, Terms> = HashMap::new();
    for i in (halves.at..graph.eqns().len()).filter(|&i| inner[i]) {
        let out = graph.eqns()[i].outputs[0];
        if leaves[out.index()]
            && let Some(terms) = &region.terms[out.index()]
            && region.is_smaller(out, terms)
        {
            replaced.insert(i, terms.clone());
        }
    }
    region.write(&replaced)
}

impl Region<'_> {
    fn coefficient(&mut self, c: Coefficient) -> usize {
        self.pool.push(c);
        self.pool.len() - 1
    }

    fn available(&self, v: Var) -> bool {
        self.halves.available[v.index()]
    }

    /// What `v` is made of: itself, if it enters here.
    fn of(&mut self, v: Var) -> Terms {
        match &self.terms[v.index()] {
            Some(terms) => terms.clone(),
            None => vec![(v, self.coefficient(Coefficient::One))],
        }
    }

    fn map(&mut self, v: Var, f: impl Fn(usize) -> Coefficient) -> Terms {
        let terms = self.of(v);
        terms.into_iter().map(|(root, c)| (root, self.coefficient(f(c)))).collect()
    }

    /// Whether equation `i` is linear and element-wise in cotangents; if so, notes what its result is made of.
    fn equation(&mut self, i: usize) -> bool {
        let eqn = &self.graph.eqns()[i];
        let out = eqn.outputs[0];
        if self.available(out) || !self.graph.ty(out).dtype.is_float() {
            return false;
        }
        let terms = match (&eqn.op, &eqn.inputs[..]) {
            (Op::LinearMul(_), &[a, b]) if self.available(a) != self.available(b) => {
                let (factor, ct) = if self.available(a) { (a, b) } else { (b, a) };
                self.map(ct, |c| Coefficient::Times(factor, c))
            }
            (Op::Unary(Unary::Neg), &[x]) => self.map(x, Coefficient::Negative),
            (Op::Binary(Binary::Add), &[x, y]) if !self.available(x) && !self.available(y) => {
                let (mut terms, others) = (self.of(x), self.of(y));
                for (root, c) in others {
                    match terms.iter().position(|t| t.0 == root) {
                        Some(k) => terms[k].1 = self.coefficient(Coefficient::Sum(terms[k].1, c)),
                        None => terms.push((root, c)),
                    }
                }
                terms
            }
            (Op::Select(_), &[mask, x, y]) if self.available(mask) => {
                let zero = |v: Var| {
                    let made = self.halves.made[v.index()].map(|i| &self.graph.eqns()[i].op);
                    matches!(made, Some(Op::Full(full)) if full.value == 0.0)
                };
                if zero(y) && !self.available(x) {
                    self.map(x, |c| Coefficient::Where(mask, c, true))
                } else if zero(x) && !self.available(y) {
                    self.map(y, |c| Coefficient::Where(mask, c, false))
                } else {
                    return false;
                }
            }
            _ => return false,
        };
        let fits = terms.len() <= MOST;
        if fits {
            self.terms[out.index()] = Some(terms);
        }
        fits
    }

    /// The values of the first half that coefficients read.
    fn reads(&self, c: usize, into: &mut Vec<Var>) {
        match self.pool[c] {
            Coefficient::One => {}
            Coefficient::Times(v, c) | Coefficient::Where(v, c, _) => {
                if !into.contains(&v) {
                    into.push(v);
                }
                self.reads(c, into);
            }
            Coefficient::Negative(c) => self.reads(c, into),
            Coefficient::Sum(a, b) => {
                self.reads(a, into);
                self.reads(b, into);
            }
        }
    }

    /// Bytes that a value keeps busy while it waits: a repeated value only those of what is repeated.
    fn waiting_bytes(&self, mut v: Var) -> usize {
        while let Some(i) = self.halves.made[v.index()] {
            let eqn = &self.graph.eqns()[i];
            match &eqn.op {
                Op::Broadcast(_) | Op::Reshape(_) | Op::Permute(_) => v = eqn.inputs[0],
                Op::Full(_) => return 0,
                _ => return waiting_bytes(self.graph.ty(v)),
            }
        }
        0
    }

    /// Whether the coefficients of `out` take fewer bytes than what they are made of.
    fn is_smaller(&self, out: Var, terms: &Terms) -> bool {
        let mut reads = Vec::new();
        let mut count = 0;
        for &(_, c) in terms {
            if !matches!(self.pool[c], Coefficient::One) {
                count += 1;
                self.reads(c, &mut reads);
            }
        }
        let before: usize = reads.iter().map(|&v| self.waiting_bytes(v)).sum();
        count > 0 && count * self.graph.ty(out).bytes() < before
    }

    /// The graph with replaced regions; coefficients are computed as soon as what they read is there.
    fn write(&self, replaced: &HashMap<usize, Terms>) -> Result<Graph> {
        let mut due: HashMap<usize, Vec<(usize, Var)>> = HashMap::new();
        for (&i, terms) in replaced {
            for &(_, c) in terms {
                let mut reads = Vec::new();
                self.reads(c, &mut reads);
                let ready = reads.iter().filter_map(|v| self.halves.made[v.index()]).max();
                if let Some(ready) = ready {
                    due.entry(ready).or_default().push((c, self.graph.eqns()[i].outputs[0]));
                }
            }
        }
        let mut copy = Copier::new(self.graph);
        let mut values: HashMap<usize, Var> = HashMap::new();
        for (i, eqn) in self.graph.eqns().iter().enumerate() {
            match replaced.get(&i) {
                Some(terms) => self.combine(&mut copy, &mut values, eqn.outputs[0], terms, &eqn.site)?,
                None => copy.copy(eqn)?,
            }
            let mut here = due.remove(&i).unwrap_or_default();
            here.sort_unstable_by_key(|d| d.0);
            for (c, out) in here {
                self.emit(&mut copy, &mut values, c, out, &eqn.site)?;
            }
        }
        Ok(copy.finish(self.graph.outputs()))
    }

    /// `out` as the sum of its coefficients times the cotangents that enter.
    fn combine(
        &self,
        copy: &mut Copier,
        values: &mut HashMap<usize, Var>,
        out: Var,
        terms: &Terms,
        site: &Site,
    ) -> Result<()> {
        let mut sum = None;
        let outer = copy.b.set_site(site.clone());
        for &(root, c) in terms {
            let root_now = copy.get(root);
            let term = match self.pool[c] {
                Coefficient::One => root_now,
                _ => {
                    let c = self.emit(copy, values, c, out, site)?;
                    copy.b.emit1(LinearMul, &[c, root_now])?
                }
            };
            sum = copy.b.add_tangents(sum, Some(term))?;
        }
        copy.b.set_site(outer);
        if let Some(sum) = sum {
            copy.set(out, sum);
        }
        Ok(())
    }

    /// A coefficient as a value, computed once.
    fn emit(
        &self,
        copy: &mut Copier,
        values: &mut HashMap<usize, Var>,
        c: usize,
        like: Var,
        site: &Site,
    ) -> Result<Var> {
        if let Some(&known) = values.get(&c) {
            return Ok(known);
        }
        let ty = self.graph.ty(like).clone();
        let outer = copy.b.set_site(site.clone());
        let value = match self.pool[c] {
            Coefficient::One => copy.b.full(&ty, 1.0),
            Coefficient::Times(v, inner) => {
                let factor = copy.get(v);
                if matches!(self.pool[inner], Coefficient::One) {
                    factor
                } else {
                    let inner = self.emit(copy, values, inner, like, site)?;
                    copy.b.emit1(LinearMul, &[factor, inner])?
                }
            }
            Coefficient::Negative(inner) => {
                let inner = self.emit(copy, values, inner, like, site)?;
                copy.b.emit1(Unary::Neg, &[inner])?
            }
            Coefficient::Where(mask, inner, kept) => {
                let inner = self.emit(copy, values, inner, like, site)?;
                let zero = copy.b.full(&ty, 0.0);
                let mask = copy.get(mask);
                copy.b.emit1(Select, &if kept { [mask, inner, zero] } else { [mask, zero, inner] })?
            }
            Coefficient::Sum(x, y) => {
                let (x, y) =
                    (self.emit(copy, values, x, like, site)?, self.emit(copy, values, y, like, site)?);
                copy.b.emit1(Binary::Add, &[x, y])?
            }
        };
        copy.b.set_site(outer);
        values.insert(c, value);
        Ok(value)
    }
}

//! Forward mode inside reverse mode: local derivatives multiplied out.
//!
//! In the backward pass of a reverse-mode program cotangents run through linear element-wise equations: products with
//! known factors, sums, selections. A maximal such region maps the cotangents that enter it to those that leave it by a
//! matrix of coefficients, one number a point. Run on a unit cotangent, the region itself gives the coefficients (with
//! its own conventions: a branch not selected contributes zero, whatever its derivative). They depend on values of the
//! forward pass alone, so they are computed there, and only they are kept.
//!
//! The matrix replaces the region where it is smaller than what the region read.

use gradus_core::ops::{LinearMul, Op, Select};
use gradus_core::quick::Map;
use gradus_core::{Binary, DEAD, DType, Graph, Origin, Result, Var};

use super::boundary::Boundary;
use crate::packed::waiting_bytes;
use crate::passes::Copier;
use crate::work;

/// A coefficient, as an expression over values of the forward pass.
#[derive(Clone, Copy)]
enum Coefficient {
    One,
    /// The factor is a tangent, too, if `both`.
    Times {
        factor: Var,
        both: bool,
        of: usize,
    },
    Where(Var, usize, bool),
    Sum(usize, usize),
}

/// A cotangent as a linear combination: entering cotangents with their coefficients.
type Terms = Vec<(Var, usize)>;

struct Region<'a> {
    graph: &'a Graph,
    boundary: &'a Boundary,
    pool: Vec<Coefficient>,
    /// For each coefficient, the last equation of the forward pass that computes one of its operands.
    ready: Vec<Option<usize>>,
    /// For each coefficient, whether it is a product of residuals, which is a number and never dead.
    number: Vec<bool>,
    terms: Vec<Option<Terms>>,
}

/// The most entering cotangents that one value is written as a combination of.
const MOST: usize = 4;
/// The most coefficients that are examined to see whether a region is worth replacing: if they read too little, the
/// region stays as it is.
const MOST_EXAMINED: usize = 4096;

/// The marks of a search of a region, reused from one search to the next.
struct Seen {
    coefficients: Vec<u32>,
    values: Vec<u32>,
    search: u32,
    /// For each value, the bytes of memory that keeping it takes.
    waiting: Vec<usize>,
}

/// The bytes of memory that keeping each value takes: for a repeated value those of its operand, for an argument none.
fn waiting(graph: &Graph) -> Vec<usize> {
    let mut waiting = vec![0; graph.types().len()];
    for eqn in graph.eqns() {
        for v in &eqn.outputs {
            waiting[v.index()] = match &eqn.op {
                Op::Broadcast(_) | Op::Reshape(_) | Op::Permute(_) => waiting[eqn.inputs[0].index()],
                Op::Full(_) => 0,
                _ => waiting_bytes(graph.ty(*v)),
            };
        }
    }
    waiting
}

/// Replaces linear regions of the backward pass by their coefficients where that keeps fewer bytes; `None` if it never
/// does.
pub(super) fn preaccumulate(graph: &Graph, boundary: &Boundary) -> Result<Option<Graph>> {
    let terms = vec![None; graph.types().len()];
    let mut region =
        Region { graph, boundary, pool: Vec::new(), ready: Vec::new(), number: Vec::new(), terms };
    let mut inner = vec![false; graph.eqns().len()];
    for i in boundary.at..graph.eqns().len() {
        inner[i] = region.equation(i);
    }
    // Values that leave a region: read by something else, or returned.
    let mut leaves = vec![false; graph.types().len()];
    for (eqn, _) in graph.eqns().iter().zip(&inner).filter(|(_, inner)| !**inner) {
        for v in &eqn.inputs {
            leaves[v.index()] = true;
        }
    }
    for v in graph.outputs() {
        leaves[v.index()] = true;
    }
    let mut replaced: Map<usize, Terms> = Map::default();
    let mut seen = Seen {
        coefficients: vec![0; region.pool.len()],
        values: vec![0; graph.types().len()],
        search: 0,
        waiting: waiting(graph),
    };
    for i in (boundary.at..graph.eqns().len()).filter(|&i| inner[i]) {
        let out = graph.eqns()[i].outputs[0];
        if leaves[out.index()]
            && let Some(terms) = &region.terms[out.index()]
            && region.is_smaller(out, terms, &mut seen)
        {
            replaced.insert(i, terms.clone());
        }
    }
    if replaced.is_empty() {
        return Ok(None);
    }
    region.write(&replaced).map(Some)
}

impl Region<'_> {
    fn coefficient(&mut self, c: Coefficient) -> usize {
        let made = |v: Var| self.boundary.made[v.index()];
        self.ready.push(match c {
            Coefficient::One => None,
            Coefficient::Times { factor: v, of: c, .. } | Coefficient::Where(v, c, _) => {
                made(v).max(self.ready[c])
            }
            Coefficient::Sum(a, b) => self.ready[a].max(self.ready[b]),
        });
        self.number.push(match c {
            Coefficient::One => true,
            Coefficient::Times { both, of, .. } => !both && self.number[of],
            Coefficient::Where(..) => false,
            Coefficient::Sum(a, b) => self.number[a] && self.number[b],
        });
        self.pool.push(c);
        self.pool.len() - 1
    }

    fn available(&self, v: Var) -> bool {
        self.boundary.available[v.index()]
    }

    /// The linear combination of `v`: itself, if it enters here.
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

    /// Whether equation `i` is linear and element-wise in cotangents; if so, records the combination of its result.
    fn equation(&mut self, i: usize) -> bool {
        let eqn = &self.graph.eqns()[i];
        let out = eqn.outputs[0];
        let dtype = self.graph.ty(out).dtype;
        // The product of two local derivatives may leave the range of `f16` where the product of each with a cotangent
        // does not.
        if self.available(out) || !dtype.is_float() || dtype == DType::F16 {
            return false;
        }
        let terms = match (&eqn.op, &eqn.inputs[..]) {
            (Op::LinearMul(p), &[a, b]) if self.available(a) != self.available(b) => {
                let (factor, ct) = if self.available(a) { (a, b) } else { (b, a) };
                let both = p.both;
                self.map(ct, |c| Coefficient::Times { factor, both, of: c })
            }
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
                    let made = self.boundary.made[v.index()].map(|i| &self.graph.eqns()[i].op);
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

    /// Whether the coefficients of `out` take fewer bytes than their operands.
    fn is_smaller(&self, out: Var, terms: &Terms, seen: &mut Seen) -> bool {
        seen.search += 1;
        let mut pending: Vec<usize> = terms.iter().map(|t| t.1).collect();
        pending.retain(|&c| !matches!(self.pool[c], Coefficient::One));
        let after = pending.len() * self.graph.ty(out).bytes();
        let (mut before, mut examined) = (0, 0);
        while let Some(c) = pending.pop() {
            if std::mem::replace(&mut seen.coefficients[c], seen.search) == seen.search {
                continue;
            }
            examined += 1;
            work::count(1);
            match self.pool[c] {
                Coefficient::One => {}
                Coefficient::Times { factor: v, of: c, .. } | Coefficient::Where(v, c, _) => {
                    if std::mem::replace(&mut seen.values[v.index()], seen.search) != seen.search {
                        before += seen.waiting[v.index()];
                    }
                    pending.push(c);
                }
                Coefficient::Sum(a, b) => pending.extend([a, b]),
            }
            if before > after {
                break;
            }
            if examined == MOST_EXAMINED {
                work::simpler("long regions of little worth keep what their rules read");
                break;
            }
        }
        before > after
    }

    /// The graph with replaced regions; each coefficient is computed right after its operands.
    fn write(&self, replaced: &Map<usize, Terms>) -> Result<Graph> {
        let mut due: Map<usize, Vec<(usize, Var)>> = Map::default();
        for (&i, terms) in replaced {
            for &(_, c) in terms {
                if let Some(ready) = self.ready[c] {
                    due.entry(ready).or_default().push((c, self.graph.eqns()[i].outputs[0]));
                }
            }
        }
        let mut copy = Copier::new(self.graph);
        let mut values: Map<usize, Var> = Map::default();
        for (i, eqn) in self.graph.eqns().iter().enumerate() {
            match replaced.get(&i) {
                Some(terms) => self.combine(&mut copy, &mut values, eqn.outputs[0], terms, &eqn.origin())?,
                None => copy.copy(eqn)?,
            }
            let mut here = due.remove(&i).unwrap_or_default();
            here.sort_unstable_by_key(|d| d.0);
            for (c, out) in here {
                self.emit(&mut copy, &mut values, c, out, &eqn.origin())?;
            }
        }
        Ok(copy.finish(self.graph.outputs()))
    }

    /// `out` as the sum of its coefficients times the cotangents that enter.
    fn combine(
        &self,
        copy: &mut Copier,
        values: &mut Map<usize, Var>,
        out: Var,
        terms: &Terms,
        origin: &Origin,
    ) -> Result<()> {
        let mut sum = None;
        let outer = copy.b.set_origin(origin.clone());
        for &(root, c) in terms {
            let root_now = copy.get(root);
            let term = match self.pool[c] {
                Coefficient::One => root_now,
                _ => {
                    let product = LinearMul { both: !self.number[c] };
                    let c = self.emit(copy, values, c, out, origin)?;
                    copy.b.emit1(product, &[c, root_now])?
                }
            };
            sum = copy.b.add_tangents(sum, Some(term))?;
        }
        copy.b.set_origin(outer);
        if let Some(sum) = sum {
            copy.set(out, sum);
        }
        Ok(())
    }

    /// A coefficient as a value, computed once, after its operands.
    fn emit(
        &self,
        copy: &mut Copier,
        values: &mut Map<usize, Var>,
        c: usize,
        like: Var,
        origin: &Origin,
    ) -> Result<Var> {
        let ty = self.graph.ty(like).clone();
        let outer = copy.b.set_origin(origin.clone());
        let mut pending = vec![c];
        while let Some(&c) = pending.last() {
            work::count(1);
            if values.contains_key(&c) {
                pending.pop();
                continue;
            }
            // The first operand on top.
            let waits = pending.len();
            pending.extend(self.operands(c).into_iter().rev().flatten().filter(|c| !values.contains_key(c)));
            if pending.len() > waits {
                continue;
            }
            let value = match self.pool[c] {
                Coefficient::One => copy.b.full(&ty, 1.0),
                Coefficient::Times { factor, both, of } => {
                    let factor = copy.get(factor);
                    match self.pool[of] {
                        Coefficient::One => factor,
                        _ if both => {
                            let inner = self.tangent(copy, values, of)?;
                            copy.b.emit1(LinearMul::BOTH, &[factor, inner])?
                        }
                        _ if self.number[of] => copy.b.emit1(Binary::Mul, &[factor, values[&of]])?,
                        _ => copy.b.emit1(LinearMul::RESIDUAL, &[factor, values[&of]])?,
                    }
                }
                Coefficient::Where(mask, inner, kept) => {
                    let dead = copy.b.full(&ty, DEAD);
                    let (mask, inner) = (copy.get(mask), self.tangent(copy, values, inner)?);
                    copy.b.emit1(Select, &if kept { [mask, inner, dead] } else { [mask, dead, inner] })?
                }
                Coefficient::Sum(x, y) if self.number[c] => {
                    copy.b.emit1(Binary::Add, &[values[&x], values[&y]])?
                }
                Coefficient::Sum(x, y) => {
                    let (x, y) = (self.tangent(copy, values, x)?, self.tangent(copy, values, y)?);
                    copy.b.emit1(Binary::Add, &[x, y])?
                }
            };
            values.insert(c, value);
        }
        copy.b.set_origin(outer);
        Ok(values[&c])
    }

    /// A coefficient that may be dead: a value of -0 would be taken for a dead one.
    fn tangent(&self, copy: &mut Copier, values: &Map<usize, Var>, c: usize) -> Result<Var> {
        let value = values[&c];
        if !self.number[c] || matches!(self.pool[c], Coefficient::One) {
            return Ok(value);
        }
        let zero = copy.b.zeros_like(value);
        copy.b.emit1(Binary::Add, &[value, zero])
    }

    /// The coefficients that a coefficient is computed from.
    fn operands(&self, c: usize) -> [Option<usize>; 2] {
        match self.pool[c] {
            Coefficient::One => [None, None],
            // Times one is the factor itself.
            Coefficient::Times { of, .. } if matches!(self.pool[of], Coefficient::One) => [None, None],
            Coefficient::Times { of: c, .. } | Coefficient::Where(_, c, _) => [Some(c), None],
            Coefficient::Sum(a, b) => [Some(a), Some(b)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes;
    use gradus_core::ops::{Axes, Reduce, ReduceKind};
    use gradus_core::transforms::value_and_grad;
    use gradus_core::{Builder, DType, Type, Unary};

    /// The program with its local derivatives multiplied out, of a sum of `y` after so many steps.
    fn multiplied_out(steps: usize, step: fn(&mut Builder, Var) -> Var) -> (Graph, Graph) {
        let mut b = Builder::new();
        let mut y = b.input(Type::new(DType::F32, [3]));
        for _ in 0..steps {
            y = step(&mut b, y);
        }
        let axes: Axes = [0].into_iter().collect();
        let sum = b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[y]).unwrap();
        let graph = passes::simplify(&value_and_grad(&b.finish(vec![sum]), &[true]).unwrap()).unwrap();
        let boundary = Boundary::find(&graph).unwrap();
        let after = preaccumulate(&graph, &boundary).unwrap().unwrap_or_else(|| graph.clone());
        (graph, after)
    }

    #[test]
    fn shared_coefficients_are_computed_once() {
        let step = |b: &mut Builder, y: Var| {
            let sin = b.emit1(Unary::Sin, &[y]).unwrap();
            b.emit1(Binary::Add, &[y, sin]).unwrap()
        };
        let (before, after) = multiplied_out(200, step);
        assert!(after.eqns().len() <= before.eqns().len() + 400, "{} equations", after.eqns().len());
    }

    #[test]
    fn a_long_region_takes_no_deep_stack() {
        let long = || multiplied_out(20_000, |b, y| b.emit1(Unary::Sin, &[y]).unwrap()).1.eqns().len();
        let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(long).unwrap();
        assert!(thread.join().unwrap() >= 60_000);
    }
}

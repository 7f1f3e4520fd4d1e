//! Whether results agree: to the bit, or within what rounding makes of them.
//!
//! What rounding may do is measured, not guessed: the recorded program is interpreted again and again with every
//! intermediate value disturbed by a few units in the last place. A plan may compute a value once more where it is read, and
//! the same value by other operations, so that two readers of it meet different roundings: two samples are taken side by side,
//! and each operand is read from one or the other. Where a difference of two such readings is what remains, as where the
//! exact result is 0, this is all that a result may be off; no error of the value itself shows it.
//!
//! An element may differ by a multiple of the distance of these samples from what the undisturbed interpreter computes; where
//! a sample takes another branch or another order, that shows in the distance.

use gradus::{Array, DType, Result};
use gradus_core::ops::{Reduce, ReduceKind};
use gradus_core::table::Rng;
use gradus_core::{Binary, Eqn, Error, Graph, Op, Unary, Var, interpret};

/// The first element whose bits differ.
fn first_difference(a: &Array, b: &Array) -> Option<usize> {
    if a.shape() != b.shape() || a.dtype() != b.dtype() {
        return Some(0);
    }
    if a.dtype() == DType::I64 {
        return a.to_i64().iter().zip(b.to_i64()).position(|(a, b)| *a != b);
    }
    let differs = |(a, b): (&f64, f64)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan());
    a.to_f64().iter().zip(b.to_f64()).position(differs)
}

/// What differs to the bit, for people.
pub(crate) fn bits(a: &[Array], b: &[Array]) -> Option<String> {
    if a.len() != b.len() {
        return Some(format!("{} results and {}", a.len(), b.len()));
    }
    a.iter().zip(b).enumerate().find_map(|(k, (a, b))| {
        let i = first_difference(a, b)?;
        Some(describe(k, i, a, b))
    })
}

fn describe(k: usize, i: usize, a: &Array, b: &Array) -> String {
    if a.shape() != b.shape() || a.dtype() != b.dtype() {
        return format!("result {k}: {}{} and {}{}", a.dtype(), a.shape(), b.dtype(), b.shape());
    }
    format!("result {k}, element {i}: {:?} and {:?}", a.to_f64()[i], b.to_f64()[i])
}

/// Units in the last place that are no difference.
const NEAR: f64 = 4.0;
/// How often the distance of the samples two results may be apart.
const SPREADS: f64 = 24.0;
/// Numbers of samples: more are taken only where results differ.
pub(crate) const SAMPLES: [usize; 4] = [4, 12, 64, 1024];

/// The unit in the last place of 1.
fn epsilon(dtype: DType) -> f64 {
    dtype.epsilon().unwrap_or(0.0)
}

/// A recorded program with samples of what rounding does to its results.
pub(crate) struct Rounding<'a> {
    graph: &'a Graph,
    args: &'a [Array],
    rng: Rng,
    /// The results without a disturbance.
    exact: Vec<Array>,
    samples: Vec<Vec<Array>>,
    /// The most samples.
    most: usize,
}

impl<'a> Rounding<'a> {
    pub(crate) fn new(graph: &'a Graph, args: &'a [Array], most: usize) -> Result<Self> {
        let exact = interpret(graph, args)?;
        Ok(Rounding { graph, args, rng: Rng::new(7), exact, samples: Vec::new(), most })
    }

    /// What results disagree about with those of the interpreter, if they do.
    pub(crate) fn differs(&mut self, a: &[Array]) -> Result<Option<String>> {
        let exact = self.exact.clone();
        self.disagree(a, &exact)
    }

    /// What two lists of results disagree about, if they do.
    pub(crate) fn disagree(&mut self, a: &[Array], b: &[Array]) -> Result<Option<String>> {
        self.apart(a, b, 0)
    }

    /// What the halves of the results of a law disagree about.
    pub(crate) fn broken(&mut self, results: &[Array]) -> Result<Option<String>> {
        let (a, b) = results.split_at(results.len() / 2);
        self.apart(a, b, a.len())
    }

    /// What results and those that stand so much `further` on disagree about.
    fn apart(&mut self, a: &[Array], b: &[Array], further: usize) -> Result<Option<String>> {
        if a.len() != b.len() {
            return Ok(Some(format!("{} results and {}", a.len(), b.len())));
        }
        for (k, (x, y)) in a.iter().zip(b).enumerate() {
            if x.shape() != y.shape() || x.dtype() != y.dtype() {
                return Ok(Some(describe(k, 0, x, y)));
            }
            let (u, v) = (x.to_f64(), y.to_f64());
            let mut open: Vec<usize> = (0..u.len()).filter(|&i| !close(u[i], v[i], x.dtype())).collect();
            let most = self.most;
            for count in SAMPLES.into_iter().filter(|&n| n <= most) {
                if open.is_empty() {
                    break;
                }
                self.sample(count)?;
                let spread = [k, further + k].map(|k| self.spread(k));
                open.retain(|&i| {
                    let allowed = SPREADS * nan_max(spread[0][i], spread[1][i]);
                    let apart = (u[i] - v[i]).abs();
                    // Not a number in a sample, or in both, tells nothing.
                    !(allowed.is_nan() || allowed.is_infinite() || apart <= allowed)
                });
            }
            if let Some(&i) = open.first() {
                return Ok(Some(format!(
                    "{} ({} of {} elements)",
                    describe(k, i, x, y),
                    open.len(),
                    u.len()
                )));
            }
        }
        Ok(None)
    }

    /// How far the samples are from the undisturbed result `k`, an element each.
    fn spread(&self, k: usize) -> Vec<f64> {
        let exact = self.exact[k].to_f64();
        let mut most = vec![0.0; exact.len()];
        for sample in &self.samples {
            let apart = sample[k].to_f64();
            let apart = apart.iter().zip(&exact).map(|(s, e)| if s == e { 0.0 } else { (s - e).abs() });
            most.iter_mut().zip(apart).for_each(|(most, apart)| *most = nan_max(*most, apart));
        }
        most
    }

    fn sample(&mut self, count: usize) -> Result<()> {
        while self.samples.len() < count {
            let args = [self.args, self.args].map(<[Array]>::to_vec);
            self.samples.extend(disturbed(self.graph, args, &mut self.rng)?);
        }
        Ok(())
    }
}

fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn close(a: f64, b: f64, dtype: DType) -> bool {
    if a == b || a.is_nan() && b.is_nan() {
        return true;
    }
    let most = a.abs().max(b.abs());
    most.is_finite() && (a - b).abs() <= NEAR * (epsilon(dtype) * most).max(least(dtype))
}

/// The smallest number, of which subnormal ones are multiples; 0 of what is not a float.
fn least(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::from_bits(1),
        DType::F32 => f64::from(f32::from_bits(1)),
        DType::F16 => 2f64.powi(-24),
        DType::Bf16 => 2f64.powi(-133),
        DType::I32 | DType::I64 | DType::U8 | DType::Bool => 0.0,
    }
}

/// Interprets a program twice, disturbing every operand and result; operands are read from one of the two by chance.
fn disturbed(graph: &Graph, args: [Vec<Array>; 2], rng: &mut Rng) -> Result<[Vec<Array>; 2]> {
    let mut values: [Vec<Option<Array>>; 2] = [(); 2].map(|()| vec![None; graph.types().len()]);
    for (values, args) in values.iter_mut().zip(args) {
        for (v, a) in graph.inputs().iter().zip(args) {
            values[v.index()] = Some(a);
        }
    }
    for eqn in graph.eqns() {
        let ulps = 2.0 + work(graph, eqn).sqrt();
        let exact = is_exact(&eqn.op);
        // What the body of a loop rounds, its results show.
        let inside = eqn.op.graphs().iter().map(|g| coarsest(g)).fold(0.0, f64::max);
        let mut operands = |own: usize| -> Vec<Array> {
            let mut operand = |v: &Var| {
                let from = if exact { own } else { rng.below(2) };
                let value = values[from][v.index()].as_ref().expect("operands come first");
                if exact { value.clone() } else { nudged(value, ulps, 0.0, rng) }
            };
            eqn.inputs.iter().map(&mut operand).collect()
        };
        let operands = [operands(0), operands(1)];
        let holds = |of: usize| operands[of][0].elements::<bool>().is_some_and(|v| v[0]);
        let results = match &eqn.op {
            Op::Call(call) => disturbed(&call.body, operands, rng)?,
            Op::Cond(cond) if holds(0) == holds(1) => {
                let branch = if holds(0) { &cond.on_true } else { &cond.on_false };
                disturbed(branch, operands.map(|all| all[1..].to_vec()), rng)?
            }
            op => {
                let mut by = |operands: &[Array]| {
                    let mut run = |graph: &Graph, args: &[Array]| {
                        let results = disturbed(graph, [args.to_vec(), args.to_vec()], rng);
                        results.map(|[first, _]| first).map_err(|e| e.kind().clone())
                    };
                    let operands: Vec<&Array> = operands.iter().collect();
                    let results = op.evaluate_by(&operands, &mut run);
                    results.map(Vec::from_iter).map_err(|kind| Error::new(kind, eqn.site.clone()))
                };
                [by(&operands[0])?, by(&operands[1])?]
            }
        };
        for (values, results) in values.iter_mut().zip(results) {
            for (v, out) in eqn.outputs.iter().zip(results) {
                let out = match &eqn.op {
                    Op::Conv(conv) if out.dtype() == DType::F32 => {
                        let numbers = conv.numbers || conv.tangents == [false; 2];
                        nudged(&mixed(&out, numbers, ulps, rng), ulps, inside, rng)
                    }
                    Op::Cast(_) => nudged(&out, ulps, inside, rng),
                    _ if exact => out,
                    _ => nudged(&out, ulps, inside, rng),
                };
                values[v.index()] = Some(out);
            }
        }
    }
    let result = |values: &[Option<Array>], v: &Var| values[v.index()].clone().expect("results are defined");
    Ok(values.each_ref().map(|values| graph.outputs().iter().map(|v| result(values, v)).collect()))
}

/// Operations a result: sums of many terms round often.
fn work(graph: &Graph, eqn: &Eqn) -> f64 {
    let types = |vars: &[Var]| vars.iter().map(|&v| graph.ty(v).clone()).collect::<Vec<_>>();
    let (inputs, outputs) = (types(&eqn.inputs), types(&eqn.outputs));
    let results: usize = outputs.iter().map(|t| t.shape.size()).sum();
    let flops = eqn.op.row().cost(&inputs, &outputs).flops / results.max(1) as f64;
    if flops.is_finite() { flops.clamp(1.0, 1e6) } else { 1e3 }
}

/// Whether nothing is rounded: elements are moved, chosen or compared. What is read by several of these has to be the same
/// for all, or no element would equal its maximum.
fn is_exact(op: &Op) -> bool {
    matches!(
        op,
        Op::Unary(Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round)
            | Op::Binary(Binary::Max | Binary::Min)
            | Op::Reduce(Reduce { kind: ReduceKind::Max | ReduceKind::Min, .. })
            | Op::Clamp(_)
            | Op::Compare(_)
            | Op::ArgReduce(_)
            | Op::Sort(_)
            | Op::MaxPool(_)
            | Op::Full(_)
            | Op::Iota(_)
            | Op::RandomBits(_)
            | Op::FoldIn(_)
            | Op::Select(_)
            | Op::StopGradient(_)
            | Op::Reshape(_)
            | Op::Permute(_)
            | Op::Broadcast(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Concat(_)
            | Op::Reverse(_)
            | Op::Gather(_)
    )
}

/// The unit in the last place of 1 in the shortest float of a graph.
fn coarsest(graph: &Graph) -> f64 {
    let own = graph.types().iter().map(|t| epsilon(t.dtype));
    let inside = graph.eqns().iter().flat_map(|e| e.op.graphs()).map(|g| coarsest(g));
    own.chain(inside).fold(0.0, f64::max)
}

/// The result of a convolution with a random error of up to `ulps` units in the last place of the largest element of its
/// plane: Winograd's forms add and subtract what is summed up for neighbours, among it terms that an element beside padding has
/// no part in. Zeros that may be dead stay zeros; where all are `numbers` they are disturbed, too.
fn mixed(x: &Array, numbers: bool, ulps: f64, rng: &mut Rng) -> Array {
    let plane = x.shape()[2..].iter().product::<usize>().max(1);
    let mut v = x.to_f64();
    for plane in v.chunks_mut(plane) {
        let unit = ulps * epsilon(x.dtype()) * plane.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        let finite = unit.is_finite();
        plane
            .iter_mut()
            .filter(|x| finite && (numbers || **x != 0.0))
            .for_each(|x| *x += unit * rng.signed());
    }
    Array::new(x.shape().clone(), v).expect("as many elements").cast(x.dtype())
}

/// The value with a random error of up to `ulps` units in the last place, of its own dtype or of the coarser one `before` in which a
/// body rounded it.
fn nudged(x: &Array, ulps: f64, before: f64, rng: &mut Rng) -> Array {
    let own = epsilon(x.dtype());
    // Terms of 16 bits are added up in `f32`: whatever the number of operations, the result is rounded once.
    let times = if x.dtype().is_rounded() { 1.0 } else { ulps };
    let e = own.max(if own == 0.0 { 0.0 } else { before }) * times;
    if e == 0.0 {
        return x.clone();
    }
    // A subnormal number is rounded to a multiple of the smallest.
    let least = least(x.dtype());
    let mut nudge = |x: f64| match x {
        0.0 => x,
        _ => x * (1.0 + e * rng.signed()) + least * (times * rng.signed()).round(),
    };
    let v: Vec<f64> = x.to_f64().into_iter().map(&mut nudge).collect();
    Array::new(x.shape().clone(), v).expect("as many elements").cast(x.dtype())
}

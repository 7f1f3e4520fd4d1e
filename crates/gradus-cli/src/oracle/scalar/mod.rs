//! The oracle of scalars: every operation and library function at its special points, through every composition of modes.
//!
//! At each point the gradient and the Hessian come from a dual number in a dual number, dual numbers on a tape, a tape in a
//! dual number, a tape on a tape, power series with dual numbers and tapes around and inside them, lanes and all drivers. All
//! have to be the same, NaN and infinities included, and the Hessian symmetric. What the values are where there is a
//! derivative is checked against high precision (the tables of `gradus-num`), and where there is none against `docs/kinks.md`, here.

mod functions;

use functions::{Function, all};
use gradus::num::batch::{Batch, Block, PointFn};
use gradus::num::{
    Dual, Lanes, Mode, Real, Real64, ScalarDriver, ScalarFn, Tape, Taylor, Var, VectorDriver, VectorFn,
    forward, gradient, hessian, hvp, reverse,
};

type D1 = Dual<f64, 1>;

/// A gradient, or a Hessian by rows.
type Numbers = Vec<f64>;

fn unit(n: usize, i: usize) -> impl Fn(usize) -> f64 {
    assert!(i < n);
    move |j| if i == j { 1.0 } else { 0.0 }
}

/// Fills an `n` by `n` matrix entry by entry, so that nothing is mirrored.
fn matrix(n: usize, mut entry: impl FnMut(usize, usize) -> f64) -> Numbers {
    (0..n * n).map(|at| entry(at / n, at % n)).collect()
}

fn rows(n: usize, row: impl FnMut(usize) -> Numbers) -> Numbers {
    (0..n).flat_map(row).collect()
}

fn forward_forward(f: &Function, x: &[f64]) -> Numbers {
    matrix(x.len(), |i, j| {
        let (inner, outer) = (unit(x.len(), i), unit(x.len(), j));
        let lift = |k: usize| Dual::new(D1::new(x[k], [inner(k)]), [D1::from_f64(outer(k))]);
        let y = f.call(&(0..x.len()).map(lift).collect::<Vec<_>>());
        y.tangent[0].tangent[0]
    })
}

fn forward_reverse(f: &Function, x: &[f64]) -> Numbers {
    rows(x.len(), |i| {
        let seed = unit(x.len(), i);
        let tape = Tape::new();
        let inputs: Vec<_> = (0..x.len()).map(|k| tape.var(D1::new(x[k], [seed(k)]))).collect();
        let adjoints = tape.pullback(f.call(&inputs));
        inputs.iter().map(|&v| adjoints.wrt(v).tangent[0]).collect()
    })
}

fn reverse_forward(f: &Function, x: &[f64]) -> Numbers {
    rows(x.len(), |i| {
        let seed = unit(x.len(), i);
        let tape = Tape::new();
        let inputs = tape.vars(x);
        let lift = |k: usize| Dual::<Var<'_>, 1>::new(inputs[k], [Var::from_f64(seed(k))]);
        let y = f.call(&(0..x.len()).map(lift).collect::<Vec<_>>());
        let adjoints = tape.pullback(y.tangent[0]);
        inputs.iter().map(|&v| adjoints.wrt(v)).collect()
    })
}

fn reverse_reverse(f: &Function, x: &[f64]) -> Numbers {
    rows(x.len(), |i| {
        let outer = Tape::new();
        let inputs = outer.vars(x);
        let inner = Tape::new();
        let inside: Vec<_> = inputs.iter().map(|&v| inner.var(v)).collect();
        let slope = inner.pullback(f.call(&inside)).wrt(inside[i]);
        let adjoints = outer.pullback(slope);
        inputs.iter().map(|&v| adjoints.wrt(v)).collect()
    })
}

/// A tape in a sub-tape's region.
fn preaccumulated(f: &Function, x: &[f64]) -> Numbers {
    rows(x.len(), |i| {
        let outer = Tape::new();
        let inputs = outer.vars(x);
        let inner = Tape::new();
        let inside: Vec<_> = inputs.iter().map(|&v| inner.var(v)).collect();
        let [y] = inner.preaccumulate(&inside, |v| [f.call(v)]);
        let slope = inner.pullback(y).wrt(inside[i]);
        let adjoints = outer.pullback(slope);
        inputs.iter().map(|&v| adjoints.wrt(v)).collect()
    })
}

fn series_of_duals(f: &Function, x: &[f64]) -> Numbers {
    matrix(x.len(), |i, j| {
        let (along, seed) = (unit(x.len(), i), unit(x.len(), j));
        let lift = |k: usize| Taylor::<D1, 2>::along(D1::new(x[k], [seed(k)]), D1::from_f64(along(k)));
        f.call(&(0..x.len()).map(lift).collect::<Vec<_>>()).coefficients[1].tangent[0]
    })
}

fn dual_of_series(f: &Function, x: &[f64]) -> Numbers {
    type S = Taylor<f64, 2>;
    matrix(x.len(), |i, j| {
        let (along, seed) = (unit(x.len(), i), unit(x.len(), j));
        let lift = |k: usize| Dual::<S, 1>::new(S::along(x[k], along(k)), [S::from_f64(seed(k))]);
        f.call(&(0..x.len()).map(lift).collect::<Vec<_>>()).tangent[0].coefficients[1]
    })
}

fn tape_of_series(f: &Function, x: &[f64]) -> Numbers {
    type S = Taylor<f64, 2>;
    rows(x.len(), |i| {
        let along = unit(x.len(), i);
        let tape = Tape::new();
        let inputs: Vec<_> = (0..x.len()).map(|k| tape.var(S::along(x[k], along(k)))).collect();
        let adjoints = tape.pullback(f.call(&inputs));
        inputs.iter().map(|&v| adjoints.wrt(v).coefficients[1]).collect()
    })
}

fn series_of_tapes(f: &Function, x: &[f64]) -> Numbers {
    rows(x.len(), |i| {
        let along = unit(x.len(), i);
        let tape = Tape::new();
        let inputs = tape.vars(x);
        let lift = |k: usize| Taylor::<Var<'_>, 2>::along(inputs[k], Var::from_f64(along(k)));
        let slope = f.call(&(0..x.len()).map(lift).collect::<Vec<_>>()).coefficients[1];
        let adjoints = tape.pullback(slope);
        inputs.iter().map(|&v| adjoints.wrt(v)).collect()
    })
}

fn by_driver(mode: Mode, f: &Function, x: &[f64]) -> Numbers {
    let n = x.len();
    let mut driver = ScalarDriver::new(f, &vec![0.5; n]).with_mode(mode);
    let (mut gradient, mut hessian) = (vec![0.0; n], vec![0.0; n * n]);
    driver.hessian_into(x, &mut gradient, &mut hessian);
    hessian
}

fn by_products(f: &Function, x: &[f64]) -> Numbers {
    rows(x.len(), |i| hvp(f, x, &(0..x.len()).map(unit(x.len(), i)).collect::<Vec<_>>()))
}

fn diagonal_of_series(f: &Function, x: &[f64]) -> Numbers {
    let second = |i| {
        let lift = |k: usize| Taylor::<f64, 3>::along(x[k], unit(x.len(), i)(k));
        f.call(&(0..x.len()).map(lift).collect::<Vec<_>>()).derivative(2)
    };
    (0..x.len()).map(second).collect()
}

/// The function as one result of many, and at one point of many.
struct Wrapped<'a>(&'a Function);

impl VectorFn for Wrapped<'_> {
    fn outputs(&self, _: usize) -> usize {
        3
    }
    fn call<R: Real64>(&self, x: &[R], y: &mut [R]) {
        y[1] = self.0.call(x);
    }
}

impl PointFn for Wrapped<'_> {
    fn points(&self) -> usize {
        3
    }
    fn call<R: Real64>(&self, _: &Block, x: &[R], _: &[R], y: &mut [R]) {
        y[0] = self.0.call(x);
    }
}

fn gradients(f: &Function, x: &[f64]) -> Vec<(&'static str, Numbers)> {
    let n = x.len();
    let mut all = vec![
        ("tape", reverse::gradient(|v| f.call(v), x)),
        ("dual, width 1", forward::gradient::<f64, 1>(|v| f.call(v), x)),
        ("dual, width 4", forward::gradient::<f64, 4>(|v| f.call(v), x)),
        ("gradient", gradient(f, x)),
        ("directional", (0..n).map(|i| directional(f, x, i)).collect()),
        ("series", (0..n).map(|i| series_slope(f, x, i)).collect()),
        ("lanes", lanes(f, x)),
        ("lanes on a tape", lanes_on_a_tape(f, x)),
    ];
    for (name, mode, width) in [
        ("forward passes of 1", Mode::Forward, 1),
        ("forward passes of 2", Mode::Forward, 2),
        ("forward passes of 8", Mode::Forward, 8),
        ("reverse passes of 1", Mode::Reverse, 1),
        ("reverse passes of 4", Mode::Reverse, 4),
    ] {
        let mut driver = VectorDriver::new(Wrapped(f), &vec![0.5; n]).with_width(mode, width);
        let (mut y, mut jacobian) = ([0.0; 3], vec![0.0; 3 * n]);
        driver.jacobian_into(x, &mut y, &mut jacobian);
        all.push((name, jacobian[n..2 * n].to_vec()));
    }
    let mut sums = vec![0.0; n];
    Batch::<2>::new().sum_gradient(&Wrapped(f), x, &mut sums);
    all.push(("batch", sums.iter().map(|s| s / 3.0).collect()));
    all
}

fn directional(f: &Function, x: &[f64], i: usize) -> f64 {
    let v: Vec<f64> = (0..x.len()).map(unit(x.len(), i)).collect();
    gradus::num::directional(f, x, &v).1
}

fn series_slope(f: &Function, x: &[f64], i: usize) -> f64 {
    let lift = |k: usize| Taylor::<f64, 2>::along(x[k], unit(x.len(), i)(k));
    f.call(&(0..x.len()).map(lift).collect::<Vec<_>>()).coefficients[1]
}

fn lanes(f: &Function, x: &[f64]) -> Numbers {
    type L = Lanes<2>;
    let slope = |i: usize| {
        let lift = |k: usize| Dual::<L, 1>::new(Lanes([x[k], x[k]]), [L::from_f64(unit(x.len(), i)(k))]);
        f.call(&(0..x.len()).map(lift).collect::<Vec<_>>()).tangent[0].0[1]
    };
    (0..x.len()).map(slope).collect()
}

fn lanes_on_a_tape(f: &Function, x: &[f64]) -> Numbers {
    let tape = Tape::new();
    let inputs: Vec<_> = x.iter().map(|&x| tape.var(Lanes([x; 2]))).collect();
    let adjoints = tape.pullback(f.call(&inputs));
    inputs.iter().map(|&v| adjoints.wrt(v).0[1]).collect()
}

/// Compositions of tapes and of numbers that know which zeros are structural. The first is what all are compared with.
const EXACT: &[Composition] = &[
    ("reverse over reverse", reverse_reverse),
    ("reverse over forward", reverse_forward),
    ("a region in reverse over reverse", preaccumulated),
    ("series of tapes", series_of_tapes),
    ("hvp", by_products),
    ("hessian", |f, x| hessian(f, x)),
    ("driver, forward", |f, x| by_driver(Mode::Forward, f, x)),
    ("driver, reverse", |f, x| by_driver(Mode::Reverse, f, x)),
];

/// Compositions with plain numbers inside: a zero in them may be taken for a structural one.
const PLAIN: &[Composition] = &[
    ("forward over forward", forward_forward),
    ("forward over reverse", forward_reverse),
    ("series of duals", series_of_duals),
    ("dual of series", dual_of_series),
    ("tape of series", tape_of_series),
    ("forward::hessian", |f, x| forward::hessian::<f64, 4>(|v| f.call(v), x)),
];

type Composition = (&'static str, fn(&Function, &[f64]) -> Numbers);

/// How two results compare.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Same,
    /// One is NaN.
    Unsaid,
    Different,
}

/// The same infinity, both NaN, or close. Near the ends of the exponent range one path may round to infinity or zero
/// what is nearly so on another; what cancels is compared with the largest number beside it.
fn same(a: f64, b: f64, beside: f64) -> Verdict {
    let (big, small) = (1e290, 1e-290);
    let close = a == b
        || a.is_nan() && b.is_nan()
        || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        || (a - b).abs() <= 1e-14 * beside
        || a.abs() <= small && b.abs() <= small
        || a.abs() >= big && b.abs() >= big && a.signum() == b.signum();
    match (close, a.is_nan() || b.is_nan()) {
        (true, _) => Verdict::Same,
        (false, true) => Verdict::Unsaid,
        (false, false) => Verdict::Different,
    }
}

/// The worst verdict over all entries.
fn verdict(a: &[f64], b: &[f64]) -> Verdict {
    let beside = b.iter().filter(|b| b.is_finite()).fold(0.0, |m: f64, b| m.max(b.abs()));
    let mut worst = Verdict::Same;
    for (&a, &b) in a.iter().zip(b) {
        match same(a, b, beside) {
            Verdict::Different => return Verdict::Different,
            Verdict::Unsaid => worst = Verdict::Unsaid,
            Verdict::Same => {}
        }
    }
    worst
}

fn transposed(n: usize, h: &[f64]) -> Numbers {
    matrix(n, |i, j| h[j * n + i])
}

#[derive(Default)]
struct Report {
    cells: usize,
    /// Comparisons of a NaN with a number where some derivative is not finite: which of the two it is, is left open.
    unsaid: usize,
    failures: Vec<String>,
}

/// Checks every function of scalars.
pub fn check() -> super::Report {
    let mut report = Report::default();
    for f in all() {
        for x in f.special_points() {
            compare(&f, &x, &mut report);
        }
    }
    report.failures.extend(conventions());
    super::Report {
        name: "functions of scalars".into(),
        compared: report.cells,
        skipped: vec![(super::LEFT_OPEN.into(), report.unsaid)],
        failures: report.failures,
        ..super::Report::default()
    }
}

impl Report {
    fn note(&mut self, f: &Function, x: &[f64], what: &str, got: &[f64], want: &[f64], open: bool) {
        self.cells += 1;
        match verdict(got, want) {
            Verdict::Same => {}
            Verdict::Unsaid if open => self.unsaid += 1,
            _ => self.failures.push(format!("{} at {x:?}: {what}: {got:?} instead of {want:?}", f.name())),
        }
    }
}

fn finite(numbers: &[f64]) -> bool {
    numbers.iter().all(|x| x.is_finite())
}

/// Compares all compositions at one point.
fn compare(f: &Function, x: &[f64], report: &mut Report) {
    let n = x.len();
    let slopes = gradients(f, x);
    let (_, slope) = &slopes[0];
    // A plain zero may hide an infinity, and what meets infinite arguments or derivatives may be NaN or not.
    let regular = finite(x) && finite(slope);
    for (name, got) in &slopes[1..] {
        let plain = PLAIN_SLOPES.contains(name);
        report.note(f, x, name, got, slope, !finite(x) || plain && !regular);
    }
    let want = reverse_reverse(f, x);
    let regular = finite(x) && finite(&want);
    report.note(f, x, "symmetry", &transposed(n, &want), &want, !regular);
    for (name, composition) in &EXACT[1..] {
        report.note(f, x, name, &composition(f, x), &want, !regular);
    }
    for (name, composition) in PLAIN {
        report.note(f, x, name, &composition(f, x), &want, !regular);
    }
    let diagonal: Numbers = (0..n).map(|i| want[i * n + i]).collect();
    report.note(f, x, "series", &diagonal_of_series(f, x), &diagonal, !regular);
}

const PLAIN_SLOPES: &[&str] = &["dual, width 1", "dual, width 4", "series", "lanes"];

/// Where there is no derivative, or a branch or a literal decides: gradient and Hessian as `docs/kinks.md` has them.
fn conventions() -> Vec<String> {
    use Function::*;
    use gradus::num::{Binary, Unary};
    let (inf, nan, ln2) = (f64::INFINITY, f64::NAN, core::f64::consts::LN_2);
    let rows: &[(Function, &[f64], &[f64], &[f64])] = &[
        (One(Unary::Abs), &[0.0], &[0.0], &[0.0]),
        (One(Unary::Abs), &[-0.0], &[0.0], &[0.0]),
        (One(Unary::Floor), &[2.0], &[0.0], &[0.0]),
        (One(Unary::Powi(0)), &[0.0], &[0.0], &[0.0]),
        (One(Unary::Sqrt), &[0.0], &[inf], &[-inf]),
        (One(Unary::Sqrt), &[-0.0], &[-inf], &[inf]),
        (One(Unary::Cbrt), &[0.0], &[inf], &[-inf]),
        (One(Unary::Cbrt), &[-0.0], &[inf], &[inf]),
        (One(Unary::Recip), &[0.0], &[-inf], &[inf]),
        (One(Unary::Rsqrt), &[0.0], &[-inf], &[inf]),
        (One(Unary::Log1p), &[-1.0], &[inf], &[-inf]),
        (Two(Binary::Max), &[1.0, 1.0], &[0.5, 0.5], &[0.0; 4]),
        (Two(Binary::Min), &[0.0, -0.0], &[0.5, 0.5], &[0.0; 4]),
        (Two(Binary::Max), &[nan, 1.0], &[nan, nan], &[0.0; 4]),
        (Two(Binary::Max), &[2.0, 1.0], &[1.0, 0.0], &[0.0; 4]),
        (Relu, &[0.0], &[0.0], &[0.0]),
        (Relu, &[-0.0], &[0.0], &[0.0]),
        (Relu, &[1.0], &[1.0], &[0.0]),
        (Clip, &[0.0, 0.0, 1.0], &[1.0, 0.0, 0.0], &[0.0; 9]),
        (Clip, &[1.0, 0.0, 1.0], &[1.0, 0.0, 0.0], &[0.0; 9]),
        (Clip, &[2.0, 0.0, 1.0], &[0.0, 0.0, 1.0], &[0.0; 9]),
        (Clip, &[-1.0, 0.0, 1.0], &[0.0, 1.0, 0.0], &[0.0; 9]),
        (Two(Binary::Hypot), &[0.0, 0.0], &[0.0, 0.0], &[0.0; 4]),
        (Two(Binary::Hypot), &[0.0, 2.0], &[0.0, 1.0], &[0.5, 0.0, 0.0, 0.0]),
        (Two(Binary::Atan2), &[0.0, 0.0], &[nan, nan], &[nan; 4]),
        (Two(Binary::Pow), &[2.0, 0.0], &[0.0, ln2], &[0.0, 0.5, 0.5, ln2 * ln2]),
        (Two(Binary::Pow), &[0.0, 2.0], &[0.0, 0.0], &[2.0, 0.0, 0.0, 0.0]),
        (Two(Binary::Pow), &[0.0, 2.5], &[0.0, 0.0], &[0.0; 4]),
        (Two(Binary::Pow), &[0.0, 1.0], &[1.0, 0.0], &[0.0, -inf, -inf, 0.0]),
        (Two(Binary::Pow), &[0.0, 0.5], &[inf, 0.0], &[-inf, -inf, -inf, 0.0]),
        (Two(Binary::Pow), &[0.0, 0.0], &[0.0, -inf], &[0.0, inf, inf, inf]),
        (Two(Binary::Pow), &[-2.0, 3.0], &[12.0, nan], &[-12.0, nan, nan, nan]),
        (PowConstant(0.0), &[0.0], &[0.0], &[0.0]),
        (Xlogy, &[0.0, 0.0], &[0.0, 0.0], &[0.0; 4]),
        (LogAddExp, &[1.0, 1.0], &[0.5, 0.5], &[0.25, -0.25, -0.25, 0.25]),
        (LeastSquares, &[1.0, 2.0], &[0.0, 0.0], &[20.0, 6.0, 6.0, 2.0]),
        (Branch, &[0.0, 1.0], &[0.0, 2.0], &[0.0, 0.0, 0.0, 2.0]),
        (MaxOfRoot, &[0.0, 1.0], &[0.0, 1.0], &[0.0; 4]),
    ];
    let mut failures = Vec::new();
    for &(ref f, x, slope, curvature) in rows {
        for (what, got, want) in [
            ("tape", reverse::gradient(|v| f.call(v), x), slope),
            ("gradient", gradient(f, x), slope),
            ("reverse over reverse", reverse_reverse(f, x), curvature),
            ("hessian", hessian(f, x), curvature),
        ] {
            if verdict(&got, want) != Verdict::Same {
                failures.push(format!("{} at {x:?}, {what}: {got:?} instead of {want:?}", f.name()));
            }
        }
    }
    failures
}

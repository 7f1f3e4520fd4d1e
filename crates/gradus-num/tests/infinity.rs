//! Derivatives at ±∞ are what they tend to, in every number type and to the third order.

use gradus_num::{Binary, Dual, Lanes, Real, Tape, Taylor, Unary, Var};

/// A function of one number.
#[derive(Clone, Copy)]
enum Function {
    One(Unary),
    /// The other argument is this.
    First(Binary, f64),
    Second(f64, Binary),
    Composed(&'static str),
}

const COMPOSED: [&str; 9] =
    ["sinc", "log10", "relu", "clip", "log_add_exp", "xlogy", "pow_f64", "sin_cos", "square"];

impl Function {
    fn name(self) -> String {
        match self {
            Function::One(op) => op.name().to_string(),
            Function::First(op, y) => format!("{}(x, {y})", op.name()),
            Function::Second(x, op) => format!("{}({x}, x)", op.name()),
            Function::Composed(name) => name.to_string(),
        }
    }

    fn call<R: Real>(self, x: &R) -> R {
        let lit = |v: f64| x.lit(v);
        match self {
            Function::One(op) => x.unary(op),
            Function::First(op, y) => x.binary(op, &lit(y)),
            Function::Second(y, op) => lit(y).binary(op, x),
            Function::Composed(name) => match name {
                "sinc" => x.sinc(),
                "log10" => x.log10(),
                "relu" => x.relu(),
                "clip" => x.clip(&lit(-1.0), &lit(2.0)),
                "log_add_exp" => x.log_add_exp(&lit(0.5)),
                "xlogy" => x.xlogy(&lit(2.0)),
                "pow_f64" => x.pow_f64(-1.5),
                "sin_cos" => x.sin_cos().0,
                _ => x.square(),
            },
        }
    }
}

fn all() -> Vec<Function> {
    let more = [-3, -1, 0, 1, 2, 3].map(Unary::Powi).into_iter().chain([0, 1, 2].map(Unary::Polygamma));
    let mut out: Vec<Function> = Unary::ALL.iter().copied().chain(more).map(Function::One).collect();
    // A remainder tends to nothing.
    for &op in Binary::ALL.iter().filter(|op| **op != Binary::Rem) {
        for other in [0.5, 2.0, -1.5, -1.0] {
            out.extend([Function::First(op, other), Function::Second(other, op)]);
        }
    }
    out.extend(COMPOSED.map(Function::Composed));
    out
}

fn nested<T: Real>(f: Function, x: f64) -> [f64; 4] {
    type D<T> = Dual<T, 1>;
    let one = |x: T| D::new(x, [T::from_f64(1.0)]);
    let two = D::new(one(T::from_f64(x)), [D::from_f64(1.0)]);
    let y = f.call(&D::new(two, [D::from_f64(1.0)]));
    let second = y.primal.tangent[0].tangent[0];
    [
        y.value(),
        y.primal.primal.tangent[0].value(),
        second.value(),
        y.tangent[0].tangent[0].tangent[0].value(),
    ]
}

fn series<T: Real>(f: Function, x: f64) -> [f64; 4] {
    let y = f.call(&Taylor::<T, 4>::variable(T::from_f64(x)));
    [0, 1, 2, 3].map(|k| y.derivative(k).value())
}

/// Reverse over forward over forward.
fn taped(f: Function, x: f64) -> [f64; 4] {
    let tape = Tape::new();
    let v = tape.var(x);
    let one = Dual::<Var<'_>, 1>::new(v, [Var::from_f64(1.0)]);
    let y = f.call(&Dual::<Dual<Var<'_>, 1>, 1>::new(one, [Dual::from_f64(1.0)]));
    let slope = |y: Var<'_>| tape.pullback(y).wrt(v);
    let values = [y.primal.primal, y.primal.tangent[0], y.tangent[0].tangent[0]];
    [values[0].value(), slope(values[0]), slope(values[1]), slope(values[2])]
}

/// Reverse over reverse over reverse.
fn thrice(f: Function, x: f64) -> [f64; 4] {
    let outer = Tape::new();
    let v = outer.var(x);
    let middle = Tape::new();
    let w = middle.var(v);
    let inner = Tape::new();
    let u = inner.var(w);
    let y = f.call(&u);
    let first = inner.pullback(y).wrt(u);
    let second = middle.pullback(first).wrt(w);
    let third = outer.pullback(second).wrt(v);
    [y.value(), first.value(), second.value(), third]
}

/// What derivatives tend to: those at larger and larger arguments, if they settle.
fn limit(values: [[f64; 4]; 3], k: usize, single: bool) -> Option<f64> {
    let [a, b, c] = values.map(|v| v[k]);
    let small = if single { 1e-15 } else { 1e-60 };
    if ![a, b, c].iter().all(|v| v.is_finite()) {
        return None;
    }
    if c.abs() < small && b.abs() < 1e3 * small {
        return Some(0.0);
    }
    ((b - c).abs() <= 1e-6 * c.abs() && (a - c).abs() <= 1e-3 * c.abs()).then_some(c)
}

#[test]
fn derivatives_at_infinity_are_their_limits() {
    type Variant = (&'static str, bool, fn(Function, f64) -> [f64; 4]);
    let variants: [Variant; 7] = [
        ("dual", false, nested::<f64>),
        ("dual, f32", true, nested::<f32>),
        ("lanes", false, nested::<Lanes<2>>),
        ("series", false, series::<f64>),
        ("series, f32", true, series::<f32>),
        ("tape of duals", false, taped),
        ("tapes", false, thrice),
    ];
    let mut failures = Vec::new();
    let mut checked = 0;
    for f in all() {
        for end in [f64::INFINITY, f64::NEG_INFINITY] {
            for (variant, single, derivatives) in variants {
                let at = if single { [3e15, 1e18, 2e18] } else { [3e90, 1e100, 2e100] };
                let near = at.map(|x| derivatives(f, x * end.signum()));
                if near.iter().any(|values| values[0].is_nan()) {
                    continue;
                }
                let got = derivatives(f, end);
                for k in 0..4 {
                    let Some(want) = limit(near, k, single) else { continue };
                    checked += 1;
                    let close = (got[k] - want).abs() <= 1e-6 * want.abs();
                    if !close {
                        failures.push(format!(
                            "{} at {end}, order {k}, {variant}: {} for {want}",
                            f.name(),
                            got[k]
                        ));
                    }
                }
            }
        }
    }
    let count = failures.len();
    failures.sort();
    assert!(failures.is_empty(), "{count} of {checked}:\n{}", failures.join("\n"));
}

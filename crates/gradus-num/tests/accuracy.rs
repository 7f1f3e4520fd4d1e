//! Values and derivatives against the high-precision tables in `golden`, which `bench/golden/generate.py` writes.
//!
//! A value may be off by 2 units in the last place, or by as many as its entry says; derivatives of order 1, 2 and 3 by 4, 16
//! and 64 units times the condition number. Where the exact derivative exceeds the largest number, the result must not
//! be finite either; where an argument's `k`-th power leaves the exponent range, order `k` of a function of two arguments is
//! not asked for, since the order before it is a quotient by that power. In the tables of the ends of the exponent range a value
//! may be off by 8 units and derivatives of order 1 and 2 by 16, in single precision everywhere. `cargo test -p gradus-num --test accuracy -- --nocapture` prints the worst
//! of each.

use std::collections::BTreeMap;

use gradus_num::{Binary, Dual, Real, Scalar, Taylor, Unary};

type D1 = Dual<f64, 1>;
type D2 = Dual<D1, 1>;
type D3 = Dual<D2, 1>;

const UNARY: &str = include_str!("golden/unary.txt");
const BINARY: &str = include_str!("golden/binary.txt");
const UNARY_ENDS: &str = include_str!("golden/unary_ends.txt");
const BINARY_ENDS: &str = include_str!("golden/binary_ends.txt");

struct Exact {
    near: f64,
    fraction: f64,
    condition: f64,
}

impl Exact {
    fn parse(group: &str) -> Self {
        let mut parts = group.split(':');
        let near = f64::from_bits(u64::from_str_radix(parts.next().unwrap(), 16).unwrap());
        let mut number = || parts.next().unwrap().parse().unwrap();
        Self { near, fraction: number(), condition: number() }
    }

    /// The error of `got` in units in the last place.
    fn units(&self, got: f64) -> f64 {
        if self.near.is_nan() || self.near == got && self.fraction == 0.0 {
            return 0.0;
        }
        if !self.near.is_finite() || !got.is_finite() {
            return if self.near.is_finite() == got.is_finite() { 0.0 } else { f64::INFINITY };
        }
        let magnitude = self.near.abs();
        let ulp = f64::from_bits(magnitude.to_bits() + 1) - magnitude;
        // Differences of far-apart numbers are taken in units to stay in range.
        (got / ulp - self.near / ulp - self.fraction)
            .abs()
            .min(((got - self.near) / ulp - self.fraction).abs())
    }
}

fn apply<R: Real>(name: &str, x: &R) -> R {
    let argument = name.split(['(', ')']).nth(1);
    match name.split('(').next().unwrap() {
        "powi" => x.powi(argument.unwrap().parse().unwrap()),
        "polygamma" => x.polygamma(argument.unwrap().parse().unwrap()),
        "sinc" => x.sinc(),
        "log10" => x.log10(),
        "logit" => x.logit(),
        plain => x.unary(*Unary::ALL.iter().find(|op| op.name() == plain).unwrap()),
    }
}

fn apply2<R: Real>(name: &str, x: &R, y: &R) -> R {
    match name {
        "log_add_exp" => x.log_add_exp(y),
        "xlogy" => x.xlogy(y),
        plain => x.binary(*Binary::ALL.iter().find(|op| op.name() == plain).unwrap(), y),
    }
}

fn nested(x: f64, moves: bool) -> D3 {
    let v = if moves { 1.0 } else { 0.0 };
    D3::new(D2::new(D1::new(x, [v]), [D1::from_f64(v)]), [D2::from_f64(v)])
}

fn orders(d: D3) -> [f64; 4] {
    let second = d.primal.tangent[0].tangent[0];
    [d.value(), d.primal.primal.tangent[0], second, d.tangent[0].tangent[0].tangent[0]]
}

/// The largest error of each order, and where it was.
#[derive(Default)]
struct Worst([(f64, String); 4]);

impl Worst {
    fn note(&mut self, got: [f64; 4], exact: &[Exact], orders: usize, wave: f64, place: &str) {
        for k in 0..=orders {
            let scale = if k == 0 { (wave / exact[0].near.abs()).max(1.0) } else { exact[k].condition };
            let units = exact[k].units(got[k]) / scale;
            if units > self.0[k].0 {
                self.0[k] = (units, format!("at {place}: {:e} for {:e}", got[k], exact[k].near));
            }
        }
    }
}

fn measure() -> BTreeMap<(String, &'static str), Worst> {
    let mut worst = BTreeMap::<_, Worst>::new();
    for (table, arity, ends) in
        [(UNARY, 1, false), (BINARY, 2, false), (UNARY_ENDS, 1, true), (BINARY_ENDS, 2, true)]
    {
        for line in table.lines() {
            let fields: Vec<_> = line.split(' ').collect();
            let (name, direction) = (fields[0], fields[1].parse::<usize>().unwrap());
            let args: Vec<_> = fields[2..2 + arity]
                .iter()
                .map(|b| f64::from_bits(u64::from_str_radix(b, 16).unwrap()))
                .collect();
            let exact: Vec<_> = fields[2 + arity..6 + arity].iter().map(|g| Exact::parse(g)).collect();
            let place = fields.last().unwrap();
            let extent = args.iter().map(|a| a.abs().log10().abs()).fold(0.0, f64::max);
            let asked = match (arity, ends) {
                // Its second derivative is through `1/y²`.
                (_, true) if name == "xlogy" => (300.0 / extent).clamp(1.0, 2.0) as usize,
                (_, true) => 2,
                (1, false) => 3,
                _ => (300.0 / extent).clamp(1.0, 3.0) as usize,
            };
            let op = Unary::ALL.iter().find(|op| op.name() == name);
            let wave = op.map_or(0.0, |op| (op.entry().wave)(args[0]));
            let (dual, series) = if arity == 1 {
                (apply(name, &nested(args[0], true)), apply(name, &Taylor::<f64, 4>::variable(args[0])))
            } else {
                let d = |i: usize| nested(args[i], i == direction);
                let t = |i: usize| Taylor::<f64, 4>::along(args[i], if i == direction { 1.0 } else { 0.0 });
                (apply2(name, &d(0), &d(1)), apply2(name, &t(0), &t(1)))
            };
            let name = if arity == 1 { name.to_string() } else { format!("{name}/{direction}") };
            let name = if ends { format!("{name} ends") } else { name };
            worst.entry((name.clone(), "dual")).or_default().note(orders(dual), &exact, asked, wave, place);
            let series = [0, 1, 2, 3].map(|k| series.derivative(k));
            // The coefficients of a series go through the square of the quotient (docs/kinks.md).
            let large = args.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
            let small = args.iter().fold(large, |a: f64, b| a.min(b.abs()));
            let lost = small < f64::MIN_POSITIVE || (small / large).powi(2) < f64::MIN_POSITIVE;
            let apart = name.starts_with("hypot") && lost;
            let asked = if apart { asked.min(1) } else { asked };
            worst.entry((name, "taylor")).or_default().note(series, &exact, asked, wave, place);
        }
    }
    worst
}

#[test]
fn units_in_the_last_place() {
    let mut failures = Vec::new();
    println!("{:<16}{:<8}{:>10}{:>10}{:>10}{:>10}", "function", "type", "value", "first", "second", "third");
    for ((name, kind), worst) in measure() {
        let op = Unary::ALL.iter().find(|op| Some(op.name()) == name.split(['(', ' ']).next());
        let limits = match name.ends_with("ends") {
            true => [8.0, 16.0, 16.0, 64.0],
            false => [op.map_or(2.0, |op| op.entry().units), 4.0, 16.0, 64.0],
        };
        let [a, b, c, d] = [0, 1, 2, 3].map(|k| worst.0[k].0);
        println!("{name:<16}{kind:<8}{a:>10.2}{b:>10.2}{c:>10.2}{d:>10.2}");
        for k in 0..4 {
            if worst.0[k].0 > limits[k] {
                failures
                    .push(format!("{name} as {kind}, order {k}: {:.1} units {}", worst.0[k].0, worst.0[k].1));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// The error of a number in single precision, in its units.
fn units_of_f32(got: f32, want: f64) -> f64 {
    if want.is_nan() || !(want as f32).is_finite() {
        return if got.is_finite() && want.is_finite() { f64::INFINITY } else { 0.0 };
    }
    let near = (want as f32).abs();
    let ulp = f64::from(f32::from_bits(near.to_bits() + 1)) - f64::from(near);
    (f64::from(got) - want).abs() / ulp
}

/// Single precision against double precision, which the tables have proved, at the points of the tables as they round.
#[test]
fn single_precision() {
    type S1 = Dual<f32, 1>;
    type S2 = Dual<S1, 1>;
    let mut worst = BTreeMap::<String, [(f64, String); 3]>::new();
    for (table, arity) in [(UNARY, 1), (BINARY, 2), (UNARY_ENDS, 1), (BINARY_ENDS, 2)] {
        for line in table.lines() {
            let fields: Vec<_> = line.split(' ').collect();
            let (name, direction) = (fields[0], fields[1].parse::<usize>().unwrap());
            let single = |b: &&str| f64::from_bits(u64::from_str_radix(b, 16).unwrap()) as f32;
            let args: Vec<f32> = fields[2..2 + arity].iter().map(single).collect();
            if args.iter().any(|a| !a.is_finite() || *a == 0.0) {
                continue;
            }
            let exact: Vec<_> = fields[2 + arity..6 + arity].iter().map(|g| Exact::parse(g)).collect();
            let moves = |i: usize| if i == direction { 1.0f32 } else { 0.0 };
            let low = |i: usize| S2::new(S1::new(args[i], [moves(i)]), [S1::from_f64(moves(i).into())]);
            let high = |i: usize| nested(args[i].into(), i == direction);
            let (got, want) = match arity {
                1 => (apply(name, &low(0)), apply(name, &high(0))),
                _ => (apply2(name, &low(0), &low(1)), apply2(name, &high(0), &high(1))),
            };
            let got = [got.primal.primal, got.primal.tangent[0], got.tangent[0].tangent[0]];
            let want = orders(want);
            let name = if arity == 1 { name.to_string() } else { format!("{name}/{direction}") };
            let entry = worst.entry(name).or_default();
            for k in 0..3 {
                let units = units_of_f32(got[k], want[k]) / if k == 0 { 1.0 } else { exact[k].condition };
                if units > entry[k].0 {
                    entry[k] = (units, format!("at {args:?}: {:e} for {:e}", got[k], want[k]));
                }
            }
        }
    }
    let mut failures = Vec::new();
    for (name, worst) in worst {
        let [a, b, c] = [0, 1, 2].map(|k| worst[k].0);
        println!("{name:<24}{a:>10.2}{b:>10.2}{c:>10.2}");
        for (k, limit) in [8.0, 16.0, 16.0].into_iter().enumerate() {
            if worst[k].0 > limit {
                failures.push(format!("{name}, order {k}: {:.1} units {}", worst[k].0, worst[k].1));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Orders beyond the table: a factorial that overflows, both sides of the poles (reference values from mpmath).
#[test]
fn high_order_polygamma() {
    let close = |n: u32, x: f64, exact: f64| {
        let got = gradus_num::math::polygamma(n, x);
        assert!((got / exact - 1.0).abs() < 1e-12, "order {n} at {x}: {got:e} for {exact:e}");
    };
    close(20, 0.5, -5.1021653127394299e+24);
    close(20, -3.3, 2.3258315617067719e+29);
    close(21, -40.25, 8.9880135989785359e+32);
    close(151, 2.5, 2.8118298696796208e+204);
    close(200, 500.0, -7.688625513306424e-168);
    close(160, 30.0, -7.2302854876017442e+46);
    assert_eq!(gradus_num::math::polygamma(1, -3.0), f64::INFINITY);
    assert!(gradus_num::math::polygamma(2, -3.0).is_nan());
}

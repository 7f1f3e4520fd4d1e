//! Derivatives of scalar programs, timed side by side: these crates' drivers, derivatives written by hand, and other
//! crates at their own best settings. `--json` prints one object for each row, `--quick` shortens the run,
//! `--only=TEXT` keeps the rows whose name contains the text,
//! `--calibrate` prints the unit costs that plans are made from, measured anew, and nothing else.

mod hand;
mod harness;
mod peers;
mod problems;

use std::time::Duration;

use gradus_num::sparse::{SparseHessian, SparseJacobian};
use gradus_num::{Mode, ScalarDriver, ScalarFn, scalar_fn, value_and_gradient_array, vector_fn};
use harness::{Result, Row, measure};
use nalgebra::{DVector, SVector};
use num_dual::{Dual2SVec64, DualDVec64, DualSVec64};
use problems::{SIDE, adtrait, echidna as ech, gradus, numdual};

fn point(n: usize) -> Vec<f64> {
    (0..n).map(|i| 0.3 + 0.7 * ((i * 37 % 11) as f64) / 11.0).collect()
}

/// Value plus the sum of the gradient, by the driver in its own choice of mode or a forced one.
fn ours<F: ScalarFn + 'static>(f: F, x: &[f64], mode: Option<Mode>) -> impl FnMut() -> f64 + 'static {
    let mut driver = ScalarDriver::new(f, x);
    if let Some(mode) = mode {
        driver = driver.with_mode(mode);
    }
    let (x, mut g) = (x.to_vec(), vec![0.0; x.len()]);
    move || driver.value_and_gradient_into(std::hint::black_box(&x), &mut g) + g.iter().sum::<f64>()
}

fn by_hand(f: impl Fn(&[f64], &mut [f64]) -> f64 + 'static, x: &[f64]) -> impl FnMut() -> f64 + 'static {
    let (x, mut g) = (x.to_vec(), vec![0.0; x.len()]);
    move || f(std::hint::black_box(&x), &mut g) + g.iter().sum::<f64>()
}

fn plain(f: fn(&[f64]) -> f64, x: &[f64]) -> impl FnMut() -> f64 + 'static {
    let x = x.to_vec();
    move || f(std::hint::black_box(&x))
}

/// The contenders that every gradient row has.
macro_rules! gradient_row {
    ($task:literal, $f:ident, $x:expr, $hand:expr) => {{
        let x: Vec<f64> = $x;
        let plan = ScalarDriver::new(scalar_fn!(gradus::$f), &x).gradient_plan().explain();
        Row::new($task)
            .plan(plan)
            .entry("plain", plain(gradus::$f::<f64>, &x))
            .entry("hand-written", by_hand($hand, &x))
            .entry("gradus", ours(scalar_fn!(gradus::$f), &x, None))
            .entry("gradus forward", ours(scalar_fn!(gradus::$f), &x, Some(Mode::Forward)))
            .entry("gradus reverse", ours(scalar_fn!(gradus::$f), &x, Some(Mode::Reverse)))
            .entry("echidna tape", peers::echidna_reverse(ech::$f, ech::$f::<f64>, x.clone()))
            .entry("echidna replay", peers::echidna_replay(ech::$f, x.clone()))
            .entry("ad_trait reverse", peers::ad_trait_reverse(adtrait::$f, adtrait::$f, x))
    }};
}

/// Forward contenders with a fixed number of inputs.
macro_rules! with_fixed {
    ($row:expr, $f:ident, $x:expr, $n:literal) => {{
        let x: Vec<f64> = $x;
        let v = SVector::<f64, $n>::from_row_slice(&x);
        let array: [f64; $n] = std::array::from_fn(|i| x[i]);
        let row = $row.entry("gradus array", move || {
            let f = scalar_fn!(gradus::$f);
            let (value, gradient) = value_and_gradient_array(&f, std::hint::black_box(&array));
            value + gradient.iter().sum::<f64>()
        });
        row.entry("num-dual", move || {
            let f = |v: SVector<DualSVec64<$n>, $n>| numdual::$f(v.as_slice());
            let (value, gradient) = num_dual::gradient(f, std::hint::black_box(&v));
            value + gradient.sum()
        })
        .entry("echidna dual", peers::echidna_dual::<$n>(ech::$f, x.clone()))
        .entry("ad_trait forward", peers::ad_trait_forward::<$n>(adtrait::$f, adtrait::$f, x))
    }};
}

macro_rules! with_dynamic {
    ($row:expr, $f:ident, $x:expr) => {{
        let v = DVector::from_vec($x);
        $row.entry("num-dual", move || {
            let f = |v: DVector<DualDVec64>| numdual::$f(v.as_slice());
            let (value, gradient) = num_dual::gradient(f, std::hint::black_box(&v));
            value + gradient.sum()
        })
        .absent("echidna dual", "all inputs in one pass: too wide")
        .absent("ad_trait forward", "all inputs in one pass: too wide")
    }};
}

fn gradient_rows() -> Vec<Row<'static>> {
    let two = gradient_row!("Rosenbrock gradient, n = 2", rosenbrock, point(2), hand::rosenbrock_gradient);
    let ten = gradient_row!("Rosenbrock gradient, n = 10", rosenbrock, point(10), hand::rosenbrock_gradient);
    let hundred =
        gradient_row!("Rosenbrock gradient, n = 100", rosenbrock, point(100), hand::rosenbrock_gradient);
    let thousand =
        gradient_row!("Rosenbrock gradient, n = 1000", rosenbrock, point(1000), hand::rosenbrock_gradient);
    let ions = vec![0.1, -0.2, 0.3, 1.1, 0.9, -0.4];
    let energy =
        gradient_row!("Two-ion energy gradient, 6 inputs", energy, ions.clone(), hand::energy_gradient);
    // Their product is close to 1, so that neither the values nor the adjoints die out.
    let four = vec![0.97, 1.04, 1.01, 0.98];
    let transcendental = gradient_row!(
        "Loop of 1e5 operations, mostly transcendental",
        transcendental,
        four.clone(),
        |x: &[f64], g: &mut [f64]| hand::transcendental_gradient(x, g, &mut Vec::new())
    );
    let multiply_add = gradient_row!(
        "Loop of 1e5 operations, multiply-adds",
        multiply_add,
        four.clone(),
        |x: &[f64], g: &mut [f64]| hand::multiply_add_gradient(x, g, &mut Vec::new())
    );
    vec![
        with_fixed!(two, rosenbrock, point(2), 2),
        with_fixed!(ten, rosenbrock, point(10), 10),
        with_dynamic!(hundred, rosenbrock, point(100)),
        with_dynamic!(thousand, rosenbrock, point(1000)),
        with_fixed!(energy, energy, ions, 6),
        with_fixed!(transcendental, transcendental, four.clone(), 4),
        with_fixed!(multiply_add, multiply_add, four, 4),
    ]
}

fn hessian_row() -> Row<'static> {
    const N: usize = 50;
    let x = point(N);
    let f = scalar_fn!(gradus::rosenbrock);
    let plan = ScalarDriver::new(f, &x).hessian_plan().explain();
    let dense = |mode: Option<Mode>| {
        let x = point(N);
        let mut driver = ScalarDriver::new(f, &x);
        if let Some(mode) = mode {
            driver = driver.with_mode(mode);
        }
        let (mut g, mut h) = (vec![0.0; N], vec![0.0; N * N]);
        move || {
            driver.hessian_into(std::hint::black_box(&x), &mut g, &mut h);
            h.iter().sum::<f64>()
        }
    };
    let mut sparse = SparseHessian::new(f, &x);
    let (sparse_x, mut g, mut values) = (x.clone(), vec![0.0; N], vec![0.0; sparse.pattern().nonzeros()]);
    let hand_x = x.clone();
    let mut hand_h = vec![0.0; N * N];
    let v = SVector::<f64, N>::from_row_slice(&x);
    let (tape, _) = echidna::record(ech::rosenbrock, &x);
    let (sparse_tape, _) = echidna::record(ech::rosenbrock, &x);
    let (tape_x, sparse_tape_x) = (x.clone(), x.clone());
    let pattern = sparse_tape.detect_sparsity();
    let (colors, count) = echidna::sparse::greedy_coloring(&pattern);
    Row::new("Rosenbrock Hessian, n = 50")
        .plan(format!("{plan}\nsparse: {}", sparse.explain()))
        .entry("plain", plain(gradus::rosenbrock::<f64>, &x))
        .entry("hand-written", move || {
            hand::rosenbrock_hessian(std::hint::black_box(&hand_x), &mut hand_h);
            hand_h.iter().sum::<f64>()
        })
        .entry("gradus", dense(None))
        .entry("gradus forward", dense(Some(Mode::Forward)))
        .entry("gradus reverse", dense(Some(Mode::Reverse)))
        .entry("gradus sparse", move || {
            sparse.evaluate_into(std::hint::black_box(&sparse_x), &mut g, &mut values);
            values.iter().sum()
        })
        .entry("num-dual", move || {
            let f = |v: SVector<Dual2SVec64<N>, N>| numdual::rosenbrock(v.as_slice());
            num_dual::hessian(f, std::hint::black_box(&v)).2.sum()
        })
        .entry("echidna replay", move || {
            tape.hessian_vec::<8>(std::hint::black_box(&tape_x)).2.iter().flatten().sum()
        })
        .entry("echidna sparse", move || {
            let (_, _, values) = sparse_tape.sparse_hessian_with_pattern(
                std::hint::black_box(&sparse_tape_x),
                &pattern,
                &colors,
                count,
            );
            // One triangle is stored.
            pattern
                .rows
                .iter()
                .zip(&pattern.cols)
                .zip(values)
                .map(|((i, j), v)| if i == j { v } else { 2.0 * v })
                .sum()
        })
        .entry("ad_trait reverse", peers::ad_trait_hessian::<10>(adtrait::rosenbrock, adtrait::rosenbrock, x))
}

fn stencil_row() -> Row<'static> {
    const N: usize = SIDE * SIDE;
    let u = point(N);
    let mut jacobian = SparseJacobian::new(vector_fn!(gradus::stencil, |n| n), &u);
    let plan = jacobian.explain();
    let mut values = vec![0.0; jacobian.pattern().nonzeros()];
    let mut hand_values = values.clone();
    let mut out = vec![0.0; N];
    let (plain_u, hand_u, our_u, tape_u, wide_u) = (u.clone(), u.clone(), u.clone(), u.clone(), u.clone());
    let record = || {
        echidna::record_multi(
            |u| {
                let mut out = u.to_vec();
                ech::stencil(u, &mut out);
                out
            },
            &u,
        )
        .0
    };
    let (mut tape, mut wide) = (record(), record());
    let pattern = tape.detect_jacobian_sparsity();
    let (colors, count) = echidna::sparse::column_coloring(&pattern);
    Row::new("Sparse Jacobian of a 10,000-point stencil")
        .plan(plan)
        .entry("plain", move || {
            gradus::stencil(std::hint::black_box(&plain_u), &mut out);
            out[N / 2]
        })
        .entry("hand-written", move || {
            hand::stencil_jacobian(std::hint::black_box(&hand_u), &mut hand_values);
            hand_values.iter().sum()
        })
        .entry("gradus", move || {
            jacobian.evaluate_into(std::hint::black_box(&our_u), &mut values);
            values.iter().sum()
        })
        .entry("echidna replay", move || {
            tape.sparse_jacobian_with_pattern(std::hint::black_box(&tape_u), &pattern, &colors, count, true)
                .1
                .iter()
                .sum()
        })
        .entry("echidna dual", move || {
            wide.sparse_jacobian_vec::<8>(std::hint::black_box(&wide_u)).2.iter().sum()
        })
        .absent("num-dual", "no sparse Jacobian")
        .absent("ad_trait", "no sparse Jacobian")
}

fn print_table(result: &Result) {
    let time = |name: &str| result.times.iter().find(|(n, _)| *n == name).map(|&(_, t)| t);
    let plain = time("plain").unwrap_or(f64::NAN);
    println!("\n{}\n  {}", result.task, result.plan.replace('\n', "\n  "));
    for (name, ns) in &result.times {
        println!("  {name:<18} {:>14}  {:>8.2}x plain", readable(*ns), ns / plain);
    }
    for (name, why) in &result.absent {
        println!("  {name:<18} {:>14}  {why}", "-");
    }
    let peers = result.times.iter().filter(|(n, _)| is_peer(n));
    let Some((peer, best)) = peers.min_by(|a, b| a.1.total_cmp(&b.1)) else { return };
    let ours = ["gradus", "gradus array", "gradus sparse"]
        .into_iter()
        .filter_map(time)
        .fold(f64::INFINITY, f64::min);
    println!("  -> {:.2}x the speed of the fastest other crate ({peer})", best / ours);
}

fn is_peer(name: &str) -> bool {
    !name.starts_with("gradus") && name != "plain" && name != "hand-written"
}

fn readable(ns: f64) -> String {
    match ns {
        ns if ns < 1e4 => format!("{ns:.1} ns"),
        ns if ns < 1e7 => format!("{:.1} us", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

fn print_json(result: &Result) {
    let times: Vec<String> = result.times.iter().map(|(name, ns)| format!("\"{name}\": {ns:.2}")).collect();
    let absent: Vec<String> =
        result.absent.iter().map(|(name, why)| format!("\"{name}\": \"{why}\"")).collect();
    println!(
        "{{\"task\": \"{}\", \"unit\": \"ns\", \"times\": {{{}}}, \"absent\": {{{}}}, \"plan\": \"{}\"}}",
        result.task,
        times.join(", "),
        absent.join(", "),
        result.plan.replace('\n', "; "),
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    let only = arguments.iter().find_map(|a| a.strip_prefix("--only="));
    let known = |a: &str| ["--json", "--quick", "--calibrate"].contains(&a) || a.starts_with("--only=");
    if let Some(unknown) = arguments.iter().find(|a| !known(a)) {
        eprintln!("unknown argument `{unknown}`; known: --json, --quick, --only=TEXT, --calibrate");
        std::process::exit(2);
    }
    if has("--calibrate") {
        print!("{}", gradus_num::drivers::UnitCosts::measure());
        return;
    }
    // Short batches and many rounds: an interruption spoils few samples, and the median none.
    let (batch, rounds) = if has("--quick") { (100, 61) } else { (300, 401) };
    let mut rows = gradient_rows();
    rows.push(hessian_row());
    rows.push(stencil_row());
    for row in rows.into_iter().filter(|row| only.is_none_or(|text| row.task.contains(text))) {
        let result = measure(row, Duration::from_micros(batch), rounds);
        if has("--json") { print_json(&result) } else { print_table(&result) }
    }
}

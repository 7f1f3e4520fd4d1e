//! Double-precision functions against a table of exact values, on every instruction set of the machine.
//!
//! `tools/tables.py` writes the table; `GRADUS_VMATH_TABLE` names another (say, of a million points).

#[path = "support/single.rs"]
#[allow(dead_code, reason = "only the references are used here")]
mod single;

use std::collections::BTreeMap;

use gradus_cpu::vmath::{self, InstructionSet, RawOperand};
use gradus_num::{Binary, Unary};

const LIMIT: f64 = 2.0;

enum Op {
    Unary(Unary),
    Binary(Binary),
}

fn op(name: &str) -> Op {
    Op::Unary(match name {
        "powi3" => Unary::Powi(3),
        "powi4" => Unary::Powi(4),
        "powi-2" => Unary::Powi(-2),
        "powi7" => Unary::Powi(7),
        "powi-11" => Unary::Powi(-11),
        "pow" => return Op::Binary(Binary::Pow),
        "atan2" => return Op::Binary(Binary::Atan2),
        "hypot" => return Op::Binary(Binary::Hypot),
        _ => *Unary::ALL
            .iter()
            .find(|op| op.name() == name)
            .unwrap_or_else(|| panic!("the table names an unknown function `{name}`")),
    })
}

struct Row {
    x: f64,
    y: f64,
    want: f64,
    thousandths: f64,
}

fn table() -> BTreeMap<String, Vec<Row>> {
    let text = match std::env::var("GRADUS_VMATH_TABLE") {
        Ok(path) => std::fs::read_to_string(path).expect("the named table can be read"),
        Err(_) => include_str!("data/vmath_f64.txt").to_owned(),
    };
    let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |i: usize| f64::from_bits(u64::from_str_radix(fields[i], 16).expect("hexadecimal bits"));
        let last = fields.len() - 1;
        let row = Row {
            x: number(1),
            y: if last == 4 { number(2) } else { 0.0 },
            want: number(last - 1),
            thousandths: fields[last].parse().expect("a number of thousandths"),
        };
        rows.entry(fields[0].to_owned()).or_default().push(row);
    }
    rows
}

fn ulps(got: f64, row: &Row) -> f64 {
    if got.is_nan() || row.want.is_nan() {
        return if got.is_nan() && row.want.is_nan() { 0.0 } else { f64::INFINITY };
    }
    // Results of one sign are apart by as many units as their bits.
    if got.is_sign_negative() != row.want.is_sign_negative() && row.want != 0.0 {
        return f64::INFINITY;
    }
    let steps = (got.abs().to_bits() as i64 - row.want.abs().to_bits() as i64) as f64;
    let toward = if row.want < 0.0 { -row.thousandths } else { row.thousandths };
    (steps - toward / 1000.0).abs()
}

#[test]
fn within_two_units_of_the_exact_value() {
    let rows = table();
    assert_eq!(rows.len(), 33);
    let mut failures = Vec::new();
    for &level in InstructionSet::available() {
        for (name, rows) in &rows {
            let x: Vec<f64> = rows.iter().map(|row| row.x).collect();
            let y: Vec<f64> = rows.iter().map(|row| row.y).collect();
            let mut got = vec![0.0; rows.len()];
            let (px, py, out, n) = (x.as_ptr(), y.as_ptr(), got.as_mut_ptr(), rows.len());
            // SAFETY: all vectors hold `n` elements; the level is one of this machine.
            unsafe {
                match op(name) {
                    Op::Unary(op) => vmath::unary_raw_at(level, op, px, out, n),
                    Op::Binary(op) => {
                        let (a, b) = (RawOperand::Many(px), RawOperand::Many(py));
                        vmath::binary_raw_at(level, op, a, b, out, n);
                    }
                }
            }
            let (error, i) = (0..n)
                .map(|i| (ulps(got[i], &rows[i]), i))
                .fold((0.0, 0), |worst, this| if this.0 > worst.0 { this } else { worst });
            println!("{name:9} {level:?} {error:.3} at {:e} {:e}", x[i], y[i]);
            if error > LIMIT {
                failures.push(format!(
                    "{name} {level:?}: {error:.3} ulp at ({:e}, {:e}): {:e}",
                    x[i], y[i], got[i]
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn special_values() {
    let mut x = vec![
        0.0,
        f64::from_bits(1),
        f64::from_bits(0x000F_FFFF_FFFF_FFFF),
        f64::MIN_POSITIVE,
        1e-300,
        1e-20,
        1e-17,
        1e-8,
        1e-4,
        0.5,
        1.0,
        2.0,
        25.0,
        28.0,
        40.0,
        709.7,
        710.0,
        710.5,
        745.0,
        746.5,
        1024.0,
        1075.5,
        1e6,
        1.7e6,
        1e9,
        1e100,
        1e200,
        1e305,
        f64::MAX,
        f64::INFINITY,
    ];
    let negative: Vec<f64> = x.iter().map(|x: &f64| -x).collect();
    x.extend(negative);
    x.push(f64::NAN);
    for &level in InstructionSet::available() {
        for case in &single::CASES {
            let mut y = vec![0.0; x.len()];
            // SAFETY: both vectors hold that many elements; the level is one of this machine.
            unsafe { vmath::unary_raw_at(level, case.1, x.as_ptr(), y.as_mut_ptr(), x.len()) };
            for i in 0..x.len() {
                let want = (case.2)(x[i]);
                if want == 0.0 && !case.0.starts_with("powi") {
                    assert_eq!(y[i].to_bits(), want.to_bits(), "{} {level:?} at {:e}", case.0, x[i]);
                }
                // The reference has an error of its own, and the products above overflow on their way.
                if !case.0.starts_with("powi -") {
                    let error = ulps(y[i], &Row { x: x[i], y: 0.0, want, thousandths: 0.0 });
                    assert!(error <= 3.0, "{} {level:?} at {:e}: {:e}, not {want:e}", case.0, x[i], y[i]);
                }
            }
        }
    }
}

#[test]
fn two_arguments() {
    let sample =
        [0.0, 5e-324, 1e-310, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 1e10, 1e155, 1e308, f64::INFINITY, f64::NAN];
    let references: [(Binary, fn(f64, f64) -> f64); 3] =
        [(Binary::Pow, libm::pow), (Binary::Atan2, libm::atan2), (Binary::Hypot, libm::hypot)];
    let signed = |s: &[f64]| s.iter().flat_map(|&v| [v, -v]).collect::<Vec<f64>>();
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for &a in &signed(&sample) {
        for &b in &signed(&sample) {
            x.push(a);
            y.push(b);
        }
    }
    for &level in InstructionSet::available() {
        for (op, reference) in &references {
            let mut got = vec![0.0; x.len()];
            let (a, b) = (RawOperand::Many(x.as_ptr()), RawOperand::Many(y.as_ptr()));
            // SAFETY: the vectors hold that many elements; the level is one of this machine.
            unsafe { vmath::binary_raw_at(level, *op, a, b, got.as_mut_ptr(), x.len()) };
            for i in 0..x.len() {
                let want = reference(x[i], y[i]);
                let error = ulps(got[i], &Row { x: x[i], y: y[i], want, thousandths: 0.0 });
                assert!(
                    error <= 2.0,
                    "{op:?} {level:?} of {:e}, {:e}: {:e}, not {want:e}",
                    x[i],
                    y[i],
                    got[i]
                );
                assert!(
                    want != 0.0 || got[i].to_bits() == want.to_bits(),
                    "{op:?} of {:e}, {:e}",
                    x[i],
                    y[i]
                );
            }
        }
    }
}

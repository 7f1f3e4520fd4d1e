//! Single-precision functions on a sample of all arguments; the `ulp` example tries every one.

#[path = "support/single.rs"]
mod single;

use gradus_cpu::vmath::{self, Compare, InstructionSet, Operand, RawOperand};
use gradus_num::{Binary, Unary};

/// A prime, so that the low bits of the arguments vary.
const STRIDE: u32 = 10_007;

#[test]
fn within_two_units_everywhere() {
    let count = (1u64 << 32).div_ceil(STRIDE as u64) as usize;
    for case in &single::CASES {
        let found = single::worst(case, InstructionSet::available(), 0, STRIDE, count);
        for (level, (error, at)) in InstructionSet::available().iter().zip(found) {
            assert!(error <= 2.0, "{} {level:?}: {error} ulp at {at:e}", case.0);
        }
    }
}

/// Zeros, subnormals, ones, the largest, infinities, NaN, and the neighbourhood of the functions' own borders.
fn special() -> Vec<f32> {
    let mut values = vec![
        0.0,
        f32::from_bits(1),
        f32::from_bits(0x007F_FFFF),
        f32::MIN_POSITIVE,
        1e-20,
        1e-9,
        1e-4,
        0.5,
        0.625,
        0.925,
        1.0,
        1.5,
        2.0,
        3.0,
        4.0,
        10.0,
        17.0,
        88.7,
        88.8,
        89.5,
        103.9,
        104.1,
        128.0,
        150.0,
        1e6,
        1.7e6,
        1e10,
        1e30,
        f32::MAX,
        f32::INFINITY,
    ];
    let next: Vec<f32> = values.iter().map(|x: &f32| f32::from_bits(x.to_bits().saturating_add(1))).collect();
    let before: Vec<f32> =
        values.iter().map(|x: &f32| f32::from_bits(x.to_bits().saturating_sub(1))).collect();
    values.extend(next);
    values.extend(before);
    let negative: Vec<f32> = values.iter().map(|x| -x).collect();
    values.extend(negative);
    values.push(f32::NAN);
    values
}

#[test]
fn special_values() {
    let x = special();
    for &level in InstructionSet::available() {
        for case in &single::CASES {
            let mut y = vec![0f32; x.len()];
            // SAFETY: both vectors hold that many elements; the level is one of this machine.
            unsafe { vmath::unary_raw_at(level, case.1, x.as_ptr(), y.as_mut_ptr(), x.len()) };
            for i in 0..x.len() {
                let exact = (case.2)(x[i] as f64);
                let error = single::ulps(y[i], exact);
                assert!(error <= 2.0, "{} {level:?} at {:e}: {:e}, not {exact:e}", case.0, x[i], y[i]);
            }
        }
    }
}

#[test]
fn two_arguments() {
    let sample = special();
    let references: [(Binary, fn(f64, f64) -> f64); 9] = [
        (Binary::Add, |a, b| a + b),
        (Binary::Sub, |a, b| a - b),
        (Binary::Mul, |a, b| a * b),
        (Binary::Div, |a, b| a / b),
        (Binary::Rem, |a, b| a % b),
        (Binary::Pow, libm::pow),
        (Binary::Atan2, libm::atan2),
        (Binary::Hypot, libm::hypot),
        (Binary::Max, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }),
    ];
    let mut x = Vec::new();
    let mut y = Vec::new();
    for &a in &sample {
        for &b in sample.iter().chain(&[2.5, 5.0, 0.1, -7.0]) {
            x.push(a);
            y.push(b);
        }
    }
    for &level in InstructionSet::available() {
        for (op, reference) in &references {
            let mut got = vec![0f32; x.len()];
            let (a, b) = (RawOperand::Many(x.as_ptr()), RawOperand::Many(y.as_ptr()));
            // SAFETY: the vectors hold that many elements; the level is one of this machine.
            unsafe { vmath::binary_raw_at(level, *op, a, b, got.as_mut_ptr(), x.len()) };
            for i in 0..x.len() {
                let exact = reference(x[i] as f64, y[i] as f64);
                let zeros = *op == Binary::Max && exact == 0.0 && got[i] == 0.0;
                let error = if zeros { 0.0 } else { single::ulps(got[i], exact) };
                // A double-precision sum may itself be rounded to a tie: half a unit more.
                assert!(
                    error <= 1.5,
                    "{op:?} {level:?} of {:e}, {:e}: {:e}, not {exact:e}",
                    x[i],
                    y[i],
                    got[i]
                );
            }
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_result_does_not_depend_on_its_place() {
    let x: Vec<f32> = (0..67).map(|i| (i as f32 - 30.0) * 0.37).collect();
    for case in &single::CASES {
        let mut whole = vec![0f32; x.len()];
        vmath::unary(case.1, &x, &mut whole);
        for start in [0, 1, 5, 16, 33] {
            for len in [1, 2, 3, 15, 16, 17, 31] {
                let mut part = vec![0f32; len];
                vmath::unary(case.1, &x[start..start + len], &mut part);
                assert_eq!(bits(&part), bits(&whole[start..start + len]), "{}", case.0);
            }
        }
        let mut in_place = x.clone();
        vmath::unary_in_place(case.1, &mut in_place);
        assert_eq!(bits(&in_place), bits(&whole), "{}", case.0);
    }
}

#[test]
fn scalars_stand_for_slices() {
    let x: Vec<f32> = (0..37).map(|i| i as f32 * 0.5 + 0.25).collect();
    let k = vec![1.75f32; x.len()];
    for op in [Binary::Add, Binary::Sub, Binary::Div, Binary::Pow, Binary::Atan2, Binary::Min] {
        let mut want = vec![0f32; x.len()];
        let mut got = want.clone();
        vmath::binary(op, Operand::Slice(&x), Operand::Slice(&k), &mut want);
        vmath::binary(op, Operand::Slice(&x), Operand::Scalar(1.75), &mut got);
        assert_eq!(got, want);
        let mut assigned = x.clone();
        vmath::binary_in_place(op, &mut assigned, Operand::Scalar(1.75));
        assert_eq!(assigned, want);
        vmath::binary(op, Operand::Slice(&k), Operand::Slice(&x), &mut want);
        vmath::binary(op, Operand::Scalar(1.75), Operand::Slice(&x), &mut got);
        assert_eq!(got, want);
        vmath::binary(op, Operand::Scalar(1.75), Operand::Scalar(x[3]), &mut got);
        assert!(got.iter().all(|&value| value == want[3]));
    }
}

#[test]
fn comparisons_and_selection() {
    let x: Vec<f32> = (0..40).map(|i| if i % 7 == 3 { f32::NAN } else { (i % 5) as f32 }).collect();
    let mut mask = vec![0u8; x.len()];
    let tests: [(Compare, fn(f32) -> bool); 6] = [
        (Compare::Lt, |v| v < 2.0),
        (Compare::Le, |v| v <= 2.0),
        (Compare::Gt, |v| v > 2.0),
        (Compare::Ge, |v| v >= 2.0),
        (Compare::Eq, |v| v == 2.0),
        (Compare::Ne, |v| v != 2.0),
    ];
    for (op, test) in tests {
        vmath::compare(op, Operand::Slice(&x), Operand::Scalar(2.0), &mut mask);
        let mut chosen = vec![0f32; x.len()];
        vmath::select(&mask, Operand::Scalar(1.0), Operand::Slice(&x), &mut chosen);
        for i in 0..x.len() {
            assert_eq!(mask[i] != 0, test(x[i]));
            assert_eq!(chosen[i].to_bits(), if test(x[i]) { 1f32.to_bits() } else { x[i].to_bits() });
        }
    }
}

#[test]
fn the_rest_of_the_functions() {
    let x = [-2.5f64, -0.5, -0.0, 0.0, 0.5, 1.5, 2.5, f64::INFINITY, f64::NAN];
    let mut y = [0f64; 9];
    vmath::unary(Unary::Round, &x, &mut y);
    assert_eq!(y[..8], [-2.0, -0.0, -0.0, 0.0, 0.0, 2.0, 2.0, f64::INFINITY]);
    vmath::unary(Unary::Sign, &x, &mut y);
    assert_eq!(y[..8], [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    assert!(y[8].is_nan());
    vmath::unary(Unary::Floor, &x, &mut y);
    assert_eq!(y[..8], [-3.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, f64::INFINITY]);
    vmath::unary(Unary::Ceil, &x, &mut y);
    assert_eq!(y[..8], [-2.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, f64::INFINITY]);
    vmath::unary(Unary::Lgamma, &x, &mut y);
    assert!((y[5] - 0.5f64.ln() - 0.5 * std::f64::consts::PI.ln()).abs() < 1e-14);
    assert_eq!(y[7], f64::INFINITY);
    vmath::unary(Unary::Polygamma(1), &x, &mut y);
    assert!((y[5] - 0.934_802_200_544_679_3).abs() < 1e-14);
}

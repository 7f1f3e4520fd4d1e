//! Every operation beside the same of numbers.

use crate::vmath::fused::{Code, FusedKernel, Op, Place};
use crate::vmath::{Float, InstructionSet};

const SINGLES: [Code; 12] = [
    Code::Neg,
    Code::Abs,
    Code::Sign,
    Code::Recip,
    Code::Sqrt,
    Code::Rsqrt,
    Code::Square,
    Code::Cube,
    Code::Fourth,
    Code::InverseSquare,
    Code::Not,
    Code::Same,
];
const PAIRS: [Code; 22] = [
    Code::Add,
    Code::Sub,
    Code::Less,
    Code::Mul,
    Code::Div,
    Code::Over,
    Code::Linear,
    Code::Linked,
    Code::Tangents,
    Code::Max,
    Code::MaxOf,
    Code::Min,
    Code::MinOf,
    Code::Lt,
    Code::Le,
    Code::Gt,
    Code::Ge,
    Code::Eq,
    Code::Ne,
    Code::And,
    Code::Or,
    Code::Xor,
];

fn truth<T: Float>(x: bool) -> T {
    if x { T::ONE } else { T::ZERO }
}

/// An operation on the accumulator and one operand, by numbers.
fn expected<T: Float>(code: Code, x: T, y: T) -> T {
    let linear = |residual: T, tangent: T| {
        if tangent.is_dead() { tangent } else { residual * tangent + T::ZERO }
    };
    match code {
        Code::Neg => -x,
        Code::Abs => x.abs(),
        Code::Sign if x > T::ZERO => T::ONE,
        Code::Sign if x < T::ZERO => -T::ONE,
        Code::Sign | Code::Same => x,
        Code::Recip => T::ONE / x,
        Code::Sqrt => x.sqrt(),
        Code::Rsqrt => T::ONE / x.sqrt(),
        Code::Square => x * x,
        Code::Cube => x * x * x,
        Code::Fourth => (x * x) * (x * x),
        Code::InverseSquare => (T::ONE / x) * (T::ONE / x),
        Code::Not => T::ONE - x,
        Code::Add => x + y,
        Code::Sub => x - y,
        Code::Less => y - x,
        Code::Mul => x * y,
        Code::Div => x / y,
        Code::Over => y / x,
        Code::Linear => linear(x, y),
        Code::Linked => linear(y, x),
        Code::Tangents if x.is_dead() => x,
        Code::Tangents => linear(x, y),
        Code::Max if x > y || x.is_nan() => x,
        Code::MaxOf if !(y > x || y.is_nan()) => x,
        Code::Min if x < y || x.is_nan() => x,
        Code::MinOf if !(y < x || y.is_nan()) => x,
        Code::Max | Code::MaxOf | Code::Min | Code::MinOf => y,
        Code::Lt => truth(x < y),
        Code::Le => truth(x <= y),
        Code::Gt => truth(x > y),
        Code::Ge => truth(x >= y),
        Code::Eq => truth(x == y),
        Code::Ne => truth(x != y),
        Code::And => x * y,
        Code::Or => truth(x + y > T::ZERO),
        Code::Xor => truth(x != y),
        _ => unreachable!("not an operation of two"),
    }
}

fn same<T: Float>(x: T, y: T) -> bool {
    x.is_nan() && y.is_nan() || x.to_f64().to_bits() == y.to_f64().to_bits()
}

/// The result of an operation on every instruction set: `masks` says which operands, and whether the result, are
/// masks.
fn run<T: Float + FusedKernel<T>>(
    code: Code,
    values: [&[T]; 3],
    masks: [bool; 3],
    fixed: [bool; 2],
) -> Vec<Vec<T>> {
    let n = values[0].len();
    let bytes = values.map(|v| v.iter().map(|&v| u8::from(v == T::ONE)).collect::<Vec<u8>>());
    let width = |mask: bool| if mask { 1 } else { size_of::<T>() as u8 };
    let place =
        |slot: u16, mask: bool, same: bool| Place { slot, step: if same { 0 } else { width(mask) }, same };
    let (x, a) = (place(0, masks[0], false), place(1, masks[1], fixed[0]));
    let (b, out) = (place(2, false, fixed[1]), place(3, masks[2], false));
    let load = if masks[0] { Code::LoadMask } else { Code::Load };
    let ops = [
        Op { code: load, args: [x, x], out: None, mask: false },
        Op { code, args: [a, b], out: Some(out), mask: masks[2] },
    ];
    let results = InstructionSet::available().iter().map(|&level| {
        let (mut out, mut out_bytes) = (vec![T::ZERO; n], vec![0u8; n]);
        let at = |i: usize| match masks.get(i).filter(|_| i < 2) {
            Some(true) => bytes[i].as_ptr().cast_mut(),
            _ => values[i].as_ptr().cast::<u8>().cast_mut(),
        };
        let result = if masks[2] { out_bytes.as_mut_ptr() } else { out.as_mut_ptr().cast() };
        // SAFETY: all hold `n` elements; the level is available.
        unsafe { <T as FusedKernel<T>>::call(level, &ops, &[at(0), at(1), at(2), result], n) };
        if masks[2] { out_bytes.iter().map(|&b| T::from_f64(b.into())).collect() } else { out }
    });
    results.collect()
}

fn every_operation<T: Float + FusedKernel<T>>() {
    let special = [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 3.5, -0.3, 1e-30, 7e19];
    for n in [1, 7, 16, 33, 64 + 3, 128, 300] {
        let value = |i: usize, by: usize| T::from_f64(special[(i * by + i / 11) % special.len()]);
        let (x, a, b): (Vec<T>, Vec<T>, Vec<T>) = (
            (0..n).map(|i| value(i, 1)).collect(),
            (0..n).map(|i| value(i, 3)).collect(),
            (0..n).map(|i| value(i, 7)).collect(),
        );
        let mask = |v: &[T]| v.iter().map(|&v| truth(v > T::ZERO)).collect::<Vec<T>>();
        let (mask_x, mask_a) = (mask(&x), mask(&a));
        let fixed = vec![T::from_f64(2.5); n.max(16)];
        let check = |code: Code, got: Vec<Vec<T>>, wanted: &dyn Fn(usize) -> T| {
            for got in got {
                for (i, &got) in got.iter().enumerate() {
                    assert!(
                        same(got, wanted(i)),
                        "{code:?}, element {i} of {n}: {got:?}, not {:?}",
                        wanted(i)
                    );
                }
            }
        };
        for code in SINGLES {
            let masks = [code == Code::Not, false, code == Code::Not];
            let x = if masks[0] { &mask_x } else { &x };
            check(code, run(code, [x, &a, &b], masks, [false; 2]), &|i| expected(code, x[i], a[i]));
        }
        for code in PAIRS {
            let logic = matches!(code, Code::And | Code::Or | Code::Xor);
            let test = matches!(code, Code::Lt | Code::Le | Code::Gt | Code::Ge | Code::Eq | Code::Ne);
            let (x, a) = if logic { (&mask_x, &mask_a) } else { (&x, &a) };
            check(code, run(code, [x, a, &b], [logic, logic, logic || test], [false; 2]), &|i| {
                expected(code, x[i], a[i])
            });
            if !logic {
                let got = run(code, [x, &fixed, &b], [false, false, test], [true, false]);
                check(code, got, &|i| expected(code, x[i], fixed[0]));
            }
            for outer in PAIRS.into_iter().chain(SINGLES) {
                let Some(both) = code.then(outer) else { continue };
                let wanted = |a: T, b: T, x: T| expected(outer, expected(code, x, a), b);
                check(both, run(both, [x, a, &b], [false; 3], [false; 2]), &|i| wanted(a[i], b[i], x[i]));
                let got = run(both, [x, &fixed, &b], [false; 3], [true, false]);
                check(both, got, &|i| wanted(fixed[0], b[i], x[i]));
                let got = run(both, [x, a, &fixed], [false; 3], [false, true]);
                check(both, got, &|i| wanted(a[i], fixed[0], x[i]));
                let got = run(both, [x, &fixed, &fixed], [false; 3], [true; 2]);
                check(both, got, &|i| wanted(fixed[0], fixed[0], x[i]));
            }
            for product in [Code::Mul, Code::Linear] {
                let Some(both) = code.with_product(product) else { continue };
                let wanted = |i: usize| expected(code, x[i], expected(product, a[i], b[i]));
                check(both, run(both, [x, a, &b], [false; 3], [false; 2]), &wanted);
            }
        }
        let chosen = |mask: T, x: T, y: T| if mask == T::ONE { x } else { y };
        let got = run(Code::Choose, [&mask_x, &a, &b], [true, false, false], [false; 2]);
        check(Code::Choose, got, &|i| chosen(mask_x[i], a[i], b[i]));
        let got = run(Code::Where, [&x, &mask_a, &b], [false, true, false], [false; 2]);
        check(Code::Where, got, &|i| chosen(mask_a[i], x[i], b[i]));
        let got = run(Code::Unless, [&x, &mask_a, &fixed], [false, true, false], [false, true]);
        check(Code::Unless, got, &|i| chosen(mask_a[i], fixed[0], x[i]));
        for single in SINGLES {
            let Some(both) = single.then(Code::Add) else { continue };
            let wanted = |i: usize| expected(Code::Add, expected(single, x[i], x[i]), a[i]);
            check(both, run(both, [&x, &a, &b], [false; 3], [false; 2]), &wanted);
        }
        for code in PAIRS {
            let Some(begin) = code.begin() else { continue };
            check(begin, run(begin, [&x, &a, &b], [false; 3], [false; 2]), &|i| expected(code, a[i], b[i]));
        }
        let square = |i: usize| expected(Code::Square, a[i], a[i]);
        check(Code::BeginSquare, run(Code::BeginSquare, [&x, &a, &b], [false; 3], [false; 2]), &square);
    }
}

#[test]
fn every_operation_is_that_of_numbers_on_every_level() {
    every_operation::<f32>();
    every_operation::<f64>();
}

//! Element-wise functions on one thread: a block that stays in cache, on every instruction set.

use gradus_cpu::vmath::{self, Float, InstructionSet, RawOperand};
use gradus_num::{Binary, Unary};

use crate::timing::median_ns;

const UNARY: [(&str, Unary); 29] = [
    ("neg", Unary::Neg),
    ("recip", Unary::Recip),
    ("sqrt", Unary::Sqrt),
    ("rsqrt", Unary::Rsqrt),
    ("cbrt", Unary::Cbrt),
    ("exp", Unary::Exp),
    ("exp2", Unary::Exp2),
    ("expm1", Unary::Expm1),
    ("log", Unary::Log),
    ("log2", Unary::Log2),
    ("log1p", Unary::Log1p),
    ("sin", Unary::Sin),
    ("cos", Unary::Cos),
    ("tan", Unary::Tan),
    ("asin", Unary::Asin),
    ("acos", Unary::Acos),
    ("atan", Unary::Atan),
    ("sinh", Unary::Sinh),
    ("cosh", Unary::Cosh),
    ("tanh", Unary::Tanh),
    ("asinh", Unary::Asinh),
    ("acosh", Unary::Acosh),
    ("atanh", Unary::Atanh),
    ("sech2", Unary::Sech2),
    ("sigmoid", Unary::Sigmoid),
    ("softplus", Unary::Softplus),
    ("erf", Unary::Erf),
    ("erfc", Unary::Erfc),
    ("lgamma", Unary::Lgamma),
];

const BINARY: [(&str, Binary); 7] = [
    ("add", Binary::Add),
    ("div", Binary::Div),
    ("max", Binary::Max),
    ("rem", Binary::Rem),
    ("pow", Binary::Pow),
    ("atan2", Binary::Atan2),
    ("hypot", Binary::Hypot),
];

fn ns_each<T: Float>(level: InstructionSet, op: Unary, x: &[T], y: &mut [T]) -> f64 {
    // SAFETY: both slices have the same length, and the level is one of this machine.
    median_ns(|| unsafe { vmath::unary_raw_at(level, op, x.as_ptr(), y.as_mut_ptr(), x.len()) })
        / x.len() as f64
}

fn ns_pair<T: Float>(level: InstructionSet, op: Binary, x: &[T], y: &mut [T]) -> f64 {
    let operand = RawOperand::Many(x.as_ptr());
    // SAFETY: as above.
    median_ns(|| unsafe { vmath::binary_raw_at(level, op, operand, operand, y.as_mut_ptr(), x.len()) })
        / x.len() as f64
}

/// Prints nanoseconds an element for both types on every level.
pub fn report() {
    let levels = InstructionSet::available();
    println!("vmath   ns an element, 512 elements, f32 then f64 on each of {levels:?}");
    let single: Vec<f32> = (0..512).map(|i| 0.0019 * i as f32 + 0.01).collect();
    let double: Vec<f64> = single.iter().map(|&x| x as f64).collect();
    let (mut out_single, mut out_double) = (vec![0f32; 512], vec![0f64; 512]);
    for (name, op) in UNARY {
        print!("vmath   {name:9}");
        for &level in levels {
            print!(" {:7.2}", ns_each(level, op, &single, &mut out_single));
        }
        for &level in levels {
            print!(" {:7.2}", ns_each(level, op, &double, &mut out_double));
        }
        println!();
    }
    for (name, op) in BINARY {
        print!("vmath   {name:9}");
        for &level in levels {
            print!(" {:7.2}", ns_pair(level, op, &single, &mut out_single));
        }
        for &level in levels {
            print!(" {:7.2}", ns_pair(level, op, &double, &mut out_double));
        }
        println!();
    }
}

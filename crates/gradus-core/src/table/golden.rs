//! Values and first and second derivatives of the element-wise functions to more digits than an `f64` has, as
//! rows `name direction arguments… value first second`; each result is `bits:fraction:condition`, where `fraction` is
//! the exact result's distance from the `f64` in units in the last place.

use crate::{Binary, DType, Op};

const TABLE: &str = include_str!("golden.txt");

/// An exact result.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    /// The nearest `f64`.
    pub near: f64,
    /// What it lacks, in units in the last place.
    fraction: f64,
    /// Relative change of the result over that of the arguments, at least 1.
    pub condition: f64,
}

impl Exact {
    /// From `bits:fraction:condition`, the bits in hexadecimal.
    pub fn parse(group: &str) -> Option<Self> {
        let mut parts = group.split(':');
        let near = f64::from_bits(u64::from_str_radix(parts.next()?, 16).ok()?);
        let mut number = || parts.next()?.parse().ok();
        Some(Exact { near, fraction: number()?, condition: number()? })
    }

    /// The error of a result in units in the last place of its type; what is out of range is right if both are.
    pub fn units(&self, got: f64, dtype: DType) -> f64 {
        let single = dtype == DType::F32;
        let near = if single { f64::from(self.near as f32) } else { self.near };
        if self.near.is_nan() || near == got && (single || self.fraction == 0.0) {
            return 0.0;
        }
        if !near.is_finite() || !got.is_finite() {
            return if near.is_finite() == got.is_finite() { 0.0 } else { f64::INFINITY };
        }
        let size = near.abs();
        if single {
            let unit = f64::from(f32::from_bits((size as f32).to_bits() + 1)) - size;
            return (got - self.near).abs() / unit;
        }
        let unit = f64::from_bits(size.to_bits() + 1) - size;
        let apart = (got / unit - near / unit - self.fraction).abs();
        apart.min(((got - near) / unit - self.fraction).abs())
    }
}

/// A point of one function.
#[derive(Clone, Debug)]
pub(super) struct Point {
    /// The arguments.
    pub args: Vec<f64>,
    /// The argument differentiated in.
    pub direction: usize,
    /// Value, first and second derivative.
    pub exact: [Exact; 3],
    /// The order up to which powers of the arguments stay in range.
    pub orders: usize,
}

/// The points of a function; none for those that are exact or have no closed form.
pub(super) fn points(op: &Op) -> Vec<Point> {
    let (name, arity) = match op {
        Op::Unary(op) => (op.to_string(), 1),
        Op::Binary(op) => (Binary::name(*op).to_string(), 2),
        _ => return Vec::new(),
    };
    let rows = TABLE.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    rows.filter(|fields| fields[0] == name).filter_map(|fields| parse(&fields, arity)).collect()
}

fn parse(fields: &[&str], arity: usize) -> Option<Point> {
    let bits = |b: &&str| u64::from_str_radix(b, 16).map(f64::from_bits).ok();
    let args = fields[2..2 + arity].iter().map(bits).collect::<Option<Vec<f64>>>()?;
    let exact = [0, 1, 2].map(|k| Exact::parse(fields.get(2 + arity + k)?));
    let [Some(value), Some(first), Some(second)] = exact else { return None };
    let extent = args.iter().map(|a| a.abs().log10().abs()).fold(0.0, f64::max);
    let orders = if arity == 1 { 2 } else { (300.0 / extent).clamp(1.0, 2.0) as usize };
    Some(Point { args, direction: fields[1].parse().ok()?, exact: [value, first, second], orders })
}

//! Reproducible samples for checks: a small generator and ranges of arguments.

use crate::{Array, DType, Shape, Type};

/// The generator of the checks' samples (SplitMix64). Programs draw from
/// [`RandomBits`](crate::ops::RandomBits) instead.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator started by `seed`.
    pub fn new(seed: u64) -> Self {
        Rng(seed ^ 0x9e37_79b9_7f4a_7c15)
    }
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// Uniform in `[low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
    /// Uniform in `0..n`; `n` is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }
    /// A number with `|x|` in `[½, 1)`: a tangent or cotangent entry that is not accidentally small.
    pub fn signed(&mut self) -> f64 {
        let x = self.uniform(0.5, 1.0);
        if self.bits() & 1 == 0 { x } else { -x }
    }
    /// An array of such numbers.
    pub fn direction(&mut self, ty: &Type) -> Array {
        self.array(ty, |rng, _| rng.signed())
    }
    /// An array of the numbers `f` gives, converted to the dtype.
    pub fn array(&mut self, ty: &Type, mut f: impl FnMut(&mut Rng, usize) -> f64) -> Array {
        let v: Vec<f64> = (0..ty.shape.size()).map(|i| f(self, i)).collect();
        Array::of(ty.shape.clone(), v).cast(ty.dtype)
    }
}

/// Where the samples of an operand are drawn from.
#[derive(Clone, Debug)]
pub enum Range {
    /// Uniform in an interval of the domain, away from kinks.
    Uniform(f64, f64),
    /// Uniform in one of two intervals: both sides of a kink or pole.
    Either((f64, f64), (f64, f64)),
    /// Integers of an interval, both ends included.
    Integers(i64, i64),
    /// True or false.
    Flags,
    /// Numbers at least 0.2 apart in random order, so that no order changes within a finite difference.
    Distinct,
    /// These, one after another.
    Values(Vec<f64>),
}

impl Range {
    /// A sample of a type.
    pub fn sample(&self, rng: &mut Rng, ty: &Type) -> Array {
        match self {
            Range::Uniform(low, high) => rng.array(ty, |rng, _| rng.uniform(*low, *high)),
            Range::Either(a, b) => rng.array(ty, |rng, _| {
                let (low, high) = if rng.bits() & 1 == 0 { *a } else { *b };
                rng.uniform(low, high)
            }),
            Range::Integers(low, high) => {
                rng.array(ty, |rng, _| (low + rng.below((high - low + 1) as usize) as i64) as f64)
            }
            Range::Flags => rng.array(ty, |rng, _| rng.below(2) as f64),
            Range::Distinct => {
                let n = ty.shape.size();
                let mut order: Vec<usize> = (0..n).collect();
                for i in (1..n).rev() {
                    order.swap(i, rng.below(i + 1));
                }
                let middle = n as f64 / 2.0;
                rng.array(ty, |rng, i| (order[i] as f64 - middle) * 0.3 + rng.uniform(0.0, 0.1))
            }
            Range::Values(v) => rng.array(ty, |_, i| v[i % v.len()]),
        }
    }
}

/// One operand of a case: its type and its range.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// Dtype and shape.
    pub ty: Type,
    /// Where its values come from.
    pub range: Range,
}

impl Sampled {
    /// An operand in `f64`.
    pub fn f64(shape: impl Into<Shape>, range: Range) -> Self {
        Sampled { ty: Type::new(DType::F64, shape), range }
    }
    /// An operand of another dtype.
    pub fn of(dtype: DType, shape: impl Into<Shape>, range: Range) -> Self {
        Sampled { ty: Type::new(dtype, shape), range }
    }
    /// A sample.
    pub fn draw(&self, rng: &mut Rng) -> Array {
        self.range.sample(rng, &self.ty)
    }
}

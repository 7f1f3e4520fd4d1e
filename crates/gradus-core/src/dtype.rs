//! Element types, and the Rust types that hold them.

use core::fmt;

/// The element type of a tensor, known at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 32-bit signed integer.
    I32,
    /// 64-bit signed integer.
    I64,
    /// Boolean.
    Bool,
    /// Unsigned byte, for data.
    U8,
    /// bfloat16, for storage: cast to `F32` to compute.
    Bf16,
}

impl DType {
    /// Every dtype.
    pub const ALL: [DType; 7] =
        [DType::F32, DType::F64, DType::I32, DType::I64, DType::Bool, DType::U8, DType::Bf16];

    /// Bytes an element takes.
    pub const fn size(self) -> usize {
        match self {
            DType::F64 | DType::I64 => 8,
            DType::F32 | DType::I32 => 4,
            DType::Bf16 => 2,
            DType::Bool | DType::U8 => 1,
        }
    }

    /// Whether functions are computed in this type as in the real numbers: `F32` and `F64`.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// Whether values of this type have derivatives: every float type, those for storage included.
    pub const fn is_differentiable(self) -> bool {
        matches!(self, DType::F32 | DType::F64 | DType::Bf16)
    }

    /// The type that tangents and cotangents of values of this type are computed in: a float type for storage has no
    /// arithmetic, and rounding a derivative to it between operations would lose what the program does not lose.
    pub const fn tangent(self) -> DType {
        match self {
            DType::Bf16 => DType::F32,
            other => other,
        }
    }

    /// Whether this is `I32`, `I64` or `U8`.
    pub const fn is_int(self) -> bool {
        matches!(self, DType::I32 | DType::I64 | DType::U8)
    }

    /// The largest value, if this is `I32`, `I64` or `U8`.
    pub const fn largest_integer(self) -> Option<u64> {
        match self {
            DType::I32 => Some(i32::MAX as u64),
            DType::I64 => Some(i64::MAX as u64),
            DType::U8 => Some(u8::MAX as u64),
            DType::F32 | DType::F64 | DType::Bool | DType::Bf16 => None,
        }
    }

    /// The largest whole number up to which this type holds all, if it has arithmetic: what can be counted in it.
    pub const fn counts_to(self) -> Option<u64> {
        match self {
            DType::F32 => Some(1 << 24),
            DType::F64 => Some(1 << 53),
            other => other.largest_integer(),
        }
    }

    /// Whether the type holds the number: floats round what is between two of theirs, others hold it or not.
    pub fn holds(self, x: f64) -> bool {
        match self {
            DType::F32 | DType::F64 | DType::Bf16 => true,
            DType::Bool => x == 0.0 || x == 1.0,
            DType::I32 => f64::from(x as i32) == x,
            DType::U8 => f64::from(x as u8) == x,
            // The largest i64 is one below a power of two, which is the nearest float.
            DType::I64 => x.fract() == 0.0 && (-(2f64.powi(63))..2f64.powi(63)).contains(&x),
        }
    }

    /// The name printed in programs: `f32`, `i64`, `bool`, ...
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::Bool => "bool",
            DType::U8 => "u8",
            DType::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A bfloat16: the upper half of an `f32`. A storage type without arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bf16(pub u16);

impl Bf16 {
    /// Rounds to nearest, ties to even; NaN stays NaN.
    pub fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        if value.is_nan() {
            return Bf16((bits >> 16) as u16 | 0x40);
        }
        Bf16(((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16)
    }

    /// The exact `f32` value.
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// Conversion between element types as Rust's `as` does it: floats truncate towards zero and saturate,
/// NaN becomes 0, and anything non-zero (NaN included) is `true`.
pub trait CastTo<T> {
    /// Converts one element.
    fn cast(self) -> T;
}

macro_rules! casts {
    ($($from:ty => $($to:ty),+;)+) => { $($(
        impl CastTo<$to> for $from { #[inline(always)] fn cast(self) -> $to { self as $to } }
    )+)+ };
}
casts! {
    f32 => f32, f64, i32, i64, u8;
    f64 => f32, f64, i32, i64, u8;
    i32 => f32, f64, i32, i64, u8;
    i64 => f32, f64, i32, i64, u8;
    u8 => f32, f64, i32, i64, u8;
}

macro_rules! bool_casts {
    ($($t:ty),+) => { $(
        impl CastTo<bool> for $t { #[inline(always)] fn cast(self) -> bool { self != 0 as $t } }
        impl CastTo<$t> for bool { #[inline(always)] fn cast(self) -> $t { u8::from(self) as $t } }
        impl CastTo<Bf16> for $t { #[inline(always)] fn cast(self) -> Bf16 { Bf16::from_f32(self as f32) } }
        impl CastTo<$t> for Bf16 { #[inline(always)] fn cast(self) -> $t { self.to_f32() as $t } }
    )+ };
}
bool_casts!(f32, f64, i32, i64, u8);

impl CastTo<bool> for bool {
    fn cast(self) -> bool {
        self
    }
}
impl CastTo<Bf16> for bool {
    fn cast(self) -> Bf16 {
        Bf16::from_f32(f32::from(u8::from(self)))
    }
}
impl CastTo<bool> for Bf16 {
    fn cast(self) -> bool {
        self.to_f32() != 0.0
    }
}
impl CastTo<Bf16> for Bf16 {
    fn cast(self) -> Bf16 {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_to_even_and_keeps_specials() {
        assert_eq!(Bf16::from_f32(1.0).to_f32(), 1.0);
        assert_eq!(Bf16::from_f32(1.0 + 1.0 / 256.0).to_f32(), 1.0);
        assert_eq!(Bf16::from_f32(1.0 + 3.0 / 256.0).to_f32(), 1.0 + 4.0 / 256.0);
        assert!(Bf16::from_f32(f32::NAN).to_f32().is_nan());
        assert_eq!(Bf16::from_f32(f32::INFINITY).to_f32(), f32::INFINITY);
        assert_eq!(Bf16::from_f32(f32::MAX).to_f32(), f32::INFINITY);
    }

    #[test]
    fn nan_is_true_and_zero_as_integer() {
        assert!(CastTo::<bool>::cast(f64::NAN));
        assert_eq!(CastTo::<i32>::cast(f64::NAN), 0);
    }
}

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
    /// bfloat16: the exponents of `F32`, 8 bits of the significand.
    Bf16,
    /// IEEE half precision: 11 bits of the significand, finite up to 65504.
    F16,
}

impl DType {
    /// Every dtype.
    pub const ALL: [DType; 8] =
        [DType::F32, DType::F64, DType::I32, DType::I64, DType::Bool, DType::U8, DType::Bf16, DType::F16];

    /// Bytes an element takes.
    pub const fn size(self) -> usize {
        match self {
            DType::F64 | DType::I64 => 8,
            DType::F32 | DType::I32 => 4,
            DType::Bf16 | DType::F16 => 2,
            DType::Bool | DType::U8 => 1,
        }
    }

    /// Whether this is one of the four types of floating-point numbers, which functions of real numbers take.
    pub const fn is_float(self) -> bool {
        match self {
            DType::F32 | DType::F64 | DType::Bf16 | DType::F16 => true,
            DType::I32 | DType::I64 | DType::Bool | DType::U8 => false,
        }
    }

    /// Whether values of this type have derivatives, which are of the type, too.
    pub const fn is_differentiable(self) -> bool {
        self.is_float()
    }

    /// The type that arithmetic in this type is evaluated in: `F32` for `Bf16` and `F16`, whose results are then rounded, each
    /// once; the type itself for all others.
    ///
    /// ```
    /// use gradus_core::{Array, Bf16, Binary, DType, Op};
    /// let number = |x| Array::scalar(Bf16::from_f32(x));
    /// let sum = Op::from(Binary::Add).evaluate(&[&number(256.0), &number(1.0)])?;
    /// assert_eq!((DType::Bf16.wide(), &sum[0]), (DType::F32, &number(256.0)));
    /// # Ok::<(), gradus_core::ErrorKind>(())
    /// ```
    pub const fn wide(self) -> DType {
        match self {
            DType::Bf16 | DType::F16 => DType::F32,
            DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::Bool | DType::U8 => self,
        }
    }

    /// Whether arithmetic in this type is evaluated in a [wider](DType::wide) one and rounded.
    pub const fn is_rounded(self) -> bool {
        match self {
            DType::Bf16 | DType::F16 => true,
            DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::Bool | DType::U8 => false,
        }
    }

    /// Whether this is `F32` or `F64`, the floats that arithmetic is evaluated in.
    pub const fn is_wide_float(self) -> bool {
        self.is_float() && !self.is_rounded()
    }

    /// The distance from 1 to the next number, of floats.
    ///
    /// ```
    /// assert_eq!(gradus_core::DType::Bf16.epsilon(), Some(0.0078125));
    /// ```
    pub const fn epsilon(self) -> Option<f64> {
        match self {
            DType::F32 => Some(f32::EPSILON as f64),
            DType::F64 => Some(f64::EPSILON),
            DType::Bf16 => Some(1.0 / 128.0),
            DType::F16 => Some(1.0 / 1024.0),
            DType::I32 | DType::I64 | DType::Bool | DType::U8 => None,
        }
    }

    /// Whether this is `I32`, `I64` or `U8`.
    pub const fn is_int(self) -> bool {
        match self {
            DType::I32 | DType::I64 | DType::U8 => true,
            DType::F32 | DType::F64 | DType::Bf16 | DType::F16 | DType::Bool => false,
        }
    }

    /// The largest value, if this is `I32`, `I64` or `U8`.
    pub const fn largest_integer(self) -> Option<u64> {
        match self {
            DType::I32 => Some(i32::MAX as u64),
            DType::I64 => Some(i64::MAX as u64),
            DType::U8 => Some(u8::MAX as u64),
            DType::F32 | DType::F64 | DType::Bool | DType::Bf16 | DType::F16 => None,
        }
    }

    /// The largest integer up to which this type represents all integers, if it has arithmetic.
    pub const fn counts_to(self) -> Option<u64> {
        match self {
            DType::F32 => Some(1 << 24),
            DType::F64 => Some(1 << 53),
            DType::Bf16 => Some(1 << 8),
            DType::F16 => Some(1 << 11),
            DType::I32 | DType::I64 | DType::U8 | DType::Bool => self.largest_integer(),
        }
    }

    /// Whether the type holds the number: floats round what is between two of theirs, others hold it or not.
    pub fn holds(self, x: f64) -> bool {
        match self {
            DType::F32 | DType::F64 | DType::Bf16 | DType::F16 => true,
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
            DType::F16 => "f16",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A bfloat16: the upper half of an `f32`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bf16(pub u16);

impl Bf16 {
    /// Rounds to nearest, ties to even; NaN stays NaN.
    #[inline(always)]
    pub fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        // Chosen without a branch, so that loops vectorise.
        Bf16(if value.is_nan() { bits >> 16 | 0x40 } else { rounded } as u16)
    }

    /// The exact `f32` value.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// An IEEE half-precision number.
#[derive(Clone, Copy, Debug, Default)]
pub struct F16(pub u16);

impl F16 {
    /// Rounds to nearest, ties to even: to infinity from 65520 on; NaN stays NaN.
    ///
    /// ```
    /// use gradus_core::F16;
    /// assert_eq!(F16::from_f32(1.0 + 1.0 / 2048.0), F16::from_f32(1.0));
    /// assert_eq!(F16::from_f32(65520.0).to_f32(), f32::INFINITY);
    /// assert_eq!(F16::from_f32(6e-8).to_f32(), 2f32.powi(-24));
    /// ```
    #[inline(always)]
    pub fn from_f32(value: f32) -> Self {
        let (sign, size) = (value.to_bits() >> 16 & 0x8000, value.to_bits() & 0x7fff_ffff);
        // The exponent's offset is 15, and not 127. All four cases are computed, so that loops vectorise.
        let normal = (size.wrapping_add(0xfff + (size >> 13 & 1)) >> 13).wrapping_sub(112 << 10).min(0x7c00);
        // In [½, 1) the last place of an f32 is that of the smallest halves.
        let small = (f32::from_bits(size) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
        let number = if size < 113 << 23 { small } else { normal };
        let nan = 0x7e00 | size >> 13 & 0x3ff;
        F16((sign | if size > 0x7f80_0000 { nan } else { number }) as u16)
    }

    /// The exact `f32` value.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        let (sign, size) = (u32::from(self.0 & 0x8000) << 16, u32::from(self.0 & 0x7fff));
        // A power of two moves the exponent's offset, that of the smallest numbers, too.
        let number = f32::from_bits(size << 13) * f32::from_bits((127 + 112) << 23);
        // What is no number is quiet, as processors make it.
        let quiet = if size > 0x7c00 { 1 << 22 } else { 0 };
        let infinite = if size >= 0x7c00 { 0x7f80_0000 | quiet } else { 0 };
        f32::from_bits(number.to_bits() | infinite | sign)
    }
}

/// `value` as an `f32` that rounds to a shorter float as `value` does: cut off, its last bit set where something was.
#[inline(always)]
fn sticky(value: f64) -> f32 {
    let near = value as f32;
    let exact = f64::from(near) == value || value.is_nan();
    // One step towards zero where the conversion has gone away from it.
    let cut = near.to_bits().wrapping_sub(u32::from(f64::from(near).abs() > value.abs()));
    if exact { near } else { f32::from_bits(cut | 1) }
}

/// An integer as an `f64` that rounds to a shorter float as the integer does.
#[inline(always)]
fn sticky_integer(value: i64) -> f64 {
    if value.unsigned_abs() < 1 << 53 {
        return value as f64;
    }
    let cut = value & !0x7ff;
    (cut | i64::from(cut != value) << 11) as f64
}

macro_rules! sixteen {
    ($($t:ty),+) => { $(
        /// As numbers: the zeros are equal, NaN equals nothing.
        impl PartialEq for $t {
            fn eq(&self, other: &Self) -> bool {
                self.to_f32() == other.to_f32()
            }
        }
        impl PartialOrd for $t {
            fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
                self.to_f32().partial_cmp(&other.to_f32())
            }
        }
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.to_f32(), f)
            }
        }
        impl fmt::LowerExp for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerExp::fmt(&self.to_f32(), f)
            }
        }
        impl From<$t> for f64 {
            fn from(x: $t) -> f64 {
                f64::from(x.to_f32())
            }
        }
        impl From<f64> for $t {
            /// Rounds once.
            fn from(x: f64) -> $t {
                <$t>::from_f32(sticky(x))
            }
        }
        impl CastTo<f32> for $t { #[inline(always)] fn cast(self) -> f32 { self.to_f32() } }
        impl CastTo<f64> for $t { #[inline(always)] fn cast(self) -> f64 { f64::from(self.to_f32()) } }
        impl CastTo<i32> for $t { #[inline(always)] fn cast(self) -> i32 { self.to_f32() as i32 } }
        impl CastTo<i64> for $t { #[inline(always)] fn cast(self) -> i64 { self.to_f32() as i64 } }
        impl CastTo<u8> for $t { #[inline(always)] fn cast(self) -> u8 { self.to_f32() as u8 } }
        impl CastTo<bool> for $t { #[inline(always)] fn cast(self) -> bool { self.to_f32() != 0.0 } }
        impl CastTo<$t> for f32 { #[inline(always)] fn cast(self) -> $t { <$t>::from_f32(self) } }
        impl CastTo<$t> for f64 { #[inline(always)] fn cast(self) -> $t { <$t>::from_f32(sticky(self)) } }
        impl CastTo<$t> for i32 { #[inline(always)] fn cast(self) -> $t { f64::from(self).cast() } }
        impl CastTo<$t> for i64 { #[inline(always)] fn cast(self) -> $t { sticky_integer(self).cast() } }
        impl CastTo<$t> for u8 { #[inline(always)] fn cast(self) -> $t { <$t>::from_f32(f32::from(self)) } }
        impl CastTo<$t> for bool { #[inline(always)] fn cast(self) -> $t { u8::from(self).cast() } }
        impl CastTo<$t> for $t { #[inline(always)] fn cast(self) -> $t { self } }
    )+ };
}
sixteen!(Bf16, F16);

impl CastTo<F16> for Bf16 {
    #[inline(always)]
    fn cast(self) -> F16 {
        F16::from_f32(self.to_f32())
    }
}
impl CastTo<Bf16> for F16 {
    #[inline(always)]
    fn cast(self) -> Bf16 {
        Bf16::from_f32(self.to_f32())
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
    )+ };
}
bool_casts!(f32, f64, i32, i64, u8);

impl CastTo<bool> for bool {
    fn cast(self) -> bool {
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

    /// The numbers of a 16-bit type by their definition, in `f64`; nothing for those that are none.
    fn defined(bits: u16, exponent: u32, mantissa: u32) -> Option<f64> {
        let (e, m) = (bits >> mantissa & ((1 << exponent) - 1), f64::from(bits & ((1 << mantissa) - 1)));
        let (one, offset) = (f64::from(1u32 << mantissa), (1 << (exponent - 1)) - 1 + mantissa as i32);
        let size = match i32::from(e) {
            0 => m * 2f64.powi(1 - offset),
            e if e == (1 << exponent) - 1 => return None,
            e => (one + m) * 2f64.powi(e - offset),
        };
        Some(if bits >> 15 == 1 { -size } else { size })
    }

    fn check_all<T>(exponent: u32, mantissa: u32, of: fn(u16) -> T, bits: fn(T) -> u16)
    where
        T: Copy + CastTo<f64> + CastTo<f32> + From<f64>,
        f32: CastTo<T>,
        f64: CastTo<T>,
    {
        let infinite = ((1 << exponent) - 1) << mantissa;
        for size in 0..0x8000u16 {
            for b in [size, size | 0x8000] {
                let Some(x) = defined(b, exponent, mantissa) else {
                    assert!(size < infinite || CastTo::<f64>::cast(of(b)).is_nan() == (size > infinite));
                    assert!(
                        size <= infinite
                            || CastTo::<f32>::cast(CastTo::<T>::cast(CastTo::<f32>::cast(of(b)))).is_nan()
                    );
                    continue;
                };
                assert_eq!(CastTo::<f64>::cast(of(b)).to_bits(), x.to_bits(), "{b:x}");
                assert_eq!(bits(CastTo::<T>::cast(x)), b);
                assert_eq!(bits(CastTo::<T>::cast(x as f32)), b);
                // Halfway to the next, ties go to even; a little more or less than that does not.
                let next = defined(b + 1, exponent, mantissa)
                    .unwrap_or_else(|| x + x - defined(b - 1, exponent, mantissa).unwrap());
                let (middle, up) = ((x + next) / 2.0, b + 1);
                assert_eq!(bits(CastTo::<T>::cast(middle)), if b % 2 == 0 { b } else { up }, "{middle:e}");
                let (less, more) = (middle * (1.0 - f64::EPSILON), middle * (1.0 + f64::EPSILON));
                assert_eq!(
                    (bits(CastTo::<T>::cast(less)), bits(CastTo::<T>::cast(more))),
                    (b, up),
                    "{middle:e}"
                );
                if f64::from(middle as f32) == middle {
                    assert_eq!(bits(CastTo::<T>::cast(middle as f32)), if b % 2 == 0 { b } else { up });
                }
            }
        }
    }

    #[test]
    fn sixteen_bits_are_rounded_once_to_nearest() {
        check_all::<F16>(5, 10, F16, |x| x.0);
        check_all::<Bf16>(8, 7, Bf16, |x| x.0);
        for (x, y) in
            [((1i64 << 62) + (1 << 54), 1i64 << 62), ((1 << 62) + (1 << 54) + 1, (1 << 62) + (1 << 55))]
        {
            assert_eq!(CastTo::<Bf16>::cast(x).to_f32(), y as f32, "{x}");
            assert_eq!(CastTo::<Bf16>::cast(-x).to_f32(), -y as f32, "{x}");
        }
        assert_eq!(CastTo::<Bf16>::cast(i64::MIN).to_f32(), -(2f32.powi(63)));
        assert_eq!(CastTo::<F16>::cast(f64::MAX).to_f32(), f32::INFINITY);
        assert_eq!(CastTo::<F16>::cast(-1e-300f64).0, 0x8000);
    }

    #[test]
    fn nan_is_true_and_zero_as_integer() {
        assert!(CastTo::<bool>::cast(f64::NAN));
        assert_eq!(CastTo::<i32>::cast(f64::NAN), 0);
    }
}

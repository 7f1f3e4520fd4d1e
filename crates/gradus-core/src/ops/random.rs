//! Counter-based random numbers: bits are a function of a key and a position, so they are the same however the
//! work is cut, and computing them again gives them again.
//!
//! The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). A key is
//! one `i64`; a tensor of keys is a tensor of independent streams.

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::{batch_all, jvp_zero};
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Builder, Cost, DType, Doc, Element, ErrorKind, Jvp, Operand, Primitive, Result, Shape,
    Type, Var,
};

/// Ten rounds of Philox on a 128-bit counter with a 64-bit key, least significant words first.
///
/// ```
/// use gradus_core::ops::philox4x32;
///
/// assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
/// ```
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let p = u64::from(counter[0]) * 0xd251_1f53;
        let q = u64::from(counter[2]) * 0xcd9e_8d57;
        counter = [
            (q >> 32) as u32 ^ counter[1] ^ key[0],
            q as u32,
            (p >> 32) as u32 ^ counter[3] ^ key[1],
            p as u32,
        ];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    counter
}

/// The words of a key.
fn words(key: i64) -> [u32; 2] {
    [key as u32, (key as u64 >> 32) as u32]
}

/// The last word of the counter keeps draws of different kinds from one key apart.
const NARROW: u32 = 0;
const WIDE: u32 = 1;
const DERIVE: u32 = 2;

/// `bits` random bits in each element, as a non-negative integer; operand is a tensor of keys.
///
/// The result has the shape of the keys, then `shape`; it is `i32` for up to 31 bits and `i64` for up to 63. Element
/// `e` of a key's part depends on the key, `e` and the width alone, so a longer draw begins with a shorter one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RandomBits {
    /// The shape drawn for each key.
    pub shape: Shape,
    /// Bits an element, 1 to 63.
    pub bits: u32,
}

impl RandomBits {
    /// The dtype of the result.
    pub fn dtype(&self) -> DType {
        if self.bits <= 31 { DType::I32 } else { DType::I64 }
    }

    /// Element `index` of the draw of one key; at most 31 bits.
    pub fn narrow(&self, key: i64, index: u64) -> i32 {
        let block = index / 4;
        let random = philox4x32([block as u32, (block >> 32) as u32, 0, NARROW], words(key));
        (random[(index % 4) as usize] >> (32 - self.bits)) as i32
    }

    /// Element `index` of the draw of one key; 32 to 63 bits.
    pub fn wide(&self, key: i64, index: u64) -> i64 {
        let block = index / 2;
        let random = philox4x32([block as u32, (block >> 32) as u32, 0, WIDE], words(key));
        let half = 2 * (index % 2) as usize;
        let word = u64::from(random[half]) | u64::from(random[half + 1]) << 32;
        (word >> (64 - self.bits)) as i64
    }
}

fn check_keys(op: &'static str, ty: &Type) -> Result<(), ErrorKind> {
    if ty.dtype != DType::I64 {
        let detail = "a key is an i64; make one from a seed".into();
        return Err(ErrorKind::DType { op, dtypes: vec![ty.dtype], detail });
    }
    Ok(())
}

impl Primitive for RandomBits {
    fn doc(&self) -> Doc {
        Doc {
            name: "random_bits",
            formula: "Philox4x32-10(key, index)",
            derivative: "none: the result is an integer",
            domain: "all keys; 1 to 63 bits",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        check_keys("random_bits", &inputs[0])?;
        if !(1..=63).contains(&self.bits) {
            let detail = format!("an element holds 1 to 63 bits, not {}", self.bits);
            return Err(ErrorKind::Argument { op: "random_bits", detail });
        }
        Ok(smallvec![Type::checked("random_bits", self.dtype(), inputs[0].shape.concat(&self.shape))?])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let keys = inputs[0].elements::<i64>().expect("checked by the shape rule");
        let shape = inputs[0].shape().concat(&self.shape);
        // The memory first: an iterator of iterators does not know how much it is.
        fn draw<T: Element>(shape: Shape, keys: &[i64], n: u64, f: impl Fn(i64, u64) -> T) -> Array {
            let mut out = Vec::with_capacity(shape.size());
            keys.iter().for_each(|&key| out.extend((0..n).map(|i| f(key, i))));
            Array::of(shape, out)
        }
        let n = self.shape.size() as u64;
        Ok(smallvec![if self.dtype() == DType::I32 {
            draw(shape, keys, n, |key, i| self.narrow(key, i))
        } else {
            draw(shape, keys, n, |key, i| self.wide(key, i))
        }])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], _: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_zero(self.clone(), b, inputs)
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Err(not_linear("random_bits"))
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(self.clone(), b, inputs, lanes.size)
    }
    fn cost(&self, _: &[Type], outputs: &[Type]) -> Cost {
        Cost { flops: 20.0 * outputs[0].shape.size() as f64, bytes: outputs[0].bytes() as f64 }
    }
}

/// A new key from a key and a number, element by element; operands are keys and numbers, both `i64`.
///
/// Splitting a key in `n` is folding `0..n` into it. Different streams give unrelated keys for equal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FoldIn {
    /// Sets uses apart, for example splitting from folding in a step count.
    pub stream: u32,
}

impl FoldIn {
    /// The derived key.
    pub fn derive(&self, key: i64, number: i64) -> i64 {
        let [low, high] = words(number);
        let [a, b, _, _] = philox4x32([low, high, self.stream, DERIVE], words(key));
        (u64::from(a) | u64::from(b) << 32) as i64
    }
}

impl Primitive for FoldIn {
    fn doc(&self) -> Doc {
        Doc {
            name: "fold_in",
            formula: "a key from a key and a number",
            derivative: "none: the result is an integer",
            domain: "all keys and numbers",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        check_keys("fold_in", &inputs[0])?;
        crate::ops::elementwise::same_types("fold_in", inputs)?;
        Ok(smallvec![inputs[0].clone()])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let [keys, numbers] = [0, 1].map(|i| inputs[i].elements::<i64>().expect("checked by the shape rule"));
        let derived = keys.iter().zip(numbers).map(|(&k, &n)| self.derive(k, n)).collect();
        Ok(smallvec![Array::of::<i64>(inputs[0].shape().clone(), derived)])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], _: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_zero(*self, b, inputs)
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Err(not_linear("fold_in"))
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(*self, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], _: &[Type]) -> Cost {
        Cost { flops: 80.0 * inputs[0].shape.size() as f64, bytes: 3.0 * inputs[0].bytes() as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::philox4x32;

    /// The known answers published with the reference implementation (Random123, `kat_vectors`).
    #[test]
    fn known_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }
}

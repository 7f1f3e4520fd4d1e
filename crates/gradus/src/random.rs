//! Random numbers from splittable keys.

use gradus_core::memory::probe;
use gradus_core::ops::{FoldIn, RandomBits};
use gradus_core::{Binary, ErrorKind, Shape};

use crate::trace::{OrFail, fail};
use crate::{DType, Tensor, Tree};

/// Streams of derived keys, so that splitting and folding in never meet.
const SPLIT: u32 = 0;
const FOLD: u32 = 1;

/// Bytes of a tensor of one element, at least.
const HANDLE: usize = 128;

/// A source of random numbers: the same key always gives the same numbers, whatever the threads and the order.
///
/// Use a key once, and split it for further draws. A key is a tree, so programs take it as an argument; one that is
/// captured by a [`jit`](crate::jit) function gives the same numbers at every call.
///
/// ```
/// use gradus::{DType, Key};
/// let (a, b) = Key::new(0).split();
/// let x = a.normal([1000], DType::F64);
/// assert!(x.mean(()).item::<f64>().abs() < 0.1);
/// assert_eq!(x, a.normal([1000], DType::F64));
/// assert!(x != b.normal([1000], DType::F64));
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Key(Tensor);

impl Key {
    /// The key of a seed.
    pub fn new(seed: u64) -> Self {
        Key(Tensor::from(seed as i64))
    }

    /// Two independent keys.
    #[track_caller]
    pub fn split(&self) -> (Key, Key) {
        let keys = self.split_n(2);
        (keys[0].clone(), keys[1].clone())
    }

    /// `n` independent keys.
    #[track_caller]
    pub fn split_n(&self, n: usize) -> Vec<Key> {
        Shape::from([n]).checked("split_n").or_fail();
        probe("split_n", n.saturating_mul(size_of::<Key>() + HANDLE)).or_fail();
        (0..n).map(|i| Key(self.derive(SPLIT, &Tensor::from(i as i64)))).collect()
    }

    /// The key of a number under this key: a step count, the index of a layer. It may be a traced `i64` scalar.
    #[track_caller]
    pub fn fold_in(&self, number: impl crate::Literal) -> Key {
        Key(self.derive(FOLD, &number.beside(&self.0)))
    }

    #[track_caller]
    fn derive(&self, stream: u32, number: &Tensor) -> Tensor {
        Tensor::apply(FoldIn { stream }, &[&self.0, number])
    }

    /// Integers of `bits` random bits: `i32` up to 31 bits, `i64` up to 63.
    #[track_caller]
    pub fn bits(&self, shape: impl Into<Shape>, bits: u32) -> Tensor {
        Tensor::apply(RandomBits { shape: shape.into(), bits }, &[&self.0])
    }

    /// Numbers uniform in [0, 1), multiples of 2⁻²⁴ (`F32`), 2⁻⁵³ (`F64`), 2⁻¹¹ (`F16`) or 2⁻⁸ (`Bf16`).
    #[track_caller]
    pub fn uniform(&self, shape: impl Into<Shape>, dtype: DType) -> Tensor {
        let bits = match dtype {
            DType::F32 => 24,
            DType::F64 => 53,
            DType::F16 => 11,
            DType::Bf16 => 8,
            DType::I32 | DType::I64 | DType::Bool | DType::U8 => {
                let detail = "random numbers of this kind are floats; use `bits` for integers".into();
                fail(ErrorKind::DType { op: "uniform", dtypes: vec![dtype], detail }.into())
            }
        };
        self.bits(shape, bits).cast(dtype).with_constant(Binary::Mul, (-f64::from(bits)).exp2())
    }

    /// Numbers from the standard normal distribution (Box and Muller 1958); those of 16 bits are those of `F32`, rounded.
    #[track_caller]
    pub fn normal(&self, shape: impl Into<Shape>, dtype: DType) -> Tensor {
        let shape = shape.into();
        if dtype.is_rounded() {
            return self.normal(shape, dtype.wide()).cast(dtype);
        }
        let pair = self.uniform(shape.insert(0, 2), dtype);
        let (u, v) = (pair.index(0, 0), pair.index(0, 1));
        // u < 1, so the logarithm is finite.
        let radius = (-u).log1p().with_constant(Binary::Mul, -2.0).sqrt();
        radius * v.with_constant(Binary::Mul, 2.0 * std::f64::consts::PI).cos()
    }

    /// `true` with probability `p`.
    #[track_caller]
    pub fn bernoulli(&self, p: f64, shape: impl Into<Shape>) -> Tensor {
        self.uniform(shape, DType::F32).less(p)
    }

    /// `0, …, n - 1` in random order.
    #[track_caller]
    pub fn permutation(&self, n: usize) -> Tensor {
        self.bits([n], 63).argsort(0)
    }
}

//! Rust numbers beside tensors.

use gradus_core::{Array, DType, ErrorKind, Type};

use crate::Tensor;
use crate::guard::raise;
use crate::trace::{OrFail, constant_in_trace_of};

/// A Rust number used as an operand. It takes the dtype of the tensor beside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A float.
    Float(f64),
    /// An integer.
    Int(i64),
    /// A boolean.
    Bool(bool),
}

impl Number {
    fn to_f64(self) -> f64 {
        match self {
            Number::Float(x) => x,
            Number::Int(x) => x as f64,
            Number::Bool(x) => f64::from(u8::from(x)),
        }
    }
}

/// What can stand beside a tensor in an operation: another tensor, or a Rust number.
///
/// A number takes the tensor's dtype. While a program is recorded, a number other than 0, ±1 and 2 becomes an input
/// of the program, not a constant in it: a learning rate that changes does not make a new program.
pub trait Literal {
    /// The operand as a tensor that fits beside `like`.
    fn beside(&self, like: &Tensor) -> Tensor;
}

impl Literal for Tensor {
    fn beside(&self, _: &Tensor) -> Tensor {
        self.clone()
    }
}
impl Literal for &Tensor {
    fn beside(&self, _: &Tensor) -> Tensor {
        (*self).clone()
    }
}

macro_rules! literals {
    ($($t:ty => $v:ident as $as:ty),+) => { $(
        impl From<$t> for Number { fn from(x: $t) -> Number { Number::$v(x as $as) } }
        impl Literal for $t {
            #[track_caller]
            fn beside(&self, like: &Tensor) -> Tensor { Number::from(*self).beside(like) }
        }
    )+ };
}
literals!(f64 => Float as f64, f32 => Float as f64, i32 => Int as i64, i64 => Int as i64, u8 => Int as i64,
    bool => Bool as bool);

impl From<usize> for Number {
    /// A number that no `i64` holds is a float; a tensor of integers does not take it.
    fn from(x: usize) -> Number {
        i64::try_from(x).map_or(Number::Float(x as f64), Number::Int)
    }
}
impl Literal for usize {
    #[track_caller]
    fn beside(&self, like: &Tensor) -> Tensor {
        if *self as f64 as u128 != *self as u128 {
            let detail = format!("no float is the integer {self}; write it as a float to have it rounded");
            refuse(like.dtype(), detail);
        }
        Number::from(*self).beside(like)
    }
}

impl Literal for Number {
    #[track_caller]
    fn beside(&self, like: &Tensor) -> Tensor {
        let value = self.to_f64();
        if like.is_traced()
            && [0.0, 1.0, -1.0, 2.0].contains(&value)
            && !(value == 0.0 && value.is_sign_negative())
        {
            return self.constant(like);
        }
        Tensor::on(like.device_ref(), self.array(like.dtype())).or_fail()
    }
}

impl Number {
    /// The number as a constant of the program being recorded: for the library's own constants, which never change.
    #[track_caller]
    pub(crate) fn constant(self, like: &Tensor) -> Tensor {
        self.array(like.dtype());
        let ty = Type::new(like.dtype(), []);
        constant_in_trace_of(like, &ty, self.to_f64())
            .unwrap_or_else(|| Tensor::on(like.device_ref(), self.array(like.dtype())).or_fail())
    }

    /// The number as a scalar array of `dtype`.
    #[track_caller]
    fn array(self, dtype: DType) -> Array {
        match (self, dtype) {
            (Number::Int(x), DType::I64) => Array::scalar(x),
            (Number::Float(x), DType::I32 | DType::I64 | DType::U8) if x.fract() != 0.0 || !x.is_finite() => {
                refuse(dtype, format!("the number {x} is no integer; cast the tensor to f32 or f64 first"))
            }
            (Number::Float(x), DType::I32 | DType::I64 | DType::U8) if !dtype.holds(x) => {
                refuse(dtype, format!("{x} does not fit into {dtype}"))
            }
            (Number::Float(_) | Number::Int(_), DType::Bool) => {
                refuse(dtype, "a boolean tensor has no arithmetic with numbers; cast it first".into())
            }
            (Number::Int(x), DType::I32) if i32::try_from(x).is_err() => {
                refuse(dtype, format!("{x} does not fit into i32"))
            }
            (Number::Int(x), DType::U8) if u8::try_from(x).is_err() => {
                refuse(dtype, format!("{x} does not fit into u8"))
            }
            (Number::Int(x), dtype) if dtype.is_float() && x as f64 as i128 != i128::from(x) => {
                refuse(dtype, format!("no float is the integer {x}; write it as a float to have it rounded"))
            }
            (Number::Float(_) | Number::Int(_) | Number::Bool(_), _) => Array::full([], dtype, self.to_f64()),
        }
    }
}

/// Ends an operation with a number that the tensor beside it cannot hold. No closure: a closure has no caller's line.
#[track_caller]
fn refuse(dtype: DType, detail: String) -> ! {
    raise(ErrorKind::DType { op: "literal", dtypes: vec![dtype], detail })
}

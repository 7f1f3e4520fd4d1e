//! Arrays, shapes and dtypes as data of `serde`.
//!
//! A dtype is its name, a shape the list of its extents, an array its dtype, shape and elements. Formats for people have
//! elements as numbers, of which the infinite ones and NaN are strings (JSON knows neither); others have bytes, little endian.
//! What is read is checked as anything from outside: sizes against the shape, numbers against the dtype.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeSeq, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::dtype::CastTo;
use crate::{Array, Bf16, DType, Element, ErrorKind, F16, Shape, memory, with_elements};

impl Serialize for DType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for DType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        DType::ALL.into_iter().find(|dtype| dtype.name() == name).ok_or_else(|| {
            let names = DType::ALL.map(DType::name).join(", ");
            D::Error::custom(format!("`{name}` is no dtype; there are {names}"))
        })
    }
}

impl Serialize for Shape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Shape::from(Vec::<usize>::deserialize(deserializer)?).checked("deserialize").map_err(D::Error::custom)
    }
}

/// An element type on its way through a format.
trait Serial: Element {
    /// As a number, or a string where formats have no number.
    fn number<S: Serializer>(self, serializer: S) -> Result<S::Ok, S::Error>;
    /// From a number, if it is one of the type.
    fn from_number(number: &Number) -> Option<Self>;
}

macro_rules! integers {
    ($($t:ident)*) => {$(
        impl Serial for $t {
            fn number<S: Serializer>(self, serializer: S) -> Result<S::Ok, S::Error> {
                self.serialize(serializer)
            }
            fn from_number(number: &Number) -> Option<Self> {
                if let Number::Integer(x) = *number { x.try_into().ok() } else { None }
            }
        }
    )*};
}

integers!(i32 i64 u8);

macro_rules! floats {
    ($($t:ident $wide:ident;)*) => {$(
        impl Serial for $t {
            fn number<S: Serializer>(self, serializer: S) -> Result<S::Ok, S::Error> {
                let wide: $wide = CastTo::cast(self);
                if wide.is_finite() { wide.serialize(serializer) } else { serializer.collect_str(&wide) }
            }
            /// Rounded once; a finite number does not become infinite.
            fn from_number(number: &Number) -> Option<Self> {
                let wide = match *number {
                    Number::Integer(x) => x as f64,
                    Number::Float(x) => x,
                    Number::Bool(_) => return None,
                };
                let own: $t = CastTo::cast(wide);
                let back: f64 = CastTo::cast(own);
                (back.is_finite() || !wide.is_finite()).then_some(own)
            }
        }
    )*};
}

floats! {
    f32 f32;
    f64 f64;
    F16 f32;
    Bf16 f32;
}

impl Serial for bool {
    fn number<S: Serializer>(self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self)
    }
    fn from_number(number: &Number) -> Option<Self> {
        if let Number::Bool(x) = *number { Some(x) } else { None }
    }
}

/// An element in a format for people.
enum Number {
    Integer(i64),
    Float(f64),
    Bool(bool),
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneNumber;
        impl Visitor<'_> for OneNumber {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a truth value, or one of \"NaN\", \"inf\" and \"-inf\"")
            }
            fn visit_bool<E>(self, x: bool) -> Result<Number, E> {
                Ok(Number::Bool(x))
            }
            fn visit_i64<E>(self, x: i64) -> Result<Number, E> {
                Ok(Number::Integer(x))
            }
            fn visit_u64<E>(self, x: u64) -> Result<Number, E> {
                Ok(i64::try_from(x).map_or(Number::Float(x as f64), Number::Integer))
            }
            fn visit_f64<E>(self, x: f64) -> Result<Number, E> {
                Ok(Number::Float(x))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                match text {
                    "NaN" => Ok(Number::Float(f64::NAN)),
                    "inf" => Ok(Number::Float(f64::INFINITY)),
                    "-inf" => Ok(Number::Float(f64::NEG_INFINITY)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(OneNumber)
    }
}

/// The elements of an array that is written.
struct Elements<'a>(&'a Array);

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct One<T>(T);
        impl<T: Serial> Serialize for One<T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.number(serializer)
            }
        }
        if serializer.is_human_readable() {
            let mut list = serializer.serialize_seq(Some(self.0.size()))?;
            with_elements!(self.0.buffer(), v => for &x in v.iter() {
                list.serialize_element(&One(x))?;
            });
            return list.end();
        }
        let mut bytes = memory::with_capacity("serialize", self.0.bytes()).map_err(S::Error::custom)?;
        with_elements!(self.0.buffer(), v => v.iter().for_each(|&x| x.put_le_bytes(&mut bytes)));
        serializer.serialize_bytes(&bytes)
    }
}

impl Serialize for Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_struct("Array", 3)?;
        parts.serialize_field("dtype", &self.dtype())?;
        parts.serialize_field("shape", self.shape())?;
        parts.serialize_field("elements", &Elements(self))?;
        parts.end()
    }
}

/// Elements that were read, before their dtype is known.
enum Read {
    Numbers(Vec<Number>),
    Bytes(Vec<u8>),
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Read;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the elements of an array")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Read, E> {
                Ok(Read::Bytes(bytes.to_vec()))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Read, E> {
                Ok(Read::Bytes(bytes))
            }
            /// What the list says about its length is not believed beyond a few thousand elements.
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Read, A::Error> {
                let mut numbers = Vec::with_capacity(list.size_hint().unwrap_or(0).min(4096));
                while let Some(number) = list.next_element()? {
                    numbers.push(number);
                }
                Ok(Read::Numbers(numbers))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_seq(Either)
        } else {
            deserializer.deserialize_byte_buf(Either)
        }
    }
}

#[derive(Deserialize)]
#[serde(rename = "Array", deny_unknown_fields)]
struct Parts {
    dtype: DType,
    shape: Shape,
    elements: Read,
}

impl Parts {
    fn array(self) -> Result<Array, ErrorKind> {
        match self.dtype {
            DType::F32 => self.of::<f32>(),
            DType::F64 => self.of::<f64>(),
            DType::I32 => self.of::<i32>(),
            DType::I64 => self.of::<i64>(),
            DType::Bool => self.of::<bool>(),
            DType::U8 => self.of::<u8>(),
            DType::Bf16 => self.of::<Bf16>(),
            DType::F16 => self.of::<F16>(),
        }
    }

    fn of<T: Serial>(self) -> Result<Array, ErrorKind> {
        let dtype = self.dtype;
        let wrong = |detail: String| ErrorKind::Argument { op: "deserialize", detail };
        let not_one = |at: usize| wrong(format!("element {at} is no number of {dtype}"));
        let elements: Result<Vec<T>, _> = match &self.elements {
            Read::Numbers(numbers) => {
                let one = |(at, number)| T::from_number(number).ok_or_else(|| not_one(at));
                numbers.iter().enumerate().map(one).collect()
            }
            Read::Bytes(bytes) if bytes.len() % dtype.size() == 0 => {
                let one = |(at, bytes)| T::from_le_slice(bytes).ok_or_else(|| not_one(at));
                bytes.chunks_exact(dtype.size()).enumerate().map(one).collect()
            }
            Read::Bytes(bytes) => {
                return Err(wrong(format!("{} bytes are no whole number of {dtype}", bytes.len())));
            }
        };
        Array::new(self.shape, elements?)
    }
}

impl<'de> Deserialize<'de> for Array {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parts::deserialize(deserializer)?.array().map_err(D::Error::custom)
    }
}

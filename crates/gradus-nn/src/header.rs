//! The header of a `safetensors` file: JSON in which no key stands twice, and what it says of each tensor.

use std::fmt;

use gradus::{Bf16, DType, F16, Shape, Tensor};
use serde_core::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// A JSON value whose objects have each key once. The usual parser keeps the last of several, and what is checked of a
/// file would then not be what another program reads.
pub(crate) struct Unique(pub Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Values).map(Unique)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, x: bool) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_u64<E>(self, x: u64) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_i64<E>(self, x: i64) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_f64<E>(self, x: f64) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_str<E>(self, x: &str) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Unique(value)) = from.next_element()? {
            all.push(value);
        }
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some((key, Unique(value))) = from.next_entry::<String, Unique>()? {
            if all.contains_key(&key) {
                return Err(A::Error::custom(format!("\"{key}\" is there twice")));
            }
            all.insert(key, value);
        }
        Ok(all.into())
    }
}

/// Types of a file that are dtypes here.
pub(crate) const DTYPES: [(DType, &str); 8] = [
    (DType::F64, "F64"),
    (DType::I64, "I64"),
    (DType::F32, "F32"),
    (DType::I32, "I32"),
    (DType::Bf16, "BF16"),
    (DType::F16, "F16"),
    (DType::U8, "U8"),
    (DType::Bool, "BOOL"),
];

/// Types of a file that are none here: bytes of an element, and a dtype that has all their values.
const OTHERS: [(&str, usize, DType); 7] = [
    ("F8_E4M3", 1, DType::F32),
    ("F8_E5M2", 1, DType::F32),
    ("I8", 1, DType::I32),
    ("I16", 2, DType::I32),
    ("U16", 2, DType::I32),
    ("U32", 4, DType::I64),
    ("U64", 8, DType::I64),
];

/// A tensor as a file has it, not read yet.
///
/// ```
/// use gradus::{DType, Shape, Tensor};
/// // The upper halves of half-precision numbers: 1.5 and -2.
/// let header = br#"{"x":{"dtype":"F8_E5M2","shape":[2],"data_offsets":[0,2]}}"#;
/// let file = [&(header.len() as u64).to_le_bytes()[..], header, &[0x3e, 0xc0]].concat();
/// let stored = &gradus_nn::read_each(&file)?["x"];
/// assert_eq!((stored.dtype(), stored.shape()), ("F8_E5M2", &[2][..]));
/// assert!(stored.tensor().is_err());
/// assert_eq!(stored.converted()?, Tensor::from([1.5f32, -2.0]));
/// # Ok::<(), gradus_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stored<'a> {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

impl<'a> Stored<'a> {
    /// What the header says of a tensor, and where it lies; nothing is assumed about it.
    pub(crate) fn of(name: String, entry: &Value, data: &'a [u8]) -> Result<(Self, [usize; 2])> {
        let (dtype, shape, [start, end]) = parts(entry)
            .ok_or_else(|| Error::Format(format!("tensor \"{name}\" has no sound entry: {entry}")))?;
        Shape::from(shape.as_slice())
            .checked("read")
            .map_err(|e| Error::Format(format!("tensor \"{name}\": {e}")))?;
        let width = DTYPES.iter().find(|d| d.1 == dtype).map(|d| d.0.size());
        let width = width.or_else(|| OTHERS.iter().find(|d| d.0 == dtype).map(|d| d.1));
        let too_large = |e| Error::Format(format!("tensor \"{name}\": {e}"));
        let size = Shape::from(&shape).checked("read").map_err(too_large)?.size();
        // What a type of unknown width takes is not known either.
        let fits = |bytes: &&[u8]| width.is_none_or(|width| size * width == bytes.len());
        let bytes = data.get(start..end).filter(fits).ok_or_else(|| {
            Error::Format(format!(
                "tensor \"{name}\" ({dtype} {shape:?}) does not fit bytes {start}..{end} of {}",
                data.len()
            ))
        })?;
        Ok((Stored { name, dtype, shape, bytes }, [start, end]))
    }

    /// The type of the elements, by the name it has in files: `F32`, `BF16`, `F8_E4M3`, ...
    pub fn dtype(&self) -> &str {
        &self.dtype
    }

    /// Extents of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The tensor, if its type is a [`DType`].
    ///
    /// # Errors
    /// If it is another, or an element has bits that its type does not.
    pub fn tensor(&self) -> Result<Tensor> {
        match DTYPES.iter().find(|d| d.1 == self.dtype) {
            Some(&(dtype, _)) => self.read(dtype),
            None => Err(self.error(match OTHERS.iter().find(|d| d.0 == self.dtype) {
                Some((_, _, wide)) => {
                    format!(
                        "is of type {}, which has to be converted (its values are all in {wide})",
                        self.dtype
                    )
                }
                None => self.unknown(),
            })),
        }
    }

    /// The tensor; elements of a type that is no [`DType`] as a dtype that has all its values: `F8` as f32,
    /// `I8`, `I16` and `U16` as i32, `U32` and `U64` as i64.
    ///
    /// # Errors
    /// If the type is none of these either, or an element of `U64` is too large.
    pub fn converted(&self) -> Result<Tensor> {
        match self.dtype.as_str() {
            "F8_E5M2" => self.each(|[b]| F16(u16::from(b) << 8).to_f32()),
            "F8_E4M3" => self.each(|[b]| quarter(b)),
            "I8" => self.each(|b| i32::from(i8::from_le_bytes(b))),
            "I16" => self.each(|b| i32::from(i16::from_le_bytes(b))),
            "U16" => self.each(|b| i32::from(u16::from_le_bytes(b))),
            "U32" => self.each(|b| i64::from(u32::from_le_bytes(b))),
            "U64" => {
                let large = self.bytes.as_chunks().0.iter().map(|&b| u64::from_le_bytes(b)).max();
                match large.filter(|&large| i64::try_from(large).is_err()) {
                    Some(large) => Err(self.error(format!("has an element {large}, which is beyond i64"))),
                    None => self.each(|b| u64::from_le_bytes(b) as i64),
                }
            }
            _ => self.tensor(),
        }
    }

    fn unknown(&self) -> String {
        let own = DTYPES.iter().map(|d| d.1);
        let names: Vec<&str> = own.chain(OTHERS.iter().map(|d| d.0)).collect();
        format!("is of type {}, which cannot be read (those that can: {})", self.dtype, names.join(", "))
    }

    fn error(&self, what: String) -> Error {
        Error::Format(format!("tensor \"{}\" {what}", self.name))
    }

    /// The elements, whose number has been checked.
    fn each<T: gradus::Element, const N: usize>(&self, get: impl Fn([u8; N]) -> T) -> Result<Tensor> {
        let elements = self.bytes.as_chunks::<N>().0.iter().map(|&b| get(b)).collect();
        Tensor::new(self.shape.as_slice(), elements).map_err(|e| self.error(format!("is not read: {e}")))
    }

    fn read(&self, dtype: DType) -> Result<Tensor> {
        match dtype {
            DType::F32 => self.each(f32::from_le_bytes),
            DType::F64 => self.each(f64::from_le_bytes),
            DType::I32 => self.each(i32::from_le_bytes),
            DType::I64 => self.each(i64::from_le_bytes),
            DType::U8 => self.each(u8::from_le_bytes),
            DType::Bool if self.bytes.iter().any(|&b| b > 1) => {
                Err(self.error("holds bytes that are no booleans".into()))
            }
            DType::Bool => self.each(|[b]| b == 1),
            DType::Bf16 => self.each(|bytes| Bf16(u16::from_le_bytes(bytes))),
            DType::F16 => self.each(|bytes| F16(u16::from_le_bytes(bytes))),
        }
    }
}

/// Type, shape and place of one tensor.
fn parts(entry: &Value) -> Option<(String, Vec<usize>, [usize; 2])> {
    let number = |v: &Value| usize::try_from(v.as_u64()?).ok();
    let dtype = entry.get("dtype")?.as_str()?.to_owned();
    let shape = entry.get("shape")?.as_array()?.iter().map(number).collect::<Option<Vec<_>>>()?;
    match entry.get("data_offsets")?.as_array()?.as_slice() {
        [start, end] => Some((dtype, shape, [number(start)?, number(end)?])),
        _ => None,
    }
}

/// 4 bits of exponent, 3 of mantissa, no infinities, one NaN.
fn quarter(bits: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 3 & 15), f32::from(bits & 7));
    let size = match exponent {
        0 => mantissa * 2f32.powi(-9),
        15 if mantissa == 7.0 => f32::NAN,
        e => (8.0 + mantissa) * 2f32.powi(e - 10),
    };
    if bits >> 7 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_floats_have_their_values() {
        let quarters =
            [(0x00, 0.0), (0x01, 0.001_953_125), (0x08, 0.015_625), (0x38, 1.0), (0xc4, -3.0), (0x7e, 448.0)];
        for (bits, value) in quarters {
            assert_eq!(quarter(bits), value, "{bits:x}");
        }
        assert!(quarter(0x7f).is_nan() && quarter(0xff).is_nan());
    }
}

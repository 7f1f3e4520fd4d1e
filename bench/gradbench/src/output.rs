//! The shapes that answers have, and their JSON.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::error::{Error, Result};

/// An answer, owned by the message loop while it is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// One number.
    Number(f64),
    /// A count, or a row or column number.
    Count(usize),
    /// Numbers.
    Vector(Vec<f64>),
    /// Counts.
    Counts(Vec<usize>),
    /// Arrays of `width` numbers, one after the other.
    Rows { width: usize, data: Vec<f64>, count: usize },
    /// A JSON object.
    Fields(Vec<(&'static str, Output)>),
}

impl Output {
    /// Rows of `width` numbers; `count` says how many where `width` is 0.
    pub fn rows(count: usize, width: usize, data: Vec<f64>) -> Self {
        debug_assert_eq!(data.len(), count * width);
        Output::Rows { width, data, count }
    }

    /// An error that says where, if a number is NaN or infinite: JSON has no way to write those.
    pub fn check_finite(&self) -> Result<()> {
        let check = |data: &[f64]| match data.iter().position(|v| !v.is_finite()) {
            Some(at) => Err(Error::NotFinite(format!(": element {at} is {}", data[at]))),
            None => Ok(()),
        };
        match self {
            Output::Count(_) | Output::Counts(_) => Ok(()),
            Output::Number(v) if v.is_finite() => Ok(()),
            Output::Number(v) => Err(Error::NotFinite(format!(": it is {v}"))),
            Output::Vector(data) | Output::Rows { data, .. } => check(data),
            Output::Fields(fields) => fields.iter().try_for_each(|(_, field)| field.check_finite()),
        }
    }
}

impl Serialize for Output {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Output::Number(v) => serializer.serialize_f64(*v),
            Output::Count(v) => serializer.serialize_u64(*v as u64),
            Output::Vector(data) => data.serialize(serializer),
            Output::Counts(data) => data.serialize(serializer),
            Output::Rows { width, data, count } => {
                let mut rows = serializer.serialize_seq(Some(*count))?;
                for row in 0..*count {
                    rows.serialize_element(&data[row * width..(row + 1) * width])?;
                }
                rows.end()
            }
            Output::Fields(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, field) in fields {
                    map.serialize_entry(name, field)?;
                }
                map.end()
            }
        }
    }
}

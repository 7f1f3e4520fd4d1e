//! Decoding of inputs: the fields every eval shares, and checks that keep bad data away from the arithmetic.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde_json::value::RawValue;

use crate::error::{Error, Result, require};

/// The largest size that a bare integer of an input may ask for.
pub const MAX_COUNT: usize = 1 << 40;

/// A count: a whole number in `0..=MAX_COUNT`, written as `2` or `2.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if value.fract() != 0.0 || value < 0.0 || value > MAX_COUNT as f64 {
            return Err(D::Error::custom(format!(
                "a count is needed here, a whole number from 0 to 2^40, not {value}"
            )));
        }
        Ok(Count(value as usize))
    }
}

/// A whole number of either sign, written as `2` or `2.0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Whole(pub f64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if value.fract() != 0.0 || value.abs() > MAX_COUNT as f64 {
            return Err(D::Error::custom(format!("a whole number is needed here, not {value}")));
        }
        Ok(Whole(value))
    }
}

/// How often to run: at least `runs` times, and for `seconds` in all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeat {
    pub runs: usize,
    pub seconds: f64,
}

impl Repeat {
    /// One run, for inputs that do not say.
    pub const ONCE: Repeat = Repeat { runs: 1, seconds: 0.0 };
    const MAX_RUNS: usize = 100_000_000;
    const MAX_SECONDS: f64 = 86_400.0;

    /// The two fields of an input that is an object.
    pub fn of(input: &RawValue) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Fields {
            #[serde(default)]
            min_runs: Option<Count>,
            #[serde(default)]
            min_seconds: Option<f64>,
        }
        let fields: Fields = decode(input)?;
        let runs = fields.min_runs.map_or(1, |count| count.0);
        let seconds = fields.min_seconds.unwrap_or(0.0);
        require((1..=Self::MAX_RUNS).contains(&runs), || {
            format!("min_runs is {runs}, but must be from 1 to {}", Self::MAX_RUNS)
        })?;
        require((0.0..=Self::MAX_SECONDS).contains(&seconds), || {
            format!("min_seconds is {seconds}, but must be from 0 to {}", Self::MAX_SECONDS)
        })?;
        Ok(Repeat { runs, seconds })
    }
}

/// Decodes an input, or says which field does not fit.
pub fn decode<T: DeserializeOwned>(input: &RawValue) -> Result<T> {
    Ok(serde_json::from_str(input.get())?)
}

/// An error unless `array` has `expected` elements.
pub fn same_len<T>(name: &str, array: &[T], expected: usize) -> Result<()> {
    require(array.len() == expected, || {
        format!("{name} has {} elements, but {expected} are needed", array.len())
    })
}

/// The rows of a matrix one after the other, or which of them is not of length `width`.
pub fn flatten(name: &str, rows: &[Vec<f64>], count: usize, width: usize) -> Result<Vec<f64>> {
    same_len(name, rows, count)?;
    for (i, row) in rows.iter().enumerate() {
        require(row.len() == width, || {
            format!("{name}[{i}] has {} elements, but {width} are needed", row.len())
        })?;
    }
    // Only now is it known that the widths asked for are there.
    Ok(rows.concat())
}

/// `len` copies of `value`, or an error rather than an abort where memory does not suffice.
pub fn buffer<T: Copy>(what: &'static str, value: T, len: usize) -> Result<Vec<T>> {
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(len)
        .map_err(|_| Error::Memory { what, bytes: len as u128 * size_of::<T>() as u128 })?;
    buffer.resize(len, value);
    Ok(buffer)
}

//! The header of a `.npy` array: a magic number, a version, and a Python dictionary of three entries, of which this reads
//! just what NumPy writes.

use std::io::Read;

use gradus_core::{DType, Shape};

use super::{Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The longest dictionary that is read: that of a plain array has a few hundred bytes.
const LONGEST: u64 = 1 << 16;

pub(super) struct Header {
    pub dtype: DType,
    pub big_endian: bool,
    pub fortran_order: bool,
    pub shape: Shape,
}

fn wrong<T>(detail: impl Into<String>) -> Result<T> {
    Err(Error::Format(detail.into()))
}

impl Header {
    /// Reads a header at the start of `length` bytes; also says how many it took.
    pub(super) fn read(from: &mut impl Read, length: u64) -> Result<(Header, u64)> {
        let mut start = [0; 8];
        if length < 10 {
            return wrong(format!("{length} bytes are too few"));
        }
        from.read_exact(&mut start)?;
        if start[..6] != MAGIC[..] {
            return wrong("it does not begin as one");
        }
        let (size, before) = match start[6] {
            1 => {
                let mut size = [0; 2];
                from.read_exact(&mut size)?;
                (u64::from(u16::from_le_bytes(size)), 10)
            }
            2 | 3 if length >= 12 => {
                let mut size = [0; 4];
                from.read_exact(&mut size)?;
                (u64::from(u32::from_le_bytes(size)), 12)
            }
            version => return wrong(format!("version {version} is not known")),
        };
        if size > LONGEST || before + size > length {
            return wrong(format!("a header of {size} bytes in a file of {length}"));
        }
        let mut text = vec![0; size as usize];
        from.read_exact(&mut text)?;
        let Ok(text) = str::from_utf8(&text) else { return wrong("the header is no text") };
        Ok((Header::parse(text)?, before + size))
    }

    /// The number of elements and of their bytes.
    pub(super) fn sizes(&self) -> Result<(usize, u64)> {
        let shape = self.shape.clone().checked("load").map_err(crate::Error::from)?;
        let size = shape.size();
        Ok((size, size as u64 * self.dtype.size() as u64))
    }

    fn parse(text: &str) -> Result<Header> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut text = Text(text);
        text.expect('{')?;
        while !text.skip('}') {
            match text.string()? {
                "descr" => {
                    text.expect(':')?;
                    if text.next() == Some('[') {
                        return Err(Error::Unsupported {
                            what: "records".into(),
                            python: "np.savez(path, **{name: a[name] for name in a.dtype.names})",
                        });
                    }
                    descr = Some(text.string()?);
                }
                "fortran_order" => {
                    text.expect(':')?;
                    fortran_order = Some(text.truth()?);
                }
                "shape" => {
                    text.expect(':')?;
                    shape = Some(text.extents()?);
                }
                other => return wrong(format!("the header has an entry `{other}`")),
            }
            if !text.skip(',') {
                text.expect('}')?;
                break;
            }
        }
        let (Some(descr), Some(fortran_order), Some(shape)) = (descr, fortran_order, shape) else {
            return wrong("the header lacks descr, fortran_order or shape");
        };
        let (dtype, big_endian) = dtype(descr)?;
        Ok(Header { dtype, big_endian, fortran_order, shape })
    }

    /// The header of a row-major, little-endian array.
    pub(super) fn bytes(dtype: DType, shape: &Shape) -> Result<Vec<u8>> {
        let descr = match dtype {
            DType::F32 => "<f4",
            DType::F64 => "<f8",
            DType::F16 => "<f2",
            DType::I32 => "<i4",
            DType::I64 => "<i8",
            DType::U8 => "|u1",
            DType::Bool => "|b1",
            DType::Bf16 => return Err(Error::NoDType(dtype)),
        };
        let extents = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        // Python's tuple of one has a comma.
        let extents = if shape.rank() == 1 { extents + "," } else { extents };
        let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({extents}), }}");
        // The elements begin at a multiple of 64.
        let (version, before) = if text.len() < 60_000 { (1, 10) } else { (2, 12) };
        let size = (before + text.len() + 1).next_multiple_of(64) - before;
        text.extend(std::iter::repeat_n(' ', size - 1 - text.len()));
        text.push('\n');
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        bytes.extend(&(size as u32).to_le_bytes()[..before - 8]);
        bytes.extend(text.as_bytes());
        Ok(bytes)
    }
}

/// What the elements are, and whether their first byte is the highest.
fn dtype(descr: &str) -> Result<(DType, bool)> {
    let mut rest = descr.chars();
    let Some(order) = rest.next().filter(|order| "<>|=".contains(*order)) else {
        return wrong(format!("`{descr}` is no dtype"));
    };
    let unsupported = |what: &str, python| {
        let what = if what.is_empty() { format!("`{descr}`") } else { format!("{what} (`{descr}`)") };
        Err(Error::Unsupported { what, python })
    };
    let dtype = match rest.as_str() {
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "u1" => DType::U8,
        "b1" => DType::Bool,
        "u8" => return unsupported("unsigned 64-bit integers", "np.save(path, a.astype(np.int64))"),
        other => {
            return match other.chars().next() {
                Some('O') => {
                    unsupported("Python objects", "np.save(path, np.array(a.tolist(), dtype=np.float64))")
                }
                Some('i' | 'u') => unsupported("", "np.save(path, a.astype(np.int64))"),
                Some('c') => unsupported("complex numbers", "np.save(path, np.stack([a.real, a.imag], -1))"),
                Some('U' | 'S') => {
                    unsupported("strings", "np.save(path, np.unique(a, return_inverse=True)[1])")
                }
                Some('m' | 'M') => unsupported("times", "np.save(path, a.astype(np.int64))"),
                Some('V') => unsupported("raw bytes", "np.save(path, a.astype(np.float32))"),
                _ => unsupported("", "np.save(path, a.astype(np.float64))"),
            };
        }
    };
    Ok((dtype, order == '>' || order == '=' && cfg!(target_endian = "big")))
}

/// What is left of the dictionary.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn next(&mut self) -> Option<char> {
        self.0 = self.0.trim_start();
        self.0.chars().next()
    }

    fn skip(&mut self, c: char) -> bool {
        let found = self.next() == Some(c);
        if found {
            self.0 = &self.0[c.len_utf8()..];
        }
        found
    }

    fn expect(&mut self, c: char) -> Result<()> {
        if self.skip(c) { Ok(()) } else { wrong(format!("the header lacks a `{c}`")) }
    }

    /// A string without escapes, in either quotes.
    fn string(&mut self) -> Result<&'a str> {
        let quote = match self.next() {
            Some(quote @ ('\'' | '"')) => quote,
            _ => return wrong("the header lacks a string"),
        };
        match self.0[1..].split_once(quote) {
            Some((string, rest)) => {
                self.0 = rest;
                Ok(string)
            }
            None => wrong("a string in the header does not end"),
        }
    }

    fn truth(&mut self) -> Result<bool> {
        self.next();
        for (word, truth) in [("True", true), ("False", false)] {
            if let Some(rest) = self.0.strip_prefix(word) {
                self.0 = rest;
                return Ok(truth);
            }
        }
        wrong("`fortran_order` is neither True nor False")
    }

    fn extents(&mut self) -> Result<Shape> {
        let mut extents = Vec::new();
        self.expect('(')?;
        while !self.skip(')') {
            self.next();
            let digits = self.0.len() - self.0.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = self.0.split_at(digits);
            let Ok(extent) = number.parse::<usize>() else {
                return wrong("the shape is no tuple of integers");
            };
            // Old versions of NumPy under Python 2 wrote long integers.
            self.0 = rest.strip_prefix('L').unwrap_or(rest);
            extents.push(extent);
            if !self.skip(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(extents.into())
    }
}

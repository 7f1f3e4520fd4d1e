//! Files of NumPy: `.npy`, one array, and `.npz`, an archive of named ones.
//!
//! Files come from anywhere, so every size is compared with the bytes there are before memory is asked for, and nothing is
//! executed: arrays of Python objects are refused, with the line that converts them, as is what no dtype holds.
//!
//! ```
//! use gradus::Tensor;
//! use gradus::interop::npy;
//!
//! let folder = std::env::temp_dir();
//! let path = folder.join(format!("gradus-doc-{}.npy", std::process::id()));
//! let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
//! npy::save(&path, &x)?;
//! assert_eq!(npy::load(&path)?, x);
//!
//! let archive = path.with_extension("npz");
//! npy::save_npz(&archive, [("x", &x), ("labels", &Tensor::from([0i64, 1]))])?;
//! let tensors = npy::load_npz(&archive)?;
//! assert_eq!(tensors["labels"], Tensor::from([0i64, 1]));
//! # std::fs::remove_file(&path).unwrap();
//! # std::fs::remove_file(&archive).unwrap();
//! # Ok::<(), npy::Error>(())
//! ```

mod archive;
mod header;

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use gradus_core::ops::Permute;
use gradus_core::{Array, Bf16, DType, Element, F16, files, memory, with_elements};

use crate::{Device, Tensor};
pub use archive::{load_npz, read_npz, save_npz, write_npz};
use header::Header;

/// Why a file of NumPy could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system could not read or write a file.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried: "read", "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A stream could not be read or written.
    #[error("the stream broke off: {0}")]
    Stream(#[from] std::io::Error),
    /// The bytes are no array of NumPy.
    #[error("no valid .npy array: {0}")]
    Format(String),
    /// The bytes are no archive of arrays.
    #[error("no valid .npz archive: {0}")]
    Archive(String),
    /// A sound array that no tensor holds.
    #[error("an array of {what} is no tensor; convert it in Python: `{python}`")]
    Unsupported {
        /// What its elements are.
        what: String,
        /// The line of Python that makes an array which is.
        python: &'static str,
    },
    /// A tensor that no array of NumPy holds.
    #[error("NumPy has no {0}; `cast` the tensor to f32 first")]
    NoDType(DType),
    /// One array of an archive, or a file.
    #[error("{name}: {source}")]
    In {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The tensor cannot be made, or not be read.
    #[error(transparent)]
    Tensor(#[from] crate::Error),
}

impl Error {
    fn within(self, name: impl Into<String>) -> Error {
        Error::In { name: name.into(), source: Box::new(self) }
    }
}

/// `Result` with this module's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Reads a `.npy` file onto the default device.
///
/// # Errors
/// If the file cannot be read, is no `.npy` file, is longer or shorter than its header says, or holds what no dtype does.
pub fn load(path: impl AsRef<Path>) -> Result<Tensor> {
    let path = path.as_ref();
    let fail = |source| Error::File { action: "read", path: path.to_path_buf(), source };
    let file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    read(BufReader::new(file), length).map_err(|error| error.within(path.display().to_string()))
}

/// Reads the `.npy` array that `length` bytes of a stream are.
///
/// # Errors
/// As for [`load`].
pub fn read(mut from: impl Read, length: u64) -> Result<Tensor> {
    let (header, taken) = Header::read(&mut from, length)?;
    let (size, bytes) = header.sizes()?;
    let left = length - taken;
    if bytes != left {
        let shape = &header.shape;
        return Err(Error::Format(format!(
            "shape {shape} takes {bytes} bytes, but {left} follow the header"
        )));
    }
    let (from, big) = (&mut from, header.big_endian);
    let mut reversed = header.shape.clone();
    if header.fortran_order {
        reversed.reverse();
    }
    let array = match header.dtype {
        DType::F32 => Array::new(reversed, elements(from, size, big, f32::from_le_bytes)?),
        DType::F64 => Array::new(reversed, elements(from, size, big, f64::from_le_bytes)?),
        DType::I32 => Array::new(reversed, elements(from, size, big, i32::from_le_bytes)?),
        DType::I64 => Array::new(reversed, elements(from, size, big, i64::from_le_bytes)?),
        DType::Bool => Array::new(reversed, elements(from, size, big, |[x]: [u8; 1]| x != 0)?),
        DType::U8 => Array::new(reversed, elements(from, size, big, |[x]: [u8; 1]| x)?),
        DType::F16 => Array::new(reversed, elements(from, size, big, |b| F16(u16::from_le_bytes(b)))?),
        DType::Bf16 => Array::new(reversed, elements(from, size, big, |b| Bf16(u16::from_le_bytes(b)))?),
    };
    // Whoever checks sums does so at the end.
    if from.read(&mut [0])? != 0 {
        return Err(Error::Format("more bytes follow than were announced".into()));
    }
    let tensor =
        Tensor::on(&Device::default(), array.map_err(crate::Error::from)?).map_err(crate::Error::from)?;
    if header.fortran_order && header.shape.rank() > 1 {
        let axes = (0..header.shape.rank()).rev().collect();
        return Ok(Tensor::apply(Permute { axes }, &[&tensor]));
    }
    Ok(tensor)
}

/// So many elements of `N` bytes, which have been found to be there.
fn elements<T: Element, const N: usize>(
    from: &mut impl Read,
    size: usize,
    big_endian: bool,
    of: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>> {
    let mut elements = memory::with_capacity("load", size).map_err(crate::Error::from)?;
    let mut block = [0; 1 << 13];
    while elements.len() < size {
        let bytes = &mut block[..((size - elements.len()) * N).min(1 << 13)];
        from.read_exact(bytes)?;
        elements.extend(bytes.chunks_exact(N).map(|chunk| {
            let mut own = [0; N];
            own.copy_from_slice(chunk);
            if big_endian {
                own.reverse();
            }
            of(own)
        }));
    }
    Ok(elements)
}

/// Writes a tensor to a `.npy` file.
///
/// # Errors
/// If the system cannot write, the tensor is being recorded, or it is a `bf16` one, which NumPy does not have.
pub fn save(path: impl AsRef<Path>, tensor: &Tensor) -> Result<()> {
    to_file(path.as_ref(), |out| write(out, tensor))
}

/// Writes a tensor as a `.npy` array, little endian and by rows.
///
/// # Errors
/// As for [`save`].
pub fn write(mut out: impl Write, tensor: &Tensor) -> Result<()> {
    let array = tensor.to_array()?;
    out.write_all(&Header::bytes(array.dtype(), array.shape())?)?;
    let mut bytes = Vec::with_capacity(1 << 13);
    with_elements!(array.buffer(), v => for block in v.chunks(1 << 10) {
        bytes.clear();
        block.iter().for_each(|&x| x.put_le_bytes(&mut bytes));
        out.write_all(&bytes)?;
    });
    Ok(())
}

/// Replaces a file, so that there is the old one or the new one.
fn to_file(path: &Path, contents: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let fail = |source| Error::File { action: "write", path: path.to_path_buf(), source };
    files::replace(path, fail, contents)
}

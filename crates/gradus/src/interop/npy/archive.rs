//! `.npz`: a ZIP archive of `.npy` arrays, stored or deflated.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{Error, Result, read, to_file, write};
use crate::Tensor;

/// The most bytes that one deflated byte can stand for.
const DEFLATES_TO: u64 = 1032;

impl From<zip::result::ZipError> for Error {
    fn from(error: zip::result::ZipError) -> Self {
        match error {
            zip::result::ZipError::Io(error) => Error::Stream(error),
            other => Error::Archive(other.to_string()),
        }
    }
}

/// Reads the arrays of a `.npz` file by name, without the `.npy` behind it.
///
/// # Errors
/// If the file cannot be read, is no `.npz` file, or has something in it that is no array of numbers: see [`load`](super::load).
pub fn load_npz(path: impl AsRef<Path>) -> Result<BTreeMap<String, Tensor>> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_path_buf(),
        source,
    })?;
    read_npz(BufReader::new(file)).map_err(|error| error.within(path.display().to_string()))
}

/// Reads the arrays of a `.npz` archive by name.
///
/// # Errors
/// As for [`load_npz`].
pub fn read_npz(mut from: impl Read + Seek) -> Result<BTreeMap<String, Tensor>> {
    let length = from.seek(std::io::SeekFrom::End(0))?;
    from.rewind()?;
    let mut archive = ZipArchive::new(from)?;
    let (mut tensors, mut packed) = (BTreeMap::new(), 0u64);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let (name, size) = (entry.name()?.into_owned(), entry.size());
        // What the archive says about sizes is compared with what there is: entries do not overlap.
        packed = packed.saturating_add(entry.compressed_size());
        let most = match entry.compression() {
            CompressionMethod::Stored => entry.compressed_size(),
            _ => entry.compressed_size().saturating_mul(DEFLATES_TO).saturating_add(DEFLATES_TO),
        };
        if packed > length || size > most {
            let detail = format!("`{name}` cannot unpack to {size} bytes in an archive of {length}");
            return Err(Error::Archive(detail));
        }
        let tensor = read(&mut entry, size).map_err(|error| error.within(format!("`{name}`")))?;
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_string();
        if let Some(_twice) = tensors.insert(name.clone(), tensor) {
            return Err(Error::Archive(format!("two arrays are named `{name}`")));
        }
    }
    Ok(tensors)
}

/// Writes tensors with names to a `.npz` file, uncompressed.
///
/// # Errors
/// As for [`save`](super::save).
pub fn save_npz<'a, N: AsRef<str>>(
    path: impl AsRef<Path>,
    tensors: impl IntoIterator<Item = (N, &'a Tensor)>,
) -> Result<()> {
    to_file(path.as_ref(), |out| write_npz(out, tensors))
}

/// Writes tensors with names as a `.npz` archive, uncompressed.
///
/// # Errors
/// As for [`save`](super::save); if two have one name.
pub fn write_npz<'a, N: AsRef<str>>(
    out: impl Write + Seek,
    tensors: impl IntoIterator<Item = (N, &'a Tensor)>,
) -> Result<()> {
    let mut archive = ZipWriter::new(out);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, tensor) in tensors {
        let name = name.as_ref();
        archive.start_file(format!("{name}.npy"), options.large_file(tensor.size() >= 1 << 28))?;
        write(&mut archive, tensor).map_err(|error| error.within(format!("`{name}`")))?;
    }
    archive.finish()?;
    Ok(())
}

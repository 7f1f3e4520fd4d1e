//! Trees of tensors as `safetensors` files.
//!
//! A file is the length of a JSON header (8 bytes, little endian), the header, and the elements of all tensors one after
//! the other. The header gives each tensor's name, dtype, shape and place. Files come from anywhere, so every number is
//! checked before it is used; files are replaced as a whole or not at all.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use gradus::{Array, DType, Element, Tensor, Tree};
use serde_json::{Map, Value, json};

use crate::{Error, Result};

/// The longest header that is read; the reference implementation has the same limit.
const LONGEST_HEADER: u64 = 100_000_000;

const DTYPES: [(DType, &str); 7] = [
    (DType::F64, "F64"),
    (DType::I64, "I64"),
    (DType::F32, "F32"),
    (DType::I32, "I32"),
    (DType::Bf16, "BF16"),
    (DType::U8, "U8"),
    (DType::Bool, "BOOL"),
];

/// Writes the tensors of a tree, named by their paths (`layers.0.weight`; a lone tensor is `value`), to a file. The file
/// is written beside its place, flushed to the disk and then renamed, so that whatever happens on the way there is
/// either the old file or the new one.
///
/// # Errors
/// If a tensor is being recorded, or the system cannot write; the old file is then still there.
///
/// ```
/// use gradus::Tensor;
/// let path = std::env::temp_dir().join(format!("gradus-doc-{}.safetensors", std::process::id()));
/// let tree = vec![Tensor::from([1f32, 2.0]), Tensor::from(3i64)];
/// gradus_nn::save(&path, &tree)?;
/// assert_eq!(gradus_nn::load(&path, &tree)?, tree);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), gradus_nn::Error>(())
/// ```
pub fn save<T: Tree>(path: impl AsRef<Path>, tree: &T) -> Result<()> {
    write_atomically(path, |file| write(file, tree))
}

/// Reads a tree from a file: `template` gives the structure and the names, shapes and dtypes that are expected.
///
/// # Errors
/// If the file cannot be read, is no sound `safetensors` file, or has other tensors than the template.
pub fn load<T: Tree>(path: impl AsRef<Path>, template: &T) -> Result<T> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_path_buf(),
        source,
    })?;
    fill(template, read(&bytes)?)
}

fn name(path: String) -> String {
    if path.is_empty() { "value".into() } else { path }
}

/// Writes the tensors of a tree to a stream.
///
/// # Errors
/// If a tensor is being recorded, or the stream cannot be written.
pub fn write<T: Tree>(mut out: impl Write, tree: &T) -> Result<()> {
    let mut tensors = Vec::new();
    for (path, tensor) in tree.leaves() {
        tensors.push((name(path), tensor.to_array().map_err(|e| Error::Invalid(e.to_string()))?));
    }
    // Wide elements first: then every tensor is aligned to its own element.
    tensors.sort_by_key(|(_, array)| std::cmp::Reverse(array.dtype().size()));
    let (mut header, mut end) = (Map::new(), 0);
    for (name, array) in &tensors {
        let start = end;
        end += array.bytes();
        let place = json!({
            "dtype": DTYPES.iter().find(|d| d.0 == array.dtype()).map(|d| d.1),
            "shape": array.shape().to_vec(),
            "data_offsets": [start, end],
        });
        if header.insert(name.clone(), place).is_some() {
            return Err(Error::Invalid(format!("two tensors of the tree are named \"{name}\"")));
        }
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(Error::Write);
    put(&(header.len() as u64).to_le_bytes())?;
    put(&header)?;
    for (_, array) in &tensors {
        put(&to_bytes(array))?;
    }
    out.flush().map_err(Error::Write)
}

/// Reads all tensors of a file's bytes.
///
/// # Errors
/// If the bytes are no sound `safetensors` file; nothing is assumed about them.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let wrong = |what: &str| Error::Format(what.into());
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| wrong("it is shorter than 8 bytes"))?;
    let length = u64::from_le_bytes(*length);
    if length > LONGEST_HEADER || length > rest.len() as u64 {
        return Err(Error::Format(format!(
            "its header should have {length} bytes, but {} follow (limit {LONGEST_HEADER})",
            rest.len()
        )));
    }
    let (header, data) = rest.split_at(length as usize);
    let header: Map<String, Value> = serde_json::from_slice(header)
        .map_err(|e| Error::Format(format!("its header is no JSON object: {e}")))?;
    let mut tensors = BTreeMap::new();
    let mut places = Vec::new();
    for (name, place) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let (dtype, shape, start, end) = entry(&place)
            .ok_or_else(|| Error::Format(format!("tensor \"{name}\" has no sound entry: {place}")))?;
        let size = shape.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d));
        let elements = data.get(start..end).filter(|e| Some(e.len()) == size).ok_or_else(|| {
            Error::Format(format!(
                "tensor \"{name}\" ({dtype} {shape:?}) does not fit bytes {start}..{end} of {}",
                data.len()
            ))
        })?;
        places.push((start, end));
        let tensor = from_bytes(dtype, &shape, elements)
            .ok_or_else(|| Error::Format(format!("tensor \"{name}\" holds bytes that are no booleans")))?;
        tensors.insert(name, tensor);
    }
    places.sort_unstable();
    let end = places.iter().try_fold(0, |last, &(start, end)| (start == last).then_some(end));
    if end != Some(data.len()) {
        return Err(wrong("its tensors overlap, or leave bytes unused"));
    }
    Ok(tensors)
}

/// dtype, shape and place of one tensor.
fn entry(value: &Value) -> Option<(DType, Vec<usize>, usize, usize)> {
    let number = |v: &Value| usize::try_from(v.as_u64()?).ok();
    let dtype = value.get("dtype")?.as_str()?;
    let dtype = DTYPES.iter().find(|d| d.1 == dtype)?.0;
    let shape = value.get("shape")?.as_array()?.iter().map(number).collect::<Option<Vec<_>>>()?;
    match value.get("data_offsets")?.as_array()?.as_slice() {
        [start, end] => Some((dtype, shape, number(start)?, number(end)?)),
        _ => None,
    }
}

/// The template with its tensors replaced by those of the same names.
fn fill<T: Tree>(template: &T, mut tensors: BTreeMap<String, Tensor>) -> Result<T> {
    let mut found = Vec::new();
    for (path, want) in template.leaves() {
        let name = name(path);
        let tensor =
            tensors.remove(&name).ok_or_else(|| Error::Mismatch(format!("it has no tensor \"{name}\"")))?;
        if tensor.shape() != want.shape() || tensor.dtype() != want.dtype() {
            return Err(Error::Mismatch(format!(
                "tensor \"{name}\" is {}{}, expected {}{}",
                tensor.dtype(),
                tensor.shape(),
                want.dtype(),
                want.shape()
            )));
        }
        found.push(tensor);
    }
    if let Some(name) = tensors.keys().next() {
        return Err(Error::Mismatch(format!("its tensor \"{name}\" is not part of the model")));
    }
    Ok(template.with_tensors(found))
}

fn to_bytes(array: &Array) -> Vec<u8> {
    fn flat<T: Element, const N: usize>(array: &Array, bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        array.elements::<T>().unwrap_or_default().iter().flat_map(|&x| bytes(x)).collect()
    }
    match array.dtype() {
        DType::F32 => flat(array, f32::to_le_bytes),
        DType::F64 => flat(array, f64::to_le_bytes),
        DType::I32 => flat(array, i32::to_le_bytes),
        DType::I64 => flat(array, i64::to_le_bytes),
        DType::U8 => flat(array, u8::to_le_bytes),
        DType::Bool => flat(array, |x: bool| [u8::from(x)]),
        // The upper half of an f32, exactly.
        DType::Bf16 => flat(&array.cast(DType::F32), |x: f32| {
            let [_, _, a, b] = x.to_le_bytes();
            [a, b]
        }),
    }
}

/// The tensor, or `None` if a boolean is neither 0 nor 1. The length has been checked.
fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Option<Tensor> {
    fn each<T: Element, const N: usize>(
        shape: &[usize],
        bytes: &[u8],
        get: impl Fn([u8; N]) -> T,
    ) -> Option<Tensor> {
        let elements = bytes.as_chunks::<N>().0.iter().map(|&b| get(b)).collect();
        Tensor::new(shape, elements).ok()
    }
    match dtype {
        DType::F32 => each(shape, bytes, f32::from_le_bytes),
        DType::F64 => each(shape, bytes, f64::from_le_bytes),
        DType::I32 => each(shape, bytes, i32::from_le_bytes),
        DType::I64 => each(shape, bytes, i64::from_le_bytes),
        DType::U8 => each(shape, bytes, u8::from_le_bytes),
        DType::Bool if bytes.iter().any(|&b| b > 1) => None,
        DType::Bool => each(shape, bytes, |[b]| b == 1),
        DType::Bf16 => {
            each(shape, bytes, |[a, b]| f32::from_le_bytes([0, 0, a, b])).map(|t| t.cast(DType::Bf16))
        }
    }
}

/// Replaces a file by what `contents` writes: into a new file beside it, flushed to the disk, then renamed.
///
/// # Errors
/// If the system cannot write, or `contents` fails; the old file is then untouched and the new one is gone.
pub fn write_atomically(
    path: impl AsRef<Path>,
    contents: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let path = path.as_ref();
    let fail = |source| Error::File { action: "write", path: path.to_path_buf(), source };
    let name = path
        .file_name()
        .ok_or_else(|| fail(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it names no file")))?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary: PathBuf =
        folder.join(format!(".{}.{}-{count}.tmp", name.to_string_lossy(), std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).open(&temporary).map_err(fail)?;
    let mut file = BufWriter::new(file);
    let written = contents(&mut file)
        .and_then(|()| file.flush().map_err(fail))
        .and_then(|()| file.get_ref().sync_all().map_err(fail))
        .and_then(|()| std::fs::rename(&temporary, path).map_err(fail));
    if let Err(error) = written {
        // The first error is the one to report; a temporary that cannot be removed does no harm.
        let _ = std::fs::remove_file(&temporary);
        return Err(match error {
            Error::Write(source) => fail(source),
            other => other,
        });
    }
    // The new name is on the disk once the folder is; systems that cannot flush a folder flush names by themselves.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

//! Trees of tensors as `safetensors` files.
//!
//! A file is the length of a JSON header (8 bytes, little endian), the header, and the elements of all tensors one after
//! the other. The header gives each tensor's name, dtype, shape and place. Files come from anywhere, so every number is
//! checked before it is used; files are replaced as a whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use gradus::core::{files, with_elements};
use gradus::{Array, Element, Tensor, Tree};
use serde_json::{Map, Value, json};

use crate::header::{DTYPES, Stored, Unique};
use crate::{Entry, Error, Result};

/// Replaces a file by what `contents` writes: there is either the old file or the new one, whatever happens on the way; see
/// [`gradus::core::files::replace`].
///
/// # Errors
/// If the system cannot write, `path` is a folder, a pipe or a device, or `contents` fails; the old file is then untouched
/// and the new one is gone.
///
/// ```
/// let path = std::env::temp_dir().join(format!("gradus-write-{}.txt", std::process::id()));
/// gradus_nn::write_atomically(&path, |out| out.write_all(b"text").map_err(gradus_nn::Error::Write))?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), gradus_nn::Error>(())
/// ```
pub fn write_atomically(
    path: impl AsRef<Path>,
    contents: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let fail = |source| Error::File { action: "write", path: path.to_path_buf(), source };
    files::replace(path, fail, |file| contents(file)).map_err(|error| match error {
        Error::Write(source) => fail(source),
        other => other,
    })
}

/// Whether [`write_atomically`] can begin: asked before long work whose result it is to hold. The disk may still be full
/// when it ends.
///
/// # Errors
/// The same as when writing begins.
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    files::check_writable(path).map_err(|source| Error::File {
        action: "write",
        path: path.to_path_buf(),
        source,
    })
}

/// The longest header that is read; the reference implementation has the same limit.
const LONGEST_HEADER: u64 = 100_000_000;

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
    let bytes = bytes_of(path.as_ref())?;
    fill(template, &read_each(&bytes)?, Entry::same, |stored, _| stored.tensor())
}

/// As [`load`], converting every tensor to the dtype that the template has: a file in half precision into a model in single
/// precision, for example.
///
/// # Errors
/// As for [`load`], except for dtypes; and if a type has no conversion: see [`Stored::converted`].
///
/// ```
/// use gradus::{DType, Tensor};
/// let path = std::env::temp_dir().join(format!("gradus-doc-cast-{}.safetensors", std::process::id()));
/// let tree = Tensor::from([1f32, 2.5]);
/// gradus_nn::save(&path, &tree.cast(DType::Bf16))?;
/// assert!(gradus_nn::load(&path, &tree).is_err());
/// assert_eq!(gradus_nn::load_cast(&path, &tree)?, tree);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), gradus_nn::Error>(())
/// ```
pub fn load_cast<T: Tree>(path: impl AsRef<Path>, template: &T) -> Result<T> {
    let bytes = bytes_of(path.as_ref())?;
    fill(template, &read_each(&bytes)?, Entry::same, converted)
}

/// As [`load_cast`], from a file that names or lays out its tensors in another way: `entry` tells for the name of each
/// tensor of the template which [`Entry`] of the file it is. Two tensors may be the same entry; one that is none is an error.
///
/// # Errors
/// As for [`load_cast`].
///
/// ```
/// use gradus::{Key, Tensor};
/// use gradus_nn::{Entry, layers::Linear};
/// // The `state_dict` of a layer of PyTorch: the matrix is `[outputs, inputs]`.
/// let stored = std::collections::BTreeMap::from([
///     ("fc.weight".to_string(), Tensor::from([[1f32, 2.0, 3.0]])),
///     ("fc.bias".to_string(), Tensor::from([0f32])),
/// ]);
/// let path = std::env::temp_dir().join(format!("gradus-doc-renamed-{}.safetensors", std::process::id()));
/// gradus_nn::save(&path, &stored)?;
/// let layer = gradus_nn::load_renamed(&path, &Linear::new(&Key::new(0), 3, 1), |name| {
///     let entry = Entry::new(format!("fc.{name}"));
///     if name == "weight" { entry.transposed() } else { entry }
/// })?;
/// assert_eq!(layer.forward(&Tensor::from([[1f32, 1.0, 1.0]])), Tensor::from([[6f32]]));
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), gradus_nn::Error>(())
/// ```
pub fn load_renamed<T: Tree>(
    path: impl AsRef<Path>,
    template: &T,
    entry: impl Fn(&str) -> Entry,
) -> Result<T> {
    let bytes = bytes_of(path.as_ref())?;
    fill(template, &read_each(&bytes)?, entry, converted)
}

fn converted(stored: &Stored<'_>, want: &Tensor) -> Result<Tensor> {
    Ok(stored.converted()?.cast(want.dtype()))
}

fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::File { action: "read", path: path.to_path_buf(), source })
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
/// If the bytes are no sound `safetensors` file (nothing is assumed about them), or one of the tensors is of a type that
/// has to be converted: [`read_each`] reads the others, and converts.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    read_each(bytes)?.into_iter().map(|(name, stored)| Ok((name, stored.tensor()?))).collect()
}

/// The tensors of a file's bytes, each to be read by itself: one of a type that is not known here keeps none of the others
/// from being read.
///
/// # Errors
/// If the bytes are no sound `safetensors` file; nothing is assumed about them.
pub fn read_each(bytes: &[u8]) -> Result<BTreeMap<String, Stored<'_>>> {
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
    let header = match serde_json::from_slice(header) {
        Ok(Unique(Value::Object(header))) => header,
        Ok(_) => return Err(wrong("its header is JSON, but no object")),
        Err(e) => return Err(Error::Format(format!("its header is no JSON object: {e}"))),
    };
    let mut tensors = BTreeMap::new();
    let mut places = Vec::new();
    for (name, entry) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let (stored, place) = Stored::of(name.clone(), &entry, data)?;
        places.push(place);
        tensors.insert(name, stored);
    }
    places.sort_unstable();
    let end = places.iter().try_fold(0, |last, &[start, end]| (start == last).then_some(end));
    if end != Some(data.len()) {
        return Err(wrong("its tensors overlap, or leave bytes unused"));
    }
    Ok(tensors)
}

/// The template with its tensors replaced by what `get` makes of the entries that they are.
fn fill<T: Tree>(
    template: &T,
    tensors: &BTreeMap<String, Stored<'_>>,
    entry: impl Fn(&str) -> Entry,
    get: impl Fn(&Stored<'_>, &Tensor) -> Result<Tensor>,
) -> Result<T> {
    let mut found = Vec::new();
    let mut used = BTreeSet::new();
    for (path, want) in template.leaves() {
        let path = name(path);
        let entry = entry(&path);
        let lacks = || Error::Mismatch(format!("it has no tensor {}", entry.names(&path)));
        let (key, stored) = tensors.get_key_value(entry.name()).ok_or_else(lacks)?;
        used.insert(key);
        let tensor = entry.laid_out(get(stored, &want)?)?;
        if tensor.shape() != want.shape() || tensor.dtype() != want.dtype() {
            return Err(Error::Mismatch(format!(
                "tensor {} is {}{}, expected {}{}",
                entry.names(&path),
                tensor.dtype(),
                tensor.shape(),
                want.dtype(),
                want.shape()
            )));
        }
        found.push(tensor);
    }
    if let Some(name) = tensors.keys().find(|name| !used.contains(name)) {
        return Err(Error::Mismatch(format!("its tensor \"{name}\" is not part of the model")));
    }
    Ok(template.with_tensors(found))
}

fn to_bytes(array: &Array) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(array.shape().size() * array.dtype().size());
    with_elements!(array.buffer(), v => v.iter().for_each(|&x| x.put_le_bytes(&mut bytes)));
    bytes
}

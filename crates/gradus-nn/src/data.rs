//! Data sets: the digits, splits, batches, and shifts of images.

use gradus::{DType, Key, Tensor};

use crate::{Error, Result};

/// The compressed table; where it comes from is told in `data/README.md`.
static DIGITS: &[u8] = include_bytes!("../data/digits.csv.gz");

/// Examples with integer labels.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// `[N, …]`.
    pub inputs: Tensor,
    /// `[N]`, `i64`.
    pub labels: Tensor,
}

/// A data set in two parts.
#[derive(Clone, Debug)]
pub struct Split {
    /// What a model is trained on.
    pub train: Dataset,
    /// What it has never seen.
    pub held_out: Dataset,
}

/// The 1,797 handwritten digits of 8 x 8 pixels of the UCI repository (Alpaydin and Kaynak 1998), as `f32` images
/// `[1797, 1, 8, 8]` in [0, 1] and their digits.
///
/// # Errors
/// If the table inside the program is damaged.
///
/// ```
/// let digits = gradus_nn::data::digits()?;
/// assert_eq!(digits.inputs.shape(), &[1797, 1, 8, 8].into());
/// assert_eq!(digits.labels.slice(0, ..5).to_vec::<i64>(), [0, 1, 2, 3, 4]);
/// # Ok::<(), gradus_nn::Error>(())
/// ```
pub fn digits() -> Result<Dataset> {
    let damaged = || Error::Invalid("the table of digits inside the program is damaged".into());
    let text = gunzip(DIGITS).and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(damaged)?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let row: Vec<u8> =
            line.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| damaged())?;
        let [image @ .., label] = row.as_slice() else { return Err(damaged()) };
        if image.len() != 64 || image.iter().any(|&p| p > 16) || *label > 9 {
            return Err(damaged());
        }
        pixels.extend(image.iter().map(|&p| f32::from(p) / 16.0));
        labels.push(i64::from(*label));
    }
    let inputs = Tensor::new([labels.len(), 1, 8, 8], pixels).map_err(|_| damaged())?;
    Ok(Dataset { inputs, labels: Tensor::from(labels) })
}

/// The contents of a gzip member whose optional fields are at most a file name (RFC 1952).
fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    const NAME: u8 = 8;
    let (&[0x1f, 0x8b, 8, flags, ..], [body @ .., _, _, _, _, s0, s1, s2, s3]) = (bytes, bytes.get(10..)?)
    else {
        return None;
    };
    let start = match flags {
        0 => 0,
        NAME => body.iter().position(|&b| b == 0)? + 1,
        _ => return None,
    };
    let out = miniz_oxide::inflate::decompress_to_vec(&body[start..]).ok()?;
    (out.len() as u32 == u32::from_le_bytes([*s0, *s1, *s2, *s3])).then_some(out)
}

impl Dataset {
    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.size()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The examples of these indices, in their order.
    #[track_caller]
    pub fn take(&self, indices: &Tensor) -> Dataset {
        Dataset { inputs: self.inputs.take(indices, 0), labels: self.labels.take(indices, 0) }
    }

    /// Shuffles by the key, then holds out a share (rounded up) of the examples.
    ///
    /// ```
    /// use gradus::Key;
    /// let split = gradus_nn::data::digits()?.split(&Key::new(0), 0.2);
    /// assert_eq!((split.train.len(), split.held_out.len()), (1437, 360));
    /// # Ok::<(), gradus_nn::Error>(())
    /// ```
    #[track_caller]
    pub fn split(&self, key: &Key, held_out: f64) -> Split {
        let order = key.permutation(self.len());
        let cut = ((self.len() as f64 * held_out).ceil().max(0.0) as usize).min(self.len()) as isize;
        Split { train: self.take(&order.slice(0, cut..)), held_out: self.take(&order.slice(0, ..cut)) }
    }

    /// Batches of `size` examples in an order drawn from the key; those that do not fill the last batch are left out
    /// (other ones each time, with another key).
    #[track_caller]
    pub fn batches(&self, key: &Key, size: usize) -> impl Iterator<Item = Dataset> + '_ {
        let order = key.permutation(self.len());
        let size = size.max(1);
        (0..self.len() / size).map(move |i| {
            let start = (i * size) as isize;
            self.take(&order.slice(0, start..start + size as isize))
        })
    }
}

/// Moves each image of `[N, C, H, W]` by its own random distance of at most `reach` pixels (0 to 1) along each of the last
/// two axes. Fractions of a pixel are interpolated linearly; what comes in from outside is 0.
///
/// ```
/// use gradus::{DType, Key, Tensor};
/// use gradus_nn::data::shifted;
/// let x = Tensor::ones([4, 1, 3, 3], DType::F32);
/// assert_eq!(shifted(&x, &Key::new(0), 0.0), x);
/// assert_eq!(shifted(&x, &Key::new(0), 1.0).slice(2, 1..2).slice(3, 1..2), Tensor::ones([4, 1, 1, 1], DType::F32));
/// ```
#[track_caller]
pub fn shifted(images: &Tensor, key: &Key, reach: f64) -> Tensor {
    let n = images.shape()[0];
    let distances = (key.uniform([2, n, 1, 1, 1], DType::F32) * 2.0 - 1.0) * reach;
    let across = shift_axis(images, &distances.index(0, 0).cast(images.dtype()), 2);
    shift_axis(&across, &distances.index(0, 1).cast(images.dtype()), 3)
}

/// `(1 - |d|) x` plus `|d|` times the neighbour on the side that `d` points away from.
#[track_caller]
fn shift_axis(x: &Tensor, d: &Tensor, axis: usize) -> Tensor {
    let mut widths = vec![(0, 0); x.rank()];
    widths[axis] = (1, 1);
    let padded = x.pad(&widths);
    let (axis, extent) = (axis as isize, x.shape()[axis] as isize);
    let (before, after) = (padded.slice(axis, ..extent), padded.slice(axis, 2..));
    x * (1.0 - d.abs()) + before * d.maximum(0.0) + after * (-d).maximum(0.0)
}

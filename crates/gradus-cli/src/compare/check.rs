//! Whether all configurations give the same losses and gradients.

use std::fs;
use std::path::PathBuf;

use super::configuration::Configuration;
use super::row::Row;
use crate::Error;

/// How far losses and gradients may differ where they are computed in another order, relative to the largest element of
/// their tensor: some hundred roundings of single precision.
const TOLERANCE: f64 = 1e-4;

/// A folder for gradients; it goes away when this is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Result<Self, Error> {
        let path = std::env::temp_dir().join(format!("gradus-compare-{}", std::process::id()));
        fs::create_dir_all(&path)
            .map_err(|source| Error::Folder { folder: path.display().to_string(), source })?;
        Ok(Scratch(path))
    }

    /// Where a configuration writes its gradients.
    pub fn file(&self, configuration: Configuration) -> PathBuf {
        self.0.join(format!("{}.gradients", configuration.to_string().replace('%', "-percent")))
    }

    /// The gradients that a configuration has written: the elements of each tensor.
    fn read(&self, configuration: Configuration) -> Result<Vec<Vec<f32>>, Error> {
        let bytes = fs::read(self.file(configuration))?;
        let mut rest = bytes.as_slice();
        let mut tensors = Vec::new();
        while let Some((count, after)) = rest.split_first_chunk::<8>() {
            let size = usize::try_from(u64::from_le_bytes(*count)).unwrap_or(usize::MAX).saturating_mul(4);
            let Some((elements, after)) = after.split_at_checked(size) else {
                return Err(Error::Usage(format!("the gradients of \"{configuration}\" are cut short")));
            };
            tensors.push(elements.as_chunks::<4>().0.iter().map(|c| f32::from_le_bytes(*c)).collect());
            rest = after;
        }
        Ok(tensors)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Compares all rows with the first that has a plan, and the automatic ones with each other, bit by bit.
pub fn judge(rows: &mut [Row], scratch: &Scratch) -> Result<(), Error> {
    let there = |row: &&Row| row.refused.is_none();
    let Some(first) = rows.iter().find(there) else { return Ok(()) };
    let reference = (scratch.read(first.configuration)?, first.losses.clone());
    let automatic = match rows.iter().filter(there).find(|r| r.configuration.is_automatic()) {
        Some(row) => Some((row.losses.clone(), scratch.read(row.configuration)?)),
        None => None,
    };
    let plain = rows.iter().find(|r| r.configuration == Configuration::Plain && r.refused.is_none()).cloned();
    for row in rows.iter_mut() {
        row.beside(plain.as_ref());
        if row.refused.is_some() {
            continue;
        }
        let own = scratch.read(row.configuration)?;
        row.deviation = worst(&own, &reference.0);
        let close = |a: &f64, b: &f64| (a - b).abs() <= TOLERANCE * b.abs().max(1e-30);
        let losses = row.losses.iter().zip(&reference.1).all(|(a, b)| close(a, b));
        if let (true, Some((losses, gradients))) = (row.configuration.is_automatic(), &automatic) {
            row.same_bits = Some(row.losses == *losses && own == *gradients);
        }
        // NaN is no agreement.
        row.agrees = Some(row.deviation <= TOLERANCE && losses && row.same_bits != Some(false));
    }
    Ok(())
}

/// The worst difference, each relative to the largest element of its tensor.
fn worst(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    if a.len() != b.len() || a.iter().zip(b).any(|(a, b)| a.len() != b.len()) {
        return f64::INFINITY;
    }
    let most = |x: f64, y: f64| if x.is_nan() || y.is_nan() { f64::NAN } else { x.max(y) };
    let mut worst = 0.0;
    for (a, b) in a.iter().zip(b) {
        let largest = b.iter().map(|x| f64::from(x.abs())).fold(0.0, most);
        let apart = a.iter().zip(b).map(|(x, y)| f64::from((x - y).abs())).fold(0.0, most);
        if apart != 0.0 {
            worst = most(worst, apart / largest);
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::worst;

    #[test]
    fn differences_are_relative_to_their_tensor() {
        let a = vec![vec![1.0, 100.0], vec![0.0]];
        assert_eq!(worst(&a, &a), 0.0);
        assert_eq!(worst(&[vec![2.0, 100.0], vec![0.0]], &a), 0.01);
        assert!(worst(&[vec![f32::NAN, 100.0], vec![0.0]], &a).is_nan());
        assert!(worst(&a[..1], &a).is_infinite());
        assert!(worst(&[vec![1.0, 100.0], vec![1.0]], &a).is_infinite());
    }
}

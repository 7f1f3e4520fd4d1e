//! Which tensor of a file a tensor of a model is.

use gradus::Tensor;

use crate::{Error, Result};

/// A tensor of a file, by its name there, and whether its last two axes change places: for
/// [`load_renamed`](crate::load_renamed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    name: String,
    transposed: bool,
}

impl Entry {
    /// The tensor of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Entry { name: name.into(), transposed: false }
    }

    /// The same with its last two axes exchanged: `[.., m, n]` in the file is `[.., n, m]` in the model.
    pub fn transposed(self) -> Self {
        Entry { transposed: true, ..self }
    }

    /// The tensor whose name in the file is that in the model.
    pub(crate) fn same(path: &str) -> Self {
        Entry::new(path)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// For messages: its name, with the one in the model where that is another.
    pub(crate) fn names(&self, path: &str) -> String {
        if self.name == path {
            format!("\"{path}\"")
        } else {
            format!("\"{}\" (\"{path}\" of the model)", self.name)
        }
    }

    pub(crate) fn laid_out(&self, tensor: Tensor) -> Result<Tensor> {
        match (self.transposed, tensor.rank()) {
            (false, _) => Ok(tensor),
            (true, 0 | 1) => Err(Error::Mismatch(format!(
                "tensor \"{}\" is {}{}, which has no two axes to transpose",
                self.name,
                tensor.dtype(),
                tensor.shape()
            ))),
            (true, _) => Ok(tensor.swap_axes(-2, -1)),
        }
    }
}

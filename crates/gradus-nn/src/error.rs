//! What can go wrong with data and files.

use std::path::PathBuf;

/// An error of data or files. Shapes that do not fit inside a model are errors of `gradus` itself.
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
    /// A stream could not be written.
    #[error("cannot write the tensors: {0}")]
    Write(#[source] std::io::Error),
    /// The bytes are no valid `safetensors` file.
    #[error("no valid safetensors file: {0}")]
    Format(String),
    /// The file is sound, but its tensors are not those of the model.
    #[error("the file does not fit the model: {0}")]
    Mismatch(String),
    /// A data set, or a setting of the training loop, that makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

//! What can be wrong with a message or an evaluation. Each is answered, and the tool goes on.

/// Why an evaluation cannot be answered with an output.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The eval exists, but has no such function.
    #[error("eval '{module}' has no function '{function}'; it has {known}")]
    UnknownFunction { module: String, function: String, known: String },
    /// No eval has this name.
    #[error("no eval is called '{module}'; the evals are {known}")]
    UnknownModule { module: String, known: String },
    /// A field of the message itself is missing or of the wrong type.
    #[error("the message is malformed: {0}")]
    Message(String),
    /// The input is no valid JSON, or has fields that are missing or of the wrong type.
    #[error("the input does not fit the eval: {0}")]
    Decode(#[from] serde_json::Error),
    /// The fields contradict each other or are out of range.
    #[error("the input is invalid: {0}")]
    Invalid(String),
    /// More memory is needed than there is.
    #[error("{what} needs {bytes} bytes, which could not be allocated")]
    Memory { what: &'static str, bytes: u128 },
    /// A tensor program that cannot be built or run.
    #[error(transparent)]
    Tensor(#[from] gradus::Error),
    /// An iteration that ends for every valid start did not end.
    #[error("{what} did not end within {cap} {unit}; no answer exists for this start, or it is out of reach")]
    Endless { what: &'static str, cap: usize, unit: &'static str },
    /// The result contains NaN or an infinity, which JSON cannot carry.
    #[error("the output is not finite{0}")]
    NotFinite(String),
    /// A bug: reported rather than fatal.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The result of anything that depends on a message.
pub type Result<T> = std::result::Result<T, Error>;

/// An [`Error::Invalid`] unless `condition` holds.
pub fn require(condition: bool, message: impl FnOnce() -> String) -> Result<()> {
    if condition { Ok(()) } else { Err(Error::Invalid(message())) }
}

//! Where results go: lines for people, or JSON lines for programs.

use std::io::{self, Write};

use serde_json::Value;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Data, a file or the training failed.
    #[error(transparent)]
    Learning(#[from] gradus_nn::Error),
    /// The output folder could not be made.
    #[error("cannot make the folder {folder}: {source}")]
    Folder {
        /// The folder.
        folder: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The standard output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// A function of tensors failed.
    #[error(transparent)]
    Tensor(#[from] gradus::Error),
    /// A variable of the environment holds what it cannot.
    #[error("{0}")]
    Environment(String),
    /// Arguments that do not go together.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// Whether the reader of the output has closed it.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Error::Output(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// The standard output in one of its forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Lines for people.
    Text,
    /// Results only, one line a model.
    Quiet,
    /// One JSON object a line.
    Json,
}

impl Output {
    /// The form that the options ask for.
    pub fn of(json: bool, quiet: bool) -> Self {
        match (json, quiet) {
            (true, _) => Output::Json,
            (false, true) => Output::Quiet,
            (false, false) => Output::Text,
        }
    }

    /// A line that only [`Output::Text`] shows.
    pub fn text(self, line: impl FnOnce() -> String) -> Result<(), Error> {
        if self == Output::Text { print(&line()) } else { Ok(()) }
    }

    /// A line that people see in both forms made for them.
    pub fn result(self, line: impl FnOnce() -> String) -> Result<(), Error> {
        if self == Output::Json { Ok(()) } else { print(&line()) }
    }

    /// A line that only [`Output::Json`] shows.
    pub fn json(self, line: impl FnOnce() -> Value) -> Result<(), Error> {
        if self == Output::Json { print(&line().to_string()) } else { Ok(()) }
    }
}

/// One line, or several, on the standard output.
pub(crate) fn print(line: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// One line on the standard error, if anybody still reads it.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

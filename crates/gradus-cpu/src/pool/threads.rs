//! The number of threads of a pool: from the environment, or from the machine.

use thiserror::Error;

/// More threads than this are never started.
pub(super) const MAX_THREADS: usize = 1024;

/// `GRADUS_THREADS` holds something that is not a thread count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("GRADUS_THREADS is `{value}`, which is not a thread count from 1 to {MAX_THREADS}")]
pub struct ThreadsError {
    /// What the variable holds.
    pub value: String,
}

/// The pool of the process runs already, with another number of threads than was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{asked} threads were asked for, but {running} are running: ask before the first program runs")]
pub struct RunningError {
    /// What was asked for.
    pub asked: usize,
    /// What there is.
    pub running: usize,
}

/// Reads a thread count.
///
/// # Errors
/// When the text is not an integer from 1 to 1024.
///
/// ```
/// use gradus_cpu::pool::parse_threads;
/// assert_eq!(parse_threads(" 4 "), Ok(4));
/// assert!(parse_threads("").is_err() && parse_threads("0").is_err() && parse_threads("many").is_err());
/// ```
pub fn parse_threads(text: &str) -> Result<usize, ThreadsError> {
    match text.trim().parse::<usize>() {
        Ok(count) if (1..=MAX_THREADS).contains(&count) => Ok(count),
        _ => Err(ThreadsError { value: text.to_owned() }),
    }
}

/// The thread count that `GRADUS_THREADS` asks for, if it is set.
///
/// # Errors
/// When the variable is set to something that [`parse_threads`] does not take.
pub fn threads_from_env() -> Result<Option<usize>, ThreadsError> {
    match std::env::var_os("GRADUS_THREADS") {
        None => Ok(None),
        Some(value) => parse_threads(&value.to_string_lossy()).map(Some),
    }
}

/// The processors this process may use.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get())
}

//! The op table as data: every primitive with its samples, and the checks of its cells.

pub mod probe;
mod random;

pub use random::{Range, Rng, Sampled};

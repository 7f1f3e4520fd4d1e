//! The check that a pattern still holds: a derivative along a random direction, beside what the compressed matrix gives for it.
//!
//! An entry outside the pattern falls on some other entry's place or is lost, and either way the product with a random vector
//! differs. Rounding may make it differ as well, so a difference is no proof: it only asks for the pattern to be detected
//! again, and what counts is whether that has an entry more.

use core::fmt;
use std::vec::Vec;

use super::Pattern;

/// How far the two products may differ, relative to the sum of the magnitudes that enter: what is smaller in its row is not
/// told from rounding.
const TOLERANCE: f64 = 1e-9;

/// A direction and the derivative along it.
pub(crate) struct Check {
    /// Numbers between ½ and 3/2 of either sign, the same in every run.
    pub direction: Vec<f64>,
    /// Filled by an evaluation.
    pub product: Vec<f64>,
}

impl Check {
    pub fn new(inputs: usize, outputs: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unit = (state >> 11) as f64 / (1u64 << 53) as f64;
            let size = 0.5 + 2.0 * (unit - 0.5).abs();
            if unit < 0.5 { -size } else { size }
        };
        Check { direction: (0..inputs).map(|_| next()).collect(), product: vec![0.0; outputs] }
    }

    /// Whether the matrix's product with the direction is the derivative along it. Of what is not finite nothing is known: the
    /// pattern has to be detected anew.
    pub fn holds(&self, pattern: &Pattern, values: &[f64]) -> bool {
        self.product.iter().enumerate().all(|(i, &along)| {
            let (mut sum, mut size) = (0.0, along.abs());
            for (place, &j) in pattern.row_range(i).zip(pattern.row(i)) {
                let term = values[place] * self.direction[j as usize];
                sum += term;
                size += term.abs();
            }
            size.is_finite() && (sum - along).abs() <= TOLERANCE * size
        })
    }
}

/// A pattern that was given lacks an entry which may be nonzero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongPattern {
    /// The entry's row.
    pub row: usize,
    /// The entry's column.
    pub column: usize,
}

impl fmt::Display for WrongPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the sparsity pattern that was given lacks entry ({}, {}), which depends on the point; add it, or have the \
             pattern detected with `new`",
            self.row, self.column
        )
    }
}

impl core::error::Error for WrongPattern {}

/// The first entry of `present` that `pattern` lacks.
pub(crate) fn missing(pattern: &Pattern, present: &Pattern) -> Option<WrongPattern> {
    (0..present.rows()).find_map(|row| {
        let column = present.row(row).iter().find(|&&j| !pattern.contains(row, j as usize))?;
        Some(WrongPattern { row, column: *column as usize })
    })
}

/// The entries of either.
pub(crate) fn union(a: &Pattern, b: &Pattern) -> Pattern {
    Pattern::from_rows(a.cols(), (0..a.rows()).map(|i| [a.row(i), b.row(i)].concat()))
}

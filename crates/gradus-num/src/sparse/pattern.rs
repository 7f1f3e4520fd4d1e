//! Sparsity patterns and sparse matrices in compressed rows or columns.

use std::vec::Vec;

/// Which entries of a matrix may be nonzero, row by row, columns ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    rows: usize,
    cols: usize,
    /// Row `i` owns `indices[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    indices: Vec<u32>,
}

impl Pattern {
    /// A pattern from each row's columns, in any order; duplicates are merged.
    ///
    /// # Panics
    /// If a column is not below `cols`.
    pub fn from_rows<R: AsRef<[u32]>>(cols: usize, rows: impl IntoIterator<Item = R>) -> Pattern {
        let mut pattern = Pattern { rows: 0, cols, starts: vec![0], indices: Vec::new() };
        let mut row = Vec::new();
        for columns in rows {
            row.clear();
            row.extend_from_slice(columns.as_ref());
            row.sort_unstable();
            row.dedup();
            if let Some(&last) = row.last() {
                assert!((last as usize) < cols, "column {last} is outside a matrix of {cols} columns");
            }
            pattern.indices.extend_from_slice(&row);
            pattern.starts.push(pattern.indices.len());
            pattern.rows += 1;
        }
        pattern
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The number of entries that may be nonzero.
    pub fn nonzeros(&self) -> usize {
        self.indices.len()
    }

    /// The columns of row `i`.
    pub fn row(&self, i: usize) -> &[u32] {
        &self.indices[self.starts[i]..self.starts[i + 1]]
    }

    /// Where the values of row `i` are among all values.
    pub fn row_range(&self, i: usize) -> core::ops::Range<usize> {
        self.starts[i]..self.starts[i + 1]
    }

    /// Whether entry `(i, j)` may be nonzero.
    pub fn contains(&self, i: usize, j: usize) -> bool {
        self.position(i, j).is_some()
    }

    /// The place of entry `(i, j)` among the values.
    pub fn position(&self, i: usize, j: usize) -> Option<usize> {
        let place = self.row(i).binary_search(&u32::try_from(j).ok()?).ok()?;
        Some(self.starts[i] + place)
    }

    /// The transposed pattern.
    pub fn transpose(&self) -> Pattern {
        self.transpose_with_places().0
    }

    /// The transposed pattern, and for each of its entries the place of that entry in `self`.
    pub(crate) fn transpose_with_places(&self) -> (Pattern, Vec<usize>) {
        let mut starts = vec![0; self.cols + 1];
        for &j in &self.indices {
            starts[j as usize + 1] += 1;
        }
        for j in 0..self.cols {
            starts[j + 1] += starts[j];
        }
        let mut next = starts.clone();
        let mut indices = vec![0; self.indices.len()];
        let mut places = vec![0; self.indices.len()];
        for i in 0..self.rows {
            for place in self.row_range(i) {
                let slot = &mut next[self.indices[place] as usize];
                indices[*slot] = i as u32;
                places[*slot] = place;
                *slot += 1;
            }
        }
        (Pattern { rows: self.cols, cols: self.rows, starts, indices }, places)
    }

    /// Only the rows for which `keep` holds; the others become empty.
    pub(crate) fn keep_rows(&self, keep: impl Fn(usize) -> bool) -> Pattern {
        let mut kept = Pattern { rows: self.rows, cols: self.cols, starts: vec![0], indices: Vec::new() };
        for i in 0..self.rows {
            if keep(i) {
                kept.indices.extend_from_slice(self.row(i));
            }
            kept.starts.push(kept.indices.len());
        }
        kept
    }

    /// Row starts and column indices.
    pub fn csr_parts(&self) -> (&[usize], &[u32]) {
        (&self.starts, &self.indices)
    }
}

/// A sparse matrix in compressed rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Csr {
    /// Which entries are stored.
    pub pattern: Pattern,
    /// Their values, in the pattern's order.
    pub values: Vec<f64>,
}

/// A sparse matrix in compressed columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Csc {
    /// The pattern of the transpose: its rows are this matrix's columns.
    pub transposed: Pattern,
    /// The values, column by column.
    pub values: Vec<f64>,
}

impl Csr {
    /// Entry `(i, j)`; zero where nothing is stored.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        self.pattern.position(i, j).map_or(0.0, |place| self.values[place])
    }

    /// `y = A x`.
    pub fn multiply(&self, x: &[f64]) -> Vec<f64> {
        assert_eq!(x.len(), self.pattern.cols(), "the vector is as long as the matrix has columns");
        (0..self.pattern.rows())
            .map(|i| {
                let row = self.pattern.row_range(i);
                self.pattern.row(i).iter().zip(&self.values[row]).map(|(&j, v)| v * x[j as usize]).sum()
            })
            .collect()
    }

    /// The matrix as rows of dense numbers.
    pub fn to_dense(&self) -> Vec<Vec<f64>> {
        let mut dense = vec![vec![0.0; self.pattern.cols()]; self.pattern.rows()];
        for (i, row) in dense.iter_mut().enumerate() {
            for (&j, place) in self.pattern.row(i).iter().zip(self.pattern.row_range(i)) {
                row[j as usize] = self.values[place];
            }
        }
        dense
    }

    /// The same matrix in compressed columns.
    pub fn to_csc(&self) -> Csc {
        let (transposed, places) = self.pattern.transpose_with_places();
        Csc { transposed, values: places.into_iter().map(|place| self.values[place]).collect() }
    }

    /// The same matrix for the `sprs` crate.
    #[cfg(feature = "sprs")]
    pub fn to_sprs(&self) -> sprs::CsMat<f64> {
        let (starts, indices) = self.pattern.csr_parts();
        let indices = indices.iter().map(|&j| j as usize).collect();
        let shape = (self.pattern.rows(), self.pattern.cols());
        sprs::CsMat::new(shape, starts.to_vec(), indices, self.values.clone())
    }
}

impl Csc {
    /// The same matrix for the `sprs` crate.
    #[cfg(feature = "sprs")]
    pub fn to_sprs(&self) -> sprs::CsMat<f64> {
        let (starts, indices) = self.transposed.csr_parts();
        let indices = indices.iter().map(|&i| i as usize).collect();
        let shape = (self.transposed.cols(), self.transposed.rows());
        sprs::CsMat::new_csc(shape, starts.to_vec(), indices, self.values.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_columns_and_transposes_agree() {
        let pattern = Pattern::from_rows(4, [vec![3, 0, 3], vec![], vec![1, 2, 3]]);
        assert_eq!(pattern.row(0), [0, 3]);
        assert_eq!(pattern.nonzeros(), 5);
        assert!(pattern.contains(2, 1) && !pattern.contains(1, 1));
        assert_eq!(pattern.transpose().transpose(), pattern);
        let matrix = Csr { pattern, values: vec![1.0, 2.0, 3.0, 4.0, 5.0] };
        let csc = matrix.to_csc();
        assert_eq!(csc.values, [1.0, 3.0, 4.0, 2.0, 5.0]);
        assert_eq!(csc.transposed.row(3), [0, 2]);
        assert_eq!(matrix.multiply(&[1.0, 1.0, 1.0, 10.0]), [21.0, 0.0, 57.0]);
        assert_eq!(matrix.to_dense()[2], [0.0, 3.0, 4.0, 5.0]);
        assert_eq!((matrix.get(2, 3), matrix.get(1, 1)), (5.0, 0.0));
    }
}

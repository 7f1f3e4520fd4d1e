//! Masks that compare positions: a captured one is recorded as the comparison.
//!
//! A causal mask is usually made outside of what is recorded, from indices alone, and would be captured as a tensor of
//! rows × columns booleans. Its elements tell what it is, and the program that says so needs no such tensor.

use gradus_core::ops::{Compare, Iota};
use gradus_core::{Array, Binary, Buffer, Builder, DType, Type, Var};

/// Masks with fewer rows or columns are captured as they are.
const LEAST: usize = 32;

/// In row `i`, the columns up to `i + offset` are on one side, the others on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    rows: usize,
    columns: usize,
    offset: isize,
    /// What the mask is up to there.
    seen: bool,
}

impl Past {
    /// What a matrix of booleans says, perhaps below axes of extent 1, if it is such a mask.
    pub(crate) fn of(mask: &Array) -> Option<Past> {
        let Buffer::Bool(elements) = mask.buffer() else { return None };
        let (rest, &[rows, columns]) = mask.shape().split_last_chunk::<2>()?;
        if rows < LEAST || columns < LEAST || rest.iter().any(|&n| n != 1) {
            return None;
        }
        // The first row that has two sides tells where they meet.
        let (row, seen, at) = elements.chunks(columns).enumerate().find_map(|(i, row)| {
            let at = row.iter().position(|&b| b != row[0])?;
            Some((i, row[0], at))
        })?;
        let past = Past { rows, columns, offset: at as isize - 1 - row as isize, seen };
        let fits = |(i, row): (usize, &[bool])| {
            let end = (i as isize + past.offset + 1).clamp(0, columns as isize) as usize;
            row[..end].iter().all(|&b| b == seen) && row[end..].iter().all(|&b| b != seen)
        };
        elements.chunks(columns).enumerate().all(fits).then_some(past)
    }

    /// The mask as a comparison of indices.
    pub(crate) fn record(self, builder: &mut Builder, ty: &Type) -> gradus_core::Result<Var> {
        let rank = ty.shape.rank();
        let index = |axis| Iota { dtype: DType::I64, shape: ty.shape.clone(), axis };
        let mut row = builder.emit1(index(rank - 2), &[])?;
        let column = builder.emit1(index(rank - 1), &[])?;
        if self.offset != 0 {
            let more = builder.full(&Type::new(DType::I64, ty.shape.clone()), self.offset as f64);
            row = builder.emit1(Binary::Add, &[row, more])?;
        }
        builder.emit1(if self.seen { Compare::Ge } else { Compare::Lt }, &[row, column])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_core::interpret;

    fn mask(rows: usize, columns: usize, on: impl Fn(isize, isize) -> bool) -> Array {
        let elements = (0..rows * columns).map(|p| on((p / columns) as isize, (p % columns) as isize));
        Array::new([1, rows, columns], elements.collect::<Vec<bool>>()).unwrap()
    }

    #[test]
    fn comparisons_of_positions_are_recorded_and_nothing_else() {
        for (rows, columns) in [(40, 40), (33, 70), (70, 33)] {
            for offset in [-20, -1, 0, 1, 30] {
                for seen in [true, false] {
                    let array = mask(rows, columns, |i, j| (j <= i + offset) == seen);
                    let past = Past::of(&array).expect("such a mask");
                    let ty = Type::new(DType::Bool, array.shape().clone());
                    let mut b = Builder::new();
                    let out = past.record(&mut b, &ty).unwrap();
                    let again = interpret(&b.finish(vec![out]), &[]).unwrap().remove(0);
                    assert_eq!(again.to_f64(), array.to_f64(), "{rows} {columns} {offset} {seen}");
                }
            }
        }
        assert_eq!(Past::of(&mask(40, 40, |_, _| true)), None);
        assert_eq!(Past::of(&mask(8, 8, |i, j| j <= i)), None);
        assert_eq!(Past::of(&mask(40, 40, |i, j| j <= i && (i, j) != (39, 3))), None);
        assert_eq!(Past::of(&mask(40, 40, |i, j| j <= i && j + 5 > i)), None);
    }
}

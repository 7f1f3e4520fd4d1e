//! What values are read from: a buffer through a view, or a constant.

use gradus_core::ops::Dot;
use gradus_core::{DType, Shape, Var};
use smallvec::SmallVec;

use super::group::Producer;
use crate::View;
use crate::kernel::{Domain, Level, Product};
use crate::view::Dim;

/// What a value is read from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Not seen yet.
    Undefined,
    /// One number everywhere.
    Constant(f64, DType),
    /// A buffer, named after the value that it holds whole, through a view.
    View(Var, View),
}

impl Source {
    pub(super) fn whole(v: Var, shape: &Shape) -> Self {
        Source::View(v, View::of(shape))
    }
}

/// How a value that a region itself computes is read again inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// At the same point, or the same row.
    Same,
    /// A row's value at each of its points.
    Expand,
}

/// How `view` of a buffer of `size` elements that `p` defines can be read in its own group at `level`.
pub(super) fn inside(p: Producer, view: &View, domain: Domain, level: Level, size: usize) -> Option<Inside> {
    if p.terminal {
        return None;
    }
    if p.level == level && view.is_contiguous() && view.size() == size {
        return Some(Inside::Same);
    }
    if let (Domain::Rows { rows, cols }, Level::Row, Level::Full) = (domain, p.level, level) {
        let dims = view.collapsed().dims;
        let along_rows: SmallVec<[Dim; 4]> =
            [(rows, 1), (cols, 0)].into_iter().filter(|d| d.0 != 1).collect();
        if view.offset == 0 && dims == along_rows {
            return Some(Inside::Expand);
        }
    }
    None
}

/// Merges axes that each of `N` operands steps through evenly.
fn merge<const N: usize>(axes: &[(usize, [isize; N])]) -> SmallVec<[(usize, [isize; N]); 2]> {
    let mut out: SmallVec<[(usize, [isize; N]); 2]> = SmallVec::new();
    for &(extent, strides) in axes.iter().filter(|a| a.0 != 1) {
        match out.last_mut() {
            Some(last) if (0..N).all(|i| last.1[i] == strides[i] * extent as isize) => {
                *last = (last.0 * extent, strides);
            }
            _ => out.push((extent, strides)),
        }
    }
    out
}

/// The product that `dot` is on its operands' views; `None` when their axes do not merge into rows, columns and an
/// inner axis.
pub(super) fn product(dot: &Dot, inputs: &[Var], sources: &[Source]) -> Option<Product> {
    let operand = |v: Var| match &sources[v.index()] {
        Source::View(root, view) => Some((*root, view)),
        _ => None,
    };
    let ((lhs, x), (rhs, y)) = (operand(inputs[0])?, operand(inputs[1])?);
    let pairs = |l: &[usize], r: &[usize]| -> Vec<(usize, [isize; 2])> {
        l.iter().zip(r).map(|(&i, &j)| (x.dims[i].0, [x.dims[i].1, y.dims[j].1])).collect()
    };
    let batch = merge(&pairs(&dot.lhs_batch, &dot.rhs_batch));
    let inner = merge(&pairs(&dot.lhs_contract, &dot.rhs_contract));
    let free = |view: &View, axes: &[usize]| {
        merge(&axes.iter().map(|&a| (view.dims[a].0, [view.dims[a].1])).collect::<Vec<_>>())
    };
    let rows = free(x, &dot.lhs_free(x.dims.len()));
    let cols = free(y, &dot.rhs_free(y.dims.len()));
    if batch.len() > 4 || inner.len() > 1 || rows.len() > 1 || cols.len() > 1 {
        return None;
    }
    let (k, [a_col, b_row]) = inner.first().copied().unwrap_or((1, [1, 1]));
    let (m, [a_row]) = rows.first().copied().unwrap_or((1, [k as isize]));
    let (n, [b_col]) = cols.first().copied().unwrap_or((1, [1]));
    Some(Product {
        lhs,
        rhs,
        out: inputs[0],
        dtype: DType::F32,
        batch: batch.into_iter().map(|(extent, [a, b])| (extent, a, b)).collect(),
        size: [m, n, k],
        a: (x.offset, a_row, a_col),
        b: (y.offset, b_row, b_col),
        strong: dot.strong,
    })
}

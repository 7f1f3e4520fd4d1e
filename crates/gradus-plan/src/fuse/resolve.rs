//! What values are read from: a buffer through a view, or a constant.

use gradus_core::ops::{Conv, Dot};
use gradus_core::{DType, Shape, Type, Var};
use smallvec::SmallVec;

use super::group::Producer;
use crate::View;
use crate::kernel::{Convolution, Domain, Level, Product};
use crate::view::Dim;

/// What a value is read from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Not seen yet.
    Undefined,
    /// One number everywhere.
    Constant(f64, DType),
    /// A view of a buffer, which is named after the value that it holds in full.
    View(Var, View),
}

impl Source {
    pub(super) fn whole(v: Var, shape: &Shape) -> Self {
        Source::View(v, View::of(shape))
    }
}

/// The current source of each value, and its earlier ones.
pub(crate) struct Sources {
    list: Vec<Source>,
    /// For each value, its place in the list.
    of: Vec<u32>,
}

impl Sources {
    /// Creates a table for a graph with this many values, none of them resolved.
    pub(super) fn new(values: usize) -> Self {
        let mut list = Vec::with_capacity(values + 1);
        list.push(Source::Undefined);
        Sources { list, of: vec![0; values] }
    }

    pub(super) fn set(&mut self, v: Var, source: Source) {
        self.of[v.index()] = self.list.len() as u32;
        self.list.push(source);
    }

    /// A handle to the current source of `v`, for [`at`](Self::at) later.
    pub(super) fn now(&self, v: Var) -> u32 {
        self.of[v.index()]
    }

    pub(super) fn at(&self, name: u32) -> &Source {
        &self.list[name as usize]
    }
}

impl std::ops::Index<usize> for Sources {
    type Output = Source;

    fn index(&self, value: usize) -> &Source {
        &self.list[self.of[value] as usize]
    }
}

/// How a value that a region computes is read inside the same region.
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

/// The most batch axes of a product once adjacent axes are merged.
pub(crate) const MOST_BATCH: usize = 4;

/// Merges adjacent axes where each of `N` operands has one common stride for both.
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

/// The product `dot` on its operands' views, written to the view `to` of the buffer `out`; `None` when the axes do not
/// merge into rows, columns and an inner axis.
pub(super) fn product(
    dot: &Dot,
    inputs: &[Var],
    sources: &Sources,
    (out, to): (Var, &View),
) -> Option<Product> {
    let operand = |v: Var| match &sources[v.index()] {
        Source::View(root, view) => Some((*root, view)),
        _ => None,
    };
    let ((lhs, x), (rhs, y)) = (operand(inputs[0])?, operand(inputs[1])?);
    // The result's axes: the batch, what is left of the left operand, what is left of the right one.
    let (left, right) = (dot.lhs_free(x.dims.len()), dot.rhs_free(y.dims.len()));
    let (to_batch, to_free) = to.dims.split_at(dot.lhs_batch.len());
    let (to_rows, to_cols) = to_free.split_at(left.len());
    let pairs = dot.lhs_batch.iter().zip(&dot.rhs_batch).zip(to_batch);
    let batch = merge(&pairs.map(|((&i, &j), c)| (c.0, [x.dims[i].1, y.dims[j].1, c.1])).collect::<Vec<_>>());
    let pairs = dot.lhs_contract.iter().zip(&dot.rhs_contract);
    let inner = merge(&pairs.map(|(&i, &j)| (x.dims[i].0, [x.dims[i].1, y.dims[j].1])).collect::<Vec<_>>());
    let free = |view: &View, axes: &[usize], to: &[Dim]| {
        merge(&axes.iter().zip(to).map(|(&a, c)| (c.0, [view.dims[a].1, c.1])).collect::<Vec<_>>())
    };
    let (rows, cols) = (free(x, &left, to_rows), free(y, &right, to_cols));
    if batch.len() > MOST_BATCH || inner.len() > 1 || rows.len() > 1 || cols.len() > 1 {
        return None;
    }
    let (k, [a_col, b_row]) = inner.first().copied().unwrap_or((1, [1, 1]));
    let (n, [b_col, c_col]) = cols.first().copied().unwrap_or((1, [1, 1]));
    let (m, [a_row, c_row]) = rows.first().copied().unwrap_or((1, [k as isize, n as isize]));
    Some(Product {
        lhs,
        rhs,
        out,
        dtype: DType::F32,
        batch,
        size: [m, n, k],
        a: (x.offset, a_row, a_col),
        b: (y.offset, b_row, b_col),
        c: (to.offset, c_row, c_col),
        tangents: dot.tangents,
        marks: dot.tangents != [false; 2] && !dot.numbers,
    })
}

/// Axes of a convolution that its kernels take.
const SPATIAL: std::ops::RangeInclusive<usize> = 1..=3;

/// The strides of dims, where those of extent 1 are arbitrary; `None` when one is negative.
fn forwards<const N: usize>(dims: &[Dim], contiguous: [usize; N]) -> Option<[usize; N]> {
    let mut out = contiguous;
    for (to, &(extent, stride)) in out.iter_mut().zip(dims) {
        if extent != 1 {
            *to = usize::try_from(stride).ok()?;
        }
    }
    Some(out)
}

/// The convolution `op` on its operands' views, with its result written `to` a buffer; `None` when the kernels do not
/// take it, or its spatial axes are not laid out as they require.
pub(super) fn convolution(
    op: &Conv,
    inputs: &[Var],
    out: &Type,
    sources: &Sources,
    (buffer, to): (Var, &View),
) -> Option<Convolution> {
    let operand = |v: Var| match &sources[v.index()] {
        Source::View(root, view) => Some((*root, view)),
        _ => None,
    };
    let ((x, input), (kernel, weights)) = (operand(inputs[0])?, operand(inputs[1])?);
    let empty = [input.size(), weights.size(), out.shape.size()].contains(&0);
    if !out.dtype.is_wide_float() || !SPATIAL.contains(&op.dims()) || empty {
        return None;
    }
    let (plane, taps) = (&input.dims[2..], &weights.dims[2..]);
    let extents = |dims: &[Dim]| dims.iter().map(|d| d.0).collect::<SmallVec<[usize; 4]>>();
    let size = |dims: &[Dim]| dims.iter().map(|d| d.0).product::<usize>();
    let dense = |dims: &[Dim]| View { offset: 0, dims: dims.into() }.is_contiguous();
    if !dense(plane) || !dense(&to.dims[2..]) || to.offset != 0 {
        return None;
    }
    let x_at = forwards(&input.dims[..2], [input.dims[1].0 * size(plane), size(plane)])?;
    let kernel_at = forwards(&weights.dims[..2], [weights.dims[1].0 * size(taps), size(taps)])?;
    let out_at = forwards(&to.dims[..2], [out.shape[1], 1].map(|n| n * size(&to.dims[2..])))?;
    Some(Convolution {
        x,
        kernel,
        out: buffer,
        dtype: out.dtype,
        op: op.clone(),
        counts: [input.dims[0].0, input.dims[1].0, weights.dims[0].0],
        input: extents(plane),
        window: extents(taps),
        x_at: (usize::try_from(input.offset).ok()?, x_at),
        kernel_at: (usize::try_from(weights.offset).ok()?, kernel_at),
        taps: taps.iter().map(|d| d.1).collect(),
        out_at,
    })
}

//! Write-through: parts written directly into the value that is assembled from them.
//!
//! A kernel that only assembles parts is removed when every part comes from a kernel that can write through strides (a
//! product, or another assembly) and has no other reader: each kernel then writes its part of the assembled value, which
//! has several writers.

use std::collections::HashMap;

use gradus_core::{Graph, Var};
use smallvec::SmallVec;

use super::resolve::MOST_BATCH;
use super::{Fused, Source};
use crate::kernel::{Assemble, Kernel, Part, Product, Work};
use crate::view::Dim;

/// The most parts of an assembly that are moved into another one, so that chains of assemblies stay few copies.
const MOST_PARTS: usize = 1024;

/// Removes assemblies whose parts can be written in place.
pub(super) fn write(graph: &Graph, fused: &mut Fused) {
    let n = graph.types().len();
    // Who writes each value, if one kernel does; how often kernels read it.
    let mut writer: Vec<Option<usize>> = vec![None; n];
    let mut readers = vec![0usize; n];
    for (k, kernel) in fused.kernels.iter().enumerate() {
        kernel.writes.iter().for_each(|v| writer[v.index()] = Some(k));
        kernel.reads.iter().for_each(|v| readers[v.index()] += 1);
    }
    for v in graph.outputs() {
        if let Source::View(root, _) = &fused.sources[v.index()] {
            readers[root.index()] += 1;
        }
    }
    for v in graph.inputs() {
        writer[v.index()] = None;
    }
    let mut gone = vec![false; fused.kernels.len()];
    for k in 0..fused.kernels.len() {
        let Work::Assemble(assembly) = &fused.kernels[k].work else { continue };
        let stage = fused.kernels[k].stage;
        let mut moved: Vec<(usize, Work)> = Vec::new();
        let mut times: HashMap<Var, usize> = HashMap::new();
        assembly.parts.iter().for_each(|p| *times.entry(p.value).or_default() += 1);
        let all = assembly.fill.is_none()
            && assembly.parts.iter().all(|part| {
                let once = times[&part.value] == 1;
                let Some(j) = writer[part.value.index()].filter(|_| once) else { return false };
                let alone = readers[part.value.index()] == 1 && fused.kernels[j].stage == stage;
                let size = graph.ty(part.value).shape.size();
                match relocated(&fused.kernels[j], part, size, assembly.out).filter(|_| alone) {
                    Some(work) => {
                        moved.push((j, work));
                        true
                    }
                    None => false,
                }
            });
        if !all {
            continue;
        }
        let out = assembly.out;
        // A value with several writers cannot be moved again.
        writer[out.index()] = if let [(j, _)] = moved[..] { Some(j) } else { None };
        for (j, work) in moved {
            let kernel = &mut fused.kernels[j];
            kernel.work = work;
            kernel.writes = SmallVec::from_slice(&[out]);
        }
        gone[k] = true;
    }
    let mut gone = gone.into_iter();
    fused.kernels.retain(|_| !gone.next().unwrap_or(false));
}

/// The work of a kernel whose result, of `size` elements, is written where `part` would be copied.
fn relocated(kernel: &Kernel, part: &Part, size: usize, out: Var) -> Option<Work> {
    let places = Relocation::new(part, size)?;
    match &kernel.work {
        Work::Product(p) => {
            let mut dims: SmallVec<[Dim; 6]> = p.batch.iter().map(|b| (b.0, b.1[2])).collect();
            dims.extend([(p.size[0], p.c.1), (p.size[1], p.c.2)]);
            let (offset, mut moved) = places.moved(p.c.0, &dims)?;
            let (cols, rows) = (moved.pop()?, moved.pop()?);
            let stride = |dims: &[Dim], before: isize| match dims {
                [] => Some(before),
                [one] => Some(one.1),
                _ => None,
            };
            let c = (offset, stride(&rows, p.c.1)?, stride(&cols, p.c.2)?);
            let mut batch = SmallVec::new();
            for (&(extent, [a, b, _]), pieces) in p.batch.iter().zip(&moved) {
                let mut inner = extent as isize;
                for &(extent, c) in pieces {
                    inner /= extent as isize;
                    batch.push((extent, [a * inner, b * inner, c]));
                }
            }
            let moved = Product { out, c, batch, ..p.clone() };
            let fits = moved.batch.len() <= MOST_BATCH;
            match (c.1, c.2) {
                _ if !fits => None,
                (_, 1) => Some(Work::Product(moved)),
                (1, _) => Some(Work::Product(turned(moved))),
                // A product that writes no contiguous row or column would be slower than a copy.
                _ => None,
            }
        }
        Work::Assemble(a) if a.fill.is_none() && a.parts.len() <= MOST_PARTS => {
            let mut parts = Vec::new();
            for inner in &a.parts {
                let (offset, moved) = places.moved(inner.to.offset, &inner.to.dims)?;
                let mut part = inner.clone();
                part.to.offset = offset;
                part.to.dims = SmallVec::new();
                part.from.dims = SmallVec::new();
                for (&(extent, from), pieces) in inner.from.dims.iter().zip(&moved) {
                    let mut below = extent as isize;
                    for &(extent, to) in pieces {
                        below /= extent as isize;
                        part.to.dims.push((extent, to));
                        part.from.dims.push((extent, from * below));
                    }
                }
                parts.push(part);
            }
            Some(Work::Assemble(Assemble { out, parts, ..a.clone() }))
        }
        _ => None,
    }
}

/// The same product with rows and columns exchanged: `Cᵀ = Bᵀ Aᵀ`.
fn turned(p: Product) -> Product {
    let [m, n, k] = p.size;
    let turn = |(offset, row, col): (isize, isize, isize)| (offset, col, row);
    Product {
        lhs: p.rhs,
        rhs: p.lhs,
        size: [n, m, k],
        a: turn(p.b),
        b: turn(p.a),
        c: turn(p.c),
        batch: p.batch.iter().map(|&(extent, [a, b, c])| (extent, [b, a, c])).collect(),
        ..p
    }
}

/// Where the elements of a buffer go: the digits of an index into it, each with its distance in the new place.
struct Relocation {
    /// Innermost first: extent, place value, new stride.
    digits: Vec<(usize, isize, isize)>,
    offset: isize,
}

impl Relocation {
    /// From a part that reads every element of a buffer of `size` once.
    fn new(part: &Part, size: usize) -> Option<Self> {
        let pairs = part.from.dims.iter().zip(&part.to.dims).filter(|(d, _)| d.0 != 1);
        let mut digits: Vec<_> = pairs.map(|(from, to)| (from.0, from.1, to.1)).collect();
        digits.sort_by_key(|d| d.1);
        let mut place = 1;
        for d in &digits {
            if d.1 != place {
                return None;
            }
            place *= d.0 as isize;
        }
        let complete = part.from.offset == 0 && place == size as isize && size > 0;
        complete.then_some(Relocation { digits, offset: part.to.offset })
    }

    /// Elements `offset + i·stride₀ + j·stride₁ + …` of the buffer in the new place: the offset, and for each dim the
    /// dims that it becomes, outermost first. `None` where strides cannot say it.
    fn moved(&self, offset: isize, dims: &[Dim]) -> Option<(isize, Vec<SmallVec<[Dim; 4]>>)> {
        let mut used = vec![0isize; self.digits.len()];
        let (mut rest, mut start) = (offset, self.offset);
        for (digit, &(_, place, stride)) in self.digits.iter().enumerate().rev() {
            used[digit] = rest / place;
            rest %= place;
            start += used[digit] * stride;
        }
        let mut out = Vec::with_capacity(dims.len());
        for &(extent, stride) in dims {
            let mut pieces: SmallVec<[Dim; 4]> = SmallVec::new();
            let (mut left, mut step) = (extent as isize, stride);
            while left > 1 {
                let digit = self.digits.iter().rposition(|d| d.1 <= step)?;
                let (all, place, new) = self.digits[digit];
                let (all, times) = (all as isize, step / place);
                if step % place != 0 {
                    return None;
                }
                let free = all - 1 - used[digit];
                let count = if times * (left - 1) <= free { left } else { all / times };
                if count < 2 || left % count != 0 || times * (count - 1) > free {
                    return None;
                }
                // A part that continues in the next digit has to fill this one.
                if count < left && all % times != 0 {
                    return None;
                }
                used[digit] += times * (count - 1);
                pieces.insert(0, (count as usize, times * new));
                (left, step) = (left / count, step * count);
            }
            out.push(pieces);
        }
        Some((start, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::View;
    use gradus_core::{Builder, DType, Type};

    fn view(offset: isize, dims: &[Dim]) -> View {
        View { offset, dims: SmallVec::from_slice(dims) }
    }

    /// Where element `i` of a view lies.
    fn at(offset: isize, dims: &[Dim], mut i: usize) -> isize {
        let mut place = offset;
        for &(extent, stride) in dims.iter().rev() {
            place += (i % extent) as isize * stride;
            i /= extent;
        }
        place
    }

    #[test]
    fn every_element_is_found_again() {
        // A buffer of 4 × 3 × 10, read as 3 × 4 × 2 × 5 and put somewhere else.
        let from = view(0, &[(3, 10), (4, 30), (2, 5), (5, 1)]);
        let to = view(7, &[(3, 1000), (4, 100), (2, 50), (5, 3)]);
        let value = Builder::new().input(Type::new(DType::F32, [120]));
        let part = Part { value, from, to };
        let places = Relocation::new(&part, 120).unwrap();
        let new = |i: isize| {
            let k = (0..120).find(|&k| at(0, &part.from.dims, k) == i).unwrap();
            at(7, &part.to.dims, k)
        };
        let mut said = 0;
        let cases: [(isize, &[Dim]); 6] = [
            (0, &[(12, 10), (10, 1)]),
            (0, &[(4, 30), (30, 1)]),
            (30, &[(2, 30), (3, 10), (5, 1)]),
            (5, &[(12, 10), (5, 1)]),
            (0, &[(6, 20), (10, 1)]),
            (1, &[(4, 30), (4, 2)]),
        ];
        for (offset, dims) in cases {
            let Some((start, moved)) = places.moved(offset, dims) else { continue };
            said += 1;
            let flat: Vec<Dim> = moved.iter().flatten().copied().collect();
            let count: usize = dims.iter().map(|d| d.0).product();
            for i in 0..count {
                assert_eq!(at(start, &flat, i), new(at(offset, dims, i)), "{dims:?} element {i}");
            }
        }
        assert!(said >= 4, "{said}");
    }
}

//! Packed values, which are stored in fewer bytes than their type takes: masks of rectifiers and dropout as bits, eight
//! to a byte, and the indices of a max pooling as tap numbers within the window, one byte each.
//!
//! A mask that is kept from the forward pass for the backward pass is live for long and read once: it is packed when it
//! is stored and unpacked when it is read, inside the regions that make and use it. This is exact and takes an eighth
//! of the bytes. Indices of a pooling are made and read as bytes by its kernel and the kernel of its transpose.

use gradus_core::{DType, Graph, Op, Type, Var};

use crate::arena::ALIGN;
use crate::kernel::{Domain, Kernel, Level, Load, Region, Work};

/// Bytes that a kept value takes: booleans may be packed.
pub(crate) fn waiting_bytes(ty: &Type) -> usize {
    if ty.dtype == DType::Bool { ty.shape.size().div_ceil(8) } else { ty.bytes() }
}

/// Bytes that a packed value takes.
pub(crate) fn packed_bytes(ty: &Type) -> usize {
    if ty.dtype == DType::Bool { waiting_bytes(ty) } else { ty.shape.size() }
}

/// The most elements of a window, and axes, for which its taps are numbered in bytes.
const TAPS: usize = 255;
const AXES: usize = 3;

/// Whether the indices of a pooling can be numbers of taps.
fn numbered(graph: &Graph, op: &Op, x: Var) -> bool {
    let Op::MaxPool(pool) = op else { return false };
    let axes = pool.window.dims();
    let taps: usize = pool.window.size.iter().product();
    let float = graph.ty(x).dtype.is_float();
    float && (1..=AXES).contains(&axes) && taps <= TAPS
}

/// Whether tiles of this space begin at multiples of eight points, so that no two of them share a byte.
fn begins_at_bytes(domain: Domain) -> bool {
    match domain {
        Domain::Flat { .. } => true,
        Domain::Rows { cols, .. } | Domain::LongRows { cols, .. } => cols.is_multiple_of(8),
        Domain::Columns { inner, .. } => inner.is_multiple_of(8),
    }
}

/// Whether a load can read bits: elements in order, from anywhere.
fn in_order(load: &Load) -> bool {
    load.level == Level::Full && matches!(load.view.dims[..], [(_, 1)]) && load.view.offset >= 0
}

/// The regions of a kernel.
fn regions(kernel: &Kernel) -> impl Iterator<Item = &Region> {
    let (one, several) = match &kernel.work {
        Work::Region(region) => (Some(region), None),
        Work::Blocked(group) => (None, Some(group.regions())),
        _ => (None, None),
    };
    one.into_iter().chain(several.into_iter().flatten())
}

/// Whether the blocks of a slab begin at multiples of eight points in every region.
fn whole_bytes(kernel: &Kernel) -> bool {
    match &kernel.work {
        Work::Blocked(group) => {
            let mut points = group.regions().map(|r| r.domain.points() / (group.count * group.rows));
            points.all(|cols| cols.is_multiple_of(8))
        }
        _ => true,
    }
}

/// For each value, whether it is packed: booleans that regions of the forward pass write and only regions read, one of
/// them in the backward pass, and indices of a pooling that only its transposes read. `free` says which values live in
/// the arena.
pub(crate) fn packed(graph: &Graph, kernels: &[Kernel], free: impl Fn(Var) -> bool) -> Vec<bool> {
    let mut packed = vec![false; graph.types().len()];
    let mut made = vec![0; graph.types().len()];
    for kernel in kernels {
        kernel.writes.iter().for_each(|v| made[v.index()] = kernel.stage);
        if let Work::Primitive(op) = &kernel.work
            && numbered(graph, op, kernel.reads[0])
        {
            let indices = kernel.writes[1];
            packed[indices.index()] = free(indices) && graph.ty(indices).shape.size() > ALIGN;
        }
        let stored = regions(kernel).flat_map(|r| r.stores.iter().map(move |s| (r, s)));
        for (region, store) in stored.filter(|(_, s)| s.reduce.is_none() && free(s.value)) {
            let (dtype, level) = region.slot(store.slot);
            // Packing a value that fits into one aligned line of memory gains nothing.
            let points = region.domain.points();
            let whole = graph.ty(store.value).shape.size() == points && points > ALIGN;
            let fits = dtype == DType::Bool && level == Level::Full && whole;
            packed[store.value.index()] = fits && begins_at_bytes(region.domain) && whole_bytes(kernel);
        }
    }
    let mut waits = vec![false; graph.types().len()];
    for kernel in kernels {
        for load in regions(kernel).flat_map(|r| &r.loads) {
            packed[load.value.index()] &= load.dtype == DType::Bool && in_order(load);
        }
        for &v in &kernel.reads {
            packed[v.index()] &= match &kernel.work {
                Work::Region(_) | Work::Blocked(_) => graph.ty(v).dtype == DType::Bool,
                Work::Unpool(u) => u.indices == v && u.updates != v,
                _ => false,
            };
            waits[v.index()] |= kernel.stage > made[v.index()];
        }
    }
    packed.iter().zip(waits).map(|(p, w)| *p && w).collect()
}

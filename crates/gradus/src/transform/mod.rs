//! Functions that take a function of trees and give one back.

mod axes;
mod budget;
mod check;
mod checkpoints;
pub(crate) mod checks;
mod control;
mod custom;
mod external;
mod forward;
mod jacobian;
mod jit;
mod key;
#[cfg(feature = "cpu")]
mod profile;
mod reverse;
mod scalar;
mod vmap;

pub use axes::{all_gather, axis_index, pmax, pmean, pmin, psum, psum_scatter};
pub use budget::IntoBudget;
pub use check::{CheckError, check_grads};
pub use checkpoints::Checkpoints;
pub use control::{associative_scan, cond, fori_loop, scan, scan_with, switch, while_loop, while_loop_with};
#[doc(hidden)]
pub use custom::with_own_rule;
pub use custom::{
    checkpoint, custom_jvp, custom_jvp_checked, custom_jvp_with_output, custom_jvp_with_residuals, custom_vjp,
};
pub use external::external;
pub use forward::{jvp, linearize};
pub use jacobian::{hessian, hvp, jacfwd, jacobian, jacrev};
pub use jit::{Jit, jit};
pub use reverse::{grad, value_and_grad, value_and_grad_aux, vjp};
pub use scalar::{tensor_fn, tensor_fn_many};
pub use vmap::{vmap, vmap_axes, vmap_axes_named, vmap_named};

use std::cell::Cell;

use gradus_core::nest::{self, DEEPEST};
use gradus_core::{Error, ErrorKind, Graph, Result, Site, Type};

use crate::trace::{Trace, apart};
use crate::{Device, Tensor, Tree};

/// A function recorded at arguments of given types.
pub(crate) struct Recorded<B> {
    /// `(arguments, captures) -> results`.
    pub(crate) graph: Graph,
    pub(crate) captures: Vec<Tensor>,
    /// The result tree, its leaves recorded.
    pub(crate) result: B,
}

/// Records `f` at arguments of these types. With `point` the values of the arguments can be read inside.
pub(crate) fn record<A: Tree, B: Tree>(
    transform: &'static str,
    types: &[Type],
    point: Option<Vec<Tensor>>,
    arguments: &A,
    f: impl FnOnce(&A) -> B,
) -> Result<Recorded<B>> {
    let device = match &point {
        Some(leaves) => device_of(transform, leaves)?,
        None => device_of(transform, &arguments.tensors())?,
    };
    let (trace, leaves) = Trace::start(transform, types, device, point);
    let result = nest::level(|| f(&arguments.with_tensors(leaves)));
    let (graph, captures) = trace.finish(&result.tensors())?;
    Ok(Recorded { graph, captures, result })
}

/// The device that all arguments lie on.
///
/// # Errors
/// If they lie on different ones.
pub(crate) fn device_of(op: &'static str, arguments: &[Tensor]) -> Result<Device> {
    let Some(first) = arguments.first() else { return Ok(Device::default()) };
    let device = first.device_ref();
    if arguments.iter().any(|t| t.device_ref() != device) {
        return Err(apart(op, arguments));
    }
    Ok(device.clone())
}

/// Records a body of control flow or of a call, which becomes a program inside the one being recorded.
///
/// # Errors
/// If it lies too deep inside others.
pub(crate) fn record_body<A: Tree, B: Tree>(
    op: &'static str,
    types: &[Type],
    arguments: &A,
    site: &Site,
    f: impl FnOnce(&A) -> B,
) -> Result<Recorded<B>> {
    thread_local! {
        static BODIES: Cell<usize> = const { Cell::new(0) };
    }
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            BODIES.set(BODIES.get() - 1);
        }
    }
    if BODIES.get() >= DEEPEST {
        return Err(Error::new(ErrorKind::Nesting { op }, site.clone()));
    }
    BODIES.set(BODIES.get() + 1);
    let _leave = Leave;
    record(op, types, None, arguments, f)
}

/// Records `f` at a point that is known to the transform.
pub(crate) fn record_at<A: Tree, B: Tree>(
    transform: &'static str,
    point: &A,
    f: impl FnOnce(&A) -> B,
) -> Result<Recorded<B>> {
    let leaves = point.tensors();
    let types: Vec<Type> = leaves.iter().map(Tensor::ty).collect();
    record(transform, &types, Some(leaves), point, f)
}

/// Marks for the inputs of a recorded program: all arguments, no captures.
pub(crate) fn wrt_arguments(arguments: usize, recorded: &Graph) -> Vec<bool> {
    (0..recorded.inputs().len()).map(|i| i < arguments).collect()
}

/// All leaves must be of float types.
pub(crate) fn differentiable<A: Tree>(transform: &'static str, tree: &A, site: &Site) -> Result<()> {
    for (path, leaf) in tree.leaves() {
        if !leaf.dtype().is_differentiable() {
            let path = if path.is_empty() { "the argument".to_string() } else { format!("argument {path}") };
            let kind = ErrorKind::NotDifferentiable { transform, dtype: leaf.dtype(), path };
            return Err(Error::new(kind, site.clone()));
        }
    }
    Ok(())
}

/// A tangent or cotangent must have the structure and types of what it belongs to.
pub(crate) fn same_structure<A: Tree>(op: &'static str, want: &A, got: &A, site: &Site) -> Result<()> {
    let (want, got) = (want.leaves(), got.leaves());
    let fits = want.len() == got.len() && want.iter().zip(&got).all(|(w, g)| w.1.ty() == g.1.ty());
    if fits {
        return Ok(());
    }
    let show = |leaves: &[(String, Tensor)]| {
        leaves
            .iter()
            .map(|(p, t)| format!("{p}{}{}", if p.is_empty() { "" } else { ": " }, t.ty()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let detail = format!(
        "tangents and cotangents have the types of their values: expected ({}), found ({})",
        show(&want),
        show(&got)
    );
    Err(Error::new(ErrorKind::Argument { op, detail }, site.clone()))
}

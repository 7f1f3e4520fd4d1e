//! Operations over an axis that is mapped by name: what the examples of a batch make together.

use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use gradus_core::ops::{Collective, CollectiveKind};
use gradus_core::{Error, ErrorKind, Result, Site};

use crate::Tensor;
use crate::trace::{OrFail, Trace, emit, fail, here};

/// An axis that is being mapped over.
struct Axis {
    name: Arc<str>,
    size: usize,
    /// Where the function of one example is recorded.
    trace: Trace,
}

thread_local! {
    /// The named axes that are being mapped over, the innermost last.
    static AXES: RefCell<Vec<Axis>> = const { RefCell::new(Vec::new()) };
    /// How many those are: asked for by every call of a compiled function.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// A named axis being open; dropping it closes it.
pub(super) struct Open;

impl Drop for Open {
    fn drop(&mut self) {
        COUNT.set(COUNT.get() - 1);
        AXES.with_borrow_mut(|axes| axes.pop());
    }
}

/// Opens a named axis.
pub(super) fn open(name: &str, size: usize, trace: &Trace) -> Open {
    COUNT.set(COUNT.get() + 1);
    AXES.with_borrow_mut(|axes| axes.push(Axis { name: name.into(), size, trace: trace.clone() }));
    Open
}

/// A name is that of one axis at a time.
pub(super) fn free(name: &str, site: &Site) -> Result<()> {
    if AXES.with_borrow(|axes| axes.iter().all(|axis| &*axis.name != name)) {
        return Ok(());
    }
    let detail =
        format!("an axis with the name `{name}` is being mapped over already; give this one another");
    Err(Error::new(ErrorKind::Argument { op: "vmap", detail }, site.clone()))
}

/// The axes that a function can read while it is recorded.
#[derive(PartialEq, Default)]
pub(super) struct Axes(Vec<(Arc<str>, usize)>);

impl Axes {
    pub(super) fn now() -> Self {
        AXES.with_borrow(|axes| Axes(axes.iter().map(|axis| (axis.name.clone(), axis.size)).collect()))
    }

    pub(super) fn are_open(&self) -> bool {
        if COUNT.get() == 0 {
            return self.0.is_empty();
        }
        AXES.with_borrow(|axes| {
            let same =
                |((name, size), axis): (&(Arc<str>, usize), &Axis)| *name == axis.name && *size == axis.size;
            self.0.len() == axes.len() && self.0.iter().zip(axes).all(same)
        })
    }

    pub(super) fn hash(state: &mut impl Hasher) {
        if COUNT.get() == 0 {
            return;
        }
        AXES.with_borrow(|axes| axes.iter().for_each(|axis| (&axis.name, axis.size).hash(state)));
    }

    /// How the axes of an earlier call differ, if they do.
    pub(super) fn difference(&self, was: &Axes) -> Option<String> {
        let show = |axes: &Axes| match &axes.0[..] {
            [] => "none".to_string(),
            axes => {
                axes.iter().map(|(name, size)| format!("`{name}` of {size}")).collect::<Vec<_>>().join(", ")
            }
        };
        (self != was).then(|| format!("the named axes were {}, are {}", show(was), show(self)))
    }
}

/// The extent of the axis of this name, and where its function is recorded.
fn axis(op: &'static str, name: &str) -> Result<(Arc<str>, usize, Trace)> {
    AXES.with_borrow(|axes| {
        if let Some(axis) = axes.iter().rev().find(|axis| &*axis.name == name) {
            return Ok((axis.name.clone(), axis.size, axis.trace.clone()));
        }
        let known: Vec<String> = axes.iter().map(|axis| format!("`{}`", axis.name)).collect();
        let known = if known.is_empty() { "there are none".to_string() } else { known.join(", ") };
        let detail = format!(
            "no axis `{name}` is being mapped over here ({known}); `vmap_named` gives an axis a name"
        );
        Err(ErrorKind::Argument { op, detail }.into())
    })
}

#[track_caller]
fn over(op: &'static str, x: Option<&Tensor>, name: &str, kind: CollectiveKind) -> Tensor {
    let site = here();
    let apply = || {
        let (name, size, trace) = axis(op, name)?;
        let op = Collective { name, size, kind }.into();
        // Outside of the function mapped, a value is the same for every example.
        let mut results = match x {
            Some(x) => emit(&op, &[x], &site)?,
            None => trace.emit(&op, &[], &site)?,
        };
        Ok(results.remove(0))
    };
    apply().map_err(|e: Error| e.or_at(&site)).or_fail()
}

/// The sum of `x` over all examples of the axis that [`vmap_named`](crate::vmap_named) gives this name, `Σᵢ xᵢ`: the same for
/// every example.
///
/// Its derivative is that of the examples' functions taken together: what each of them gives back is summed, too.
///
/// # Panics
/// If no axis of this name is being mapped over, or `x` is boolean; under [`vmap`](crate::vmap) also if it stands in a branch or
/// loop that examples go through or not, each by its own condition.
///
/// ```
/// use gradus::{Tensor, pmean, psum, vmap_named};
///
/// let x = Tensor::from([1.0, 2.0, 5.0]);
/// let shares = vmap_named("batch", |x: &Tensor| x / psum(x, "batch"));
/// assert_eq!(shares(&x), Tensor::from([0.125, 0.25, 0.625]));
///
/// // What batch normalisation does.
/// let standard = vmap_named("batch", |x: &Tensor| {
///     let centred = x - pmean(x, "batch");
///     &centred / pmean(&centred.square(), "batch").sqrt()
/// });
/// assert!((standard(&x).mean(()).item::<f64>()).abs() < 1e-15);
/// ```
#[track_caller]
pub fn psum(x: &Tensor, name: &str) -> Tensor {
    over("psum", Some(x), name, CollectiveKind::Sum)
}

/// The mean of `x` over all examples of a named axis, `Σᵢ xᵢ / n`: see [`psum`].
///
/// ```
/// use gradus::{Tensor, pmean, vmap_named};
/// let centred = vmap_named("batch", |x: &Tensor| x - pmean(x, "batch"));
/// assert_eq!(centred(&Tensor::from([1.0, 5.0])), Tensor::from([-2.0, 2.0]));
/// ```
#[track_caller]
pub fn pmean(x: &Tensor, name: &str) -> Tensor {
    let size = axis("pmean", name).or_fail().1;
    if !x.dtype().is_float() {
        let detail = "the mean of integers is no integer; cast first".into();
        fail(Error::new(ErrorKind::DType { op: "pmean", dtypes: vec![x.dtype()], detail }, here()));
    }
    over("pmean", Some(x), name, CollectiveKind::Sum) / size as f64
}

/// The largest of `x` over all examples of a named axis, element by element, NaN where any is: see [`psum`]. Equal examples
/// share the derivative.
///
/// ```
/// use gradus::{Tensor, pmax, psum, vmap_named};
/// let softmax = vmap_named("classes", |x: &Tensor| {
///     let e = (x - pmax(x, "classes")).exp();
///     &e / psum(&e, "classes")
/// });
/// assert_eq!(softmax(&Tensor::from([1000.0, 1000.0])), Tensor::from([0.5, 0.5]));
/// ```
#[track_caller]
pub fn pmax(x: &Tensor, name: &str) -> Tensor {
    over("pmax", Some(x), name, CollectiveKind::Max)
}

/// The smallest of `x` over all examples of a named axis: as [`pmax`].
///
/// ```
/// use gradus::{Tensor, pmin, vmap_named};
/// let above = vmap_named("batch", |x: &Tensor| x - pmin(x, "batch"));
/// assert_eq!(above(&Tensor::from([3.0, 1.0])), Tensor::from([2.0, 0.0]));
/// ```
#[track_caller]
pub fn pmin(x: &Tensor, name: &str) -> Tensor {
    over("pmin", Some(x), name, CollectiveKind::Min)
}

/// The number of the example along a named axis, from 0, an `i64` scalar: see [`psum`].
///
/// ```
/// use gradus::{DType, Tensor, axis_index, vmap_named};
/// let numbered = vmap_named("batch", |x: &Tensor| x * axis_index("batch").cast(DType::F64));
/// assert_eq!(numbered(&Tensor::from([5.0, 6.0, 7.0])), Tensor::from([0.0, 6.0, 14.0]));
/// ```
#[track_caller]
pub fn axis_index(name: &str) -> Tensor {
    over("axis_index", None, name, CollectiveKind::Index)
}

/// `x` of all examples of a named axis, stacked along a new axis at place `at`: the same for every example. See [`psum`].
///
/// ```
/// use gradus::{Tensor, all_gather, vmap_named};
/// // The distance to the nearest other example.
/// let x = Tensor::from([0.0, 1.0, 4.0]);
/// let nearest = vmap_named("points", |x: &Tensor| {
///     let distance = (all_gather(x, "points", 0) - x).abs();
///     distance.greater(0.0).select(&distance, f64::INFINITY).min(())
/// });
/// assert_eq!(nearest(&x), Tensor::from([1.0, 1.0, 3.0]));
/// ```
#[track_caller]
pub fn all_gather(x: &Tensor, name: &str, at: isize) -> Tensor {
    let rank = x.rank() as isize + 1;
    let at = gradus_core::shape::resolve_axis("all_gather", at, rank as usize).or_fail();
    let all = over("all_gather", Some(x), name, CollectiveKind::Gather);
    if at == 0 { all } else { all.move_axis(0, at as isize) }
}

/// The sum of row `i` of all examples' `x` for example `i` of a named axis, `Σⱼ xⱼ[i]`: the first axis of `x` has a row for each
/// example. What [`all_gather`] is to values, this is to what they give back. See [`psum`].
///
/// ```
/// use gradus::{Tensor, psum_scatter, vmap_named};
/// let columns = vmap_named("rows", |x: &Tensor| psum_scatter(x, "rows"));
/// assert_eq!(columns(&Tensor::from([[1.0, 2.0], [10.0, 20.0]])), Tensor::from([11.0, 22.0]));
/// ```
#[track_caller]
pub fn psum_scatter(x: &Tensor, name: &str) -> Tensor {
    over("psum_scatter", Some(x), name, CollectiveKind::Scatter)
}

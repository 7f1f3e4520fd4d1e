//! The closed set of primitives, one file a family. Each file states whole rows of the op table.

mod arrange;
mod call;
mod clamp;
mod collective;
mod control;
mod conv;
mod cumulative;
mod dot;
mod elementwise;
mod external;
mod index;
mod masks;
mod movement;
mod order;
mod random;
mod reduce;
mod source;
mod window;

use std::fmt;
use std::sync::Arc;

use crate::{Array, Arrays, ErrorKind, Type};
use smallvec::{SmallVec, smallvec};

pub use arrange::{Concat, Pad, Reverse, Slice};
pub(crate) use call::inputs_like;
pub use call::{Call, CallKind, Custom};
pub use clamp::Clamp;
pub use collective::{Collective, CollectiveKind};
pub use control::{Cond, Replay, Scan, Stepper, Sweep, While};
pub(crate) use control::{batched_type, recomputed};
pub use conv::{Conv, Padding};
pub use cumulative::{Cumulative, CumulativeKind, Recurrence};
pub use dot::Dot;
pub use external::{External, ExternalPrimitive, Purity};
pub(crate) use index::move_axis;
pub use index::{Gather, ScatterAdd};
pub use masks::{Compare, Logic, Not, Select};
pub use movement::{Broadcast, Permute, Reshape};
pub use order::{ArgReduce, Sort};
pub use random::{FoldIn, RandomBits, philox4x32};
pub use reduce::{Reduce, ReduceKind};
pub use source::{Cast, Full, Iota, LinearMul, StopGradient};
pub use window::{MaxPool, SumPool, Window, WindowsAlong};

use crate::graph::Vars;
use crate::primitive::Tangents;
use crate::{Batched, Binary, Builder, Graph, Primitive, Result, Unary, Var};

/// A short list of axes.
pub type Axes = SmallVec<[usize; 4]>;

/// The list of primitives: from it come the enum, its conversions and the way to a primitive's row. Large ones are shared,
/// so that an equation stays small and its copies cost nothing.
macro_rules! primitives {
    ($($variant:ident($held:ty)),+ $(,)?) => {
        /// A primitive with its parameters.
        #[derive(Clone, Debug, PartialEq, Hash)]
        #[allow(missing_docs)] // each variant is documented at the type it holds
        pub enum Op { $($variant($held),)+ }

        impl Op {
            /// The variants, by name; the op table has a row for each.
            pub const VARIANTS: &[&str] = &[$(stringify!($variant)),+];

            /// The name of the variant.
            pub fn variant(&self) -> &'static str {
                match self { $(Op::$variant(_) => stringify!($variant),)+ }
            }

            /// The primitive's row of the op table.
            pub fn row(&self) -> &dyn Primitive {
                match self {
                    $(Op::$variant(p) => {
                        let row: &$variant = p;
                        row
                    })+
                }
            }
        }

        $(impl From<$variant> for Op {
            fn from(p: $variant) -> Op { Op::$variant(p.into()) }
        })+
    };
}
primitives! {
    Full(Full),
    Iota(Iota),
    RandomBits(RandomBits),
    FoldIn(FoldIn),
    Unary(Unary),
    Binary(Binary),
    LinearMul(LinearMul),
    Clamp(Clamp),
    Compare(Compare),
    Logic(Logic),
    Not(Not),
    Select(Select),
    Cast(Cast),
    StopGradient(StopGradient),
    Reduce(Reduce),
    ArgReduce(ArgReduce),
    Cumulative(Cumulative),
    Recurrence(Recurrence),
    Sort(Sort),
    Reshape(Reshape),
    Permute(Permute),
    Broadcast(Arc<Broadcast>),
    Slice(Arc<Slice>),
    Pad(Arc<Pad>),
    Concat(Concat),
    Reverse(Reverse),
    Gather(Gather),
    ScatterAdd(ScatterAdd),
    Dot(Arc<Dot>),
    Conv(Arc<Conv>),
    MaxPool(Arc<MaxPool>),
    SumPool(Arc<SumPool>),
    Cond(Cond),
    Scan(Scan),
    While(While),
    Replay(Arc<Replay>),
    Call(Call),
    Collective(Arc<Collective>),
    External(External),
}

impl Op {
    /// The name printed in programs.
    pub fn name(&self) -> &'static str {
        self.row().doc().name
    }

    /// The reference evaluation, once there is memory for it: for its results, for operands in another order, and for an
    /// index an element.
    ///
    /// # Errors
    /// If the operands do not fit, an index is out of range, or there is not as much memory.
    pub fn evaluate(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let types: SmallVec<[Type; 4]> =
            inputs.iter().map(|a| Type::new(a.dtype(), a.shape().clone())).collect();
        let results = self.row().infer(&types)?;
        let bytes = results.iter().map(|ty| ty.bytes().saturating_add(ty.shape.size().saturating_mul(8)));
        let bytes = bytes.chain(types.iter().map(Type::bytes)).fold(0, usize::saturating_add);
        crate::memory::probe(self.name(), bytes)?;
        self.value(inputs, &results)
    }

    /// The reference value, for operands that fit and results of these types. Arithmetic in a 16-bit float type is that in
    /// `f32` of the same numbers, each result rounded once; sums and products add up in `f32`, too.
    ///
    /// # Errors
    /// If an index is out of range, or an integer is divided by zero.
    pub fn value(&self, inputs: &[&Array], results: &[Type]) -> Result<Arrays, ErrorKind> {
        let narrow = inputs.iter().any(|x| x.dtype().is_rounded());
        if !narrow || !self.is_arithmetic() {
            return self.row().eval(inputs);
        }
        let wide: SmallVec<[Array; 4]> = inputs.iter().map(|x| x.cast(x.dtype().wide())).collect();
        let values = self.row().eval(&wide.iter().collect::<SmallVec<[&Array; 4]>>())?;
        Ok(values.into_iter().zip(results).map(|(value, ty)| value.cast(ty.dtype)).collect())
    }

    /// Whether it computes with the numbers that its operands are: what only makes, moves, chooses or converts elements, and what
    /// carries programs of its own, does not.
    pub fn is_arithmetic(&self) -> bool {
        match self {
            Op::Unary(_)
            | Op::Binary(_)
            | Op::LinearMul(_)
            | Op::Clamp(_)
            | Op::Compare(_)
            | Op::Reduce(_)
            | Op::ArgReduce(_)
            | Op::Cumulative(_)
            | Op::Recurrence(_)
            | Op::Sort(_)
            | Op::ScatterAdd(_)
            | Op::Dot(_)
            | Op::Conv(_)
            | Op::MaxPool(_)
            | Op::SumPool(_)
            | Op::Collective(_) => true,
            Op::Full(_)
            | Op::Iota(_)
            | Op::RandomBits(_)
            | Op::FoldIn(_)
            | Op::Logic(_)
            | Op::Not(_)
            | Op::Select(_)
            | Op::Cast(_)
            | Op::StopGradient(_)
            | Op::Reshape(_)
            | Op::Permute(_)
            | Op::Broadcast(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Concat(_)
            | Op::Reverse(_)
            | Op::Gather(_)
            | Op::Cond(_)
            | Op::Scan(_)
            | Op::While(_)
            | Op::Replay(_)
            | Op::Call(_)
            | Op::External(_) => false,
        }
    }

    /// The reference evaluation, with the bodies of loops run by `run`.
    ///
    /// # Errors
    /// As [`evaluate`](Op::evaluate), and those of `run`.
    pub fn evaluate_by(
        &self,
        inputs: &[&Array],
        run: &mut dyn FnMut(&Graph, &[Array]) -> Result<Vec<Array>, ErrorKind>,
    ) -> Result<Arrays, ErrorKind> {
        match self {
            Op::Scan(p) => p.eval_by(inputs, run),
            Op::While(p) => p.eval_by(inputs, run),
            Op::Replay(p) => p.eval_by(inputs, run),
            op => op.evaluate(inputs),
        }
    }

    /// Whether it, or something inside it, must not be run again for the same operands: see [`Purity`].
    pub fn runs_once(&self) -> bool {
        match self {
            Op::External(p) => p.primitive().purity() == Purity::Once,
            op => op.graphs().iter().any(|graph| graph.runs_once()),
        }
    }

    /// Whether it, or something inside it, is an operation over the axis of this name.
    pub(crate) fn is_over(&self, name: Option<&str>) -> bool {
        name.is_some_and(|name| match self {
            Op::Collective(p) => &*p.name == name,
            op => op.graphs().iter().any(|graph| graph.is_over(name)),
        })
    }

    /// Whether it computes the same as another: phases in the programs that they carry make no difference.
    pub fn computes_the_same(&self, other: &Op) -> bool {
        if self.graphs().is_empty() {
            return self == other;
        }
        let bare = |op: &Op| {
            let mut op = op.clone();
            op.graphs_mut().into_iter().for_each(|g| *g = Arc::default());
            op
        };
        let (a, b) = (self.graphs(), other.graphs());
        a.len() == b.len()
            && a.iter().zip(&b).all(|(a, b)| Arc::ptr_eq(a, b) || a.computes_the_same(b))
            && bare(self) == bare(other)
    }

    fn graphs_mut(&mut self) -> SmallVec<[&mut Arc<Graph>; 2]> {
        match self {
            Op::Cond(p) => smallvec![&mut p.on_true, &mut p.on_false],
            Op::Scan(p) => smallvec![&mut p.body],
            Op::While(p) => smallvec![&mut p.cond, &mut p.body],
            Op::Replay(p) => Arc::make_mut(p).levels.iter_mut().collect(),
            Op::Call(p) => p.graphs_mut(),
            _ => SmallVec::new(),
        }
    }

    /// The sub-graphs the primitive carries.
    pub fn graphs(&self) -> SmallVec<[&Arc<Graph>; 2]> {
        match self {
            Op::Cond(p) => smallvec![&p.on_true, &p.on_false],
            Op::Scan(p) => smallvec![&p.body],
            Op::While(p) => smallvec![&p.cond, &p.body],
            Op::Replay(p) => p.levels.iter().collect(),
            Op::Call(p) => p.graphs(),
            Op::Full(_)
            | Op::Iota(_)
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::LinearMul(_)
            | Op::Compare(_)
            | Op::Logic(_)
            | Op::Not(_)
            | Op::Select(_)
            | Op::Cast(_)
            | Op::StopGradient(_)
            | Op::Reduce(_)
            | Op::Reshape(_)
            | Op::Permute(_)
            | Op::Broadcast(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Concat(_)
            | Op::Reverse(_)
            | Op::Clamp(_)
            | Op::Gather(_)
            | Op::ScatterAdd(_)
            | Op::Sort(_)
            | Op::ArgReduce(_)
            | Op::Cumulative(_)
            | Op::Recurrence(_)
            | Op::RandomBits(_)
            | Op::FoldIn(_)
            | Op::Collective(_)
            | Op::External(_)
            | Op::Conv(_)
            | Op::MaxPool(_)
            | Op::SumPool(_)
            | Op::Dot(_) => SmallVec::new(),
        }
    }
}

impl fmt::Display for Op {
    /// The name and the parameters that its types do not tell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Op::Full(p) => write!(f, "{}", p.value),
            Op::Iota(p) => write!(f, "{name} axis={}", p.axis),
            Op::Unary(Unary::Powi(n)) => write!(f, "{name} n={n}"),
            Op::Unary(Unary::Polygamma(n)) => write!(f, "{name} n={n}"),
            Op::Reduce(p) => write!(f, "{name} axes={:?}", p.axes.as_slice()),
            Op::Permute(p) => write!(f, "{name} {:?}", p.axes.as_slice()),
            Op::Broadcast(p) => write!(f, "{name} axes={:?}", p.axes.as_slice()),
            Op::Slice(p) => write!(f, "{name} {p:?}"),
            Op::Pad(p) => write!(f, "{name} {p:?}"),
            Op::Concat(p) => write!(f, "{name} axis={}", p.axis),
            Op::Reverse(p) => write!(f, "{name} axes={:?}", p.axes.as_slice()),
            Op::Dot(p) => write!(f, "{name} {p}"),
            Op::Gather(Gather { axis, batch, from_end })
            | Op::ScatterAdd(ScatterAdd { axis, batch, from_end }) => {
                write!(
                    f,
                    "{name} axis={axis} batch={batch}{}",
                    if *from_end { "" } else { " from_end=false" }
                )
            }
            Op::Sort(p) => write!(f, "{name} axis={} descending={}", p.axis, p.descending),
            Op::ArgReduce(p) => write!(f, "{name} axis={}", p.axis),
            Op::Cumulative(p) => write!(f, "{name} axis={} reverse={}", p.axis, p.reverse),
            Op::Recurrence(p) => write!(f, "{name} axis={} reverse={}", p.axis, p.reverse),
            Op::RandomBits(p) => write!(f, "{name} bits={}", p.bits),
            Op::FoldIn(p) => write!(f, "{name} stream={}", p.stream),
            Op::Conv(p) => write!(f, "{name} {p}"),
            Op::MaxPool(_) | Op::SumPool(_) => {
                let window = match self {
                    Op::MaxPool(p) => &p.window,
                    Op::SumPool(p) => &p.window,
                    _ => unreachable!(),
                };
                write!(f, "{name} window={:?} stride={:?}", &window.size[..], &window.stride[..])
            }
            Op::Scan(p) => write!(f, "{name} length={} carry={}", p.length, p.carry),
            Op::Replay(p) => {
                write!(
                    f,
                    "{name} levels={} slots={} reverse={}",
                    p.levels.len(),
                    p.sweep().slots(),
                    p.reverse
                )
            }
            Op::Unary(_)
            | Op::Binary(_)
            | Op::LinearMul(_)
            | Op::Compare(_)
            | Op::Logic(_)
            | Op::Not(_)
            | Op::Select(_)
            | Op::Cast(_)
            | Op::StopGradient(_)
            | Op::Clamp(_)
            | Op::Reshape(_)
            | Op::Cond(_)
            | Op::While(_)
            | Op::Call(_)
            | Op::External(_) => f.write_str(name),
            Op::Collective(p) => write!(f, "{name} over={} size={}", p.name, p.size),
        }
    }
}

/// The derivative of a primitive that is linear in all its float operands together: the same primitive, applied
/// to the tangents. Symbolic zeros become zeros.
pub(crate) fn jvp_linear(
    op: impl Into<Op>,
    b: &mut Builder,
    inputs: &[Var],
    tangents: &[Option<Var>],
) -> Result<(Vars, Tangents)> {
    let op = op.into();
    let outputs = b.emit(op.clone(), inputs)?;
    let args: Vars =
        inputs.iter().zip(tangents).map(|(&v, &t)| t.unwrap_or_else(|| b.dead_tangent(v))).collect();
    let tangents = b.emit(op, &args)?.into_iter().map(Some).collect();
    Ok((outputs, tangents))
}

/// The derivative of a primitive that is constant almost everywhere, or whose results are no floats.
pub(crate) fn jvp_zero(op: impl Into<Op>, b: &mut Builder, inputs: &[Var]) -> Result<(Vars, Tangents)> {
    let outputs = b.emit(op, inputs)?;
    let zeros = outputs.iter().map(|_| None).collect();
    Ok((outputs, zeros))
}

/// A value with the batch as axis 0, repeated along it if it was not batched.
pub(crate) fn materialize_batch(b: &mut Builder, (var, batched): Batched, size: usize) -> Result<Var> {
    if batched {
        return Ok(var);
    }
    let shape = b.shape(var).insert(0, size);
    let axes = (1..shape.rank()).collect();
    b.emit1(Broadcast { shape, axes }, &[var])
}

/// Batching for primitives that treat every axis alike: all operands get the batch, then `op` as it is.
pub(crate) fn batch_all(
    op: impl Into<Op>,
    b: &mut Builder,
    inputs: &[Batched],
    size: usize,
) -> Result<SmallVec<[Batched; 4]>> {
    let args: Vars = inputs.iter().map(|&i| materialize_batch(b, i, size)).collect::<Result<_>>()?;
    Ok(b.emit(op, &args)?.into_iter().map(|v| (v, true)).collect())
}

/// Whether each axis is there once: what is meant by one that is there twice nobody knows.
pub(crate) fn distinct(op: &'static str, axes: &[usize]) -> Result<(), crate::ErrorKind> {
    match axes.iter().enumerate().find(|&(i, axis)| axes[..i].contains(axis)) {
        None => Ok(()),
        Some((_, axis)) => {
            let detail = format!("axis {axis} is given twice, in {axes:?}; give each axis once");
            Err(crate::ErrorKind::Argument { op, detail })
        }
    }
}

/// Axes moved one to the right, past a batch axis.
pub(crate) fn shifted(axes: &[usize]) -> Axes {
    axes.iter().map(|a| a + 1).collect()
}

//! Primitives of users: kernels and host functions that a program calls and does not look into.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::graph::Vars;
use crate::ops::Scan;
use crate::primitive::{Arrays, Tangents, Types};
use crate::transforms::Lanes;
use crate::{Array, Batched, Builder, Cost, Doc, ErrorKind, Jvp, Operand, Primitive, Result, Type, Var};

/// Whether it makes a difference how often a primitive runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purity {
    /// It is a function of its operands: calls with equal operands are merged, and what is not kept for a backward pass or
    /// does not fit into a budget is computed again.
    #[default]
    Pure,
    /// It is not, or costs too much to run twice: calls are not merged, and what would run one again is refused, a
    /// checkpoint around it, a loop gone through again, a memory budget that takes recomputation. A call whose results nobody
    /// reads is dropped as any other.
    Once,
}

/// A primitive of the user's own: results on the host, and where wanted derivatives as graphs.
///
/// What a method leaves out has a default: no derivative, batching by a loop, two calls equal only where they are calls of
/// the same value.
///
/// ```
/// use gradus_core::ops::{External, ExternalPrimitive};
/// use gradus_core::{Array, Builder, DType, ErrorKind, Result, Type, Unary, Var, interpret};
///
/// /// Bessel's function of a library that knows no derivatives, say.
/// #[derive(Debug)]
/// struct Sine;
/// impl ExternalPrimitive for Sine {
///     fn name(&self) -> &'static str {
///         "sine"
///     }
///     fn infer(&self, inputs: &[Type]) -> Result<Vec<Type>, ErrorKind> {
///         Ok(inputs.to_vec())
///     }
///     fn eval(&self, inputs: &[&Array]) -> Result<Vec<Array>, ErrorKind> {
///         let y = inputs[0].to_f64().into_iter().map(f64::sin).collect();
///         Ok(vec![Array::new(inputs[0].shape(), y)?])
///     }
/// }
///
/// let mut b = Builder::new();
/// let x = b.input(Type::new(DType::F64, [2]));
/// let y = b.emit1(External::new(Sine), &[x])?;
/// let out = interpret(&b.finish(vec![y]), &[Array::new([2], vec![0.0, 1.0])?])?;
/// assert_eq!(out[0].to_f64(), [0.0, 1f64.sin()]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub trait ExternalPrimitive: fmt::Debug + Any + Send + Sync {
    /// The name in programs, errors and profiles.
    fn name(&self) -> &'static str;

    /// The types of the results, one at least, for operands of these types, or what does not fit.
    ///
    /// # Errors
    /// If the primitive takes no such operands.
    fn infer(&self, inputs: &[Type]) -> Result<Vec<Type>, ErrorKind>;

    /// The results. They are compared with [`infer`](Self::infer) after each call.
    ///
    /// # Errors
    /// If the operands have values that it does not take: [`ErrorKind::Data`] says so. A panic becomes such an error.
    fn eval(&self, inputs: &[&Array]) -> Result<Vec<Array>, ErrorKind>;

    /// Emits the tangents of the results, linear in the tangents of the operands, one of which at least is not `None`, a
    /// symbolic zero. `outputs` are the results.
    ///
    /// # Errors
    /// By default: it has no derivative.
    fn jvp(&self, _: &mut Builder, _inputs: &[Var], _outputs: &[Var], _: &[Option<Var>]) -> Result<Tangents> {
        let detail =
            "it states no derivative; implement `jvp`, or wrap the call in `custom_jvp` or `custom_vjp`";
        Err(ErrorKind::Argument { op: self.name(), detail: detail.into() }.into())
    }

    /// Emits the cotangents of the operands marked linear, in which the primitive is linear together; `None` for the others.
    ///
    /// # Errors
    /// By default: it is linear in nothing.
    fn transpose(
        &self,
        _: &mut Builder,
        _inputs: &[Operand],
        _cotangents: &[Option<Var>],
    ) -> Result<Tangents> {
        let detail = "it is linear in none of its operands; implement `transpose` if its `jvp` calls itself";
        Err(ErrorKind::NoTranspose { op: self.name(), detail: detail.into() }.into())
    }

    /// Emits the primitive for a batch, axis 0 of the operands marked batched and of every result, `size` long. `None`, the
    /// default, is a loop over the batch.
    ///
    /// # Errors
    /// If there is no such form.
    fn batch(&self, _: &mut Builder, _inputs: &[Batched], _size: usize) -> Option<Result<Vars>> {
        None
    }

    /// Estimated work; by default an operation for each element, and each byte once.
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        let bytes = inputs.iter().chain(outputs).map(|ty| ty.bytes() as f64).sum();
        let flops = outputs.iter().map(|ty| ty.shape.size() as f64).sum();
        Cost { flops, bytes }
    }

    /// Bytes that one call allocates beside its operands and results, at most; they count in the planned peak.
    fn workspace(&self, _inputs: &[Type], _outputs: &[Type]) -> usize {
        0
    }

    /// Whether it makes a difference how often it runs.
    fn purity(&self) -> Purity {
        Purity::Pure
    }

    /// Whether another primitive is the same: equal results for equal operands. Calls of primitives that are the same are
    /// merged, and programs that hold them are found again instead of compiled anew. One is always the same as itself.
    fn same(&self, _other: &dyn ExternalPrimitive) -> bool {
        false
    }
}

/// A call of a primitive of the user's own.
#[derive(Clone)]
pub struct External(Arc<dyn ExternalPrimitive>);

impl External {
    /// A primitive to call.
    pub fn new(primitive: impl ExternalPrimitive) -> Self {
        External(Arc::new(primitive))
    }

    /// The primitive.
    pub fn primitive(&self) -> &dyn ExternalPrimitive {
        &*self.0
    }

    /// Runs code of the primitive's author; a panic in it is an error that names the primitive.
    fn theirs<R, E: From<ErrorKind>>(&self, f: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
        catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(ErrorKind::Data(format!("{}: the primitive panicked: {text}", self.0.name())).into())
        })
    }

    fn types(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let op = self.0.name();
        let types = self.theirs(|| self.0.infer(inputs))?;
        if types.is_empty() {
            let detail = "it gives no result; let it give an operand back".into();
            return Err(ErrorKind::Argument { op, detail });
        }
        Ok(types.into())
    }
}

impl From<Arc<dyn ExternalPrimitive>> for External {
    fn from(primitive: Arc<dyn ExternalPrimitive>) -> Self {
        External(primitive)
    }
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl PartialEq for External {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.name() == other.0.name() && self.0.same(&*other.0)
    }
}

impl Hash for External {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name().hash(state);
    }
}

// A panic inside of a primitive leaves it as its author has made it; a program holds nothing else that it changes.
impl UnwindSafe for External {}
impl RefUnwindSafe for External {}

impl Primitive for External {
    fn doc(&self) -> Doc {
        Doc { name: self.0.name(), formula: "f(x)", derivative: "stated by its author", domain: "that of f" }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        self.types(inputs)
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let types: Vec<Type> = inputs.iter().map(|a| Type::new(a.dtype(), a.shape().clone())).collect();
        let promised = self.types(&types)?;
        let results = self.theirs(|| self.0.eval(inputs))?;
        let found: Types = results.iter().map(|a| Type::new(a.dtype(), a.shape().clone())).collect();
        if found != promised {
            let detail = format!("it gave {found:?}, and promised {promised:?} for {types:?}");
            return Err(ErrorKind::Argument { op: self.0.name(), detail });
        }
        Ok(results.into())
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let outputs = b.emit(self.clone(), inputs)?;
        let mut dots = self.theirs(|| self.0.jvp(b, inputs, &outputs, t))?;
        dots.resize(outputs.len(), None);
        for (dot, &y) in dots.iter_mut().zip(&outputs) {
            let wanted = b.ty(y).clone();
            let fits = dot.is_none_or(|dot| b.dtype(y).is_differentiable() && *b.ty(dot) == wanted);
            if !fits {
                let detail = format!("its `jvp` gives a tangent of another type than {wanted}");
                return Err(ErrorKind::Argument { op: self.0.name(), detail }.into());
            }
            if dot.is_none() && b.dtype(y).is_differentiable() {
                *dot = Some(b.dead_tangent(y));
            }
        }
        Ok((outputs, dots))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        self.theirs(|| self.0.transpose(b, inputs, cotangents))
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        if let Some(batched) = self.0.batch(b, inputs, lanes.size) {
            return Ok(batched?.into_iter().map(|v| (v, true)).collect());
        }
        // A loop takes its constants first, then its rows.
        let mut inner = Builder::new();
        let mut args = vec![None; inputs.len()];
        let (mut operands, mut rows) = (Vars::new(), Vars::new());
        for (i, &(v, batched)) in inputs.iter().enumerate() {
            if !batched {
                operands.push(v);
                args[i] = Some(inner.input(b.ty(v).clone()));
            }
        }
        let constants = operands.len();
        for (i, &(v, _)) in inputs.iter().enumerate().filter(|(_, input)| input.1) {
            rows.push(v);
            let ty = b.ty(v).clone();
            let row = ty.with_shape(self.0.name(), ty.shape.remove(0))?;
            args[i] = Some(inner.input(row));
        }
        operands.extend(rows);
        let args: Vars = args.into_iter().flatten().collect();
        let results = inner.emit(self.clone(), &args)?;
        let body = Arc::new(inner.finish(results.to_vec()));
        let scan = Scan { constants, carry: 0, length: lanes.size, reverse: false, body, checkpoints: None };
        Ok(b.emit(scan, &operands)?.into_iter().map(|v| (v, true)).collect())
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        self.0.cost(inputs, outputs)
    }
}

//! What every primitive states: the cells of the op table.
//!
//! Each family of primitives is a type in [`ops`](crate::ops) that implements [`Primitive`]. No cell has a
//! default, so a primitive with a missing cell does not compile.

use smallvec::SmallVec;

use crate::graph::Vars;
use crate::transforms::Lanes;
use crate::{Array, Builder, ErrorKind, Result, Type, Var};

/// Types of the outputs of a primitive.
pub type Types = SmallVec<[Type; 2]>;
/// Results of evaluating a primitive.
pub type Arrays = SmallVec<[Array; 2]>;
/// Tangents or cotangents; `None` is a symbolic zero.
pub type Tangents = SmallVec<[Option<Var>; 4]>;

/// How a linear program sees an operand that is to be transposed.
#[derive(Clone, Debug)]
pub enum Operand {
    /// A value known in the backward pass.
    Residual(Var),
    /// A linear input, of which only the type is known.
    Linear(Type),
}

impl Operand {
    /// Whether the operand is linear.
    pub fn is_linear(&self) -> bool {
        matches!(self, Operand::Linear(_))
    }
    /// The value, if it is known.
    pub fn residual(&self) -> Option<Var> {
        match self {
            Operand::Residual(v) => Some(*v),
            Operand::Linear(_) => None,
        }
    }
}

/// The kind of derivative program that a JVP rule contributes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jvp {
    /// Values and tangents are computed together, nothing is stored.
    Forward,
    /// For linearisation, which splits the program: values first, tangents later; loops keep the residuals of their
    /// tangents.
    Split,
}

/// An operand of a batched equation: the value, and whether axis 0 is the batch.
pub type Batched = (Var, bool);

/// Arithmetic operations and bytes moved, for the cost model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations; a transcendental function counts as its usual number of them.
    pub flops: f64,
    /// Bytes read and written.
    pub bytes: f64,
}

impl core::ops::AddAssign for Cost {
    fn add_assign(&mut self, rhs: Self) {
        self.flops += rhs.flops;
        self.bytes += rhs.bytes;
    }
}

/// The documentation cell: what a reader of the op table sees.
#[derive(Clone, Copy, Debug)]
pub struct Doc {
    /// The name printed in programs.
    pub name: &'static str,
    /// The value, as a formula.
    pub formula: &'static str,
    /// The derivative, as a formula.
    pub derivative: &'static str,
    /// The domain, and what happens at kinks and ties.
    pub domain: &'static str,
}

/// One row of the op table.
pub trait Primitive {
    /// Name, formula, derivative, domain and kink convention.
    fn doc(&self) -> Doc;

    /// The shape rule: output types from input types, or what does not fit.
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind>;

    /// The reference value, slow and plain: the oracle that fast kernels are tested against.
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind>;

    /// Emits the primal into `b` and the tangents of its outputs. `tangents[i]` is `None` where input `i` has a
    /// zero tangent; at least one is not. Simple primitives emit themselves, then their derivative.
    fn jvp(
        &self,
        b: &mut Builder,
        mode: Jvp,
        inputs: &[Var],
        tangents: &[Option<Var>],
    ) -> Result<(Vars, Tangents)>;

    /// Emits, for a primitive linear in the operands marked linear, the cotangent of each of those from the
    /// cotangents of the outputs. Entries for residual operands are `None`.
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents>;

    /// Emits the primitive for a whole batch (axis 0 of every batched operand, `size` long) and says which
    /// outputs are batched.
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>>;

    /// Estimated work.
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost;
}

/// The error of a primitive that is not linear in what it is asked to be transposed for.
pub(crate) fn not_linear(op: &'static str) -> crate::Error {
    ErrorKind::NoTranspose {
        op,
        detail: "it is not linear in its operands; this is a defect of the linearisation".into(),
    }
    .into()
}

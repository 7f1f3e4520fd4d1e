//! A program as a value: a flat, typed, shape-checked list of equations in single-assignment form.
//!
//! A [`Graph`] is closed: everything it reads is an input, a constant or an earlier equation. Transforms take a
//! graph and give a graph; [`Builder`](crate::Builder) is the only way to make one, so every graph is well typed.

use std::fmt;
use std::hash::{Hash, Hasher};

use smallvec::SmallVec;

use crate::nest::level;
use crate::quick::Quick;
use crate::transforms::flow::Answers;
use crate::{DType, ErrorKind, Op, Phase, Shape, Site};

/// A value of a graph: an input or an output of an equation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var(pub(crate) u32);

impl Var {
    /// Its position in [`Graph::types`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Var {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("%{}", self.0))
    }
}

/// Dtype and shape of a value; its fields are read as `ty.dtype` and `ty.shape`.
///
/// Whoever has a `Type` has one that memory can hold: its shape has passed [`Shape::checked`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Type(Fields);

/// What a [`Type`] is made of; it cannot be changed there, because it has been checked.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fields {
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Shape,
}

impl std::ops::Deref for Type {
    type Target = Fields;
    fn deref(&self) -> &Fields {
        &self.0
    }
}

impl Type {
    /// Joins the two, where the shape is known to be sensible; [`checked`](Type::checked) is for all others.
    ///
    /// # Panics
    /// If no tensor can have the shape.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> Self {
        match Type::checked("type", dtype, shape) {
            Ok(ty) => ty,
            Err(kind) => panic!("{kind}"),
        }
    }
    /// Joins the two.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] on behalf of `op`, if no tensor can have the shape.
    pub fn checked(op: &'static str, dtype: DType, shape: impl Into<Shape>) -> Result<Self, ErrorKind> {
        Ok(Type(Fields { dtype, shape: shape.into().checked(op)? }))
    }
    /// The shape alone.
    pub fn into_shape(self) -> Shape {
        self.0.shape
    }
    /// Bytes of a value of this type.
    pub fn bytes(&self) -> usize {
        self.shape.size() * self.dtype.size()
    }
    /// The same dtype with another shape.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] on behalf of `op`, if no tensor can have the shape.
    pub fn with_shape(&self, op: &'static str, shape: impl Into<Shape>) -> Result<Self, ErrorKind> {
        Type::checked(op, self.dtype, shape)
    }
    /// The same shape with another dtype.
    pub fn with_dtype(&self, dtype: DType) -> Self {
        Type(Fields { dtype, shape: self.shape.clone() })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}
impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A short list of values.
pub type Vars = SmallVec<[Var; 4]>;

/// One application of a primitive. Two are equal whatever source lines they come from, if their phases are.
#[derive(Clone, Debug)]
pub struct Eqn {
    /// The primitive.
    pub op: Op,
    /// What it reads.
    pub inputs: Vars,
    /// What it defines.
    pub outputs: Vars,
    /// The user's line that asked for it; equations made by a transform inherit their primal's.
    pub site: Site,
    /// What it is for in a program with derivatives; of a constant always [`Phase::FORWARD`].
    pub phase: Phase,
}

impl PartialEq for Eqn {
    fn eq(&self, other: &Self) -> bool {
        self.phase == other.phase
            && self.op == other.op
            && self.inputs == other.inputs
            && self.outputs == other.outputs
    }
}

impl Hash for Eqn {
    // Without the phase: common equations are found by this hash, whatever their programs inside are for.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.op, &self.inputs, &self.outputs).hash(state);
    }
}

/// A closed program.
#[derive(Clone, Default)]
pub struct Graph {
    pub(crate) types: Vec<Type>,
    pub(crate) inputs: Vec<Var>,
    pub(crate) eqns: Vec<Eqn>,
    pub(crate) outputs: Vec<Var>,
    /// Levels of programs inside.
    pub(crate) depth: usize,
    pub(crate) answers: Answers,
}

impl PartialEq for Graph {
    fn eq(&self, other: &Self) -> bool {
        let parts = |g: &Self| (g.depth, g.types.len(), g.eqns.len());
        parts(self) == parts(other)
            && self.inputs == other.inputs
            && self.outputs == other.outputs
            && self.types == other.types
            && level(|| self.eqns == other.eqns)
    }
}

impl Hash for Graph {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Programs inside are hashed once, however many surround them.
        let hash = || {
            let mut quick = Quick::default();
            (&self.types, &self.inputs, &self.outputs).hash(&mut quick);
            level(|| self.eqns.hash(&mut quick));
            quick.finish()
        };
        state.write_u64(*self.answers.hash.get_or_init(hash));
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.depth > 0 {
            level(|| self.eqns.clear());
        }
    }
}

impl Graph {
    /// An estimate of the bytes that its equations and types take, without those of sub-graphs.
    pub fn own_bytes(&self) -> usize {
        size_of::<Graph>() + size_of_val(self.eqns()) + size_of_val(self.types())
    }
    /// The type of every value, by [`Var::index`].
    pub fn types(&self) -> &[Type] {
        &self.types
    }
    /// The inputs, in order.
    pub fn inputs(&self) -> &[Var] {
        &self.inputs
    }
    /// The equations, each after those it reads.
    pub fn eqns(&self) -> &[Eqn] {
        &self.eqns
    }
    /// The outputs, in order; a value may appear more than once, and an input may be an output.
    pub fn outputs(&self) -> &[Var] {
        &self.outputs
    }
    /// The type of a value.
    pub fn ty(&self, var: Var) -> &Type {
        &self.types[var.index()]
    }
    /// The types of the inputs.
    pub fn input_types(&self) -> Vec<Type> {
        self.inputs.iter().map(|&v| self.ty(v).clone()).collect()
    }
    /// The types of the outputs.
    pub fn output_types(&self) -> Vec<Type> {
        self.outputs.iter().map(|&v| self.ty(v).clone()).collect()
    }

    /// For every value, whether it depends on one of the marked inputs.
    pub fn depends_on(&self, marked: &[bool]) -> Vec<bool> {
        let mut depends = vec![false; self.types.len()];
        for (&v, &m) in self.inputs.iter().zip(marked) {
            depends[v.index()] = m;
        }
        for eqn in &self.eqns {
            if eqn.inputs.iter().any(|v| depends[v.index()]) {
                for v in &eqn.outputs {
                    depends[v.index()] = true;
                }
            }
        }
        depends
    }

    /// How many levels of programs lie inside, bodies of control flow and of calls: 0 if there are none.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Whether something in it must not be run again: see [`Purity`](crate::ops::Purity).
    pub fn runs_once(&self) -> bool {
        let find = || level(|| self.eqns.iter().any(|eqn| eqn.op.runs_once()));
        *self.answers.once.get_or_init(find)
    }

    /// How deep derivatives nest in it and in programs inside: 0 without a backward pass.
    pub fn levels(&self) -> u8 {
        let inside = |eqn: &Eqn| eqn.op.graphs().iter().map(|g| g.levels()).max().unwrap_or(0);
        let find = || level(|| self.eqns.iter().map(|e| e.phase.level.max(inside(e))).max().unwrap_or(0));
        *self.answers.levels.get_or_init(find)
    }

    /// Whether it computes the same as another, whatever its equations are for.
    pub fn computes_the_same(&self, other: &Graph) -> bool {
        let same = |a: &Eqn, b: &Eqn| {
            a.inputs == b.inputs && a.outputs == b.outputs && a.op.computes_the_same(&b.op)
        };
        let parts = |g: &Self| (g.depth, g.types.len(), g.eqns.len());
        parts(self) == parts(other)
            && self.inputs == other.inputs
            && self.outputs == other.outputs
            && self.types == other.types
            && level(|| self.eqns.iter().zip(&other.eqns).all(|(a, b)| same(a, b)))
    }

    /// Whether two equal graphs come from the same lines and scopes, too.
    pub fn same_sites(&self, other: &Graph) -> bool {
        let sub_graphs =
            |a: &Eqn, b: &Eqn| a.op.graphs().iter().zip(b.op.graphs()).all(|(a, b)| a.same_sites(b));
        self.eqns.iter().zip(&other.eqns).all(|(a, b)| a.site.same(&b.site) && sub_graphs(a, b))
    }

    /// The number of equations, those of sub-graphs included.
    pub fn len(&self) -> usize {
        if self.depth == 0 {
            return self.eqns.len();
        }
        level(|| self.eqns.iter().map(|e| 1 + e.op.graphs().iter().map(|g| g.len()).sum::<usize>()).sum())
    }

    /// Whether there is no equation.
    pub fn is_empty(&self) -> bool {
        self.eqns.is_empty()
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        let pad = " ".repeat(indent);
        let names = |vars: &[Var]| vars.iter().map(Var::to_string).collect::<Vec<_>>().join(", ");
        let params: Vec<String> = self.inputs.iter().map(|&v| format!("{v}: {}", self.ty(v))).collect();
        writeln!(f, "{pad}fn({}) {{", params.join(", "))?;
        for eqn in &self.eqns {
            let types: Vec<String> = eqn.outputs.iter().map(|&v| self.ty(v).to_string()).collect();
            let args = if eqn.inputs.is_empty() { String::new() } else { format!(" {}", names(&eqn.inputs)) };
            writeln!(f, "{pad}  {}: {} = {}{args}", names(&eqn.outputs), types.join(", "), eqn.op)?;
            for sub in eqn.op.graphs() {
                level(|| sub.write(f, indent + 4))?;
            }
        }
        writeln!(f, "{pad}  return {}", names(&self.outputs))?;
        writeln!(f, "{pad}}}")
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

//! The only way to make a [`Graph`]: every equation is type-checked as it is emitted.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::finite;
use crate::graph::{Eqn, Graph, Type, Var, Vars};
use crate::nest::{DEEPEST, level};
use crate::ops::{self, Op};
use crate::quick::Map;
use crate::{Array, Binary, DType, Error, ErrorKind, Phase, Result, Shape, Site};

/// The zero of a tangent or cotangent that no active path reaches; a tangent that is 0 is the other zero.
///
/// Dead are the branch that a selection does not take, what pads and scatters leave free, zeros of a seed and symbolic
/// zeros. What is dead stays dead whatever it is multiplied with, and a *number* that is zero does not: 0 · ∞ is NaN. That a
/// sum is dead only if all its parts are is what addition does with the two zeros, and so does all that moves, repeats and
/// selects elements.
pub const DEAD: f64 = -0.0;

/// Equations from which on a finished program gives back what its list does not use, if that is much.
const LONG: usize = 1024;

/// A graph under construction.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    graph: Graph,
    origin: Origin,
    /// The phase of each value.
    phases: Vec<Phase>,
    /// The level of what transposition makes here; 0 where it makes rules, which are forward.
    level: u8,
    fulls: Map<(Type, u64), Var>,
}

/// Where equations come from: the user's line, and what they are for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// The source line and the scope.
    pub site: Site,
    /// The phase. What is forward by this and reads a gradient is an update.
    pub phase: Phase,
}

impl Eqn {
    /// Its line and its phase.
    pub fn origin(&self) -> Origin {
        Origin { site: self.site.clone(), phase: self.phase }
    }
}

impl Builder {
    /// An empty program.
    pub fn new() -> Self {
        Builder::default()
    }

    /// An empty program that will have about as many equations as another.
    pub fn sized(like: &Graph) -> Self {
        let mut b = Builder::new();
        b.reserve(like);
        b
    }

    fn reserve(&mut self, like: &Graph) {
        self.graph.eqns.reserve(like.eqns().len());
        self.graph.types.reserve(like.types().len());
    }

    /// A program to go on with.
    pub(crate) fn resume(graph: Graph) -> Self {
        let full = |eqn: &Eqn| match &eqn.op {
            Op::Full(full) => {
                Some(((graph.ty(eqn.outputs[0]).clone(), full.value.to_bits()), eqn.outputs[0]))
            }
            _ => None,
        };
        let fulls = graph.eqns.iter().filter_map(full).collect();
        let mut phases = vec![Phase::FORWARD; graph.types.len()];
        for eqn in &graph.eqns {
            eqn.outputs.iter().for_each(|v| phases[v.index()] = eqn.phase);
        }
        Builder { fulls, graph, phases, ..Builder::default() }
    }

    /// Adds an input.
    pub fn input(&mut self, ty: Type) -> Var {
        let var = self.fresh(ty);
        self.graph.inputs.push(var);
        var
    }

    /// Sets the source line that following equations belong to, and returns the one before.
    pub fn set_site(&mut self, site: Site) -> Site {
        std::mem::replace(&mut self.origin.site, site)
    }

    /// Sets where following equations come from, and returns what was set before.
    pub fn set_origin(&mut self, origin: Origin) -> Origin {
        std::mem::replace(&mut self.origin, origin)
    }

    /// An empty program that an equation of this one will carry: what is emitted there has the same origin, what is transposed
    /// there the same level.
    pub fn inside(&self) -> Builder {
        Builder { origin: self.origin.clone(), level: self.level, ..Builder::default() }
    }

    /// Starts the backward pass of a derivative of this level: the following equations are backward.
    pub(crate) fn go_back(&mut self, level: u8) {
        self.level = level;
        self.origin = Origin { site: Site::default(), phase: self.transposed(Phase::FORWARD) };
    }

    /// The phase of what transposition makes here of an equation of phase `of`.
    pub(crate) fn transposed(&self, of: Phase) -> Phase {
        if self.level == 0 { of } else { Phase::backward(self.level) }
    }

    /// Closes the program.
    pub fn finish(mut self, outputs: Vec<Var>) -> Graph {
        self.graph.outputs = outputs;
        self.graph.answers = Default::default();
        let wasted = self.graph.eqns.capacity() - self.graph.eqns.len();
        if self.graph.eqns.len() >= LONG && wasted > self.graph.eqns.len() / 2 {
            self.graph.eqns.shrink_to_fit();
            self.graph.types.shrink_to_fit();
        }
        self.graph
    }

    /// The program so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The type of a value.
    pub fn ty(&self, var: Var) -> &Type {
        self.graph.ty(var)
    }
    /// The shape of a value.
    pub fn shape(&self, var: Var) -> &Shape {
        &self.graph.ty(var).shape
    }
    /// The dtype of a value.
    pub fn dtype(&self, var: Var) -> DType {
        self.graph.ty(var).dtype
    }

    fn fresh(&mut self, ty: Type) -> Var {
        self.graph.types.push(ty);
        self.phases.push(Phase::FORWARD);
        Var(self.graph.types.len() as u32 - 1)
    }

    /// Appends an equation and returns its outputs; one without outputs is only checked.
    ///
    /// # Errors
    /// If the operands do not fit the primitive's shape rule.
    pub fn emit(&mut self, op: impl Into<Op>, inputs: &[Var]) -> Result<Vars> {
        crate::nest::count();
        let op = op.into();
        let types: SmallVec<[Type; 4]> = inputs.iter().map(|&v| self.ty(v).clone()).collect();
        let at = |kind| Error::new(kind, self.origin.site.clone());
        let inside = op.graphs().iter().map(|g| g.depth() + 1).max().unwrap_or(0);
        if inside > DEEPEST {
            return Err(at(ErrorKind::Nesting { op: op.name() }));
        }
        let types = op.row().infer(&types).map_err(at)?;
        self.graph.depth = self.graph.depth.max(inside);
        let outputs: Vars = types.into_iter().map(|ty| self.fresh(ty)).collect();
        // A loop or a branch without results, which has no readers: every equation has a first output.
        if outputs.is_empty() {
            return Ok(outputs);
        }
        self.push(op, inputs, &outputs);
        Ok(outputs)
    }

    /// The phase of an equation emitted now.
    fn phase_of(&self, op: &Op, inputs: &[Var]) -> Phase {
        match (op, self.origin.phase) {
            (Op::Full(_), _) => Phase::FORWARD,
            (_, Phase::FORWARD) => Phase::reading(inputs.iter().map(|v| self.phases[v.index()])),
            (_, phase) => phase,
        }
    }

    /// An equation that exists already: it belongs to the earlier phase of the two.
    pub fn share(&mut self, equation: usize) {
        let eqn = &self.graph.eqns[equation];
        let phase = eqn.phase.min(self.phase_of(&eqn.op, &eqn.inputs));
        let eqn = &mut self.graph.eqns[equation];
        eqn.phase = phase;
        eqn.outputs.iter().for_each(|v| self.phases[v.index()] = phase);
    }

    fn push(&mut self, op: Op, inputs: &[Var], outputs: &[Var]) {
        let (site, phase) = (self.origin.site.clone(), self.phase_of(&op, inputs));
        outputs.iter().for_each(|v| self.phases[v.index()] = phase);
        let (inputs, outputs) = (Vars::from_slice(inputs), Vars::from_slice(outputs));
        self.graph.eqns.push(Eqn { op, inputs, outputs, site, phase });
    }

    /// Appends an equation with one output.
    pub fn emit1(&mut self, op: impl Into<Op>, inputs: &[Var]) -> Result<Var> {
        Ok(self.emit(op, inputs)?[0])
    }

    /// The constant `value`, repeated to a type; equal constants are one value.
    pub fn full(&mut self, ty: &Type, value: f64) -> Var {
        let key = (ty.clone(), value.to_bits());
        if let Some(&var) = self.fulls.get(&key) {
            return var;
        }
        let op = ops::Full { value, dtype: ty.dtype, shape: ty.shape.clone() };
        let outputs: Vars = smallvec![self.fresh(ty.clone())];
        let var = outputs[0];
        self.push(op.into(), &[], &outputs);
        self.fulls.insert(key, var);
        var
    }

    /// Zeros of the type of `like`.
    pub fn zeros_like(&mut self, like: Var) -> Var {
        let ty = self.ty(like).clone();
        self.full(&ty, 0.0)
    }

    /// `tangent`, or [`DEAD`] of type `ty` where it is a symbolic zero.
    pub fn instantiate(&mut self, tangent: Option<Var>, ty: &Type) -> Var {
        tangent.unwrap_or_else(|| self.full(ty, DEAD))
    }

    /// A dead tangent of `like`.
    pub fn dead_tangent(&mut self, like: Var) -> Var {
        let ty = self.ty(like).clone();
        self.full(&ty, DEAD)
    }

    /// `-tangent`; what is dead stays so.
    pub fn negate_tangent(&mut self, tangent: Var) -> Result<Var> {
        let ty = self.ty(tangent).clone();
        let minus = self.full(&ty, -1.0);
        self.emit1(ops::LinearMul::RESIDUAL, &[minus, tangent])
    }

    /// A value in another dtype, itself where it has that.
    pub fn cast(&mut self, var: Var, dtype: DType) -> Result<Var> {
        if self.dtype(var) == dtype { Ok(var) } else { self.emit1(ops::Cast(dtype), &[var]) }
    }

    /// A tangent as callers of a program pass it: its zeros are [`DEAD`].
    pub(crate) fn seed(&mut self, tangent: Var) -> Result<Var> {
        // Zero less either zero is 0, and `DEAD` less that is dead. A selection would do it too, but it is not linear in the
        // tangent.
        let zero = self.zeros_like(tangent);
        let minus = self.emit1(Binary::Sub, &[zero, tangent])?;
        let ty = self.ty(tangent).clone();
        let dead = self.full(&ty, DEAD);
        self.emit1(Binary::Sub, &[dead, minus])
    }

    /// Tangents as callers of a program take them. Their zeros are numbers, but for those of loops and sums. Nothing else is
    /// emitted afterwards.
    pub(crate) fn outside(&mut self, tangents: Vec<Option<Var>>, types: &[Type]) -> Result<Vec<Var>> {
        let mut readers = vec![0; self.graph.types().len()];
        let read = self.graph.eqns.iter().flat_map(|e| &e.inputs).chain(tangents.iter().flatten());
        read.for_each(|v| readers[v.index()] += 1);
        let mut made = vec![None; readers.len()];
        for (i, eqn) in self.graph.eqns.iter().enumerate() {
            eqn.outputs.iter().for_each(|v| made[v.index()] = Some(i));
        }
        let mut out = Vec::with_capacity(tangents.len());
        for (tangent, ty) in tangents.into_iter().zip(types) {
            let Some(mut v) = tangent else {
                out.push(self.full(ty, 0.0));
                continue;
            };
            // A copy is of the phase of what it copies.
            self.origin.phase = self.phases[v.index()];
            // For the sign of their zeros, what loops and sums give is not copied.
            let mut maker = made[v.index()].map(|i| &self.graph.eqns[i]);
            while let Some(eqn) = maker.filter(|e| matches!(e.op, Op::Reshape(_) | Op::Permute(_))) {
                maker = made[eqn.inputs[0].index()].map(|i| &self.graph.eqns[i]);
            }
            let copied = maker.is_some_and(|e| matches!(e.op, Op::Reduce(_)) || !e.op.graphs().is_empty());
            if self.dtype(v).is_float() && !copied && !self.contraction_of_numbers(v, &readers, &made) {
                let zero = self.zeros_like(v);
                v = self.emit1(Binary::Add, &[v, zero])?;
            }
            out.push(v);
        }
        Ok(out)
    }

    /// Whether a value is a contraction, moved at most, that nobody else reads: it gives numbers then.
    fn contraction_of_numbers(&mut self, mut v: Var, readers: &[u32], made: &[Option<usize>]) -> bool {
        while let Some(i) = made[v.index()].filter(|_| readers[v.index()] == 1) {
            let eqn = &mut self.graph.eqns[i];
            match &mut eqn.op {
                Op::Reshape(_) | Op::Permute(_) | Op::Reverse(_) => v = eqn.inputs[0],
                Op::Dot(dot) => {
                    Arc::make_mut(dot).numbers = true;
                    return true;
                }
                Op::Conv(conv) => {
                    Arc::make_mut(conv).numbers = true;
                    return true;
                }
                _ => return false,
            }
        }
        false
    }

    /// The sum of two tangents, either of which may be a symbolic zero.
    pub fn add_tangents(&mut self, a: Option<Var>, b: Option<Var>) -> Result<Option<Var>> {
        match (a, b) {
            (Some(a), Some(b)) => self.emit1(Binary::Add, &[a, b]).map(Some),
            (one, other) => Ok(one.or(other)),
        }
    }

    /// Copies the equations of `graph` with `args` for its inputs and returns its outputs.
    pub fn inline(&mut self, graph: &Graph, args: &[Var]) -> Result<Vec<Var>> {
        assert_eq!(graph.inputs().len(), args.len(), "inline: a graph takes as many values as it has inputs");
        self.reserve(graph);
        let mut map: Vec<Option<Var>> = vec![None; graph.types().len()];
        for (input, &arg) in graph.inputs().iter().zip(args) {
            map[input.index()] = Some(arg);
        }
        for eqn in graph.eqns() {
            self.copy_eqn(graph, eqn, &mut map)?;
        }
        Ok(graph.outputs().iter().map(|v| map[v.index()].expect("outputs are defined")).collect())
    }

    /// Appends an equation of another graph on new operands. Where they have the types of the old ones, so have the results.
    ///
    /// # Errors
    /// As for [`emit`](Self::emit).
    pub fn emit_again(&mut self, graph: &Graph, eqn: &Eqn, inputs: &[Var]) -> Result<Vars> {
        let same = eqn.inputs.len() == inputs.len()
            && eqn.inputs.iter().zip(inputs).all(|(old, new)| graph.ty(*old) == self.ty(*new));
        if !same {
            return self.emit(eqn.op.clone(), inputs);
        }
        Ok(self.emit_same(graph, eqn, inputs))
    }

    /// Appends an equation of another graph on operands that have the types of the old ones.
    pub fn emit_same(&mut self, graph: &Graph, eqn: &Eqn, inputs: &[Var]) -> Vars {
        crate::nest::count();
        debug_assert!(eqn.inputs.iter().zip(inputs).all(|(old, new)| graph.ty(*old) == self.ty(*new)));
        let inside = eqn.op.graphs().iter().map(|g| g.depth() + 1).max().unwrap_or(0);
        self.graph.depth = self.graph.depth.max(inside);
        let outputs: Vars = eqn.outputs.iter().map(|v| self.fresh(graph.ty(*v).clone())).collect();
        self.push(eqn.op.clone(), inputs, &outputs);
        outputs
    }

    /// Copies one equation of `graph`, renaming its operands by `map` and recording its results there.
    pub(crate) fn copy_eqn(&mut self, graph: &Graph, eqn: &Eqn, map: &mut [Option<Var>]) -> Result<()> {
        if let Op::Full(full) = &eqn.op {
            let ty = Type::new(full.dtype, full.shape.clone());
            map[eqn.outputs[0].index()] = Some(self.full(&ty, full.value));
            return Ok(());
        }
        let args: Vars = eqn.inputs.iter().map(|v| map[v.index()].expect("operands come first")).collect();
        let outer = self.set_origin(eqn.origin());
        let outputs = self.emit_again(graph, eqn, &args);
        self.set_origin(outer);
        for (old, new) in eqn.outputs.iter().zip(outputs?) {
            map[old.index()] = Some(new);
        }
        Ok(())
    }
}

/// Runs a graph on host arrays with the reference implementations, freeing values after their last use.
///
/// # Errors
/// If the arguments do not have the input types, or a primitive fails on its data (an index out of range).
pub fn interpret(graph: &Graph, args: &[Array]) -> Result<Vec<Array>> {
    check_arguments(graph, args)?;
    level(|| interpret_checked(graph, args))
}

fn interpret_checked(graph: &Graph, args: &[Array]) -> Result<Vec<Array>> {
    let mut last_use = vec![usize::MAX; graph.types().len()];
    for (i, eqn) in graph.eqns().iter().enumerate() {
        for v in &eqn.inputs {
            last_use[v.index()] = i;
        }
    }
    for v in graph.outputs() {
        last_use[v.index()] = usize::MAX;
    }
    let mut values: Vec<Option<Array>> = vec![None; graph.types().len()];
    for (v, a) in graph.inputs().iter().zip(args) {
        values[v.index()] = Some(a.clone());
    }
    let watching = finite::watching();
    for (i, eqn) in graph.eqns().iter().enumerate() {
        let inputs: SmallVec<[&Array; 4]> =
            eqn.inputs.iter().map(|v| values[v.index()].as_ref().expect("operands come first")).collect();
        let outputs = eqn.op.evaluate(&inputs).map_err(|kind| Error::new(kind, eqn.site.clone()))?;
        if watching {
            finite::watch(eqn, &inputs, &outputs);
        }
        drop(inputs);
        for v in &eqn.inputs {
            if last_use[v.index()] == i {
                values[v.index()] = None;
            }
        }
        for (v, out) in eqn.outputs.iter().zip(outputs) {
            values[v.index()] = Some(out);
        }
    }
    Ok(graph.outputs().iter().map(|v| values[v.index()].clone().expect("outputs are defined")).collect())
}

/// Checks that the arguments have the types of the graph's inputs.
pub fn check_arguments(graph: &Graph, args: &[Array]) -> Result<()> {
    let detail = |detail: String| crate::ErrorKind::Argument { op: "call", detail };
    if graph.inputs().len() != args.len() {
        return Err(detail(format!(
            "the program takes {} arguments, {} were given",
            graph.inputs().len(),
            args.len()
        ))
        .into());
    }
    for (i, (&v, a)) in graph.inputs().iter().zip(args).enumerate() {
        let ty = graph.ty(v);
        if ty.dtype != a.dtype() || &ty.shape != a.shape() {
            return Err(detail(format!(
                "argument {i} is {}{}, but the program was recorded for {ty}",
                a.dtype(),
                a.shape()
            ))
            .into());
        }
    }
    Ok(())
}

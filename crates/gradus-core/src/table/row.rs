//! What a row of the op table holds: a primitive's name and documentation, and the cases it is checked on.

use super::random::Sampled;
use crate::graph::Vars;
use crate::{Array, Builder, Doc, Graph, Op, Result};

/// A definition of the results, for primitives that carry sub-programs.
pub type Definition = fn(&[Array]) -> Vec<Array>;

/// One instance of a primitive: parameters, operand types and where their values come from.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it.
    pub label: &'static str,
    /// The primitive.
    pub op: Op,
    /// Its operands.
    pub operands: Vec<Sampled>,
    /// The sets of operands it is linear in, the others fixed.
    pub linear: Vec<Vec<usize>>,
    /// Whether it is there for its edge (an empty axis, an axis of one): values and shapes count, there may be
    /// nothing to differentiate.
    pub edge: bool,
    /// The results by definition; where it is `None` the formula, written a second time, is used.
    pub definition: Option<Definition>,
}

impl Case {
    pub(super) fn new(label: &'static str, op: impl Into<Op>, operands: &[Sampled]) -> Self {
        let (op, operands) = (op.into(), operands.to_vec());
        Case { label, op, operands, linear: Vec::new(), edge: false, definition: None }
    }

    pub(super) fn linear(mut self, sets: &[&[usize]]) -> Self {
        self.linear = sets.iter().map(|s| s.to_vec()).collect();
        self
    }

    pub(super) fn edge(mut self) -> Self {
        self.edge = true;
        self
    }

    pub(super) fn defined(mut self, definition: Definition) -> Self {
        self.definition = Some(definition);
        self
    }

    /// The program that is the primitive alone.
    pub fn graph(&self) -> Result<Graph> {
        let mut b = Builder::new();
        let args: Vars = self.operands.iter().map(|s| b.input(s.ty.clone())).collect();
        let outputs = b.emit(self.op.clone(), &args)?;
        Ok(b.finish(outputs.to_vec()))
    }
}

/// A row of the op table.
#[derive(Clone, Debug)]
pub struct Row {
    /// The primitive's name, with the parameter that makes it another function (`powi(3)`).
    pub name: String,
    /// Formula, derivative, domain.
    pub doc: Doc,
    /// The instances checked.
    pub cases: Vec<Case>,
}

impl Row {
    pub(super) fn of(cases: Vec<Case>) -> Self {
        let op = &cases[0].op;
        let name = match op {
            Op::Unary(op) => op.to_string(),
            other => other.name().to_string(),
        };
        Row { name, doc: op.row().doc(), cases }
    }
}

//! Values of a recording at a known point, computed as they are read.
//!
//! A read runs the equations recorded since the one before, and keeps those results that somebody still holds: nothing
//! else can be used again. So `k` reads in a recording of `n` equations run `n` equations, in at most `k` programs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Weak};

use gradus_core::graph::Vars;
use gradus_core::{Builder, Graph, Op, Result, Type, Var, transforms};

use crate::Tensor;
use crate::trace::Traced;

/// What is known of a recording.
#[derive(Default)]
pub(crate) struct Known {
    /// Equations that have run.
    equations: usize,
    /// Inputs whose values are set.
    inputs: usize,
    values: HashMap<Var, Tensor>,
    /// The handles of each value, by its index: one for all tensors that are the value.
    handles: Vec<Weak<Traced>>,
    /// The equation that defines each value, by its index; inputs have none.
    origins: Vec<Option<usize>>,
    /// How many values there may be before those that nobody holds are searched for.
    most: usize,
}

/// Equations to run: a program, its arguments, and which values it gives.
pub(crate) struct Segment {
    pub(crate) graph: Graph,
    pub(crate) arguments: Vec<Tensor>,
    pub(crate) results: Vec<Var>,
    /// The number of equations of the recording that have run after it.
    pub(crate) equations: usize,
}

impl Known {
    /// The handle of a value, created if necessary.
    pub(crate) fn handle(&mut self, var: Var, make: impl FnOnce() -> Traced) -> Arc<Traced> {
        if self.handles.len() <= var.index() {
            self.handles.resize(var.index() + 1, Weak::new());
        }
        let known = &mut self.handles[var.index()];
        known.upgrade().unwrap_or_else(|| {
            let handle = Arc::new(make());
            *known = Arc::downgrade(&handle);
            handle
        })
    }

    pub(crate) fn value(&self, var: Var) -> Option<Tensor> {
        self.values.get(&var).cloned()
    }

    /// The program of all equations of `graph` that have not run, from values that are known to `var` and all other
    /// values that are held.
    ///
    /// A value that has been let go, because nobody held it, may be read again where the recording itself shares it, as
    /// it does constants: then what computes it runs again.
    pub(crate) fn segment(
        &mut self,
        graph: &Graph,
        var: Var,
        point: &[Tensor],
        captures: &[Tensor],
    ) -> Result<Segment> {
        let given = point.iter().chain(captures).skip(self.inputs);
        self.values.extend(graph.inputs()[self.inputs..].iter().copied().zip(given.cloned()));
        self.inputs = graph.inputs().len();
        self.origins.resize(graph.types().len(), None);
        let new = self.equations..graph.eqns().len();
        let mut results = Vec::new();
        for i in new.clone() {
            for &v in &graph.eqns()[i].outputs {
                self.origins[v.index()] = Some(i);
                if held(&self.handles, v) {
                    results.push(v);
                }
            }
        }
        let (mut wanted, mut read) = (BTreeSet::new(), HashSet::new());
        let mut arguments = Vec::new();
        let mut pending: Vec<usize> = new.clone().rev().collect();
        if let Some(origin) = self.origins[var.index()].filter(|i| !new.contains(i)) {
            results.push(var);
            pending.push(origin);
        }
        while let Some(i) = pending.pop() {
            if !wanted.insert(i) {
                continue;
            }
            for &v in &graph.eqns()[i].inputs {
                if read.insert(v) {
                    match self.origins[v.index()] {
                        Some(origin) if !self.values.contains_key(&v) => pending.push(origin),
                        _ => arguments.push(v),
                    }
                }
            }
        }
        let mut b = Builder::new();
        let mut map: HashMap<Var, Var> =
            arguments.iter().map(|&v| (v, b.input(graph.ty(v).clone()))).collect();
        for i in wanted {
            let eqn = &graph.eqns()[i];
            let outputs = match &eqn.op {
                Op::Full(p) => [b.full(&Type::new(p.dtype, p.shape.clone()), p.value)].into_iter().collect(),
                op => {
                    let operands: Vars = eqn.inputs.iter().map(|v| map[v]).collect();
                    b.set_origin(eqn.origin());
                    b.emit(op.clone(), &operands)?
                }
            };
            map.extend(eqn.outputs.iter().copied().zip(outputs));
        }
        let outputs = results.iter().map(|v| map[v]).collect();
        Ok(Segment {
            graph: transforms::prune(b.finish(outputs)),
            arguments: arguments.iter().filter_map(|v| self.value(*v)).collect(),
            results,
            equations: graph.eqns().len(),
        })
    }

    /// Takes the results of a segment. Gives values that nobody holds any more, to be dropped.
    pub(crate) fn learn(
        &mut self,
        equations: usize,
        results: impl IntoIterator<Item = (Var, Tensor)>,
    ) -> Vec<Tensor> {
        self.equations = self.equations.max(equations);
        self.values.extend(results);
        if self.values.len() <= self.most {
            return Vec::new();
        }
        // Captures are found again without a handle.
        let (handles, origins) = (&self.handles, &self.origins);
        let dead = self.values.extract_if(|&v, _| !held(handles, v) && origins[v.index()].is_some());
        let dead = dead.map(|(_, value)| value).collect();
        self.most = 2 * self.values.len() + 16;
        dead
    }
}

fn held(handles: &[Weak<Traced>], var: Var) -> bool {
    handles.get(var.index()).is_some_and(|handle| handle.strong_count() > 0)
}

//! Full Jacobians and Hessians by coloured passes, where the sparsity pattern makes these cheaper.
//!
//! Looking for a pattern costs some evaluations of the function, so it is done when a matrix (or its plan) is first asked
//! for, and only from a size on at which there is something to gain. A pattern is used only if it holds at every point:
//! the function must not have compared or read a number that depends on its inputs.

use std::cell::OnceCell;
use std::vec::Vec;

use super::plan::Plan;
use super::{ScalarFn, VectorFn};
use crate::sparse::{HessianPasses, JacobianPasses, Pattern, Scope, detect_hessian, detect_jacobian};

/// Fewer inputs, or outputs, go through in one or two passes anyway: for one matrix a pattern is not worth looking for.
const FROM: usize = 16;
/// For many matrices it may be: narrower passes are cheaper. But not where the matrix is as small as this.
const FEW_ENTRIES: usize = FROM * FROM;
/// What coloured passes may cost at most, as a part of the full matrix's cost: the model is rough.
const PAYS: f64 = 0.97;

/// The passes, once computed, and memory for the values.
struct Kept<P> {
    point: Vec<f64>,
    found: OnceCell<Option<(P, Vec<f64>)>>,
}

impl<P> Kept<P> {
    fn at(x: &[f64], from: usize) -> Self {
        if x.len() < from {
            return Self::never();
        }
        Kept { point: x.to_vec(), found: OnceCell::new() }
    }

    fn never() -> Self {
        Kept { point: Vec::new(), found: OnceCell::from(None) }
    }
}

fn scatter(pattern: &Pattern, values: &[f64], full: &mut [f64]) {
    full.fill(0.0);
    let n = pattern.cols();
    for i in 0..pattern.rows() {
        let row = &mut full[i * n..(i + 1) * n];
        for (&j, &value) in pattern.row(i).iter().zip(&values[pattern.row_range(i)]) {
            row[j as usize] = value;
        }
    }
}

/// Coloured passes for a driver's Hessians.
pub(super) struct ColouredHessian(Kept<HessianPasses>);

impl ColouredHessian {
    /// To be found at `x`.
    pub(super) fn at(x: &[f64]) -> Self {
        ColouredHessian(Kept::at(x, FROM))
    }

    /// Never searched for.
    pub(super) fn never() -> Self {
        ColouredHessian(Kept::never())
    }

    fn find<F: ScalarFn>(&self, f: &F, full: &Plan) -> Option<&HessianPasses> {
        let find = || {
            let pattern = detect_hessian(f, &self.0.point, Scope::Everywhere)?;
            let values = vec![0.0; pattern.nonzeros()];
            let passes = HessianPasses::direct(pattern, full.counts());
            (passes.chosen().ratio < PAYS * full.cost()).then_some((passes, values))
        };
        self.0.found.get_or_init(find).as_ref().map(|(passes, _)| passes)
    }

    /// The plan, if coloured passes are cheaper than `full`.
    pub(super) fn plan<F: ScalarFn>(&self, f: &F, full: &Plan) -> Option<Plan> {
        self.find(f, full).map(|passes| full.coloured(passes.chosen(), passes.explain()))
    }

    /// Writes gradient and Hessian and returns `f(x)`, if coloured passes are cheaper than `full`.
    pub(super) fn evaluate<F: ScalarFn>(
        &mut self,
        f: &F,
        full: &Plan,
        x: &[f64],
        gradient: &mut [f64],
        hessian: &mut [f64],
    ) -> Option<f64> {
        self.find(f, full)?;
        let (passes, values) = self.0.found.get_mut()?.as_mut()?;
        let value = passes.evaluate_into(f, x, gradient, values, None);
        scatter(passes.pattern(), values, hessian);
        Some(value)
    }
}

/// Coloured passes for a driver's Jacobians.
pub(super) struct ColouredJacobian(Kept<JacobianPasses>);

impl ColouredJacobian {
    /// To be found at `x`, for many Jacobians with `outputs` rows.
    pub(super) fn at(x: &[f64], outputs: usize) -> Self {
        if outputs < 2 || x.len() * outputs < FEW_ENTRIES { Self::never() } else { Self(Kept::at(x, 2)) }
    }

    /// To be found at `x`, for one Jacobian with `outputs` rows.
    pub(super) fn once(x: &[f64], outputs: usize) -> Self {
        if outputs < FROM { Self::never() } else { Self(Kept::at(x, FROM)) }
    }

    /// Never searched for.
    pub(super) fn never() -> Self {
        ColouredJacobian(Kept::never())
    }

    fn find<F: VectorFn>(&self, f: &F, full: &Plan) -> Option<&JacobianPasses> {
        let find = || {
            let pattern = detect_jacobian(f, &self.0.point, Scope::Everywhere)?;
            let values = vec![0.0; pattern.nonzeros()];
            let passes = JacobianPasses::new(pattern, full.counts());
            (passes.cost() < PAYS * full.cost()).then_some((passes, values))
        };
        self.0.found.get_or_init(find).as_ref().map(|(passes, _)| passes)
    }

    /// The plan, if coloured passes are cheaper than `full`.
    pub(super) fn plan<F: VectorFn>(&self, f: &F, full: &Plan) -> Option<Plan> {
        self.find(f, full).map(|passes| full.coloured(passes.summary(), passes.explain()))
    }

    /// Writes the values and the Jacobian, if coloured passes are cheaper than `full`; says whether it did.
    pub(super) fn evaluate<F: VectorFn>(
        &mut self,
        f: &F,
        full: &Plan,
        x: &[f64],
        y: &mut [f64],
        jacobian: &mut [f64],
    ) -> bool {
        if self.find(f, full).is_none() {
            return false;
        }
        let Some(Some((passes, values))) = self.0.found.get_mut() else { return false };
        passes.evaluate_into(f, x, values, None);
        y.copy_from_slice(passes.outputs());
        scatter(passes.pattern(), values, jacobian);
        true
    }
}

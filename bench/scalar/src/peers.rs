//! How each of the other crates computes a gradient or Hessian, at its own best settings for repeated calls.

use ad_trait::AD;
use ad_trait::differentiable_function::{
    DifferentiableFunctionTrait, ForwardADMulti, HessianAD_FOR, ReverseAD,
};
use ad_trait::forward_ad::adfn::adfn;
use ad_trait::function_engine::FunctionEngine;
use ad_trait::hyper_ad::hyper_adr::HyperAD_ADR;
use ad_trait::reverse_ad::adr::adr;
use echidna::DualVec;

/// A function as `ad_trait` takes it: one wrapper for each number type.
pub struct Wrapped<T: AD> {
    pub f: fn(&[T]) -> T,
    pub inputs: usize,
}

impl<T: AD> DifferentiableFunctionTrait<T> for Wrapped<T> {
    const NAME: &'static str = "wrapped";
    fn call(&self, inputs: &[T], _freeze: bool) -> Vec<T> {
        vec![(self.f)(inputs)]
    }
    fn num_inputs(&self) -> usize {
        self.inputs
    }
    fn num_outputs(&self) -> usize {
        1
    }
}

/// `ad_trait` in reverse: value and gradient summed.
pub fn ad_trait_reverse(f64_f: fn(&[f64]) -> f64, f: fn(&[adr]) -> adr, x: Vec<f64>) -> impl FnMut() -> f64 {
    let inputs = x.len();
    let engine = FunctionEngine::new(Wrapped { f: f64_f, inputs }, Wrapped { f, inputs }, ReverseAD::new());
    move || {
        let (value, gradient) = engine.derivative(&x);
        value[0] + gradient.sum()
    }
}

/// `ad_trait` forward with `N` tangents at once.
pub fn ad_trait_forward<const N: usize>(
    f64_f: fn(&[f64]) -> f64,
    f: fn(&[adfn<N>]) -> adfn<N>,
    x: Vec<f64>,
) -> impl FnMut() -> f64 {
    let inputs = x.len();
    let engine = FunctionEngine::new(
        Wrapped { f: f64_f, inputs },
        Wrapped { f, inputs },
        ForwardADMulti::<adfn<N>>::new(),
    );
    move || {
        let (value, gradient) = engine.derivative(&x);
        value[0] + gradient.sum()
    }
}

/// `ad_trait`'s Hessian, forward over reverse with `N` tangents.
pub fn ad_trait_hessian<const N: usize>(
    f64_f: fn(&[f64]) -> f64,
    f: fn(&[HyperAD_ADR<N>]) -> HyperAD_ADR<N>,
    x: Vec<f64>,
) -> impl FnMut() -> f64 {
    let inputs = x.len();
    let engine =
        FunctionEngine::new(Wrapped { f: f64_f, inputs }, Wrapped { f, inputs }, HessianAD_FOR::<N>::new());
    move || {
        let (_, _, hessian) = engine.hessian(&x);
        hessian[0].sum()
    }
}

/// `echidna`'s batched dual numbers, all inputs in one pass.
pub fn echidna_dual<const N: usize>(
    f: fn(&[DualVec<f64, N>]) -> DualVec<f64, N>,
    x: Vec<f64>,
) -> impl FnMut() -> f64 {
    assert_eq!(x.len(), N);
    move || {
        let inputs: [DualVec<f64, N>; N] = std::array::from_fn(|i| DualVec::with_tangent(x[i], i));
        let y = f(&inputs);
        y.re + y.eps.iter().sum::<f64>()
    }
}

/// `echidna`'s taped gradient, recorded anew in each call.
pub fn echidna_reverse(
    f: fn(&[echidna::Reverse<f64>]) -> echidna::Reverse<f64>,
    value: fn(&[f64]) -> f64,
    x: Vec<f64>,
) -> impl FnMut() -> f64 {
    let at_x = value(&x);
    move || at_x + echidna::grad(f, &x).iter().sum::<f64>()
}

/// `echidna`'s bytecode tape: recorded once before timing, replayed with reused buffers.
pub fn echidna_replay(
    f: fn(&[echidna::BReverse<f64>]) -> echidna::BReverse<f64>,
    x: Vec<f64>,
) -> impl FnMut() -> f64 {
    let (mut tape, _) = echidna::record(f, &x);
    tape.optimize();
    let mut buffer = Vec::new();
    move || {
        let gradient = tape.gradient_with_buf(&x, &mut buffer);
        tape.output_value() + gradient.iter().sum::<f64>()
    }
}

//! Parameter updates in place: one pass over parameters, gradients and the optimiser's state.

use super::{GRAIN, expect_all};
use crate::Pool;
use crate::reduce::{LengthError, Shared};
use crate::vmath::isa::dispatch;
use crate::vmath::loops::{Many, Source, WIDTH, keep_blocks, store};
use crate::vmath::{Float, Isa};

/// Adam: `m ← β₁ m + (1 - β₁) g`, `v ← β₂ v + (1 - β₂) g²`,
/// `p ← p - rate · (m/(1 - β₁ᵗ)) / (√(v/(1 - β₂ᵗ)) + eps)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Step size.
    pub rate: f64,
    /// Memory of the first moment.
    pub beta1: f64,
    /// Memory of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decay of the parameters: added to the gradient, or, when decoupled, `p ← p - rate · decay · p` first.
    pub decay: f64,
    /// Whether the decay is decoupled from the gradient (AdamW).
    pub decoupled: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { rate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: 0.0, decoupled: false }
    }
}

/// The numbers of a step, in the parameters' type.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct AdamStep<T> {
    beta1: T,
    keep1: T,
    beta2: T,
    keep2: T,
    /// `rate/(1 - β₁ᵗ)` and `1/√(1 - β₂ᵗ)`.
    rate: T,
    root: T,
    eps: T,
    /// Added to the gradient for each parameter, and what is left of a parameter.
    decay: T,
    left: T,
}

impl Adam {
    /// One update, the `step`-th (counted from 1).
    ///
    /// ```
    /// use gradus_cpu::{Pool, fused::Adam};
    /// let (mut p, mut m, mut v) = ([1.0f64], [0.0], [0.0]);
    /// Adam { rate: 0.1, ..Adam::default() }.update(Pool::global(), 1, &[3.0], &mut p, &mut m, &mut v)?;
    /// // The first step has the size of the rate.
    /// assert!((p[0] - 0.9).abs() < 1e-8);
    /// # Ok::<(), gradus_cpu::reduce::LengthError>(())
    /// ```
    ///
    /// # Errors
    /// When the slices differ in length.
    pub fn update<T: Float>(
        &self,
        pool: &Pool,
        step: u64,
        gradient: &[T],
        parameters: &mut [T],
        first: &mut [T],
        second: &mut [T],
    ) -> Result<(), LengthError> {
        let slices = [
            ("the parameters", parameters.len()),
            ("a first moment", first.len()),
            ("a second moment", second.len()),
        ];
        expect_all(gradient.len(), &slices)?;
        let power = |beta: f64| 1.0 - beta.powf(step.max(1) as f64);
        let of = T::from_f64;
        let numbers = AdamStep {
            beta1: of(self.beta1),
            keep1: of(1.0 - self.beta1),
            beta2: of(self.beta2),
            keep2: of(1.0 - self.beta2),
            rate: of(self.rate / power(self.beta1)),
            root: of(1.0 / power(self.beta2).sqrt()),
            eps: of(self.eps),
            decay: of(if self.decoupled { 0.0 } else { self.decay }),
            left: of(if self.decoupled { 1.0 - self.rate * self.decay } else { 1.0 }),
        };
        let (p, m, v) =
            (Shared(parameters.as_mut_ptr()), Shared(first.as_mut_ptr()), Shared(second.as_mut_ptr()));
        pool.run_ranges(gradient.len(), GRAIN, &|range| {
            let at = range.start;
            // SAFETY: this range of all slices belongs to this task alone.
            unsafe {
                let g = gradient.as_ptr().wrapping_add(at);
                adam_raw(numbers, g, p.at(at), m.at(at), v.at(at), range.len());
            }
        });
        Ok(())
    }
}

dispatch! {
    /// One Adam update on pointers.
    ///
    /// # Safety
    /// All pointers are valid for `n` elements, apart from one another.
    pub unsafe fn adam_raw<T: Float>(numbers: AdamStep<T>, g: *const T, p: *mut T, m: *mut T, v: *mut T, n: usize)
        = adam in AdamKernel
}

#[allow(clippy::extra_unused_type_parameters, reason = "every kernel names its instruction set")]
#[inline(always)]
unsafe fn adam<T: Float, I: Isa>(s: AdamStep<T>, g: *const T, p: *mut T, m: *mut T, v: *mut T, n: usize) {
    let whole = n / WIDTH * WIDTH;
    let mut start = 0;
    while start < n {
        let len = if start < whole { WIDTH } else { n - start };
        // SAFETY: `len` elements from `start` on.
        unsafe {
            let gs = Many(g).block(start, len);
            let (mut ps, mut ms, mut vs) = (
                Many(p.cast_const()).block(start, len),
                Many(m.cast_const()).block(start, len),
                Many(v.cast_const()).block(start, len),
            );
            for j in 0..WIDTH {
                let gradient = gs[j] + s.decay * ps[j];
                ms[j] = s.beta1 * ms[j] + s.keep1 * gradient;
                vs[j] = s.beta2 * vs[j] + s.keep2 * (gradient * gradient);
                let step = s.rate * ms[j] / (vs[j].sqrt() * s.root + s.eps);
                ps[j] = s.left * ps[j] - step;
            }
            store(p.add(start), &ps, len);
            store(m.add(start), &ms, len);
            store(v.add(start), &vs, len);
        }
        keep_blocks();
        start += len;
    }
}

/// Stochastic gradient descent: `b ← momentum · b + g`, `p ← p - rate · b`; with Nesterov's look ahead,
/// `p ← p - rate · (g + momentum · b)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Step size.
    pub rate: f64,
    /// Memory of the gradients.
    pub momentum: f64,
    /// Added to the gradient for each parameter.
    pub decay: f64,
    /// Whether the step looks ahead.
    pub nesterov: bool,
}

impl Default for Sgd {
    fn default() -> Self {
        Sgd { rate: 1e-2, momentum: 0.0, decay: 0.0, nesterov: false }
    }
}

/// The numbers of a step, in the parameters' type.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct SgdStep<T> {
    rate: T,
    momentum: T,
    decay: T,
    nesterov: bool,
}

impl Sgd {
    /// One update. `buffer` keeps the momentum, and begins as zeros; without momentum it may be empty.
    ///
    /// # Errors
    /// When the slices differ in length.
    pub fn update<T: Float>(
        &self,
        pool: &Pool,
        gradient: &[T],
        parameters: &mut [T],
        buffer: &mut [T],
    ) -> Result<(), LengthError> {
        expect_all(gradient.len(), &[("the parameters", parameters.len())])?;
        let plain = self.momentum == 0.0;
        if !plain {
            expect_all(gradient.len(), &[("the momentum", buffer.len())])?;
        }
        let of = T::from_f64;
        let numbers = SgdStep {
            rate: of(self.rate),
            momentum: of(self.momentum),
            decay: of(self.decay),
            nesterov: self.nesterov,
        };
        let p = Shared(parameters.as_mut_ptr());
        let b = Shared(if plain { std::ptr::null_mut() } else { buffer.as_mut_ptr() });
        pool.run_ranges(gradient.len(), GRAIN, &|range| {
            let at = range.start;
            // SAFETY: this range of all slices belongs to this task alone.
            unsafe {
                let buffer = if plain { b.0 } else { b.at(at) };
                sgd_raw(numbers, gradient.as_ptr().wrapping_add(at), p.at(at), buffer, range.len());
            }
        });
        Ok(())
    }
}

dispatch! {
    /// One update on pointers; without momentum `b` is null.
    ///
    /// # Safety
    /// The other pointers are valid for `n` elements, apart from one another.
    pub unsafe fn sgd_raw<T: Float>(numbers: SgdStep<T>, g: *const T, p: *mut T, b: *mut T, n: usize)
        = sgd in SgdKernel
}

#[allow(clippy::extra_unused_type_parameters, reason = "every kernel names its instruction set")]
#[inline(always)]
unsafe fn sgd<T: Float, I: Isa>(s: SgdStep<T>, g: *const T, p: *mut T, b: *mut T, n: usize) {
    let mut start = 0;
    while start < n {
        let len = (n - start).min(WIDTH);
        // SAFETY: `len` elements from `start` on.
        unsafe {
            let gs = Many(g).block(start, len);
            let mut ps = Many(p.cast_const()).block(start, len);
            if b.is_null() {
                for j in 0..WIDTH {
                    ps[j] = ps[j] - s.rate * (gs[j] + s.decay * ps[j]);
                }
            } else {
                let mut bs = Many(b.cast_const()).block(start, len);
                for j in 0..WIDTH {
                    let gradient = gs[j] + s.decay * ps[j];
                    bs[j] = s.momentum * bs[j] + gradient;
                    let ahead = gradient + s.momentum * bs[j];
                    ps[j] = ps[j] - s.rate * if s.nesterov { ahead } else { bs[j] };
                }
                store(b.add(start), &bs, len);
            }
            store(p.add(start), &ps, len);
        }
        keep_blocks();
        start += len;
    }
}

//! Checking derivatives of a function of the user's own.

use std::fmt;

use super::{grad, jvp, vjp};
use crate::{DType, Tensor, Tree};

/// A derivative that does not agree with finite differences, or with the other mode.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckError {
    /// What was compared.
    pub what: String,
    /// What the derivative says.
    pub found: f64,
    /// What it is compared with.
    pub expected: f64,
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:e}, expected {:e}", self.what, self.found, self.expected)
    }
}

impl std::error::Error for CheckError {}

/// Checks the derivatives of `f` at `x` up to `order` (1 or 2): forward mode against finite differences along a random
/// direction, and reverse mode against forward mode by the dot-product test `⟨J v, w⟩ = ⟨v, Jᵀ w⟩`; order 2 does the
/// same to the gradient of `⟨f, w⟩`. Use `f64`: the differences are of no use in `f32`.
///
/// # Errors
/// The first disagreement by more than `1e-6` of the size of the derivatives, `Σ |dy| |w|`, beside what the rounding of `f`
/// makes of its differences, `1e-11 Σ |y| |w|`.
///
/// ```
/// use gradus::{Tensor, check_grads};
/// check_grads(|x: &Tensor| x.sin() * x, &Tensor::from([0.3, 1.2]), 2).unwrap();
/// // However small a derivative is, it is compared with its own size.
/// let wrong = gradus::custom_jvp(|x: &Tensor| x * 1e-7, |_, dx| dx * 2e-7);
/// assert!(check_grads(wrong, &Tensor::from([0.3, 1.2]), 1).is_err());
/// ```
pub fn check_grads<A: Tree + 'static, B: Tree + 'static>(
    f: impl Fn(&A) -> B,
    x: &A,
    order: usize,
) -> Result<(), CheckError> {
    first_order(&f, x, "first order")?;
    if order > 1 {
        let weights = directions(&f(x), 3);
        let weighted = |x: &A| inner(&f(x), &weights);
        first_order(&|x: &A| grad(&weighted)(x), x, "second order")?;
    }
    Ok(())
}

fn first_order<A: Tree + 'static, B: Tree + 'static>(
    f: &impl Fn(&A) -> B,
    x: &A,
    name: &str,
) -> Result<(), CheckError> {
    let v = directions(x, 1);
    let (y, dy) = jvp(f, x, &v);
    let w = directions(&y, 2);
    let forward = read(&inner(&dy, &w));
    let (_, pull) = vjp(f, x);
    let reverse = read(&inner(&v, &pull(&w)));
    let size = read(&sizes(&dy, &w)).max(read(&sizes(&v, &pull(&w))));
    agree(format!("{name}: reverse mode against forward mode"), reverse, forward, 1e-6 * size)?;
    // Richardson's extrapolation of central differences.
    let along = |h: f64| read(&inner(&f(&x.zip_map(&v, |x, v| x + v * h)), &w));
    let central = |h: f64| (along(h) - along(-h)) / (2.0 * h);
    let expected = (4.0 * central(5e-4) - central(1e-3)) / 3.0;
    // Rounding in `f` over the step, and what the steps are too long for, both in units of its size.
    let limit = 1e-6 * size.max(expected.abs()) + 1e-11 * read(&sizes(&y, &w));
    agree(format!("{name}: forward mode against finite differences"), forward, expected, limit)
}

fn agree(what: String, found: f64, expected: f64, limit: f64) -> Result<(), CheckError> {
    let close = (found - expected).abs() <= limit;
    if close { Ok(()) } else { Err(CheckError { what, found, expected }) }
}

fn read(t: &Tensor) -> f64 {
    t.item::<f64>()
}

/// The sum of products of two trees.
fn inner<T: Tree>(a: &T, b: &T) -> Tensor {
    let products = a.tensors().into_iter().zip(b.tensors()).filter(|(a, _)| a.dtype().is_float());
    products.fold(Tensor::from(0.0), |sum, (a, b)| sum + (a * b).sum(()).cast(DType::F64))
}

/// The sum of the sizes of those products.
fn sizes<T: Tree>(a: &T, b: &T) -> Tensor {
    inner(&a.map(&mut size_of_elements), &b.map(&mut size_of_elements))
}

fn size_of_elements(t: &Tensor) -> Tensor {
    if t.dtype().is_float() { t.abs() } else { t.clone() }
}

/// A fixed pseudo-random tree like `like`, its elements in [-1, 1].
fn directions<T: Tree>(like: &T, seed: u64) -> T {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    like.map(&mut |t| {
        let elements: Vec<f64> = (0..t.size())
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
            })
            .collect();
        Tensor::from(elements).reshape(t.shape()).cast(t.dtype())
    })
}

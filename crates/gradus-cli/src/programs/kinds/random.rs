//! Random numbers from keys.

use gradus::{DType, Key};

use super::Draw;
use crate::programs::grow::Grower;
use crate::programs::step::step;

pub(super) const KINDS: &[(usize, Draw)] = &[(3, floats), (2, masks), (2, integers)];

fn floats(g: &mut Grower<'_>) -> Option<usize> {
    let (seed, dtype, shape) = (g.rng.below(100) as u64, g.float, g.some_shape().to_vec());
    if g.one_in(2) {
        return Some(g.push(step!(|| Key::new(seed).uniform(shape.clone(), dtype); seed, shape, dtype), &[]));
    }
    let x = g.pick(|t| t.dtype() == DType::I64 && t.rank() == 0);
    Some(match x {
        // The number folded in is a value of the program.
        Some(i) => g.push(
            step!(|i| Key::new(seed).fold_in(i).normal(shape.clone(), dtype); seed, shape, dtype),
            &[i],
        ),
        None => {
            g.push(step!(|| Key::new(seed).split().1.normal(shape.clone(), dtype); seed, shape, dtype), &[])
        }
    })
}

/// Dropout.
fn masks(g: &mut Grower<'_>) -> Option<usize> {
    let (x, seed) = (g.float()?, g.rng.below(100) as u64);
    let number = g.fresh(DType::I64, []);
    Some(g.push(
        step!(|x, i| Key::new(seed).fold_in(i).bernoulli(0.75, x.shape()).select(x * 1.25, 0.0); seed),
        &[x, number],
    ))
}

fn integers(g: &mut Grower<'_>) -> Option<usize> {
    let (seed, n) = (g.rng.below(100) as u64, g.rng.below(6));
    if g.one_in(2) {
        return Some(g.push(step!(|| Key::new(seed).permutation(n); seed, n), &[]));
    }
    let bits = g.choose(&[1u32, 8, 31, 32, 63]);
    Some(g.push(step!(|| Key::new(seed).bits([n], bits); seed, n, bits), &[]))
}

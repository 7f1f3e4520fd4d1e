//! A chain of small operations: multiplied by `w`, plus `w`, sine, in turn, and the sum of what comes out.

use gradus::{Tensor, grad};

/// Operations in the chain.
pub const LENGTH: usize = 1000;

/// The argument and the other operand, four elements each.
pub fn operands() -> (Tensor, Tensor) {
    (Tensor::from([0.1f32, 0.2, 0.3, 0.4]), Tensor::from([0.9f32, 1.1, 0.8, 1.2]))
}

/// The sum of the chain's results.
pub fn forward(x: &Tensor, w: &Tensor) -> Tensor {
    let mut z = x.clone();
    for i in 0..LENGTH {
        z = match i % 3 {
            0 => z * w,
            1 => z + w,
            _ => z.sin(),
        };
    }
    z.sum(())
}

/// Its gradient in `x`.
pub fn gradient(x: &Tensor, w: &Tensor) -> Tensor {
    grad(|x: &Tensor| forward(x, w))(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_that_of_a_loop() {
        let (x, w) = operands();
        let (xs, ws) = (x.to_vec::<f32>(), w.to_vec::<f32>());
        for (i, &slope) in gradus::jit(|(x, w): &(Tensor, Tensor)| gradient(x, w))
            .call(&(x.clone(), w.clone()))
            .to_vec::<f32>()
            .iter()
            .enumerate()
        {
            let (mut z, mut d, w) = (f64::from(xs[i]), 1.0, f64::from(ws[i]));
            for k in 0..LENGTH {
                match k % 3 {
                    0 => (z, d) = (z * w, d * w),
                    1 => z += w,
                    _ => (z, d) = (z.sin(), d * z.cos()),
                }
            }
            assert!((f64::from(slope) - d).abs() <= 1e-3 * d.abs() + 1e-30, "{slope} {d}");
        }
    }
}

//! The functions that `gradus modes` differentiates: as many inputs, outputs and layers as wanted.

use gradus::num::checkpoint::LoopBody;
use gradus::num::{Real, VectorFn};

/// The inputs are spread over `h` numbers, the larger of the counts of inputs and outputs. Each of `depth` layers adds to
/// every number a sine of its neighbour, `zᵢ ← zᵢ + 0.3 sin(0.7 zᵢ₊₁)`, in a ring. Each output is the sum of a block of
/// numbers. So an output depends on the inputs of its block and of `depth` neighbours behind it: the Jacobian is banded
/// where there are few layers, and full where there are many.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    pub inputs: usize,
    pub outputs: usize,
    pub depth: usize,
}

impl Family {
    /// How many numbers each layer has.
    pub fn numbers(&self) -> usize {
        self.inputs.max(self.outputs)
    }

    /// What number `i` is made of: an input and its factor.
    pub fn spread(&self, i: usize) -> (usize, f64) {
        (i * self.inputs / self.numbers(), 1.0 + i as f64 / self.numbers() as f64)
    }

    /// Where the function is differentiated.
    pub fn point(&self) -> Vec<f64> {
        (0..self.inputs).map(|i| 0.3 + 0.7 * ((i * 37 % 11) as f64) / 11.0).collect()
    }
}

fn layer<R: Real>(z: &mut [R]) {
    let Some(&first) = z.first() else { return };
    for i in 0..z.len() {
        let neighbour = z.get(i + 1).copied().unwrap_or(first);
        z[i] += (neighbour * R::from_f64(0.7)).sin() * R::from_f64(0.3);
    }
}

impl VectorFn for Family {
    fn outputs(&self, _inputs: usize) -> usize {
        self.outputs
    }

    fn call<R: Real>(&self, x: &[R], y: &mut [R]) {
        let numbers = self.numbers();
        let mut z = Vec::with_capacity(numbers);
        for i in 0..numbers {
            let (input, factor) = self.spread(i);
            z.push(x[input] * R::from_f64(factor));
        }
        for _ in 0..self.depth {
            layer(&mut z);
        }
        for (i, &z) in z.iter().enumerate() {
            y[i * self.outputs / numbers] += z;
        }
    }
}

/// The layers as a loop with the sum of the numbers as its result: the function for one output.
impl LoopBody for Family {
    fn step<R: Real>(&self, _t: usize, state: &mut [R], _params: &[R]) {
        layer(state);
    }

    fn result<R: Real>(&self, state: &[R], _params: &[R]) -> R {
        state.iter().copied().sum()
    }
}

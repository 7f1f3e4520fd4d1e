//! lstm: the cross entropy of a network of long short-term memory cells whose matrices are all diagonal.
//!
//! For each layer in turn, with input `u` (at first `sequence_t` times the input weight), hidden state `h` and
//! cell `C`: `f = σ(u W_f + B_f)`, `o = σ(u W_o + B_o)`, `g = σ(h W_g + B_g)`, `a = tanh(h W_a + B_a)`,
//! `C ← C f + g a`, `h ← o tanh C`, and `h` is the next layer's input. With `z` the last `u` times the output
//! weight plus the output bias, the objective is `-1/(b (c-1)) Σ_t Σ_i sequence_{t+1,i} (z_i - ln(2 + Σ_j e^z_j))`.

use std::ops::Range;

use gradus_num::Real;
use gradus_num::batch::{Batch, Block, PointFn};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::{decode, flatten};
use crate::task::{Task, number, vector};

pub const EVAL: Eval =
    Eval { name: "lstm", functions: &["objective", "jacobian"], bare_input: false, prepare };

/// Everything but the parameters: sizes, the state at the start and the sequence, flattened row by row.
struct Network {
    layers: usize,
    bits: usize,
    state: Vec<f64>,
    sequence: Vec<f64>,
}

impl Network {
    fn characters(&self) -> usize {
        self.sequence.len() / self.bits
    }

    /// The cross entropy, given each bit's `z` after every character but the last.
    fn objective<R: Real>(&self, z: &[R]) -> R {
        let steps = self.characters() - 1;
        let mut total = R::zero();
        for (t, next) in self.sequence.chunks_exact(self.bits).skip(1).enumerate() {
            let z = || z.iter().skip(t).step_by(steps);
            let normaliser = z().map(R::exp).sum::<R>().shift(2.0).log();
            let chosen: R = z().zip(next).map(|(z, &s)| z.scale(s)).sum();
            total += chosen - normaliser.scale(next.iter().sum());
        }
        total.scale(-1.0 / (self.bits * steps) as f64)
    }
}

/// The network without its normaliser: all matrices are diagonal, so each bit goes its own way.
///
/// The parameters are, for each layer, weights and biases of the forget, in, out and change gates, then the input
/// weight, the output weight and the output bias; one number of each for a bit.
impl PointFn for Network {
    fn points(&self) -> usize {
        self.bits
    }

    fn outputs(&self) -> usize {
        self.characters() - 1
    }

    fn shared(&self, _inputs: usize) -> Range<usize> {
        0..0
    }

    fn own(&self) -> usize {
        8 * self.layers + 3
    }

    fn own_index(&self, bit: usize, j: usize) -> usize {
        j * self.bits + bit
    }

    fn own_row(&self, bit: usize, j: usize) -> Option<usize> {
        Some(self.own_index(bit, j))
    }

    #[inline(always)]
    fn call<R: Real>(&self, block: &Block, _shared: &[R], parameters: &[R], z: &mut [R]) {
        let (gates, ends) = parameters.split_at(8 * self.layers);
        let row = |data: &[f64], row: usize| -> R { block.gather(|bit| data[row * self.bits + bit]) };
        let mut state: Vec<R> = (0..2 * self.layers).map(|r| row(&self.state, r)).collect();
        for (t, z) in z.iter_mut().enumerate() {
            let mut u = row(&self.sequence, t) * ends[0];
            for (gates, state) in gates.chunks_exact(8).zip(state.chunks_exact_mut(2)) {
                let (h, cell) = (state[0], state[1]);
                let (forget, out) = (affine(gates, 0, u).sigmoid(), affine(gates, 2, u).sigmoid());
                let (ingate, change) = (affine(gates, 1, h).sigmoid(), affine(gates, 3, h).tanh());
                let cell = cell * forget + ingate * change;
                u = out * cell.tanh();
                (state[0], state[1]) = (u, cell);
            }
            *z = u * ends[1] + ends[2];
        }
    }
}

/// Gate `i` before its nonlinearity: `v W_i + B_i`.
#[inline(always)]
fn affine<R: Real>(gates: &[R], i: usize, v: R) -> R {
    v * gates[i] + gates[4 + i]
}

#[derive(Deserialize)]
struct Input {
    main_params: Vec<Vec<f64>>,
    extra_params: Vec<Vec<f64>>,
    state: Vec<Vec<f64>>,
    sequence: Vec<Vec<f64>>,
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let Input { main_params, extra_params, state, sequence } = decode(input)?;
    require(main_params.len() % 2 == 0, || {
        format!("main_params has {} rows, but two for each layer are needed", main_params.len())
    })?;
    require(sequence.len() >= 2, || {
        format!("sequence has {} characters, but at least 2 are needed", sequence.len())
    })?;
    let (layers, bits) = (main_params.len() / 2, sequence[0].len());
    require(layers >= 1, || "main_params is empty".into())?;
    require(bits >= 1, || "sequence[0] is empty".into())?;
    let mut parameters = flatten("main_params", &main_params, 2 * layers, 4 * bits)?;
    parameters.extend(flatten("extra_params", &extra_params, 3, bits)?);
    let network = Network {
        layers,
        bits,
        state: flatten("state", &state, 2 * layers, bits)?,
        sequence: flatten("sequence", &sequence, sequence.len(), bits)?,
    };
    let mut batch = Batch::<8>::new();
    match function {
        "objective" => {
            let mut z = vec![0.0; network.bits * network.outputs()];
            Ok(number(move || {
                batch.values(&network, &parameters, &mut z);
                network.objective(&z)
            }))
        }
        "jacobian" => {
            let network = [network];
            Ok(vector(parameters.len(), move |g| {
                batch.gradient_through(&network, &parameters, |z, _| network[0].objective(z), g);
            }))
        }
        _ => unknown(&EVAL, function),
    }
}

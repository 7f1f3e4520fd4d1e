//! lstm: the cross entropy of a network of long short-term memory cells whose matrices are all diagonal.
//!
//! For each layer in turn, with input `u` (at first `sequence_t` times the input weight), hidden state `h` and
//! cell `C`: `f = σ(u W_f + B_f)`, `o = σ(u W_o + B_o)`, `g = σ(h W_g + B_g)`, `a = tanh(h W_a + B_a)`,
//! `C ← C f + g a`, `h ← o tanh C`, and `h` is the next layer's input. With `z` the last `u` times the output
//! weight plus the output bias, the objective is `-1/(b (c-1)) Σ_t Σ_i sequence_{t+1,i} (z_i - ln(2 + Σ_j e^z_j))`.

use gradus_num::{Real, Tape, reverse};
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
    /// The parameters are, for each layer, weights and biases of the forget, in, out and change gates, then
    /// the input weight, the output weight and the output bias; `bits` numbers each.
    fn objective<R: Real>(&self, parameters: &[R]) -> R {
        let b = self.bits;
        let (gates, ends) = parameters.split_at(8 * self.layers * b);
        let mut state: Vec<R> = self.state.iter().map(|&s| R::from_f64(s)).collect();
        let mut z = vec![R::zero(); b];
        let mut total = R::zero();
        let characters: Vec<&[f64]> = self.sequence.chunks_exact(b).collect();
        for pair in characters.windows(2) {
            for bit in 0..b {
                let mut u = ends[bit].scale(pair[0][bit]);
                for (gates, state) in gates.chunks_exact(8 * b).zip(state.chunks_exact_mut(2 * b)) {
                    let gate = |i: usize, v: R| v * gates[i * b + bit] + gates[(4 + i) * b + bit];
                    let (h, cell) = (state[bit], state[b + bit]);
                    let (forget, out) = (gate(0, u).sigmoid(), gate(2, u).sigmoid());
                    let (ingate, change) = (gate(1, h).sigmoid(), gate(3, h).tanh());
                    let cell = cell * forget + ingate * change;
                    u = out * cell.tanh();
                    (state[bit], state[b + bit]) = (u, cell);
                }
                z[bit] = u * ends[b + bit] + ends[2 * b + bit];
            }
            total += log_likelihood(&z, pair[1]);
        }
        total.scale(-1.0 / (b * (characters.len() - 1)) as f64)
    }
}

/// `Σ_i s_i (z_i - ln(2 + Σ_j e^z_j))`.
fn log_likelihood<R: Real>(z: &[R], next: &[f64]) -> R {
    let normaliser = z.iter().map(R::exp).sum::<R>().shift(2.0).log();
    let chosen: R = z.iter().zip(next).map(|(z, &s)| z.scale(s)).sum();
    chosen - normaliser.scale(next.iter().sum())
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
    match function {
        "objective" => Ok(number(move || network.objective(&parameters))),
        "jacobian" => {
            let mut tape = Tape::new();
            Ok(vector(parameters.len(), move |g| {
                reverse::value_and_gradient_into(&mut tape, |v| network.objective(v), &parameters, g);
            }))
        }
        _ => unknown(&EVAL, function),
    }
}

//! What a call at a new length costs beside one at a known length, for GPTs over lengths 65 to 80:
//! `cargo run --release -p gradus-nn --example lengths`.

use std::time::Instant;

use gradus::{DType, Key, Tensor, Tree, grad, jit};
use gradus_nn::{Model, models::Gpt};

/// Layers, features, heads, examples.
const MODELS: [(usize, usize, usize, usize); 4] =
    [(2, 64, 4, 1), (2, 64, 4, 8), (4, 128, 4, 4), (4, 256, 4, 8)];
const VOCABULARY: usize = 65;

fn main() {
    println!("| GPT | program | known length, ms | new length, ms | times |");
    println!("|---|---|---|---|---|");
    for (layers, width, heads, batch) in MODELS {
        let model = Gpt::new(&Key::new(0), layers, width, heads, 128, VOCABULARY);
        let name = format!("{layers} layers, {width} features, batch {batch}");
        row(&name, "forward", &model, batch, &|(m, x): &(Gpt, Tensor)| vec![m.forward(x, None)]);
        row(&name, "gradient", &model, batch, &|(m, x): &(Gpt, Tensor)| {
            let loss = |m: &Gpt| {
                let logits = m.forward(x, None).log_softmax(-1);
                -logits.take_along_axis(&x.expand_dims(2), 2).mean(())
            };
            grad(loss)(m).tensors()
        });
    }
}

fn row(name: &str, what: &str, model: &Gpt, batch: usize, f: &dyn Fn(&(Gpt, Tensor)) -> Vec<Tensor>) {
    let text = |n: usize| {
        let drawn = Key::new(n as u64).uniform([batch, n], DType::F32) * VOCABULARY as f64;
        (model.clone(), drawn.floor().cast(DType::I64).minimum(VOCABULARY as i64 - 1))
    };
    let f = jit(f);
    let inputs: Vec<(Gpt, Tensor)> = (65..=80).map(text).collect();
    // The first length of all is a cold start.
    (0..3).for_each(|_| drop(f.call(&text(64))));
    // The least of a few, which is what a machine that does nothing else takes.
    let least = |rounds: usize, input: &(Gpt, Tensor), forget: bool| {
        let one = |_| {
            if forget {
                f.clear();
            }
            let began = Instant::now();
            f.call(input);
            began.elapsed().as_secs_f64()
        };
        (0..rounds).map(one).fold(f64::INFINITY, f64::min)
    };
    let (mut new, mut known) = (0.0, 0.0);
    for input in &inputs {
        new += least(5, input, true);
        known += least(20, input, false);
    }
    let ms = |s: f64| s * 1e3 / inputs.len() as f64;
    println!("| {name} | {what} | {:.2} | {:.2} | {:.2} |", ms(known), ms(new), new / known);
}

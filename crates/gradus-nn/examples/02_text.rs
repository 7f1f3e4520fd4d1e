//! A small GPT learns a sonnet character by character, then continues its first words.

use std::collections::BTreeSet;

use gradus::{DType, Key, Tensor, jit, value_and_grad};
use gradus_nn::{Adam, Model, Optimizer, State, loss, models::Gpt};

const TEXT: &str = include_str!("data/sonnet18.txt");
const CONTEXT: usize = 32;
const BATCH: usize = 8;

fn main() {
    // Characters as numbers, and back.
    let alphabet: Vec<char> = TEXT.chars().collect::<BTreeSet<_>>().into_iter().collect();
    let number = |c: char| alphabet.binary_search(&c).expect("a character of the text") as i64;
    let text: Vec<i64> = TEXT.chars().map(number).collect();
    let tokens = Tensor::from(&text);

    let mut model = Gpt::new(&Key::new(0), 2, 64, 4, CONTEXT, alphabet.len());
    let adam = Adam::default();
    let mut state = State::new(&adam, &model);
    let step = jit(|(model, state, key): &(Gpt, State<Gpt>, Key)| {
        // Pieces of the text from random places; each character is to be told from those before it.
        let starts = key.uniform([BATCH, 1], DType::F64) * (text.len() - CONTEXT) as f64;
        let places = starts.cast(DType::I64) + Tensor::arange(CONTEXT + 1, DType::I64);
        let pieces = tokens.take(&places, 0);
        let (before, after) = (pieces.slice(1, ..-1), pieces.slice(1, 1..));
        let loss = |m: &Gpt| loss::cross_entropy(&m.forward(&before, None), &after);
        let (loss, slope) = value_and_grad(loss)(model);
        (adam.update(model, &slope, state, &Tensor::from(3e-3f32)), loss)
    });
    for i in 0..=200 {
        let ((next, next_state), loss) = step.call_owned((model, state, Key::new(i)));
        (model, state) = (next, next_state);
        if i % 50 == 0 {
            println!("step {i:>3}: loss {:.3}", loss.item::<f32>());
        }
    }
    assert_eq!(step.programs(), 1);

    // The most likely character after the last ones, again and again.
    let likely = jit(|(model, x): &(Gpt, Tensor)| model.forward(x, None).at(0).at(-1).argmax(0));
    let mut told = text[..CONTEXT].to_vec();
    for _ in 0..80 {
        let last = Tensor::from(&told[told.len() - CONTEXT..]).expand_dims(0);
        told.push(likely.call(&(model.clone(), last)).item());
    }
    let words: String = told.iter().map(|&i| alphabet[i as usize]).collect();
    println!("{words}");
    let right = told.iter().zip(&text).filter(|(a, b)| a == b).count();
    println!("{right} of {} characters as in the sonnet", told.len());
    assert!(right > 80);
}

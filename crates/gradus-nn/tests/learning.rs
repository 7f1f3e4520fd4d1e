//! Optimisers against their formulas written out, layers against plain loops, and the training loop's promises.

use std::ops::ControlFlow;

use gradus::{DType, Key, Tensor, Tree, check_grads, grad, jit};
use gradus_nn::layers::{Activation, Attention, BatchNorm, Conv2d, LayerNorm, Mlp};
use gradus_nn::models::Cnn;
use gradus_nn::{Adam, Event, Model, Optimizer, Schedule, Sgd, State, Training, data, fit, loss};

fn close(a: &Tensor, b: &Tensor, tolerance: f64) {
    let error = (a.cast(DType::F64) - b.cast(DType::F64)).abs().max(()).item::<f64>();
    assert!(error <= tolerance, "{a} against {b}: {error}");
}

#[test]
fn adam_follows_its_formula() {
    let adam = Adam { decay: 0.1, ..Adam::default() };
    let (mut p, rate) = (2.0f64, 0.01f64);
    let (mut m, mut v) = (0.0f64, 0.0f64);
    let mut x = Tensor::from([[p]]);
    let mut state = State::new(&adam, &x);
    for t in 1..=20 {
        let g = 2.0 * p;
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        let (mh, vh) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
        p -= rate * (mh / (vh.sqrt() + 1e-8) + 0.1 * p);
        let slope = grad(|x: &Tensor| x.square().sum(()))(&x);
        (x, state) = adam.update(&x, &slope, &state, &Tensor::from(rate));
        close(&x, &Tensor::from([[p]]), 1e-13);
    }
    assert_eq!(state.steps, Tensor::from(20i64));
}

#[test]
fn momentum_in_both_forms() {
    for nesterov in [false, true] {
        let sgd = Sgd { momentum: 0.9, nesterov, decay: 0.5 };
        let (mut p, mut m) = (1.0f64, 0.0f64);
        // A vector: weight decay leaves it alone.
        let mut x = Tensor::from([p]);
        let mut state = State::new(&sgd, &x);
        for _ in 0..10 {
            let g = 3.0 * p * p;
            m = 0.9 * m + g;
            p -= 0.01 * if nesterov { g + 0.9 * m } else { m };
            let slope = grad(|x: &Tensor| x.powi(3).sum(()))(&x);
            (x, state) = sgd.update(&x, &slope, &state, &Tensor::from(0.01));
            close(&x, &Tensor::from([p]), 1e-14);
        }
    }
    assert!(State::new(&Sgd::default(), &Tensor::from(1.0)).moments.is_empty());
}

#[test]
fn integers_in_a_model_are_left_alone() {
    let model = (Tensor::from([1.0]), Tensor::from(7i64));
    let adam = Adam::default();
    let state = State::new(&adam, &model);
    let ((x, n), _) =
        adam.update(&model, &(Tensor::from([1.0]), Tensor::from(1i64)), &state, &Tensor::from(0.1));
    close(&x, &Tensor::from([0.9]), 1e-7);
    assert_eq!(n, Tensor::from(7i64));
}

#[test]
fn schedules_stay_within_their_bounds() {
    let cosine = Schedule::Cosine { peak: 1.0, warmup: 0, steps: 0, floor: 0.1 };
    assert!((cosine.at(0) - 1.0).abs() < 1e-15 && (cosine.at(5) - 0.1).abs() < 1e-15);
    let stairs = Schedule::Stairs { initial: 1.0, factor: 0.5, every: 10 };
    assert_eq!((stairs.at(9), stairs.at(10), stairs.at(25)), (1.0, 0.5, 0.25));
    assert_eq!(Schedule::Stairs { initial: 1.0, factor: 0.5, every: 0 }.at(1), 0.5);
}

#[test]
fn gradients_of_layers_hold_in_both_modes_and_second_order() {
    let double = |t: &Tensor| t.cast(DType::F64);
    let x = Key::new(3).normal([2, 3, 4], DType::F64);
    let attention = gradus_nn::optim::cast_floats(&Attention::new(&Key::new(0), 4, 2).causal(), DType::F64);
    check_grads(|x: &Tensor| attention.forward(x), &x, 2).unwrap();
    check_grads(|a: &Attention| a.forward(&x).square(), &attention, 1).unwrap();
    let norm = gradus_nn::optim::cast_floats(&LayerNorm::new(4), DType::F64);
    check_grads(|x: &Tensor| norm.forward(x).sin(), &x, 2).unwrap();
    let batch = gradus_nn::optim::cast_floats(&BatchNorm::new(3), DType::F64);
    check_grads(|x: &Tensor| batch.train(x).0.sin(), &x, 2).unwrap();
    check_grads(|x: &Tensor| batch.forward(x).sin(), &x, 2).unwrap();
    let image = double(&Key::new(4).normal([2, 2, 5, 4], DType::F32));
    let conv =
        gradus_nn::optim::cast_floats(&Conv2d::new(&Key::new(1), 2, 3, 3).padding(1).stride(2), DType::F64);
    check_grads(|x: &Tensor| conv.forward(x).sin(), &image, 2).unwrap();
    check_grads(|c: &Conv2d| c.forward(&image).sin(), &conv, 2).unwrap();
    let depthwise = gradus_nn::optim::cast_floats(&Conv2d::depthwise(&Key::new(1), 2, 3), DType::F64);
    check_grads(|c: &Conv2d| c.forward(&image).sin(), &depthwise, 1).unwrap();
}

/// What comes later does not reach what is earlier, be it NaN.
#[test]
fn a_causal_layer_keeps_what_is_later_out() {
    let attention = gradus_nn::optim::cast_floats(&Attention::new(&Key::new(0), 4, 2).causal(), DType::F64);
    for places in [3isize, 150] {
        let x = Key::new(3).normal([2, places as usize, 4], DType::F64);
        let later = Tensor::iota([places as usize, 1], 0, DType::I64).equal(places as i64 - 1);
        let broken = later.select(f64::NAN, &x);
        let earlier = |a: &Attention, x: &Tensor| a.forward(x).slice(1, ..places - 1);
        assert_eq!(earlier(&attention, &broken), earlier(&attention, &x));
        let slopes = |x: &Tensor| grad(|a: &Attention| earlier(a, x).square().sum(()))(&attention);
        let (got, want) = (jit(slopes).call(&broken), slopes(&x));
        if places > 100 {
            let told = jit(slopes).explain(&broken);
            assert_eq!(told.matches("without masked columns").count(), 2, "{told}");
        }
        for (got, want) in got.tensors().iter().zip(want.tensors()) {
            assert!((got - want).abs().max(()).item::<f64>() < 1e-10);
        }
        let by_x = grad(|x: &Tensor| earlier(&attention, x).square().sum(()))(&broken);
        assert!(by_x.is_finite().all(()).item::<bool>());
    }
}

#[test]
fn batch_norm_is_accurate_far_from_zero() {
    let x = Key::new(5).normal([8, 2, 7, 5], DType::F32) + 3000.0;
    let (y, _) = BatchNorm::new(2).train(&x);
    let (exact, _) = gradus_nn::optim::cast_floats(&BatchNorm::new(2), DType::F64).train(&x.cast(DType::F64));
    let largest = (y.cast(DType::F64) - exact).abs().max(()).item::<f64>();
    assert!(largest < 1e-3, "{largest}");
    // An example far from the others, a constant channel, one example.
    let odd = Tensor::concat(&[&(x.slice(0, ..1) * 2.0), &x.slice(0, 1..)], 0);
    assert!(BatchNorm::new(2).train(&odd).0.var((), 0).item::<f64>() > 0.99);
    let (flat, _) = BatchNorm::new(2).train(&Tensor::full([4, 2, 3], DType::F32, 7.0));
    assert_eq!(flat, Tensor::zeros([4, 2, 3], DType::F32));
    let (one, _) = BatchNorm::new(2).train(&x.slice(0, ..1));
    assert!(one.mean(()).item::<f64>().abs() < 1e-3);
}

#[test]
fn gradients_of_losses() {
    let z = Key::new(0).normal([3, 4], DType::F64);
    let labels = Tensor::from([0i64, 3, 1]);
    check_grads(|z: &Tensor| loss::cross_entropy(z, &labels), &z, 2).unwrap();
    check_grads(|z: &Tensor| loss::smooth_cross_entropy(z, &labels, 0.1), &z, 2).unwrap();
    let y = Key::new(1).uniform([3, 4], DType::F64);
    check_grads(|z: &Tensor| loss::binary_cross_entropy(z, &y), &z, 2).unwrap();
    check_grads(|z: &Tensor| loss::huber(z, &y, 0.5), &z, 1).unwrap();
    check_grads(|z: &Tensor| loss::mse(z, &y), &z, 2).unwrap();
}

#[test]
fn cross_entropy_is_exact_for_huge_logits() {
    let z = Tensor::from([[1e4, 0.0], [-1e4, 0.0]]);
    let labels = Tensor::from([1i64, 0]);
    assert_eq!(loss::cross_entropy(&z, &labels), Tensor::from(1e4));
    let slope = grad(|z: &Tensor| loss::cross_entropy(z, &labels))(&z);
    assert_eq!(slope, Tensor::from([[0.5, -0.5], [-0.5, 0.5]]));
}

fn training(epochs: usize, rate: f64) -> Training<Adam> {
    Training {
        epochs,
        batch: 128,
        optimizer: Adam::default(),
        schedule: Schedule::Constant(rate),
        shifts: 0.5,
        smoothing: 0.0,
        key: Key::new(1),
    }
}

#[test]
fn training_is_one_program_and_repeats_itself() {
    let split = data::digits().unwrap().split(&Key::new(0), 0.2);
    let model = || Mlp::new(&Key::new(2), &[64, 24, 10], Activation::Silu).with_dropout(0.1);
    let once = || fit(model(), &split, &training(3, 1e-2), |_| ControlFlow::Continue(())).unwrap();
    let (a, b) = (once(), once());
    assert_eq!(a.programs, 1);
    assert_eq!(a.model.tensors(), b.model.tensors());
    assert!(a.history[2].train_loss < a.history[0].train_loss);
    assert!(a.history[2].test_accuracy > 0.8, "{:?}", a.history);
}

#[test]
fn a_convolutional_network_learns_within_a_few_steps() {
    let digits = data::digits().unwrap();
    let split = digits.take(&Tensor::arange(160, DType::I64)).split(&Key::new(0), 0.2);
    let settings = Training { batch: 32, shifts: 0.0, ..training(4, 3e-3) };
    let outcome = fit(Cnn::digits(&Key::new(0)), &split, &settings, |_| ControlFlow::Continue(())).unwrap();
    let (first, last) = (&outcome.history[0], &outcome.history[3]);
    assert!(last.train_loss < 0.8 * first.train_loss, "{:?}", outcome.history);
}

#[test]
fn callbacks_end_the_training_and_errors_say_why() {
    let split = data::digits().unwrap().split(&Key::new(0), 0.2);
    let model = || Mlp::new(&Key::new(2), &[64, 10], Activation::Relu);
    let mut seen = 0;
    let outcome = fit(model(), &split, &training(5, 1e-2), |event| {
        seen += usize::from(matches!(event, Event::Step { .. }));
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!((seen, outcome.history.len()), (3, 1));
    let wrong = Training { batch: 5000, ..training(1, 1e-2) };
    let error = fit(model(), &split, &wrong, |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("between 1 and 1437"), "{error}");
    let broken = model();
    let broken = Mlp { layers: broken.layers.iter().map(poisoned).collect(), ..broken };
    let error =
        fit(broken, &split, &training(1, 1e-2), |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("NaN at step 0"), "{error}");
}

/// The same layer with values that are no numbers.
fn poisoned(layer: &gradus_nn::layers::Linear) -> gradus_nn::layers::Linear {
    gradus_nn::layers::Linear { weight: layer.weight.clone() * f64::NAN, bias: None }
}

#[test]
fn a_split_is_a_partition() {
    let digits = data::digits().unwrap();
    let n = digits.len() as i64;
    let numbered = data::Dataset { inputs: digits.inputs, labels: Tensor::arange(n as usize, DType::I64) };
    let split = numbered.split(&Key::new(5), 0.2);
    let mut all = split.train.labels.to_vec::<i64>();
    all.extend(split.held_out.labels.to_vec::<i64>());
    all.sort_unstable();
    assert!(all.into_iter().eq(0..n));
    let epoch: Vec<_> = split.train.batches(&Key::new(0), 100).collect();
    assert_eq!(epoch.len(), 14);
    // The model sees what belongs together.
    let first = &epoch[0];
    let one = first.labels.to_vec::<i64>()[7];
    assert_eq!(first.inputs.index(0, 7), numbered.inputs.index(0, one as isize));
}

#[test]
fn shifts_keep_what_stays_inside() {
    let mut image = vec![0f32; 25];
    image[12] = 1.0;
    let x = Tensor::new([1, 1, 5, 5], image).unwrap();
    let y = data::shifted(&x, &Key::new(0), 1.0);
    // Linear interpolation keeps the mass of what does not leave the image.
    assert!((y.sum(()).item::<f64>() - 1.0).abs() < 1e-6);
    let z = Cnn::digits(&Key::new(0)).forward(&Tensor::zeros([1, 1, 8, 8], DType::F32), None);
    assert_eq!(z, Tensor::zeros([1, 10], DType::F32));
}

/// Optimisers and schedules are static values: a compiled step takes them as arguments, and another one is another program.
#[test]
fn optimisers_and_schedules_are_arguments() {
    let step = jit(|(adam, schedule, w): &(Adam, Schedule, Tensor)| {
        let slope = grad(|w: &Tensor| w.square().sum(()))(w);
        adam.update(w, &slope, &State::new(adam, w), &w.new_full([], w.dtype(), schedule.at(0))).0
    });
    let w = Tensor::from([1.0, -2.0]);
    let adam = Adam::default();
    let decayed = Adam { epsilon: 1.0, ..adam };
    let rates = [Schedule::Constant(0.5), Schedule::Constant(0.25)];
    let mut seen = Vec::new();
    for _ in 0..2 {
        for adam in [adam, decayed] {
            for rate in rates {
                seen.push(step.call(&(adam, rate, w.clone())));
            }
        }
    }
    assert_eq!(step.programs(), 4);
    assert_eq!(seen[..4], seen[4..]);
    assert!((0..4).all(|i| (0..i).all(|j| seen[i] != seen[j])));
    assert!(step.why_recompiled().contains("`.0.epsilon` was 1e-8, is 1.0"), "{}", step.why_recompiled());
}

//! How many passes over memory functions take with their derivatives: counted, so that none creeps in.

use gradus::{Axes, DType, Key, Tensor, jit, jvp, value_and_grad, vjp};
use gradus_nn::layers::{Activation, BatchNorm};
use gradus_nn::{Adam, Optimizer, Sgd, State, loss};
use gradus_plan::Plan;

const N: usize = 100_000;
const ROWS: [usize; 2] = [200, 512];

fn numbers(shape: impl Into<gradus::Shape>, seed: u64) -> Tensor {
    Key::new(seed).normal(shape, DType::F32)
}

/// Kernels that move much, and all kernels.
fn expect(what: &str, plan: &Plan, passes: usize, kernels: usize) {
    let counted = plan.kernels().iter().filter(|k| k.bytes >= (N / 2) as f64).count();
    assert_eq!((counted, plan.kernels().len()), (passes, kernels), "{what}: {}", plan.explain());
}

#[test]
fn a_derivative_alone_is_one_pass() {
    let (x, rows) = (numbers([N], 0), numbers(ROWS, 0));
    for f in [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Mish,
        Activation::Relu,
        Activation::Tanh,
    ] {
        let back = jit(move |(x, ct): &(Tensor, Tensor)| vjp(|x: &Tensor| f.apply(x), x).1(ct));
        expect(&format!("{f:?} backward"), &back.plan(&(x.clone(), x.clone())), 1, 1);
        let both = jit(move |x: &Tensor| jvp(|x: &Tensor| f.apply(x), x, &x.ones_like()));
        expect(&format!("{f:?} with derivative"), &both.plan(&x), 1, 1);
    }
    type Map = fn(&Tensor) -> Tensor;
    let of_rows: [(&str, Map); 3] = [
        ("softmax", |x| x.softmax(-1)),
        ("log-softmax", |x| x.log_softmax(-1)),
        ("layer norm", |x| x.standardize(-1, 1e-5)),
    ];
    for (name, f) in of_rows {
        let back = jit(move |(x, ct): &(Tensor, Tensor)| vjp(f, x).1(ct));
        expect(&format!("{name} backward"), &back.plan(&(rows.clone(), rows.clone())), 1, 1);
    }
}

#[test]
fn a_loss_and_its_gradient_are_one_pass() {
    let x = numbers(ROWS, 0);
    let labels = Tensor::new([ROWS[0]], (0..ROWS[0]).map(|i| (i * 7 % ROWS[1]) as i64).collect()).unwrap();
    let f = jit(|(x, y): &(Tensor, Tensor)| value_and_grad(|x: &Tensor| loss::cross_entropy(x, y))(x));
    // What labels name is picked first, a number a row; the mean of the rows is taken last.
    expect("cross-entropy", &f.plan(&(x.clone(), labels.clone())), 1, 3);
    let f = jit(|(x, b, y): &(Tensor, Tensor, Tensor)| {
        value_and_grad(|(x, b): &(Tensor, Tensor)| loss::cross_entropy(&(x + b), y))(&(x.clone(), b.clone()))
    });
    // The same from the bias, whose gradient sums the rows.
    expect("cross-entropy with bias", &f.plan(&(x.clone(), numbers([ROWS[1]], 1), labels)), 1, 4);
    let f = jit(|(x, y): &(Tensor, Tensor)| value_and_grad(|x: &Tensor| loss::mse(x, y))(x));
    expect("mean squared error", &f.plan(&(x.clone(), x)), 1, 2);
}

#[test]
fn an_update_is_one_pass() {
    let (x, scalar) = (numbers([N], 0), Tensor::from(5f32));
    let adam = Adam { decay: 0.1, ..Adam::default() };
    let f = jit(move |(p, g, s, r): &(Tensor, Tensor, State<Tensor>, Tensor)| adam.update(p, g, s, r));
    // The step and what is made of it are scalars.
    expect("adam", &f.plan(&(x.clone(), x.clone(), State::new(&adam, &x), scalar.clone())), 1, 2);
    let f = jit(|(p, g, m, v, steps, rate): &(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)| {
        let mut moments = [m.clone(), v.clone()];
        (Adam::default().step(p, g, &mut moments, steps, rate), moments[0].clone(), moments[1].clone())
    });
    let same = || x.clone();
    let steps = Tensor::from(3f32);
    expect("adam's step", &f.plan(&(same(), same(), same(), same(), steps, scalar.clone())), 1, 2);
    let sgd = Sgd { momentum: 0.9, nesterov: true, decay: 0.1 };
    let f = jit(move |(p, g, s, r): &(Tensor, Tensor, State<Tensor>, Tensor)| sgd.update(p, g, s, r));
    expect("momentum", &f.plan(&(x.clone(), x.clone(), State::new(&sgd, &x), scalar)), 1, 2);
}

#[test]
fn a_batch_norm_reads_its_input_twice() {
    let images = numbers([32, 64, 8, 8], 0);
    let layer = BatchNorm::new(64);
    // The shift is the mean of the first example; the rest sums up examples.
    let f = jit(|(l, x): &(BatchNorm, Tensor)| l.train(x));
    expect("training", &f.plan(&(layer.clone(), images.clone())), 2, 6);
    let f = jit(|(l, x): &(BatchNorm, Tensor)| l.forward(x).relu());
    expect("inference", &f.plan(&(layer.clone(), images.clone())), 1, 2);
    // Forward two, backward one for the sums and one for the cotangent of the input; nothing comes between the passes
    // here, so that two of them are one.
    let f = jit(|(l, x, ct): &(BatchNorm, Tensor, Tensor)| {
        let (y, pull) = vjp(|(l, x): &(BatchNorm, Tensor)| l.train(x).0.relu(), &(l.clone(), x.clone()));
        (y, pull(ct))
    });
    expect("with gradient", &f.plan(&(layer, images.clone(), images.clone())), 3, 13);
    let f = jit(|x: &Tensor| {
        let axes = Axes::keep(vec![0usize, 2, 3]);
        let centred = x - x.mean(axes.clone());
        let variance = centred.square().mean(axes);
        centred * (variance + 1e-5).rsqrt()
    });
    expect("by definition", &f.plan(&images), 3, 7);
}

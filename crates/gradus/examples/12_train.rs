//! A network trained from nothing but this crate: two spirals, told apart.

use gradus::{DType, Key, Tensor, Tree, jit, value_and_grad};

#[derive(Clone, Tree)]
struct Network {
    layers: Vec<(Tensor, Tensor)>,
}

impl Network {
    fn new(key: &Key, widths: &[usize]) -> Self {
        let layer = |(pair, key): (&[usize], &Key)| {
            let scale = (2.0 / pair[0] as f64).sqrt();
            (key.normal([pair[0], pair[1]], DType::F32) * scale, Tensor::zeros([pair[1]], DType::F32))
        };
        let keys = key.split_n(widths.len() - 1);
        Network { layers: widths.windows(2).zip(&keys).map(layer).collect() }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let (last, hidden) = self.layers.split_last().expect("at least one layer");
        let x = hidden.iter().fold(x.clone(), |x, (w, b)| (x.matmul(w) + b).silu());
        x.matmul(&last.0) + &last.1
    }
}

fn main() {
    // Two arms of a spiral, 200 points each, with some noise.
    let t = Tensor::linspace(0.5, 3.0, 200, DType::F32);
    let arm = |phase: f64, seed: u64| {
        let angle = &t * 3.0 + phase;
        let points = Tensor::stack(&[&(&t * angle.cos()), &(&t * angle.sin())], 1);
        points + Key::new(seed).normal([200, 2], DType::F32) * 0.05
    };
    let x = Tensor::concat(&[&arm(0.0, 1), &arm(std::f64::consts::PI, 2)], 0);
    let y = Tensor::concat(&[&Tensor::zeros([200, 1], DType::F32), &Tensor::ones([200, 1], DType::F32)], 0);

    // One step: loss, gradient, momentum. What changes is an argument; the data is captured.
    let step = jit(|(net, velocity, rate): &(Network, Network, Tensor)| {
        let (loss, slope) = value_and_grad(|net: &Network| {
            let z = net.forward(&x);
            (z.softplus() - &z * &y).mean(()) // cross entropy of a yes-no question
        })(net);
        let velocity = velocity.zip_map(&slope, |v, g| v * 0.9 - rate * g);
        (net.zip_map(&velocity, |p, v| p + v), velocity, loss)
    });
    let mut net = Network::new(&Key::new(0), &[2, 32, 32, 1]);
    let mut velocity = net.map(&mut |p| p.zeros_like());
    for i in 0..=1500 {
        let (next, next_velocity, loss) = step.call(&(net, velocity, Tensor::from(0.05f32)));
        (net, velocity) = (next, next_velocity);
        if i % 300 == 0 {
            println!("step {i:>4}: loss {:.4}", loss.item::<f64>());
        }
    }
    let right = net.forward(&x).greater(0.0).equal(y.greater(0.5)).cast(DType::F32).mean(());
    println!("{:.1} % of the points told apart", 100.0 * right.item::<f64>());
    assert!(right.item::<f64>() > 0.98);
    assert_eq!(step.programs(), 1);
}

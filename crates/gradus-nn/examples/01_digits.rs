//! A convolutional network learns to read handwritten digits: the layers, and `fit` for the training loop.

use std::ops::ControlFlow;

use gradus::{Key, Tensor, Tree};
use gradus_nn::layers::{Conv2d, Linear};
use gradus_nn::{Event, Model, Schedule, Training, data, fit};

#[derive(Clone, Tree)]
struct Cnn {
    first: Conv2d,
    second: Conv2d,
    out: Linear,
}

impl Cnn {
    fn new(key: &Key) -> Self {
        let keys = key.split_n(3);
        Cnn {
            first: Conv2d::new(&keys[0], 1, 8, 3).padding(1),
            second: Conv2d::new(&keys[1], 8, 16, 3).padding(1),
            out: Linear::new(&keys[2], 64, 10),
        }
    }
}

impl Model for Cnn {
    fn forward(&self, x: &Tensor, _training: Option<&Key>) -> Tensor {
        let x = self.first.forward(x).relu().max_pool2d(2); // [N, 1, 8, 8] to [N, 8, 4, 4]
        let x = self.second.forward(&x).relu().max_pool2d(2); // [N, 16, 2, 2]
        self.out.forward(&x.flatten_from(1))
    }
}

fn main() -> gradus_nn::Result<()> {
    let split = data::digits()?.split(&Key::new(0), 0.2);
    let training = Training { epochs: 5, schedule: Schedule::Constant(1e-2), ..Training::default() };
    let outcome = fit(Cnn::new(&Key::new(1)), &split, &training, |event| {
        if let Event::Epoch(e) = event {
            println!("epoch {}: {:.1} % of the held-out digits right", e.epoch, 100.0 * e.test_accuracy);
        }
        ControlFlow::Continue(())
    })?;

    let (image, digit) = (split.held_out.inputs.slice(0, ..1), split.held_out.labels.at(0));
    let shares = outcome.model.forward(&image, None).softmax(-1).at(0);
    println!("a {digit}: {shares:.2}");
    assert!(outcome.history.last().is_some_and(|e| e.test_accuracy > 0.94));
    Ok(())
}

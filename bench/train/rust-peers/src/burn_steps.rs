//! The steps in burn, on its `flex` back end.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::{gelu, relu, softplus};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde_json::Value;

use crate::measure::measure;
use crate::{labels, mlp, numbers};

#[derive(Module, Debug)]
struct Mlp {
    layers: Vec<Linear>,
    mish: bool,
}

impl Mlp {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let act = |x: Tensor<2>| if self.mish { x.clone() * softplus(x, 1.0).tanh() } else { gelu(x) };
        let x = act(self.layers[0].forward(x));
        let x = act(self.layers[1].forward(x));
        self.layers[2].forward(x)
    }
}

#[derive(Module, Debug)]
struct Cnn {
    first: Conv2d,
    second: Conv2d,
    pool: MaxPool2d,
    hidden: Linear,
    head: Linear,
}

impl Cnn {
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(relu(self.first.forward(x)));
        let x = self.pool.forward(relu(self.second.forward(x)));
        self.head.forward(relu(self.hidden.forward(x.flatten(1, 3))))
    }
}

pub fn run(case: &str) -> Option<Value> {
    let device = Device::flex().autodiff();
    let linear = |i, o| LinearConfig::new(i, o).init(&device);
    let input = |shape: Vec<usize>| TensorData::new(numbers(shape.iter().product()), shape);
    let targets = |n: usize| Tensor::<1, Int>::from_data(TensorData::new(labels(n), [n]), &device);
    if let Some((mish, batch)) = mlp(case) {
        let model = Mlp { layers: vec![linear(784, 512), linear(512, 512), linear(512, 10)], mish };
        let x = Tensor::<2>::from_data(input(vec![batch, 784]), &device);
        return Some(steps(case, model, targets(batch), &device, move |m| m.forward(x.clone())));
    }
    if case != "d" {
        return None;
    }
    let conv = |i, o| {
        Conv2dConfig::new([i, o], [5, 5]).with_padding(PaddingConfig2d::Explicit(2, 2, 2, 2)).init(&device)
    };
    let pool = MaxPool2dConfig::new([2, 2]).init();
    let model = Cnn {
        first: conv(1, 32),
        second: conv(32, 64),
        pool,
        hidden: linear(3136, 128),
        head: linear(128, 10),
    };
    let x = Tensor::<4>::from_data(input(vec![128, 1, 28, 28]), &device);
    Some(steps(case, model, targets(128), &device, move |m| m.forward(x.clone())))
}

fn steps<M: Module>(
    case: &str,
    model: M,
    targets: Tensor<1, Int>,
    device: &Device,
    forward: impl Fn(&M) -> Tensor<2>,
) -> Value {
    let mut optimizer = SgdConfig::new().init();
    let criterion = CrossEntropyLossConfig::new().init(device);
    let mut model = Some(model);
    measure(case, "burn-flex", || {
        let current = model.take().expect("it is put back below");
        let loss = criterion.forward(forward(&current), targets.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &current);
        model = Some(optimizer.step(0.01, current, gradients));
        loss.into_scalar::<f32>()
    })
}

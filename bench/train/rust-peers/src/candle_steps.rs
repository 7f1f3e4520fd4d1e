//! The steps in candle.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{
    Conv2d, Conv2dConfig, Linear, Module, Optimizer, SGD, VarBuilder, VarMap, conv2d, linear,
    loss::cross_entropy,
};
use serde_json::Value;

use crate::measure::measure;
use crate::{labels, mlp, numbers};

struct Cnn {
    first: Conv2d,
    second: Conv2d,
    hidden: Linear,
    head: Linear,
}

impl Cnn {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.first.forward(x)?.relu()?.max_pool2d(2)?;
        let x = self.second.forward(&x)?.relu()?.max_pool2d(2)?;
        self.head.forward(&self.hidden.forward(&x.flatten_from(1)?)?.relu()?)
    }
}

fn mish(x: &Tensor) -> Result<Tensor> {
    x * (x.exp()? + 1.0)?.log()?.tanh()?
}

pub fn run(case: &str) -> Option<Value> {
    measured(case).unwrap_or_else(|error| {
        eprintln!("candle: {error}");
        None
    })
}

fn measured(case: &str) -> Result<Option<Value>> {
    let device = Device::Cpu;
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &device);
    let input = |shape: &[usize]| Tensor::from_vec(numbers(shape.iter().product()), shape, &device);
    if let Some((is_mish, batch)) = mlp(case) {
        let layers =
            [linear(784, 512, vb.pp("0"))?, linear(512, 512, vb.pp("1"))?, linear(512, 10, vb.pp("2"))?];
        let x = input(&[batch, 784])?;
        let act = |x: Tensor| if is_mish { mish(&x) } else { x.gelu_erf() };
        let forward = || layers[2].forward(&act(layers[1].forward(&act(layers[0].forward(&x)?)?)?)?);
        return steps(case, &variables, batch, forward).map(Some);
    }
    if case != "d" {
        return Ok(None);
    }
    let padded = Conv2dConfig { padding: 2, ..Conv2dConfig::default() };
    let model = Cnn {
        first: conv2d(1, 32, 5, padded, vb.pp("first"))?,
        second: conv2d(32, 64, 5, padded, vb.pp("second"))?,
        hidden: linear(3136, 128, vb.pp("hidden"))?,
        head: linear(128, 10, vb.pp("head"))?,
    };
    let x = input(&[128, 1, 28, 28])?;
    steps(case, &variables, 128, || model.forward(&x)).map(Some)
}

fn steps(
    case: &str,
    variables: &VarMap,
    batch: usize,
    forward: impl Fn() -> Result<Tensor>,
) -> Result<Value> {
    let targets = Tensor::from_vec(labels(batch), batch, &Device::Cpu)?;
    let mut optimizer = SGD::new(variables.all_vars(), 0.01)?;
    let mut failed = None;
    let value = measure(case, "candle", || {
        let step = |optimizer: &mut SGD| -> Result<f32> {
            let loss = cross_entropy(&forward()?, &targets)?;
            optimizer.backward_step(&loss)?;
            loss.to_scalar()
        };
        step(&mut optimizer).unwrap_or_else(|error| {
            failed = Some(error);
            f32::NAN
        })
    });
    failed.map_or(Ok(value), Err)
}

//! `gradus bench values`: what calls cost whose operands hold NaN, infinities, subnormal or huge numbers, beside the same
//! call on ordinary numbers.

use clap::Args;
use gradus::{DType, Jit, Key, Stencil, Tensor, jit, value_and_grad, vjp, while_loop};
use gradus_nn::{Mask, attention, loss};
use serde_json::json;

use super::Common;
use super::clock::{self, Plan};
use crate::{Error, Output};

/// Options of `gradus bench values`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Only cases whose name contains this
    filter: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// A function of tensors and the operands it is timed on.
struct Case {
    name: &'static str,
    f: Jit<Vec<Tensor>, Vec<Tensor>, Function>,
    operands: Vec<Tensor>,
}

type Function = Box<dyn Fn(&Vec<Tensor>) -> Vec<Tensor>>;

/// A change of the operands.
type Change = (&'static str, fn(usize, &Tensor) -> Tensor);

/// Every `step`-th element replaced by one of `values` in turn, where there is any other.
fn strewn(x: &Tensor, step: usize, values: &[f64]) -> Tensor {
    let n = x.size();
    let chosen = |i: usize| i % step == step / 2;
    let mask = Tensor::new(x.shape(), (0..n).map(chosen).collect()).expect("an element each");
    let fill = (0..n).map(|i| values[i / step % values.len()] as f32).collect();
    mask.select(Tensor::new(x.shape(), fill).expect("an element each").cast(x.dtype()), x)
}

const CHANGES: [Change; 6] = [
    ("nan", |i, x| if i == 0 { x * f64::NAN } else { x.clone() }),
    ("one nan", |_, x| strewn(x, x.size(), &[f64::NAN])),
    ("infinities", |_, x| strewn(x, 1021, &[f64::INFINITY])),
    ("mixed", |_, x| strewn(&strewn(x, 3, &[0.0]), 97, &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY])),
    ("subnormal", |_, x| x * if x.dtype() == DType::F64 { 1e-310 } else { 1e-40 }),
    ("huge", |_, x| x * 1e30),
];

pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let threads = arguments.common.start()?;
    let output = Output::of(arguments.common.json, false);
    output.text(|| {
        let names: String = CHANGES.iter().map(|(name, _)| format!("{name:>11}")).collect();
        format!(
            "{threads} threads; times as often as with ordinary numbers\n{:<30}{:>10}{names}",
            "case", "ms"
        )
    })?;
    let (mut worst, mut worst_case) = (0f64, String::new());
    for case in cases().into_iter().filter(|c| arguments.filter.as_deref().is_none_or(|f| c.name.contains(f)))
    {
        let healthy = case.seconds(&case.operands);
        let mut line = format!("{:<30}{:>10.3}", case.name, healthy * 1e3);
        for (name, change) in CHANGES {
            let floats = |t: &Tensor| t.dtype().is_float();
            let changed = case.operands.iter().enumerate();
            let changed: Vec<Tensor> =
                changed.map(|(i, x)| if floats(x) { change(i, x) } else { x.clone() }).collect();
            let ratio = case.seconds(&changed) / healthy;
            if ratio > worst {
                (worst, worst_case) = (ratio, format!("{}, {name}", case.name));
            }
            line += &format!("{ratio:>11.2}");
            output.json(|| {
                json!({"case": case.name, "values": name, "threads": threads, "ms": healthy * 1e3, "ratio": ratio})
            })?;
        }
        output.text(|| line)?;
    }
    output.json(|| json!({"event": "done", "worst_ratio": worst, "worst_case": worst_case}))?;
    output.text(|| format!("the worst: {worst:.2} ({worst_case})"))
}

impl Case {
    fn seconds(&self, operands: &Vec<Tensor>) -> f64 {
        clock::time(Plan::KERNEL, None, || drop(self.f.call(operands))).best
    }
}

/// Numbers of both signs.
fn drawn(seed: u64, shape: &[usize]) -> Tensor {
    Key::new(seed).normal(shape, DType::F32)
}

/// A function.
fn case(
    name: &'static str,
    operands: Vec<Tensor>,
    f: impl Fn(&Vec<Tensor>) -> Vec<Tensor> + 'static,
) -> Case {
    Case { name, f: jit(Box::new(f)), operands }
}

/// The gradients of a function of all operands but the last, which is the cotangent.
fn gradients(name: &'static str, operands: Vec<Tensor>, f: fn(&Vec<Tensor>) -> Tensor) -> Case {
    case(name, operands, move |x| {
        let (ct, x) = x.split_last().expect("a cotangent");
        vjp(f, &x.to_vec()).1(ct)
    })
}

/// The gradients of a convolution.
fn convolution(
    name: &'static str,
    [batch, inputs, outputs, side]: [usize; 4],
    [kernel, stride, groups]: [usize; 3],
) -> Case {
    let out = side.div_ceil(stride);
    let x = drawn(0, &[batch, inputs, side, side]);
    let w = drawn(1, &[outputs, inputs / groups, kernel, kernel]);
    case(name, vec![x, w, drawn(2, &[batch, outputs, out, out])], move |x| {
        let stencil = Stencil::new(2).stride(stride).padding(kernel / 2).groups(groups);
        let (y, pull) = vjp(move |x: &Vec<Tensor>| x[0].conv(&x[1], &stencil), &x[..2].to_vec());
        let mut all = pull(&x[2]);
        all.push(y);
        all
    })
}

/// A function of 10⁶ elements in rows of 1,000.
fn rows(name: &'static str, f: fn(&Tensor) -> Tensor) -> Case {
    case(name, vec![drawn(0, &[1000, 1000])], move |x| vec![f(&x[0])])
}

/// The same with its gradient.
fn rows_gradient(name: &'static str, f: fn(&Tensor) -> Tensor) -> Case {
    case(name, vec![drawn(0, &[1000, 1000]), drawn(1, &[1000, 1000])], move |x| {
        let (y, pull) = vjp(f, &x[0]);
        vec![y, pull(&x[1])]
    })
}

fn cases() -> Vec<Case> {
    let labels = Tensor::new([128], (0..128).map(|i| i % 10).collect::<Vec<i64>>()).expect("128 labels");
    let weights = [[784, 512], [512, 256], [256, 10]];
    let mut operands = vec![drawn(9, &[128, 784])];
    operands.extend(weights.iter().enumerate().map(|(i, s)| drawn(i as u64, s) * 0.05));
    let mlp = case("MLP step", operands, move |x| {
        let (data, weights) = x.split_first().expect("data and weights");
        let loss = |w: &Vec<Tensor>| {
            loss::cross_entropy(&data.matmul(&w[0]).relu().matmul(&w[1]).relu().matmul(&w[2]), &labels)
        };
        let (value, mut all) = value_and_grad(loss)(&weights.to_vec());
        all.push(value);
        all
    });
    let attend = |name: &'static str, shape: [usize; 4], causal: bool| {
        let drawn = |seed| drawn(seed, &shape);
        case(name, vec![drawn(0), drawn(1), drawn(2), drawn(3)], move |x| {
            let f = move |x: &Vec<Tensor>| {
                attention(&x[0], &x[1], &x[2], if causal { Mask::Causal } else { Mask::None })
            };
            let (y, pull) = vjp(f, &x[..3].to_vec());
            let mut all = pull(&x[3]);
            all.push(y);
            all
        })
    };
    let square = |seed| drawn(seed, &[1024, 1024]);
    let double = |seed| drawn(seed, &[512, 512]).cast(DType::F64);
    let batched = |seed| drawn(seed, &[64, 96, 96]);
    let small = |seed| drawn(seed, &[20_000, 4, 4]);
    vec![
        mlp,
        gradients("product NN", vec![square(0), square(1), square(2)], |x| x[0].matmul(&x[1])),
        gradients("product NT", vec![square(0), square(1), square(2)], |x| x[0].matmul(&x[1].t())),
        gradients("product TN", vec![square(0), square(1), square(2)], |x| x[0].t().matmul(&x[1])),
        gradients("product f64", vec![double(0), double(1), double(2)], |x| x[0].matmul(&x[1])),
        gradients("products batched", vec![batched(0), batched(1), batched(2)], |x| x[0].matmul(&x[1])),
        gradients("products of 4x4", vec![small(0), small(1), small(2)], |x| x[0].matmul(&x[1])),
        gradients(
            "matrix and vector",
            vec![drawn(0, &[1, 2048]), drawn(1, &[2048, 2048]), drawn(2, &[1, 2048])],
            |x| x[0].matmul(&x[1]),
        ),
        attend("attention", [4, 4, 256, 64], false),
        attend("causal attention", [4, 4, 256, 64], true),
        convolution("convolution 1 to 32", [32, 1, 32, 28], [5, 1, 1]),
        convolution("convolution Winograd", [16, 64, 64, 32], [3, 1, 1]),
        convolution("convolution strided", [16, 64, 128, 32], [3, 2, 1]),
        convolution("convolution pointwise", [16, 64, 128, 32], [1, 1, 1]),
        convolution("convolution depthwise", [16, 128, 128, 16], [3, 1, 128]),
        rows_gradient("x sin x", |x| x * x.sin()),
        rows_gradient("tanh(x) exp(-x^2)", |x| x.tanh() * (-x.square()).exp()),
        rows_gradient("softmax", |x| x.softmax(-1)),
        rows_gradient("log-softmax", |x| x.log_softmax(-1)),
        rows_gradient("sum over rows", |x| x.sum(-1).expand_dims(-1) * x),
        rows_gradient("max over rows", |x| x.max(-1).expand_dims(-1) * x),
        rows_gradient("running sum", |x| x.cumsum(-1)),
        rows_gradient("running product", |x| x.cumprod(-1)),
        rows_gradient("layer norm", |x| x.standardize(-1, 1e-5)),
        rows("sort", |x| x.sort(-1)),
        rows("argmax", |x| x.argmax(-1)),
        rows("sin", Tensor::sin),
        rows("cos in f64", |x| x.cast(DType::F64).cos()),
        rows("tan", Tensor::tan),
        rows("exp", Tensor::exp),
        rows("log", |x| x.abs().log()),
        rows("pow", |x| x.abs().pow(x)),
        rows("sqrt", |x| x.abs().sqrt()),
        rows("erf", Tensor::erf),
        rows("lgamma", Tensor::lgamma),
        rows("remainder", |x| x % 0.7),
        rows("quotient", |x| 0.7 / x),
        rows("round", Tensor::round),
        rows("to integers", |x| x.cast(DType::I32)),
        rows("max pool", |x| x.reshape([1, 1, 1000, 1000]).max_pool(&[2, 2], &Stencil::new(2).stride(2))),
        case("loop of 100 steps", vec![drawn(0, &[1000])], |x| {
            let start = (x[0].clone(), Tensor::from(0i64));
            let step = |(y, k): &(Tensor, Tensor)| ((y * 0.9).sin(), k + 1);
            vec![while_loop(&start, |(_, k)| k.less(100), step).0]
        }),
    ]
}

//! `gradus bench kernels`: a line a kernel and size, beside the machine's peaks.
//!
//! Each kernel is an ordinary function of tensors, compiled. What is timed are whole calls on the same arguments, one after
//! another, as the libraries beside it are timed; an optimiser's update is given its own results to write over. Where the
//! planner makes several kernels of one function, all of them are in it.

use clap::Args;
use gradus::{Axes, DType, Jit, Key, Peaks, Stencil, Tensor, Tree, jit, jvp, vjp};
use gradus_cpu::Pool;
use gradus_nn::layers::Activation;
use gradus_nn::{Adam, Mask, Optimizer, attention, loss};
use serde_json::json;

use super::Common;
use super::clock::{self, Plan};
use crate::{Error, Output};

/// Options of `gradus bench kernels`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Only kernels whose name contains this
    filter: Option<String>,
    /// Only the kernel of just this name
    #[arg(long, requires = "filter")]
    exact: bool,
    #[command(flatten)]
    common: Common,
    /// Elements, for all kernels but products and convolutions
    #[arg(long, value_delimiter = ',', default_values_t = [1_000_000, 10_000_000], value_parser = size)]
    sizes: Vec<usize>,
}

/// A size as users write it.
pub fn size(text: &str) -> Result<usize, String> {
    match text.replace('_', "").parse::<f64>() {
        Ok(n) if (1.0..=1e10).contains(&n) && n.fract() == 0.0 => Ok(n as usize),
        _ => Err("a size is a whole number such as 1000000 or 1e6".into()),
    }
}

/// A benchmark: it is given the wanted number of elements and tells what ran.
type Kernel = (&'static str, fn(usize) -> Run);

/// What ran.
struct Run {
    /// Elements that the time is divided by.
    elements: usize,
    /// Sizes, in words.
    shape: String,
    /// Seconds a call.
    seconds: f64,
    /// What the plan's kernels do, each: operations, bytes, whether it is a product or a convolution.
    kernels: Vec<(f64, f64, bool)>,
}

impl Run {
    /// The least seconds that the machine's peaks allow, kernel by kernel, over those taken.
    fn share(&self, peaks: &Peaks) -> f64 {
        let least =
            |&(flops, bytes, product): &(f64, f64, bool)| peaks.share(flops, bytes, 1.0, false, product);
        self.kernels.iter().map(least).sum::<f64>() / self.seconds
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let threads = arguments.common.start()?;
    let output = Output::of(arguments.common.json, false);
    let fits =
        |name: &str, filter: &str| if arguments.exact { name == filter } else { name.contains(filter) };
    let wanted = |name: &str| arguments.filter.as_deref().is_none_or(|f| fits(name, f));
    let names: Vec<&str> =
        ELEMENTWISE.iter().map(|k| k.0).chain(["matmul", "conv", "attention", "masked attention"]).collect();
    if !names.iter().any(|name| wanted(name)) {
        let name = arguments.filter.as_deref().unwrap_or_default();
        return Err(Error::Usage(format!(
            "no kernel has \"{name}\" in its name; there are {}",
            names.join(", ")
        )));
    }
    let peaks = Peaks::of(Pool::global());
    output.text(|| {
        format!(
            "{threads} threads; peaks: {:.1} GFLOP/s f32, {:.1} f64; {:.1} GB/s read, {:.1} read and written, {:.1} in a cache\n{:<28} {:<28} {:>10} {:>9} {:>9} {:>6} {:>8}",
            peaks.f32_gflops, peaks.f64_gflops, peaks.read_gbps, peaks.copy_gbps, peaks.cache_gbps,
            "kernel", "size", "ns/element", "GB/s", "GFLOP/s", "peak", "kernels"
        )
    })?;
    let show = |name: &str, run: Run| -> Result<(), Error> {
        let seconds = run.seconds;
        let (flops, bytes): (f64, f64) =
            (run.kernels.iter().map(|k| k.0).sum(), run.kernels.iter().map(|k| k.1).sum());
        let ns = seconds * 1e9 / run.elements as f64;
        let (gbps, gflops) = (bytes / seconds * 1e-9, flops / seconds * 1e-9);
        let share = run.share(&peaks);
        output.json(|| {
            json!({"kernel": name, "lib": "gradus", "size": run.shape, "elements": run.elements, "threads": threads, "ns_per_element": ns,
                   "ms": seconds * 1e3, "gbps": gbps, "gflops": gflops, "share_of_peak": share, "kernels": run.kernels.len()})
        })?;
        output.text(|| {
            format!(
                "{name:<28} {:<28} {ns:>10.4} {gbps:>9.2} {gflops:>9.2} {:>5.0}% {:>8}",
                run.shape,
                100.0 * share,
                run.kernels.len()
            )
        })
    };
    for &(name, make) in ELEMENTWISE.iter().filter(|k| wanted(k.0)) {
        for &n in &arguments.sizes {
            show(name, make(n))?;
        }
    }
    for [m, n, k] in PRODUCTS.into_iter().filter(|_| wanted("matmul")) {
        show("matmul", product(m, n, k))?;
    }
    for conv in CONVOLUTIONS.into_iter().filter(|_| wanted("conv")) {
        for (name, run) in ["conv", "conv gradients"].into_iter().zip(conv.runs()) {
            show(name, run)?;
        }
    }
    for attention in ATTENTIONS.into_iter().filter(|_| wanted("attention")) {
        for (name, run) in ["attention", "attention gradients"].into_iter().zip(attention.runs(CAUSAL)) {
            show(name, run)?;
        }
    }
    for places in MASKED.into_iter().filter(|_| wanted("masked attention")) {
        let attention = Attention { batch: 1, heads: 2, places, features: 64 };
        for (masking, name) in MASKINGS {
            let names = [format!("attention, {name}"), format!("attention gradients, {name}")];
            for (name, run) in names.iter().zip(attention.runs(masking)) {
                show(name, run)?;
            }
        }
    }
    Ok(())
}

/// Rows of this many elements, where a kernel has rows.
const ROW: usize = 512;

/// Numbers of both signs.
fn numbers(n: usize, seed: u64) -> Tensor {
    Key::new(seed).normal([n], DType::F32)
}

/// The same with rows.
fn rows(n: usize, seed: u64) -> Tensor {
    Key::new(seed).normal([(n / ROW).max(1), ROW], DType::F32)
}

/// Times calls with the same argument.
fn timed<A: Tree, B: Tree, F: Fn(&A) -> B>(f: Jit<A, B, F>, x: A, elements: usize) -> Run {
    measured(&f, &x, elements, || drop(f.call(&x)))
}

/// Times calls by `again`, which calls `f` with something like `x`.
fn measured<A: Tree, B: Tree, F: Fn(&A) -> B>(
    f: &Jit<A, B, F>,
    x: &A,
    elements: usize,
    again: impl FnMut(),
) -> Run {
    let shape = x.tensors().first().map_or(String::new(), |t| format!("{}", t.shape()));
    let plan = f.plan(x);
    let is_product = |k: usize| plan.kernels()[k].kind() == "product" || plan.operations(k).contains("conv");
    let kernels =
        plan.kernels().iter().enumerate().map(|(k, kernel)| (kernel.flops, kernel.bytes, is_product(k)));
    let kernels = kernels.collect();
    Run { elements, shape, seconds: clock::time(Plan::KERNEL, None, again).median, kernels }
}

/// A function of one tensor, element by element.
fn map(n: usize, f: fn(&Tensor) -> Tensor) -> Run {
    timed(jit(f), numbers(n, 0), n)
}

/// The same of positive numbers.
fn map_positive(n: usize, f: fn(&Tensor) -> Tensor) -> Run {
    timed(jit(f), numbers(n, 0).abs() + 0.01, n)
}

/// An activation and its derivative.
fn with_derivative(n: usize, f: Activation) -> Run {
    let f = jit(move |x: &Tensor| jvp(|x: &Tensor| f.apply(x), x, &x.ones_like()));
    timed(f, numbers(n, 0), n)
}

/// The gradient of an activation from its argument and a cotangent.
fn backward(n: usize, f: Activation) -> Run {
    let f = jit(move |(x, ct): &(Tensor, Tensor)| vjp(|x: &Tensor| f.apply(x), x).1(ct));
    timed(f, (numbers(n, 0), numbers(n, 1)), n)
}

/// The gradient of a function of rows.
fn rows_backward(n: usize, f: fn(&Tensor) -> Tensor) -> Run {
    let x = rows(n, 0);
    let elements = x.size();
    let f = jit(move |(x, ct): &(Tensor, Tensor)| vjp(f, x).1(ct));
    timed(f, (x, rows(n, 1)), elements)
}

fn row_kernel(n: usize, f: fn(&Tensor) -> Tensor) -> Run {
    let x = rows(n, 0);
    let elements = x.size();
    timed(jit(f), x, elements)
}

fn normalised(x: &Tensor) -> Tensor {
    x.standardize(-1, 1e-5)
}

fn layer_norm(n: usize) -> Run {
    let x = rows(n, 0);
    let elements = x.size();
    let f = jit(|(x, w, b): &(Tensor, Tensor, Tensor)| x.standardize(-1, 1e-5) * w + b);
    timed(f, (x, Tensor::ones([ROW], DType::F32), Tensor::zeros([ROW], DType::F32)), elements)
}

/// Loss and gradient.
fn cross_entropy(n: usize) -> Run {
    let x = rows(n, 0);
    let elements = x.size();
    let labels = Tensor::new([x.shape()[0]], (0..x.shape()[0]).map(|i| (i * 7 % ROW) as i64).collect());
    let labels = labels.expect("one label for each row");
    let f =
        jit(|(x, y): &(Tensor, Tensor)| gradus::value_and_grad(|x: &Tensor| loss::cross_entropy(x, y))(x));
    timed(f, (x, labels), elements)
}

fn adam(n: usize) -> Run {
    let f = jit(|(p, g, m, v, steps, rate): &(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)| {
        let mut moments = [m.clone(), v.clone()];
        let p = Adam::default().step(p, g, &mut moments, steps, rate);
        let [m, v] = moments;
        (p, m, v)
    });
    let (g, steps, rate) = (numbers(n, 1), Tensor::from(5f32), Tensor::from(1e-3f32));
    let mut state = Some((numbers(n, 0), numbers(n, 2), numbers(n, 3).square()));
    let x = (numbers(n, 0), g.clone(), numbers(n, 2), numbers(n, 3), steps.clone(), rate.clone());
    measured(&f, &x, n, || {
        if let Some((p, m, v)) = state.take() {
            state = Some(f.call_owned((p, g.clone(), m, v, steps.clone(), rate.clone())));
        }
    })
}

fn momentum(n: usize) -> Run {
    let f = jit(|(p, g, m): &(Tensor, Tensor, Tensor)| {
        let m = m * 0.9 + g;
        (p - &m * 0.01, m)
    });
    let g = numbers(n, 1);
    let mut state = Some((numbers(n, 0), numbers(n, 2)));
    let x = (numbers(n, 0), g.clone(), numbers(n, 2));
    measured(&f, &x, n, || {
        if let Some((p, m)) = state.take() {
            state = Some(f.call_owned((p, g.clone(), m)));
        }
    })
}

fn batch_norm(n: usize) -> Run {
    let channels = 64;
    let x = Key::new(0).normal([(n / (channels * 256)).max(1), channels, 16, 16], DType::F32);
    let elements = x.size();
    let f = jit(|x: &Tensor| {
        let axes = vec![0usize, 2, 3];
        let centred = x - x.mean(Axes::keep(axes.clone()));
        let variance = centred.square().mean(Axes::keep(axes));
        centred * (variance + 1e-5).rsqrt()
    });
    timed(f, x, elements)
}

/// All kernels whose size is a number of elements.
const ELEMENTWISE: [Kernel; 35] = [
    ("add", |n| timed(jit(|(x, y): &(Tensor, Tensor)| x + y), (numbers(n, 0), numbers(n, 1)), n)),
    ("exp", |n| map(n, Tensor::exp)),
    ("expm1", |n| map(n, Tensor::expm1)),
    ("log", |n| map_positive(n, Tensor::log)),
    ("log1p", |n| map_positive(n, Tensor::log1p)),
    ("tanh", |n| map(n, Tensor::tanh)),
    ("sigmoid", |n| map(n, Tensor::sigmoid)),
    ("softplus", |n| map(n, Tensor::softplus)),
    ("erf", |n| map(n, Tensor::erf)),
    ("sin", |n| map(n, Tensor::sin)),
    ("cos", |n| map(n, Tensor::cos)),
    ("sqrt", |n| map_positive(n, Tensor::sqrt)),
    ("rsqrt", |n| map_positive(n, Tensor::rsqrt)),
    ("pow", |n| {
        let f = jit(|(x, y): &(Tensor, Tensor)| x.pow(y));
        timed(f, (numbers(n, 0).abs() + 0.01, numbers(n, 1)), n)
    }),
    ("relu with derivative", |n| with_derivative(n, Activation::Relu)),
    ("mish", |n| map(n, |x| Activation::Mish.apply(x))),
    ("mish with derivative", |n| with_derivative(n, Activation::Mish)),
    ("gelu", |n| map(n, |x| Activation::Gelu.apply(x))),
    ("gelu backward", |n| backward(n, Activation::Gelu)),
    ("gelu-tanh backward", |n| backward(n, Activation::GeluTanh)),
    ("silu with derivative", |n| with_derivative(n, Activation::Silu)),
    ("silu backward", |n| backward(n, Activation::Silu)),
    ("softmax", |n| row_kernel(n, |x| x.softmax(-1))),
    ("softmax backward", |n| rows_backward(n, |x| x.softmax(-1))),
    ("log-softmax", |n| row_kernel(n, |x| x.log_softmax(-1))),
    ("cross-entropy with gradient", cross_entropy),
    ("layer norm", layer_norm),
    ("layer norm backward", |n| rows_backward(n, normalised)),
    ("batch norm", batch_norm),
    ("sum", |n| map(n, |x| x.sum(()))),
    ("adam", adam),
    ("sort", |n| row_kernel(n, |x| x.sort(-1))),
    ("argmax", |n| row_kernel(n, |x| x.argmax(-1))),
    ("integer product", |n| {
        let side = (n as f64).sqrt() as usize;
        let x = Tensor::arange(side * side, DType::I32).reshape([side, side]);
        timed(jit(|x: &Tensor| x.matmul(x)), x, side * side)
    }),
    ("momentum", momentum),
];

/// Rows, columns, inner extent.
const PRODUCTS: [[usize; 3]; 10] = [
    [64, 64, 64],
    [256, 256, 256],
    [1024, 1024, 1024],
    [2048, 2048, 2048],
    [128, 512, 784],
    [1024, 512, 784],
    [4096, 1024, 1024],
    [2048, 1024, 256],
    [2048, 768, 256],
    [1, 4096, 4096],
];

fn product(m: usize, n: usize, k: usize) -> Run {
    let f = jit(|(a, b): &(Tensor, Tensor)| a.matmul(b));
    let a = Key::new(0).normal([m, k], DType::F32);
    let b = Key::new(1).normal([k, n], DType::F32);
    Run { shape: format!("{m}x{k} {k}x{n}"), ..timed(f, (a, b), m * n) }
}

/// A convolution of a known network.
#[derive(Clone, Copy)]
struct Convolution {
    batch: usize,
    inputs: usize,
    outputs: usize,
    side: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
}

const fn conv(
    batch: usize,
    inputs: usize,
    outputs: usize,
    side: usize,
    kernel: usize,
    stride: usize,
) -> Convolution {
    Convolution { batch, inputs, outputs, side, kernel, stride, groups: 1 }
}

const CONVOLUTIONS: [Convolution; 8] = [
    conv(128, 1, 32, 28, 5, 1),
    conv(128, 32, 64, 14, 5, 1),
    conv(32, 3, 64, 32, 3, 1),
    conv(32, 64, 64, 32, 3, 1),
    conv(32, 64, 128, 32, 3, 2),
    conv(32, 256, 256, 8, 3, 1),
    conv(32, 64, 128, 32, 1, 1),
    Convolution { groups: 128, ..conv(32, 128, 128, 16, 3, 1) },
];

impl Convolution {
    /// Forward, and both gradients.
    fn runs(self) -> [Run; 2] {
        let Convolution { batch, inputs, outputs, side, kernel, stride, groups } = self;
        let x = Key::new(0).normal([batch, inputs, side, side], DType::F32);
        let w = Key::new(1).normal([outputs, inputs / groups, kernel, kernel], DType::F32);
        let f = move |(x, w): &(Tensor, Tensor)| {
            x.conv(w, &Stencil::new(2).stride(stride).padding(kernel / 2).groups(groups))
        };
        let out = side.div_ceil(stride);
        let elements = batch * outputs * out * out;
        let groups = if groups > 1 { format!(" in {groups}") } else { String::new() };
        let shape = format!("{batch}x{inputs}x{side}x{side} {outputs}x{kernel}x{kernel}/{stride}{groups}");
        let ct = Key::new(2).normal([batch, outputs, out, out], DType::F32);
        let forward = timed(jit(f), (x.clone(), w.clone()), elements);
        let gradients = jit(move |(operands, ct): &((Tensor, Tensor), Tensor)| vjp(f, operands).1(ct));
        let back = timed(gradients, ((x, w), ct), elements);
        [Run { shape: shape.clone(), ..forward }, Run { shape, ..back }]
    }
}

/// Attention over a text, of queries, keys and values.
#[derive(Clone, Copy)]
struct Attention {
    batch: usize,
    heads: usize,
    places: usize,
    features: usize,
}

/// That of a small network, and long texts.
const ATTENTIONS: [Attention; 4] = [
    Attention { batch: 16, heads: 4, places: 128, features: 64 },
    Attention { batch: 1, heads: 8, places: 512, features: 64 },
    Attention { batch: 1, heads: 8, places: 2048, features: 64 },
    Attention { batch: 1, heads: 2, places: 8192, features: 64 },
];

/// How a mask comes to an attention, and which one.
#[derive(Clone, Copy)]
enum Masking {
    None,
    Causal,
    Window,
    /// A tensor made before the function is compiled, from whether query `i` sees key `j`, given the number of keys.
    Captured(fn(i64, i64, i64) -> bool),
    /// The same as an argument.
    Argument(fn(i64, i64, i64) -> bool),
}

/// The places of a window, and the number of documents.
const WINDOW: usize = 128;
const DOCUMENTS: i64 = 8;

const CAUSAL: Masking = Masking::Captured(|i, j, _| j <= i);

const MASKINGS: [(Masking, &str); 9] = [
    (Masking::None, "no mask"),
    (Masking::Argument(|_, _, _| true), "all true"),
    (Masking::Causal, "causal"),
    (CAUSAL, "causal, captured"),
    (Masking::Argument(|i, j, _| j <= i), "causal, argument"),
    (Masking::Window, "window"),
    (Masking::Argument(|i, j, _| j <= i && i < j + WINDOW as i64), "window, argument"),
    (Masking::Argument(|i, j, n| i * DOCUMENTS / n == j * DOCUMENTS / n), "documents, argument"),
    (Masking::Argument(|_, j, n| 2 * j < n), "padding, argument"),
];

/// Lengths of the texts that they mask.
const MASKED: [usize; 3] = [128, 1024, 4096];

impl Attention {
    /// Forward; forward and all gradients.
    fn runs(self, masking: Masking) -> [Run; 2] {
        let Attention { batch, heads, places, features } = self;
        let drawn = |seed| Key::new(seed).normal([batch, heads, places, features], DType::F32);
        let tensor = |sees: fn(i64, i64, i64) -> bool| {
            let n = places as i64;
            let elements: Vec<bool> = (0..n * n).map(|p| sees(p / n, p % n, n)).collect();
            Tensor::from(elements).reshape([places, places])
        };
        let (argument, captured) = match masking {
            Masking::Argument(sees) => (Some(tensor(sees)), None),
            Masking::Captured(sees) => (None, Some(tensor(sees))),
            Masking::None | Masking::Causal | Masking::Window => (None, None),
        };
        let f = move |(q, k, v): &(Tensor, Tensor, Tensor), argument: &Option<Tensor>| {
            let mask = match (masking, argument.as_ref().or(captured.as_ref())) {
                (_, Some(mask)) => Mask::Of(mask),
                (Masking::Causal, None) => Mask::Causal,
                (Masking::Window, None) => Mask::Window(WINDOW),
                (_, None) => Mask::None,
            };
            attention(q, k, v, mask)
        };
        let g = f.clone();
        type Operands = ((Tensor, Tensor, Tensor), Option<Tensor>);
        let (x, ct) = ((drawn(0), drawn(1), drawn(2)), drawn(3));
        let shape = format!("{batch}x{heads}x{places}x{features}");
        let elements = batch * heads * places * places;
        let forward = jit(move |(x, mask): &Operands| f(x, mask));
        let forward = timed(forward, (x.clone(), argument.clone()), elements);
        let gradients = jit(move |((x, mask), ct): &(Operands, Tensor)| {
            let (out, pull) = vjp(|x: &(Tensor, Tensor, Tensor)| g(x, mask), x);
            (out, pull(ct))
        });
        let back = timed(gradients, ((x, argument), ct), elements);
        [Run { shape: shape.clone(), ..forward }, Run { shape, ..back }]
    }
}

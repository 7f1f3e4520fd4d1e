//! Absurd sizes: layers and models of them are refused with a typed error, at once; so are files that state them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use gradus::{DType, ErrorKind, Key, Tensor, jit};
use gradus_nn::layers::{Activation, Attention, BatchNorm, Conv2d, Embedding, LayerNorm, Linear, Mlp};
use gradus_nn::models::{Gpt, Lenet, ResNet, Separable};
use gradus_nn::{Error, Init, load, read};

const SIZES: [usize; 8] =
    [1 << 60, 1 << 61, 1 << 62, (1 << 62) + 1, usize::MAX / 2, 1 << 63, usize::MAX - 1, usize::MAX];

/// Something made of a key and a size, and a tensor of it.
type Made = (&'static str, fn(&Key, usize) -> Tensor);

fn makers() -> Vec<Made> {
    vec![
        ("Linear inputs", |k, n| Linear::new(k, n, 4).weight),
        ("Linear outputs", |k, n| Linear::new(k, 4, n).weight),
        ("Linear both", |k, n| Linear::with(k, n, n, Init::Glorot).weight),
        ("Mlp", |k, n| Mlp::new(k, &[2, n, 2], Activation::Tanh).layers[0].weight.clone()),
        ("Conv2d inputs", |k, n| Conv2d::new(k, n, 2, 3).weight),
        ("Conv2d outputs", |k, n| Conv2d::new(k, 2, n, 3).weight),
        ("Conv2d size", |k, n| Conv2d::new(k, 2, 2, n).weight),
        ("Conv2d all", |k, n| Conv2d::new(k, n, n, n).weight),
        ("depthwise", |k, n| Conv2d::depthwise(k, n, 3).weight),
        ("depthwise size", |k, n| Conv2d::depthwise(k, 3, n).weight),
        ("Embedding", |k, n| Embedding::new(k, n, 4).weight),
        ("Embedding width", |k, n| Embedding::new(k, 4, n).weight),
        ("Attention", |k, n| Attention::new(k, n, 1).output.weight),
        ("LayerNorm", |_, n| LayerNorm::new(n).weight),
        ("BatchNorm", |_, n| BatchNorm::new(n).mean),
        ("Gpt layers", |k, n| Gpt::new(k, n, 4, 1, 4, 4).places),
        ("Gpt width", |k, n| Gpt::new(k, 1, n, 1, 4, 4).places),
        ("Gpt context", |k, n| Gpt::new(k, 1, 4, 1, n, 4).places),
        ("Gpt vocabulary", |k, n| Gpt::new(k, 1, 4, 1, 4, n).places),
        ("Lenet side", |k, n| Lenet::new(k, n, [2, 2], 4).linear[0].weight.clone()),
        ("Lenet channels", |k, n| Lenet::new(k, 8, [n, 2], 4).linear[0].weight.clone()),
        ("Lenet hidden", |k, n| Lenet::new(k, 8, [2, 2], n).linear[0].weight.clone()),
        ("ResNet", |k, n| ResNet::new(k, [2, n, 2, 2]).head.weight),
        ("Separable", |k, n| Separable::new(k, &[2, n]).head.weight),
        ("Init", |k, n| Init::He.sample(k, [n, 3], n, n)),
        ("Init of a constant", |k, n| Init::Constant(1.0).sample(k, [n, n], n, n)),
        ("Conv2d stride", |k, n| {
            Conv2d::new(k, 1, 1, 3).stride(n).padding(n).forward(&Tensor::ones([1, 1, 4, 4], DType::F32))
        }),
        ("Attention heads", |k, n| Attention::new(k, 4, n).forward(&Tensor::ones([1, 2, 4], DType::F32))),
    ]
}

#[test]
fn absurd_layers_are_refused_at_once() {
    for (name, make) in makers() {
        for n in SIZES {
            let start = Instant::now();
            let made = catch_unwind(AssertUnwindSafe(|| {
                jit(|_: &Tensor| make(&Key::new(0), n)).try_call(&Tensor::from(0.0))
            }));
            let Ok(made) = made else { panic!("{name} of {n} panicked") };
            let error = made.expect_err(&format!("{name} of {n}"));
            assert!(
                matches!(error.kind(), ErrorKind::TooLarge { .. } | ErrorKind::Shape { .. }),
                "{name} of {n}: {error}"
            );
            assert!(start.elapsed() < Duration::from_secs(5), "{name} of {n} took {:?}", start.elapsed());
        }
    }
}

#[test]
fn files_of_absurd_shapes_are_refused_by_read_and_by_load() {
    let folder = std::env::temp_dir().join(format!("gradus-nn-hostile-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("absurd.safetensors");
    for (shape, bytes) in [
        ("[4611686018427387905,4]", 16),
        ("[9223372036854775808,2]", 0),
        ("[9223372036854775808,0]", 0),
        ("[0,18446744073709551615]", 0),
        ("[0,4294967296,4294967296]", 0),
        ("[4294967296,4294967296,0]", 0),
        ("[18446744073709551615,18446744073709551615]", 4),
    ] {
        for dtype in ["F32", "F64", "I64", "I32", "BF16", "F16", "U8", "BOOL"] {
            let header =
                format!(r#"{{"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{bytes}]}}}}"#);
            let file =
                [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0u8; bytes][..]].concat();
            std::fs::write(&path, &file).unwrap();
            let template = vec![Tensor::from([0f32])];
            for (how, result) in
                [("read", read(&file).map(|_| ())), ("load", load(&path, &template).map(|_| ()))]
            {
                match result {
                    Err(Error::Format(why)) => assert!(why.contains("too large"), "{how} {shape}: {why}"),
                    other => panic!("{how} {shape} {dtype}: {other:?}"),
                }
            }
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

//! The functions by the names that the table has for them.

use gradus::Tensor;
use gradus_nn::layers::{Activation, BatchNorm, LayerNorm};
use gradus_nn::{clip_by_norm, global_norm, loss, optim::cast_floats};

/// The function `name` of a vector.
///
/// # Panics
/// If there is none of that name.
pub fn function(name: &str, x: &Tensor) -> Tensor {
    let zeros = || x.zeros_like();
    let row = || x.reshape([1, x.size()]);
    let first = || Tensor::from([0i64]);
    match name {
        "relu" => Activation::Relu.apply(x),
        "leaky_relu" => x.leaky_relu(0.1),
        "relu6" => x.relu6(),
        "elu" => x.elu(0.7),
        "selu" => x.selu(),
        "hard_tanh" => x.hard_tanh(),
        "hard_sigmoid" => x.hard_sigmoid(),
        "hard_swish" => x.hard_swish(),
        "gelu" => Activation::Gelu.apply(x),
        "gelu_tanh" => Activation::GeluTanh.apply(x),
        "silu" => Activation::Silu.apply(x),
        "mish" => Activation::Mish.apply(x),
        "log_sigmoid" => x.log_sigmoid(),
        "square" => x.square(),
        "clamp" => x.clamp(-2.0, 3.0),
        "sum" => x.sum(()),
        "mean" => x.mean(()),
        "var" => x.var((), 0),
        "var(1)" => x.var((), 1),
        "std" => x.std((), 0),
        "std(1)" => x.std((), 1),
        "norm" => x.norm(()),
        "global_norm" => {
            let (first, rest) = (x.slice(0, ..1), x.slice(0, 1..));
            global_norm(&(first, rest))
        }
        "norm_p(1)" => x.norm_p(1.0, ()),
        "norm_p(3)" => x.norm_p(3.0, ()),
        "norm_p(1.5)" => x.norm_p(1.5, ()),
        "norm_p(inf)" => x.norm_p(f64::INFINITY, ()),
        "standardize" => x.standardize((), 1e-5),
        "standardize(0)" => x.standardize((), 0.0),
        "layer_norm" => cast_floats(&LayerNorm::new(x.size()), x.dtype()).forward(&row()),
        "batch_norm" => cast_floats(&BatchNorm::new(1), x.dtype()).train(&x.reshape([x.size(), 1])).0,
        "clip_by_norm" => clip_by_norm(x, 0.37).0,
        "mse" => loss::mse(x, &zeros()),
        "mae" => loss::mae(x, &zeros()),
        "huber" => loss::huber(x, &zeros(), 1.5),
        "logsumexp" => x.logsumexp(()),
        "softmax" => x.softmax(0),
        "log_softmax" => x.log_softmax(0),
        "logcumsumexp" => x.logcumsumexp(0),
        "cross_entropy" => loss::cross_entropy(&row(), &first()),
        "smooth_cross_entropy" => loss::smooth_cross_entropy(&row(), &first(), 0.1),
        "binary_cross_entropy" => {
            let targets = Tensor::from([1.0, 0.0, 0.25, 0.5]).slice(0, ..x.size() as isize);
            loss::binary_cross_entropy(x, &targets.cast(x.dtype()))
        }
        _ => panic!("no composed function is called {name}"),
    }
}

"""Steps of training in JAX, each one compiled program whose parameters are given away: `jax_steps.py CASE...`."""

import sys
from functools import partial

from measure import THREADS, emit, median_ms, status, step_line
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

LENGTH = 1000
draws = np.random.default_rng(0)


def normal(*shape, scale=1.0):
    return jnp.asarray(draws.standard_normal(shape, dtype=np.float32) * np.float32(scale))


def weights(*shape):
    """Of variance one over the inputs."""
    return normal(*shape, scale=np.prod(shape[:-1]) ** -0.5)


def labels(classes, *shape):
    return jnp.asarray(draws.integers(0, classes, shape))


def linear_parameters(inputs, outputs):
    return dict(w=weights(inputs, outputs), b=jnp.zeros(outputs))


def norm_parameters(width):
    return dict(w=jnp.ones(width), b=jnp.zeros(width))


def linear(p, x):
    return x @ p["w"] + p["b"]


def mish(x):
    return x * jnp.tanh(jax.nn.softplus(x))


gelu = partial(jax.nn.gelu, approximate=False)


def normalised(p, x, axes):
    mean = x.mean(axes, keepdims=True)
    variance = jnp.square(x - mean).mean(axes, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * p["w"] + p["b"]


def convolve(w, x, stride=1):
    pad = w.shape[0] // 2
    return lax.conv_general_dilated(
        x, w, (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def mlp(activation, layers, x):
    for layer in layers[:-1]:
        x = activation(linear(layer, x))
    return linear(layers[-1], x)


def gpt(p, tokens):
    x = p["tokens"][tokens] + p["places"]
    n, t, width = x.shape
    for block in p["blocks"]:
        qkv = linear(block["inputs"], normalised(block["norm_1"], x, -1)).reshape(n, t, 3, 4, width // 4)
        y = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], is_causal=True)
        x = x + linear(block["output"], y.reshape(n, t, width))
        x = x + linear(block["down"], gelu(linear(block["up"], normalised(block["norm_2"], x, -1))))
    return linear(p["head"], normalised(p["norm"], x, -1)).reshape(n * t, -1)


def gpt_parameters(width=256):
    block = lambda: dict(norm_1=norm_parameters(width), norm_2=norm_parameters(width),
                         inputs=linear_parameters(width, 3 * width), output=linear_parameters(width, width),
                         up=linear_parameters(width, 4 * width), down=linear_parameters(4 * width, width))
    return dict(tokens=normal(65, width), places=normal(128, width, scale=0.02), blocks=[block() for _ in range(4)],
                norm=norm_parameters(width), head=linear_parameters(width, 65))


def pooled(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def cnn(p, x):
    for convolution in p["convolutions"]:
        x = pooled(jax.nn.relu(convolve(convolution["w"], x) + convolution["b"]))
    return linear(p["head"], jax.nn.relu(linear(p["hidden"], x.reshape(len(x), -1))))


def cnn_parameters():
    convolution = lambda i, o: dict(w=weights(5, 5, i, o), b=jnp.zeros(o))
    return dict(convolutions=[convolution(1, 32), convolution(32, 64)], hidden=linear_parameters(3136, 128),
                head=linear_parameters(128, 10))


STRIDES = (1, 1, 2, 1, 2, 1, 2, 1)


def resnet(p, x):
    norm = lambda q, x: normalised(q, x, (0, 1, 2))
    x = jax.nn.relu(norm(p["stem"]["n"], convolve(p["stem"]["w"], x)))
    for block, stride in zip(p["blocks"], STRIDES):
        y = jax.nn.relu(norm(block["n1"], convolve(block["w1"], x, stride)))
        y = norm(block["n2"], convolve(block["w2"], y))
        x = jax.nn.relu(y + (norm(block["ns"], convolve(block["ws"], x, stride)) if "ws" in block else x))
    return linear(p["head"], x.mean((1, 2)))


def resnet_parameters():
    blocks, i = [], 64
    for o, strides in ((64, (1, 1)), (128, (2, 1)), (256, (2, 1)), (512, (2, 1))):
        for stride in strides:
            block = dict(w1=weights(3, 3, i, o), n1=norm_parameters(o), w2=weights(3, 3, o, o), n2=norm_parameters(o))
            if stride != 1 or i != o:
                block |= dict(ws=weights(1, 1, i, o), ns=norm_parameters(o))
            blocks.append(block)
            i = o
    return dict(stem=dict(w=weights(3, 3, 3, 64), n=norm_parameters(64)), blocks=blocks, head=linear_parameters(512, 10))


def make(case):
    """Function, parameters, a batch, and the name of the optimiser."""
    layers = lambda widths: [linear_parameters(i, o) for i, o in zip(widths, widths[1:])]
    if case == "a":
        return partial(mlp, gelu), layers([784, 512, 512, 10]), normal(128, 784), labels(10, 128), "sgd"
    if case == "b":
        return partial(mlp, mish), layers([784, 512, 512, 10]), normal(1024, 784), labels(10, 1024), "sgd"
    if case == "c":
        return gpt, gpt_parameters(), labels(65, 16, 128), labels(65, 16 * 128), "adam"
    if case == "d":
        return cnn, cnn_parameters(), normal(128, 28, 28, 1), labels(10, 128), "sgd"
    if case == "e":
        return resnet, resnet_parameters(), normal(32, 32, 32, 3), labels(10, 32), "momentum"
    if case == "deep-mish":
        return partial(mlp, mish), layers([784] + [1024] * 16 + [10]), normal(4096, 784), labels(10, 4096), "sgd"
    raise SystemExit(f"no case {case}")


def updated(rule, p, state, g):
    each = jax.tree_util.tree_map
    if rule == "sgd":
        return each(lambda p, g: p - 0.01 * g, p, g), state
    if rule == "momentum":
        state = each(lambda m, g: 0.9 * m + g, state, g)
        return each(lambda p, m: p - 0.01 * m, p, state), state
    t, m, v = state
    t = t + 1
    m = each(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = each(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    a, b = 1 - 0.9**t, 1 - 0.999**t
    return each(lambda p, m, v: p - 1e-3 * (m / a) / (jnp.sqrt(v / b) + 1e-8), p, m, v), (t, m, v)


def step(case):
    f, p, x, y, rule = make(case)
    zeros = lambda: jax.tree_util.tree_map(jnp.zeros_like, p)
    state = {"sgd": lambda: (), "momentum": zeros, "adam": lambda: (jnp.float32(0), zeros(), zeros())}[rule]()

    def cross_entropy(p, x, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(f(p, x)), y[:, None], 1).mean()

    def whole(p, state, x, y):
        loss, g = jax.value_and_grad(cross_entropy)(p, x, y)
        return loss, *updated(rule, p, state, g)

    compiled = jax.jit(whole, donate_argnums=(0, 1)).lower(p, state, x, y).compile()
    now = [p, state]
    del p, state
    idle = status("VmRSS")

    def call():
        loss, *now[:] = compiled(*now, x, y)
        jax.block_until_ready(now)
        return float(loss)

    step_line(case, "jax", call, idle)


def chain():
    w, x = jnp.array([0.9, 1.1, 0.8, 1.2]), jnp.array([0.1, 0.2, 0.3, 0.4])

    def f(x):
        z = x
        for i in range(LENGTH):
            z = z * w if i % 3 == 0 else z + w if i % 3 == 1 else jnp.sin(z)
        return z.sum()

    g = jax.jit(jax.grad(f))
    ms, best, count = median_ms(lambda: g(x).block_until_ready())
    emit(case="chain", lib="jax", threads=THREADS, ms=ms, best_ms=best, steps=count, ns_per_op=ms * 1e6 / LENGTH,
         peak_rss_mb=status("VmHWM"))


if __name__ == "__main__":
    for case in sys.argv[1:]:
        chain() if case == "chain" else step(case)

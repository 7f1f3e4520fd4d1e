"""Element-wise kernels in PyTorch: `torch_kernels.py eager|compile [SIZE|NAME...]`, names as in `gradus bench kernels`; all
of them at 1e6 and 1e7 elements if none is named."""

import sys

from measure import THREADS, emit, median_ms
import torch
import torch.nn.functional as F

ROW = 512


def mish(x):
    return x * torch.tanh(F.softplus(x))


def with_derivative(f):
    """Value and local derivative, written as the pull-back of ones, which compilers turn into one kernel."""
    def both(x):
        y, pull = torch.func.vjp(f, x)
        return y, pull(torch.ones_like(x))[0]
    return both


def backward(f):
    return lambda x, ct: torch.func.vjp(f, x)[1](ct)[0]


def cross_entropy(x, y):
    loss = lambda x: F.cross_entropy(x, y)
    value, pull = torch.func.vjp(loss, x)
    return value, pull(torch.ones_like(value))[0]


def adam(p, g, m, v):
    """In place; the fifth step at a rate of 1e-3."""
    m.mul_(0.9).add_(g, alpha=0.1)
    v.mul_(0.999).addcmul_(g, g, value=0.001)
    size, scale = 1e-3 / (1 - 0.9**5), (1 - 0.999**5) ** 0.5
    p.sub_(size * m / (v.sqrt() / scale + 1e-8))


def kernels(n):
    """Name, function, arguments."""
    x, ct = torch.randn(n), torch.randn(n)
    rows = lambda: torch.randn(n // ROW, ROW)
    labels = torch.arange(n // ROW) * 7 % ROW
    norm = lambda x: F.layer_norm(x, (ROW,))
    positive = x.abs() + 0.01
    return [
        ("add", torch.add, (x, ct)),
        ("exp", torch.exp, (x,)),
        ("log", torch.log, (positive,)),
        ("tanh", torch.tanh, (x,)),
        ("erf", torch.erf, (x,)),
        ("pow", torch.pow, (positive, ct)),
        ("mish", mish, (x,)),
        ("mish with derivative", with_derivative(mish), (x,)),
        ("gelu", F.gelu, (x,)),
        ("gelu backward", lambda x, ct: torch.ops.aten.gelu_backward(ct, x), (x, ct)),
        ("silu backward", lambda x, ct: torch.ops.aten.silu_backward(ct, x), (x, ct)),
        ("softmax", lambda x: torch.softmax(x, -1), (rows(),)),
        ("softmax backward", backward(lambda x: torch.softmax(x, -1)), (rows(), rows())),
        ("cross-entropy with gradient", cross_entropy, (rows(), labels)),
        ("layer norm", lambda x, w, b: F.layer_norm(x, (ROW,), w, b), (rows(), torch.ones(ROW), torch.zeros(ROW))),
        ("layer norm backward", backward(norm), (rows(), rows())),
        ("sum", torch.sum, (x,)),
        ("adam", adam, (torch.randn(n), ct, torch.zeros(n), torch.ones(n))),
    ]


def main():
    torch.set_num_threads(THREADS)
    mode, rest = sys.argv[1], sys.argv[2:]
    sizes = [int(float(s)) for s in rest if s[0].isdigit()] or [1_000_000, 10_000_000]
    names = [s for s in rest if not s[0].isdigit()]
    for n in sizes:
        for name, f, operands in kernels(n):
            if names and name not in names:
                continue
            torch.compiler.reset()
            call = torch.compile(f, dynamic=False) if mode == "compile" else f
            try:
                ms, _, _ = median_ms(lambda: call(*operands), warm=4, block=0.015, blocks=9, total=0.3)
            except Exception as error:  # what a compiler refuses is no reason to stop
                print(f"{name}: {error}", file=sys.stderr)
                continue
            elements = operands[0].numel()
            emit(kernel=name, lib="torch-" + mode, elements=elements, threads=THREADS, ns_per_element=ms * 1e6 / elements)


if __name__ == "__main__":
    main()

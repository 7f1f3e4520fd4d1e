"""Steps of training in PyTorch: `torch_steps.py eager|compile|floor CASE...` prints one JSON line a case.

`floor` records the matrix products and convolutions of one step and times them alone.
"""

import sys

from measure import THREADS, emit, floor_ms, median_ms, status, step_line
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from torch_models import loss_of, make

LENGTH = 1000


def step(mode, case):
    torch.manual_seed(0)
    model, draw, optimizer = make(case)
    batches = [draw() for _ in range(4)]
    loss_function, update = loss_of(model), optimizer.step
    if mode == "compile":
        loss_function, update = torch.compile(loss_function), torch.compile(lambda: optimizer.step())
    count = 0
    idle = status("VmRSS")

    def call():
        nonlocal count
        optimizer.zero_grad(set_to_none=True)
        loss = loss_function(*batches[count % len(batches)])
        loss.backward()
        update()
        count += 1
        return loss.item()

    step_line(case, "torch-" + mode, call, idle)


def chain(mode):
    if mode == "compile":
        return  # compiling a thousand operations takes minutes
    w, x = torch.tensor([0.9, 1.1, 0.8, 1.2]), torch.tensor([0.1, 0.2, 0.3, 0.4], requires_grad=True)

    def call():
        z = x
        for i in range(LENGTH):
            z = z * w if i % 3 == 0 else z + w if i % 3 == 1 else torch.sin(z)
        torch.autograd.grad(z.sum(), x)

    ms, best, count = median_ms(call)
    emit(case="chain", lib="torch-eager", threads=THREADS, ms=ms, best_ms=best, steps=count, ns_per_op=ms * 1e6 / LENGTH,
         peak_rss_mb=status("VmHWM"))


class Recorder(TorchDispatchMode):
    """Notes every product and convolution: what it is, the shapes and strides of its operands, other arguments."""

    def __init__(self):
        super().__init__()
        self.calls = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::")
        layout = lambda t: (tuple(t.shape), tuple(t.stride()))
        if name in ("mm", "bmm"):
            key = (name, layout(args[0]), layout(args[1]))
        elif name == "addmm":
            key = ("mm", layout(args[1]), layout(args[2]))
        elif name == "baddbmm":
            key = ("bmm", layout(args[1]), layout(args[2]))
        elif name == "convolution":
            key = (name, layout(args[0]), layout(args[1]), str(args[3:]))
            self.calls.setdefault(key, [0, args[3:]])
        elif name == "convolution_backward":
            key = (name, *map(layout, args[:3]), str(args[4:10]), str(args[10][:2]))
            self.calls.setdefault(key, [0, (*args[4:10], [*args[10][:2], False])])
        else:
            key = None
        if key:
            self.calls.setdefault(key, [0, ()])[0] += 1
        return function(*args, **(kwargs or {}))


def product(key, rest):
    """A call that does what was recorded, on operands of its own, and its floating-point operations."""
    tensor = lambda layout: torch.empty_strided(*layout).normal_()
    operands = [tensor(layout) for layout in key[1:] if isinstance(layout, tuple)]
    if key[0] in ("mm", "bmm"):
        a, b = operands
        out = getattr(torch, key[0])(a, b)
        f = getattr(torch, key[0])
        return (lambda: f(a, b, out=out)), 2 * out.numel() * a.shape[-1]
    if key[0] == "convolution":
        x, w = operands
        f = lambda: torch.ops.aten.convolution(x, w, None, *rest)
        return f, 2 * f().numel() * w[0].numel()
    ct, x, w = operands
    f = lambda: torch.ops.aten.convolution_backward(ct, x, w, None, *rest)
    return f, 2 * ct.numel() * w[0].numel() * sum(rest[-1])


def floor(case):
    torch.manual_seed(0)
    model, draw, _ = make(case)
    x, y = draw()
    # Attention by its definition, so that its products are seen one by one.
    with sdpa_kernel(SDPBackend.MATH), Recorder() as recorder:
        loss_of(model)(x, y).backward()
    products, flops = [], 0
    for key, (times, rest) in recorder.calls.items():
        call, work = product(key, rest)
        products.append((times, call))
        flops += times * work
    with torch.no_grad():
        emit(case=case, lib="torch-floor", threads=THREADS, floor_ms=floor_ms(products), floor_gflop=flops * 1e-9)


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    mode, cases = sys.argv[1], sys.argv[2:]
    for case in cases:
        if mode == "floor":
            floor(case)
        elif case == "chain":
            chain(mode)
        else:
            step(mode, case)

#!/usr/bin/env python3
"""Whether steps of gradus and of PyTorch from the same parameters and batches have the same losses.

    agree.py GRADUS CASE... [--steps 20] [--batches 20] [--threads 2] [--rate R] [--double]

Rounding grows from step to step as fast as the training is sensitive to its parameters. With --double both libraries also take
the steps in double precision: the line then has the difference of those two, which tells faults from rounding, how far either has
drifted from its own in single precision, and how far PyTorch in double precision drifts from itself when the parameters at
the start are moved by 2**-24 of themselves, the rounding of single precision: no two single-precision programs can be
expected to stay closer than that.

Runs in an environment with torch. Prints one JSON line a case with the largest relative difference.
"""

import argparse
import copy
import json
import os
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
import numpy as np
import torch

from torch_models import arrays, loss_of, make


def write_safetensors(path, tensors):
    """The header and the elements, wide ones first, so that each tensor is aligned."""
    kinds = {"float32": "F32", "int64": "I64"}
    names = sorted(tensors, key=lambda name: -tensors[name].itemsize)
    header, end = {}, 0
    for name in names:
        array = tensors[name]
        place = [end, end + array.nbytes]
        header[name] = dict(dtype=kinds[str(array.dtype)], shape=list(array.shape), data_offsets=place)
        end += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            file.write(np.ascontiguousarray(tensors[name]).tobytes())


def compare(gradus, case, steps, count, threads, rate, double):
    torch.manual_seed(1)
    model, draw, optimizer = make(case)
    if rate:
        optimizer.param_groups[0]["lr"] = rate
    batches = [draw() for _ in range(count)]
    tensors = arrays(model)
    tensors["inputs"] = np.stack([x.numpy() for x, _ in batches])
    tensors["labels"] = np.stack([y.numpy() for _, y in batches])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "start.safetensors")
        write_safetensors(path, tensors)
        command = [gradus, "bench", "train", "--case", case, "--weights", path, "--losses", "--json"]
        command += ["--steps", str(steps), "--threads", str(threads)] + (["--rate", str(rate)] if rate else [])
        losses = lambda *more: json.loads(subprocess.run([*command, *more], check=True, stdout=subprocess.PIPE).stdout)["losses"]
        ours = losses()
        wide_ours = losses("--double") if double else None
    start = copy.deepcopy(model.state_dict())
    theirs = train(model, optimizer, batches, steps)
    worst = lambda losses, base: max(abs(a - b) / abs(b) for a, b in zip(losses, base))
    line = dict(case=case, steps=steps, rate=optimizer.param_groups[0]["lr"], worst_relative_difference=worst(ours, theirs), first_loss=theirs[0],
                last_loss=theirs[-1], last_loss_gradus=ours[-1])
    if double:
        wide = [(x.double() if x.is_floating_point() else x, y) for x, y in batches]
        exact, moved = (in_double(case, start, wide, steps, rate, nudge) for nudge in (0, 2**-24))
        line |= dict(double_to_double=worst(wide_ours, exact), gradus_to_own_double=worst(ours, wide_ours),
                     torch_to_own_double=worst(theirs, exact), double_from_rounded=worst(moved, exact))
    return line


def in_double(case, start, batches, steps, rate, nudge):
    """Losses of PyTorch in double precision, from parameters each moved by about that share of itself."""
    model, _, optimizer = make(case)
    model.load_state_dict(start)
    optimizer.param_groups[0]["params"] = list(model.double().parameters())
    if rate:
        optimizer.param_groups[0]["lr"] = rate
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1 + nudge * torch.randn_like(p))
    return train(model, optimizer, batches, steps)


def train(model, optimizer, batches, steps):
    losses, loss_function = [], loss_of(model)
    for i in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_function(*batches[i % len(batches)])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gradus")
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batches", type=int, help="different batches, used in turn; one a step if not given")
    parser.add_argument("--rate", type=float, help="another learning rate")
    parser.add_argument("--double", action="store_true", help="also take the steps in double precision with both")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    agreed = True
    for case in given.cases:
        line = compare(given.gradus, case, given.steps, given.batches or given.steps, given.threads, given.rate, given.double)
        agreed &= line["worst_relative_difference"] <= 1e-4
        print(json.dumps(line), flush=True)
    sys.exit(0 if agreed else 1)


if __name__ == "__main__":
    main()

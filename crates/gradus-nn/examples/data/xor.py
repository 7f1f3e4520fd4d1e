"""Writes `xor.safetensors`: a network of PyTorch that computes "exclusive or", with the names and the layout of its
`state_dict`, by the standard library alone.

    python crates/gradus-nn/examples/data/xor.py

With PyTorch the file is the same but for the order of its tensors:

    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    safetensors.torch.save_file(model.state_dict(), "xor.safetensors")
"""

import json
import math
import struct
from pathlib import Path

# PyTorch keeps a layer's matrix as `[outputs, inputs]`.
WEIGHTS = {
    "0.weight": [[2.0, 2.0], [2.0, 2.0], [1.0, -1.0]],
    "0.bias": [-1.0, -3.0, 0.0],
    "2.weight": [[1.0, -1.0, 0.0]],
    "2.bias": [0.0],
}


def flat(x):
    return [y for row in x for y in row] if isinstance(x[0], list) else x


def shape(x):
    return [len(x), len(x[0])] if isinstance(x[0], list) else [len(x)]


def forward(x):
    linear = lambda x, w, b: [sum(p * q for p, q in zip(x, row)) + c for row, c in zip(w, b)]
    hidden = [math.tanh(h) for h in linear(x, WEIGHTS["0.weight"], WEIGHTS["0.bias"])]
    return linear(hidden, WEIGHTS["2.weight"], WEIGHTS["2.bias"])[0]


def main():
    # The last bias puts the answer to (0, 0) at 0, the last matrix that to (0, 1) near 1.
    scale = 1 / (forward([0, 1]) - forward([0, 0]))
    WEIGHTS["2.weight"] = [[scale * w for w in row] for row in WEIGHTS["2.weight"]]
    WEIGHTS["2.bias"] = [-forward([0, 0])]
    header, data = {}, b""
    for name, x in WEIGHTS.items():
        bytes_ = struct.pack(f"<{len(flat(x))}f", *flat(x))
        header[name] = {"dtype": "F32", "shape": shape(x), "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (Path(__file__).parent / "xor.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    for x in ([0, 0], [0, 1], [1, 0], [1, 1]):
        print(x, forward(x))


if __name__ == "__main__":
    main()

"""The cases in PyTorch. Modules are named as the fields of the models of gradus, so that parameters have the same names."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class Mish(nn.Module):
    """From primitives: x tanh(softplus(x))."""

    def forward(self, x):
        return x * torch.tanh(F.softplus(x))


class Mlp(nn.Module):
    def __init__(self, widths, activation):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in zip(widths, widths[1:]))
        self.activation = activation

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.inputs, self.output, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = self.inputs(x).view(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(y.transpose(1, 2).reshape(n, t, width))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.linear = nn.ModuleList([nn.Linear(width, 4 * width), nn.Linear(4 * width, width)])

    def forward(self, x):
        x = x + self.attention(self.norm_1(x))
        return x + self.linear[1](F.gelu(self.linear[0](self.norm_2(x))))


class Gpt(nn.Module):
    def __init__(self, layers, width, heads, context, vocabulary):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(torch.randn(context, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, x):
        x = self.tokens(x) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)).flatten(0, 1)


class Lenet(nn.Module):
    def __init__(self, channels, hidden):
        super().__init__()
        a, b = channels
        self.convolutions = nn.ModuleList([nn.Conv2d(1, a, 5, padding=2), nn.Conv2d(a, b, 5, padding=2)])
        self.linear = nn.ModuleList([nn.Linear(b * 49, hidden), nn.Linear(hidden, 10)])

    def forward(self, x):
        for convolution in self.convolutions:
            x = F.max_pool2d(F.relu(convolution(x)), 2)
        return self.linear[1](F.relu(self.linear[0](x.flatten(1))))


def convolution(inputs, outputs, size, stride):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.convolutions = nn.ModuleList([convolution(inputs, outputs, 3, stride), convolution(outputs, outputs, 3, 1)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])
        changed = stride != 1 or inputs != outputs
        parts = [convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)] if changed else []
        self.shortcut = nn.Sequential(*parts)

    def forward(self, x):
        y = F.relu(self.norms[0](self.convolutions[0](x)))
        return F.relu(self.norms[1](self.convolutions[1](y)) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.stem = nn.Sequential(convolution(3, channels[0], 3, 1), nn.BatchNorm2d(channels[0]))
        blocks, inputs = [], channels[0]
        for stage, outputs in enumerate(channels):
            blocks += [BasicBlock(inputs, outputs, 1 if stage == 0 else 2), BasicBlock(outputs, outputs, 1)]
            inputs = outputs
        self.blocks, self.head = nn.ModuleList(blocks), nn.Linear(inputs, 10)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


def make(case):
    """Model, a function that draws a batch, and the optimiser of a case."""
    sgd = lambda model, **more: torch.optim.SGD(model.parameters(), lr=0.01, **more)
    images = lambda n, shape: lambda: (torch.randn(n, *shape), torch.randint(0, 10, (n,)))
    if case == "a":
        model = Mlp([784, 512, 512, 10], nn.GELU())
        return model, images(128, [784]), sgd(model)
    if case == "b":
        model = Mlp([784, 512, 512, 10], Mish())
        return model, images(1024, [784]), sgd(model)
    if case == "c":
        model = Gpt(4, 256, 4, 128, 65)
        batch = lambda: (torch.randint(0, 65, (16, 128)), torch.randint(0, 65, (16, 128)))
        return model, batch, torch.optim.Adam(model.parameters(), lr=1e-3)
    if case == "d":
        model = Lenet([32, 64], 128)
        return model, images(128, [1, 28, 28]), sgd(model)
    if case == "e":
        model = ResNet([64, 128, 256, 512])
        return model, images(32, [3, 32, 32]), sgd(model, momentum=0.9)
    if case == "deep-mish":
        model = Mlp([784] + [1024] * 16 + [10], Mish())
        return model, images(4096, [784]), sgd(model)
    raise SystemExit(f"no case {case}")


def loss_of(model):
    return lambda x, y: F.cross_entropy(model(x), y.flatten())


def arrays(model):
    """The parameters and running statistics as gradus names and lays them out."""
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    out = {}
    for name, tensor in model.state_dict().items():
        owner, _, field = name.rpartition(".")
        if field == "num_batches_tracked":
            continue
        if owner in linear and field == "weight":
            tensor = tensor.t()
        field = {"running_mean": "mean", "running_var": "variance"}.get(field, field)
        out[f"{owner}.{field}" if owner else field] = tensor.detach().contiguous().numpy().copy()
    return out

"""Writes the high-precision table of the composed functions of tensors (needs `mpmath`).

    python bench/golden/composites.py

One row a derivative: the function, the element `k` of its result, the arguments `i` and `j` differentiated in, all arguments
as the bits of f64 (separated by commas), and groups `bits:fraction:condition` as in `generate.py` for the value, the
derivative by `i`, and that by `i` and `j`. Arguments within the range of single precision are numbers of single
precision, so that the rows hold for both types.
"""

import math
import random
import struct

from generate import CRATES, bits, group
from mpmath import mp, mpf

mp.dps = 1500


class Number:
    """`v + a·e + b·f + ab·e·f` with `e² = f² = 0`: a value, two derivatives, and the mixed one."""

    def __init__(self, v, a=0, b=0, ab=0):
        self.v, self.a, self.b, self.ab = mpf(v), mpf(a), mpf(b), mpf(ab)

    def of(self, value, first, second):
        """A function of this number, from its value and derivatives here."""
        mixed = first * self.ab + second * self.a * self.b
        return Number(value, first * self.a, first * self.b, mixed)

    def __add__(self, y):
        y = number(y)
        return Number(self.v + y.v, self.a + y.a, self.b + y.b, self.ab + y.ab)

    def __neg__(self):
        return Number(-self.v, -self.a, -self.b, -self.ab)

    def __sub__(self, y):
        return self + -number(y)

    def __rsub__(self, y):
        return number(y) - self

    def __mul__(self, y):
        y = number(y)
        mixed = self.ab * y.v + self.a * y.b + self.b * y.a + self.v * y.ab
        return Number(self.v * y.v, self.a * y.v + self.v * y.a, self.b * y.v + self.v * y.b, mixed)

    def __truediv__(self, y):
        y = number(y)
        return self * y.of(1 / y.v, -1 / y.v**2, 2 / y.v**3)

    __radd__, __rmul__ = __add__, __mul__


def number(x):
    return x if isinstance(x, Number) else Number(x)


def exp(x):
    e = mp.exp(x.v)
    return x.of(e, e, e)


def log(x):
    return x.of(mp.log(x.v), 1 / x.v, -1 / x.v**2)


def power(x, p):
    v = mp.power(x.v, p)
    return x.of(v, p * v / x.v, p * (p - 1) * v / x.v**2)


def root(x):
    return power(x, mpf(1) / 2)


def size(x):
    return x if x.v > 0 else -x if x.v < 0 else Number(0)


def above(x, bound, then, other):
    return then if x.v > bound else other


def normal(x):
    """The distribution function of the normal law."""
    density = mp.exp(-x.v**2 / 2) / mp.sqrt(2 * mp.pi)
    with mp.workdps(60 if abs(x.v) < 1e4 else 20):
        value = mp.erfc(-x.v / mp.sqrt(2)) / 2 if abs(x.v) < 1e4 else mpf(1 if x.v > 0 else 0)
    return x.of(value, density, -x.v * density)


def sigmoid(x):
    if abs(x.v) > 1e6:
        return Number(1 if x.v > 0 else 0)
    return 1 / (1 + exp(-x)) if x.v > 0 else exp(x) / (1 + exp(x))


Number.__rtruediv__ = lambda self, y: number(y) / self


def softplus(x):
    """`ln(1 + e^x)`."""
    if abs(x.v) > 1e6:
        return x if x.v > 0 else Number(0)
    s = sigmoid(x)
    return x.of(mp.log1p(mp.exp(x.v)), s.v, s.v * (1 - s.v))


def tanh(x):
    return 2 * sigmoid(2 * x) - 1


def total(xs):
    return sum(xs, Number(0))


def mean(xs):
    return total(xs) / len(xs)


def variance(xs, correction=0):
    m = mean(xs)
    return total([(x - m) * (x - m) for x in xs]) / (len(xs) - correction)


def norm(xs, p=2):
    if all(x.v == 0 for x in xs):
        return Number(0)
    return power(total([x * x if p == 2 else power(size(x), p) for x in xs if p == 2 or x.v != 0]), mpf(1) / p)


def log_sum(xs):
    top = max(xs, key=lambda x: x.v)
    return log(total([exp(x - top) for x in xs])) + top if all(x.v - top.v > -1e6 for x in xs) else top


def weights(xs):
    """The softmax."""
    top = max(xs, key=lambda x: x.v)
    es = [exp(x - top) if x.v - top.v > -1e6 else Number(0) for x in xs]
    return [e / total(es) for e in es]


def standard(xs, epsilon):
    scale = root(variance(xs) + mpf(epsilon))
    m = mean(xs)
    return [(x - m) / scale for x in xs]


def elu(x, alpha):
    return above(x, 0, x, (exp(x) - 1) * mpf(alpha))


def huber(d, delta):
    return d * d / 2 if abs(d.v) <= delta else (size(d) - mpf(delta) / 2) * mpf(delta)


def bounded(x, low, high):
    return Number(low) if x.v <= low else Number(high) if x.v >= high else x


SELU = (1.6732632423543772, 1.0507009873554805)

# Functions of single elements: an argument to a result.
POINTWISE = {
    "relu": lambda x: above(x, 0, x, Number(0)),
    "leaky_relu": lambda x: above(x, 0, x, x * mpf(0.1)),
    "relu6": lambda x: bounded(x, 0, 6),
    "elu": lambda x: elu(x, 0.7),
    "selu": lambda x: elu(x, SELU[0]) * mpf(SELU[1]),
    "hard_tanh": lambda x: bounded(x, -1, 1),
    "hard_sigmoid": lambda x: bounded(x + 3, 0, 6) / 6,
    "hard_swish": lambda x: x * bounded(x + 3, 0, 6) / 6,
    "gelu": lambda x: x * normal(x),
    "gelu_tanh": lambda x: x * sigmoid(2 * mp.sqrt(2 / mp.pi) * (x + mpf(0.044715) * x * x * x)),
    "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * tanh(softplus(x)),
    "log_sigmoid": lambda x: -softplus(-x),
    "square": lambda x: x * x,
    "clamp": lambda x: x if -2 <= x.v <= 3 else Number(-2 if x.v < 0 else 3),
}

# Functions of rows, to rows (a scalar is a row of one).
ROWS = {
    "sum": lambda xs: [total(xs)],
    "mean": lambda xs: [mean(xs)],
    "var": lambda xs: [variance(xs)],
    "var(1)": lambda xs: [variance(xs, 1)],
    "std": lambda xs: [root(variance(xs))],
    "std(1)": lambda xs: [root(variance(xs, 1))],
    "norm": lambda xs: [norm(xs)],
    "global_norm": lambda xs: [norm(xs)],
    "norm_p(1)": lambda xs: [total([size(x) for x in xs])],
    "norm_p(3)": lambda xs: [norm(xs, 3)],
    "norm_p(1.5)": lambda xs: [norm(xs, mpf(1.5))],
    "norm_p(inf)": lambda xs: [size(max(xs, key=lambda x: abs(x.v)))],
    "standardize": lambda xs: standard(xs, 1e-5),
    "standardize(0)": lambda xs: standard(xs, 0),
    "layer_norm": lambda xs: standard(xs, 1e-5),
    "batch_norm": lambda xs: standard(xs, 1e-5),
    "clip_by_norm": lambda xs: xs if norm(xs).v <= 0.37 else [x * mpf(0.37) / norm(xs) for x in xs],
    "mse": lambda xs: [mean([x * x for x in xs])],
    "mae": lambda xs: [mean([size(x) for x in xs])],
    "huber": lambda xs: [mean([huber(x, 1.5) for x in xs])],
    "logsumexp": lambda xs: [log_sum(xs)],
    "logcumsumexp": lambda xs: [log_sum(xs[: k + 1]) for k in range(len(xs))],
    "softmax": weights,
    "log_softmax": lambda xs: [x - log_sum(xs) for x in xs],
    "cross_entropy": lambda xs: [log_sum(xs) - xs[0]],
    "smooth_cross_entropy": lambda xs: [log_sum(xs) - (1 - mpf(0.1)) * xs[0] - mpf(0.1) * mean(xs)],
    "binary_cross_entropy": lambda xs: [mean([softplus(x) - x * mpf(y) for x, y in zip(xs, (1, 0, 0.25, 0.5))])],
}

# Functions of logits, of differences, and of lengths are asked at different places.
LOGITS = {"logsumexp", "logcumsumexp", "softmax", "log_softmax", "cross_entropy", "smooth_cross_entropy", "binary_cross_entropy"}
SPREADS = {"var", "var(1)", "std", "std(1)", "standardize", "standardize(0)", "layer_norm", "batch_norm"}


def rounded(x):
    """The number of single precision nearest to `x`, if it has one."""
    try:
        near = struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return x
    return near if near != 0.0 else x


def points(name):
    rng = random.Random(name)
    sizes = [1e-320, 1e-310, 1e-300, 1e-160, 1e-100, 1e-44, 1e-40, 1e-38, 1e-30, 1e-20, 1e-9, 1e-4, 0.01, 0.1, 0.3, 0.5]
    sizes += [0.7, 1.0, 1.3, 1.7, 2.2, 2.9, 3.4, 4.1, 5.2, 6.3, 7.7, 8.5, 9.9, 11.0, 12.9, 13.8, 14.6, 17.0, 20.0, 26.0]
    sizes += [33.0, 37.5, 38.4, 45.0, 60.0, 80.0, 88.0, 100.0, 300.0, 690.0, 740.0, 1e3, 1e4, 1e9, 1e13, 1e18, 1e20, 1e38]
    sizes += [1e39, 1e100, 1e154, 1e200, 1e300, 1.7e308]
    sizes += [rng.uniform(0, 1) for _ in range(6)] + [rng.uniform(1, 12) for _ in range(10)]
    return [[rounded(s * x)] for x in sizes for s in (1, -1)]


def rows(name):
    rng = random.Random(name)
    if name in LOGITS:
        fixed = [[40, 0], [0, 40], [0.3, -1.2, 2.5], [1000, 1000.5, 999], [-1000, -1000, -999], [0, -745], [88, -20, 3]]
        fixed += [[1e4, 0, -1e4], [1e300, -1e300, 1e299], [1e-300, 2e-300], [1, 1, 0.5], [0, 0, 0, 0], [700, 0, -700, 1]]
        fixed += [[0.0, -17, -18, -19], [-30, 0], [-100, 0, 0], [0, -100, -101], [5, 5 + 2**-20], [1e-9, -1e-9], [3]]
        fixed += [[-40, 1, 2.5, -3], [710, 1], [1e30, 1], [1e38, 3e37], [-1e38, -2e38], [20, 3, -20, 15], [0, -37, -36.5]]
        return [list(map(rounded, xs)) for xs in fixed + [[rng.uniform(-9, 9) for _ in range(4)] for _ in range(8)]]
    shapes = [[3, 4], [1, -2, 0.5, 7], [0.25, 1.7, 1.1], [1, 1 + 2**-12, 1 - 2**-13]]
    sizes = [1e-320, 3e-310, 1e-300, 1e-200, 1e-160, 1e-100, 1e-44, 1e-42, 1e-38, 1e-30, 1e-22, 1e-15, 1e-6, 0.1, 1.0, 9.0]
    sizes += [1e3, 1e6, 1e12, 1e18, 1e19, 1e20, 1e25, 1e30, 1e37, 1e100, 1e154, 1e200, 1e290, 1e306]
    out = [[s * x for x in rng.choice(shapes)] for s in sizes]
    out += [[1e200, 1e-200, 3e199], [1e-170, 3e-170, 1e-300], [1e20, 1e-20], [1e-25, 1e10], [1, 0, 0], [2, -2.5], [5.5]]
    if name == "norm_p(1.5)":  # curved without bound at 0
        out = [xs for xs in out if 0 not in xs]
    if name in SPREADS:
        out = [xs for xs in out if len(set(map(rounded, xs))) > 1]
        out += [[1e8 + 8, 1e8 + 16, 1e8], [1e4 + 1, 1e4, 1e4 - 2, 1e4], [1e6, 1, 2, 3], [0.1, 0.1 + 2**-20]]
    return [list(map(rounded, xs)) for xs in out]


def results(f, xs, k, i, j):
    y = f([Number(x, i == m, j == m) for m, x in enumerate(xs)])[k]
    return [y.v, y.a, y.ab]


def row(name, f, xs, k, i, j):
    small = mpf(10) ** -40
    here = results(f, [mpf(x) for x in xs], k, i, j)
    conditions = [mpf(0)] * 3
    for m, x in enumerate(xs):
        moved = results(f, [mpf(x) * (1 + small) if n == m else mpf(x) for n, x in enumerate(xs)], k, i, j)
        for order in range(3):
            if here[order] != 0:
                conditions[order] += abs((moved[order] - here[order]) / (small * here[order]))
    groups = [group(d, c) for d, c in zip(here, conditions)]
    return " ".join([name, str(k), str(i), str(j), ",".join(map(bits, xs)), *groups])


def main():
    lines = []
    for name, f in POINTWISE.items():
        lines += [row(name, lambda xs: [f(xs[0])], xs, 0, 0, 0) for xs in points(name)]
    for name, f in ROWS.items():
        for xs in rows(name):
            n = len(xs)
            for k in range(min(2, len(f([Number(x) for x in xs])))):
                for i, j in sorted({(0, 0), (0, n - 1)}):
                    lines.append(row(name, f, xs, k, i, j))
    (CRATES / "gradus-cli/src/composites/golden.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

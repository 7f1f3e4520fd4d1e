"""Reference values in double precision: `python3 tables.py [points] > ../tests/data/vmath_f64.txt` (needs mpmath).

Each line: function, arguments and nearest result as hexadecimal bits, and by how many thousandths of a unit in the
last place the exact value lies above that result.
"""

import random
import struct
import sys

import mpmath as m
from mpmath import mp, mpf

mp.dps = 60
random.seed(7)


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def from_bits(b):
    return struct.unpack("<d", struct.pack("<Q", b))[0]


def nearest(v):
    """The double nearest to v and the distance in thousandths of its ulp."""
    if v == 0:
        return 0.0, 0
    e = max(int(m.floor(m.log(abs(v), 2))), -1022) - 52
    unit = mpf(2) ** e
    k = int(m.nint(v / unit))
    r = mpf(k) * unit
    if abs(r) >= mpf(2) ** 1024:
        return float("inf") if r > 0 else float("-inf"), 0
    return float(r), int(m.nint((v - r) / unit * 1000))


def anywhere():
    while True:
        x = from_bits(random.getrandbits(64))
        if x == x and abs(x) != float("inf"):
            return x


def log_uniform(low, high):
    return random.choice([-1, 1]) * 2.0 ** random.uniform(low, high)


def uniform(low, high):
    return random.uniform(low, high)


def mix(*choices):
    return lambda: random.choice(choices)()


tame = mix(lambda: log_uniform(-30, 10), lambda: uniform(-3, 3), lambda: uniform(-40, 40))
UNARY = {
    "exp": (m.exp, mix(tame, lambda: uniform(-746, 710))),
    "exp2": (lambda x: mpf(2) ** x, mix(tame, lambda: uniform(-1076, 1025))),
    "expm1": (m.expm1, mix(tame, lambda: uniform(-5, 710))),
    "log": (m.log, lambda: abs(mix(anywhere, tame, lambda: 1 + log_uniform(-50, -2))())),
    "log2": (lambda x: m.log(x) / m.log(2), lambda: abs(mix(anywhere, tame, lambda: 1 + log_uniform(-50, -2))())),
    "log1p": (m.log1p, mix(lambda: abs(anywhere()), lambda: uniform(-1, 3), lambda: log_uniform(-60, -1))),
    "sin": (m.sin, mix(tame, lambda: uniform(-1.6e6, 1.6e6), anywhere)),
    "cos": (m.cos, mix(tame, lambda: uniform(-1.6e6, 1.6e6), anywhere)),
    "tan": (m.tan, mix(tame, lambda: uniform(-1.6e6, 1.6e6), anywhere)),
    "asin": (m.asin, mix(lambda: uniform(-1, 1), lambda: log_uniform(-60, 0), lambda: 1 - abs(log_uniform(-50, -2)))),
    "acos": (m.acos, mix(lambda: uniform(-1, 1), lambda: log_uniform(-60, 0), lambda: 1 - abs(log_uniform(-50, -2)))),
    "atan": (m.atan, mix(tame, lambda: log_uniform(-60, 60))),
    "sinh": (m.sinh, mix(tame, lambda: uniform(-711, 711))),
    "cosh": (m.cosh, mix(tame, lambda: uniform(-711, 711))),
    "tanh": (m.tanh, mix(tame, lambda: uniform(-2, 2))),
    "asinh": (m.asinh, mix(tame, anywhere)),
    "acosh": (m.acosh, lambda: 1 + abs(mix(tame, anywhere, lambda: log_uniform(-50, 0))())),
    "atanh": (m.atanh, mix(lambda: uniform(-1, 1), lambda: log_uniform(-60, 0), lambda: 1 - abs(log_uniform(-50, -2)))),
    "sech2": (lambda x: 1 / m.cosh(x) ** 2, mix(tame, lambda: uniform(-373, 373))),
    "sigmoid": (lambda x: 1 / (1 + m.exp(-x)), mix(tame, lambda: uniform(-745, 40))),
    "softplus": (lambda x: m.log1p(m.exp(x)), mix(tame, lambda: uniform(-745, 40))),
    "erf": (m.erf, mix(lambda: uniform(-6, 6), lambda: log_uniform(-40, 2), lambda: uniform(-1, 1))),
    "erfc": (m.erfc, mix(lambda: uniform(-6, 6), lambda: log_uniform(-40, 2), lambda: uniform(0, 27))),
    "cbrt": (lambda x: m.sign(x) * m.cbrt(abs(x)), mix(tame, anywhere)),
    "rsqrt": (lambda x: 1 / m.sqrt(x), lambda: abs(mix(tame, anywhere)())),
    "powi3": (lambda x: x**3, tame),
    "powi4": (lambda x: x**4, tame),
    "powi-2": (lambda x: x**-2, tame),
    "powi7": (lambda x: x**7, tame),
    "powi-11": (lambda x: x**-11, tame),
}


def power_arguments():
    x = abs(mix(tame, anywhere, lambda: 1 + log_uniform(-30, -2), lambda: uniform(0, 4))())
    limit = 1070 / max(abs(m.log(x, 2)), mpf(2) ** -60) if x != 1 else 10
    y = float(limit * uniform(-1, 1))
    return x, random.choice([y, uniform(-20, 20), float(random.randint(-9, 9))])


def plane():
    return mix(tame, anywhere)(), mix(tame, anywhere)()


BINARY = {
    "pow": (lambda x, y: m.power(x, y), power_arguments),
    "atan2": (m.atan2, mix(plane, lambda: (tame(), tame()))),
    "hypot": (lambda x, y: m.sqrt(x * x + y * y), mix(plane, lambda: (tame(), tame()))),
}


def main():
    points = int(sys.argv[1]) if len(sys.argv) > 1 else 120
    for name, (f, sample) in UNARY.items():
        for _ in range(points):
            x = sample()
            # Enough digits for the argument of a huge sine, and for 1 - tanh.
            mp.dps = 360 if abs(x) > 1e15 and name in ("sin", "cos", "tan") else 60
            mp.dps = 700 if name in ("erfc", "log1p", "asinh", "acosh") and abs(x) > 1e3 else mp.dps
            r, off = nearest(f(mpf(x)))
            print(f"{name} {bits(x):x} {bits(r):x} {off}")
    mp.dps = 60
    for name, (f, sample) in BINARY.items():
        for _ in range(points):
            x, y = sample()
            mp.dps = 700 if name == "hypot" and max(abs(x), abs(y)) > 1e60 * max(min(abs(x), abs(y)), 1e-300) else 60
            r, off = nearest(f(mpf(x), mpf(y)))
            print(f"{name} {bits(x):x} {bits(y):x} {bits(r):x} {off}")


main()

"""Writes the high-precision tables that the accuracy tests read (needs `mpmath`).

    python bench/golden/generate.py            # all of them
    python bench/golden/generate.py tanh j0    # the rows of these, the others as they are

The functions are those of the table in `gradus-num`, as the `mpmath` expressions of their rows. One row a point: the operation, its arguments as the bits of an f64, the direction differentiated in, and for the
orders 0 to 3 a group `bits:fraction:condition` where `bits` is the f64 nearest to the exact derivative,
`fraction` the exact one's distance from it in units in the last place, and `condition` the larger of 1 and the relative
change of that derivative over the relative change of the arguments.
"""

import math
import random
import re
import struct
import sys
from collections import defaultdict
from pathlib import Path

import mpmath
from mpmath import mp, mpf

HERE = Path(__file__).parent
CRATES = HERE.parent.parent / "crates"
NUM = CRATES / "gradus-num/src"
# In the packages whose tests read them.
TABLES = CRATES / "gradus-num/tests/golden"
ORDERS = 4
# Steps of the differences, relative to arguments below 1: they leave out about as many digits, twice.
STEP = 60


# ---- functions: expressions of mpmath ---------------------------------------------------------------------------

def rows():
    """Of the table of element-wise functions: names, with the domain and the expression."""
    text = (NUM / "table.rs").read_text()
    start = r"^ {12}(\w+) \w+ \w+ \{"
    for name, row in re.findall(start + r"(.*?)(?=" + start.replace("(", "(?:") + r"|^ {8}\})", text, re.M | re.S):
        within = re.search(r"within: (\w+)", row)
        expression = re.search(r'mpmath: "(.*?)"', row)[1]
        yield name, within[1] if within else "All", expression, "exact: true" in row, "wave: " in row


def family(name):
    """The expression of a function with a parameter `n`."""
    return re.search(rf'name: "{name}",.*?mpmath: "(.*?)"', (NUM / "op.rs").read_text(), re.S)[1]


UNARY = {name: expression for name, _, expression, exact, _ in rows() if name == "abs" or not exact}
WITHIN = {name: within for name, within, *_ in rows()}
WAVES = [name for name, *_, waves in rows() if waves]
UNARY |= {"sinc": "sin(x)/x", "log10": "log(x)/log(10)", "logit": "log(x) - log(1 - x)"}
UNARY |= {f"powi({n})": family("powi").replace("n", f"mpf({n})") for n in (-2, 3, 5, 17)}
UNARY |= {f"polygamma({n})": family("polygamma").replace("n", str(n)) for n in range(4)}
BINARY = {
    # The exponential of the gap only where it can be told from 0.
    "log_add_exp": "max(x, y) + log1p(exp(-abs(x - y)))",
    "xlogy": "x*log(y)",
    "add": "x + y",
    "sub": "x - y",
    "div": "x/y",
    "mul": "x*y",
    "powf": "x**y",
    "atan2": "atan2(x, y)",
    "hypot": "hypot(x, y)",
}
NAMES = {name: getattr(mpmath, name) for name in dir(mpmath) if not name.startswith("_")} | {"max": max, "abs": abs}


def derivatives(expression, args, direction):
    """Value and derivatives in one argument, by central differences of so many digits that nothing of them is lost."""
    x = args[direction]
    small = mpf(10) ** -STEP * (min(abs(x), 1) if x else 1)
    digits = mp.dps
    mp.dps = int(digits + 4 * (STEP + max(abs(mp.log10(abs(a))) if a else 0 for a in args)) + 350)
    code = compile(expression, expression, "eval")

    def at(k):
        moved = [a + k * small if i == direction else a for i, a in enumerate(args)]
        value = eval(code, NAMES, dict(zip("xy", moved)))
        return mp.nan if isinstance(value, mpmath.mpc) else value

    v = {k: at(k) for k in range(-2, 3)}
    slope, bend = (v[1] - v[-1]) / (2 * small), (v[1] - 2 * v[0] + v[-1]) / small**2
    third = (v[2] - 2 * v[1] + 2 * v[-1] - v[-2]) / (2 * small**3)
    # What is left of a derivative that is 0.
    noise = [abs(v[0]) * mpf(10) ** (10 - mp.dps) / small**k for k in range(ORDERS)]
    mp.dps = digits
    return [+d if abs(d) > least else mpf(0) for d, least in zip((v[0], slope, bend, third), noise)]


# ---- where each function is sampled -----------------------------------------------------------------------------

TINY = [1e-300, 1e-200, 1e-100, 1e-30, 1e-17, 1e-9, 1e-6, 1e-4]
LARGE = [60.0, 110.0, 340.0, 690.0, 1e3, 1e5, 1e9, 1e17, 1e30, 1e100, 1e150, 1e200, 1e300]
NEAR = [2.0**-k for k in (53, 50, 40, 30, 20, 10, 5, 3)]


# The ends of the exponent range, for every function that reaches there.
ENDS = [1e-320, 3e-310, 2.3e-308, 1e-306, 1e-250, 1e-154, 1e154, 1e250, 1e306, 8.9e307, 1.79e308]
FAR = [1e10, 1e42, 1e43, 1e44, 1e60, 1e77, 1e80, 1e103, 1e110, 1e154, 1e155, 1e164, 1e165, 1e200, 1e300, 1e306]


def ends(name):
    """Points beside those of `points`, the same in every run."""
    if name in ("sqrt", "rsqrt", "log", "log2", "log10"):
        return ENDS
    if name in ("abs", "recip", "cbrt", "atan", "asinh") or name.startswith("powi"):
        return signed(ENDS)
    if name == "acosh":
        return [x for x in ENDS if x > 1]
    if name == "log1p":
        return signed([x for x in ENDS if x < 1]) + [x for x in ENDS if x > 1]
    if name in ("sin", "tan", "asin", "atanh", "sinh", "tanh", "expm1", "erf", "sigmoid", "softplus", "exp"):
        return signed([x for x in ENDS if x < 1])
    if name.startswith("polygamma") or name == "lgamma":
        return FAR
    # What is small for small arguments reaches the end of the range, too.
    if name in UNARY and abs(derivatives(UNARY[name], [mpf(1e-30)], 0)[0]) < 1e-20:
        return signed([x for x in ENDS if x < 1])
    return []


def end_pairs(name):
    """Pairs beside those of `pairs`, the same in every run."""
    small, large = [1e-320, 3e-310, 1e-306, 1e-200, 1e-154], [1e154, 1e200, 1e306, 1.2e308]
    out = []
    if name == "hypot":
        for side in (small, large):
            out += [(a * s, b) for a in side for b in side for s in (1, -1)]
        return out + [(1e-200, 1.0), (1.0, 1e-200), (1e200, 1.0), (3e-320, 4e-320)]
    if name == "atan2":
        sizes = [1e-200, 1e-160, 1e-100, 1.0, 1e100, 1e160, 1e200]
        return [(a, b * s) for a in sizes for b in sizes for s in (1.25, -0.75)]
    if name == "log_add_exp":
        values = [-1e300, -1e9, -745.0, -40.0, -1.0, 0.0, 1e-300, 0.3, 1.0, 37.0, 710.0, 1e9, 1e300]
        return [(a, b) for a in values for b in values] + [(x, x + 0.01) for x in (-1000.0, -3.0, 0.5, 1000.0)]
    if name == "xlogy":
        return [(a, b) for a in (1e-300, 1e-9, 0.3, 1.0, 7.0, 1e9, 1e300) for b in (1e-300, 1e-9, 0.5, 0.999, 1.001, 3.0, 1e300)]
    if name == "powf":
        edge = [(1.0 + 2.0**-52, 1e15), (1.0 - 2.0**-53, 1e15), (2.0, 1023.0), (2.0, -1060.0), (0.5, 1070.0)]
        return edge + [(10.0, 308.0), (10.0, -320.0), (1e-308, 1.0), (1e-320, 0.25), (1e308, 0.999), (3.0, 1e-300)]
    return []


def spread(low, high, count, rng):
    return [rng.uniform(low, high) for _ in range(count)]


def signed(points):
    return points + [-p for p in points]


def points(name, rng):
    tiny = [p * rng.uniform(1, 2) for p in TINY]
    large = [p * rng.uniform(1, 1.05) for p in LARGE]
    middle = spread(0.001, 0.6, 6, rng) + spread(0.6, 2, 6, rng) + spread(2, 10, 4, rng) + spread(10, 45, 4, rng)
    positive = tiny + middle + large
    unit = tiny + spread(0.001, 0.5, 6, rng) + spread(0.5, 1, 8, rng) + [1 - e for e in NEAR]
    if name in ("sqrt", "rsqrt", "log", "log2"):
        return positive + [1 - e for e in NEAR] + [1 + e for e in NEAR[1:]]
    if name == "log1p":
        return signed(tiny) + middle + large + [-p for p in unit]
    if WITHIN.get(name) == "Unit":
        return signed(unit)
    if name == "log10":
        return middle
    if name == "logit":
        return tiny + unit
    if name == "acosh":
        return [1 + p for p in NEAR[1:]] + [1 + p for p in middle] + large
    if name in ("erf", "erfc"):
        return signed(tiny + middle + [26.2, 5.9]) + [60.0]
    if name in ("sech2", "sigmoid", "softplus", "tanh", "exp", "expm1", "exp2", "sinh", "cosh"):
        return signed(tiny + middle + large[:6]) + [20.0, 40.0, -40.0, 0.0]
    if name.startswith("polygamma") or name == "lgamma":
        near_root = [1.4616321449683622, 1.46, 1.47, 1.0, 2.0, 1.0 + 2.0**-40, 2.0 - 2.0**-30, 0.999, 2.001]
        if name == "lgamma" or name == "polygamma(0)":
            near_root = near_root + [1 + e for e in NEAR[1:]]
        positive = tiny[2:] + middle + [p for p in large if p < 1e40] + near_root
        negative = [-p for p in spread(0.001, 1, 4, rng) + spread(1, 30, 8, rng)]
        if name == "lgamma":
            zeros = [-2.457024738220801, -2.7476826467274127, -3.143580888349980, -3.955294284858598, -4.039361839740537]
            zeros += [-5.008218168322594, -8.000024800270682, -11.000000025052107, -14.000000000011472]
            negative += [-2.5005606227678974]
            negative += [z + e for z in zeros for e in (0.0, 1e-13, -3e-6, 0.01 * rng.uniform(0.1, 1))]
            negative += [-p for p in spread(2, 20, 20, rng)]
        if name == "polygamma(0)":
            zeros = [-0.504083008264455, -1.573498473162390, -2.610720868444144, -5.667162441556885, -11.71413306122895]
            negative += [z + e for z in zeros for e in (0.0, 1e-13, -3e-6, 0.03 * rng.uniform(0.1, 1))]
            negative += [-p for p in spread(0, 24, 20, rng)]
        return positive + negative
    if name in ("sin", "cos", "tan", "sinc"):
        return signed(tiny + middle) + large + [math.pi / 2, math.pi, 22.0, 1.5, 1.4999, -1.5]
    if name in ("atan", "asinh", "abs", "cbrt", "recip"):
        return signed(positive)
    return signed(tiny + middle) + large + (first_zeros(UNARY[name]) if name in WAVES else [])


def first_zeros(expression):
    """The first zeros but 0, and points beside them."""
    value = lambda x: derivatives(expression, [mpf(x)], 0)[0]
    steps = [0.25 * k for k in range(1, 80)]
    found = [float(mp.findroot(value, (a, b), solver="illinois")) for a, b in zip(steps, steps[1:]) if value(a) * value(b) < 0]
    return [x + e for x in found for e in (0.0, 1e-6, -1e-3)]


def pairs(name, rng):
    sizes = [1e-250, 1e-200, 1e-90, 1e-8, 0.3, 1.0, 2.7, 40.0, 1e9, 1e90, 1e200, 1e250]
    out = []
    if name == "powf":
        bases = [1e-300, 1e-100, 1e-9, 0.02, 0.4, 0.97, 1.0 + 2.0**-30, 1.3, 2.0, 9.0, 77.0, 1e9, 1e100, 1e300]
        powers = [1e-20, 1e-3, 0.1, 0.3, 0.5, 0.8, 1.0, 1.7, 2.0, 2.5, 3.0, 7.3, 20.0, 60.0]
        for x in bases:
            for y in rng.sample(powers, 7):
                out += [(x * rng.uniform(1, 1.5) if x != 2.0 else x, y), (x, -y)]
        return out + [(-2.0, 3.0), (-0.3, 2.0), (-7.0, -2.0)]
    for x in sizes:
        for y in rng.sample(sizes, 5):
            a, b = x * rng.uniform(1, 3), y * rng.uniform(1, 3)
            out.append((a * rng.choice([-1, 1]), b * rng.choice([-1, 1])))
        out.append((x * rng.uniform(1, 3), x * rng.uniform(1, 3)))
        out.append((x * rng.uniform(1, 3), x * rng.uniform(30, 3000)))
    return out


# ---- writing ------------------------------------------------------------------------------------------------------

def bits(x):
    return f"{struct.unpack('<Q', struct.pack('<d', x))[0]:016x}"


def group(exact, condition):
    """`bits:fraction:condition` of one derivative."""
    if mp.isnan(exact):
        return f"{bits(math.nan)}:0:1"
    biggest = mpf(2) ** 1024 - mpf(2) ** 970
    if abs(exact) >= biggest:
        return f"{bits(math.copysign(math.inf, exact))}:0:1"
    # The nearest f64 of a value of any exponent, subnormal ones included.
    if abs(exact) < mpf(2) ** -1100:
        near = 0.0
    else:
        spacing = mpf(2) ** max(int(mp.floor(mp.log(abs(exact), 2))) - 52, -1074)
        near = float(mp.nint(exact / spacing) * spacing)
    fraction = (exact - mpf(near)) / mpf(math.ulp(near))
    return f"{bits(near)}:{round(float(fraction), 3) + 0.0:.3f}:{float(max(condition, mpf(1))):.3g}"


def row(name, expression, args, direction):
    exponent = max(abs(mp.log10(abs(mpf(a)))) if a else 0 for a in args)
    mp.dps = int(120 + 9 * exponent)
    small = mpf(10) ** -40

    def at(values):
        return derivatives(expression, values, direction)

    here = at([mpf(a) for a in args])
    conditions = [mpf(0)] * ORDERS
    for i, a in enumerate(args):
        if a:
            moved = at([mpf(b) * (1 + small) if i == j else mpf(b) for j, b in enumerate(args)])
            for k in range(ORDERS):
                if here[k] != 0 and not mp.isinf(here[k]):
                    conditions[k] += abs((moved[k] - here[k]) / (small * here[k]))
    groups = [group(d, c) for d, c in zip(here, conditions)]
    shown = ",".join(repr(a) for a in args)
    return " ".join([name, str(direction), *[bits(a) for a in args], *groups, "#", shown])


# Composed functions, which the tables of the op table do not have: their rows are all in the tables of the ends.
COMPOSED = ("log10", "logit", "log_add_exp", "xlogy")


def write(path, functions, arguments):
    """The rows of all functions, or of those named on the command line with the others as they are."""
    kept = defaultdict(list)
    for line in (TABLES / path).read_text().splitlines(keepends=True) if sys.argv[1:] else []:
        kept[line.split(" ")[0]].append(line)
    with open(TABLES / path, "w") as out:
        for name, f in functions.items():
            if sys.argv[1:] and name not in sys.argv[1:]:
                out.writelines(kept[name])
                continue
            for args in arguments(name, random.Random(name)):
                for direction in range(len(args)):
                    if direction == 1 and name == "powf" and args[0] < 0:
                        continue
                    out.write(row(name, f, list(args), direction) + "\n")


def single(points):
    return [(x,) for x in points]


def main():
    plain = lambda name: name not in COMPOSED
    known = lambda name, rng: [x for x in points(name, rng) if not (x == 0.0 and name == "sinc")]
    write("unary.txt", UNARY, lambda name, rng: single(known(name, rng)) if plain(name) else [])
    write("binary.txt", BINARY, lambda name, rng: pairs(name, rng) if plain(name) else [])
    extra = lambda name, rng: [] if plain(name) else known(name, rng)
    write("unary_ends.txt", UNARY, lambda name, rng: single(extra(name, rng) + ends(name)))
    write("binary_ends.txt", BINARY, lambda name, rng: end_pairs(name))


if __name__ == "__main__":
    main()

"""Fits the polynomials of `src/vmath`: `python3 coefficients.py > ../src/vmath/coefficients.rs` (needs mpmath).

Each polynomial P minimises the largest weighted error |w(x) (g(x) - P(x))| over an interval, by the exchange
algorithm of Remez. `g` is what is left of a function after its leading terms, `w` turns an error in P into a
relative error of the function.
"""

from mpmath import mp, mpf, matrix, lu_solve, chop
import mpmath as m

mp.dps = 50


def remez(g, w, low, high, degree, rounds=8):
    low, high = mpf(low), mpf(high)
    count = degree + 2
    nodes = [(low + high) / 2 - (high - low) / 2 * m.cos(m.pi * i / (count - 1)) for i in range(count)]
    grid = [(low + high) / 2 - (high - low) / 2 * m.cos(m.pi * i / (16 * count)) for i in range(16 * count + 1)]
    values = [(x, g(x), w(x)) for x in grid]
    best = None
    for _ in range(rounds):
        a, b = matrix(count, count), matrix(count, 1)
        for i, x in enumerate(nodes):
            for j in range(degree + 1):
                a[i, j] = x**j
            a[i, degree + 1] = (-1) ** i / w(x)
            b[i] = g(x)
        solution = lu_solve(a, b)
        poly = [solution[j] for j in range(degree + 1)]
        errors = [(wx * (gx - m.polyval(poly[::-1], x)), x) for x, gx, wx in values]
        worst = max(abs(e) for e, _ in errors)
        if best is None or worst < best[0]:
            best = (worst, poly)
        # The extreme point of each run of one sign.
        runs, current = [], [errors[0]]
        for e in errors[1:]:
            if (e[0] >= 0) == (current[0][0] >= 0):
                current.append(e)
            else:
                runs.append(max(current, key=lambda t: abs(t[0])))
                current = [e]
        runs.append(max(current, key=lambda t: abs(t[0])))
        if len(runs) < count:
            break
        while len(runs) > count:
            runs.pop(0 if abs(runs[0][0]) < abs(runs[-1][0]) else -1)
        nodes = [x for _, x in runs]
    return best


def emit(name, doc, kind, fit):
    worst, poly = fit
    doc = doc[0].upper() + doc[1:]
    print(f"/// {doc}; largest error 2^{float(m.log(worst, 2)):.1f}.")
    print(f"pub(super) const {name}: [{kind}; {len(poly)}] = [")
    for c in poly:
        print(f"    {m.nstr(c, 20 if kind == 'f64' else 12, strip_zeros=False)},")
    print("];\n")


def series(f, x, taylor, small):
    """f(x), or its Taylor polynomial where f would cancel."""
    return f(x) if abs(x) > small else m.polyval(taylor[::-1], x)


def main():
    print("//! Minimax polynomials, lowest coefficient first. Written by `tools/coefficients.py`.\n")
    half_ln2 = m.log(2) / 2 * mpf("1.002")
    tiny = mpf("1e-12")

    def exp_tail(r):
        return series(lambda r: (m.exp(r) - 1 - r) / r**2, r, [1 / m.factorial(k + 2) for k in range(6)], tiny)

    doc = "`(eʳ - 1 - r)/r²` for `|r| <= ln(2)/2`"
    w = lambda r: r**2 / m.exp(r) if r != 0 else mpf("1e-30")
    # Weighted against expm1 so that expm1 may use the same polynomial.
    w1 = lambda r: abs(r) + mpf("1e-9")
    emit("EXP_F32", doc, "f32", remez(exp_tail, w1, -half_ln2, half_ln2, 5))
    emit("EXP_SHORT", doc, "f64", remez(exp_tail, w1, -half_ln2, half_ln2, 6))
    emit("EXP_F64", doc, "f64", remez(exp_tail, w1, -half_ln2, half_ln2, 10))

    l2 = m.log(2)

    def exp2_tail(r):
        return series(lambda r: (mpf(2) ** r - 1 - r * l2) / r**2, r, [l2 ** (k + 2) / m.factorial(k + 2) for k in range(6)], tiny)

    doc = "`(2ʳ - 1 - r ln 2)/r²` for `|r| <= 1/2`"
    emit("EXP2_F32", doc, "f32", remez(exp2_tail, w1, "-0.501", "0.501", 4))
    emit("EXP2_F64", doc, "f64", remez(exp2_tail, w1, "-0.501", "0.501", 10))

    def log_tail(f):
        return series(lambda f: (m.log(1 + f) - f + f**2 / 2) / f**3, f, [(-1) ** k / mpf(k + 3) for k in range(6)], tiny)

    wl = lambda f: f**2 + mpf("1e-9")
    emit("LOG_F32", "`(ln(1+f) - f + f²/2)/f³` for `1+f` from √½ to √2", "f32",
         remez(log_tail, wl, m.sqrt(mpf(1) / 2) - 1, m.sqrt(2) - 1, 8))

    def log_s(z):
        s = m.sqrt(z)
        return series(lambda z: (m.log((1 + s) / (1 - s)) / s - 2) / z, z, [2 / mpf(2 * k + 3) for k in range(8)], tiny)

    zmax = ((m.sqrt(2) - 1) / (m.sqrt(2) + 1)) ** 2 * mpf("1.002")
    wz = lambda z: z + mpf("1e-6")
    doc = "`(ln((1+s)/(1-s))/s - 2)/s²` in `s²`, for `(1+s)/(1-s)` from √½ to √2"
    emit("LOG_SHORT", doc, "f64", remez(log_s, wz, 0, zmax, 3))
    emit("LOG_F64", doc, "f64", remez(log_s, wz, 0, zmax, 6))

    def log_s2(z):
        s = m.sqrt(z)
        return series(lambda z: ((m.log((1 + s) / (1 - s)) / s - 2) / z - mpf(2) / 3) / z, z,
                      [2 / mpf(2 * k + 5) for k in range(8)], mpf("1e-8"))

    emit("POW_LOG", "`((ln((1+s)/(1-s))/s - 2)/s² - 2/3)/s²` in `s²`, for `(1+s)/(1-s)` from √½ to √2", "f64",
         remez(log_s2, lambda z: z**2 + mpf("1e-10"), 0, zmax, 7))

    def odd(f, leading):
        def g(z):
            x = m.sqrt(z)
            return (f(x) / x - leading) / z if z > tiny else (f(mpf("1e-12")) / mpf("1e-12") - leading) / mpf("1e-24")
        return g

    one = lambda z: z + mpf("1e-6")
    emit("TANH_F32", "`(tanh(x)/x - 1)/x²` in `x²`, for `|x| <= 0.625`", "f32", remez(odd(m.tanh, 1), one, 0, mpf("0.625") ** 2, 5))
    emit("SINH_F64", "`(sinh(x)/x - 1)/x²` in `x²`, for `|x| <= 1`", "f64", remez(odd(m.sinh, 1), one, 0, 1, 7))
    q = (m.pi / 4 * mpf("1.001")) ** 2
    doc = "`(sin(x)/x - 1)/x²` in `x²`, for `|x| <= π/4`"
    emit("SIN_SHORT", doc, "f64", remez(odd(m.sin, 1), one, 0, q, 3))
    emit("SIN_F64", doc, "f64", remez(odd(m.sin, 1), one, 0, q, 5))

    def cos_tail(z):
        return series(lambda z: (m.cos(m.sqrt(z)) - 1 + z / 2) / z**2, z, [(-1) ** k / m.factorial(2 * k + 4) for k in range(5)], tiny)

    wc = lambda z: z**2 + mpf("1e-6")
    doc = "`(cos(x) - 1 + x²/2)/x⁴` in `x²`, for `|x| <= π/4`"
    emit("COS_SHORT", doc, "f64", remez(cos_tail, wc, 0, q, 2))
    emit("COS_F64", doc, "f64", remez(cos_tail, wc, 0, q, 5))
    doc = "`(arcsin(x)/x - 1)/x²` in `x²`, for `|x| <= 1/2`"
    emit("ASIN_SHORT", doc, "f64", remez(odd(m.asin, 1), one, 0, "0.2505", 6))
    emit("ASIN_F64", doc, "f64", remez(odd(m.asin, 1), one, 0, "0.2505", 12))
    t = (m.tan(m.pi / 8) * mpf("1.0005")) ** 2
    doc = "`(arctan(x)/x - 1)/x²` in `x²`, for `|x| <= tan(π/8)`"
    emit("ATAN_SHORT", doc, "f64", remez(odd(m.atan, 1), one, 0, t, 5))
    emit("ATAN_F64", doc, "f64", remez(odd(m.atan, 1), one, 0, t, 10))

    c = 2 / m.sqrt(m.pi)
    flat = lambda z: mpf(1)
    erf_over_x = lambda z: m.erf(m.sqrt(z)) / m.sqrt(z) if z > 0 else c
    emit("ERF_F32", "`erf(x)/x - 1` in `x²`, for `|x| <= 0.93`", "f32",
         remez(lambda z: erf_over_x(z) - 1, flat, 0, mpf("0.93") ** 2, 6))
    emit("ERF_F64", "`erf(x)/x - 1` in `x²`, for `|x| <= 1`", "f64",
         remez(lambda z: erf_over_x(z) - 1, flat, 0, "1.001", 12))
    emit("ERFC_LOG_F32", "`ln erfc(x) + x` for `0.92 <= x <= 4`", "f32",
         remez(lambda x: m.log(m.erfc(x)) + x, lambda x: m.erfc(x), "0.92", "4.0", 7))

    def scaled(a):
        def g(t):
            if t >= 1 - mpf("1e-20"):
                return 2 / m.sqrt(m.pi)
            x = a * (1 + t) / (1 - t)
            if x > 100:
                s = 1 / (x * x)
                e = (1 - s / 2 * (1 - 3 * s / 2 * (1 - 5 * s / 2 * (1 - 7 * s / 2)))) / (x * m.sqrt(m.pi))
            else:
                e = m.exp(x * x) * m.erfc(x)
            return e * (1 + 2 * x)
        return g

    def top(a, x):
        return (mpf(x) - a) / (mpf(x) + a)

    doc = "`(1 + 2x) eˣ² erfc(x)` in `(x - 3)/(x + 3)`, for `0 <= x <= {}`"
    mp.dps = 60
    emit("ERFCX_SHORT", doc.format("10.1"), "f64", remez(scaled(3), lambda t: 1 / scaled(3)(t), -1, top(3, "10.1"), 12))
    emit("ERFCX_F64", doc.format(28), "f64", remez(scaled(3), lambda t: 1 / scaled(3)(t), -1, top(3, 28), 23))
    mp.dps = 50
    emit("CBRT", "`r^(-1/3)` for `r` from 0.88 to 1.13", "f64", remez(lambda r: r ** (-mpf(1) / 3), lambda r: r ** (mpf(1) / 3), "0.88", "1.13", 4))


main()

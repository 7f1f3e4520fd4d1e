"""Prints the constants that `gradus_num::math` uses for `lgamma` and digamma on the negative axis (needs `mpmath`): the distances
in two parts each, from the poles -2, -3, … to the zeros of ln |Γ| beside them, left and right, those from -1, -2, … to the
zeros of digamma right of them, and the nodes and weights of a Gauss-Legendre
rule on [0, 1]."""

from mpmath import mp, mpf

mp.dps = 60


def zero(m, side):
    guess = mpf(1) / mp.factorial(m)
    f = lambda s: mp.log(abs(mp.gamma(-m + side * guess * mp.exp(s))))
    return side * guess * mp.exp(mp.findroot(f, mpf(0)))


def pair(z):
    """A number as the sum of two f64."""
    high = float(z)
    return f"({high!r}, {float(z - mpf(high))!r})" if z == z else "(f64::NAN, 0.0)"


def main(last=19, points=11):
    print("    // pole -2: none on the right")
    for m in range(2, last + 1):
        left = zero(m, -1)
        right = zero(m, 1) if m > 2 else mp.nan
        print("    [" + ", ".join(pair(z) for z in (left, right)) + "],")
    for m in range(1, 25):
        guess = mp.atan(mp.pi / (mp.log(m + mpf(1) / 2))) / mp.pi
        print("    " + pair(mp.findroot(lambda d: mp.psi(0, d - m), (guess * 0.98, guess), tol=1e-50)) + ",")
    nodes = mp.polyroots(mp.taylor(lambda x: mp.legendre(points, x), 0, points)[::-1], maxsteps=200, extraprec=200)
    for x in sorted(nodes):
        slope = mp.diff(lambda t: mp.legendre(points, t), x)
        weight = 2 / ((1 - x**2) * slope**2)
        print(f"    ({float((x + 1) / 2)!r}, {float(weight / 2)!r}),")


if __name__ == "__main__":
    main()

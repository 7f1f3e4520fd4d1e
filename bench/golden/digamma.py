"""Prints the polynomial that `gradus_num::math` uses for digamma around its positive root (needs `mpmath`).

On [1, 2] the quotient ψ(x)/(x - x₀) is smooth and positive; its Chebyshev interpolant of degree 21 in x - 3/2 is
within 1e-17 of it.
"""

from mpmath import mp, mpf

mp.dps = 60
ROOT = mp.findroot(lambda x: mp.psi(0, x), mpf("1.4616"))


def quotient(u):
    x = u + mpf(3) / 2
    return mp.psi(0, x) / (x - ROOT)


def main(degree=21):
    n = degree + 1
    nodes = [mp.cos(mp.pi * (2 * k + 1) / (2 * n)) / 2 for k in range(n)]
    values = mp.matrix([quotient(u) for u in nodes])
    vandermonde = mp.matrix(n, n)
    for i, u in enumerate(nodes):
        for j in range(n):
            vandermonde[i, j] = u**j
    coefficients = mp.lu_solve(vandermonde, values)
    high = float(ROOT)
    print("root", repr(high), repr(float(ROOT - mpf(high))))
    for c in coefficients:
        print(f"    {float(c)!r},")
    worst = max(
        abs(sum(mpf(float(c)) * u**j for j, c in enumerate(coefficients)) / quotient(u) - 1)
        for u in [mpf(k) / 400 - mpf(1) / 2 for k in range(401)]
    )
    print("worst", mp.nstr(worst, 3))


if __name__ == "__main__":
    main()

"""The coefficients of src/distribution/normal.rs: rational fits, in 60 digits, of three smooth
functions that are what is left of phi = -log10 Q(y) when its steep part is taken away.

    pip install mpmath && python3 fit.py

Each fit solves p(x) - f(x) q(x) = 0 at Chebyshev nodes by weighted least squares; the weights of
the next round are 1 / (q f) (Sanathanan and Koerner, 1963) times Lawson's (1961), which levels the
relative error. It prints the coefficients, lowest degree first, and the largest error seen."""

import mpmath as mp

mp.mp.dps = 60
LN10 = mp.log(10)


def log_survival(y):
    """ln Q(y), without cancellation on either side."""
    if y < 0:
        return mp.log1p(-mp.erfc(-y / mp.sqrt(2)) / 2)
    return mp.log(mp.erfc(y / mp.sqrt(2)) / 2)


def mills(z):
    """Q(z) = exp(-z^2 / 2) mills(z)."""
    return mp.exp(log_survival(z) + z * z / 2)


def after(y):
    """phi(y) = y^2 / (2 ln 10) + after(y)."""
    return (-log_survival(y) - y * y / 2) / LN10


def tail(w):
    """phi(y) = (y^2 / 2 + ln y) / ln 10 + tail(1 / y^2)."""
    if w == 0:
        return mp.log(2 * mp.pi) / 2 / LN10
    y = 1 / mp.sqrt(w)
    return (-log_survival(y) - y * y / 2 - mp.log(y)) / LN10


def horner(coefficients, x):
    value = mp.mpf(0)
    for c in reversed(coefficients):
        value = value * x + c
    return value


def fit(f, whole, low, high, n, m, rounds=12, size=None):
    """p of degree n over q of degree m (with q(0) = 1), as nearest doubles, and their error."""
    size = size or 8 * (n + m + 2)
    nodes = [low + (high - low) * (1 - mp.cos(mp.pi * (2 * i + 1) / (2 * size))) / 2
             for i in range(size)]
    values = [f(x) for x in nodes]
    wholes = [whole(x) for x in nodes]
    lawson = [mp.mpf(1)] * size
    q_at = [mp.mpf(1)] * size
    best = None
    for _ in range(rounds):
        rows = mp.matrix(size, n + m + 1)
        right = mp.matrix(size, 1)
        for i, (x, v) in enumerate(zip(nodes, values)):
            weight = mp.sqrt(lawson[i]) / q_at[i] / wholes[i]
            for j in range(n + 1):
                rows[i, j] = weight * x**j
            for j in range(1, m + 1):
                rows[i, n + j] = -weight * v * x**j
            right[i] = weight * v
        solved = mp.lu_solve(rows.T * rows, rows.T * right)
        p = [solved[j] for j in range(n + 1)]
        q = [mp.mpf(1)] + [solved[n + j] for j in range(1, m + 1)]
        q_at = [abs(horner(q, x)) for x in nodes]
        errors = [abs(horner(p, x) / horner(q, x) - v) / whole
                  for x, v, whole in zip(nodes, values, wholes)]
        worst = max(errors)
        if best is None or worst < best[0]:
            best = (worst, p, q)
        lawson = [w * (e / worst + mp.mpf("1e-3")) for w, e in zip(lawson, errors)]
        total = sum(lawson) / size
        lawson = [w / total for w in lawson]
    return best


def show(name, low, high, n, m):
    f, whole = PARTS[name]
    worst, p, q = fit(f, whole, mp.mpf(low), mp.mpf(high), n, m)
    print(f"// {name}: {low} to {high}, {n}/{m}, error {mp.nstr(worst, 3)}")
    for label, row in (("P", p), ("Q", q)):
        print(f"{label}: [{', '.join(repr(float(c)) for c in row)}]")


# What is fitted, and what its error is relative to.
PARTS = {
    "mills": (mills, mills),
    "after": (after, lambda y: -log_survival(y) / LN10),
    "tail": (tail, lambda w: -log_survival(1 / mp.sqrt(w)) / LN10),
}

if __name__ == "__main__":
    import sys
    for spec in sys.argv[1:]:
        name, low, high, n, m = spec.split(",")
        show(name, low, high, int(n), int(m))

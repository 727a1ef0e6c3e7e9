"""The table normal.csv: phi = -log10 P(later) of the normal distribution, and of the logistic
approximation that Akka uses, in 60 digits, for doubles as they are.

    pip install mpmath && python3 normal.py > normal.csv"""

import math

import mpmath as mp

mp.mp.dps = 60
LN10 = mp.log(10)

# Mean and deviation in seconds: round numbers, a fast network, a slow one, a coarse unit.
PEERS = [(1.0, 0.1), (0.1035, 0.0105), (10.0, 0.8), (1000.0, 90.0)]

# Where the code changes its branch, where others do, where `1 - CDF` and `erfc` end.
SEAMS = [-38.6, -9.25, -5.0, -2.0, -1.25, -1e-9, 0.0, 1e-9, 1.0, 5.0, 6.0, 8.0, 8.29, 26.5, 37.5, 38.0,
         38.6]


def normal(y):
    if y < 0:
        return -mp.log1p(-mp.erfc(-y / mp.sqrt(2)) / 2) / LN10
    # erfc of mpmath underflows nowhere.
    return -mp.log(mp.erfc(y / mp.sqrt(2)) / 2) / LN10


def logistic(y):
    w = y * (mp.mpf("1.5976") + mp.mpf("0.070566") * y * y)
    return mp.log1p(mp.exp(w)) / LN10 if w < 0 else (w + mp.log1p(mp.exp(-w))) / LN10


def score(phi):
    """Where the normal phi is about that much, by bisection."""
    low, high = mp.mpf(-40), mp.mpf(700)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if normal(middle) < phi else (low, middle)
    return float(low)


def scores():
    yield from (score(mp.mpf(10) ** (mp.mpf(i) / 4)) for i in range(-80, 21))
    yield from (i / 8 for i in range(-80, 321))


def rows():
    seen = set()
    for at, (mean, deviation) in enumerate(PEERS):
        chosen = list(scores())[at::len(PEERS)]
        places = [mean + deviation * y for y in chosen + SEAMS]
        for y in SEAMS:
            place = mean + deviation * y
            places += [math.nextafter(place, 0), math.nextafter(place, math.inf)]
        for elapsed in sorted(places):
            if elapsed >= 0 and (elapsed, mean) not in seen:
                seen.add((elapsed, mean))
                yield elapsed, mean, deviation


if __name__ == "__main__":
    print("elapsed,mean,deviation,normal,logistic")
    for elapsed, mean, deviation in rows():
        y = (mp.mpf(elapsed) - mp.mpf(mean)) / mp.mpf(deviation)
        phi = normal(y)
        if phi > mp.mpf("1e-21") and phi < mp.mpf("1.1e5"):
            print(f"{elapsed!r},{mean!r},{deviation!r},{mp.nstr(phi, 22)},{mp.nstr(logistic(y), 22)}")

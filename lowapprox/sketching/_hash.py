"""Counter-based random words and normals, the same bits on every machine.

``words(key, i, k)`` is a pure function of a 128-bit key and two counters. It is made of integer
operations only, and the normals of IEEE additions, multiplications, divisions and square roots
only, each rounded on its own; so no slab, thread count, vector unit or mathematical library
changes a bit. The finaliser is that of SplitMix64 (Steele, Lea & Flood 2014).
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

__all__ = [
    "Key",
    "distinct",
    "fill_normals",
    "fill_normals_compiled",
    "log",
    "normal_pairs",
    "signs",
    "subkey",
    "uniforms",
    "words",
]

Key: TypeAlias = tuple[int, int]
Words: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]
Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SUBKEYS = 2**64 - 1  # no row has this index

_BATCH = 1 << 15  # pairs of normals made at a time, so that the work stays in the cache
_LN2 = 0.6931471805599453
_SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
_LOG = tuple(2.0 / (2 * j + 1) for j in range(10, -1, -1))  # 2 artanh(s) / s in powers of s^2
_SIN = tuple((-1.0) ** j / math.factorial(2 * j + 1) for j in range(7, -1, -1))
_COS = tuple((-1.0) ** j / math.factorial(2 * j) for j in range(8, -1, -1))


def words(key: Key, i: Any, k: Any) -> Words:
    """Return uniform 64-bit words for the counters `i` and `k`, broadcast against each other."""
    row = _mix(_counters(i) * _GOLDEN + np.uint64(key[0]))
    return _mix((row ^ np.uint64(key[1])) + (_counters(k) + np.uint64(1)) * _GOLDEN)


def subkey(key: Key, stream: int) -> Key:
    """Derive the key of an independent stream."""
    low, high = words(key, [_SUBKEYS], [2 * stream, 2 * stream + 1])
    return int(low), int(high)


def signs(key: Key, start: int, stop: int) -> Floats:
    """Return the signs with indices start to stop, 64 from each word."""
    if stop <= start:
        return np.empty(0)
    first = start >> 6
    word = words(key, np.arange(first, (stop - 1 >> 6) + 1, dtype=np.uint64), [0])
    bits = np.unpackbits(word.astype("<u8").view(np.uint8), bitorder="little")
    return 1.0 - 2.0 * bits[start - 64 * first : stop - 64 * first].astype(np.float64)


def distinct(key: Key, n: int, size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return `size` distinct indices below n, sorted, every set equally likely (Floyd 1987)."""
    chosen: set[int] = set()
    draws = words(key, np.arange(size), [0])
    for j, word in zip(range(n - size, n), draws.tolist(), strict=True):
        i = word * (j + 1) >> 64
        chosen.add(j if i in chosen else i)
    return np.array(sorted(chosen), dtype=np.int64)


def normal_pairs(key: Key, i: Any, k: Any) -> tuple[Floats, Floats]:
    """Return two independent standard normals for each pair of counters (Box & Muller 1958)."""
    k = _counters(k) * np.uint64(2)
    u, v = words(key, i, k), words(key, i, k + np.uint64(1))
    # A uniform number for the radius; an angle in [0, pi/4) and three bits that pick
    # one of the eight octants.
    radius = np.sqrt(-2.0 * log(uniforms(u)))
    angle = (v >> np.uint64(11)).astype(float) * (np.pi / 4 * 2.0**-53)
    square = angle * angle
    cosine, sine = _horner(_COS, square), _horner(_SIN, square) * angle
    swap = (v & np.uint64(1)).astype(bool)
    cosine, sine = np.where(swap, sine, cosine), np.where(swap, cosine, sine)
    return radius * cosine * _bit_sign(v, 1), radius * sine * _bit_sign(v, 2)


def fill_normals(key: Key, start: int, out: Floats) -> None:
    """Write the normals of the columns from `start` on; the rows of out are x0, y0, x1, y1, ..."""
    m, b = out.shape
    columns = np.arange(start, start + b, dtype=np.uint64)
    step = max(1, _BATCH // max(b, 1))
    for p in range(0, (m + 1) // 2, step):
        k = np.arange(p, min(p + step, (m + 1) // 2), dtype=np.uint64)[:, None]
        x, y = normal_pairs(key, columns, k)
        even, odd = out[2 * p : 2 * (p + step) : 2], out[2 * p + 1 : 2 * (p + step) : 2]
        even[...], odd[...] = x, y[: odd.shape[0]]


def fill_normals_compiled(key: Key, start: int, out: Floats) -> None:
    """Write the same bits with a kernel."""
    from lowapprox.sketching.kernels import fill_normals as fill

    with np.errstate(over="ignore"):  # unsigned words wrap around, also without the compiler
        fill(start, np.uint64(key[0]), np.uint64(key[1]), _LOG, _COS, _SIN, out)


def _bit_sign(word: Words, bit: Any) -> Floats:
    return np.float64(1.0) - 2.0 * ((word >> np.uint64(bit)) & np.uint64(1)).astype(np.float64)


def _counters(x: Any) -> Words:
    # At least one-dimensional: unsigned scalars warn when they wrap around.
    return np.atleast_1d(np.asarray(x, dtype=np.uint64))


def _mix(z: Words) -> Words:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniforms(word: Words) -> Floats:
    """Return numbers in (0, 1] made of the upper 53 bits of words."""
    return ((word >> np.uint64(11)) + np.uint64(1)).astype(np.float64) * 2.0**-53


def log(x: Floats) -> Floats:
    """Return the logarithms of positive normal numbers."""
    bits = x.view(np.int64)
    exponent = (bits - _SQRT_HALF_BITS) >> 52
    fraction = (bits - (exponent << 52)).view(np.float64)  # in [sqrt(1/2), sqrt(2))
    s = (fraction - 1.0) / (fraction + 1.0)
    return exponent * _LN2 + _horner(_LOG, s * s) * s


def _horner(coefficients: tuple[float, ...], x: Floats) -> Floats:
    value = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        value *= x
        value += c
    return value

"""Loops over the rows of a tile: signed scatter, block Hadamard transform, normals.

The kernels are serial and release the interpreter lock; the caller spreads tiles over threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lowapprox._core.jit import kernel
from lowapprox._core.simd import vadd, vdouble, vfill, vload, vmuladd, vstore

__all__ = [
    "add_hadamard_blocks",
    "add_signed_csr",
    "add_signed_rows",
    "fill_normals",
    "hadamard_groups",
]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ONE, _MIX1, _MIX2 = np.uint64(1), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_TWO, _S11 = np.uint64(2), np.uint64(11)
_S27, _S30, _S31, _S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
_PANELS = 5  # of a block that are read at a time: whole cache lines, one after the other
_LN2, _OCTANT = 0.6931471805599453, math.pi / 4 * 2.0**-53


@kernel()
def _mix(z: Any) -> Any:
    z = (z ^ (z >> _S30)) * _MIX1
    z = (z ^ (z >> _S27)) * _MIX2
    return z ^ (z >> _S31)


@kernel()
def _row_state(row: Any, key0: Any, key1: Any) -> Any:
    return _mix(row * _GOLDEN + key0) ^ key1


@kernel()
def add_signed_rows(
    tile: Any, start: Any, key0: Any, key1: Any, bounds: Any, lanes: Any, acc: Any
) -> None:
    """Add each row of the tile, with a random sign, to one row of acc in each block.

    The sign is a factor: half of all branches on it would be predicted wrongly.
    """
    n, k = tile.shape
    w = len(lanes)
    whole = k // w * w
    flat, out = tile.reshape(-1), acc.reshape(-1)
    for i in range(n):
        state = _row_state(np.uint64(start) + np.uint64(i), key0, key1)
        row = i * k
        for b in range(bounds.size - 1):
            word = _mix(state + np.uint64(b + 1) * _GOLDEN)
            size = np.uint64(bounds[b + 1] - bounds[b])
            target = (bounds[b] + np.int64(((word >> _S32) * size) >> _S32)) * k
            sign = 1.0 - 2.0 * np.float64(np.int64(word & _ONE))
            for j in range(0, whole, w):
                entries = vdouble(vload(flat, row + j, lanes))
                vstore(out, target + j, vmuladd(vload(out, target + j, lanes), sign, entries))
            for j in range(whole, k):
                out[target + j] += sign * flat[row + j]


@kernel()
def add_signed_csr(
    indptr: Any,
    indices: Any,
    data: Any,
    rows: Any,
    start: Any,
    key0: Any,
    key1: Any,
    k: Any,
    acc: Any,
) -> None:
    """Add the sparse rows rows[0] to rows[1], with random signs, to rows of acc.

    `acc` is the block k of the result.
    """
    size = np.uint64(acc.shape[0])
    for i in range(rows[0], rows[1]):
        state = _row_state(np.uint64(start) + np.uint64(i), key0, key1)
        word = _mix(state + np.uint64(k + 1) * _GOLDEN)
        target = acc[np.int64(((word >> _S32) * size) >> _S32)]
        if word & _ONE:
            for p in range(indptr[i], indptr[i + 1]):
                target[indices[p]] -= data[p]
        else:
            for p in range(indptr[i], indptr[i + 1]):
                target[indices[p]] += data[p]


@kernel()
def _levels8(x: Any, first: Any, last: Any, h: Any, minus: Any, lanes: Any) -> None:
    """Three levels of the Hadamard transform, at the row distances h, 2h and 4h."""
    w = len(lanes)
    s = h * w
    for base in range(first, last, 8 * s):
        for q in range(base, base + s, w):
            a0, a1 = vload(x, q, lanes), vload(x, q + s, lanes)
            a2, a3 = vload(x, q + 2 * s, lanes), vload(x, q + 3 * s, lanes)
            a4, a5 = vload(x, q + 4 * s, lanes), vload(x, q + 5 * s, lanes)
            a6, a7 = vload(x, q + 6 * s, lanes), vload(x, q + 7 * s, lanes)
            b0, b1 = vadd(a0, a1), vmuladd(a0, minus, a1)
            b2, b3 = vadd(a2, a3), vmuladd(a2, minus, a3)
            b4, b5 = vadd(a4, a5), vmuladd(a4, minus, a5)
            b6, b7 = vadd(a6, a7), vmuladd(a6, minus, a7)
            a0, a2 = vadd(b0, b2), vmuladd(b0, minus, b2)
            a1, a3 = vadd(b1, b3), vmuladd(b1, minus, b3)
            a4, a6 = vadd(b4, b6), vmuladd(b4, minus, b6)
            a5, a7 = vadd(b5, b7), vmuladd(b5, minus, b7)
            vstore(x, q, vadd(a0, a4))
            vstore(x, q + s, vadd(a1, a5))
            vstore(x, q + 2 * s, vadd(a2, a6))
            vstore(x, q + 3 * s, vadd(a3, a7))
            vstore(x, q + 4 * s, vmuladd(a0, minus, a4))
            vstore(x, q + 5 * s, vmuladd(a1, minus, a5))
            vstore(x, q + 6 * s, vmuladd(a2, minus, a6))
            vstore(x, q + 7 * s, vmuladd(a3, minus, a7))


@kernel()
def _level2(x: Any, first: Any, last: Any, h: Any, minus: Any, lanes: Any) -> None:
    """One level of the Hadamard transform, at the row distance h."""
    w = len(lanes)
    s = h * w
    for base in range(first, last, 2 * s):
        for q in range(base, base + s, w):
            a, b = vload(x, q, lanes), vload(x, q + s, lanes)
            vstore(x, q, vadd(a, b))
            vstore(x, q + s, vmuladd(a, minus, b))


@kernel()
def _levels(x: Any, first: Any, last: Any, h: Any, rows: Any, minus: Any, lanes: Any) -> None:
    """All levels from the row distance h to less than `rows`."""
    while 8 * h <= rows:
        _levels8(x, first, last, h, minus, lanes)
        h *= 8
    while h < rows:
        _level2(x, first, last, h, minus, lanes)
        h *= 2


@kernel()
def _transform(x: Any, first: Any, rows: Any, lanes: Any) -> None:
    """Hadamard transform, in place, of rows of a flat buffer that begin at `first`."""
    minus, w = x.dtype.type(-1.0), len(lanes)
    inner = min(rows, 64)  # these stay in the smallest cache
    last = first + rows * w
    for i in range(first, last, inner * w):
        _levels(x, i, i + inner * w, 1, inner, minus, lanes)
    _levels(x, first, last, inner, rows, minus, lanes)


@kernel()
def hadamard_groups(
    x: Any, first: Any, last: Any, h: Any, rows: Any, width: Any, lanes: Any
) -> None:
    """Do the levels from the row distance h on, `rows` rows at a time, of some groups of rows.

    The rows of a group are h rows of `width` numbers apart in the flat array; the groups have
    numbers.
    """
    w, step = len(lanes), h * width
    buffer = np.zeros(rows * w, x.dtype)
    for g in range(first, last):
        start = (g // h * h * rows + g % h) * width
        for c in range(start, start + width, w):
            part = min(w, start + width - c)
            if part == w:
                for i in range(rows):
                    vstore(buffer, i * w, vload(x, c + i * step, lanes))
            else:
                for i in range(rows):
                    for j in range(part):
                        buffer[i * w + j] = x[c + i * step + j]
            _transform(buffer, 0, rows, lanes)
            if part == w:
                for i in range(rows):
                    vstore(x, c + i * step, vload(buffer, i * w, lanes))
            else:
                for i in range(rows):
                    for j in range(part):
                        x[c + i * step + j] = buffer[i * w + j]


@kernel()
def add_hadamard_blocks(
    tile: Any,
    offset: Any,
    places: Any,
    row_signs: Any,
    samples: Any,
    block_signs: Any,
    lanes: Any,
    acc: Any,
) -> None:
    """Transform the tile block by block and add the sampled rows, with random signs, to acc.

    `offset` is the position of the first row in its block; `places` has the positions in the
    buffer of the rows of each block, or of all blocks alike, `block_signs` a row for each block.
    """
    n, k = tile.shape
    r, w = places.shape[1], len(lanes)
    panel = r * w
    x = np.zeros(_PANELS * panel, tile.dtype)
    flat, out = tile.reshape(-1), acc.reshape(-1)
    zero = vfill(tile.dtype.type(0.0), lanes)
    for b in range(block_signs.shape[0]):
        lo, hi = max(0, b * r - offset), min(n, (b + 1) * r - offset)
        order = places[min(b, places.shape[0] - 1)]
        for start in range(0, k, _PANELS * w):
            stop = min(k, start + _PANELS * w)
            whole = start + (stop - start) // w * w
            if hi - lo < r or whole < stop:
                x[:] = 0.0
            for i in range(lo, hi):
                place = order[i + offset - b * r] * w
                for c in range(start, whole, w):
                    vstore(x, place, vmuladd(zero, row_signs[i], vload(flat, i * k + c, lanes)))
                    place += panel
                for j in range(stop - whole):
                    x[place + j] = row_signs[i] * tile[i, whole + j]
            first = 0
            for c in range(start, stop, w):
                _transform(x, first, r, lanes)
                for t in range(samples.size):
                    source, target = first + samples[t] * w, t * k + c
                    sign = block_signs[b, t]
                    if c < whole:
                        sample = vdouble(vload(x, source, lanes))
                        vstore(out, target, vmuladd(vload(out, target, lanes), sign, sample))
                    else:
                        for j in range(stop - c):
                            out[target + j] += sign * x[source + j]
                first += panel


@kernel()
def _horner(coefficients: Any, x: Any) -> Any:
    value = coefficients[0]
    for c in coefficients[1:]:
        value = value * x + c
    return value


@kernel()
def fill_normals(
    start: Any, key0: Any, key1: Any, log: Any, cosine: Any, sine: Any, out: Any
) -> None:
    """Write the normals of the columns from `start` on; the rows of out are x0, y0, x1, y1, ...

    Every operation is the one of the plain path, in the same order, with its own rounding.
    """
    m, b = out.shape
    states = np.empty(b, np.uint64)
    for i in range(b):
        states[i] = _row_state(np.uint64(start) + np.uint64(i), key0, key1)
    for p in range(0, m, 2):
        low, high = np.uint64(p + 1) * _GOLDEN, np.uint64(p + 2) * _GOLDEN
        x, y = out[p], out[min(p + 1, m - 1)]
        for i in range(b):
            u, v = _mix(states[i] + low), _mix(states[i] + high)
            bits = np.float64(np.float64(np.int64((u >> _S11) + _ONE)) * 2.0**-53).view(np.int64)
            exponent = (bits - _SQRT_HALF_BITS) >> 52
            fraction = np.int64(bits - (exponent << 52)).view(np.float64)
            s = (fraction - 1.0) / (fraction + 1.0)
            radius = math.sqrt(-2.0 * (exponent * _LN2 + _horner(log, s * s) * s))
            angle = np.float64(np.int64(v >> _S11)) * _OCTANT
            square = angle * angle
            c, d = _horner(cosine, square), _horner(sine, square) * angle
            swap = (v & _ONE) != 0
            first, second = (d, c) if swap else (c, d)
            y[i] = radius * second * (1.0 - 2.0 * np.float64(np.int64((v >> _TWO) & _ONE)))
            x[i] = radius * first * (1.0 - 2.0 * np.float64(np.int64((v >> _ONE) & _ONE)))

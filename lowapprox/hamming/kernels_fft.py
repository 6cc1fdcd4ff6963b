"""Compiled loops of the counting by Fourier transforms.

A transform of `size` = 4^p complex numbers is kept as vectors: 16 real parts, 16 imaginary parts,
and so on. Steps of radix 4 run over vectors until 16 numbers are left, each in one vector; a
transposition of 16 such vectors brings the last two steps over vectors too. Frequencies come out
in an order of their own, which never matters; products of many spectra run over tiles of 64
numbers, in cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel
from lowapprox._core.simd import (
    vadd,
    vand,
    veq,
    vfill,
    vload,
    vmul,
    vmuladd,
    vmulsub,
    vround,
    vstore,
    vsub,
    vwhere,
)
from lowapprox._core.simd_tiles import vtranspose

__all__ = ["TILE", "correlate", "look_up", "pattern_spectra"]

TILE = 64  # numbers


@kernel()
def look_up(codes: Any, table: Any, marks: Any) -> Any:
    """Write ``table[codes[i]]``, and return the union of the bits that were written."""
    union = np.uint8(0)
    for i in range(codes.size):
        mark = table[codes[i]]
        marks[i] = mark
        union |= mark
    return union


@kernel()
def _load(z: Any, i: int, lanes: Any) -> Any:
    return vload(z, i, lanes), vload(z, i + len(lanes), lanes)


@kernel()
def _store(z: Any, i: int, x: Any, lanes: Any) -> None:
    vstore(z, i, x[0])
    vstore(z, i + len(lanes), x[1])


@kernel()
def _four(ar: Any, ai: Any, br: Any, bi: Any, cr: Any, ci: Any, dr: Any, di: Any) -> Any:
    """Transform four numbers; the inverse exchanges the second and the last result."""
    sr, si, tr, ti = vadd(ar, cr), vadd(ai, ci), vsub(ar, cr), vsub(ai, ci)
    ur, ui, vr, vi = vadd(br, dr), vadd(bi, di), vsub(br, dr), vsub(bi, di)
    even = (vadd(sr, ur), vadd(si, ui)), (vsub(sr, ur), vsub(si, ui))
    odd = (vadd(tr, vi), vsub(ti, vr)), (vsub(tr, vi), vadd(ti, vr))
    return even[0], odd[0], even[1], odd[1]


@kernel()
def _turn(x: Any, factors: Any, at: int, lanes: Any) -> Any:
    """Multiply by twiddle factors."""
    xr, xi = x
    fr, fi = _load(factors, at, lanes)
    return vmulsub(vmul(xr, fr), xi, fi), vmuladd(vmul(xr, fi), xi, fr)


@kernel()
def _turn_back(x: Any, factors: Any, at: int, lanes: Any) -> Any:
    """Multiply by the conjugates of twiddle factors."""
    xr, xi = x
    fr, fi = _load(factors, at, lanes)
    return vmuladd(vmul(xr, fr), xi, fi), vmulsub(vmul(xi, fr), xr, fi)


@kernel()
def _store_turned(z: Any, i: int, q: int, abcd: Any, factors: Any, at: int, lanes: Any) -> None:
    """Write four numbers `q` apart, turned by the factors of a step."""
    w = len(lanes)
    _store(z, i, abcd[0], lanes)
    _store(z, i + q, _turn(abcd[1], factors, at, lanes), lanes)
    _store(z, i + 2 * q, _turn(abcd[2], factors, at + 2 * w, lanes), lanes)
    _store(z, i + 3 * q, _turn(abcd[3], factors, at + 4 * w, lanes), lanes)


@kernel()
def _step(z: Any, start: int, length: int, factors: Any, at: int, lanes: Any) -> None:
    """Do one step of a transform of `length`."""
    w = len(lanes)
    q = length // 2
    for i in range(start, start + q, 2 * w):
        a, b = _load(z, i, lanes), _load(z, i + q, lanes)
        c, d = _load(z, i + 2 * q, lanes), _load(z, i + 3 * q, lanes)
        _store_turned(z, i, q, _four(*a, *b, *c, *d), factors, at, lanes)
        at += 6 * w


@kernel()
def _first_step(
    marks: Any, a: int, b: int, bit: Any, low: Any, high: Any, z: Any, factors: Any, lanes: Any
) -> None:
    """Do the first step of the transform of a signal of the text, from place a on, and b."""
    w = len(lanes)
    q = z.size // 4
    bit, low, high = vfill(bit, lanes), vfill(low, lanes), vfill(high, lanes)
    at = 0
    for i in range(0, q, 2 * w):
        j = i // 2
        x0 = _values(marks, a + j, b + j, bit, low, high, lanes)
        j += q // 2
        x1 = _values(marks, a + j, b + j, bit, low, high, lanes)
        j += q // 2
        x2 = _values(marks, a + j, b + j, bit, low, high, lanes)
        j += q // 2
        x3 = _values(marks, a + j, b + j, bit, low, high, lanes)
        _store_turned(z, i, q, _four(*x0, *x1, *x2, *x3), factors, at, lanes)
        at += 6 * w


@kernel()
def _values(marks: Any, a: int, b: int, bit: Any, low: Any, high: Any, lanes: Any) -> Any:
    """Return `high` where the marks have the bit, else `low`."""
    here = veq(vand(vload(marks, a, lanes), bit), bit)
    there = veq(vand(vload(marks, b, lanes), bit), bit)
    return vwhere(here, high, low), vwhere(there, high, low)


@kernel()
def _finish(z: Any, factors: Any, out: Any, start: int, step: int, lanes: Any) -> None:
    """Do all steps but the first; tile t comes to ``out[start + t * step]``.

    Depth first: a step is done when the first of its squares of 16 vectors is reached.
    """
    w = len(lanes)
    size = z.size // 2
    square = 2 * w * w
    for first in range(0, 2 * size, square):
        length, at = size // 4, 6 * (size // 4)
        while length > 4 * w:
            if first & (2 * length - 1) == 0:
                _step(z, first, length, factors, at, lanes)
            at += 6 * (length // 4)
            length //= 4
        for i in range(first, first + square, 8 * w):
            _step(z, i, 4 * w, factors, at, lanes)
        at += 6 * w
        vtranspose(z, first, 2 * w, lanes)
        vtranspose(z, first + w, 2 * w, lanes)
        _step(z, first, w * w, factors, at, lanes)
        for i in range(first, first + square, 8 * w):
            a, b = _load(z, i, lanes), _load(z, i + 2 * w, lanes)
            c, d = _load(z, i + 4 * w, lanes), _load(z, i + 6 * w, lanes)
            a, b, c, d = _four(*a, *b, *c, *d)
            o = start + i // (8 * w) * step
            _store(out, o, a, lanes)
            _store(out, o + 2 * w, b, lanes)
            _store(out, o + 4 * w, c, lanes)
            _store(out, o + 6 * w, d, lanes)


@kernel()
def _inverse(z: Any, factors: Any, lanes: Any) -> None:
    """Undo a transform in place, but for the factor `size`: the same steps in reverse order."""
    w = len(lanes)
    size = z.size // 2
    square = 2 * w * w
    for first in range(0, 2 * size, square):
        for i in range(first, first + square, 8 * w):
            a, b = _load(z, i, lanes), _load(z, i + 2 * w, lanes)
            c, d = _load(z, i + 4 * w, lanes), _load(z, i + 6 * w, lanes)
            a, d, c, b = _four(*a, *b, *c, *d)
            _store(z, i, a, lanes)
            _store(z, i + 2 * w, b, lanes)
            _store(z, i + 4 * w, c, lanes)
            _store(z, i + 6 * w, d, lanes)
        at = 2 * (size - w)
        _inverse_step(z, first, w * w, factors, at, lanes)
        vtranspose(z, first, 2 * w, lanes)
        vtranspose(z, first + w, 2 * w, lanes)
        at -= 6 * w
        for i in range(first, first + square, 8 * w):
            _inverse_step(z, i, 4 * w, factors, at, lanes)
        length, end = w * w, first + square
        while length <= size and end & (2 * length - 1) == 0:
            at -= 6 * (length // 4)
            _inverse_step(z, end - 2 * length, length, factors, at, lanes)
            length *= 4


@kernel()
def _inverse_step(z: Any, start: int, length: int, factors: Any, at: int, lanes: Any) -> None:
    w = len(lanes)
    q = length // 2
    for i in range(start, start + q, 2 * w):
        a = _load(z, i, lanes)
        b = _turn_back(_load(z, i + q, lanes), factors, at, lanes)
        c = _turn_back(_load(z, i + 2 * q, lanes), factors, at + 2 * w, lanes)
        d = _turn_back(_load(z, i + 3 * q, lanes), factors, at + 4 * w, lanes)
        a, d, c, b = _four(*a, *b, *c, *d)
        _store(z, i, a, lanes)
        _store(z, i + q, b, lanes)
        _store(z, i + 2 * q, c, lanes)
        _store(z, i + 3 * q, d, lanes)
        at += 6 * w


@kernel()
def pattern_spectra(
    places: Any,
    letters: Any,
    values: Any,
    factors: Any,
    z: Any,
    tiles: Any,
    spectra: Any,
    lanes: Any,
) -> None:
    """Transform a real signal of the pattern in double precision, turned around.

    ``values[letters[i]]`` stands at place ``-places[i]`` modulo `size`. Tile t comes to
    ``spectra[t]``.
    """
    w = len(lanes)
    size = z.size // 2
    z[:] = 0.0
    for i in range(places.size):
        at = -places[i] & (size - 1)
        z[at + at // w * w] = values[letters[i]]
    _step(z, 0, size, factors, 0, lanes)
    _finish(z, factors, tiles, 0, 2 * TILE, lanes)
    for t in range(spectra.shape[0]):
        for i in range(2 * TILE):
            spectra[t, i] = tiles[2 * TILE * t + i]


@kernel()
def _multiply_add(s: Any, x: Any, h: Any) -> Any:
    sr, si = s
    xr, xi = x
    hr, hi = h
    sr, si = vmuladd(sr, xr, hr), vmuladd(si, xr, hi)
    return vmulsub(sr, xi, hi), vmuladd(si, xi, hr)


@kernel()
def _add(x: Any, y: Any) -> Any:
    return vadd(x[0], y[0]), vadd(x[1], y[1])


@kernel()
def _multiply(
    spectra: Any, slot: int, patterns: Any, shape: Any, begin: int, end: int, sums: Any, lanes: Any
) -> None:
    """Sum the products of text blocks with the chunks `begin` to `end` - 1 of the pattern.

    Block q meets chunk s at text spectrum ``slot + q + s``, a row of `spectra` for each signal;
    the last is followed by the first. Four blocks are treated together.
    """
    signals, chunks, slots, count = shape
    w = len(lanes)
    pitch = spectra.shape[1]
    block, ring = pitch * signals, pitch * signals * slots
    size = sums.shape[1]
    flat, rows = sums.reshape(-1), spectra.reshape(-1)
    for tile in range(size // (2 * TILE)):
        for q in range(0, count, 4):
            first = (slot + q + begin) % slots * block
            for v in range(0, 2 * TILE, 2 * w):
                h = (tile * chunks + begin) * 2 * TILE * signals + v
                p0 = first
                p1 = p0 + block if p0 + block < ring else 0
                p2 = p1 + block if p1 + block < ring else 0
                p3 = p2 + block if p2 + block < ring else 0
                zero = vfill(sums.dtype.type(0), lanes)
                y0 = y1 = y2 = y3 = zero, zero
                for _ in range(begin, end):
                    a0 = a1 = a2 = a3 = zero, zero
                    x = tile * 2 * TILE + v
                    for _ in range(signals):
                        f = _load(patterns, h, lanes)
                        a0 = _multiply_add(a0, _load(rows, p0 + x, lanes), f)
                        a1 = _multiply_add(a1, _load(rows, p1 + x, lanes), f)
                        a2 = _multiply_add(a2, _load(rows, p2 + x, lanes), f)
                        a3 = _multiply_add(a3, _load(rows, p3 + x, lanes), f)
                        h += 2 * TILE
                        x += pitch
                    y0, y1, y2, y3 = _add(y0, a0), _add(y1, a1), _add(y2, a2), _add(y3, a3)
                    p0, p1, p2 = p1, p2, p3
                    p3 = p3 + block if p3 + block < ring else 0
                o = q * size + tile * 2 * TILE + v
                _store(flat, o, y0, lanes)
                _store(flat, o + size, y1, lanes)
                _store(flat, o + 2 * size, y2, lanes)
                _store(flat, o + 3 * size, y3, lanes)


@kernel()
def _emit(
    z: Any, start: int, count: int, scale: Any, offset: Any, out: Any, first: int, lanes: Any
) -> None:
    """Subtract the nearest integers of ``offset + scale * z`` from ``out[first:first + count]``."""
    w = len(lanes)
    whole = count - count % w
    base = vfill(offset, lanes)
    for i in range(0, whole, w):
        near = vround(vmuladd(base, scale, vload(z, start + 2 * i, lanes)), out)
        vstore(out, first + i, vsub(vload(out, first + i, lanes), near))
    for i in range(whole, count):
        value = offset + scale * z[start + whole + i]
        out[first + i] -= np.int32(np.rint(value))


@kernel()
def correlate(
    marks: Any,
    bits: Any,
    low: Any,
    high: Any,
    step: int,
    groups: Any,
    offsets: Any,
    scale: Any,
    factors: Any,
    patterns: Any,
    z: Any,
    spectra: Any,
    sums: Any,
    out: Any,
    lanes: Any,
) -> None:
    """Subtract from `out` the correlations of signals of the text with those of the pattern.

    The first half of the shifts is the real part, the second half the imaginary part. Blocks of
    `step` shifts meet the chunks of the pattern; a group of chunks is summed, transformed back and
    rounded. As many blocks as `sums` has rows are treated at a time.

    Parameters
    ----------
    marks : ndarray of uint8
        Of the text, and zeros behind.
    bits : ndarray of uint8, shape (signals,)
        A signal of the text is `high` where the marks have its bit, else `low`.
    low, high : float
    step : int
    groups : ndarray of int, shape (g + 1,)
        Bounds of the groups of chunks.
    offsets : ndarray, shape (g,)
    scale : float
        The sum of a group, scaled and shifted by its offset, is rounded.
    factors : ndarray
        Twiddle factors.
    patterns : ndarray, shape (tiles * chunks * signals * 2 * TILE,)
        Spectra of the pattern.
    z, spectra, sums : ndarray
        Scratch: one transform, the spectra of the text in turn, and one transform a row. The rows
        of the spectra are a little longer, so that their tiles do not compete in cache.
    out : ndarray of int, shape (shifts,)
    lanes : tuple
    """
    signals, chunks = bits.size, groups[-1]
    slots, rows = spectra.shape[0] // signals, spectra.reshape(-1)
    half = (out.size + 1) // 2
    blocks = -(-half // step)
    done = 0
    for first in range(0, blocks, sums.shape[0]):
        count = min(sums.shape[0], blocks - first)
        while done < first + count + chunks - 1:
            place = done % slots * signals * spectra.shape[1]
            a, b = done * step, half + done * step
            for c in range(signals):
                _first_step(marks, a, b, bits[c], low, high, z, factors, lanes)
                _finish(z, factors, rows, place, 2 * TILE, lanes)
                place += spectra.shape[1]
            done += 1
        for g in range(offsets.size):
            begin, end, offset = groups[g], groups[g + 1], offsets[g]
            shape = signals, chunks, slots, count
            _multiply(spectra, first % slots, patterns, shape, begin, end, sums, lanes)
            for k in range(count):
                y, at = sums[k], (first + k) * step
                _inverse(y, factors, lanes)
                _emit(y, 0, min(step, half - at), scale, offset, out, at, lanes)
                at += half
                _emit(y, len(lanes), min(step, out.size - at), scale, offset, out, at, lanes)

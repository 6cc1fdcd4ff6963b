"""Compiled loops of the counting by Fourier transforms.

A transform of `size` = 4^p complex numbers is kept as vectors: 16 real parts, 16 imaginary parts,
and so on. It runs over vectors by radix 4 until 16 numbers are left, each in one vector; a
transposition of 16 such vectors brings these last two steps over vectors too. Frequencies come out
in an order of their own, which never matters. They are stored in tiles of 64 numbers.
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
    vtranspose,
    vwhere,
)

__all__ = ["correlate", "look_up", "transform"]

TILE = 64  # numbers
_INNER = 4096  # numbers that stay in the first cache


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
def transform(
    z: Any, size: int, twiddles: Any, out: Any, start: int, step: int, lanes: Any
) -> None:
    """Write the transform of `z` to `out`: tile t at ``start + t * step``. `z` is lost."""
    w = len(lanes)
    length, at = size, 0
    while length > _INNER:
        for first in range(0, size, length):
            _pass(z, 2 * first, length // (4 * w), twiddles, at, lanes)
        at += 6 * (length // 4)
        length //= 4
    top, at_top = length, at
    for block in range(0, size, top):
        length, at = top, at_top
        while length > w:
            for first in range(block, block + top, length):
                _pass(z, 2 * first, length // (4 * w), twiddles, at, lanes)
            at += 6 * (length // 4)
            length //= 4
        for first in range(2 * block, 2 * (block + top), 2 * w * w):
            vtranspose(z, first, 2 * w, lanes)
            vtranspose(z, first + w, 2 * w, lanes)
            _pass(z, first, 4, twiddles, at, lanes)
            for k in range(4):
                tile = first // (2 * TILE) + k
                _last_pass(z, first + 2 * TILE * k, out, start + tile * step, lanes)


@kernel()
def _pass(z: Any, start: int, quarter: int, twiddles: Any, at: int, lanes: Any) -> None:
    """Transform over the quarters of ``4 * quarter`` vectors, and turn by the twiddle factors."""
    w = len(lanes)
    q = 2 * w * quarter
    for i in range(start, start + q, 2 * w):
        ar, ai = vload(z, i, lanes), vload(z, i + w, lanes)
        br, bi = vload(z, i + q, lanes), vload(z, i + q + w, lanes)
        cr, ci = vload(z, i + 2 * q, lanes), vload(z, i + 2 * q + w, lanes)
        dr, di = vload(z, i + 3 * q, lanes), vload(z, i + 3 * q + w, lanes)
        sr, si, tr, ti = vadd(ar, cr), vadd(ai, ci), vsub(ar, cr), vsub(ai, ci)
        ur, ui, vr, vi = vadd(br, dr), vadd(bi, di), vsub(br, dr), vsub(bi, di)
        vstore(z, i, vadd(sr, ur))
        vstore(z, i + w, vadd(si, ui))
        ar, ai = vadd(tr, vi), vsub(ti, vr)
        br, bi = vsub(sr, ur), vsub(si, ui)
        cr, ci = vsub(tr, vi), vadd(ti, vr)
        fr, fi = vload(twiddles, at, lanes), vload(twiddles, at + w, lanes)
        vstore(z, i + q, vmulsub(vmul(ar, fr), ai, fi))
        vstore(z, i + q + w, vmuladd(vmul(ar, fi), ai, fr))
        fr, fi = vload(twiddles, at + 2 * w, lanes), vload(twiddles, at + 3 * w, lanes)
        vstore(z, i + 2 * q, vmulsub(vmul(br, fr), bi, fi))
        vstore(z, i + 2 * q + w, vmuladd(vmul(br, fi), bi, fr))
        fr, fi = vload(twiddles, at + 4 * w, lanes), vload(twiddles, at + 5 * w, lanes)
        vstore(z, i + 3 * q, vmulsub(vmul(cr, fr), ci, fi))
        vstore(z, i + 3 * q + w, vmuladd(vmul(cr, fi), ci, fr))
        at += 6 * w


@kernel()
def _last_pass(z: Any, i: int, out: Any, o: int, lanes: Any) -> None:
    """Transform over four vectors, into `out`."""
    w = len(lanes)
    q = 2 * w
    ar, ai = vload(z, i, lanes), vload(z, i + w, lanes)
    br, bi = vload(z, i + q, lanes), vload(z, i + q + w, lanes)
    cr, ci = vload(z, i + 2 * q, lanes), vload(z, i + 2 * q + w, lanes)
    dr, di = vload(z, i + 3 * q, lanes), vload(z, i + 3 * q + w, lanes)
    sr, si, tr, ti = vadd(ar, cr), vadd(ai, ci), vsub(ar, cr), vsub(ai, ci)
    ur, ui, vr, vi = vadd(br, dr), vadd(bi, di), vsub(br, dr), vsub(bi, di)
    vstore(out, o, vadd(sr, ur))
    vstore(out, o + w, vadd(si, ui))
    vstore(out, o + q, vadd(tr, vi))
    vstore(out, o + q + w, vsub(ti, vr))
    vstore(out, o + 2 * q, vsub(sr, ur))
    vstore(out, o + 2 * q + w, vsub(si, ui))
    vstore(out, o + 3 * q, vsub(tr, vi))
    vstore(out, o + 3 * q + w, vadd(ti, vr))


@kernel()
def _inverse(z: Any, start: int, size: int, twiddles: Any, lanes: Any) -> None:
    """Undo `transform` in place, but for the factor `size`: the same steps in reverse order."""
    w = len(lanes)
    top, at_top = size, 0
    while top > _INNER:
        at_top += 6 * (top // 4)
        top //= 4
    for block in range(start, start + 2 * size, 2 * top):
        at = at_top + 2 * (top - w)
        for first in range(block, block + 2 * top, 2 * w * w):
            for k in range(4):
                _inverse_first_pass(z, first + 2 * TILE * k, lanes)
            _inverse_pass(z, first, 4, twiddles, at, lanes)
            vtranspose(z, first, 2 * w, lanes)
            vtranspose(z, first + w, 2 * w, lanes)
        length = 4 * w
        while length <= top:
            at -= 6 * (length // 4)
            for first in range(block, block + 2 * top, 2 * length):
                _inverse_pass(z, first, length // (4 * w), twiddles, at, lanes)
            length *= 4
    length, at = 4 * top, at_top
    while length <= size:
        at -= 6 * (length // 4)
        for first in range(start, start + 2 * size, 2 * length):
            _inverse_pass(z, first, length // (4 * w), twiddles, at, lanes)
        length *= 4


@kernel()
def _inverse_pass(z: Any, start: int, quarter: int, twiddles: Any, at: int, lanes: Any) -> None:
    w = len(lanes)
    q = 2 * w * quarter
    for i in range(start, start + q, 2 * w):
        ar, ai = vload(z, i, lanes), vload(z, i + w, lanes)
        xr, xi = vload(z, i + q, lanes), vload(z, i + q + w, lanes)
        fr, fi = vload(twiddles, at, lanes), vload(twiddles, at + w, lanes)
        br, bi = vmuladd(vmul(xr, fr), xi, fi), vmulsub(vmul(xi, fr), xr, fi)
        xr, xi = vload(z, i + 2 * q, lanes), vload(z, i + 2 * q + w, lanes)
        fr, fi = vload(twiddles, at + 2 * w, lanes), vload(twiddles, at + 3 * w, lanes)
        cr, ci = vmuladd(vmul(xr, fr), xi, fi), vmulsub(vmul(xi, fr), xr, fi)
        xr, xi = vload(z, i + 3 * q, lanes), vload(z, i + 3 * q + w, lanes)
        fr, fi = vload(twiddles, at + 4 * w, lanes), vload(twiddles, at + 5 * w, lanes)
        dr, di = vmuladd(vmul(xr, fr), xi, fi), vmulsub(vmul(xi, fr), xr, fi)
        sr, si, tr, ti = vadd(ar, cr), vadd(ai, ci), vsub(ar, cr), vsub(ai, ci)
        ur, ui, vr, vi = vadd(br, dr), vadd(bi, di), vsub(br, dr), vsub(bi, di)
        vstore(z, i, vadd(sr, ur))
        vstore(z, i + w, vadd(si, ui))
        vstore(z, i + q, vsub(tr, vi))
        vstore(z, i + q + w, vadd(ti, vr))
        vstore(z, i + 2 * q, vsub(sr, ur))
        vstore(z, i + 2 * q + w, vsub(si, ui))
        vstore(z, i + 3 * q, vadd(tr, vi))
        vstore(z, i + 3 * q + w, vsub(ti, vr))
        at += 6 * w


@kernel()
def _inverse_first_pass(z: Any, i: int, lanes: Any) -> None:
    w = len(lanes)
    q = 2 * w
    ar, ai = vload(z, i, lanes), vload(z, i + w, lanes)
    br, bi = vload(z, i + q, lanes), vload(z, i + q + w, lanes)
    cr, ci = vload(z, i + 2 * q, lanes), vload(z, i + 2 * q + w, lanes)
    dr, di = vload(z, i + 3 * q, lanes), vload(z, i + 3 * q + w, lanes)
    sr, si, tr, ti = vadd(ar, cr), vadd(ai, ci), vsub(ar, cr), vsub(ai, ci)
    ur, ui, vr, vi = vadd(br, dr), vadd(bi, di), vsub(br, dr), vsub(bi, di)
    vstore(z, i, vadd(sr, ur))
    vstore(z, i + w, vadd(si, ui))
    vstore(z, i + q, vsub(tr, vi))
    vstore(z, i + q + w, vadd(ti, vr))
    vstore(z, i + 2 * q, vsub(sr, ur))
    vstore(z, i + 2 * q + w, vsub(si, ui))
    vstore(z, i + 3 * q, vadd(tr, vi))
    vstore(z, i + 3 * q + w, vsub(ti, vr))


@kernel()
def _signal(marks: Any, a: int, b: int, bit: Any, low: Any, high: Any, z: Any, lanes: Any) -> None:
    """Write a complex signal: `high` where the marks have the bit, from place a on, and b."""
    w = len(lanes)
    bits, yes, no = vfill(bit, lanes), vfill(high, lanes), vfill(low, lanes)
    for i in range(0, z.size // 2, w):
        here = veq(vand(vload(marks, a + i, lanes), bits), bits)
        vstore(z, 2 * i, vwhere(here, yes, no))
        here = veq(vand(vload(marks, b + i, lanes), bits), bits)
        vstore(z, 2 * i + w, vwhere(here, yes, no))


@kernel()
def _multiply(
    spectra: Any,
    slot: int,
    signals: int,
    row: int,
    patterns: Any,
    chunks: Any,
    first: int,
    last: int,
    out: Any,
    start: int,
    lanes: Any,
) -> None:
    """Sum the products of four blocks of the text with the chunks `first` to `last` - 1.

    Block q meets chunk s at spectrum q + s; `slot` is where that of block 0 with chunk 0 lies, and
    `row` numbers are a tile's spectra in turn, the last followed by the first again.
    """
    w = len(lanes)
    size = out.size // 4
    block, chunk = 2 * TILE * signals, 2 * TILE * signals * chunks
    for tile in range(size // (2 * TILE)):
        for v in range(0, 2 * TILE, 2 * w):
            p0 = (slot + first * block) % row
            p1, p2 = (p0 + block) % row, (p0 + 2 * block) % row
            p3 = (p0 + 3 * block) % row
            zero = vfill(out.dtype.type(0), lanes)
            y0r = y0i = y1r = y1i = y2r = y2i = y3r = y3i = zero
            base = tile * row + v
            h = tile * chunk + first * block + v
            for _ in range(first, last):
                a0r = a0i = a1r = a1i = a2r = a2i = a3r = a3i = zero
                for _ in range(signals):
                    hr, hi = vload(patterns, h, lanes), vload(patterns, h + w, lanes)
                    xr, xi = vload(spectra, base + p0, lanes), vload(spectra, base + p0 + w, lanes)
                    a0r, a0i = vmuladd(a0r, xr, hr), vmuladd(a0i, xr, hi)
                    a0r, a0i = vmulsub(a0r, xi, hi), vmuladd(a0i, xi, hr)
                    xr, xi = vload(spectra, base + p1, lanes), vload(spectra, base + p1 + w, lanes)
                    a1r, a1i = vmuladd(a1r, xr, hr), vmuladd(a1i, xr, hi)
                    a1r, a1i = vmulsub(a1r, xi, hi), vmuladd(a1i, xi, hr)
                    xr, xi = vload(spectra, base + p2, lanes), vload(spectra, base + p2 + w, lanes)
                    a2r, a2i = vmuladd(a2r, xr, hr), vmuladd(a2i, xr, hi)
                    a2r, a2i = vmulsub(a2r, xi, hi), vmuladd(a2i, xi, hr)
                    xr, xi = vload(spectra, base + p3, lanes), vload(spectra, base + p3 + w, lanes)
                    a3r, a3i = vmuladd(a3r, xr, hr), vmuladd(a3i, xr, hi)
                    a3r, a3i = vmulsub(a3r, xi, hi), vmuladd(a3i, xi, hr)
                    p0, p1, p2, p3 = p0 + 2 * TILE, p1 + 2 * TILE, p2 + 2 * TILE, p3 + 2 * TILE
                    h += 2 * TILE
                y0r, y0i, y1r, y1i = vadd(y0r, a0r), vadd(y0i, a0i), vadd(y1r, a1r), vadd(y1i, a1i)
                y2r, y2i, y3r, y3i = vadd(y2r, a2r), vadd(y2i, a2i), vadd(y3r, a3r), vadd(y3i, a3i)
                p0 = 0 if p0 == row else p0
                p1 = 0 if p1 == row else p1
                p2 = 0 if p2 == row else p2
                p3 = 0 if p3 == row else p3
            o = start + tile * 2 * TILE + v
            vstore(out, o, y0r)
            vstore(out, o + w, y0i)
            vstore(out, o + size, y1r)
            vstore(out, o + size + w, y1i)
            vstore(out, o + 2 * size, y2r)
            vstore(out, o + 2 * size + w, y2i)
            vstore(out, o + 3 * size, y3r)
            vstore(out, o + 3 * size + w, y3i)


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
        value = offset + scale * z[start + 2 * whole + i - whole]
        out[first + i] -= np.int32(np.rint(value))


@kernel()
def correlate(
    marks: Any,
    step: int,
    bits: Any,
    low: Any,
    high: Any,
    twiddles: Any,
    patterns: Any,
    groups: Any,
    offsets: Any,
    scale: Any,
    z: Any,
    spectra: Any,
    sums: Any,
    out: Any,
    lanes: Any,
) -> None:
    """Subtract correlations of signals of the text with those of the pattern from `out`.

    The first half of the shifts is the real part of one signal, the second half the imaginary
    part. Blocks of `step` shifts meet the chunks of the pattern, `groups` of which (by their
    bounds) are summed and rounded together; four blocks are treated at a time.
    """
    size, signals, chunks = z.size // 2, bits.size, groups[-1]
    half = (out.size + 1) // 2
    blocks = -(-half // step)
    block = 2 * TILE * signals
    row = spectra.size // (size // TILE)
    slots = row // block
    done = 0
    for first in range(0, blocks, 4):
        ready = min(first + 4, blocks) + chunks - 1
        while done < ready:
            for c in range(signals):
                _signal(marks, done * step, half + done * step, bits[c], low, high, z, lanes)
                place = done % slots * block + 2 * TILE * c
                transform(z, size, twiddles, spectra, place, row, lanes)
            done += 1
        for g in range(offsets.size):
            slot = first % slots * block
            begin, end = groups[g], groups[g + 1]
            _multiply(spectra, slot, signals, row, patterns, chunks, begin, end, sums, 0, lanes)
            for k in range(min(4, blocks - first)):
                start = 2 * size * k
                _inverse(sums, start, size, twiddles, lanes)
                at = (first + k) * step
                count = min(step, half - at)
                _emit(sums, start, count, scale, offsets[g], out, at, lanes)
                count = min(step, out.size - half - at)
                _emit(sums, start + len(lanes), count, scale, offsets[g], out, half + at, lanes)

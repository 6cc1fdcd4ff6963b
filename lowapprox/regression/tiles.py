"""Triangles of tiles of rows, joined in pairs, each with its measured rounding error."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lowapprox.regression.folding import fold
from lowapprox.regression.system import Host

__all__ = ["Folded", "empty_fold", "fold_rows", "folded_pair", "height_of_tiles"]

_TILE_ENTRIES = 1 << 15


class Folded(NamedTuple):
    """The triangle of some rows.

    Attributes
    ----------
    R : numpy.ndarray, shape (w, w)
        ``R^H R = (M + E)^H (M + E)`` for the rows M.
    slips : numpy.ndarray, shape (w,)
        Estimates of ``|E_j|^2 / |M_j|^2`` for the columns.
    """

    R: Host
    slips: Host


def height_of_tiles(width: int) -> int:
    """Return the rows of a tile: enough for one factorization to be worth a call."""
    return max(8 * width, _TILE_ENTRIES // width)


def empty_fold(width: int) -> Folded:
    """Return the triangle of no rows."""
    return Folded(np.zeros((width, width)), np.zeros(width))


def fold_rows(M: Host) -> Folded:
    """Fold rows that are the columns but the last of a Fortran-ordered array, overwritten."""
    top: Host = np.zeros((M.shape[1], M.shape[1]), M.dtype, order="F")
    return _probed(M, top, 0, ())


def folded_pair(first: Folded, second: Folded) -> Folded:
    """Fold two triangles into that of all their rows."""
    width = first.R.shape[1]
    dtype = np.result_type(first.R, second.R)
    top: Host = np.zeros((width + 1, width + 1), dtype, order="F")
    top[:-1, :-1] = first.R
    M: Host = np.empty((width, width + 1), dtype, order="F")
    M[:, :-1] = second.R
    return _probed(M, top, width, (first, second))


def _probed(M: Host, top: Host, triangular: int, parts: tuple[Folded, ...]) -> Folded:
    """Factor ``[top; M]``, and measure the rounding error by a combination of its columns.

    The last column of both is free. It becomes a combination with random signs of the others,
    which in exact arithmetic is the same combination of the columns of the triangle; by how much
    it is not tells the size of E.
    """
    peaks = np.maximum(_peaks(top), _peaks(M)) if parts else _peaks(M)
    exponents = np.frexp(np.where(peaks > 0.0, peaks, 1.0))[1]
    signs = np.random.Generator(np.random.PCG64(0)).integers(0, 2, exponents.size) * 2.0 - 1.0
    with np.errstate(all="ignore"):  # NaN and infinity go through
        probe = np.ldexp(signs, -exponents)
        for rows in (top, M) if parts else (M,):
            rows[:, -1] = rows[:, :-1] @ probe
        fold(top, M, triangular)
        R = np.triu(top)
        slip = R[:, -1] - R[:, :-1] @ probe
        R = R[:-1, :-1]
        sizes = _squares(R, exponents)
        slips: Host = np.zeros(sizes.size)
        for part in parts:
            slips += part.slips * _squares(part.R, exponents)
        some = np.where(sizes > 0.0, sizes, 1.0)
        slips = slips / some + np.linalg.norm(slip) ** 2 / max(float(sizes.sum()), 1.0)
    return Folded(np.ascontiguousarray(R), slips)


def _peaks(M: Host) -> Host:
    """Return the size of the columns but the last."""
    parts = (M.real, M.imag) if M.dtype.kind == "c" else (M,)
    peaks: Any = 0.0
    for part in parts:
        columns = part[:, :-1]
        peaks = np.maximum(peaks, np.maximum(columns.max(axis=0), -columns.min(axis=0)))
    return np.asarray(peaks)


def _squares(R: Host, exponents: Host) -> Host:
    """Return the squared norms of columns that are divided by powers of two."""
    scaled = R * np.ldexp(1.0, -exponents)
    squares: Host = np.einsum("ij,ij->j", scaled.conj(), scaled).real
    return squares

"""Tall matrices by rows: a store of runs of them, and a basis of their columns, never formed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from lowapprox._core.errors import NumericalError
from lowapprox._core.views import scaled
from lowapprox.sketching.operators import SketchOperator

__all__ = ["RowStore", "TallBasis", "overflow"]

Host: TypeAlias = np.ndarray[Any, Any]

_BLOCK_BYTES = 16 << 20
_SMALL_RUN = 1024  # rows that short blocks are collected in


class RowStore:
    """Rows of a tall matrix by global index, in disjoint runs."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._starts: list[int] = []
        self._buffers: list[Host] = []  # may have room at the end
        self._sizes: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, Host]]:
        for start, buffer, size in zip(self._starts, self._buffers, self._sizes, strict=True):
            yield start, buffer[:size]

    def drain(self) -> Iterator[tuple[int, Host]]:
        """Yield the runs from the end and forget them."""
        while self._starts:
            yield self._starts.pop(), self._buffers.pop()[: self._sizes.pop()]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Double precision, complex if a row is."""
        return np.result_type(np.float64, *self._buffers)

    @property
    def stop(self) -> int:
        """One more than the largest index."""
        return self._starts[-1] + self._sizes[-1] if self._starts else 0

    def overlaps(self, start: int, stop: int) -> bool:
        """Tell whether a row in the range is there."""
        i = bisect_right(self._starts, stop - 1) - 1
        return start < stop and i >= 0 and self._starts[i] + self._sizes[i] > start

    def add(self, start: int, rows: Host) -> None:
        """Add rows to those that are there, and insert the others."""
        done = 0
        while done < rows.shape[0]:
            done += self._add_some(start + done, rows[done:])

    def _add_some(self, start: int, rows: Host) -> int:
        i = bisect_right(self._starts, start) - 1
        after = self._starts[i + 1] if i + 1 < len(self._starts) else start + rows.shape[0]
        count = int(min(rows.shape[0], after - start))
        offset = start - self._starts[i] if i >= 0 else -1
        if i >= 0:
            buffer, size = self._buffers[i], self._sizes[i]
            dtype = np.result_type(buffer, rows)
            if offset < size:
                count = int(min(count, size - offset))
                self._buffers[i] = buffer = buffer.astype(dtype, copy=False)
                buffer[offset : offset + count] += rows[:count]
                return count
            if offset == size < buffer.shape[0]:
                count = int(min(count, buffer.shape[0] - size))
                self._buffers[i] = buffer = buffer.astype(dtype, copy=False)
                buffer[size : size + count] = rows[:count]
                self._sizes[i] += count
                return count
            follows = offset == size
        else:
            follows = start == 0
        capacity = max(count, _SMALL_RUN) if follows else count
        fresh = np.zeros((capacity, rows.shape[1]), rows.dtype)
        fresh[:count] = rows[:count]
        self._starts.insert(i + 1, start)
        self._buffers.insert(i + 1, fresh)
        self._sizes.insert(i + 1, count)
        return count


class TallBasis:
    """Orthonormal basis ``Q = Y T M`` of the columns of a tall matrix, never formed.

    A sketch ``S Y`` gives T, such that ``Y T`` is well conditioned whatever Y; one Cholesky
    factorization of its Gram matrix does the rest.

    Attributes
    ----------
    pinv : numpy.ndarray, shape (r, s)
        ``(S Q)^+``.
    """

    def __init__(
        self, store: RowStore, exponent: int, S: SketchOperator, most: int, dtype: np.dtype[Any]
    ) -> None:
        self._store, self._exponent = store, exponent
        sketch: Host = np.zeros((S.shape[0], store.width), store.dtype)
        for start, rows in self._blocks():
            S.apply_rows(rows, start, sketch)
        if not np.isfinite(sketch).all():
            raise overflow()
        W, s, Xh = np.linalg.svd(sketch, full_matrices=False)
        noise = 4.0 * np.finfo(dtype).eps * np.sqrt(max(S.shape[0], 1))
        r = min(most, int((s > noise * s[:1]).sum()))
        self._T = Xh[:r].conj().T / s[:r]
        gram = np.zeros((r, r), sketch.dtype)
        for _, rows in self._blocks():
            panel = rows @ self._T
            gram += panel.conj().T @ panel
        L = np.linalg.cholesky(gram)
        self._M = np.linalg.inv(L).conj().T
        self.pinv = L.conj().T @ W[:, :r].conj().T

    def _blocks(self, *, last: bool = False) -> Iterator[tuple[int, Host]]:
        """Yield double precision blocks, scaled, which fit the cache."""
        for start, rows in self._store.drain() if last else self._store:
            step = max(256, _BLOCK_BYTES // (64 * self._store.width))
            for i in range(0, rows.shape[0], step):
                part = rows[i : i + step]
                wide = part.astype(np.result_type(part, np.float64), copy=False)
                yield start + i, scaled(wide, -self._exponent)

    def times(self, coefficients: Host, size: int, *, last: bool = False) -> Host:
        """Return ``Q @ coefficients`` with `size` rows."""
        inner = self._M @ coefficients
        out: Host = np.zeros((size, inner.shape[1]), inner.dtype)
        for start, rows in self._blocks(last=last):
            out[start : start + rows.shape[0]] = (rows @ self._T) @ inner
        return out


def overflow() -> NumericalError:
    """Return the error for sums that left the range."""
    return NumericalError("the sums in the sketch overflow; scale the rows down")

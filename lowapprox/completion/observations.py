"""The observed entries of a matrix, by rows and by columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Compressed", "Host", "Observations", "compressed"]

Host: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Compressed:
    """Entries in the order of one index: CSR of the matrix, or of its transpose.

    Attributes
    ----------
    indptr : numpy.ndarray of int64, shape (m + 1,)
        Where each row begins.
    indices : numpy.ndarray of int32 (int64 from 2**31 columns on), shape (count,)
        Columns, increasing within each row.
    values : numpy.ndarray of float32 or float64, shape (count,)
    weights : numpy.ndarray like `values`, or None
        Positive; None means one.
    """

    indptr: Host
    indices: Host
    values: Host
    weights: Host | None

    @property
    def counts(self) -> Host:
        """The number of entries of each row."""
        return np.diff(self.indptr)


@dataclass(frozen=True)
class Observations:
    """What is known of an m x n matrix; every stored entry is observed, stored zeros too."""

    shape: tuple[int, int]
    rows: Compressed
    columns: Compressed

    @property
    def count(self) -> int:
        """The number of observed entries."""
        return int(self.rows.indices.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the values: float32 or float64."""
        return self.rows.values.dtype

    @cached_property
    def density(self) -> float:
        """The share of the entries that is observed."""
        return self.count / max(self.shape[0] * self.shape[1], 1)

    @cached_property
    def norm(self) -> float:
        """The weighted norm of the observed values."""
        v = self.rows.values.astype(np.float64)
        w = self.rows.weights
        return float(np.sqrt(v @ v if w is None else (w * v) @ v))

    @property
    def T(self) -> Observations:
        """The observations of the transpose."""
        return Observations(self.shape[::-1], self.columns, self.rows)

    def oversampling(self, rank: int) -> float:
        """Return the number of entries over the degrees of freedom of matrices of this rank."""
        m, n = self.shape
        return self.count / max(rank * (m + n - rank), 1)


def compressed(
    rows: Host, columns: Host, values: Host, weights: Host | None, shape: tuple[int, int]
) -> Observations:
    """Sort triples without duplicates into both orders."""
    order = np.lexsort((columns, rows))
    halves = []
    for major, minor, size in ((rows, columns, shape[0]), (columns, rows, shape[1])):
        order = np.lexsort((minor, major))
        indptr = np.zeros(size + 1, np.int64)
        np.cumsum(np.bincount(major, minlength=size), out=indptr[1:])
        index = np.int32 if max(shape) < 2**31 else np.int64
        w = None if weights is None else weights[order]
        halves.append(Compressed(indptr, minor[order].astype(index), values[order], w))
    return Observations(shape, *halves)

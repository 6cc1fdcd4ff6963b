"""The observed entries of a matrix, by rows and by columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lowapprox.completion.sorting import (
    Compressed,
    Host,
    both_orders,
    by_row,
    selected,
    transposed,
)

__all__ = ["Compressed", "Host", "Observations", "compressed"]

_PART = 1 << 16  # entries that are converted at a time


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
        dtype: np.dtype[Any] = self.rows.values.dtype
        return dtype

    @cached_property
    def density(self) -> float:
        """The share of the entries that is observed."""
        return self.count / max(self.shape[0] * self.shape[1], 1)

    @cached_property
    def norm(self) -> float:
        """The weighted norm of the observed values."""
        total = 0.0
        for start in range(0, self.count, _PART):
            part = slice(start, start + _PART)
            v = self.rows.values[part].astype(np.float64)
            w = self.rows.weights
            total += float(v @ v if w is None else (w[part] * v) @ v)
        return float(np.sqrt(total))

    @cached_property
    def components(self) -> tuple[int, list[Host]]:
        """How many connected components there are, and that of each row and column."""
        from lowapprox.completion.diagnosis import components

        return components(self)

    @property
    def T(self) -> Observations:
        """The observations of the transpose."""
        return Observations(self.shape[::-1], self.columns, self.rows)

    @property
    def unweighted(self) -> Observations:
        """The same entries with equal weights."""
        rows, columns = (replace(half, weights=None) for half in (self.rows, self.columns))
        return Observations(self.shape, rows, columns)

    def oversampling(self, rank: int) -> float:
        """Return the number of entries over the degrees of freedom of matrices of this rank."""
        m, n = self.shape
        return self.count / max(rank * (m + n - rank), 1)

    def products(self, values: Host) -> Any:
        """Return the products with the sparse matrix of some values, in the order of the rows."""
        from scipy.sparse import csr_array

        from lowapprox._core.csr import csr_products

        # SciPy wants one dtype for both, and would copy the larger one.
        index = self.rows.indices.dtype
        few = values.size <= np.iinfo(index).max
        indptr = self.rows.indptr.astype(index) if few else self.rows.indptr
        return csr_products(csr_array((values, self.rows.indices, indptr), shape=self.shape))

    def selected(self, keep: Host) -> Observations:
        """Return the entries that a mask, in the order of the rows, marks."""
        rows = selected(self.rows, keep)
        return Observations(self.shape, rows, transposed(rows, self.shape[1]))


def compressed(
    rows: Host, columns: Host, values: Host, weights: Host | None, shape: tuple[int, int]
) -> Observations:
    """Sort triples without duplicates into both orders."""
    return Observations(shape, *both_orders(by_row(rows, columns, values, weights, shape), shape))

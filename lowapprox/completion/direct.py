"""Half-steps that solve for every row exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.threads import run_blocks
from lowapprox.completion.halfstep import Gauge, Half, HalfSums
from lowapprox.completion.observations import Host

__all__ = ["CholeskyRows", "NonnegativeRows"]

_DESCENTS = 4  # through all coordinates
_BLOCK = 1 << 20  # numbers of the outer products that are held at a time


class CholeskyRows:
    """Normal equations of every row, in double precision, by Cholesky factors.

    Where the entries of a row do not determine it and there is no ridge, the least one that leaves
    the factorization its digits decides.
    """

    turns = True

    def panels(self, m: int, n: int, k: int, dtype: np.dtype[Any]) -> tuple[Host, Host]:
        """Return arrays."""
        return np.empty((m, k), dtype), np.empty((n, k), dtype)

    def __call__(
        self, half: Half, X: Host, F: Host, offset: Host | None, gauge: Gauge, ridge: float,
        relax: float,
    ) -> HalfSums:  # fmt: skip
        """Solve for X in place."""
        e, k = half.entries, X.shape[1]
        size = np.cumsum(e.counts * k * k + k * k)
        blocks = int(size[-1] // _BLOCK) + 1 if size.size else 0
        cuts = np.searchsorted(size, np.arange(1, blocks) * (size[-1] / max(blocks, 1)))
        bounds = np.unique(np.concatenate([[0], cuts, [X.shape[0]]]))
        sums = np.zeros((max(bounds.size - 1, 0), 4))

        def work(i: int) -> None:
            rows = bounds[i], bounds[i + 1]
            sums[i] = self._solve_rows(half, *rows, X, F, offset, gauge, ridge, relax)

        if blocks > 1:
            run_blocks(work, len(sums))
        else:
            for i in range(len(sums)):
                work(i)
        return HalfSums(*(float(s) for s in sums.sum(axis=0)))

    def solved(self, G: Host, b: Host, old: Host) -> Host:
        """Return the solutions for matrices G and right-hand sides b."""
        del old
        L = np.linalg.cholesky(G)
        x: Host = np.linalg.solve(np.swapaxes(L, 1, 2), np.linalg.solve(L, b[:, :, None]))
        return x[:, :, 0]

    def _solve_rows(
        self, half: Half, first: int, last: int, X: Host, F: Host, offset: Host | None,
        gauge: Gauge, ridge: float, relax: float,
    ) -> list[float]:  # fmt: skip
        """Solve for some rows, and return the numbers of `HalfSums`."""
        e, k = half.entries, X.shape[1]
        cut = slice(e.indptr[first], e.indptr[last])
        columns, counts = e.indices[cut], np.diff(e.indptr[first : last + 1])
        y = e.values[cut].astype(np.float64)
        y = y if offset is None else y - offset[columns]
        near = F[columns].astype(np.float64)
        w = np.ones(1) if e.weights is None else e.weights[cut].astype(np.float64)
        known = np.flatnonzero(counts)  # `reduceat` knows no empty sums
        starts = (e.indptr[first:last] - e.indptr[first])[known]
        G, b = np.zeros((last - first, k, k)), np.zeros((last - first, k))
        if known.size:
            weighted = near * w[:, None]
            G[known] = np.add.reduceat(weighted[:, :, None] * near[:, None, :], starts, axis=0)
            b[known] = np.add.reduceat(weighted * y[:, None], starts, axis=0)
        ridges = ridge + half.totals[first:last, None] * gauge.spread
        diagonal = np.einsum("iaa->ia", G)
        # 16 k roundings of the trace is what Cholesky needs to succeed.
        trace = diagonal.sum(axis=1, keepdims=True)
        least = 16 * np.finfo(float).eps * trace + np.finfo(float).tiny
        old = X[first:last].astype(np.float64)
        row = np.repeat(np.arange(last - first), counts)
        before = y - np.einsum("tk,tk->t", near, old[row])
        diagonal += np.maximum(ridges, least)
        new = self.solved(G, b, old)
        X[first:last] = new if relax == 1.0 else old + relax * (new - old)
        new = X[first:last].astype(np.float64)
        after = y - np.einsum("tk,tk->t", near, new[row])
        loss, loss_after = (float(np.sum(w * gap * gap)) for gap in (before, after))
        penalty, penalty_after = (float(np.sum(ridges * x * x)) for x in (old, new))
        return [loss, penalty, loss + penalty - loss_after - penalty_after, penalty_after]


class NonnegativeRows(CholeskyRows):
    """The same for nonnegative rows, by coordinate descent from the rows as they are."""

    turns = False

    def solved(self, G: Host, b: Host, old: Host) -> Host:
        """Return better rows."""
        x = old.copy()
        slope = np.einsum("iac,ic->ia", G, x) - b
        for _ in range(_DESCENTS):
            for a in range(x.shape[1]):
                step = np.maximum(x[:, a] - slope[:, a] / G[:, a, a], 0.0) - x[:, a]
                x[:, a] += step
                slope += step[:, None] * G[:, a]
        return x

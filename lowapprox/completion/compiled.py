"""Half-steps by compiled kernels, for all but small problems."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.panels import aligned_empty
from lowapprox._core.threads import kernel_threads, run_blocks
from lowapprox.completion.halfstep import Gauge, Half, HalfSums
from lowapprox.completion.observations import Host

__all__ = ["CompiledGradients"]

_GROUP = (0,) * 8  # entries that go together
_BLOCKS = 64  # of rows, for every number of threads the same
_SCRATCH_BYTES = 16 << 20  # of each thread


class CompiledGradients:
    """Preconditioned conjugate gradients, the rows shared out among the threads.

    Parameters
    ----------
    steps : int
        For each row.
    """

    turns = True

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._scratch: dict[Any, list[tuple[Host, Host, Host]]] = {}

    def empty(self, count: int, k: int, dtype: np.dtype[Any]) -> Host:
        """Return an array whose rows are padded with zeros to the width of a kernel."""
        lanes, parts, panels = _layout(k, dtype)
        whole: Host = aligned_empty((count, lanes * parts * panels), dtype)
        whole[:, k:] = 0
        return whole[:, :k]

    def __call__(
        self, half: Half, X: Host, F: Host, offset: Host | None, gauge: Gauge, ridge: float
    ) -> HalfSums:
        """Improve X in place; F and X come from `empty`."""
        from lowapprox.completion.kernels_cg import conjugate_gradients

        e, k, dtype = half.entries, X.shape[1], X.dtype
        lanes, parts, panels = _layout(k, dtype)
        width = lanes * parts * panels
        none = np.empty(0, dtype)
        roots = none if e.weights is None else np.sqrt(e.weights).astype(dtype)
        diagonal, spread = np.ones(width, dtype), np.zeros(width, dtype)
        diagonal[:k], spread[:k] = gauge.expected, gauge.spread
        bounds = _balanced(e.indptr, _BLOCKS)
        room = int(min(max(e.counts.max(initial=0), 1), _SCRATCH_BYTES // (width * dtype.itemsize)))
        room = -(-room // len(_GROUP)) * len(_GROUP)
        key = (room, width, dtype)
        if key not in self._scratch:
            self._scratch[key] = [
                (
                    aligned_empty((1, room * width), dtype)[0],
                    aligned_empty((1, room), dtype)[0],
                    aligned_empty((1, 6 * width), dtype)[0],
                )
                for _ in range(kernel_threads())
            ]
        free = self._scratch[key]
        sums = np.zeros((len(bounds) - 1, 6))
        flat_F, flat_X = _flat(F, width), _flat(X, width)

        def work(i: int) -> None:
            scratch = free.pop()
            conjugate_gradients(
                e.indptr, e.indices, e.values, roots, none if offset is None else offset,
                flat_F, flat_X, diagonal, spread, half.totals, dtype.type(ridge),
                self.steps, (0,) * lanes, (0,) * parts, panels, _GROUP, bounds[i], bounds[i + 1],
                *scratch, sums[i],
            )  # fmt: skip
            free.append(scratch)

        run_blocks(work, len(bounds) - 1)
        return HalfSums(*(float(s) for s in sums.sum(axis=0)))


def _flat(X: Host, width: int) -> Host:
    """Return the rows with their padding."""
    return np.lib.stride_tricks.as_strided(X, (X.shape[0] * width,), (X.itemsize,))


def _layout(k: int, dtype: np.dtype[Any]) -> tuple[int, int, int]:
    """Return lanes of a vector, vectors in registers, and how often that, for k columns."""
    from lowapprox._core.simd import REGISTER_BYTES, REGISTERS

    lanes = REGISTER_BYTES // dtype.itemsize
    vectors = -(-k // lanes)
    most = REGISTERS // 4  # direction, sum and eight inner products
    choices = [p for p in (1, 2, 3, 4, 6, 8) if p <= most]
    if vectors <= most:
        return lanes, next(p for p in choices if p >= vectors), 1
    parts = min((p for p in choices if 2 * p >= most), key=lambda p: (-(-vectors // p) * p, -p))
    return lanes, parts, -(-vectors // parts)


def _balanced(indptr: Host, count: int) -> list[int]:
    """Return bounds of blocks of rows with about the same work."""
    work = indptr + 8 * np.arange(indptr.size)
    bounds = np.searchsorted(work, np.linspace(0, work[-1], count + 1))
    bounds[0], bounds[-1] = 0, indptr.size - 1
    return [int(b) for b in np.unique(bounds)]

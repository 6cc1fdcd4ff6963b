"""Half-steps by compiled kernels, for all but small problems."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import Any

import numpy as np

from lowapprox._core.panels import aligned_empty
from lowapprox._core.threads import kernel_threads, run_blocks
from lowapprox.completion.halfstep import Gauge, Half, HalfSums
from lowapprox.completion.observations import Host

__all__ = ["CompiledGradients"]

_GROUP = (0,) * 8  # entries that go together
_LARGE = 1 << 21  # bytes, of which a page is worth while
_BLOCKS = 64  # of rows, for every number of threads the same


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
        self._panels: Host | None = None
        self._scratch: dict[Any, list[Any]] = {}

    def panels(self, m: int, n: int, k: int, dtype: np.dtype[Any]) -> tuple[Host, Host]:
        """Return arrays whose rows are padded with zeros to the width of a kernel.

        Their memory is the same in every call with equal ``m + n``.
        """
        lanes, parts, panels = _layout(k, dtype)
        shape = (m + n, lanes * parts * panels)
        whole = self._panels
        if whole is None or whole.shape != shape or whole.dtype != dtype:
            self._panels = whole = _in_large_pages(shape, dtype)
        whole[:, k:] = 0
        return whole[:m, :k], whole[m:, :k]

    def __call__(
        self, half: Half, X: Host, F: Host, offset: Host | None, gauge: Gauge, ridge: float
    ) -> HalfSums:
        """Improve X in place; F and X come from `panels`."""
        from lowapprox.completion import kernels_cg as kernels

        e, k, dtype = half.entries, X.shape[1], X.dtype
        lanes, parts, panels = _layout(k, dtype)
        width = lanes * parts * panels
        none = np.empty(0, dtype)
        diagonal, spread = np.ones(width, dtype), np.zeros(width, dtype)
        diagonal[:k], spread[:k] = gauge.expected, gauge.spread
        entries = kernels.Entries(
            e.indptr, e.indices, e.values, *(none if x is None else x for x in (e.weights, offset))
        )
        model = kernels.Model(diagonal, spread, half.totals, dtype.type(ridge))
        layout = kernels.Layout((0,) * lanes, (0,) * parts, (0,) * panels, _GROUP)
        room = -(-int(e.counts.max(initial=0)) // len(_GROUP)) * len(_GROUP)
        key = (room, width, dtype)
        if key not in self._scratch:
            self._scratch[key] = [
                kernels.Scratch(
                    np.empty(room, dtype),
                    np.empty(room, dtype),
                    np.empty(room, np.int64),
                    aligned_empty((1, 6 * width), dtype)[0],
                )
                for _ in range(kernel_threads())
            ]
        free = self._scratch[key]
        bounds = _balanced(e.indptr, _BLOCKS)
        sums = np.zeros((len(bounds) - 1, 4, max(lanes, len(_GROUP))))
        flat_F, flat_X = _flat(F, width), _flat(X, width)

        def work(i: int) -> None:
            scratch = free.pop()
            kernels.conjugate_gradients(
                entries, flat_F, flat_X, model, self.steps, layout, bounds[i], bounds[i + 1],
                scratch, sums[i].reshape(-1),
            )  # fmt: skip
            free.append(scratch)

        run_blocks(work, len(bounds) - 1)
        return HalfSums(*(float(s) for s in sums.sum(axis=(0, 2))))


def _in_large_pages(shape: tuple[int, int], dtype: np.dtype[Any]) -> Host:
    """Return memory in which rows are found fast, where the system can do that."""
    whole: Host
    size = shape[0] * shape[1] * dtype.itemsize
    if size < _LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        whole = aligned_empty(shape, dtype)
        return whole
    memory = mmap.mmap(-1, size)
    with suppress(OSError):  # not all kernels know them
        memory.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(memory, dtype).reshape(shape)
    return whole


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

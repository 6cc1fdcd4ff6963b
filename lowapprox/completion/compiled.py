"""Half-steps by compiled kernels, for all but small problems."""

from __future__ import annotations

import mmap
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowapprox._core.panels import aligned_empty
from lowapprox._core.threads import kernel_threads, run_blocks
from lowapprox.completion.halfstep import Gauge, Half, HalfSums, relaxed
from lowapprox.completion.observations import Compressed, Host

__all__ = ["CompiledGradients"]

_GROUP = (0,) * 8  # entries that go together
_LARGE = 1 << 21  # bytes, of which a page is worth while
_BLOCKS = 64  # of rows at most, for every number of threads the same
_TASK = 1 << 22  # bytes of F that one of them meets at least
_WIDE = 1 << 21  # bytes of F, from which on its rows are met by tiles
_TILE = 7 << 18  # bytes of F that stay in the second cache
_LEAST = 16  # tasks, that their memory stays small
_USE = 5  # how often a tile meets a row of X, and a block a row of F, for that to pay


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
        self, half: Half, X: Host, F: Host, offset: Host | None, gauge: Gauge, ridge: float,
        relax: float,
    ) -> HalfSums:  # fmt: skip
        """Improve X in place; F and X come from `panels`."""
        from lowapprox.completion import kernels_cg as kernels

        e, k, dtype = half.entries, X.shape[1], X.dtype
        lanes, parts, panels = _layout(k, dtype)
        width = lanes * parts * panels
        none = np.empty(0, dtype)
        diagonal, spread = np.ones(width, dtype), np.zeros(width, dtype)
        diagonal[:k], spread[:k] = gauge.expected, gauge.spread
        plan = _plan(half, F.shape[0], width * dtype.itemsize)
        entries = kernels.Entries(
            indptr=e.indptr,
            indices=e.indices,
            values=e.values,
            weights=none if e.weights is None else e.weights,
            offset=none if offset is None else offset,
            cuts=plan.cuts,
        )
        model = kernels.Model(diagonal, spread, half.totals, dtype.type(ridge), dtype.type(relax))
        layout = kernels.Layout((0,) * lanes, (0,) * parts, (0,) * panels, _GROUP)
        key = (plan.block, plan.tiles, plan.room, width, dtype, e.weights is None)
        if key not in self._scratch:
            self._scratch[key] = [_scratch(plan, e, width, dtype) for _ in range(kernel_threads())]
        free = self._scratch[key]
        bounds = plan.bounds
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
        loss, penalty, fall, after = (float(s) for s in sums.sum(axis=(0, 2)))
        return HalfSums(loss, penalty, relaxed(fall, relax), after)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the rows of X are shared out, by sizes and counts alone.

    Attributes
    ----------
    bounds : list of int
        Of the rows of a task.
    block : int
        Rows that take a step together.
    room : int
        Entries of a block, at most.
    cuts : numpy.ndarray, shape (m, tiles - 1)
        Where the tiles of a row end.
    """

    bounds: list[int]
    block: int
    room: int
    cuts: Host

    @property
    def tiles(self) -> int:
        """The number of tiles."""
        return int(self.cuts.shape[1]) + 1


def _tiles(e: Compressed, n: int, row: int) -> tuple[int, int]:
    """Return in how many tiles to meet n rows of F of so many bytes, and the number of tasks.

    Tiles are of use if F is large, and if a tile meets a row of X, and a block a row of F, often.
    """
    m, count = e.indptr.size - 1, e.indices.size
    tiles, tasks = min(-(-n * row // _TILE), count // (_USE * m)), count // (4 * _USE * n) * 4
    pays = n * row > _WIDE and tiles > 1 and tasks >= _LEAST
    return (tiles, tasks) if pays else (1, min(max(count * row // _TASK, 4), _BLOCKS))


def _plan(half: Half, n: int, row: int) -> _Plan:
    """Return a plan for n rows of F of so many bytes."""
    from lowapprox.completion.kernels_cg import cut

    e = half.entries
    tiles, tasks = _tiles(e, n, row)
    if tiles not in half.plans:
        bounds = _balanced(e.indptr, tasks)
        cuts = np.empty((e.indptr.size - 1, tiles - 1), np.int32)
        block, room = 1, int(e.counts.max(initial=0))
        if tiles > 1:
            block, room = int(np.diff(bounds).max()), int(np.diff(e.indptr[bounds]).max())
            columns = -(-n // tiles)
            run_blocks(
                lambda i: cut(e.indptr, e.indices, columns, bounds[i], bounds[i + 1], cuts),
                len(bounds) - 1,
            )
        half.plans[tiles] = _Plan(bounds, block, room, cuts)
    plan: _Plan = half.plans[tiles]
    return plan


def _scratch(plan: _Plan, entries: Compressed, width: int, dtype: np.dtype[Any]) -> Any:
    from lowapprox.completion.kernels_cg import Scratch

    block, g = plan.block, len(_GROUP)
    room = plan.room + plan.tiles * g
    residual, direction, image = (aligned_empty((1, block * width), dtype)[0] for _ in range(3))
    return Scratch(
        starts=np.empty((plan.tiles, block + 1), np.intp),
        indices=np.empty(room, entries.indices.dtype),
        y=np.zeros(room, dtype),  # what is read behind the entries is to be finite
        weights=np.zeros(0 if entries.weights is None else room, dtype),
        residual=residual,
        direction=direction,
        image=image,
        curvature=np.empty(block * g, dtype),
        slope=np.empty(block, dtype),
    )


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

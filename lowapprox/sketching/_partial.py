"""Sums over chunks of rows on several threads, always added in the same order."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

__all__ = ["CHUNKS", "add_partial_sums"]

CHUNKS = 16  # independent parts of a product, the most threads that it uses


def add_partial_sums(
    compute: Callable[[int, int, Any], None],
    out: np.ndarray[Any, Any],
    *,
    chunks: int,
    regions: Sequence[tuple[slice, slice]],
    dtype: np.dtype[Any],
    scale: float,
    threaded: bool,
) -> None:
    """Add scaled sums over chunks of rows to the regions of an array.

    Parameters
    ----------
    compute : callable
        ``compute(chunk, region, acc)`` adds the sum over one chunk to a C-contiguous array of
        zeros that has the shape of the region.
    out : numpy.ndarray
        Changed in place.
    chunks : int
        Number of chunks.
    regions : sequence of pairs of slices
        Disjoint parts of `out`.
    dtype : numpy.dtype
        Of the sums.
    scale : float
        Factor of all sums.
    threaded : bool
        Use as many threads as kernels may.

    Notes
    -----
    A sum waits for its turn before it is added, so the result has the same bits for any number
    of threads, and no more sums than threads are held.
    """
    workspace = threading.local()
    turns = [0] * len(regions)
    changed = threading.Condition()

    def work(task: tuple[int, int]) -> None:
        chunk, r = task
        target = out[regions[r]]
        buffer = getattr(workspace, "buffer", None)
        if buffer is None or buffer.size < target.size:
            workspace.buffer = buffer = np.empty(target.size, dtype)
        acc = buffer[: target.size].reshape(target.shape)
        acc[...] = 0.0
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # infinities and NaN go through
                compute(chunk, r, acc)
                if scale != 1.0:
                    acc *= scale
                with changed:
                    changed.wait_for(lambda: turns[r] == chunk)
                target += acc
        finally:
            with changed:
                turns[r] = chunk + 1
                changed.notify_all()

    tasks = list(itertools.product(range(chunks), range(len(regions))))
    workers = min(_threads(), len(tasks)) if threaded else 1
    if workers == 1:
        for task in tasks:
            work(task)
        return
    with ThreadPoolExecutor(workers) as pool:
        deque(pool.map(work, tasks), maxlen=0)


def _threads() -> int:
    from lowapprox._core.threads import kernel_threads

    return kernel_threads()

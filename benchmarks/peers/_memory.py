"""Peak anonymous memory of one call: run by the memory rows in a fresh process."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Figures = dict[str, Any]


def anonymous_kb() -> int:
    """Return the resident memory of this process that no file backs."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise RuntimeError("this system does not report RssAnon")


def watched(call: Callable[[], Any]) -> tuple[Any, Figures]:
    """Return the result of a call, its time, and what it added to the memory at its peak."""
    base = peak = anonymous_kb()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, anonymous_kb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    result = call()
    elapsed = time.perf_counter() - start
    done.set()
    watcher.join()
    peak = max(peak, anonymous_kb()) - base
    return result, {"base_mb": base / 1024, "peak_mb": peak / 1024, "seconds": elapsed}


def svd(path: str, rank: str) -> Figures:
    """One pass over a matrix in a file."""
    from lowapprox.svd import randomized_svd

    A = np.load(path, mmap_mode="r")
    result, figures = watched(
        lambda: randomized_svd(A, int(rank), method="single_pass", rng=0),
    )
    squares = sum(float(np.vdot(A[i : i + 1000], A[i : i + 1000])) for i in range(0, len(A), 1000))
    return figures | {"error": float(result.error) / squares**0.5, "passes": result.passes}


def hamming(path: str, m: str) -> Figures:
    """Distances of the first m letters from a text in a file, written to a file."""
    from lowapprox.hamming import hamming_distances

    text = np.load(path, mmap_mode="r")
    pattern = text[: int(m)].copy()
    shifts = text.size - pattern.size + 1
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        out = np.lib.format.open_memmap(Path(folder) / "out.npy", "w+", np.int32, (shifts,))
        hamming_distances(text[: 1 << 20], pattern)  # loads numba and the kernels
        _, figures = watched(lambda: hamming_distances(text, pattern, out=out))
        places = [0, shifts // 3, shifts - 1]  # as many as tell whether it ran to the end
        right = [int(np.sum(text[i : i + pattern.size] != pattern)) for i in places]
        return figures | {"equal": [int(out[i]) for i in places] == right}


def completion(k: str) -> Figures:
    """Fit ratings, whose triples are there before."""
    import warnings

    from benchmarks.problems import ratings
    from lowapprox import complete

    (rows, columns, values), _ = ratings()
    shape, rank = (100_000, 20_000), int(k)
    warnings.simplefilter("ignore")  # it is stopped before it has converged
    few = slice(0, 300_000)
    small = (rows[few], columns[few], values[few])
    complete(small, rank, shape=shape, reg=1.0, max_iter=2, rng=0)  # loads the kernels
    call = partial(complete, (rows, columns, values), rank, shape=shape, reg=1.0, rng=0)
    _, figures = watched(lambda: call(max_iter=4))
    both = 2 * values.size * (4 + values.itemsize) + 8 * sum(shape)
    words = 3 * sum(shape) * rank * values.itemsize
    return figures | {"allowed_mb": (both + words) / 2**20}


def lstsq(condition: str, method: str) -> Figures:
    """Least squares with a matrix in memory."""
    from benchmarks.problems import tall_problem
    from lowapprox import lstsq, thread_limit

    p = tall_problem(500_000, 200, float(condition))
    with thread_limit(2):
        lstsq(p.A[:20_000], p.b[:20_000], method=method, rng=0)  # loads the kernels
        _, figures = watched(lambda: lstsq(p.A, p.b, method=method, rng=0))
    return figures | {"matrix_mb": p.A.nbytes / 2**20}


TASKS: dict[str, Callable[..., Figures]] = {
    "svd": svd,
    "hamming": hamming,
    "completion": completion,
    "lstsq": lstsq,
}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](*sys.argv[2:])))

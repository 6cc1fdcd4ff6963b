"""Peak anonymous memory of one single-pass SVD: run by the memory row in a fresh process."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import numpy as np

import lowapprox.svd


def anonymous_kb() -> int:
    """Return the resident memory of this process that no file backs."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise RuntimeError("this system does not report RssAnon")


def main(path: str, rank: int) -> None:
    """Measure and print one line of JSON."""
    A = np.load(path, mmap_mode="r")
    base = peak = anonymous_kb()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, anonymous_kb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    result = lowapprox.svd.randomized_svd(A, rank, method="single_pass", rng=0)
    elapsed = time.perf_counter() - start
    done.set()
    watcher.join()
    squares = sum(float(np.vdot(A[i : i + 1000], A[i : i + 1000])) for i in range(0, len(A), 1000))
    out = {
        "base_mb": base / 1024,
        "peak_mb": (max(peak, anonymous_kb()) - base) / 1024,
        "seconds": elapsed,
        "error": float(result.error) / squares**0.5,
        "passes": result.passes,
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

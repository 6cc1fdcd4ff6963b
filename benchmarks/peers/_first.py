"""The first call of a process, timed: run by the rows of first calls."""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def main(kind: str) -> dict[str, Any]:
    """Return the times of importing numba, and of our import and first call."""
    start = time.perf_counter()
    if kind != "tiny":
        import numba
    numba = time.perf_counter() - start
    import numpy as np

    rng = np.random.default_rng(0)
    if kind == "tiny":
        letters, n, m = 4, 1000, 50
    elif kind == "matches":
        letters, n, m = 4, 1_000_000, 100
    else:
        letters, m = map(int, kind.split("-"))
        n = 1_000_000
    text, pattern = (rng.integers(0, letters, size, dtype=np.uint8) for size in (n, m))
    start = time.perf_counter()
    if kind == "matches":
        from lowapprox.hamming import hamming_matches

        hamming_matches(text, pattern, m // 10)
    else:
        from lowapprox.hamming import hamming_distances

        hamming_distances(text, pattern)
    call = time.perf_counter() - start
    what = f"at most {m // 10} mismatches, " if kind == "matches" else ""
    return {
        "work": f"{what}{letters} letters, n = {n}, m = {m}",
        "numba": numba,
        "call": call,
        "asked": "nothing compiled" if kind == "tiny" else "<= 300 ms",
        "loaded": "yes" if "numba" in sys.modules else "no",
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))

"""The first call of a process, timed: run by the rows of first calls."""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def total(text: Any) -> Any:
    """Take no time itself: what is left is what numba does once."""
    return text.sum()


def main(kind: str) -> dict[str, Any]:
    """Return the times of importing numba, and of our import and first call."""
    start = time.perf_counter()
    if kind != "tiny":
        import numba as numba_module
    numba = time.perf_counter() - start
    import numpy as np

    rng = np.random.default_rng(0)
    if kind == "tiny":
        letters, n, m = 4, 1000, 50
    elif kind in {"matches", "floor"}:
        letters, n, m = 4, 1_000_000, 100
    else:
        letters, m = map(int, kind.split("-"))
        n = 1_000_000
    text, pattern = (rng.integers(0, letters, size, dtype=np.uint8) for size in (n, m))
    start = time.perf_counter()
    if kind == "floor":
        numba_module.njit(cache=True)(total)(text)
    elif kind == "matches":
        from lowapprox.hamming import hamming_matches

        hamming_matches(text, pattern, m // 10)
    else:
        from lowapprox.hamming import hamming_distances

        hamming_distances(text, pattern)
    call = time.perf_counter() - start
    what = f"at most {m // 10} mismatches, " if kind == "matches" else ""
    work = f"{what}{letters} letters, n = {n}, m = {m}"
    if kind == "floor":
        work = f"sum of {n} letters, a kernel of one line"
    asked = {"tiny": "nothing compiled", "floor": ""}.get(kind, "<= 300 ms")
    return {
        "work": work,
        "numba": numba,
        "call": call,
        "asked": asked,
        "loaded": "yes" if "numba" in sys.modules else "no",
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))

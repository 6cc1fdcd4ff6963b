r"""
Time against the length of the pattern
======================================

Every method of :func:`~lowapprox.hamming.hamming_distances` returns the same integers; they differ
in time. Here each runs on random texts over 4 and over 256 letters, beside what one would write
with NumPy and with SciPy. The times are those of the machine that built this page;
:doc:`/benchmarks/hamming` has measurements made with more care.
"""

import time
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import oaconvolve

from lowapprox.hamming import hamming_distances


def passes(text, pattern):
    """One pass over all shifts for each letter of the pattern."""
    shifts = len(text) - len(pattern) + 1
    found = np.zeros(shifts, dtype=np.int32)
    for j, letter in enumerate(pattern):
        found += text[j : j + shifts] != letter
    return found


def convolutions(text, pattern):
    """One convolution for each letter of the alphabet, rounded."""
    agree = 0.0
    for letter in np.unique(pattern):
        agree = agree + oaconvolve(text == letter, pattern[::-1] == letter, mode="valid")
    return len(pattern) - np.rint(agree).astype(int)


# %%
# The library uses the threads that the machine has, NumPy and SciPy one. A way that has become slow
# is not tried on longer patterns.

rng = np.random.default_rng(0)
shifts = 200_000
lengths = (30, 100, 300, 1000, 3000, 10_000, 30_000)
ways = {
    **{
        name: partial(hamming_distances, method=name) for name in ("auto", "bits", "fft", "scatter")
    },
    "NumPy, a pass for each letter": passes,
    "SciPy, a convolution for each letter": convolutions,
}

fig, axes = plt.subplots(1, 2, figsize=(10, 4.5), sharey=True, layout="constrained")
for ax, letters in zip(axes, (4, 256), strict=True):
    texts = {m: rng.integers(0, letters, shifts + m - 1, dtype=np.uint8) for m in lengths}
    patterns = {m: rng.integers(0, letters, m, dtype=np.uint8) for m in lengths}
    right = {m: hamming_distances(texts[m], patterns[m]) for m in lengths}
    for (name, way), mark in zip(
        ways.items(), ["k-", "C0o-", "C1s-", "C2D-", "C7^:", "C7v:"], strict=True
    ):
        times = {}
        way(texts[lengths[0]], patterns[lengths[0]])  # loads what it needs
        for m in lengths:
            for _ in range(3):
                start = time.perf_counter()
                found = way(texts[m], patterns[m])
                seconds = time.perf_counter() - start
                times[m] = min(seconds, times.get(m, seconds))
                if seconds > 0.1:
                    break
            np.testing.assert_array_equal(found, right[m])
            if seconds > 0.1:
                break
        wide = {"lw": 5, "alpha": 0.3} if name == "auto" else {"ms": 4}
        ax.loglog(times.keys(), [1e3 * t for t in times.values()], mark, label=name, **wide)
    ax.set(title=f"{letters} letters, {shifts:,} shifts", xlabel="length of the pattern")
axes[0].set_ylabel("time, ms")
_ = fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

r"""
Error against time
==================

What does accuracy cost, and which method pays least for it? Each method computes 20 triplets of
two matrices; what is plotted is the excess of its Frobenius error over the optimum,
:math:`\|A - USV^H\|_F / \|A - A_k\|_F - 1`, against the time. The times are those of the machine
that built this page, with one thread; :doc:`/benchmarks/index` has measurements made with more
care.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

from lowapprox import randomized_svd

rng = np.random.default_rng(0)
m, n, k = 1000, 600, 20
U, _ = np.linalg.qr(rng.standard_normal((m, n)))
V, _ = np.linalg.qr(rng.standard_normal((n, n)))
j = np.arange(1, n + 1)
spectra = {"slow decay, 1/sqrt(j)": j**-0.5, "fast decay, 1/j": 1 / j}


def timed(A, **options):
    """Return the best of three times, and the result."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = randomized_svd(A, k, rng=0, **options)
        times.append(time.perf_counter() - start)
    return min(times), result


# %%
# The presets of ``accuracy``, from "fast" to "full". The one-pass method has no accuracy to choose,
# and the direct method is exact.

presets = ("fast", "balanced", "high", "full")
runs = {
    "krylov": [{"method": "krylov", "accuracy": a} for a in presets],
    "subspace": [{"method": "subspace", "accuracy": a} for a in presets[:3]],
    "gram": [{"method": "gram"}],
    "direct": [{"method": "direct"}],
    "single_pass": [{"method": "single_pass"}],
}
fig, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
for ax, (title, s) in zip(axes, spectra.items(), strict=True):
    A = (U * s) @ V.T
    optimum = np.sqrt(np.sum(s[k:] ** 2))
    timed(A)
    for marker, (method, settings) in zip("osD^v", runs.items(), strict=True):
        points = []
        for options in settings:
            seconds, result = timed(A, **options)
            excess = np.linalg.norm(A - result.reconstruct()) / optimum - 1
            points.append((1e3 * seconds, max(excess, 1e-14)))
        ax.loglog(*np.transpose(points), marker=marker, label=method)
    ax.set(title=title, xlabel="time, ms")
axes[0].set_ylabel("excess over the optimal error")
axes[1].legend()
fig.tight_layout()

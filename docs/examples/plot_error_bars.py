r"""
Error bars of a sketched regression
===================================

One reading of the data gives coefficients that are a few per cent off. How far off each of them is,
the sketch can tell by itself: stated and true errors, and what a sparse sketch gets wrong.
"""

import matplotlib.pyplot as plt
import numpy as np

from lowapprox import datasets, lstsq
from lowapprox.sketching import CountSketch

# %%
# The data are heights of a terrain, to be described by products of Legendre polynomials.

heights = datasets.elevation()[::2, ::2].astype(float)
north, east = (
    np.polynomial.legendre.legvander(np.linspace(-1, 1, size), 6) for size in heights.shape
)
A = np.einsum("ia,jb->ijab", north, east).reshape(heights.size, -1)
b = heights.ravel()
exact = lstsq(A, b)
print(f"{A.shape[0]} points, {A.shape[1]} coefficients")
print(f"backward error of the full solution: {exact.backward_error:.1e}")

# %%
# ``eps`` is the accuracy relative to what the noise allows; half of it needs four times the rows.

fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True)
places = np.arange(exact.x.size)
for ax, eps in zip(axes, (1.0, 0.5), strict=True):
    result = lstsq(A, b, method="linf", eps=eps, rng=0)
    bars = result.entry_bound
    ax.bar(places, 2 * bars, bottom=-bars, color="0.85", label="stated: 95 % for all at once")
    ax.plot(places, result.x - exact.x, "k.", ms=5, label="true error")
    ax.set(title=f"eps = {eps}: {result.info['rows']} rows", xlabel="coefficient")
axes[0].set_ylabel("metres")
axes[0].legend(loc="upper left", framealpha=1.0)
fig.tight_layout()

# %%
# Are the bars honest? In 200 repetitions all 49 intervals should hold at once in 95 % of them.

held = 0
for seed in range(200):
    result = lstsq(A, b, method="linf", rng=seed)
    held += bool((np.abs(result.x - exact.x) <= result.entry_bound).all())
print(f"all intervals held in {held} of 200 repetitions")

# %%
# A design whose coefficients hang on single rows: an identity matrix on top of zeros. A sparse
# sketch adds rows whole. Where one with noise meets one that decides a coefficient, all of the
# noise becomes the error of that coefficient, and where two meet, twice of it. A dense sketch
# spreads every row over all of its own, and no repetition is far from the others.

n, d, m = 4096, 16, 128
rng = np.random.default_rng(0)
A = np.zeros((n, d))
A[:d] = np.eye(d)
b = np.zeros(n)
b[d : 2 * d] = 0.25  # in the orthogonal complement: the solution is zero

errors = {"CountSketch": [], "dense (linf)": []}
for seed in range(300):
    S = CountSketch(m, n, rng=seed)
    x, *_ = np.linalg.lstsq(S @ A, S @ b)
    errors["CountSketch"].append(np.abs(x).max())
    x = lstsq(A, b, method="linf", rng=seed).x
    errors["dense (linf)"].append(np.abs(x).max())

fig, ax = plt.subplots(figsize=(6.5, 3.8))
bins = np.linspace(0, 0.6, 61)
for name, values in errors.items():
    ax.hist(np.minimum(values, bins[-1]), bins, alpha=0.7, label=name)
ax.set(xlabel="largest error of a coefficient (0.6: or more)", ylabel="repetitions of 300")
ax.set_yscale("log")
ax.legend()
fig.tight_layout()

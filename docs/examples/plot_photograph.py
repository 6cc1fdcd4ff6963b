r"""
Compress a photograph
=====================

A photograph is a matrix of grey levels. Keeping :math:`k` singular triplets stores
:math:`k (m + n + 1)` numbers in place of :math:`m n`, and no other matrix of that rank is nearer in
the Frobenius norm.
"""

import matplotlib.pyplot as plt
import numpy as np

from lowapprox import datasets, randomized_svd

image = datasets.photograph()
m, n = image.shape

# %%
# One call, and truncations of it: the triplets of a smaller rank are the leading ones. Integers
# are computed in float64.

result = randomized_svd(image, rank=80, accuracy="high", rng=0)
print(result)

fig, axes = plt.subplots(1, 4, figsize=(11, 3.3))
axes[0].imshow(image, cmap="gray", vmin=0, vmax=255)
axes[0].set_title(f"{m} x {n} numbers")
for ax, k in zip(axes[1:], (5, 20, 80), strict=True):
    part = result.truncate(k)
    ax.imshow(part.reconstruct(), cmap="gray", vmin=0, vmax=255)
    share = k * (m + n + 1) / (m * n)
    ax.set_title(f"rank {k}: {share:.0%} of the numbers\nerror {part.error / part.fro_norm:.1%}")
for ax in axes:
    ax.set_axis_off()
fig.tight_layout()

# %%
# How far from the optimum? The exact SVD of a matrix this small is quick enough to ask.

s = np.linalg.svd(image.astype(float), compute_uv=False)
ranks = np.arange(1, 81)
optimum = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1])[ranks]
errors = np.array([result.truncate(int(k)).error for k in ranks])
print(f"largest excess over the optimum: {(errors / optimum - 1).max():.1e}")

# %%
# A tolerance in place of a rank: the smallest rank that it needs.

loose = randomized_svd(image, tol=0.1, rng=0)
print(f"10 % error takes rank {len(loose.s)}; its error is {loose.error / loose.fro_norm:.4f}")

fig, ax = plt.subplots(figsize=(6, 3.5))
ax.semilogy(ranks, optimum / loose.fro_norm, color="0.7", lw=5, label="optimum, from the full SVD")
ax.semilogy(ranks, errors / loose.fro_norm, "C0", label="randomized SVD, its reported error")
ax.axhline(0.1, color="C3", ls=":", lw=1)
ax.plot(len(loose.s), loose.error / loose.fro_norm, "C3o", label="tol=0.1")
ax.set(xlabel="rank", ylabel="relative Frobenius error")
ax.legend()
fig.tight_layout()

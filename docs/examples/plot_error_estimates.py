r"""
Estimated and true errors
=========================

A result says how wrong it is. Whether that number is exact or an estimate depends on what can be
seen of the matrix: its entries, or only its products with vectors.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.sparse.linalg import aslinearoperator

from lowapprox.svd import estimate_error, randomized_svd

rng = np.random.default_rng(0)
m, n, k = 600, 400, 15
U, _ = np.linalg.qr(rng.standard_normal((m, n)))
V, _ = np.linalg.qr(rng.standard_normal((n, n)))
j = np.arange(1, n + 1)
spectra = {"1/j": 1 / j, "j^-1/2": j**-0.5, "0.9^j": 0.9**j}
matrices = {name: (U * s) @ V.T for name, s in spectra.items()}

# %%
# With the entries at hand the Frobenius error is exact, up to rounding; it costs nothing beyond
# the norm of the matrix.

for name, A in matrices.items():
    result = randomized_svd(A, k, rng=0)
    true = np.linalg.norm(A - result.reconstruct())
    print(f"{name:>7}: reported {result.error:.10f} ({result.error_kind}), true {true:.10f}")

# %%
# An operator shows only products, so its norm is unknown, and the error is an estimate from random
# probes. How good is it? The ratio of the estimate to the true error, over many seeds:

ratios = {name: [] for name in matrices}
for name, A in matrices.items():
    operator = aslinearoperator(A)
    for seed in range(25):
        result = randomized_svd(operator, k, rng=seed)
        ratios[name].append(result.error / np.linalg.norm(A - result.reconstruct()))

fig, ax = plt.subplots(figsize=(6.5, 3.5))
ax.boxplot(list(ratios.values()), tick_labels=list(ratios), whis=(0, 100))
ax.axhline(1, color="C3", lw=1)
ax.set(xlabel="singular values", ylabel="estimated / true error")
fig.tight_layout()

# %%
# :func:`~lowapprox.svd.estimate_error` judges any factorization in the same way, and gives an
# interval. More probes make it narrower.

A = matrices["j^-1/2"]
result = randomized_svd(A, k, rng=0)
true = np.linalg.norm(A - result.reconstruct())
print(f"true error {true:.4f}")
for probes in (5, 20, 80):
    estimate = estimate_error(aslinearoperator(A), result, probes=probes, rng=1)
    print(
        f"{probes:3d} probes: {estimate.value:.4f} in [{estimate.lower:.4f}, {estimate.upper:.4f}]"
    )

# %%
# The spectral norm has no such simple identity. ``certify="probe"`` pays for a bound that holds but
# with a small probability, which the result states.

bounds, spectral = [], []
for seed in range(25):
    result = randomized_svd(A, k, certify="probe", rng=seed)
    bounds.append(result.error_bound)
    spectral.append(np.linalg.norm(A - result.reconstruct(), 2))
print(f"the bounds fail with probability {result.failure_probability:.1e} at most")

fig, ax = plt.subplots(figsize=(6.5, 3.5))
ax.plot(spectral, "k.", label="true spectral error")
ax.plot(bounds, "C0_", label="bound")
ax.set(xlabel="seed", ylabel="spectral norm", ylim=(0, None))
ax.legend()
fig.tight_layout()

# %%
# Residuals belong to single triplets: some singular value of the matrix lies within the residual.

result = randomized_svd(A, k, rng=0)
fig, ax = plt.subplots(figsize=(6.5, 3.5))
ax.semilogy(j[:k], result.residuals, "C0_", ms=12, label="residual, a bound")
ax.semilogy(j[:k], np.abs(result.s - spectra["j^-1/2"][:k]), "k.", label="true error of the value")
ax.set(xlabel="i", ylabel="error of the i-th singular value")
ax.legend()
fig.tight_layout()

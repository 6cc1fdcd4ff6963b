r"""
Least squares: time against accuracy
====================================

Every solver on the same tall problem, at three condition numbers: what it costs, and how many of
the digits that double precision allows it leaves. The times are those of the machine that built
this page; :doc:`/benchmarks/index` has measurements made with more care.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from scipy import linalg

from lowapprox import lstsq

n, d = 60_000, 80
rng = np.random.default_rng(0)
Q, _ = np.linalg.qr(rng.standard_normal((n, d)))
W, _ = np.linalg.qr(rng.standard_normal((d, d)))


def problem(condition):
    """Return a design of this condition number, and observations with noise."""
    A = (Q * np.logspace(0, -np.log10(condition), d)) @ W.T
    x = rng.standard_normal(d)
    return A, A @ x + 1e-3 * rng.standard_normal(n)


def backward_error(U, s, A, b, x):
    """Return the estimate of Karlson and Walden, relative to the norm of A = U S V^T."""
    r = b - A @ x
    scale = np.sum(r**2) / np.sum(x**2)
    return np.linalg.norm(s * (U.T @ r) / np.sqrt(s**2 + scale)) / (
        np.linalg.norm(x) * np.linalg.norm(s)
    )


def normal_equations(A, b):
    """Solve by the Cholesky factor of the matrix of the normal equations."""
    return linalg.solve(A.T @ A, A.T @ b, assume_a="pos")


solvers = {
    "normal equations": normal_equations,
    "numpy lstsq": lambda A, b: np.linalg.lstsq(A, b)[0],
    **{
        method: lambda A, b, method=method: lstsq(A, b, method=method, rng=0).x
        for method in ("direct", "cholesky", "spir", "fossils", "iterative", "linf")
    },
}

# %%
# The one-pass solution ("linf") lies far up: per cents, not digits. The normal equations are quick
# and lose the square of the condition number, until they fail; the others end at rounding, in a
# fraction of NumPy's time. NumPy cuts off singular values in the last picture, as its default of
# ``rcond`` grows with the number of rows. ``method="auto"`` takes the "cholesky" of the first two.

fig, axes = plt.subplots(1, 3, figsize=(12, 4.2), sharex=True, sharey=True)
for ax, condition in zip(axes, (1e1, 1e6, 1e12), strict=True):
    A, b = problem(condition)
    U, s, _ = np.linalg.svd(A, full_matrices=False)
    for i, (name, solve) in enumerate(solvers.items()):
        times = []
        try:
            for _ in range(3):
                start = time.perf_counter()
                x = solve(A, b)
                times.append(time.perf_counter() - start)
        except linalg.LinAlgError:
            continue  # the matrix of the normal equations is singular in double precision
        error = max(backward_error(U, s, A, b, x), 1e-18)
        ax.loglog(1e3 * min(times), error, "os^vDP*X"[i], color=f"C{i}", ms=9, label=name)
    ax.set(title=f"condition number {condition:.0e}", xlabel="time, ms")
axes[0].set_xlim(10, None)
axes[0].set_ylabel("backward error")
axes[0].legend(fontsize=8, loc="upper right")
fig.tight_layout()

"""The peers, each called as its documentation does; names say what is not a default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers._measure import need

Array = np.ndarray[Any, Any]
Factors = tuple[Array, Array, Array]
Peer = Callable[[Any, int, int], Factors]  # (A, k, seed) -> U, s, Vh


def sklearn_svd(A: Any, k: int, seed: int) -> Factors:
    """Call scikit-learn's `randomized_svd` with its defaults."""
    return need("scikit-learn", "sklearn.utils.extmath").randomized_svd(A, k, random_state=seed)


def fbpca_svd(A: Any, k: int, seed: int) -> Factors:
    """Call `fbpca.pca` with its defaults, without centring."""
    fbpca = need("fbpca")
    np.random.seed(seed)  # noqa: NPY002  the peer draws from the global state
    return fbpca.pca(A, k=k, raw=True)


def torch_svd(q: int, niter: int) -> Peer:
    """Return `torch.svd_lowrank` with q columns and niter iterations."""

    def svd(A: Any, k: int, seed: int) -> Factors:
        torch = need("torch")
        torch.manual_seed(seed)
        U, s, V = torch.svd_lowrank(torch.from_numpy(A), q=q, niter=niter)
        return U.numpy()[:, :k], s.numpy()[:k], V.numpy().T[:k]

    return svd


def scipy_svds(solver: str, tol: float) -> Peer:
    """Return `scipy.sparse.linalg.svds` with a solver and its tolerance."""

    def svd(A: Any, k: int, seed: int) -> Factors:
        from scipy.sparse.linalg import svds

        return svds(A, k, tol=tol, solver=solver, rng=np.random.default_rng(seed))

    return svd


def plain_rp_cholesky(kernel: Any, k: int, seed: int) -> tuple[Array, Array, float]:
    """Randomly pivoted Cholesky, one column at a time: the published algorithm in NumPy.

    `kernel.columns(j)` evaluates whole columns. Returns F (k, n) with K ~ F^T F, the pivots and
    the trace of the residual. Chen, Epperly, Tropp, Webber, arXiv:2207.06503, algorithm 2.1.
    """
    rng = np.random.default_rng(seed)
    d = kernel.diag.copy()
    F = np.zeros((k, d.size))
    pivots = np.empty(k, dtype=np.int64)
    for i in range(k):
        pivots[i] = j = rng.choice(d.size, p=d / d.sum())
        column = kernel.columns(np.array([j]))[:, 0] - F[:i, j] @ F[:i]
        F[i] = column / np.sqrt(column[j])
        d = np.maximum(d - F[i] ** 2, 0)
        d[j] = 0
    return F, pivots, float(d.sum())

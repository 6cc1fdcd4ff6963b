"""Singular triplets of a sparse matrix plus a product of thin factors."""

from __future__ import annotations

import numpy as np

from lowapprox.completion.observations import Host
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.tangent import Entries, Point

__all__ = ["Sum", "leading", "spectral_start", "zero_fit"]


def spectral_start(entries: Entries, rank: int, rng: np.random.Generator) -> Point:
    """Return the best approximation of the zero-filled matrix, over the density."""
    values = entries.weighted(entries.values)
    none = np.empty((entries.shape[1], 0))
    U, s, V = leading(Sum(entries, values, None), none, rank, (rank + 1, 8), rng)
    return Point(U, s / entries.density, V)


def zero_fit(problem: Problem, method: str, watch: Watch) -> Factors:
    """Return the fit of nothing but zeros."""
    m, n = problem.observed.shape
    zero = Factors(np.zeros((m, problem.rank)), np.zeros((n, problem.rank)))
    watch(method, zero, residual=0.0, change=0.0)
    return zero


class Sum:
    """A sparse matrix plus a product of thin factors."""

    def __init__(self, entries: Entries, sparse: Host, product: Factors | None) -> None:
        self.entries, self.sparse, self.product = entries, sparse, product

    def mat(self, X: Host) -> Host:
        """Return the matrix times X."""
        Y = self.entries.mat(self.sparse, X)
        return Y if self.product is None else Y + self.product.U @ (self.product.V.T @ X)

    def rmat(self, X: Host) -> Host:
        """Return the transposed matrix times X."""
        Y = self.entries.rmat(self.sparse, X)
        return Y if self.product is None else Y + self.product.V @ (self.product.U.T @ X)


def leading(
    matrix: Sum,
    warm: Host,
    count: int,
    krylov: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[Host, Host, Host]:
    """Return the first singular triplets by Rayleigh-Ritz on warm vectors and a Krylov space.

    The Krylov space is that of what the warm vectors leave over.
    """
    n = matrix.entries.shape[1]
    width, blocks = krylov
    Q = _orth(np.hstack([warm, rng.standard_normal((n, width))]))
    basis, images = [Q], [matrix.mat(Q)]
    held = _orth(images[0][:, : warm.shape[1]])
    Y = images[0][:, warm.shape[1] :]
    for _ in range(blocks):
        whole = np.hstack(basis)
        if whole.shape[1] == n:
            break
        X = matrix.rmat(Y - held @ (held.T @ Y))[:, : n - whole.shape[1]]
        for _ in range(2):
            X = _orth(X - whole @ (whole.T @ X))
        if np.abs(whole.T @ X).max() > 1e-8:  # nothing but rounding is left
            break
        Y = matrix.mat(X)
        basis.append(X)
        images.append(Y)
    q, r = np.linalg.qr(np.hstack(images))
    u, s, vh = np.linalg.svd(r)
    return q @ u[:, :count], s[:count], np.hstack(basis) @ vh[:count].T


def _orth(X: Host) -> Host:
    return np.linalg.qr(X)[0]

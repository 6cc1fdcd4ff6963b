"""The least sum of singular values, along a path of penalties: the rank comes out by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowapprox.completion.apart import apart
from lowapprox.completion.folding import Penalty
from lowapprox.completion.observations import Host
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.spectrum import Sum, leading, spectral_start, zero_fit
from lowapprox.completion.tangent import Entries, Point

__all__ = ["soft_impute"]

_PATH = 12  # penalties
_LEAST = 1e-3  # the last penalty, of the first singular value
_SWEEPS = 500  # at one penalty
_COARSE = 1e-3  # change of the product at which penalties before the last are left


@apart("soft-impute")
def soft_impute(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Minimize ``|residual|^2 + 2 ridge (sum of singular values)`` by softImpute-ALS.

    The penalty falls to `ridge` from the one that leaves nothing, each solution being the start
    of the next; every penalty is one recorded step. Without a ridge it falls to a thousandth of
    the first singular value, and entries held out choose where to stop. The factors returned have
    as many columns as there are singular values above the penalty, at most `rank`.

    References
    ----------
    Hastie, Mazumder, Lee, Zadeh, Matrix completion and low-rank SVD via fast alternating least
    squares, JMLR 16, 2015, arXiv 1410.2596.
    """
    entries = Entries(problem.observed)
    if not entries.norm:
        return zero_fit(problem, "soft-impute", watch)
    # The bound of the loss that the steps minimize holds for weights up to one.
    scale = float(entries.weights.max()) if entries.weights.size else 1.0
    first = spectral_start(entries, problem.rank, problem.rng)
    top = float(first.s[0]) * entries.density
    least = min(problem.ridge, top) if problem.ridge else _LEAST * top
    path = np.geomspace(top, least, _PATH + 1)[1:] / scale
    state = _State(entries, Point.of(start) if start else first, scale)
    for step, penalty in enumerate(path):
        last = step == _PATH - 1
        tol = max(problem.tol, 1e-8)
        state.renew(penalty, problem.rng)
        change = state.settle(penalty, tol if last else max(tol, _COARSE))
        factors = state.thresholded(penalty)
        cost = Penalty.even(factors.rank, penalty * scale)
        factors = replace(factors, penalties=(cost, cost))
        gap = entries.values - entries.inner(factors.U, factors.V)
        residual = entries.relative(gap)
        if watch("soft-impute", factors, residual=residual):
            break
    watch.reason = watch.reason or ("change" if change <= tol else "stagnated")
    return factors


class _State:
    """The product ``U diag(d) diag(d) V^T``, of which one half at a time is found anew."""

    def __init__(self, entries: Entries, start: Point, scale: float) -> None:
        self.entries, self.scale = entries, scale
        self.U, self.d, self.V = start.U, np.sqrt(start.s), start.V

    def filled(self) -> Sum:
        """Return the product with the observed values in their places."""
        entries, factors = self.entries, Factors(self.U * self.d**2, self.V)
        z = entries.values - entries.inner(factors.U, factors.V)
        return Sum(entries, entries.weighted(z) / self.scale, factors)

    def renew(self, penalty: float, rng: np.random.Generator) -> None:
        """Take one step that brings in components at once, which halves would let grow slowly."""
        self.U, s, self.V = leading(self.filled(), self.V, self.d.size, (2, 3), rng)
        self.d = np.sqrt(np.maximum(s - penalty, 0))

    def settle(self, penalty: float, tol: float) -> float:
        """Alternate at one penalty until the product changes by less than `tol`; return by what."""
        change = np.inf
        for _ in range(_SWEEPS):
            before = self.U, self.d, self.V
            shrunk = self.d / (self.d**2 + penalty)
            self.V, self.U = self._half(self.filled().rmat(self.U) * shrunk, self.U)
            shrunk = self.d / (self.d**2 + penalty)
            self.U, self.V = self._half(self.filled().mat(self.V) * shrunk, self.V)
            change = self._change(*before)
            if change <= tol:
                break
        return change

    def _half(self, new: Host, fixed: Host) -> tuple[Host, Host]:
        """Return orthonormal factors of ``fixed @ diag(d) @ new.T``, and keep its values."""
        u, s, vh = np.linalg.svd(new * self.d, full_matrices=False)
        self.d = np.sqrt(s)
        return u, fixed @ vh.T

    def _change(self, U: Host, d: Host, V: Host) -> float:
        """Return the relative change of the product, which cancels below 1e-8."""
        both = np.sum((U.T @ self.U) * np.outer(d, self.d) ** 2 * (V.T @ self.V))
        new = np.sum(self.d**4)
        return float(np.sqrt(max(np.sum(d**4) + new - 2 * both, 0.0) / max(new, 1e-300)))

    def thresholded(self, penalty: float) -> Factors:
        """Return the product with exact zeros among its singular values, which are left out."""
        u, s, vh = np.linalg.svd(self.filled().mat(self.V), full_matrices=False)
        s = np.maximum(s - penalty, 0)
        k = max(int(np.count_nonzero(s)), 1)
        root = np.sqrt(s[:k])
        return Factors(u[:, :k] * root, self.V @ vh[:k].T * root)

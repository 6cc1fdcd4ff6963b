"""One factor is solved for while the other is kept: the half of a sweep.

Every row of X is a small least-squares problem, ``min sum w (y - f . x)^2 + ridge |x|^2`` over the
rows f of F at the observed columns. All rows share one change of coordinates, in which the Gram
matrix to expect, that of F with its rows weighted by how often they are observed, is diagonal: it
is the preconditioner of all rows, at no cost for a single one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from lowapprox.completion.folding import Penalty
from lowapprox.completion.observations import Compressed, Host
from lowapprox.completion.tall import gram, times

__all__ = [
    "Gauge",
    "Gradients",
    "Half",
    "HalfSums",
    "Prior",
    "Solver",
    "Stepped",
    "half_step",
    "relaxed",
]

_ALIKE = 0.5  # logarithm of the ratio of two strengths


@dataclass(frozen=True, slots=True)
class Gauge:
    """Coordinates ``F T`` and ``X T^-T`` in which the ridge is even and the Gram matrix diagonal.

    Attributes
    ----------
    forward, back : numpy.ndarray, shape (k, k)
        T, and ``T^-T``.
    expected : numpy.ndarray, shape (k,)
        The diagonal of the Gram matrix to expect for one entry.
    spread : numpy.ndarray, shape (k,)
        The ridge that each entry adds.
    """

    forward: Host
    back: Host
    expected: Host
    spread: Host

    @classmethod
    def unturned(cls, mean: Host, spread: Host | None) -> Gauge:
        """Return the coordinates as they are."""
        one = np.eye(mean.shape[0])
        return cls(
            one, one, np.diag(mean), np.zeros(len(one)) if spread is None else np.diag(spread)
        )

    @classmethod
    def of(cls, mean: Host, covariance: Host | None, spread: Host | None) -> Gauge:
        """Return the coordinates for a Gram matrix to expect and a covariance of the rows of X.

        The ridge is ``x^T covariance^-1 x``, or ``|x|^2`` without.
        """
        k = mean.shape[0]
        root = inverse = np.eye(k)
        if covariance is not None:
            c, E = np.linalg.eigh(covariance)
            # A direction that has died out would need an infinite ridge.
            c = np.sqrt(np.maximum(c, c[-1] * 1e-14 + np.finfo(float).tiny))
            root, inverse = E * c, E / c
        e, Q = np.linalg.eigh(root.T @ mean @ root)
        floor = max(float(e[-1]), 0.0) * k * np.finfo(float).eps + np.finfo(float).tiny
        T = root @ Q
        e = np.maximum(e, floor)
        added = np.zeros(k)
        if spread is not None:
            # Directions that are about equally strong turn among themselves from step to step; what
            # is added to them must not depend on how.
            gaps = np.log(e)[:, None] - np.log(e)
            alike = np.exp(-((gaps / _ALIKE) ** 2))
            added = alike @ np.einsum("ia,ij,ja->a", T, spread, T) / alike.sum(axis=1)
        return cls(T, inverse @ Q, e, added)

    def penalty(self, ridge: float) -> Penalty:
        """Return what a row of X costs, in the coordinates before the change."""
        return Penalty(ridge * self.back @ self.back.T, (self.back * self.spread) @ self.back.T)


@dataclass(frozen=True, slots=True)
class Prior:
    """What a half-step is to know of the rows of X.

    Attributes
    ----------
    ridge : float
    covariance : numpy.ndarray, shape (k, k), or None
        The penalty of a row is ``ridge * x^T covariance^-1 x``; None is the identity.
    spread : numpy.ndarray, shape (k, k), or None
        Every entry of a row adds ``x^T spread x``.
    """

    ridge: float
    covariance: Host | None = None
    spread: Host | None = None


@dataclass(frozen=True, slots=True)
class HalfSums:
    """What a half-step did, summed over all rows.

    Attributes
    ----------
    loss, penalty : float
        The squared residual and the ridge term before it.
    fall : float
        By how much their sum has fallen.
    penalty_after : float
    """

    loss: float
    penalty: float
    fall: float
    penalty_after: float

    @property
    def loss_after(self) -> float:
        """The squared residual after the half-step."""
        return max(self.loss + self.penalty - self.fall - self.penalty_after, 0.0)


class Solver(Protocol):
    """Improves all rows of X in place; F and X are in the coordinates of a gauge.

    Attributes
    ----------
    turns : bool
        Whether the coordinates may be other ones than those of the factors.
    """

    turns: bool

    def panels(self, m: int, n: int, k: int, dtype: np.dtype[Any]) -> tuple[Host, Host]:
        """Return arrays for m and n rows of k numbers, of the form that the solver needs."""
        ...

    def __call__(
        self, half: Half, X: Host, F: Host, offset: Host | None, gauge: Gauge, ridge: float,
        relax: float,
    ) -> HalfSums:  # fmt: skip
        """Return what was done."""
        ...


@dataclass(frozen=True)
class Half:
    """One side of the observations, and what the solvers keep about it.

    Attributes
    ----------
    entries : Compressed
        With the rows that are solved for.
    totals : numpy.ndarray, shape (m,)
        The sum of the weights of each row.
    popularity : numpy.ndarray, shape (n,)
        The same for each column.
    plans : dict
        What compiled code has found out about the entries.
    """

    entries: Compressed
    totals: Host
    popularity: Host
    plans: dict[int, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def levels(self) -> tuple[Host, Host]:
        """The totals that there are, and how many rows have each."""
        return np.unique(self.totals, return_counts=True)


class Stepped(NamedTuple):
    """What is known of a half-step.

    Attributes
    ----------
    gauge : Gauge
    sums : HalfSums
    gram : numpy.ndarray, shape (k, k), or None
        ``X.T @ X`` of the new rows, if they have a covariance.
    """

    gauge: Gauge
    sums: HalfSums
    gram: Host | None


def half_step(
    half: Half,
    X: Host,
    F: Host,
    offset: Host | None,
    prior: Prior,
    solver: Solver,
    out: Host,
    relax: float = 1.0,
) -> Stepped:
    """Write better rows X for fixed F to `out`, `relax` times as far away as the solutions."""
    mean = gram(F, half.popularity) / max(float(half.popularity.sum()), 1.0)
    if solver.turns:
        gauge = Gauge.of(mean, prior.covariance, prior.spread)
    else:
        gauge = Gauge.unturned(mean, prior.spread)
    F_new, X_new = solver.panels(F.shape[0], X.shape[0], F.shape[1], F.dtype)
    times(F, gauge.forward, F_new)
    times(X, gauge.back, X_new)
    sums = solver(half, X_new, F_new, offset, gauge, prior.ridge, relax)
    times(X_new, gauge.forward.T, out)
    own = None
    if prior.covariance is not None:
        # In the coordinates of the gauge weak directions are not lost among strong ones.
        own = gauge.forward @ gram(X_new) @ gauge.forward.T
    return Stepped(gauge, sums, own)


class Gradients:
    """Preconditioned conjugate gradients from the rows as they are.

    It works on all rows at once, with NumPy and SciPy: for problems so small that loading compiled
    code would take longer.

    Parameters
    ----------
    steps : int
        For each row.
    """

    turns = True

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def panels(self, m: int, n: int, k: int, dtype: np.dtype[Any]) -> tuple[Host, Host]:
        """Return arrays."""
        return np.empty((m, k), dtype), np.empty((n, k), dtype)

    def __call__(
        self, half: Half, X: Host, F: Host, offset: Host | None, gauge: Gauge, ridge: float,
        relax: float,
    ) -> HalfSums:  # fmt: skip
        """Improve X in place."""
        from scipy.sparse import csr_array

        e = half.entries
        shape = (X.shape[0], F.shape[0])
        expected = gauge.expected.astype(X.dtype)
        ridges = (ridge + half.totals[:, None] * gauge.spread).astype(X.dtype)
        row = np.repeat(np.arange(shape[0]), e.counts)
        near = F[e.indices]
        y = e.values if offset is None else e.values - offset[e.indices]

        def gathered(d: Host) -> Host:
            scaled = d if e.weights is None else d * e.weights
            product: Host = csr_array((scaled, e.indices, e.indptr), shape=shape) @ F
            return product

        d = y - np.einsum("tk,tk->t", near, X[row])
        r = gathered(d) - ridges * X
        loss = _total(d * d if e.weights is None else e.weights * d * d)
        penalty = _total(ridges * X * X)
        inverse = half.totals.astype(X.dtype)[:, None] * expected + ridges
        inverse = 1 / np.where(inverse > 0, inverse, 1)
        unknown = e.counts == 0  # the ridge, or the least norm, says zero
        fall = np.where(unknown, np.einsum("ik,ik->i", ridges * X, X), 0)
        X[unknown] *= 1 - relax
        r[unknown] = 0
        p = z = inverse * r
        rz = first = np.einsum("ik,ik->i", r, z)
        for _ in range(self.steps):
            q = gathered(np.einsum("tk,tk->t", near, p[row])) + ridges * p
            pq = np.einsum("ik,ik->i", p, q)
            runs = (pq > 0) & (rz > np.finfo(X.dtype).eps ** 2 * first)
            step = np.where(runs, rz / np.where(runs, pq, 1), 0)
            X += relax * step[:, None] * p
            fall += step * rz
            r = r - step[:, None] * q
            z = inverse * r
            old, rz = rz, np.einsum("ik,ik->i", r, z)
            p = z + np.where(runs, rz / np.where(runs, old, 1), 0)[:, None] * p
        return HalfSums(loss, penalty, relaxed(_total(fall), relax), _total(ridges * X * X))


def relaxed(fall: float, relax: float) -> float:
    """Return how far the objective falls on a way `relax` times as long.

    On the line the objective is a parabola, whose least is where the way ended.
    """
    return relax * (2.0 - relax) * fall


def _total(x: Host) -> float:
    return float(np.sum(x, dtype=np.float64))

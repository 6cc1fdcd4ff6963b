"""How wrong a truncated SVD is, measured so that an excess of 1e-10 is still meaningful."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

Array = np.ndarray[Any, Any]
Setting = TypeVar("Setting")

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Accuracy:
    """Relative Frobenius excess over the optimum, and the worst residual over s_k."""

    excess: float
    residual: float

    @staticmethod
    def worst(several: Sequence[Accuracy]) -> Accuracy:
        """Return the worst of several runs, each figure on its own."""
        return Accuracy(max(a.excess for a in several), max(a.residual for a in several))


class DenseProblem:
    """A dense matrix with its exact singular values."""

    def __init__(self, A: Array, s: Array, k: int) -> None:
        self.A, self.k = A, k
        self.first, self.last = float(s[0]), float(s[k - 1])
        self.optimum = float(np.sqrt(np.sum(s[k:] ** 2)))

    def accuracy(self, U: Array, s: Array, Vh: Array) -> Accuracy:
        """Form the whole error: identities that subtract squares lose what is asked for."""
        U, s, Vh = _leading(self.k, U, s, Vh)
        error = float(np.linalg.norm(self.A - (U * s) @ Vh))
        residual = worst_residual(self.A, U, s, Vh)
        return Accuracy(error / self.optimum - 1, residual / self.last)


class SparseProblem:
    """A sparse matrix whose leading singular values `s` were computed to full accuracy."""

    def __init__(self, A: Any, s: Array, k: int) -> None:
        self.A, self.k = A, k
        self.s = s[:k]
        self.first, self.last = float(s[0]), float(s[k - 1])
        self.optimum2 = float(np.sum(A.data.astype(np.float64) ** 2) - np.sum(self.s**2))

    def accuracy(self, U: Array, s: Array, Vh: Array) -> Accuracy:
        """Use |A - USV|^2 - |A - A_k|^2 = sum (sigma_i^2 + s_i^2 - 2 s_i u_i^H A v_i)."""
        U, s, Vh = (x.astype(np.float64) for x in _leading(self.k, U, s, Vh))
        captured = np.sum(U * (self.A @ Vh.T), axis=0)
        gain = float(np.sum(self.s**2 + s**2 - 2 * s * captured)) / self.optimum2
        residual = worst_residual(self.A, U, s, Vh)
        return Accuracy(float(gain / (1 + np.sqrt(max(1 + gain, 0)))), residual / self.last)


def _leading(k: int, U: Array, s: Array, Vh: Array) -> tuple[Array, Array, Array]:
    order = np.argsort(-s)[:k]  # svds returns ascending values
    return U[:, order], s[order], Vh[order]


def worst_residual(A: Any, U: Array, s: Array, Vh: Array) -> float:
    """Return the largest of |A v - s u| and |A^H u - s v| over the triplets."""
    left = np.linalg.norm(A @ Vh.T - U * s, axis=0)
    right = np.linalg.norm(A.T @ U - Vh.T * s, axis=0)
    return float(max(left.max(), right.max()))


def cheapest(
    settings: Sequence[Setting], evaluate: Callable[[Setting, int], float], target: float
) -> Setting | None:
    """Return the first of the settings, ordered from cheap to dear, that meets the target.

    A bisection with the first seed finds a candidate; it then has to meet the target with every
    seed, or gives way to the next dearer setting. None if no setting meets it.
    """
    low, high = 0, len(settings) - 1
    while low < high:
        middle = (low + high) // 2
        if evaluate(settings[middle], SEEDS[0]) <= target:
            high = middle
        else:
            low = middle + 1
    for setting in settings[low:]:
        if all(evaluate(setting, seed) <= target for seed in SEEDS):
            return setting
    return None

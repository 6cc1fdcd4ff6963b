"""What lies outside a space that was found: how much of A is left, exact or estimated."""

from __future__ import annotations

import numpy as np

from lowapprox._subspace.algebra import Small

__all__ = ["left_by_images", "left_outside"]


def left_by_images(factor: Small) -> float:
    """Estimate ``|(I - U U^H) A|_F`` for U spanning images of Gaussian vectors, from them alone.

    Each image is new to the space of the others: the mean square of their distances from it is
    unbiased for a space of one vector less.

    Parameters
    ----------
    factor : numpy.ndarray, shape (b, b)
        The images as rows, in an orthonormal basis.

    References
    ----------
    Epperly, Tropp (2024), arXiv:2207.06342 (leave-one-out error estimate).
    """
    P, s, Qh = np.linalg.svd(factor)
    if not s[0] > 0.0:
        return 0.0
    inverse = Qh.conj().T / np.maximum(s, np.finfo(s.dtype).eps * s[0]) @ P.conj().T
    return float(np.sqrt(np.mean(1.0 / (np.abs(inverse) ** 2).sum(axis=0))))


def left_outside(fro2: float | None, energy: float, eps: float, estimate: float) -> float:
    """Return ``|(I - U U^H) A|_F``, given ``|A|_F^2`` if known and ``|U^H A|_F^2``."""
    if fro2 is None:
        return estimate
    return float(np.sqrt(max(fro2 - energy, 0.0) + 64.0 * eps * fro2))

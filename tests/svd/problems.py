"""What several tests of the truncated SVD start from."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.reference import with_spectrum
from tests.strategies import SPECTRA

METHODS = ("krylov", "subspace", "gram", "direct")


def harmonic(m: int = 80, n: int = 60, dtype: Any = float, seed: int = 0) -> np.ndarray:
    """A matrix with the singular values 1, 1/2, 1/3, ..."""
    s = SPECTRA["harmonic"](np.arange(float(min(m, n))))
    return with_spectrum(np.random.default_rng(seed), m, n, s, dtype)

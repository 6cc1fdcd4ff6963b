"""Hypothesis profiles and shared fixtures."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from lowapprox._core.threads import blas_threads

# deadline=None: the first call of a kernel compiles it.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", max_examples=200, derandomize=True, **_COMMON)
settings.register_profile("dev", max_examples=30, **_COMMON)
settings.register_profile("nightly", max_examples=5000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True, scope="session")
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS at one thread: for matrices this small, more only wait for one another."""
    import scipy.linalg  # noqa: F401  brings a BLAS of its own

    with blas_threads(1):
        yield


@pytest.fixture
def gen() -> np.random.Generator:
    """Random numbers with a fixed seed."""
    return np.random.default_rng(0)

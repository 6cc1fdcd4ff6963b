"""Repeated singular values: more copies than a block has columns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from lowapprox.svd import randomized_eigh, randomized_svd
from tests.reference import with_spectrum
from tests.strategies import quiet

SPECTRA = {
    "three values": np.repeat([1.0, 0.5, 0.25, 0.0], [40, 40, 40, 50]),
    "ones, then a decay": np.r_[np.ones(40), 0.5 / np.arange(1.0, 361)],
    "flat, then small": np.r_[np.ones(50), np.full(250, 0.1)],
    "two clusters": np.r_[np.full(20, 2.0), np.ones(30), 0.3 * 0.9 ** np.arange(200)],
}


@pytest.mark.parametrize("rank", [20, 40])
@pytest.mark.parametrize("accuracy", ["balanced", "high"])
@pytest.mark.parametrize("name", SPECTRA)
def test_all_copies_are_found(name, accuracy, rank):
    s = SPECTRA[name]
    gen = np.random.default_rng(3)
    for tall in (30, 3 * s.size):
        A = with_spectrum(gen, s.size + tall, s.size, s)
        for form in (A, csr_array(A)):
            found = randomized_svd(form, rank, method="krylov", accuracy=accuracy, rng=0)
            assert found.converged
            assert np.abs(found.s - s[:rank]).max() < 1e-2


@pytest.mark.parametrize("name", SPECTRA)
def test_all_eigenvalues_are_found(name):
    s = SPECTRA[name]
    Q = np.linalg.qr(np.random.default_rng(5).standard_normal((s.size, s.size)))[0]
    A = (Q * s) @ Q.T
    found = randomized_eigh((A + A.T) / 2, 40, method="krylov", rng=0)
    assert found.converged
    assert np.abs(np.abs(found.w) - s[:40]).max() < 1e-2


@pytest.mark.parametrize("rank", [20, 45])
@pytest.mark.parametrize("name", SPECTRA)
def test_a_spent_budget_is_not_called_converged(name, rank):
    s = SPECTRA[name]
    A = with_spectrum(np.random.default_rng(1), s.size + 30, s.size, s)
    spent = 0
    for passes in range(2, 17, 2):
        with quiet():
            found = randomized_svd(
                A, rank, method="krylov", passes=passes, oversample=0, accuracy="high", rng=0
            )
        spent += not found.converged
        if found.converged:
            assert np.abs(found.s - s[:rank]).max() < 1e-2
    assert spent

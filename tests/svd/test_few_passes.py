"""Few passes: never worse than the textbook method, and the certificate says what is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox._subspace.outside import left_by_images
from lowapprox.svd import randomized_svd
from tests.reference import (
    error,
    orthonormality_defect,
    product,
    random_array,
    residuals,
    tail,
    with_spectrum,
)
from tests.strategies import DTYPES, FORMS, SPECTRA, matrices, quiet, seeds

RANK, EXTRA = 10, 10


def textbook(A, passes, seed):
    """Randomized SVD of Halko, Martinsson and Tropp (2011), Algorithms 4.4 and 5.1."""
    gen = np.random.default_rng(seed)
    Q = np.linalg.qr(A @ gen.standard_normal((A.shape[1], RANK + EXTRA)))[0]
    for _ in range((passes - 2) // 2):
        Q = np.linalg.qr(A @ np.linalg.qr(A.T @ Q)[0])[0]
    W, s, Vh = np.linalg.svd(Q.T @ A, full_matrices=False)
    return Q @ W[:, :RANK], s[:RANK], Vh[:RANK]


@pytest.mark.parametrize("passes", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("spectrum", ["harmonic", "root", "geometric", "step", "flat"])
def test_never_worse_than_the_textbook(spectrum, passes):
    s = np.ones(150) if spectrum == "flat" else SPECTRA[spectrum](np.arange(150.0))
    A = with_spectrum(np.random.default_rng(0), 400, 150, s)
    best = tail(A, RANK)

    def mean_error(solve):
        return np.mean([error(A, product(*solve(seed))) for seed in range(20)]) / best

    goal = mean_error(lambda seed: textbook(A, passes, seed))
    for form in ("C", "csr_array"):
        given_A = FORMS[form](A)
        for method in ("auto", "krylov", "subspace"):

            def solve(seed, X=given_A, method=method):
                with quiet():
                    res = randomized_svd(
                        X, RANK, method=method, passes=passes, oversample=EXTRA, rng=seed
                    )
                assert res.passes <= passes
                return res

            assert mean_error(solve) <= 1.05 * goal


class Counted:
    """A linear operator that counts how often it is read."""

    def __init__(self, A):
        self.A, self.shape, self.dtype, self.count = A, A.shape, A.dtype, 0

    def matmat(self, X):
        self.count += 1
        return self.A @ X

    def rmatmat(self, X):
        self.count += 1
        return self.A.conj().T @ X


@pytest.mark.parametrize("method", ["krylov", "subspace"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(300, 70), (90, 120)])
@pytest.mark.parametrize("passes", [2, 3, 4, 6])
def test_passes_are_counted_and_the_certificate_holds(passes, shape, dtype, method):
    s = SPECTRA["root"](np.arange(float(min(shape))))
    A = with_spectrum(np.random.default_rng(0), *shape, s, dtype)
    slack = 200 * float(np.finfo(dtype).eps)
    for seed in range(10):
        op = Counted(A)
        with quiet():
            blind = randomized_svd(
                op, 6, method=method, passes=passes, certify="none", accuracy="full", rng=seed
            )
            res = randomized_svd(A, 6, method=method, passes=passes, accuracy="full", rng=seed)
        assert blind.passes == passes - passes % 2
        assert op.count == blind.passes + 1  # one column more tells the scale
        assert not res.converged
        assert np.isnan(blind.error)
        true = residuals(A, *res)
        assert (true <= 1.001 * res.residuals + slack).all()
        assert (res.residuals <= 30 * true + slack).all()
        # Without the norm the bound rests on an estimate, of 16 samples or more.
        assert (residuals(A, *blind) <= 1.5 * blind.residuals + slack).all()
        assert res.error_kind == "exact"
        assert res.error == pytest.approx(error(A, product(*res)), rel=slack)
        for Q in (res.U, res.Vh.conj().T):
            assert orthonormality_defect(Q) <= slack


@given(matrices(), st.data(), st.sampled_from(["krylov", "subspace"]), seeds)
def test_residuals_are_bounds(A, data, method, seed):
    rank = data.draw(st.integers(1, min(A.shape)))
    passes = data.draw(st.integers(2, 7))
    oversample = data.draw(st.integers(0, 3))
    with quiet():
        res = randomized_svd(
            A,
            rank,
            method=method,
            passes=passes,
            oversample=oversample,
            accuracy="full",
            certify="none",
            rng=seed,
        )
    top = float(np.linalg.norm(A, 2))
    slack = (60 + 10 * np.sqrt(max(A.shape))) * float(np.finfo(A.dtype).eps) * top
    assert res.passes <= passes
    assert (residuals(A, *res) <= 1.01 * res.residuals + slack).all()
    if res.error_kind == "exact":
        true = error(A, product(*res))
        assert res.error == pytest.approx(true, rel=1e-2, abs=slack * np.sqrt(min(A.shape)))


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_what_images_say_about_the_rest_is_unbiased(dtype):
    """Ten images: the expected squared distance from the space of nine of them."""
    s = SPECTRA["root"](np.arange(40.0))
    A = with_spectrum(np.random.default_rng(0), 60, 40, s, dtype)
    scale = np.sqrt(2.0) if np.dtype(dtype).kind == "c" else 1.0
    estimates, exact = [], []
    for seed in range(400):
        gen = np.random.default_rng(seed)
        omega = gen.standard_normal((40, 10)).astype(dtype)
        if scale > 1:
            omega = (omega + 1j * gen.standard_normal((40, 10))) / scale
        Y = A @ omega
        estimates.append(left_by_images(np.linalg.qr(Y)[1].T) ** 2)
        Q = np.linalg.qr(Y[:, 1:])[0]
        exact.append(np.linalg.norm(A - Q @ (Q.conj().T @ A)) ** 2)
    deviation = np.std(np.subtract(estimates, exact)) / np.sqrt(len(exact))
    assert abs(np.mean(estimates) - np.mean(exact)) <= 5 * deviation
    assert deviation <= 0.02 * np.mean(exact)


def test_images_of_a_matrix_of_low_rank_leave_nothing():
    factor = random_array(np.random.default_rng(0), (8, 3), np.dtype(float))
    factor = factor @ random_array(np.random.default_rng(1), (3, 8), np.dtype(float))
    assert left_by_images(factor) <= 1e-13 * np.linalg.norm(factor)
    assert left_by_images(np.zeros((4, 4))) == 0.0

"""range_finder: orthonormality, exactness, the meaning of the error, and its inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator

from lowapprox import ConvergenceWarning, InputError
from lowapprox.svd import range_finder


def decaying(m, n, rate, dtype=np.float64, seed=0):
    gen = np.random.default_rng(seed)
    U = np.linalg.qr(gen.standard_normal((m, min(m, n))))[0]
    V = np.linalg.qr(gen.standard_normal((n, min(m, n))))[0]
    return ((U * rate ** np.arange(min(m, n))) @ V.T).astype(dtype)


def residual(A, Q):
    return np.linalg.norm(A - Q @ (Q.conj().T @ A))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("passes", [1, 2, 3, 4])
def test_basis_is_orthonormal_and_near_the_optimum(dtype, passes):
    A = decaying(60, 40, 0.8).astype(dtype)
    if np.iscomplexobj(A):
        A = A * np.exp(1j * np.arange(40)).astype(dtype)
    result = range_finder(A, 10, passes=passes, rng=1)
    eps = np.finfo(dtype).eps
    assert result.Q.dtype == dtype
    assert np.abs(result.Q.conj().T @ result.Q - np.eye(10)).max() < 30 * eps
    optimum = np.linalg.norm(np.linalg.svd(A, compute_uv=False)[10:])
    error = residual(A, result.Q)
    assert optimum * (1 - 1e-4) <= error <= optimum * (4.0 if passes == 1 else 1.3)
    # The square is a mean of ten chi-square variables at the least: one in a million leaves this.
    assert 0.3 * error < result.error < 2.2 * error
    assert result.passes == passes + 1
    assert result.matvecs == 10 * passes + 10


@given(m=st.integers(1, 20), n=st.integers(1, 20), rank=st.integers(0, 5), seed=st.integers(0, 99))
def test_range_of_a_low_rank_matrix_is_found(m, n, rank, seed):
    gen = np.random.default_rng(seed)
    A = gen.standard_normal((m, rank)) @ gen.standard_normal((rank, n))
    size = min(m, n)
    result = range_finder(A, size, rng=seed)
    assert np.abs(result.Q.T @ result.Q - np.eye(size)).max() < 1e-13 * (1 + size)
    assert residual(A, result.Q) <= 1e-13 * (1.0 + np.linalg.norm(A))
    assert result.error <= 1e-12 * (1.0 + np.linalg.norm(A))


@pytest.mark.parametrize("tol", [0.3, 0.03, 1e-3])
def test_tolerance_is_met_with_few_vectors(tol):
    A = decaying(200, 150, 0.9)
    result = range_finder(A, 150, tol=tol, rng=3)
    assert result.converged
    assert residual(A, result.Q) <= 2.0 * tol * np.linalg.norm(A)
    s = np.linalg.svd(A, compute_uv=False)
    tails = np.sqrt(np.cumsum((s**2)[::-1])[::-1])
    needed = int(np.argmax(tails <= tol * tails[0]))
    assert result.Q.shape[1] <= needed + 32


def test_unmet_tolerance_warns():
    with pytest.warns(ConvergenceWarning, match="with 4 vectors"):
        result = range_finder(np.eye(30), 4, tol=0.1, rng=0)
    assert not result.converged


def test_inputs_of_every_kind_agree():
    A = decaying(50, 30, 0.7)
    reference = range_finder(A, 8, rng=5)
    for form in (np.asfortranarray(A), csr_array(A), aslinearoperator(A)):
        Q = range_finder(form, 8, rng=5).Q
        assert np.linalg.norm(Q @ Q.T - reference.Q @ reference.Q.T) < 1e-8


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_scale_does_not_matter(scale):
    A = decaying(40, 30, 0.7)
    small, plain = range_finder(A * scale, 5, rng=0), range_finder(A, 5, rng=0)
    assert np.isclose(small.error / scale, plain.error, rtol=1e-10)


def test_zero_and_empty():
    assert range_finder(np.zeros((4, 3)), 2).Q.shape == (4, 2)
    assert range_finder(np.zeros((4, 0)), 0).Q.shape == (4, 0)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        (
            {"size": 0},
            r"`size` must lie in \[1, min\(m, n\)\] = \[1, 5\] for shape \(6, 5\), got 0",
        ),
        ({"size": 6}, r"`size` must lie in .* for shape \(6, 5\), got 6"),
        ({"size": 2, "passes": 0}, "`passes` must be at least 1, got 0"),
        ({"size": 2, "tol": 2.0}, "`tol` must lie strictly between 0 and 1"),
    ],
)
def test_bad_arguments(kwargs, words):
    with pytest.raises(InputError, match=words):
        range_finder(np.ones((6, 5)), **kwargs)


def test_nan_is_refused():
    with pytest.raises(InputError, match="finite"):
        range_finder(np.full((3, 3), np.nan), 1)

"""The result of a truncated SVD as an object."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import InputError, InputTypeError
from lowapprox.svd import SVDResult, randomized_svd
from tests.reference import centred, error, product, random_array
from tests.strategies import DTYPES, quiet, seeds, spectral_matrices
from tests.svd.problems import harmonic


def test_unpacks_and_stays_as_it_is():
    res = randomized_svd(harmonic(), 5, rng=0)
    U, s, Vh = res
    assert U is res.U
    assert s is res.s
    assert Vh is res.Vh
    assert isinstance(res, SVDResult)
    with pytest.raises(dataclasses.FrozenInstanceError):
        res.U = None
    with pytest.raises((AttributeError, TypeError)):
        res.other = 1


def test_repr_is_one_line():
    res = randomized_svd(harmonic(), 5, rng=0, method="krylov")
    text = repr(res)
    assert text.startswith("SVDResult(U=(80, 5), s=(5,), Vh=(5, 60), rank=5, error=")
    assert "\n" not in text
    assert "array" not in text
    assert {"method", "why", "dimension", "seconds"} <= set(res.info)


@pytest.mark.parametrize("center", [False, True])
def test_pickles_and_copies(center):
    res = randomized_svd(harmonic(dtype=np.complex64), 5, rng=0, center=center, certify="probe")
    for other in (pickle.loads(pickle.dumps(res)), copy.deepcopy(res)):
        for field in dataclasses.fields(SVDResult):
            np.testing.assert_equal(getattr(other, field.name), getattr(res, field.name))


@given(spectral_matrices(min_side=2), st.booleans(), st.data(), seeds)
def test_reconstruct(made, center, data, seed):
    A, gen = made.A, np.random.default_rng(seed)
    A = A + A.dtype.type(center) * random_array(gen, (1, A.shape[1]), A.dtype)
    m, n = A.shape
    with quiet():
        res = randomized_svd(A, min(m, n), center=center, rng=seed)
    eps = float(np.finfo(A.dtype).eps)
    slack = 200 * eps * np.sqrt(max(m, n)) * (1 + float(np.linalg.norm(A)))
    whole = res.reconstruct()
    assert whole.dtype == A.dtype
    np.testing.assert_allclose(whole, A, atol=slack)
    rows = data.draw(st.lists(st.integers(-m, m - 1), max_size=6))
    cols = data.draw(st.lists(st.integers(-n, n - 1), max_size=6))
    rows, cols = np.array(rows, int), np.array(cols, int)
    np.testing.assert_allclose(res.reconstruct(rows, cols), whole[rows][:, cols], atol=slack)
    np.testing.assert_allclose(res.reconstruct(rows=rows), whole[rows], atol=slack)
    part = slice(m // 3, None, 2)
    np.testing.assert_allclose(res.reconstruct(part, cols), whole[part][:, cols], atol=slack)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("center", [False, True])
def test_linear_operator(dtype, center):
    A = harmonic(dtype=dtype)
    if center:
        A = A + random_array(np.random.default_rng(1), (1, 60), dtype)
    res = randomized_svd(A, 7, rng=0, center=center)
    op, whole = res.as_linear_operator(), res.reconstruct()
    eps = float(np.finfo(dtype).eps)
    gen = np.random.default_rng(2)
    X, Y = random_array(gen, (60, 4), dtype), random_array(gen, (80, 4), dtype)
    assert (op.shape, op.dtype) == (A.shape, dtype)
    options = {"atol": 2000 * eps}
    np.testing.assert_allclose(op @ X, whole @ X, **options)
    np.testing.assert_allclose(op @ X[:, 0], whole @ X[:, 0], **options)
    np.testing.assert_allclose(op.H @ Y, whole.conj().T @ Y, **options)
    np.testing.assert_allclose(op.rmatvec(Y[:, 0]), whole.conj().T @ Y[:, 0], **options)


# ---- truncation


@pytest.mark.parametrize("method", ["krylov", "direct", "subspace", "gram"])
@pytest.mark.parametrize("k", [0, 1, 4, 12])
def test_truncate(method, k):
    A = harmonic()
    res = randomized_svd(A, 12, rng=0, method=method, accuracy="high", certify="probe")
    cut = res.truncate(k)
    for x, y in zip(cut, (res.U[:, :k], res.s[:k], res.Vh[:k]), strict=True):
        np.testing.assert_array_equal(x, y)
    true = error(A, product(*cut))
    assert cut.error == pytest.approx(true, rel=1e-9)
    assert cut.error_kind == "exact"
    assert cut.error_bound >= error(A, product(*cut), "spectral")
    if k < 12:
        assert cut.error_bound == pytest.approx(np.hypot(res.error_bound, res.s[k]))
    assert len(cut.residuals) == k
    assert cut.rank == k
    # Nested: the same bits whichever way.
    np.testing.assert_array_equal(res.truncate(12).truncate(k).U, cut.U)


def test_truncate_to_a_tolerance():
    A = harmonic()
    res = randomized_svd(A, 40, rng=0, method="direct")
    left = np.sqrt(np.cumsum((1 / np.arange(1.0, 61))[::-1] ** 2)[::-1])
    for tol in (0.9, 0.5, 0.3, 0.15):
        cut = res.truncate(tol=tol)
        assert cut.s.shape[0] == np.count_nonzero(left > tol * left[0])
        assert error(A, product(*cut)) <= tol * np.linalg.norm(A)
    assert res.truncate(tol=1e-3).s.shape == (40,)  # none suffice: all stay


def test_truncate_in_the_spectral_norm():
    A = harmonic()
    res = randomized_svd(A, 12, rng=0, method="krylov", norm="spectral", accuracy="high")
    cut = res.truncate(5)
    true = error(A, product(*cut), "spectral")
    assert cut.error_kind == "bound"
    assert true <= cut.error <= 1.5 * true
    with pytest.raises(InputError, match="`tol`"):
        res.truncate(tol=0.1)


def test_truncate_at_extreme_scales():
    for scale in (1e-200, 1e200):
        res = randomized_svd(harmonic() * scale, 12, rng=0)
        cut = res.truncate(5)
        assert cut.error / scale == pytest.approx(np.linalg.norm(1 / np.arange(6.0, 61)), rel=1e-6)


def test_truncate_refuses():
    res = randomized_svd(harmonic(), 5, rng=0)
    for options in ({}, {"k": 2, "tol": 0.1}):
        with pytest.raises(InputError, match="exactly one"):
            res.truncate(**options)
    for bad in (-1, 6):
        with pytest.raises(InputError, match="`k`"):
            res.truncate(bad)
    with pytest.raises(InputTypeError, match="`k`"):
        res.truncate(2.5)
    for bad in (0.0, 1.0, np.nan):
        with pytest.raises(InputError, match="`tol`"):
            res.truncate(tol=bad)


# ---- principal components


@pytest.mark.parametrize("dtype", DTYPES)
def test_principal_components(dtype):
    A = harmonic(dtype=dtype) + random_array(np.random.default_rng(1), (1, 60), dtype)
    A = A.astype(dtype)
    res = randomized_svd(A, 7, rng=0, center=True, accuracy="full")
    eps = float(np.finfo(dtype).eps)
    scores = res.transform(A)
    np.testing.assert_allclose(scores, centred(A) @ res.Vh.conj().T, atol=3000 * eps)
    np.testing.assert_allclose(scores, res.U * res.s, atol=3000 * eps)
    variance = np.var(scores.astype(np.result_type(dtype, float)), axis=0, ddof=1)
    np.testing.assert_allclose(res.explained_variance, variance, rtol=1e4 * eps)
    total = np.var(A.astype(np.result_type(dtype, float)), axis=0, ddof=1).sum()
    np.testing.assert_allclose(res.explained_variance_ratio, variance / total, rtol=1e4 * eps)
    # New rows, sparse rows and plain lists.
    np.testing.assert_allclose(res.transform(A[:3]), scores[:3], atol=3000 * eps)
    np.testing.assert_allclose(
        res.transform(scipy.sparse.csr_array(A[:3])), scores[:3], atol=3000 * eps
    )
    np.testing.assert_allclose(res.transform(A[:3].tolist()), scores[:3], atol=3000 * eps)


def test_equals_the_principal_components_of_scikit_learn():
    decomposition = pytest.importorskip("sklearn.decomposition")
    A = harmonic(200, 30) + np.arange(30.0)
    theirs = decomposition.PCA(5, svd_solver="full").fit(A)
    res = randomized_svd(A, 5, center=True, accuracy="full", rng=0)
    np.testing.assert_allclose(res.mean, theirs.mean_, atol=1e-13)
    np.testing.assert_allclose(res.explained_variance, theirs.explained_variance_, rtol=1e-12)
    np.testing.assert_allclose(
        res.explained_variance_ratio, theirs.explained_variance_ratio_, rtol=1e-9
    )
    signs = np.sign((res.Vh * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(res.transform(A) * signs, theirs.transform(A), atol=1e-9)


def test_transform_refuses_other_shapes():
    res = randomized_svd(harmonic(), 5, rng=0)
    for bad in (np.ones((3, 59)), np.ones(60), [[1.0, 2.0]]):
        with pytest.raises(InputError, match=r"`X` must have shape \(p, 60\)"):
            res.transform(bad)

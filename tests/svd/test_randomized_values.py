"""The truncated SVD of centred matrices, and of entries at the ends of the range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox.svd import randomized_svd
from tests.reference import (
    centred,
    error,
    orthonormality_defect,
    product,
    random_array,
    tail,
)
from tests.strategies import (
    DENSE_FORMS,
    DTYPES,
    FORMS,
    OPERATOR_FORMS,
    SPARSE_FORMS,
    quiet,
    scales,
    seeds,
    spectral_matrices,
)
from tests.svd.problems import METHODS, harmonic

# ---- centring


@given(spectral_matrices(min_side=2), st.data(), st.sampled_from(METHODS), seeds)
def test_centring_equals_the_centred_matrix(made, data, method, seed):
    A = made.A + random_array(np.random.default_rng(seed), (1, made.A.shape[1]), made.A.dtype)
    A = A.astype(made.A.dtype)
    form = data.draw(st.sampled_from(["C", "F", "csr_array", "operator"]))
    rank = data.draw(st.integers(1, min(A.shape)))
    with quiet():
        res = randomized_svd(
            FORMS[form](A), rank, center=True, method=method, accuracy="full", rng=seed
        )
    exact = np.linalg.svd(centred(A), compute_uv=False)
    eps = float(np.finfo(A.dtype).eps)
    slack = 200 * np.sqrt(max(A.shape)) * eps * (exact[0] + float(np.linalg.norm(A)) / 10)
    if method == "subspace" and not res.converged:
        return
    np.testing.assert_allclose(res.s, exact[:rank], atol=slack)
    np.testing.assert_allclose(
        res.mean,
        A.astype(np.result_type(A, float)).mean(axis=0),
        atol=20 * eps * float(np.abs(A).max()),
    )
    assert error(A, res.reconstruct()) <= tail(centred(A), rank) + 10 * slack * np.sqrt(rank)
    np.testing.assert_allclose(
        res.transform(A), np.asarray(res.U) * res.s, atol=20 * slack + 2 * res.residuals.max()
    )
    share = res.explained_variance_ratio
    total = (exact**2).sum()
    if exact[0] > 1e3 * slack and form != "operator":
        np.testing.assert_allclose(share, exact[:rank] ** 2 / total, atol=1e-2)


@pytest.mark.parametrize("form", ["C", "csr_array", "operator"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_enormous_means(method, form, dtype):
    """The means exceed the rest by 1e4 or 1e8: values must not drown in their rounding."""
    gen = np.random.default_rng(0)
    ratio = 1e4 if dtype == np.float32 else 1e8
    A = (harmonic(300, 40) * 10 + ratio * (1 + gen.random(40))).astype(dtype)
    exact = np.linalg.svd(centred(A), compute_uv=False)
    with quiet():
        res = randomized_svd(FORMS[form](A), 5, center=True, method=method, accuracy="high", rng=0)
    slack = 50 * np.sqrt(300) * np.finfo(dtype).eps * ratio
    np.testing.assert_allclose(res.s, exact[:5], rtol=1e-4, atol=slack)
    assert res.fro_norm == pytest.approx(np.linalg.norm(exact), rel=1e-3) or form == "operator"


def test_constant_columns_centre_to_zero():
    A = np.tile(np.arange(1.0, 31.0), (50, 1))
    for form in ("C", "F", "csr_array", "array-api-strict"):
        res = randomized_svd(FORMS[form](A), 4, center=True, rng=0)
        np.testing.assert_allclose(np.asarray(res.s), 0, atol=1e-12)
        assert orthonormality_defect(np.asarray(res.U)) < 1e-13
        assert orthonormality_defect(np.asarray(res.Vh).T) < 1e-13
        np.testing.assert_allclose(np.asarray(res.reconstruct()), A, rtol=1e-14)


def test_centring_ignores_constants():
    A = harmonic(100, 60)
    plain = randomized_svd(A, 6, center=True, accuracy="full", rng=0)
    moved = A.copy()
    moved[:, 7] += 1e3
    res = randomized_svd(moved, 6, center=True, accuracy="full", rng=0)
    np.testing.assert_allclose(res.s, plain.s, atol=1e-11)


# ---- extreme values


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ["C", "F", "csr_array", "operator", "array-api-strict"])
@pytest.mark.parametrize(
    ("dtype", "factor"),
    [
        (np.float64, 1e-200),
        (np.float64, 1e200),
        (np.float64, 2.0**1000),
        (np.float64, 2.0**-980),
        (np.float32, 1e-30),
        (np.float32, 1e30),
        (np.complex64, 1e30),
        (np.complex128, 1e-200),
    ],
)
@pytest.mark.parametrize("center", [False, True])
def test_extreme_scales(method, form, dtype, factor, center):
    factor = 2.0 ** np.round(np.log2(factor))
    A = harmonic(60, 50, dtype)
    res = randomized_svd(FORMS[form](A), 6, method=method, rng=0, center=center)
    scaled_A = (A * A.real.dtype.type(factor)).astype(dtype)
    scaled = randomized_svd(FORMS[form](scaled_A), 6, method=method, rng=0, center=center)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(np.asarray(scaled.s) / factor, res.s, atol=100 * eps)
    np.testing.assert_allclose(scaled.residuals / factor, res.residuals, rtol=0.1, atol=100 * eps)
    assert scaled.error / factor == pytest.approx(res.error, rel=1e-3)
    assert scaled.fro_norm / factor == pytest.approx(res.fro_norm, rel=1e-3)
    np.testing.assert_allclose(np.asarray(scaled.U), np.asarray(res.U), atol=2e4 * eps)
    if center:
        np.testing.assert_allclose(np.asarray(scaled.mean) / factor, res.mean, atol=10 * eps)


@given(spectral_matrices(scaled=True), st.data(), st.sampled_from(METHODS), seeds)
def test_scales(made, data, method, seed):
    A, s = made.A, made.s
    rank = data.draw(st.integers(1, min(A.shape)))
    with quiet():
        res = randomized_svd(A, rank, method=method, accuracy="high", rng=seed)
    eps = float(np.finfo(A.dtype).eps)
    assert orthonormality_defect(res.U) <= 100 * eps * np.sqrt(max(A.shape))
    slack = (100 + 10 * np.sqrt(max(A.shape))) * eps
    top = s[0] if s[0] > 0 else 1.0
    np.testing.assert_allclose(res.s / top, s[:rank] / top, atol=slack + 1e-3 * s[rank - 1] / top)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_entries(method, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    A = np.zeros((60, 50), dtype)
    A[3, 4] = 40 * tiny
    A[5, 6] = 9 * tiny
    res = randomized_svd(A, 3, method=method, rng=0)
    np.testing.assert_array_equal(res.s, np.array([40 * tiny, 9 * tiny, 0], A.real.dtype))
    assert orthonormality_defect(res.U) < 1e3 * np.finfo(dtype).eps


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("huge", [1e8, 1e150, 1e300])
def test_one_huge_entry(method, huge):
    gen = np.random.default_rng(0)
    A = gen.standard_normal((60, 50))
    A[10, 20] = huge
    with quiet():
        res = randomized_svd(A, 3, method=method, accuracy="full", rng=0)
    exact = np.linalg.svd(A / huge, compute_uv=False)
    np.testing.assert_allclose(res.s / huge, exact[:3], atol=1e-14)
    assert np.isfinite(res.error)
    assert res.fro_norm == pytest.approx(huge)


@pytest.mark.parametrize("axis", ["row", "column"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(200, 150), (150, 200)])
def test_all_mass_in_one_line(axis, method, shape):
    A = np.zeros(shape)
    index = (17, slice(None)) if axis == "row" else (slice(None), 17)
    A[index] = np.random.default_rng(0).standard_normal(A[index].shape)
    res = randomized_svd(A, 4, method=method, rng=0)
    assert res.s[0] == pytest.approx(np.linalg.norm(A))
    np.testing.assert_allclose(res.s[1:], 0, atol=1e-13)
    assert orthonormality_defect(res.U) < 1e-13
    assert orthonormality_defect(res.Vh.T) < 1e-13
    assert res.rank == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", [*DENSE_FORMS, *SPARSE_FORMS, *OPERATOR_FORMS, "array-api-strict"])
@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_zero_matrix(method, form, dtype):
    for shape in ((30, 20), (20, 30), (1, 5), (5, 1), (1, 1)):
        k = min(3, *shape)
        res = randomized_svd(FORMS[form](np.zeros(shape, dtype)), k, method=method, rng=0)
        U, s, Vh = (np.asarray(x) for x in res)
        assert s.tolist() == [0.0] * k
        assert orthonormality_defect(U) < 10 * np.finfo(dtype).eps
        assert orthonormality_defect(Vh.conj().T) < 10 * np.finfo(dtype).eps
        assert (res.rank, res.error, res.converged) == (0, 0.0, True)
        assert not np.isnan(np.asarray(res.explained_variance_ratio)).any()


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
@pytest.mark.parametrize("form", ["C", "csr_array", "operator"])
def test_empty(shape, form):
    for options in ({"rank": 0}, {"rank": 1}, {"tol": 0.1}):
        res = randomized_svd(FORMS[form](np.zeros(shape)), **options)
        assert res.U.shape == (shape[0], 0)
        assert res.Vh.shape == (0, shape[1])
        assert res.reconstruct().shape == shape
        assert res.error == 0


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (1, 500), (500, 1), (2, 300)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors(shape, method, dtype):
    A = random_array(np.random.default_rng(0), shape, dtype)
    k = min(shape)
    for form in ("C", "csr_array", "operator"):
        res = randomized_svd(FORMS[form](A), k, method=method, rng=0)
        eps = float(np.finfo(dtype).eps)
        exact = np.linalg.svd(A, compute_uv=False)
        np.testing.assert_allclose(res.s, exact, rtol=100 * eps)
        np.testing.assert_allclose(product(*res), A, atol=100 * eps * exact[0])


@given(st.sampled_from(DTYPES), st.data())
def test_scaled_entries_are_exact(dtype, data):
    """A diagonal matrix keeps its values to the last bit under any power of two."""
    factor = data.draw(scales(dtype))
    A = np.diag(np.array([8.0, 4.0, 2.0, 1.0])).astype(dtype) * dtype.type(factor)
    res = randomized_svd(A, 4, method="direct")
    np.testing.assert_array_equal(res.s, np.array([8, 4, 2, 1]) * factor)

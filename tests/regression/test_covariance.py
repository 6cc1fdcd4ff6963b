"""Covariances and standard errors: the textbook formulas, and what repeated noise does to x."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import lstsq
from lowapprox.regression import LstsqResult, StreamingLstsq
from tests.reference import random_array
from tests.regression.problems import problem
from tests.strategies import DTYPES, FORMS, seeds

EXACT = ("direct", "cholesky")
SKETCHED = ("spir", "fossils", "iterative")


def textbook(
    A: np.ndarray, b: np.ndarray, weights: Any = None, ridge: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Residual variances and covariances from explicit inverses, one for each column of b."""
    A, b = np.asarray(A, np.result_type(A, float)), np.asarray(b, np.result_type(b, float))
    w = np.ones(len(A)) if weights is None else weights
    G = (A.conj().T * w) @ A
    inverse = np.linalg.inv(G + ridge * np.eye(A.shape[1]))
    K = inverse @ (A.conj().T * w)
    residual = b - A @ (K @ b)
    left = np.count_nonzero(w) - np.trace(A @ K).real
    variance = (w @ np.abs(residual.reshape(len(A), -1)) ** 2) / left
    unit = inverse @ G @ inverse
    covariance = variance[:, None, None] * unit
    return (variance[0], covariance[0]) if b.ndim == 1 else (variance, covariance)


def agree(result: LstsqResult, variance: Any, covariance: np.ndarray, rtol: float) -> None:
    """Compare, entries of the covariance relative to the standard errors."""
    assert np.allclose(result.residual_variance, variance, rtol=rtol)
    errors = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1).real)
    assert np.allclose(result.standard_errors, errors.T, rtol=rtol)
    scale = errors[..., :, None] * errors[..., None, :]
    assert (np.abs(result.covariance() - covariance) <= rtol * scale).all()


@pytest.mark.parametrize("method", [*EXACT, "auto"])
@given(
    seed=seeds,
    power=st.floats(0, 4),
    ridge=st.sampled_from([0.0, 1e-3, 1.0, 1e4]),
    weighted=st.booleans(),
    columns=st.sampled_from([None, 1, 3]),
    kind=st.sampled_from([float, complex]),
)
def test_textbook_formulas(
    method: str,
    seed: int,
    power: float,
    ridge: float,
    weighted: bool,
    columns: int | None,
    kind: Any,
) -> None:
    A, b, _ = problem(90, 5, 10.0**power, columns=columns, dtype=kind, seed=seed)
    gen = np.random.default_rng(seed)
    A *= 10.0 ** gen.uniform(-3, 3, 5)
    w = gen.integers(0, 3, 90) / 2.0 if weighted else None
    result = lstsq(A, b, method=method, weights=w, ridge=ridge, rng=0)
    D = np.linalg.norm(A, axis=0)  # the explicit inverse is of the scaled problem, where it can be
    rtol = 1e-12
    if ridge:
        expected = textbook(A, b, w, ridge)
        kappa = np.linalg.cond(A.conj().T @ A + ridge * np.eye(5))
        rtol *= 1.0 + np.sqrt(ridge) / D.min()  # a triangle that holds small columns and the ridge
    else:
        variance, covariance = textbook(A / D, b, w)
        expected = variance, covariance / D / D[:, None]
        kappa = np.linalg.cond(A / D) ** 2
    agree(result, *expected, rtol=rtol + 1e-14 * kappa)
    assert result.info["variance_error"] <= 1e-7


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [None, 2])
@pytest.mark.parametrize("form", ["C", "csr_array"])
def test_shapes_and_precisions(dtype: Any, columns: int | None, form: str) -> None:
    A, b, _ = problem(200, 4, columns=columns, dtype=dtype)
    result = lstsq(FORMS[form](A), b, rng=0)
    k = () if columns is None else (columns,)
    assert np.shape(result.residual_variance) == k
    assert result.standard_errors.shape == result.x.shape
    assert result.standard_errors.dtype == np.finfo(dtype).dtype
    assert result.covariance().shape == (*k, 4, 4)
    assert result.covariance().dtype == dtype
    agree(result, *textbook(A, b), rtol=30 * float(np.finfo(dtype).eps) * 100)


@pytest.mark.parametrize("method", [*EXACT, *SKETCHED])
def test_columns_of_extreme_size(method: str) -> None:
    A, b, _ = problem(400, 6, 1e2)
    plain = lstsq(A, b, method=method, rng=0)
    D = 10.0 ** np.array([-150, 150, 0, 90, -90, 3])
    result = lstsq(A * D, b, method=method, rng=0)
    assert np.allclose(result.standard_errors * D, plain.standard_errors, rtol=1e-9)


@pytest.mark.parametrize("ridge", [1e8, 1e14, 1e30])
@pytest.mark.parametrize("method", EXACT)
def test_a_ridge_far_above_the_matrix(method: str, ridge: float) -> None:
    """x is A^H b / ridge almost, and so is its noise."""
    A, b, _ = problem(400, 6, 10.0)
    result = lstsq(A, b, method=method, ridge=ridge, rng=0)
    expected = result.residual_variance * (A.T @ A) / ridge**2
    scale = np.sqrt(np.diagonal(expected))
    assert (np.abs(result.covariance() - expected) <= 1e-5 * scale * scale[:, None]).all()
    assert result.residual_variance == pytest.approx(b @ b / 400, rel=1e-5)


@given(seeds, st.integers(1, 30), st.integers(1, 20), st.integers(1, 8), st.booleans())
def test_deficient_problems_have_the_pseudo_inverse(
    seed: int, n: int, d: int, rank: int, weighted: bool
) -> None:
    gen = np.random.default_rng(seed)
    rank = min(rank, n, d)
    A = gen.standard_normal((n, rank)) @ gen.standard_normal((rank, d))
    w = gen.uniform(0.5, 2.0, n) if weighted else np.ones(n)
    b = gen.standard_normal(n)
    result = lstsq(A, b, weights=w, rcond=1e-11)
    root = np.sqrt(w)[:, None] * A
    s = np.linalg.svd(root / np.linalg.norm(root, axis=0), compute_uv=False)[:rank]
    if s[-1] < 1e-4 * s[0]:
        return
    inverse = np.linalg.pinv(root, rcond=1e-11)
    if n == rank:
        assert np.isnan(result.residual_variance)
        assert np.isnan(result.standard_errors).all()
        return
    residual = np.sqrt(w) * (b - A @ result.x)
    assert result.residual_variance == pytest.approx(residual @ residual / (n - rank), rel=1e-6)
    expected = result.residual_variance * inverse @ inverse.T
    slack = 1e-10 * (s[0] / s[-1]) ** 2
    assert np.linalg.norm(result.covariance() - expected) <= slack * np.linalg.norm(expected)
    errors = np.sqrt(np.diagonal(expected))
    assert np.allclose(result.standard_errors, errors, rtol=1e-5, atol=1e-7 * errors.max())


@pytest.mark.parametrize("ridge", [1e-3, 1.0])
def test_a_deficient_problem_with_a_ridge(ridge: float) -> None:
    gen = np.random.default_rng(0)
    A = gen.standard_normal((30, 3)) @ gen.standard_normal((3, 5))
    b = gen.standard_normal(30)
    result = lstsq(A, b, ridge=ridge)
    assert result.rank == 5
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    s[3:] = 0.0
    residual = b - U @ (s**2 / (s**2 + ridge) * (U.T @ b))
    variance = residual @ residual / (30 - np.sum(s**2 / (s**2 + ridge)))
    K = Vh.T * (s / (s**2 + ridge))
    assert result.residual_variance == pytest.approx(variance, rel=1e-12)
    assert np.allclose(result.covariance(), variance * K @ K.T, rtol=1e-10, atol=1e-13)


@pytest.mark.stat
@pytest.mark.parametrize("ridge", [0.0, 3.0])
@pytest.mark.parametrize("kind", [float, complex])
def test_it_is_the_covariance_of_x_over_the_noise(ridge: float, kind: Any) -> None:
    """Many right-hand sides with noise of variances 4 / w."""
    gen = np.random.default_rng(0)
    n, d, draws = 60, 3, 40_000
    A = random_array(gen, (n, d), kind)
    w = gen.uniform(0.2, 3.0, n)
    noise = random_array(gen, (n, draws), kind) / np.sqrt(2.0 if kind is complex else 1.0)
    B = (A @ np.ones(d))[:, None] + 2.0 * noise / np.sqrt(w)[:, None]
    result = lstsq(A, B, weights=w, ridge=ridge)
    X = result.x - result.x.mean(axis=1, keepdims=True)
    seen = X @ X.conj().T / draws
    told = 4.0 * lstsq(A, B[:, 0], weights=w, ridge=ridge).covariance()
    told /= lstsq(A, B[:, 0], weights=w, ridge=ridge).residual_variance
    scale = np.sqrt(np.diagonal(told).real)
    # The entries of a sample covariance scatter by at most sqrt(2 / draws) of this scale.
    assert (np.abs(seen - told) <= 6 * np.sqrt(2 / draws) * scale * scale[:, None]).all()
    if ridge == 0.0:
        assert np.mean(result.residual_variance) == pytest.approx(4.0, rel=0.01)


@pytest.mark.stat
@pytest.mark.parametrize("method", SKETCHED[:1])
@pytest.mark.parametrize("ridge", [0.0, 5.0])
@pytest.mark.parametrize("name", ["incoherent", "coordinates"])
def test_variances_of_a_sketch_scatter_as_told(method: str, ridge: float, name: str) -> None:
    d, keys = 10, 200
    A, b, _ = problem(2000, d, 10.0)
    if name == "coordinates":
        A = np.zeros((2000, d))
        A[np.arange(d) * 7, np.arange(d)] = np.arange(1, d + 1)
    exact = lstsq(A, b, method="direct", ridge=ridge)
    ratios = np.empty((keys, d))
    for key in range(keys):
        result = lstsq(A, b, method=method, ridge=ridge, rng=key)
        ratios[key] = (result.standard_errors / exact.standard_errors) ** 2
        assert 0.0 < result.info["variance_error"] < 0.2
    error = result.info["variance_error"]
    assert np.abs(ratios.mean(axis=0) - 1.0).max() <= 6 * error / np.sqrt(keys) + 0.02
    assert ratios.std(axis=0).max() <= 1.3 * error
    if name == "incoherent":
        assert np.abs(ratios - 1.0).max() <= 7 * error


@pytest.mark.parametrize("method", ["sketch", "linf"])
def test_one_pass_knows_no_covariance(method: str) -> None:
    A, b, _ = problem(4000, 6, columns=2)
    result = lstsq(A, b, method=method, rng=0)
    assert result.passes == 1
    assert np.isnan(result.residual_variance).all()
    assert np.isnan(result.standard_errors).all()
    assert result.standard_errors.shape == (6, 2)
    assert np.isnan(result.covariance()).all()
    assert result.covariance().shape == (2, 6, 6)


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (1, 5), (3, 3)])
@pytest.mark.parametrize("columns", [None, 0, 2])
def test_no_rows_left(shape: tuple[int, int], columns: int | None) -> None:
    n, d = shape
    b = np.ones(n if columns is None else (n, columns))
    result = lstsq(np.random.default_rng(0).standard_normal(shape), b)
    k = () if columns is None else (columns,)
    assert result.standard_errors.shape == (d, *k)
    assert result.covariance().shape == (*k, d, d)
    assert np.isnan(result.standard_errors).all()


def test_zero_matrices_and_zero_columns() -> None:
    A, b, _ = problem(100, 4)
    A[:, 2] = 0.0
    for ridge in (0.0, 2.0):
        result = lstsq(A, b, ridge=ridge)
        assert result.standard_errors[2] == 0.0
        assert (result.standard_errors[[0, 1, 3]] > 0.0).all()
    result = lstsq(0 * A, b)
    assert not result.standard_errors.any()
    assert result.residual_variance == pytest.approx(b @ b / 100)


def test_variances_of_a_stream_count_all_its_rows() -> None:
    A, b, _ = problem(300, 5, 100.0, columns=2)
    w = np.random.default_rng(0).integers(0, 3, 300) / 2.0
    whole = lstsq(A, b, weights=w)
    one, two = StreamingLstsq(5), StreamingLstsq(5)
    one.partial_fit(A[:100], b[:100], w[:100])
    two.partial_fit(A[100:130], b[100:130], w[100:130]).partial_fit(A[130:], b[130:], w[130:])
    result = one.merge(two).result()
    assert np.allclose(result.residual_variance, whole.residual_variance, rtol=1e-12)
    assert np.allclose(result.covariance(), whole.covariance(), rtol=1e-10)


def test_results_with_a_covariance_are_pickled() -> None:
    A, b, _ = problem(100, 4)
    result = lstsq(A, b)
    again = pickle.loads(pickle.dumps(result))
    assert (again.standard_errors == result.standard_errors).all()
    assert (again.covariance() == result.covariance()).all()

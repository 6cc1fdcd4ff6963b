"""Factorizations for many right-hand sides: as good as lstsq, in fewer passes."""

from __future__ import annotations

import importlib
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator

from lowapprox import ConvergenceWarning, InputError, InputTypeError, lstsq, thread_limit
from lowapprox.regression import LstsqFactor, lstsq_factor
from lowapprox.sketching import khatri_rao, kron
from tests.reference import CountedOperator, random_array
from tests.regression.problems import Problem, backward_error, problem, problems, wedin
from tests.strategies import DENSE_FORMS, DTYPES, FORMS, bytes_of, seeds

U = float(np.finfo(float).eps)
factor_module = importlib.import_module("lowapprox.regression.factor")
METHODS = ("direct", "sketch")


def factor(A: Any, method: str, **options: Any) -> LstsqFactor:
    """Factor by a method, whatever the size of the matrix."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factor_module, "_SMALL", 2**40 if method == "direct" else 0)
        patch.setattr(factor_module, "_SMALL_OPERATOR", 0)
        return lstsq_factor(A, rng=0, **options)


def hat(A: np.ndarray, w: Any = None, ridge: float = 0.0) -> np.ndarray:
    """Leverage scores from the singular value decomposition."""
    root = A if w is None else np.sqrt(w)[:, None] * A
    U, s, _ = np.linalg.svd(root, full_matrices=False)
    kept = s > 1e-10 * s[0]
    part = s[kept] ** 2 / (s[kept] ** 2 + ridge)
    scores: np.ndarray = (np.abs(U[:, kept]) ** 2) @ part
    return scores


@pytest.mark.parametrize("method", METHODS)
@given(p=problems(max_condition=1e13))
def test_every_solution_is_backward_stable_for_every_column(method: str, p: Problem) -> None:
    made = factor(p.A, method)
    assert made.rank == p.A.shape[1]
    gen = np.random.default_rng(0)
    b = np.stack([p.b, gen.standard_normal(len(p.b)), p.A @ gen.standard_normal(made.rank)], axis=1)
    result = made.solve(b)
    assert result.converged
    for j in range(3):
        assert backward_error(p.A, b[:, j], result.x[:, j]) <= 10 * U
        one = made.solve(b[:, j])
        assert one.converged
        assert backward_error(p.A, b[:, j], one.x) <= 10 * U


@given(problems(max_condition=1e10, spread=3))
def test_few_passes(p: Problem) -> None:
    made = factor(p.A, "sketch")
    result = made.solve(p.b)
    assert made.passes == (2 if made.info["method"] == "sketch" else 1)
    assert result.info["method"] == "factor"
    assert result.passes <= 5


@pytest.mark.parametrize("method", METHODS)
@given(p=problems(max_condition=1e5, spread=2))
def test_solutions_are_those_of_lstsq(method: str, p: Problem) -> None:
    result, known = factor(p.A, method).solve(p.b), lstsq(p.A, p.b)
    D = np.linalg.norm(p.A, axis=0)
    bound = wedin(p.A / D, p.b, known.x * D, np.linalg.cond(p.A / D), 30 * U)
    assert np.linalg.norm((result.x - known.x) * D) <= bound
    assert result.residual_norm == pytest.approx(known.residual_norm, rel=1e-9, abs=bound)
    assert known.cond_estimate <= 3 * result.cond_estimate <= 9 * known.cond_estimate


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [None, 1, 3, 40])
def test_precisions_and_many_right_hand_sides(method: str, dtype: Any, columns: int | None) -> None:
    A, b, _ = problem(400, 20, 1e2, columns=columns, dtype=dtype)
    made = factor(A, method)
    result, unit = made.solve(b), float(np.finfo(dtype).eps)
    assert result.converged
    assert result.x.dtype == dtype
    assert result.x.shape == ((20,) if columns is None else (20, columns))
    x = np.linalg.lstsq(A.astype(np.result_type(dtype, float)), b, rcond=1e-300)[0]
    assert np.linalg.norm(result.x - x) <= 1e2 * 40 * unit * np.linalg.norm(x)
    assert made.covariance().dtype == dtype
    for values in (made.leverage_scores(), made.standard_errors()):
        assert values.dtype == np.finfo(dtype).dtype


@pytest.mark.parametrize("method", METHODS)
def test_a_complex_side_of_a_real_matrix(method: str) -> None:
    A, b, _ = problem(300, 8, 1e3)
    made = factor(A, method)
    side = b + 2j * b[::-1]
    result = made.solve(side)
    assert result.x.dtype == complex
    assert backward_error(A, side, result.x) <= 10 * U
    assert np.allclose(result.x, made.solve(b).x + 2j * made.solve(b[::-1]).x, rtol=1e-11)


@pytest.mark.parametrize("form", [*DENSE_FORMS, "csr_array", "csc_matrix", "operator"])
@pytest.mark.parametrize("method", METHODS)
def test_forms_agree_and_are_not_modified(form: str, method: str) -> None:
    A, b, _ = problem(300, 10)
    given_A = FORMS[form](A)
    before = bytes_of(given_A), b.copy()
    made = factor(given_A, method)
    result = made.solve(b)
    assert made.info["method"] == ("sketch" if form == "operator" else method)
    assert np.allclose(result.x, np.linalg.lstsq(A, b)[0], rtol=1e-12, atol=1e-13)
    assert np.allclose(made.leverage_scores(), hat(A), rtol=1e-12)
    assert np.allclose(made.covariance(), np.linalg.inv(A.T @ A), rtol=1e-11)
    assert bytes_of(given_A) == before[0]
    assert (b == before[1]).all()


@pytest.mark.parametrize("method", METHODS)
@given(
    seed=seeds,
    power=st.floats(0, 4),
    ridge=st.sampled_from([0.0, 1e-3, 1.0, 1e4]),
    weighted=st.booleans(),
    kind=st.sampled_from([float, complex]),
    form=st.sampled_from(["C", "F", "csr_array"]),
)
def test_ridge_weights_covariance_and_leverage(
    method: str, seed: int, power: float, ridge: float, weighted: bool, kind: Any, form: str
) -> None:
    A, b, _ = problem(90, 5, 10.0**power, dtype=kind, seed=seed)
    w = np.random.default_rng(seed).integers(0, 3, 90) / 2.0 if weighted else None
    made = factor(FORMS[form](A), method, ridge=ridge, weights=w)
    result, known = made.solve(b), lstsq(A, b, method="direct", ridge=ridge, weights=w)
    assert result.converged
    size = np.linalg.norm(known.x)
    assert np.linalg.norm(result.x - known.x) <= 1e-14 * known.cond_estimate**2 * (1.0 + size)
    assert result.residual_norm == pytest.approx(known.residual_norm, rel=1e-10)
    assert result.residual_variance == pytest.approx(known.residual_variance, rel=1e-10)
    variance = float(np.asarray(result.residual_variance))
    slack = 1e-12 + 100 * U * known.cond_estimate
    scale = known.standard_errors
    for errors in (result.standard_errors, made.standard_errors(variance)):
        assert np.allclose(errors, scale, rtol=slack)
    difference = np.abs(made.covariance(variance) - known.covariance())
    assert (difference <= 2 * slack * scale * scale[:, None]).all()
    assert np.allclose(made.leverage_scores(), hat(A, w, ridge), rtol=1e-9, atol=slack)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ["C", "csr_array", "operator"])
@given(seed=seeds, d=st.integers(2, 20), rank=st.integers(1, 8), power=st.integers(0, 6))
def test_deficient_problems_have_the_solution_of_least_norm(
    method: str, form: str, seed: int, d: int, rank: int, power: int
) -> None:
    gen = np.random.default_rng(seed)
    rank, n = min(rank, d - 1), 20 * d
    A = gen.standard_normal((n, rank)) @ gen.standard_normal((rank, d))
    A *= 10.0 ** gen.uniform(-power / 2, power / 2, d)
    s = np.linalg.svd(A / np.linalg.norm(A, axis=0), compute_uv=False)[:rank]
    if s[-1] < 1e-3 * s[0]:
        return
    b = gen.standard_normal((n, 2))
    made = factor(FORMS[form](A), method, rcond=1e-11)
    assert made.rank == rank
    result = made.solve(b)
    assert result.converged
    assert result.rank == rank
    kappa = np.linalg.cond(A[:, :1]) * s[0] / s[-1] * 10.0**power
    inverse = np.linalg.pinv(A, rcond=1e-12)
    if form != "operator" and kappa < 1e8:
        x = inverse @ b
        assert np.linalg.norm(result.x - x) <= 1e-12 * kappa * np.linalg.norm(x)
        covariance = inverse @ inverse.T
        assert np.allclose(
            made.covariance(), covariance, rtol=0, atol=1e-11 * kappa * np.abs(covariance).max()
        )
    assert np.allclose(made.leverage_scores(), hat(A), atol=1e-8)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (4, 0), (1, 1), (1, 5), (5, 1), (3, 8)])
@pytest.mark.parametrize("columns", [None, 0, 2])
def test_small_wide_and_empty_shapes(shape: tuple[int, int], columns: int | None) -> None:
    n = shape[0]
    gen = np.random.default_rng(0)
    A = gen.standard_normal(shape)
    b = gen.standard_normal(n if columns is None else (n, columns))
    made = lstsq_factor(A)
    assert made.rank == min(shape)
    assert np.allclose(made.solve(b).x, np.linalg.pinv(A) @ b)
    assert made.solve(b).converged
    assert made.leverage_scores().shape == (n,)
    assert made.leverage_scores().sum() == pytest.approx(made.rank)
    assert np.allclose(made.covariance(), np.linalg.pinv(A) @ np.linalg.pinv(A).T)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("power", [-150, 150])
def test_columns_and_sides_of_extreme_size(method: str, power: int) -> None:
    A, b, _ = problem(400, 6, 1e2)
    x, scale = np.linalg.lstsq(A, b)[0], np.ones(6)
    scale[2] = 10.0**power
    made = factor(A * scale, method)
    assert made.rank == 6
    assert np.allclose(made.solve(b).x * scale, x, rtol=1e-10)
    assert np.allclose(made.solve(b * 10.0**power).x / 10.0**power * scale, x, rtol=1e-10)
    assert np.allclose(made.leverage_scores(), hat(A), rtol=1e-10)
    plain = factor(A, method).standard_errors()
    assert np.allclose(made.standard_errors() * scale, plain, rtol=1e-10)


def test_the_matrix_is_read_as_often_as_told() -> None:
    A, b, _ = problem(4000, 20, 1e3, columns=3)
    counted = CountedOperator(A)
    made = factor(counted, "sketch")
    # A sketch of 20 rows for each column, and products with A and A^H of 20 columns.
    assert counted.columns == 20 * 20 + 2 * 20
    assert made.passes == 2
    counted.columns = 0
    result = made.solve(b)
    assert counted.columns == 2 * 3 * result.passes
    counted.columns = 0
    made.covariance()
    made.standard_errors()
    assert counted.columns == 0
    made.leverage_scores()
    assert counted.columns == 20


@pytest.mark.parametrize("dtype", [float, np.float32, complex])
@pytest.mark.parametrize("rank", [7, 4])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_operators_of_few_rows(dtype: Any, rank: int, ridge: float) -> None:
    gen = np.random.default_rng(0)
    A = random_array(gen, (7, rank), dtype) @ random_array(gen, (rank, 300), dtype)
    b, w = random_array(gen, (7, 2), dtype), np.arange(1.0, 8.0)
    counted = CountedOperator(A)
    made = factor(counted, "sketch", weights=w, ridge=ridge)
    assert counted.columns == 7  # of one product with the adjoint
    dense = lstsq_factor(A, weights=w, ridge=ridge)
    result, known = made.solve(b), dense.solve(b)
    assert result.converged
    assert made.rank == dense.rank == (300 if ridge else rank)
    unit = float(np.finfo(dtype).eps)
    assert np.linalg.norm(result.x - known.x) <= 1e3 * unit * np.linalg.norm(known.x)
    root = np.sqrt(w)[:, None]
    if not ridge:
        x = np.linalg.pinv(root * A, rcond=1e-4) @ (root * b)
        assert np.linalg.norm(result.x - x) <= 1e3 * unit * np.linalg.norm(x)
    assert np.allclose(made.leverage_scores(), dense.leverage_scores(), atol=1e3 * unit)
    assert np.allclose(made.standard_errors(), dense.standard_errors(), rtol=1e4 * unit)


def test_operators_of_few_rows_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="`A` must be smaller"):
        lstsq_factor(LinearOperator((10**4, 10**9), matvec=None, rmatvec=None, dtype=float))


@pytest.mark.parametrize("form", ["kron", "khatri_rao", "operator", "csr_array"])
@pytest.mark.parametrize("weighted", [False, True])
def test_products_and_operators_with_weights(form: str, weighted: bool) -> None:
    gen = np.random.default_rng(0)
    left, right = gen.standard_normal((60, 4)), gen.standard_normal((50, 4))
    if form == "khatri_rao":
        A = np.einsum("ij,kj->ikj", left, right).reshape(3000, 4)
        made_of: Any = khatri_rao(left, right)
    else:
        A = np.kron(left, right)
        made_of = kron(left, right) if form == "kron" else FORMS[form](A)
    b, w = gen.standard_normal(3000), gen.random(3000) if weighted else np.ones(3000)
    made = factor(made_of, "sketch", weights=w if weighted else None)
    root = np.sqrt(w)[:, None] * A
    result = made.solve(b)
    assert result.converged
    assert np.allclose(result.x, np.linalg.lstsq(root, np.sqrt(w) * b)[0], rtol=1e-11, atol=1e-13)
    assert np.allclose(made.leverage_scores(), hat(A, w), rtol=1e-11)
    inverse = np.linalg.inv(root.T @ root)
    scale = np.sqrt(np.diagonal(inverse))
    assert (np.abs(made.covariance() - inverse) <= 1e-12 * scale * scale[:, None]).all()


@pytest.mark.parametrize("sketch", ["auto", "sparse", "srht", "gaussian"])
def test_kinds_of_sketches(sketch: str) -> None:
    A, b, _ = problem(2000, 10, 1e8)
    result = factor(A, "sketch", sketch=sketch).solve(b)
    assert result.converged
    assert result.info["method"] == "factor"
    assert backward_error(A, b, result.x) <= 10 * U


@pytest.mark.parametrize("method", METHODS)
def test_factors_are_pickled_and_frozen(method: str) -> None:
    A, b, _ = problem(300, 7, 1e4)
    for form in ("C", "F", "negative strides", "csr_array"):
        made = factor(FORMS[form](A), method)
        made.solve(b)  # whatever that may cache
        again = pickle.loads(pickle.dumps(made))
        assert (again.solve(b).x == made.solve(b).x).all()
        assert (again.covariance() == made.covariance()).all()
        assert repr(again) == repr(made)
    assert repr(made).startswith("LstsqFactor(shape=(300, 7), rank=7, cond_estimate=")
    with pytest.raises(FrozenInstanceError):
        made.rank = 3  # type: ignore[misc]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused_or_goes_through(method: str, bad: float) -> None:
    A, b, _ = problem(400, 6)
    M, side = A.copy(), b.copy()
    M[7, 3] = side[7] = bad
    with pytest.raises(InputError, match="`A` must contain finite"):
        factor(M, method)
    with pytest.raises(InputError, match="`b` must contain finite"):
        factor(A, method).solve(side)
    for matrix, right in ((M, b), (A, side)):
        made = factor(matrix, method, check_finite=False)
        with pytest.warns(ConvergenceWarning):
            result = made.solve(right)
        assert not result.converged
        assert np.isnan(result.x).any()
    made = factor(M, method, check_finite=False)
    assert np.isnan(made.leverage_scores()).any()
    assert np.isnan(made.covariance()).all()
    assert np.isnan(made.standard_errors()).all()


def test_what_is_not_reached_is_said() -> None:
    A, b, _ = problem(400, 6)
    with pytest.warns(ConvergenceWarning, match=r"`LstsqFactor.solve`: the backward error is"):
        result = lstsq_factor(A).solve(b, tol=1e-30)
    assert not result.converged


@pytest.mark.large
def test_equal_seeds_give_equal_bits_for_any_threads() -> None:
    A, b, _ = problem(40_000, 60, 1e6)
    found = []
    for threads in (1, 2):
        with thread_limit(threads):
            made = factor(A, "sketch")
            found.append((made.solve(b).x, made.leverage_scores()))
    for one, two in zip(*found, strict=True):
        assert (one == two).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"ridge": -1.0}, "`ridge` must lie in"),
        ({"rcond": 1.0}, "`rcond` must lie in"),
        ({"sketch": "leverage"}, "`sketch` must be one of"),
        ({"weights": -np.ones(30)}, "`weights` must be finite and at least 0"),
        ({"weights": np.ones(29)}, r"`weights` must have shape \(30,\)"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        lstsq_factor(np.ones((30, 2)), **arguments)


def test_arguments_of_methods_are_checked() -> None:
    made = lstsq_factor(np.eye(30, 2))
    with pytest.raises(InputError, match="`b` must have shape"):
        made.solve(np.ones(29))
    with pytest.raises(InputError, match="`tol` must lie"):
        made.solve(np.ones(30), tol=2.0)
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="`residual_variance` must lie in"):
            made.covariance(bad)
        with pytest.raises(InputError, match="`residual_variance` must lie in"):
            made.standard_errors(bad)
    with pytest.raises(InputTypeError, match="`residual_variance` must be a number"):
        made.covariance("much")  # type: ignore[arg-type]

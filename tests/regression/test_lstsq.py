"""Least squares: every solution is backward stable for every column, and says how good it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import ConvergenceWarning, InputError, InputTypeError, lstsq, thread_limit
from tests.reference import CountedOperator, random_array
from tests.regression.problems import (
    SOLVERS,
    Problem,
    backward_error,
    exact_solution,
    problem,
    problems,
    wedin,
)
from tests.strategies import DENSE_FORMS, DTYPES, FORMS, bytes_of, quiet, seeds

U = float(np.finfo(float).eps)


@given(problems())
def test_auto_is_backward_stable_for_every_column(p: Problem) -> None:
    result = lstsq(p.A, p.b, rng=0)
    assert result.converged
    allowed = 10 * U if result.rank == p.A.shape[1] else 40 * U
    assert backward_error(p.A, p.b, result.x) <= allowed
    assert result.backward_error <= allowed


@pytest.mark.parametrize("method", ["spir", "fossils", "iterative", "direct"])
@given(p=problems())
def test_every_solver_is_backward_stable(method: str, p: Problem) -> None:
    result = lstsq(p.A, p.b, method=method, rng=0)
    assert result.converged
    assert result.rank == p.A.shape[1] or p.condition > 1e12
    allowed = 10 * U if result.rank == p.A.shape[1] else 40 * U
    assert backward_error(p.A, p.b, result.x) <= allowed


@given(problems(max_condition=1e5))
def test_refined_cholesky_is_backward_stable(p: Problem) -> None:
    result = lstsq(p.A, p.b, method="cholesky", rng=0)
    assert result.converged
    assert backward_error(p.A, p.b, result.x) <= 10 * U


@given(problems(max_condition=1e10, spread=0))
def test_the_reported_backward_error_is_true(p: Problem) -> None:
    with quiet():
        result = lstsq(p.A, p.b, tol=1e-3, method="spir", rng=0)
    own, true = result.backward_error, backward_error(p.A, p.b, result.x)
    assert own <= 3 * true + 2 * U  # rounding of the evaluation itself
    assert true <= 3 * own + 2 * U


@given(problems(max_condition=1e8, spread=0))
def test_residual_and_gradient(p: Problem) -> None:
    result = lstsq(p.A, p.b, rng=0)
    r = p.b - p.A @ result.x
    best = np.linalg.norm(p.b - p.A @ np.linalg.lstsq(p.A, p.b, rcond=1e-300)[0])
    size = np.linalg.norm(p.A) * np.linalg.norm(result.x) + np.linalg.norm(p.b)
    assert np.linalg.norm(r) <= (1 + 1e-12) * best + 50 * U * size
    assert result.residual_norm == pytest.approx(np.linalg.norm(r), rel=1e-10, abs=50 * U * size)
    assert np.linalg.norm(p.A.T @ r) <= 50 * U * np.linalg.norm(p.A) * size


@pytest.mark.parametrize("method", SOLVERS)
@given(p=problems(max_condition=1e5, spread=2))
def test_methods_agree_within_the_bound(method: str, p: Problem) -> None:
    result = lstsq(p.A, p.b, method=method, rng=1)
    D = np.linalg.norm(p.A, axis=0)
    scaled = p.A / D
    y = np.linalg.lstsq(scaled, p.b, rcond=1e-300)[0]
    s = np.linalg.svd(scaled, compute_uv=False)
    bound = wedin(scaled, p.b, y, s[0] / s[-1], 30 * U)
    assert np.linalg.norm(result.x * D - y) <= bound
    assert result.cond_estimate <= 3 * s[0] / s[-1]
    assert s[0] / s[-1] <= 3 * result.cond_estimate


@pytest.mark.parametrize("method", SOLVERS)
@given(p=problems(max_condition=1e5, spread=6))
def test_the_forward_bound_holds_and_is_of_use(method: str, p: Problem) -> None:
    result = lstsq(p.A, p.b, method=method, rng=2)
    D = np.linalg.norm(p.A, axis=0)
    error = np.linalg.norm((result.x - exact_solution(p.A, p.b)) * D)
    assert error <= result.forward_error_bound * np.linalg.norm(result.x * D)
    # At most what the largest backward error allowed makes of it.
    assert result.forward_error_bound * np.linalg.norm(result.x * D) <= 2.0 * wedin(
        p.A / D, p.b, result.x * D, np.linalg.cond(p.A / D), 20 * U
    )


@given(seeds, st.floats(-3, 3))
def test_equivariance(seed: int, power: float) -> None:
    A, b, _ = problem(90, 6, 1e3, seed=seed)
    x = lstsq(A, b, rng=0).x
    gen = np.random.default_rng(seed)
    D, z, order = 10.0 ** gen.uniform(-6, 6, 6), gen.standard_normal(6), gen.permutation(90)
    bound = wedin(A, b, x, 1e3, 100 * U)
    assert np.linalg.norm(lstsq(A * D, b, rng=0).x * D - x) <= bound
    assert np.linalg.norm(lstsq(A, 10.0**power * b, rng=0).x / 10.0**power - x) <= bound
    assert np.linalg.norm(lstsq(A[order], b[order], rng=0).x - x) <= bound
    shifted = lstsq(A, b + A @ z, rng=0).x - z
    assert np.linalg.norm(shifted - x) <= wedin(A, b + A @ z, x + z, 1e3, 100 * U)
    Q = np.linalg.qr(gen.standard_normal((90, 90)))[0]
    assert np.linalg.norm(lstsq(Q @ A, Q @ b, rng=0).x - x) <= bound


@pytest.mark.parametrize("method", SOLVERS)
@given(p=problems(max_condition=1e5, spread=0))
def test_a_vanishing_ridge_changes_nothing(method: str, p: Problem) -> None:
    x = lstsq(p.A, p.b, method=method, rng=0).x
    s = np.linalg.svd(p.A, compute_uv=False)
    for ridge in (1e-3 * s[-1] ** 2, 1e-8 * s[-1] ** 2):
        near = lstsq(p.A, p.b, ridge=ridge, method=method, rng=0).x
        # (A^T A + ridge I)^-1 A^T b - x is -ridge (A^T A + ridge I)^-1 x.
        moved = ridge / s[-1] ** 2 * np.linalg.norm(x)
        assert np.linalg.norm(near - x) <= moved + wedin(p.A, p.b, x, s[0] / s[-1], 60 * U)


@pytest.mark.parametrize("method", SOLVERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [None, 1, 3, 40])
def test_precisions_and_many_right_hand_sides(method: str, dtype: Any, columns: int | None) -> None:
    A, b, _ = problem(400, 20, 1e2, columns=columns, dtype=dtype)
    result = lstsq(A, b, method=method, rng=0)
    assert result.converged
    assert result.x.dtype == A.dtype
    assert result.x.shape == ((20,) if columns is None else (20, columns))
    unit = float(np.finfo(dtype).eps)
    wide = np.result_type(dtype, float)
    x = np.linalg.lstsq(A.astype(wide), b.astype(wide), rcond=1e-300)[0]
    assert np.linalg.norm(result.x - x) <= 1e2 * 40 * unit * np.linalg.norm(x)
    for j in range(columns or 1):
        xj, bj = (result.x, b) if columns is None else (result.x[:, j], b[:, j])
        assert backward_error(A, bj, xj) <= 10 * unit
    shape = () if columns is None else (columns,)
    for field in (result.residual_norm, result.backward_error, result.forward_error_bound):
        assert np.shape(field) == shape


def test_a_complex_side_of_a_real_matrix() -> None:
    A, b, _ = problem(100, 5)
    result = lstsq(A, b + 2j * b[::-1], rng=0)
    assert result.x.dtype == complex
    x = lstsq(A, b, rng=0).x + 2j * lstsq(A, b[::-1], rng=0).x
    assert np.allclose(result.x, x, rtol=1e-12)


@pytest.mark.parametrize("form", [*DENSE_FORMS, "csr_array", "csc_matrix", "operator"])
@pytest.mark.parametrize("method", ["auto", "spir"])
def test_forms_agree_and_are_not_modified(form: str, method: str) -> None:
    A, b, _ = problem(300, 10)
    given_A = FORMS[form](A)
    before = bytes_of(given_A), b.copy()
    result = lstsq(given_A, b, method=method, rng=0)
    assert bytes_of(given_A) == before[0]
    assert (b == before[1]).all()
    assert np.allclose(result.x, np.linalg.lstsq(A, b)[0], rtol=1e-12, atol=1e-13)


def test_integers_and_lists() -> None:
    A, b = [[1, 0], [0, 1], [1, 1]], [1, 2, 3]
    assert np.allclose(lstsq(A, b).x, [1, 2])
    assert lstsq(np.asarray(A, bool), np.asarray(b)).x.dtype == float
    assert lstsq(np.asarray(A, np.float32), np.asarray(b)).x.dtype == np.float32
    assert lstsq(np.asarray(A, np.float16), np.asarray(b, np.float16)).x.dtype == np.float32


@pytest.mark.parametrize("method", SOLVERS)
def test_ridge_is_the_augmented_problem(method: str) -> None:
    A, b, _ = problem(300, 12, 1e4, columns=2)
    result = lstsq(A, b, ridge=0.3, method=method, rng=0)
    rows = np.concatenate([A, np.sqrt(0.3) * np.eye(12)]), np.concatenate([b, np.zeros((12, 2))])
    assert np.allclose(result.x, np.linalg.lstsq(*rows)[0], rtol=1e-10)
    assert np.allclose(result.residual_norm, np.linalg.norm(b - A @ result.x, axis=0))
    assert result.converged


def test_ridge_makes_a_deficient_problem_regular() -> None:
    A = np.ones((50, 3))
    x = lstsq(A, np.ones(50), ridge=1.0).x
    assert np.allclose(x, np.full(3, 50 / 151))


@pytest.mark.parametrize("method", SOLVERS)
@pytest.mark.parametrize("form", ["C", "F", "csr_array"])
def test_weights_repeat_rows(method: str, form: str) -> None:
    A, b, _ = problem(300, 8, 1e3)
    w = np.random.default_rng(1).integers(0, 4, 300)
    result = lstsq(FORMS[form](A), b, weights=w, method=method, rng=0)
    repeated = np.repeat(A, w, axis=0), np.repeat(b, w)
    assert np.allclose(result.x, np.linalg.lstsq(*repeated)[0], rtol=1e-9)
    expected = np.linalg.norm(repeated[1] - repeated[0] @ result.x)
    assert result.residual_norm == pytest.approx(expected, rel=1e-10)


@given(seeds, st.integers(1, 30), st.integers(1, 30), st.integers(1, 8))
def test_deficient_problems_have_the_solution_of_least_norm(
    seed: int, n: int, d: int, rank: int
) -> None:
    gen = np.random.default_rng(seed)
    rank = min(rank, n, d)
    A = gen.standard_normal((n, rank)) @ gen.standard_normal((rank, d))
    b = gen.standard_normal(n)
    s = np.linalg.svd(A / np.linalg.norm(A, axis=0), compute_uv=False)[:rank]
    result = lstsq(A, b, rcond=1e-11, rng=0)
    if s[-1] > 1e-8 * s[0]:
        assert result.rank == rank
        x = np.linalg.lstsq(A, b, rcond=1e-11)[0]
        slack = 1e-13 * (s[0] / s[-1]) ** 2 * (1 + np.linalg.norm(b) / np.linalg.norm(A, 2))
        assert np.linalg.norm(result.x - x) <= 100 * slack * (1 + np.linalg.norm(x))


@pytest.mark.parametrize("method", SOLVERS)
def test_zero_and_equal_columns(method: str) -> None:
    A, b, _ = problem(400, 10)
    A[:, 3] = 0.0
    A[:, 7] = A[:, 5]
    result = lstsq(A, b, method=method, rng=0)
    assert result.rank == 8
    assert result.x[3] == 0.0
    assert result.x[7] == pytest.approx(result.x[5], rel=1e-10)
    assert np.allclose(result.x, np.linalg.lstsq(A, b, rcond=1e-12)[0], atol=1e-12)
    assert result.converged
    assert np.isnan(result.forward_error_bound)


@pytest.mark.parametrize("method", SOLVERS)
@pytest.mark.parametrize("power", [-150, 150])
def test_columns_and_sides_of_extreme_size(method: str, power: int) -> None:
    A, b, _ = problem(400, 6, 1e2)
    x = np.linalg.lstsq(A, b)[0]
    scaled = A.copy()
    scaled[:, 2] *= 10.0**power
    result = lstsq(scaled, b, method=method, rng=0)
    assert result.rank == 6
    x2 = result.x.copy()
    x2[2] *= 10.0**power
    assert np.allclose(x2, x, rtol=1e-10)
    result = lstsq(A, b * 10.0**power, method=method, rng=0)
    assert np.allclose(result.x / 10.0**power, x, rtol=1e-10)
    assert result.residual_norm == pytest.approx(np.linalg.norm(b - A @ x) * 10.0**power, rel=1e-10)
    assert np.allclose(lstsq(A * 10.0**power, b, rng=0).x * 10.0**power, x, rtol=1e-10)


@pytest.mark.parametrize("method", [*SOLVERS, "sketch", "linf"])
def test_zeros(method: str) -> None:
    A, b, _ = problem(400, 6)
    for M, side in ((A, 0 * b), (0 * A, b), (0 * A, 0 * b)):
        result = lstsq(M, side, method=method, rng=0)
        assert not result.x.any()
        assert result.residual_norm == pytest.approx(np.linalg.norm(side), rel=1e-12)
        assert result.converged


@pytest.mark.parametrize("method", SOLVERS)
def test_consistent_and_orthogonal_sides(method: str) -> None:
    A, _, _ = problem(600, 40, 1e6)
    x = np.ones(40)
    result = lstsq(A, A @ x, method=method, rng=0)
    assert result.converged
    assert np.linalg.norm(result.x - x) <= 1e6 * 100 * U * np.linalg.norm(x)
    Q = np.linalg.qr(A)[0]
    b = np.random.default_rng(0).standard_normal(600)
    b -= Q @ (Q.T @ b)
    result = lstsq(A, b - Q @ (Q.T @ b), method=method, rng=0)
    assert result.converged


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (4, 0), (1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("columns", [None, 0, 2])
def test_small_and_empty_shapes(shape: tuple[int, int], columns: int | None) -> None:
    n, d = shape
    gen = np.random.default_rng(0)
    A = gen.standard_normal(shape)
    b = gen.standard_normal(n if columns is None else (n, columns))
    result = lstsq(A, b)
    assert result.x.shape == ((d,) if columns is None else (d, columns))
    x = np.linalg.pinv(A) @ b
    assert np.allclose(result.x, x)
    assert result.converged


def test_wide_problems_of_huge_width() -> None:
    A = np.random.default_rng(0).standard_normal((3, 20_000))
    result = lstsq(A, np.ones(3))
    assert result.rank == 3
    assert np.allclose(result.x, np.linalg.pinv(A) @ np.ones(3))


@pytest.mark.parametrize("method", [*SOLVERS, "linf"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused_or_goes_through(method: str, bad: float) -> None:
    A, b, _ = problem(400, 6)
    for place in ("A", "b"):
        M, side = A.copy(), b.copy()
        (M if place == "A" else side)[7] = bad
        with pytest.raises(InputError, match=f"`{place}` must contain finite"):
            lstsq(M, side, method=method, rng=0)
        with pytest.warns(ConvergenceWarning):
            result = lstsq(M, side, method=method, check_finite=False, rng=0)
        assert not result.converged
        assert np.isnan(result.x).any()


def test_what_is_not_reached_is_said() -> None:
    A, b, _ = problem(2000, 20, 1e10)
    with pytest.warns(ConvergenceWarning, match="backward error is"):
        result = lstsq(A, b, method="spir", rng=0, tol=1e-30)
    assert not result.converged
    assert result.backward_error > 1e-30


def test_a_callback_stops_the_work() -> None:
    A, b, _ = problem(2000, 20, 1e10)
    seen = []
    with quiet():
        result = lstsq(A, b, method="spir", rng=0, callback=lambda p: seen.append(p) or True)
    assert len(seen) == 1
    assert seen[0].passes <= result.passes


def test_passes_are_counted() -> None:
    A, b, _ = problem(4000, 20, 1e3)
    counted = CountedOperator(A)
    counted.A = A
    from lowapprox._core.matrix import as_matrix
    from lowapprox.regression.system import make_system

    system = make_system(as_matrix(counted), b[:, None], None, 0.0)
    system.residual(np.ones((20, 1)))
    system.normal(np.ones((20, 1)))
    assert counted.columns == 2 * system.passes
    assert lstsq(A, b, method="direct").passes in {2, 3}
    assert lstsq(A, b, method="sketch").passes == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "qr"}, "`method` must be one of"),
        ({"tol": 0.0}, "`tol` must lie"),
        ({"ridge": -1.0}, "`ridge` must lie in"),
        ({"ridge": np.nan}, "`ridge` must lie in"),
        ({"rcond": 1.0}, "`rcond` must lie in"),
        ({"eps": 0.5}, "`eps` must be positive, and is for method"),
        ({"eps": 0.0, "method": "linf"}, "`eps` must be positive"),
        ({"delta": 1.0}, "`delta` must lie"),
        ({"sketch": "leverage"}, "`sketch` must be one of"),
        ({"sketch": "sparse", "method": "linf"}, "concentrate"),
        ({"ridge": 1.0, "method": "linf"}, "`ridge` and `tol` must be left out"),
        ({"weights": -np.ones(30)}, "`weights` must be finite and at least 0"),
        ({"weights": np.ones(29)}, r"`weights` must have shape \(30,\)"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        lstsq(np.ones((30, 2)), np.ones(30), **arguments)


def test_types_are_checked() -> None:
    A = np.ones((30, 2))
    for b in (np.ones(29), np.ones((1, 30)), np.float64(1.0)):
        with pytest.raises(InputError, match="`b` must have shape"):
            lstsq(A, b)
    with pytest.raises(InputTypeError, match="`b` must have a"):
        lstsq(A, np.ones(30, object))
    with pytest.raises(InputTypeError, match="`ridge` must be a number"):
        lstsq(A, np.ones(30), ridge="0.1")
    with pytest.raises(InputTypeError, match="`weights` must be real"):
        lstsq(A, np.ones(30), weights=np.full(30, 1j))
    with pytest.raises(InputTypeError, match="needs real"):
        lstsq(A + 0j, np.ones(30), method="linf")
    with pytest.raises(InputTypeError, match="copy it to the host"):
        lstsq(FORMS["array-api-strict"](A), np.ones(30))


@pytest.mark.large
def test_equal_seeds_give_equal_bits_for_any_threads() -> None:
    A, b, _ = problem(40_000, 30, 1e6)
    found = []
    for threads in (1, 2):
        with thread_limit(threads):
            found.append([lstsq(A, b, method=m, rng=5).x for m in SOLVERS])
    for one, two in zip(*found, strict=True):
        assert (one == two).all()


@pytest.mark.large
@pytest.mark.parametrize("form", ["C", "F", "strided"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_large_matrices(form: str, dtype: Any) -> None:
    """What the compiled passes return, with and without weights."""
    gen = np.random.default_rng(0)
    A, b = random_array(gen, (40_000, 30), dtype), random_array(gen, (40_000,), dtype)
    w = gen.random(40_000)
    unit = float(np.finfo(dtype).eps)
    for weights in (None, w):
        root = np.ones(40_000) if weights is None else np.sqrt(w)
        wide = np.result_type(dtype, float)
        x = np.linalg.lstsq((A * root[:, None]).astype(wide), (b * root).astype(wide))[0]
        for method in ("spir", "iterative", "cholesky", "direct"):
            result = lstsq(FORMS[form](A), b, weights=weights, method=method, rng=0)
            assert np.linalg.norm(result.x - x) <= 100 * unit * np.linalg.norm(x)
            assert result.converged


@pytest.mark.large
@pytest.mark.parametrize("weighted", [False, True])
def test_squares_that_overflow_in_threads(weighted: bool) -> None:
    """No warning comes of it, which here would be an error."""
    A, b, _ = problem(60_000, 40)
    w = np.random.default_rng(1).random(60_000) if weighted else None
    x = lstsq(A, b, weights=w, method="direct").x
    single = np.where(np.arange(40) == 3, 1e300, 1.0)
    for scale in (1e200 * np.ones(40), 1e-200 * np.ones(40), single):
        for method in ("auto", "cholesky", "spir"):
            result = lstsq(A * scale, b, weights=w, method=method, rng=0)
            assert result.rank == 40
            assert np.linalg.norm(result.x * scale - x) <= 1e-10 * np.linalg.norm(x)
        result = lstsq(A * scale, b, weights=w, method="linf", rng=0)
        assert result.entry_bound is not None
        assert (np.abs(result.x * scale - x) <= 2.0 * result.entry_bound * scale).all()

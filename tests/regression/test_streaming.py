"""Least squares of a stream: what it says does not depend on how the rows came."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from lowapprox import ConvergenceWarning, InputError, InputTypeError, NumericalError, thread_limit
from lowapprox.regression import StreamingLstsq, lstsq, tiles
from tests.regression.problems import Problem, backward_error, problem, problems, wedin
from tests.strategies import DENSE_FORMS, DTYPES, FORMS, bytes_of, seeds

U = float(np.finfo(float).eps)


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of few rows, so that small streams have many."""
    monkeypatch.setattr(tiles, "_TILE_ENTRIES", 0)


def stream(A: Any, b: Any, cuts: Any = (), **options: Any) -> StreamingLstsq:
    """A stream of the rows between the cuts."""
    made = StreamingLstsq(A.shape[1], **options)
    bounds = [0, *cuts, A.shape[0]]
    for i, j in itertools.pairwise(bounds):
        made.partial_fit(A[i:j], b[i:j])
    return made


def cuts_of(seed: int, n: int, count: int) -> list[int]:
    return sorted(np.random.default_rng(seed).integers(0, n + 1, count).tolist())


small_tiles = settings(suppress_health_check=["function_scoped_fixture"])  # type: ignore[list-item]


@small_tiles
@given(problems(max_condition=1e12), seeds, st.integers(0, 12))
def test_solutions_are_backward_stable_for_every_column(p: Problem, seed: int, count: int) -> None:
    n, d = p.A.shape
    result = stream(p.A, p.b, cuts_of(seed, n, count)).result()
    assert result.converged
    assert result.passes == 1
    own, true = result.backward_error, backward_error(p.A, p.b, result.x)
    assert true <= 30 * U
    assert true <= 3 * own + 2 * U
    if result.rank == d:
        direct = lstsq(p.A, p.b, method="direct")
        D = np.linalg.norm(p.A, axis=0)
        bound = wedin(p.A / D, p.b, result.x * D, result.cond_estimate * 3, 60 * U)
        assert np.linalg.norm((result.x - direct.x) * D) <= bound
        size = np.linalg.norm(p.A) * np.linalg.norm(result.x) + np.linalg.norm(p.b)
        r = np.linalg.norm(p.b - p.A @ result.x)
        assert result.residual_norm == pytest.approx(r, rel=1e-10, abs=float(50 * U * size))


@small_tiles
@given(seeds, st.integers(1, 400), st.integers(1, 6), st.integers(1, 3), st.integers(0, 20))
def test_any_partition_gives_the_same_bits(seed: int, n: int, d: int, k: int, count: int) -> None:
    gen = np.random.default_rng(seed)
    A, b = gen.standard_normal((n, d)), gen.standard_normal((n, k))
    one, many = stream(A, b), stream(A, b, cuts_of(seed, n, count))
    assert one.n_rows == many.n_rows == n
    assert (one.result().x == many.result().x).all()
    assert np.array_equal(one.result().residual_norm, many.result().residual_norm)


@small_tiles
@given(seeds, st.integers(2, 12), st.sampled_from([None, 1, 3]))
def test_any_tree_of_merges_gives_the_same_solution(
    seed: int, count: int, columns: int | None
) -> None:
    A, b, _ = problem(500, 5, 1e3, columns=columns, seed=seed)
    gen = np.random.default_rng(seed)
    bounds = [0, *cuts_of(seed, 500, count - 1), 500]
    parts = [stream(A[i:j], b[i:j]) for i, j in itertools.pairwise(bounds)]
    while len(parts) > 1:
        other = parts.pop(int(gen.integers(len(parts))))
        before = pickle.dumps(other)
        mine = parts[int(gen.integers(len(parts)))]
        assert mine.merge(other) is mine
        assert pickle.dumps(other) == before
    assert parts[0].n_rows == 500
    x, whole = parts[0].result().x, stream(A, b).result().x
    for j in range(columns or 1):
        xj, wj, bj = (x, whole, b) if columns is None else (x[:, j], whole[:, j], b[:, j])
        assert np.linalg.norm(xj - wj) <= wedin(A, bj, wj, 1e3, 100 * U)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [None, 1, 3, 30])
def test_precisions_and_many_right_hand_sides(dtype: Any, columns: int | None) -> None:
    A, b, _ = problem(600, 12, 1e2, columns=columns, dtype=dtype)
    result = stream(A, b, [5, 200]).result()
    direct = lstsq(A, b, method="direct")
    assert result.converged
    assert result.x.dtype == A.dtype
    assert result.x.shape == direct.x.shape
    unit = float(np.finfo(dtype).eps)
    assert np.linalg.norm(result.x - direct.x) <= 1e4 * unit * np.linalg.norm(direct.x)
    for field in ("residual_norm", "backward_error", "forward_error_bound"):
        assert np.shape(getattr(result, field)) == np.shape(getattr(direct, field))
    assert np.allclose(result.residual_norm, direct.residual_norm, rtol=1e3 * unit)


def test_blocks_of_several_precisions() -> None:
    A, b, _ = problem(300, 4, dtype=np.complex64)
    made = StreamingLstsq(4)
    made.partial_fit(A[:100].real, b[:100].real)
    assert made.result().x.dtype == np.float32
    made.partial_fit(A[100:150].real.astype(float), b[100:150].real)
    assert made.result().x.dtype == np.float64
    made.partial_fit(A[150:], b[150:])
    assert made.result().x.dtype == np.complex128
    M = np.concatenate([A[:150].real, A[150:]])
    side = np.concatenate([b[:150].real, b[150:]])
    expected = np.linalg.lstsq(M.astype(complex), side.astype(complex))[0]
    assert np.allclose(made.result().x, expected, rtol=1e-12)
    one = StreamingLstsq(4).partial_fit(A[:150].real, b[:150].real)
    merged = one.merge(StreamingLstsq(4).partial_fit(A[150:], b[150:]))
    assert merged.result().x.dtype == np.complex64
    assert np.allclose(merged.result().x, expected, rtol=1e-6)
    whole = StreamingLstsq(2).partial_fit([[1, 0], [0, 1], [1, 1]], [1, 2, 3]).result()
    assert whole.x.dtype == float
    assert np.allclose(whole.x, [1, 2])


@pytest.mark.parametrize("form", [*DENSE_FORMS, "csr_array", "csc_matrix"])
def test_forms_agree_and_are_not_modified(form: str) -> None:
    A, b, _ = problem(300, 10)
    given_A = FORMS[form](A)
    before = bytes_of(given_A), b.copy()
    x = StreamingLstsq(10).partial_fit(given_A, b).result().x
    assert bytes_of(given_A) == before[0]
    assert (b == before[1]).all()
    assert (x == stream(A, b).result().x).all()


def test_ridge_and_weights() -> None:
    A, b, _ = problem(300, 12, 1e4, columns=2)
    w = np.random.default_rng(1).integers(0, 4, 300)
    made = StreamingLstsq(12)
    for i in range(0, 300, 77):
        made.partial_fit(A[i : i + 77], b[i : i + 77], weights=w[i : i + 77])
    assert made.n_rows == 300
    for ridge in (0.0, 1e-6, 0.3, 1e9):
        result, direct = made.result(ridge=ridge), lstsq(A, b, ridge=ridge, weights=w)
        assert np.allclose(result.x, direct.x, rtol=1e-10)
        assert np.allclose(result.residual_norm, direct.residual_norm, rtol=1e-12)
        assert np.allclose(result.residual_variance, direct.residual_variance, rtol=1e-10)
        assert np.allclose(result.standard_errors, direct.standard_errors, rtol=1e-10)
        assert np.allclose(result.covariance(), direct.covariance(), rtol=1e-9, atol=1e-20)
        assert result.converged
    both = made.merge(made).result()
    freedom = 2 * np.count_nonzero(w) - 12
    assert np.allclose(both.residual_variance, both.residual_norm**2 / freedom, rtol=1e-12)


def test_rank_rule_and_least_norm() -> None:
    A, b, _ = problem(400, 10)
    A[:, 3] = 0.0
    A[:, 7] = A[:, 5]
    result = stream(A, b, [100, 101]).result()
    assert result.rank == 8
    assert result.x[3] == 0.0
    assert result.converged
    assert np.isnan(result.forward_error_bound)
    assert np.allclose(result.x, np.linalg.lstsq(A, b, rcond=1e-12)[0], atol=1e-12)
    A, b, _ = problem(400, 6, 1e6)
    assert stream(A, b).result().rank == 6
    assert stream(A, b).result(rcond=1e-3).rank == lstsq(A, b, rcond=1e-3).rank < 6
    few = stream(A[:4], b[:4]).result()
    assert few.rank == 4
    assert np.allclose(few.x, np.linalg.pinv(A[:4]) @ b[:4], rtol=1e-6)


@pytest.mark.parametrize("power", [-150, 150])
def test_columns_and_sides_of_extreme_size(power: int) -> None:
    A, b, _ = problem(400, 6, 1e2)
    x = np.linalg.lstsq(A, b)[0]
    scaled = A.copy()
    scaled[:, 2] *= 10.0**power
    x2 = stream(scaled, b).result().x.copy()
    x2[2] *= 10.0**power
    assert np.allclose(x2, x, rtol=1e-10)
    result = stream(A, b * 10.0**power).result()
    assert result.converged
    assert np.allclose(result.x / 10.0**power, x, rtol=1e-10)
    assert np.allclose(stream(A * 10.0**power, b).result().x * 10.0**power, x, rtol=1e-10)


def test_nothing_and_zeros() -> None:
    empty = StreamingLstsq(3)
    result = empty.result()
    assert result.x.shape == (3,)
    assert not result.x.any()
    assert (result.rank, result.residual_norm, result.converged) == (0, 0.0, True)
    assert (empty.result(ridge=1.0).x == 0.0).all()
    assert empty.merge(StreamingLstsq(3)).n_rows == 0
    made = StreamingLstsq(3).partial_fit(np.ones((0, 3)), np.ones((0, 2)))
    assert made.result().x.shape == (3, 2)
    A, b, _ = problem(100, 3, columns=2)
    assert np.allclose(made.merge(stream(A, b)).result().x, lstsq(A, b).x, rtol=1e-12)
    for M, side in ((0 * A, b), (A, 0 * b)):
        result = stream(M, side).result()
        assert not result.x.any()
        assert np.allclose(result.residual_norm, np.linalg.norm(side, axis=0), rtol=1e-12)
    assert stream(A, np.ones((100, 0))).result().x.shape == (3, 0)


def test_a_stream_goes_on_and_is_pickled() -> None:
    A, b, _ = problem(900, 4)
    made = StreamingLstsq(4)
    for i in range(0, 900, 50):
        made.partial_fit(A[i : i + 50], b[i : i + 50])
        once, again = made.result(), made.result()
        assert (once.x == again.x).all()
        made = pickle.loads(pickle.dumps(made))
        assert np.allclose(made.result().x, lstsq(A[: i + 50], b[: i + 50]).x, rtol=1e-10)
    assert repr(made) == "StreamingLstsq(4, n_rows=900)"
    twice = made.merge(made)
    assert twice.n_rows == 1800
    assert np.allclose(twice.result().x, lstsq(A, b).x, rtol=1e-12)
    r = np.linalg.norm(b - A @ twice.result().x)
    assert twice.result().residual_norm == pytest.approx(np.sqrt(2.0) * r, rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", ["A", "b"])
@pytest.mark.parametrize("row", [3, 40, 299])
def test_nan_is_refused_or_goes_through(bad: float, place: str, row: int) -> None:
    A, b, _ = problem(300, 3)
    M, side = A.copy(), b.copy()
    (M if place == "A" else side)[row] = bad
    made = stream(A, b)
    state = pickle.dumps(made)
    with pytest.raises(InputError, match=f"`{place}` must contain finite"):
        made.partial_fit(M, side)
    assert (made.result().x == pickle.loads(state).result().x).all()
    assert made.n_rows == 300
    with pytest.warns(ConvergenceWarning, match="`StreamingLstsq`"):
        result = stream(M, side, check_finite=False).result()
    assert np.isnan(result.x).any()
    assert not result.converged


def test_sums_that_overflow() -> None:
    made = StreamingLstsq(3)
    with pytest.raises((InputError, NumericalError), match="finite"):
        made.partial_fit(np.full((300, 3), 1e308), np.ones(300)).result()


def test_bits_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    A, b, _ = problem(60_000, 20)
    found = []
    for threads in (1, 2):
        with thread_limit(threads):
            found.append(stream(A, b, [30_001]).result().x)
    assert (found[0] == found[1]).all()
    assert (found[0] == stream(A, b, range(700, 60_000, 700)).result().x).all()


def test_rounding_grows_slowly_with_the_rows() -> None:
    gen = np.random.default_rng(0)
    A, b = gen.standard_normal((200_000, 2)) + 3.0, gen.standard_normal(200_000)
    made = stream(A, b)
    assert len(made._levels) >= 12
    assert made.result().backward_error <= 10 * U
    wide = A.astype(np.longdouble)
    gram = wide.T @ wide
    R = made._folded().R[:, :2].astype(np.longdouble)
    assert np.abs(R.T @ R - gram).max() <= 10 * U * np.abs(gram).max()


def test_memory_does_not_grow_with_the_rows() -> None:
    gen = np.random.default_rng(0)
    made, sizes = StreamingLstsq(5), []
    for count in (10, 200):
        for _ in range(count):
            made.partial_fit(gen.standard_normal((1000, 5)), gen.standard_normal(1000))
        sizes.append(len(pickle.dumps(made)))
    assert sizes[1] <= sizes[0] + 6 * 600  # a few more levels of 6 x 6 numbers


@given(seeds, st.integers(2, 6))
@settings(max_examples=30)
def test_the_measured_rounding_is_about_the_true_one(seed: int, d: int) -> None:
    """The error of the triangle, in the only direction that shows: lengths of columns."""
    gen = np.random.default_rng(seed)
    M = np.asfortranarray(gen.standard_normal((4000, d + 1)) + 5.0)
    wide = M[:, :d].astype(np.longdouble)
    fold = tiles.fold_rows(M)
    R = fold.R.astype(np.longdouble)
    gram = wide.T @ wide
    lengths = np.sqrt(np.diag(gram))
    change = np.abs((R.T @ R - gram) / lengths / lengths[:, None]).max() / 2
    assert float(change) <= 10 * np.sqrt(fold.slips.max() * d) + U
    assert np.sqrt(fold.slips.max()) <= 20 * U


BAD_CALLS: dict[str, tuple[type[Exception], Any]] = {
    "`d` must be at least 1": (InputError, lambda: StreamingLstsq(0)),
    "`d` must be an integer": (InputTypeError, lambda: StreamingLstsq(2.0)),  # type: ignore[arg-type]
    "`A` must have 3 columns": (
        InputError,
        lambda: StreamingLstsq(3).partial_fit(np.ones((2, 2)), np.ones(2)),
    ),
    "`b` must have shape (2,)": (
        InputError,
        lambda: StreamingLstsq(3).partial_fit(np.ones((2, 3)), np.ones(3)),
    ),
    "`weights` must be finite": (
        InputError,
        lambda: StreamingLstsq(3).partial_fit(np.ones((2, 3)), np.ones(2), [1.0, -1.0]),
    ),
    "`A` must be a NumPy or scipy.sparse": (
        InputTypeError,
        lambda: StreamingLstsq(2).partial_fit(FORMS["operator"](np.eye(2)), np.ones(2)),
    ),
    "`b` must have right-hand sides of shape (n,)": (
        InputError,
        lambda: stream(np.eye(2), np.ones(2)).partial_fit(np.eye(2), np.ones((2, 1))),
    ),
    "`b` must be a dense array": (
        InputTypeError,
        lambda: StreamingLstsq(2).partial_fit(np.eye(2), sp.csr_array(np.eye(2))),
    ),
    "`other` must have d=2": (
        InputError,
        lambda: StreamingLstsq(2).merge(StreamingLstsq(3)),
    ),
    "`other` must have right-hand": (
        InputError,
        lambda: stream(np.eye(2), np.ones(2)).merge(stream(np.eye(2), np.eye(2))),
    ),
    "`other` must be a StreamingLstsq": (
        InputTypeError,
        lambda: StreamingLstsq(2).merge(None),  # type: ignore[arg-type]
    ),
    "`ridge` must lie": (InputError, lambda: StreamingLstsq(2).result(ridge=-1.0)),
    "`rcond` must lie": (InputError, lambda: StreamingLstsq(2).result(rcond=2.0)),
}


@pytest.mark.parametrize("message", BAD_CALLS)
def test_refusals(message: str) -> None:
    error, call = BAD_CALLS[message]
    with pytest.raises(error) as info:
        call()
    assert str(info.value).startswith(message)

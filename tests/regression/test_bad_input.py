"""Input that breaks other solvers: each kind is solved to a small backward error, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import InputTypeError, lstsq
from lowapprox.regression import StreamingLstsq, lstsq_factor
from tests.reference import with_spectrum
from tests.regression.problems import SOLVERS, backward_error, problem
from tests.strategies import DOUBLE_DTYPES, FORMS, SPARSE_FORMS, dtypes, matrices, quiet, seeds

U = float(np.finfo(float).eps)


def every_call(A: Any, b: Any, rcond: float | None = None) -> dict[str, Any]:
    """Results of all methods that are exact, of the factor and of the stream."""
    found = {method: lstsq(A, b, method=method, rcond=rcond, rng=0) for method in SOLVERS}
    found["factor"] = lstsq_factor(A, rcond=rcond, rng=0).solve(b)
    found["stream"] = StreamingLstsq(A.shape[1]).partial_fit(A, b).result(rcond=rcond)
    return found


@given(matrices(max_side=40, scaled=True, dtype=dtypes(DOUBLE_DTYPES)), seeds, st.integers(1, 4))
def test_any_matrix_of_any_shape(A: np.ndarray, seed: int, times: int) -> None:
    """Small integers, single rows and columns, equal columns, zeros, of sizes up to 2^+-300."""
    A = np.repeat(A, 10, axis=0) if times == 4 else A
    b = np.random.default_rng(seed).standard_normal(A.shape[0])
    for result in every_call(A, b).values():
        assert result.converged
        assert np.isfinite(result.x).all()
        assert backward_error(A, b, result.x) <= 60 * U


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_maps(order: Any, tmp_path: Path) -> None:
    A, b, _ = problem(400, 10, 1e3)
    A = np.asarray(A, order=order)
    np.save(tmp_path / "A.npy", A)
    np.save(tmp_path / "b.npy", b)
    before = (tmp_path / "A.npy").read_bytes(), (tmp_path / "b.npy").read_bytes()
    maps = [np.load(tmp_path / name, mmap_mode="r") for name in ("A.npy", "b.npy")]
    known = every_call(A, b)
    for name, result in every_call(*maps).items():
        assert (result.x == known[name].x).all()
        assert type(result.x) is np.ndarray
    assert ((tmp_path / "A.npy").read_bytes(), (tmp_path / "b.npy").read_bytes()) == before


@given(seeds, st.sampled_from([-150, -30, 30, 150]), st.integers(1, 3))
def test_rows_of_another_size(seed: int, power: int, count: int) -> None:
    A, b, _ = problem(200, 5, 10.0, seed=seed)
    rows = np.random.default_rng(seed).choice(200, count, replace=False)
    A[rows] *= 10.0**power
    for result in every_call(A, b).values():
        assert result.converged
        assert result.rank == (min(count, 5) if power > 20 else 5)
        assert backward_error(A, b, result.x) <= 40 * U


@given(seeds, st.floats(15.0, 25.0), st.sampled_from([0.0, 1.0, 1e6]))
def test_condition_numbers_beyond_precision(seed: int, power: float, residual: float) -> None:
    gen = np.random.default_rng(seed)
    A = with_spectrum(gen, 160, 8, 10.0 ** -np.linspace(0.0, power, 8))
    b = A @ gen.standard_normal(8) + residual * gen.standard_normal(160)
    for result in every_call(A, b).values():
        assert result.converged
        assert backward_error(A, b, result.x) <= 40 * U
        assert result.rank == 8 or np.isnan(result.forward_error_bound)


@pytest.mark.parametrize("rcond", [0.0, 1e-300])
@given(seed=seeds, scale=st.sampled_from([1e-160, 1.0, 1e160]), times=st.sampled_from([1, 2, 20]))
def test_no_singular_value_is_cut_off(rcond: float, seed: int, scale: float, times: int) -> None:
    """As was asked for; what cannot be solved then says so, and no more."""
    gen = np.random.default_rng(seed)
    A = with_spectrum(gen, 12 * times, 12, 10.0 ** -np.linspace(0.0, 12.0, 12))
    b = gen.standard_normal(12 * times)
    for result in every_call(scale * A, b, rcond).values():
        assert result.converged
        assert result.rank == 12
        assert backward_error(scale * A, b, result.x) <= 20 * U
    A[:, 3:] = A[:, :1]
    with quiet():
        calls = every_call(scale * A, b, rcond)
    for result in calls.values():
        if result.converged:
            assert backward_error(scale * A, b, result.x) <= 60 * U


def spread_columns(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A problem whose columns are as large and as small as they may be, and its solution."""
    A, b, _ = problem(n, 6, 1e2, seed=seed)
    scale = 10.0 ** np.random.default_rng(seed).uniform(-150, 150, 6)
    return A * scale, b, scale, np.linalg.lstsq(A, b)[0]


@given(seeds)
def test_columns_of_all_sizes_at_once(seed: int) -> None:
    A, b, scale, x = spread_columns(300, seed)
    for result in every_call(A, b).values():
        assert result.rank == 6
        assert np.linalg.norm(result.x * scale - x) <= 1e-10 * np.linalg.norm(x)


@pytest.mark.large
@pytest.mark.parametrize("seed", range(4))
def test_columns_of_all_sizes_of_many_rows(seed: int) -> None:
    A, b, scale, x = spread_columns(400_000, seed)
    for method in ("auto", "direct", "spir"):
        result = lstsq(A, b, method=method, rng=0)
        assert result.rank == 6
        assert np.linalg.norm(result.x * scale - x) <= 1e-10 * np.linalg.norm(x)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.uint64, np.float16])
def test_other_numbers(dtype: Any) -> None:
    gen = np.random.default_rng(0)
    A, b = gen.integers(0, 100, (300, 4)).astype(dtype), gen.integers(0, 100, 300).astype(dtype)
    A[:, 0], wide = A[:, 0] > 0, np.float32 if dtype == np.float16 else float
    x = np.linalg.lstsq(A.astype(float), b.astype(float))[0]
    for result in every_call(A, b).values():
        assert result.x.dtype == wide
        assert np.allclose(result.x, x, rtol=1e4 * float(np.finfo(wide).eps), atol=1e-12)


@pytest.mark.parametrize(
    "bad", ["object", "str", "longdouble", "masked", "array-api-strict", "dask"]
)
def test_arrays_without_support(bad: str) -> None:
    def make(x: np.ndarray) -> Any:
        if bad == "masked":
            return np.ma.masked_less(x, 0.0)
        if bad == "dask":
            return pytest.importorskip("dask.array").from_array(x)
        return FORMS[bad](x) if bad in FORMS else x.astype(bad)

    A, b, _ = problem(60, 3)
    if bad == "longdouble" and np.longdouble is np.float64:
        pytest.skip("no extended precision")
    calls: tuple[Any, ...] = (
        lstsq,
        lambda A, b: lstsq_factor(A).solve(b),
        lambda A, b: StreamingLstsq(3).partial_fit(A, b),
    )
    for call in calls:
        with pytest.raises(InputTypeError, match=r"^`A`"):
            call(make(A), b)
        with pytest.raises(InputTypeError, match=r"^`b`"):
            call(A, make(b))


@pytest.mark.parametrize("form", SPARSE_FORMS)
def test_sparse_arrays_with_empty_rows_and_columns(form: str) -> None:
    gen = np.random.default_rng(0)
    A = gen.standard_normal((400, 8)) * (gen.random((400, 8)) < 0.3)
    A[::3], A[:, 5], A[:, 6] = 0.0, 0.0, A[:, 2]
    b = gen.standard_normal(400)
    x = np.linalg.lstsq(A, b, rcond=1e-12)[0]
    for result in every_call(FORMS[form](A), b).values():
        assert result.rank == 6
        assert result.x[5] == 0.0
        assert np.allclose(result.x, x, atol=1e-12)
        assert result.converged


@pytest.mark.parametrize("form", ["C", "csr_array"])
@given(seed=seeds, power=st.sampled_from([0, 100, 290]))
def test_weights_of_all_sizes_and_none(form: str, seed: int, power: int) -> None:
    A, b, _ = problem(200, 4, 10.0, seed=seed)
    gen = np.random.default_rng(seed)
    w = 10.0 ** gen.uniform(-power, power, 200) * (gen.random(200) < 0.5)
    root = np.sqrt(w)[:, None]
    result = lstsq(FORMS[form](A), b, weights=w, rng=0)
    assert result.converged
    assert backward_error(root * A, root[:, 0] * b, result.x) <= 40 * U
    none = lstsq(FORMS[form](A), b, weights=0.0 * w)
    assert not none.x.any()
    assert (none.rank, none.residual_norm, none.converged) == (0, 0.0, True)
    dropped = lstsq(sp.csr_array(A[w > 0]) if form != "C" else A[w > 0], b[w > 0], weights=w[w > 0])
    if power == 0:
        assert np.allclose(result.x, dropped.x, rtol=1e-10, atol=1e-12)

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import ConvergenceWarning, InputError, InputTypeError, NumericalError
from lowapprox._core.threads import blas_threads
from lowapprox.svd import StreamingSVD, SVDResult
from lowapprox.svd import streaming as module
from tests.reference import eps, error, orthonormality_defect, random_array, tail, with_spectrum
from tests.strategies import (
    DENSE_FORMS,
    DOUBLE_DTYPES,
    SPARSE_FORMS,
    SPECTRA,
    dtypes,
    matrices,
    seeds,
    spectral_matrices,
)

# Flat spectra are among the inputs; the warning has a test of its own.
pytestmark = pytest.mark.filterwarnings(
    "ignore:the estimated error .* is no less:lowapprox.ConvergenceWarning"
)


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread() -> Iterator[None]:
    """Hundreds of small factorizations are faster so, above all on a busy machine."""
    with blas_threads(1):
        yield


def norm(A: np.ndarray) -> float:
    return float(np.linalg.norm(A.astype("D")))


def sketches(stream: StreamingSVD) -> list[np.ndarray]:
    """The whole state, with the rows in order."""
    rows = np.zeros((stream.n_rows, stream._range.width), stream._range.dtype)
    for start, part in stream._range:
        rows[start : start + len(part)] = part
    return [rows, stream._corange, stream._core, stream._error]


def assert_same(a: StreamingSVD, b: StreamingSVD, rtol: float = 1e-13) -> None:
    assert a.n_rows == b.n_rows
    for x, y in zip(sketches(a), sketches(b), strict=True):
        assert np.abs(x - y).max(initial=0.0) <= rtol * (np.abs(y).max(initial=0.0) or 1.0)


def whole(A: Any, rank: int, seed: int = 0) -> StreamingSVD:
    return StreamingSVD(A.shape[1], rank, rng=seed).partial_fit(A)


@st.composite
def partitions(draw: st.DrawFn, m: int) -> list[tuple[int, int]]:
    """Ranges that cover 0..m, in any order."""
    cuts = draw(st.sets(st.integers(1, max(m - 1, 1)), max_size=6))
    bounds = [0, *sorted(c for c in cuts if c < m), m]
    return draw(st.permutations(list(itertools.pairwise(bounds))))


@given(A=matrices(), seed=seeds, data=st.data())
def test_factors(A: np.ndarray, seed: int, data: st.DataObject) -> None:
    (m, n), u = A.shape, eps(A)
    rank = data.draw(st.integers(1, min(n, 9)))
    result = whole(A, rank, seed).result()
    k = min(rank, m, n)
    assert isinstance(result, SVDResult)
    assert (result.U.shape, result.s.shape, result.Vh.shape) == ((m, k), (k,), (k, n))
    assert result.U.dtype == result.Vh.dtype == A.dtype
    assert result.s.dtype == A.real.dtype
    assert (np.diff(result.s) <= 0).all()
    assert (result.s >= 0).all()
    assert orthonormality_defect(result.U) <= 100 * u * np.sqrt(m)
    assert orthonormality_defect(result.Vh.conj().T) <= 100 * u * np.sqrt(n)
    true = error(A, result.reconstruct())
    assert true >= tail(A, k) * (1 - 1e-6) - 100 * u * norm(A)
    assert result.fro_norm == pytest.approx(norm(A), rel=1e-5)
    assert result.converged == (result.error < result.fro_norm or result.fro_norm == 0)
    assert (result.passes, result.error_kind) == (1, "estimate")
    assert (result.residuals == result.error).all()


@given(made=spectral_matrices(spectra=("rank-3", "zero")), seed=seeds)
def test_exact_rank(made: Any, seed: int) -> None:
    A = made.A
    result = whole(A, min(4, A.shape[1]), seed).result()
    if A.shape[1] >= 3:
        assert error(A, result.reconstruct()) <= 1e3 * eps(A) * (norm(A) + 1e-30)
        assert result.rank == np.linalg.matrix_rank(A, tol=1e-3)
        assert result.error <= 1e3 * eps(A)


def test_full_rank() -> None:
    for shape in ((50, 30), (30, 50), (40, 40)):
        A = np.random.default_rng(0).standard_normal(shape)
        result = whole(A, 30).result()
        if shape[1] == 30:
            assert error(A, result.reconstruct()) <= 1e-12
            assert np.allclose(result.s, np.linalg.svd(A, compute_uv=False))
        assert result.s.shape == (30,)


@given(A=matrices(), seed=seeds, data=st.data())
def test_any_partition_in_any_order(A: np.ndarray, seed: int, data: st.DataObject) -> None:
    m, n = A.shape
    rank = data.draw(st.integers(1, min(n, 10)))
    stream = StreamingSVD(n, rank, rng=seed)
    for start, stop in data.draw(partitions(m)):
        stream.partial_fit(A[start:stop], row_start=start)
    assert_same(stream, whole(A, rank, seed), 30 * eps(A))


@given(A=matrices(), seed=seeds, data=st.data())
def test_merge_trees(A: np.ndarray, seed: int, data: st.DataObject) -> None:
    m, n = A.shape
    rank = data.draw(st.integers(1, min(n, 10)))
    shards = [
        StreamingSVD(n, rank, rng=seed).partial_fit(A[start:stop], row_start=start)
        for start, stop in data.draw(partitions(m))
    ]
    before = [sketches(s) for s in shards]
    while len(shards) > 1:
        i = data.draw(st.integers(0, len(shards) - 2))
        other = shards.pop(i + 1)
        kept = sketches(other)
        assert shards[i].merge(other) is shards[i]
        assert all(np.array_equal(x, y) for x, y in zip(kept, sketches(other), strict=True))
    assert_same(shards[0], whole(A, rank, seed), 30 * eps(A))
    assert before
    assert shards[0].result().fro_norm == pytest.approx(norm(A), rel=1e-5)


@given(
    A=matrices(dtype=dtypes(DOUBLE_DTYPES)),
    seed=seeds,
    data=st.data(),
)
def test_additive_updates(A: np.ndarray, seed: int, data: st.DataObject) -> None:
    m, n = A.shape
    rank = data.draw(st.integers(1, min(n, 10)))
    gen = np.random.default_rng(seed)
    first = random_array(gen, (m, n), A.dtype)
    stream = whole(first, rank, seed)
    start = data.draw(st.integers(0, m - 1))
    change = A - first
    stream.update(change[start:], row_start=start)
    stream.update(scipy.sparse.csr_array(change[:start]))
    assert_same(stream, whole(A, rank, seed), 1e-12)
    # Rows that were never given count as zeros.
    grown = StreamingSVD(n, rank, rng=seed).update(A[start:], row_start=start).update(A[:start])
    assert_same(grown, whole(A, rank, seed), 1e-12)
    result = grown.partial_fit(np.zeros((2, n))).result()
    assert result.info["fro_norm_kind"] == "estimate"
    assert result.fro_norm > 0.0 or norm(A) == 0.0


@pytest.mark.parametrize("dtype", "fdFD")
@pytest.mark.parametrize("form", [*DENSE_FORMS, *SPARSE_FORMS])
def test_forms(form: str, dtype: str) -> None:
    A = with_spectrum(np.random.default_rng(1), 30, 22, SPECTRA["harmonic"](np.arange(22.0)), dtype)
    for rank in (3, 9):  # Gaussian maps, sparse ones
        X = (DENSE_FORMS | SPARSE_FORMS)[form](A)
        assert_same(whole(X, rank), whole(A, rank), 30 * eps(A))
        if isinstance(X, np.ndarray):
            assert np.array_equal(X, A)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int64", "float16"])
def test_other_dtypes(kind: str) -> None:
    A = np.random.default_rng(0).integers(0, 2, (12, 9)).astype(kind)
    result = whole(A, 9).result()
    assert result.U.dtype == (np.float32 if kind == "float16" else np.float64)
    assert error(A.astype(result.U.dtype), result.reconstruct()) <= 1e3 * eps(result.U)


def test_large_column_maps_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    A = np.random.default_rng(0).standard_normal((40, 30))
    expected = whole(A, 9)
    assert expected._explicit is not None
    monkeypatch.setattr(module, "_EXPLICIT", 0)
    stream = whole(A, 9)
    assert stream._explicit is None
    assert_same(stream, expected)


def test_types_may_change_along_the_stream() -> None:
    gen = np.random.default_rng(0)
    A = random_array(gen, (30, 20), complex)
    A[:10] = A[:10].real.astype(np.float32)
    stream = StreamingSVD(20, 4, rng=0)
    stream.partial_fit(A[:10].real.astype(np.float32))
    assert stream.result().U.dtype == np.float32
    stream.partial_fit(A[10:])
    assert stream.result().U.dtype == complex
    # Rows in single precision were multiplied in single precision.
    assert_same(stream, whole(A, 4), 1e-6)
    real = StreamingSVD(20, 4, rng=0).partial_fit(A[:10].real)
    assert_same(real.update(1j * A[:10].real), whole(A[:10].real * (1 + 1j), 4), 1e-13)


@given(A=matrices(dtype=dtypes(DOUBLE_DTYPES)), seed=seeds, power=st.integers(-480, 480))
def test_powers_of_two(A: np.ndarray, seed: int, power: int) -> None:
    rank = min(2, A.shape[1])
    plain, scaled = (whole(X, rank, seed).result() for X in (A, A * 2.0**power))
    bound = 1e-10 * norm(A)
    assert np.allclose(np.ldexp(scaled.s, -power), plain.s, rtol=0, atol=bound)
    assert np.ldexp(scaled.error, -power) == pytest.approx(plain.error, abs=bound)
    assert np.ldexp(scaled.fro_norm, -power) == pytest.approx(plain.fro_norm, abs=bound)


def test_pickle_in_the_middle() -> None:
    A = np.random.default_rng(0).standard_normal((50, 20))
    for rank in (3, 12):
        stream = StreamingSVD(20, rank, rng=7).partial_fit(A[:20])
        first = stream.result()
        copy = pickle.loads(pickle.dumps(stream))
        for x in (stream, copy):
            x.partial_fit(A[20:])
        for x, y in zip(sketches(stream), sketches(copy), strict=True):
            assert np.array_equal(x, y)
        assert np.array_equal(copy.result().U, stream.result().U)
        assert first.U.shape == (20, rank)  # unchanged by what came later


def test_result_does_not_disturb_the_stream() -> None:
    A = np.random.default_rng(0).standard_normal((50, 20))
    stream = StreamingSVD(20, 3, rng=0)
    for i in range(0, 50, 10):
        stream.partial_fit(A[i : i + 10])
        assert np.array_equal(stream.result().s, stream.result().s)
    assert_same(stream, whole(A, 3))


def test_rows_that_were_not_given_are_zeros() -> None:
    A = np.random.default_rng(0).standard_normal((9, 6))
    stream = StreamingSVD(6, 3, rng=0).partial_fit(A[:4], row_start=3)
    stream.partial_fit(A[4:], row_start=20)
    full = np.zeros((25, 6))
    full[3:7], full[20:] = A[:4], A[4:]
    assert stream.n_rows == 25
    assert_same(stream, whole(full, 3))
    U = stream.result().U
    assert not U[:3].any()
    assert not U[7:20].any()


def test_many_short_blocks() -> None:
    A = np.random.default_rng(0).standard_normal((2500, 4))
    stream = StreamingSVD(4, 1, rng=0)
    for row in A:
        stream.partial_fit(row[None])
    assert len(list(stream._range)) == 3
    assert_same(stream, whole(A, 1))
    backwards = StreamingSVD(4, 1, rng=0)
    for i in range(99, -1, -1):
        backwards.partial_fit(A[i : i + 1], row_start=i)
    assert_same(backwards, whole(A[:100], 1))


def test_no_rows() -> None:
    stream = StreamingSVD(5, 2, rng=0)
    for _ in range(2):
        result = stream.result()
        assert (result.U.shape, result.s.shape, result.Vh.shape) == ((0, 0), (0,), (0, 5))
        assert (result.rank, result.error, result.fro_norm) == (0, 0.0, 0.0)
        assert stream.partial_fit(np.zeros((0, 5))) is stream
    result = stream.partial_fit(np.zeros((3, 5))).result()
    assert orthonormality_defect(result.U) < 1e-14
    assert result.s.tolist() == [0.0, 0.0]


def test_fewer_rows_than_the_rank() -> None:
    A = np.random.default_rng(0).standard_normal((3, 30))
    result = whole(A, 10).result()
    assert result.s.shape == (3,)
    assert error(A, result.reconstruct()) <= 1e-12


def test_sizes_of_the_sketches() -> None:
    for rank in (1, 5, 20):
        rows, corange, core, probes = sketches(whole(np.ones((7, 40)), rank))
        c, s = 4 * rank + 1, 2 * (4 * rank + 1) + 1
        assert rows.shape == (7, c)
        assert corange.shape == (c, 40)
        assert core.shape == (s, s)
        assert probes.shape == (10, 40)


@pytest.mark.stat
@pytest.mark.parametrize("dtype", "dD")
@pytest.mark.parametrize("rank", [2, 8])
def test_error_estimate_is_unbiased(rank: int, dtype: str) -> None:
    s = SPECTRA["root"](np.arange(40.0))
    A = with_spectrum(np.random.default_rng(2), 60, 40, s, dtype)
    ratios = []
    for seed in range(60):
        result = whole(A, rank, seed).result()
        ratios.append((result.error / error(A, result.reconstruct())) ** 2)
    # Ten probes of a residual of effective rank above 15 (flat tail): deviation below 0.12 each.
    assert np.std(ratios) < 0.2
    assert abs(np.mean(ratios) - 1) < 5 * np.std(ratios) / np.sqrt(60)


@pytest.mark.stat
@pytest.mark.parametrize("name", ["harmonic", "root", "geometric", "flat", "cluster"])
@pytest.mark.parametrize("coherent", [False, True])
@pytest.mark.parametrize("rank", [2, 9])
def test_error_is_within_the_theorem(rank: int, coherent: bool, name: str) -> None:
    """Theorem 5.1 of arXiv:1902.08651 with the truncation that follows it.

    It is for Gaussian maps; sparse signs are held to the same bound.
    """
    s = SPECTRA[name](np.arange(90.0))
    A = np.diag(s) if coherent else with_spectrum(np.random.default_rng(2), 120, 90, s)
    c = 4 * rank + 1
    squares = np.append(np.cumsum(s[::-1] ** 2)[::-1], 0.0)
    rho = np.arange(c - 1)
    initial = (2 * c / c) * ((c + rho - 1) / (c - rho - 1) * squares[rho]).min()
    bound = np.sqrt(squares[rank]) + 2 * np.sqrt(initial)
    errors = [error(A, whole(A, rank, seed).result().reconstruct()) for seed in range(20)]
    assert np.mean(errors) <= bound
    assert max(errors) <= 2.5 * np.sqrt(squares[rank])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(bad: float) -> None:
    A = np.ones((6, 5))
    stream = StreamingSVD(5, 2, rng=0).partial_fit(A)
    before = sketches(stream)
    B = A.copy()
    B[4, 1] = bad
    for X in (B, scipy.sparse.csr_array(B)):
        with pytest.raises(InputError, match="`rows`"):
            stream.partial_fit(X)
        with pytest.raises(InputError, match="`delta`"):
            stream.update(X)
    assert all(np.array_equal(x, y) for x, y in zip(before, sketches(stream), strict=True))


def test_overflow_is_an_error() -> None:
    A = np.full((40, 5), 1.7e308)
    for rank in (1, 5):
        stream = StreamingSVD(5, rank, rng=0)
        with np.errstate(all="ignore"):
            stream.partial_fit(A)
        with pytest.raises(NumericalError, match="overflow"):
            stream.result()
    # Nearly as large is fine.
    assert whole(A / 1e4, 2).result().rank == 1


def test_bad_rows() -> None:
    stream = StreamingSVD(5, 2, rng=0).partial_fit(np.ones((6, 5)))
    before = sketches(stream)
    for shape in ((2, 4), (2, 6), (2, 0)):
        with pytest.raises(InputError, match="`rows` must have 5 columns"):
            stream.partial_fit(np.ones(shape))
    with pytest.raises(InputError, match="2 dimensions"):
        stream.partial_fit(np.ones(5))
    for start in (0, 5):
        with pytest.raises(InputError, match="use `update`"):
            stream.partial_fit(np.ones((3, 5)), row_start=start)
    with pytest.raises(InputError, match="`row_start`"):
        stream.partial_fit(np.ones((3, 5)), row_start=-1)
    with pytest.raises(InputError, match="`row_start`"):
        stream.partial_fit(np.ones((3, 5)), row_start=2**62)
    with pytest.raises(InputTypeError, match="`row_start`"):
        stream.partial_fit(np.ones((3, 5)), row_start=1.5)  # type: ignore[arg-type]
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(InputTypeError, match=r"NumPy or scipy\.sparse"):
        stream.partial_fit(strict.ones((3, 5)))
    with pytest.raises(InputTypeError, match=r"NumPy or scipy\.sparse"):
        stream.update(scipy.sparse.linalg.aslinearoperator(np.ones((3, 5))))
    assert all(np.array_equal(x, y) for x, y in zip(before, sketches(stream), strict=True))


def test_bad_merges() -> None:
    A = np.ones((6, 5))
    stream = StreamingSVD(5, 2, rng=0).partial_fit(A)
    before = sketches(stream)
    for other, word in (
        (StreamingSVD(6, 2, rng=0), "n_cols"),
        (StreamingSVD(5, 3, rng=0), "rank"),
        (StreamingSVD(5, 2, rng=1), "key"),
    ):
        with pytest.raises(InputError, match=word):
            stream.merge(other)
    overlap = StreamingSVD(5, 2, rng=0).partial_fit(A, row_start=10).partial_fit(A, row_start=4)
    with pytest.raises(InputError, match="rows 4 to 9"):
        stream.merge(overlap)
    with pytest.raises(InputError, match="disjoint"):
        stream.merge(stream)
    with pytest.raises(InputTypeError):
        stream.merge(A)  # type: ignore[arg-type]
    assert all(np.array_equal(x, y) for x, y in zip(before, sketches(stream), strict=True))
    assert_same(StreamingSVD(5, 2, rng=0).merge(stream), stream)
    changed = StreamingSVD(5, 2, rng=0).partial_fit(A, row_start=20).update(A, row_start=20)
    assert changed.merge(stream).result().info["fro_norm_kind"] == "estimate"


def test_bad_parameters() -> None:
    for n in (0, -1):
        with pytest.raises(InputError, match="`n_cols`"):
            StreamingSVD(n, 1)
    for rank in (0, 6):
        with pytest.raises(InputError, match="`rank`"):
            StreamingSVD(5, rank)
    with pytest.raises(InputTypeError, match="`rng`"):
        StreamingSVD(5, 1, rng=np.random.RandomState(0))  # type: ignore[arg-type]


def test_keys() -> None:
    assert StreamingSVD(5, 2, rng=3).key == StreamingSVD(5, 2, rng=3).key
    assert StreamingSVD(5, 2).key != StreamingSVD(5, 2).key
    text = repr(StreamingSVD(5, 2, rng=3).partial_fit(np.ones((4, 5))))
    assert text.startswith("StreamingSVD(5, 2, n_rows=4, key=0x")
    assert "\n" not in text


def test_a_spectrum_too_flat_for_one_pass_is_admitted() -> None:
    A = np.random.default_rng(0).standard_normal((400, 300))
    stream = StreamingSVD(300, 2, rng=1).partial_fit(A)
    with pytest.warns(ConvergenceWarning, match="decay too slowly"):
        result = stream.result()
    assert not result.converged
    assert result.error >= result.fro_norm

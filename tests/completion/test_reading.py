"""All forms of the same entries are read alike, and what is wrong with them is told."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import InputError, InputTypeError, thread_limit
from lowapprox.completion import sorting
from lowapprox.completion.observations import Observations, compressed
from lowapprox.completion.reading import read
from tests.strategies import DENSE_FORMS, SPARSE_FORMS, bytes_of, seeds

Array = np.ndarray[Any, Any]


def dense(observed: Observations) -> Array:
    """The matrix with NaN where nothing is observed, checked to be alike in both orders."""
    out = np.full(observed.shape, np.nan)
    for half, place in ((observed.rows, out), (observed.columns, out.T)):
        assert half.indptr.dtype == np.int64
        assert half.indices.dtype == np.int32
        assert half.indptr.size == place.shape[0] + 1
        assert half.indptr[-1] == half.indices.size == half.values.size == observed.count
        rows = np.repeat(np.arange(place.shape[0]), half.counts)
        steps = np.diff(rows * (place.shape[1] + 1) + half.indices)
        assert (steps > 0).all()
        again = np.full(place.shape, np.nan)
        again[rows, half.indices] = half.values
        if half is observed.rows:
            out[...] = again
        assert np.array_equal(again, place, equal_nan=True)
    return out


def same(a: Observations, b: Observations) -> bool:
    halves = ((a.rows, b.rows), (a.columns, b.columns))
    fields = ("indptr", "indices", "values", "weights")
    return a.shape == b.shape and all(
        (getattr(x, f) is None and getattr(y, f) is None)
        or (
            getattr(x, f).dtype == getattr(y, f).dtype
            and np.array_equal(getattr(x, f), getattr(y, f))
        )
        for x, y in halves
        for f in fields
    )


@st.composite
def holed(draw: st.DrawFn) -> Array:
    """A small matrix of small integers, zeros among them, with NaN where nothing is known."""
    m, n = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    gen = np.random.default_rng(draw(seeds))
    A = gen.integers(-2, 3, (m, n)).astype(float)
    A[gen.random((m, n)) < draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))] = np.nan
    return A


def coordinates(A: Array) -> tuple[Array, Array, Array]:
    i, j = np.nonzero(~np.isnan(A))
    return i, j, A[i, j]


def stored(A: Array, form: str) -> Any:
    """A sparse array that stores the zeros of A, too."""
    i, j, v = coordinates(A)
    coo = sp.coo_array((v, (i, j)), shape=A.shape)
    return coo if form == "coo" else getattr(sp, f"{form}_array")(coo)


def shuffled_csr(A: Array, gen: np.random.Generator) -> Any:
    i, j, v = coordinates(A)
    order = gen.permutation(i.size)
    order = order[np.argsort(i[order], kind="stable")]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(i, minlength=A.shape[0]))])
    csr = sp.csr_array((v[order], j[order], indptr), shape=A.shape)
    csr.indices, csr.indptr = csr.indices.astype(np.int64), csr.indptr.astype(np.int64)
    return csr


@given(holed(), seeds)
def test_all_forms_are_read_alike(A: Array, seed: int) -> None:
    gen = np.random.default_rng(seed)
    wanted = read(A)
    assert np.array_equal(dense(wanted), A, equal_nan=True)
    i, j, v = coordinates(A)
    order = gen.permutation(i.size)
    junk = np.where(np.isnan(A), gen.choice([np.nan, np.inf, 7.0], A.shape), A)
    forms = [
        *(stored(A, f) for f in ("coo", "csr", "csc")),
        sp.csr_matrix(stored(A, "csr")),
        sp.coo_matrix((v[order], (i[order], j[order])), shape=A.shape),
        shuffled_csr(A, gen),
        shuffled_csr(A.T, gen).T,
        np.ma.array(junk, mask=np.isnan(A)),
        A.tolist(),
    ]
    for form in forms:
        before = bytes_of(form)
        assert same(read(form), wanted)
        assert bytes_of(form) == before
    for make in DENSE_FORMS.values():
        assert same(read(make(A)), wanted)
    assert same(read(junk, mask=~np.isnan(A)), wanted)
    for index in (np.int8, np.uint16, np.int32, np.uint64, ">i8"):
        triple = (i[order].astype(index), j[order].astype(index), v[order])
        before = [bytes_of(x) for x in triple]
        assert same(read(triple, shape=A.shape), wanted)
        assert [bytes_of(x) for x in triple] == before
    lists = (i.tolist(), j.tolist(), v.tolist())
    assert same(read(lists, shape=A.shape), wanted)


@given(holed(), seeds)
def test_weights_in_every_form(A: Array, seed: int) -> None:
    gen = np.random.default_rng(seed)
    W = gen.integers(0, 3, A.shape) / 2.0
    i, j, v = coordinates(A)
    wanted = read(np.where(W == 0, np.nan, A))
    forms = [
        read(A, weights=W),
        read(np.ma.masked_invalid(A), weights=W.tolist()),
        read((i, j, v), shape=A.shape, weights=W[i, j]),
        *(
            read(
                stored(A, f),
                weights=getattr(sp, f"{g}_array")(sp.coo_array((W[i, j], (i, j)), A.shape)),
            )
            for f, g in (("csr", "coo"), ("coo", "csc"), ("csc", "csr"))
        ),
    ]
    for observed in forms:
        assert np.array_equal(dense(observed), dense(wanted), equal_nan=True)
        for half, place in ((observed.rows, W), (observed.columns, W.T)):
            assert half.weights is not None
            rows = np.repeat(np.arange(place.shape[0]), half.counts)
            assert np.array_equal(half.weights, place[rows, half.indices])


@given(holed(), seeds)
def test_duplicates(A: Array, seed: int) -> None:
    gen = np.random.default_rng(seed)
    i, j, v = coordinates(A)
    if i.size == 0:
        return
    again = gen.integers(0, i.size, gen.integers(1, 6))
    new, w = gen.integers(-3, 4, again.size), gen.integers(0, 3, i.size + again.size)
    rows, columns = (np.concatenate([x, x[again]]) for x in (i, j))
    values = np.concatenate([v, new])
    order = gen.permutation(rows.size)
    triple = (rows[order], columns[order], values[order])
    coo = sp.coo_array((values[order], (rows[order], columns[order])), shape=A.shape)
    for given_twice in (triple, coo):
        with pytest.raises(InputError, match=f"got {again.size} entries more than"):
            read(given_twice, shape=A.shape)
    last, cells = np.full(A.shape, np.nan), [[[] for _ in row] for row in A]
    for a, b, x, y in zip(*triple, w[order], strict=True):
        last[a, b] = x
        cells[a][b].append((x, y))
    assert np.array_equal(dense(read(coo, duplicates="last")), last, equal_nan=True)
    mean = [[np.mean([x for x, _ in c]) if c else np.nan for c in row] for row in cells]
    found = dense(read(triple, shape=A.shape, duplicates="mean"))
    np.testing.assert_allclose(found, mean, rtol=1e-14, atol=1e-14)
    weighted = read(triple, shape=A.shape, duplicates="mean", weights=w[order])
    mean = [
        [
            np.average([x for x, _ in c], weights=[y for _, y in c])
            if any(y for _, y in c)
            else np.nan
            for c in row
        ]
        for row in cells
    ]
    np.testing.assert_allclose(dense(weighted), mean, rtol=1e-14, atol=1e-14)
    ones = read(triple, shape=A.shape, duplicates="mean", weights=np.ones(rows.size))
    assert np.array_equal(dense(ones), found, equal_nan=True)
    assert (ones.rows.weights == 1).all()


def test_duplicates_in_csr_are_not_summed() -> None:
    twice = sp.csr_array((np.ones(3), [1, 1, 0], [0, 2, 3]), shape=(2, 2))
    with pytest.raises(
        InputError, match=r"1 entries more than there are positions, such as \(0, 1\)"
    ):
        read(twice)
    assert np.array_equal(dense(read(twice, duplicates="last")), [[np.nan, 1], [1, np.nan]], True)
    neighbours = sp.csr_array((np.ones(2), [1, 1], [0, 1, 2]), shape=(2, 2))
    assert read(neighbours).count == 2  # the same column, of different rows


def test_what_is_stored_is_observed() -> None:
    blocks = sp.bsr_array(np.array([[1.0, 0, 0, 0], [0, 2.0, 0, 0]]), blocksize=(2, 2))
    nan = np.nan
    assert np.array_equal(dense(read(blocks)), [[1, 0, nan, nan], [0, 2, nan, nan]], True)
    diagonals = sp.dia_array((np.array([[5.0, 0, 7], [0, 8, 9]]), [0, 1]), shape=(3, 3))
    wanted = [[5, 8, nan], [nan, 0, 9], [nan, nan, 7]]
    assert np.array_equal(dense(read(diagonals)), wanted, True)
    dok = sp.dok_array((2, 2))
    dok[1, 0] = 3.0
    for form in (dok, dok.tolil()):
        assert np.array_equal(dense(read(form)), [[nan, nan], [3, nan]], True)


@pytest.mark.parametrize(
    ("given", "computed"),
    [
        *((t, "f8") for t in ("?", "i1", "u1", "i8", "u8", ">i4", "f8", ">f8")),
        *((t, "f4") for t in ("f2", "f4", ">f4")),
    ],
)
def test_precision(given: str, computed: str) -> None:
    A = np.array([[1, 0, 1], [0, 1, 1]]).astype(given)
    i, j = np.nonzero(np.ones(A.shape))
    forms = [read(A), read((i, j, A.ravel()), shape=A.shape)]
    if given != "f2" and given[0] != ">":  # scipy.sparse has neither
        forms.append(read(sp.coo_array((A.ravel(), (i, j)), shape=A.shape)))
    for observed in forms:
        assert observed.dtype == observed.columns.values.dtype == np.dtype(computed)
        assert observed.dtype.isnative
        assert np.array_equal(dense(observed), A)


@pytest.mark.parametrize("dtype", ["longdouble", "complex64", "complex128", "object", "str"])
def test_refused_precisions(dtype: str) -> None:
    A = np.ones((3, 3)).astype(dtype)
    with pytest.raises(InputTypeError, match=r"`A` must have a .* dtype"):
        read(A)
    with pytest.raises(InputTypeError, match=r"`A\[2\]` must have a .* dtype"):
        read((np.arange(3), np.arange(3), A[0]), shape=(3, 3))
    if dtype.startswith("complex"):
        with pytest.raises(InputTypeError, match="dtype"):
            read(sp.csr_array(A))


def test_other_arrays_are_refused_with_a_hint() -> None:
    from scipy.sparse.linalg import aslinearoperator

    A = np.ones((3, 3))
    torch = pytest.importorskip("torch")
    strict = pytest.importorskip("array_api_strict")
    dask = pytest.importorskip("dask.array")
    for other, hint in (
        (torch.ones(3, 3), "numpy.asarray"),
        (strict.asarray(A), "numpy.asarray"),
        (dask.from_array(A), "compute"),
        (aslinearoperator(A), "scipy.sparse"),
        (None, "NoneType"),
        (3.0, "float"),
    ):
        with pytest.raises(InputTypeError, match=hint):
            read(other)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_must_be_finite(bad: float) -> None:
    A = np.eye(3)
    A[1, 2] = bad
    full = np.ones(A.shape, bool)
    calls: list[Callable[[], Any]] = [
        lambda: read(A, mask=full),
        lambda: read(sp.csr_array(A)),
        lambda: read(np.ma.array(A, mask=~full)),
        lambda: read((*np.nonzero(full), A.ravel()), shape=A.shape),
    ]
    if np.isinf(bad):
        calls.append(lambda: read(A))
    for call in calls:
        with pytest.raises(InputError, match=r"must be finite, got NaN or infinity in 1 of"):
            call()
    weights = np.where(np.isfinite(A), 1.0, 0.0)  # what has no weight may be anything
    assert read(A, mask=full, weights=weights).count == 8


def test_bad_arguments() -> None:
    A = np.eye(3)
    S = sp.csr_array(A)
    t = (np.arange(3), np.arange(3), np.ones(3))
    value: list[tuple[Callable[[], Any], str]] = [
        (lambda: read(A, mask=np.ones((3, 2), bool)), r"`mask` must have shape \(3, 3\)"),
        (lambda: read(S, mask=A > 0), "`mask` must be None with a sparse array"),
        (lambda: read(np.ma.array(A), mask=A > 0), "`mask` must be None with a masked array"),
        (lambda: read(t, shape=(3, 3), mask=A > 0), "`mask` must be None with triples"),
        (lambda: read(A, shape=(3, 4)), r"`shape` must be that of `A`, \(3, 3\)"),
        (lambda: read(S, shape=(2, 3)), "`shape` must be that of `A`"),
        (lambda: read(t), "`shape` must be given"),
        (lambda: read(t, shape=(2, 3)), r"`A\[0\]` must lie in \[0, 1\], got 0 to 2"),
        (lambda: read(t, shape=(3, -1)), r"`shape\[1\]` must be at least 0"),
        (lambda: read((-t[0], *t[1:]), shape=(3, 3)), r"`A\[0\]` must lie in \[0, 2\]"),
        (lambda: read((t[0], t[1][:2], t[2]), shape=(3, 3)), r"`A\[1\]` must have shape \(3,\)"),
        (lambda: read((t[0], t[1], A), shape=(3, 3)), r"`A\[2\]` must have one dimension"),
        (lambda: read(A[0]), "`A` must have 2 dimensions"),
        (lambda: read(A[None]), "`A` must have 2 dimensions"),
        (lambda: read(sp.coo_array(np.ones(3))), "`A` must have 2 dimensions"),
        (lambda: read(A, duplicates="sum"), "`duplicates` must be one of"),
        (lambda: read(A, weights=A[:2]), r"`weights` must have shape \(3, 3\)"),
        (lambda: read(A, weights=-A), "`weights` must be finite and at least 0"),
        (lambda: read(A, weights=np.full((3, 3), np.inf)), "`weights` must be finite"),
        (lambda: read(t, shape=(3, 3), weights=np.ones(2)), r"`weights` must have shape \(3,\)"),
        (lambda: read(S, weights=sp.csr_array(1 - A)), "must store the entries that `A` stores"),
        (lambda: read(S, weights=sp.eye_array(4)), "must store the entries"),
        (lambda: read(S, weights=sp.csr_array(-A)), "`weights` must be finite and at least 0"),
    ]
    for call, message in value:
        with pytest.raises(InputError, match=message):
            call()
    kinds: list[tuple[Callable[[], Any], str]] = [
        (lambda: read(A, mask=A), "`mask` must be an array of bool"),
        (lambda: read(A, shape=3), "`shape` must be a pair"),
        (lambda: read(A, shape=(3.0, 3)), r"`shape\[0\]` must be an integer"),
        (lambda: read((t[0] + 0.0, *t[1:]), shape=(3, 3)), r"`A\[0\]` must hold integers"),
        (lambda: read((t[0] > 0, *t[1:]), shape=(3, 3)), r"`A\[0\]` must hold integers"),
        (lambda: read(S, weights=A), "`weights` must be a sparse array"),
        (lambda: read(A, weights=A + 1j), "`weights` must have"),
        (lambda: read([[1.0, 2.0], [3.0]]), "cannot be read as an array"),
        (lambda: read((t[0], t[1], np.ma.array(t[2])), shape=(3, 3)), "masked"),
    ]
    for call, message in kinds:
        with pytest.raises(InputTypeError, match=message):
            call()


@pytest.mark.parametrize("size", [1e-60, 1e60])
def test_weights_that_single_precision_does_not_hold(size: float) -> None:
    A = np.ones((3, 4), np.float32)
    i, j = np.nonzero(A)
    W = np.where(np.arange(12).reshape(3, 4) == 5, size, 1.0)
    heavy = sp.csr_array(W)
    for form, weights in ((A, W), ((i, j, A[i, j]), W[i, j]), (sp.csr_array(A), heavy)):
        with pytest.raises(InputError, match="`weights` must lie in the range of float32"):
            read(form, shape=A.shape, weights=weights)
    assert read(A.astype(float), weights=W).rows.weights[5] == size
    zero = read(A, weights=np.where(size == W, 0.0, 1.0))
    assert zero.count == 11


@pytest.mark.parametrize("form", [sp.csr_array, sp.csc_array])
def test_sparse_arrays_that_are_broken(form: Any) -> None:
    for change, message in (
        (lambda S: S.indptr.__setitem__(1, 9), "`A.indptr` must not decrease"),
        (lambda S: S.indices.__setitem__(0, 4), r"`A.indices` must lie in \[0, 3\], got 0 to 4"),
        (lambda S: S.indices.__setitem__(1, -1), r"`A.indices` must lie in \[0, 3\]"),
    ):
        S = form(np.arange(1.0, 17.0).reshape(4, 4))
        change(S)
        with pytest.raises(InputError, match=message):
            read(S)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 1), (4, 3)])
def test_nothing_observed(shape: tuple[int, int]) -> None:
    forms = [np.full(shape, np.nan), sp.csr_array(shape), sp.coo_array(shape), sp.csc_array(shape)]
    for form in forms:
        observed = read(form)
        assert (observed.shape, observed.count) == (shape, 0)
        assert dense(observed).shape == shape
    assert read(([], [], []), shape=shape).count == 0


def many(index: Any = np.int64) -> tuple[Array, Array, Array]:
    """Entries in random order, a third of them in one row."""
    gen = np.random.default_rng(0)
    m, n = MANY
    key = np.unique(
        np.concatenate([gen.integers(0, m * n, 8000), 7 * n + gen.permutation(n)[:3900]])
    )
    gen.shuffle(key)
    return (key // n).astype(index), (key % n).astype(index), gen.standard_normal(key.size)


MANY = (300, 4000)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernels sort although there are few entries."""
    monkeypatch.setattr(sorting, "KERNEL_ENTRIES", 100)


def test_kernels_sort_as_numpy_does(monkeypatch: pytest.MonkeyPatch) -> None:
    i, j, v = many()
    w = np.abs(v) + 0.1
    orders = [
        np.arange(i.size),
        np.lexsort((j, i)),
        np.lexsort((i, j)),
        np.argsort(i, kind="stable"),
    ]
    single = (i.astype(np.int32), j.astype(np.int32), v.astype(np.float32))
    wanted = compressed(i, j, v, w, MANY), compressed(*single, None, MANY)
    monkeypatch.setattr(sorting, "KERNEL_ENTRIES", 100)
    for threads in (1, 2, 4):
        with thread_limit(threads):
            assert all(same(compressed(i[o], j[o], v[o], w[o], MANY), wanted[0]) for o in orders)
            assert same(compressed(*single, None, MANY), wanted[1])


@pytest.mark.usefixtures("compiled")
def test_sparse_forms_by_kernels() -> None:
    i, j, v = many(np.int32)
    wanted = read((i, j, v), shape=MANY)
    coo = sp.coo_array((v, (i, j)), shape=MANY)
    for form in (coo, coo.tocsr(), coo.tocsc(), coo.tocsr().tocsc().tocsr()):
        assert same(read(form), wanted)
    keep = v[np.lexsort((j, i))] > 0
    chosen = v > 0
    assert same(wanted.selected(keep), read((i[chosen], j[chosen], v[chosen]), shape=MANY))


@pytest.mark.usefixtures("compiled")
def test_equal_positions_keep_their_order_in_the_kernels() -> None:
    i, j, v = many()
    first = read((i, j, v), shape=MANY)
    twice = (*(np.concatenate([x, x[::-1]]) for x in (i, j)), np.concatenate([v, -v[::-1]]))
    observed = read(twice, shape=MANY, duplicates="last")
    assert np.array_equal(observed.rows.values, -first.rows.values)
    mean = read(twice, shape=MANY, duplicates="mean")
    assert not mean.rows.values.any()
    assert mean.count == first.count


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="takes minutes")
def test_memory_is_that_of_the_result() -> None:
    """Never dense: the matrix has 10^10 entries; and no more than twice the result is held."""
    gen = np.random.default_rng(1)
    side = 10**5
    key = gen.permutation(np.unique(gen.integers(0, side**2, 300_000)))
    i, j = (key // side).astype(np.int32), (key % side).astype(np.int32)
    coo = sp.coo_array((gen.standard_normal(key.size), (i, j)), shape=(side, side))
    read(coo)  # compiles
    tracemalloc.start()
    observed = read(coo)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    halves = (observed.rows, observed.columns)
    kept = sum(h.indptr.nbytes + h.indices.nbytes + h.values.nbytes for h in halves)
    assert peak < 2 * kept


@given(st.sampled_from(sorted(SPARSE_FORMS)), seeds)
def test_sparse_inputs_are_not_modified(form: str, seed: int) -> None:
    gen = np.random.default_rng(seed)
    A = gen.integers(-1, 2, (6, 5)).astype(float)
    S = SPARSE_FORMS[form](A)
    before = bytes_of(S)
    observed = read(S, duplicates="last" if form == "csr messy" else "error")
    assert bytes_of(S) == before
    assert observed.count <= S.nnz
    for half in (observed.rows, observed.columns):
        for x in (half.indptr, half.indices, half.values):
            x[...] = 0  # memory of its own
    assert bytes_of(S) == before

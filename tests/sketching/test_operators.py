"""Products, entries, streaming and identity of the sketching operators."""

from __future__ import annotations

import copy
import itertools
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lowapprox
from lowapprox._core.errors import InputError, InputTypeError
from lowapprox.sketching import SRHT, CountSketch, Gaussian, SparseSign, operators
from tests.reference import random_array
from tests.sketching.kinds import KINDS, UNBOUNDED, kernels, tolerance
from tests.strategies import DTYPES, dtypes, seeds

SLOW = {"gaussian", "rademacher", "srht-16", "srht-exact-16", "srtt", "fastfood"}


@st.composite
def operators_and_sizes(draw, max_n=60, kinds=tuple(KINDS)):
    m, n, k = draw(st.integers(1, 40)), draw(st.integers(1, max_n)), draw(st.integers(1, 20))
    S = KINDS[draw(st.sampled_from(kinds))](m, n, rng=draw(seeds), dtype=draw(dtypes()))
    return S, k, np.random.default_rng(draw(seeds))


def close(actual, exact, dtype):
    exact = np.asarray(exact)
    scale = np.abs(exact).max(initial=1.0)
    np.testing.assert_allclose(actual, exact, rtol=0, atol=tolerance(dtype) * scale)


@given(operators_and_sizes(), st.booleans(), dtypes())
def test_products_are_those_of_the_explicit_operator(case, compiled, dtype):
    S, k, gen = case
    m, n = S.shape
    D = S.toarray()
    assert D.shape == (m, n)
    assert D.dtype == S.dtype
    X, Y = random_array(gen, (n, k), dtype), random_array(gen, (m, k), dtype)
    expected = np.result_type(dtype, np.complex64) if S.dtype.kind == "c" else dtype
    precision = min(S.dtype, dtype, key=lambda d: np.finfo(d).precision)
    with kernels(compiled):
        SX = S @ X
        assert SX.dtype == expected
        close(SX, D @ X, precision)
        close(S @ X[:, 0], D @ X[:, 0], precision)
        close(Y.T @ S, Y.T @ D, precision)
        close(X.T @ S.T, X.T @ D.T, precision)
        close(X.T @ S.H, X.T @ D.conj().T, precision)
    for transposed, exact in ((S.T, D.T), (S.H, D.conj().T)):
        np.testing.assert_array_equal(transposed.toarray(), exact)
        assert transposed.shape == (n, m)
        got = transposed @ Y
        assert got.dtype == expected
        close(got, exact @ Y, precision)
        close(transposed @ Y[:, 0], exact @ Y[:, 0], precision)


@given(operators_and_sizes(), st.booleans())
def test_adjoint_and_linearity(case, compiled):
    S, k, gen = case
    m, n = S.shape
    X, Z, Y = (random_array(gen, (r, k), complex) for r in (n, n, m))
    with kernels(compiled):
        assert abs(np.vdot(Y, S @ X) - np.vdot(S.H @ Y, X)) <= 1e-12 * (1 + np.linalg.norm(X)) * (
            np.linalg.norm(Y) * np.sqrt(n)
        )
        close(S @ (2.0 * X - 1j * Z), 2.0 * (S @ X) - 1j * (S @ Z), complex)
        close((S @ X)[:, k - 1], S @ X[:, k - 1], complex)


@given(operators_and_sizes(max_n=3000), st.booleans())
@settings(max_examples=50)
def test_identity_gives_the_entries(case, compiled):
    S, _, _ = case
    i = max(0, S.shape[1] - 70)
    with kernels(compiled):
        got = S @ np.eye(S.shape[1])[:, i:]
    close(got, S.columns(i, S.shape[1]), S.dtype)


@given(operators_and_sizes(max_n=300), st.data())
def test_columns_do_not_depend_on_the_slab(case, data):
    S, _, _ = case
    n = S.shape[1]
    i0 = data.draw(st.integers(0, n))
    i1 = data.draw(st.integers(i0, n))
    np.testing.assert_array_equal(S.columns(i0, i1), S.toarray()[:, i0:i1])


@given(operators_and_sizes(max_n=300, kinds=tuple(UNBOUNDED)))
def test_columns_do_not_depend_on_n(case):
    S, _, _ = case
    longer = copy.copy(S)
    longer.shape = (S.shape[0], 2**62)
    np.testing.assert_array_equal(S.toarray(), longer.columns(0, S.shape[1]))


@given(operators_and_sizes(max_n=3000), st.booleans(), dtypes(), st.data())
@settings(max_examples=60)
def test_any_partition_of_the_rows_in_any_order(case, compiled, dtype, data):
    S, k, gen = case
    check_partition(S, S.shape[1], 0, k, gen, compiled, dtype, data)


@given(operators_and_sizes(max_n=3000, kinds=tuple(UNBOUNDED)), st.booleans(), dtypes(), st.data())
@settings(max_examples=60)
def test_any_partition_of_rows_that_are_far_away(case, compiled, dtype, data):
    S, k, gen = case
    n, far = S.shape[1], 10**15 + 7
    S = copy.copy(S)
    S.shape = (S.shape[0], far + n)
    check_partition(S, n, far, k, gen, compiled, dtype, data)


def check_partition(S, n, far, k, gen, compiled, dtype, data):
    m = S.shape[0]
    X = random_array(gen, (n, k), dtype)
    cuts = data.draw(st.lists(st.integers(0, n), max_size=6))
    cuts = sorted({0, n, *cuts})
    parts = data.draw(st.permutations(list(itertools.pairwise(cuts))))
    wide = np.result_type(S.dtype, dtype, float)
    with kernels(compiled):
        out, whole = np.zeros((m, k), wide), np.zeros((m, k), wide)
        for a, b in parts:
            assert S.apply_rows(X[a:b], far + a, out) is out
        S.apply_rows(X, far, whole)
    # A sum rounds relative to the sum of the moduli; only Gaussian slabs are summed in single.
    moduli = np.abs(S.columns(far, far + n)) @ np.abs(X)
    tol = 1e-13 if np.dtype(dtype).char in "dD" else 1e-6
    assert (np.abs(out - whole) <= tol * moduli + 1e-300).all()


@pytest.mark.large
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_compiled_and_plain_paths_agree(kind, dtype):
    S = KINDS[kind](40, 5000, rng=1)
    for k in (1, 7, 200):
        X = random_array(np.random.default_rng(k), (5000, k), dtype)
        got = {}
        for compiled in (False, True):
            with kernels(compiled):
                got[compiled] = S @ X
        scale = np.linalg.norm(X, axis=0).max()
        tol = 1e-14 if np.dtype(dtype).char in "dD" else 2e-6
        np.testing.assert_allclose(got[True], got[False], rtol=0, atol=tol * scale)


@pytest.mark.large
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(60, 40_000, 30), (1500, 3_500, 180)])
@pytest.mark.parametrize("form", ["C", "F", "csr"])
def test_thread_counts_change_no_bit(kind, shape, form):
    import scipy.sparse

    m, n, k = shape
    S = KINDS[kind](m, n, rng=2)
    gen = np.random.default_rng(0)
    if form == "csr":
        X = scipy.sparse.random_array((n, k), density=0.02, format="csr", rng=gen)
    else:
        X = np.asarray(gen.standard_normal((n, k)), order=form)
    if kind in SLOW:  # a smaller part of the same
        m, n = m // 4, n // 4
        S, X = KINDS[kind](m, n, rng=2), X[:n]
    results = []
    with kernels(True):
        for threads in (1, 2, 4):
            with lowapprox.thread_limit(threads), _pretend_threads(threads):
                results.append(S @ X)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


class _pretend_threads:  # noqa: N801
    """Run the tasks on this many threads even where the machine has fewer processors."""

    def __init__(self, threads):
        self.threads = threads

    def __enter__(self):
        from lowapprox.sketching import _partial

        self.before = _partial._threads
        _partial._threads = lambda: self.threads

    def __exit__(self, *_):
        from lowapprox.sketching import _partial

        _partial._threads = self.before


def test_an_error_in_one_task_stops_the_others():
    from lowapprox.sketching._partial import add_partial_sums

    def compute(chunk, region, acc):
        if chunk == 1:
            raise RuntimeError("stop")
        acc += 1.0

    out = np.zeros((2, 2))
    regions = [(slice(None), slice(0, 1)), (slice(None), slice(1, 2))]
    with _pretend_threads(3), pytest.raises(RuntimeError, match="stop"):
        add_partial_sums(
            compute, out, chunks=5, regions=regions, dtype=np.dtype(float), scale=1.0, threaded=True
        )


@pytest.mark.parametrize("kind", KINDS)
def test_identity_of_operators(kind):
    make = KINDS[kind]
    S = make(30, 500, rng=5)
    same = pickle.loads(pickle.dumps(S))
    assert same == S == make(30, 500, rng=5)
    assert hash(same) == hash(S)
    np.testing.assert_array_equal(same.toarray(), S.toarray())
    for other in (make(30, 500, rng=6), make(31, 500, rng=5), make(30, 501, rng=5)):
        assert other != S
    assert make(30, 500, rng=5, dtype=np.float32) != S
    assert S != "S"
    assert f"{S.key[1]:016x}{S.key[0]:016x}" in repr(S)
    assert repr(S.T) == repr(S) + ".T"
    assert not np.array_equal(make(30, 500, rng=6).toarray(), S.toarray())


def test_a_generator_is_advanced_once():
    gen, fresh = np.random.default_rng(3), np.random.default_rng(3)
    first = SparseSign(10, 10, rng=gen)
    assert first == SparseSign(10, 10, rng=fresh)
    assert gen.bit_generator.state == fresh.bit_generator.state
    assert SparseSign(10, 10, rng=gen) != first
    assert SparseSign(10, 10) != SparseSign(10, 10)  # fresh entropy
    assert SparseSign(40, 10, rng=0, zeta=4) != SparseSign(40, 10, rng=0, zeta=5)
    assert CountSketch(40, 10, rng=0) != SparseSign(40, 10, rng=0, zeta=1)


def test_other_processes_make_the_same_operator():
    code = (
        "from lowapprox.sketching import *; import numpy as np, hashlib\n"
        "for K in (Gaussian, SparseSign, CountSketch, SRHT):\n"
        "    print(hashlib.sha256(K(20, 300, rng=9).toarray().tobytes()).hexdigest())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    import hashlib

    here = [
        hashlib.sha256(K(20, 300, rng=9).toarray().tobytes()).hexdigest()
        for K in (Gaussian, SparseSign, CountSketch, SRHT)
    ]
    assert out.stdout.split() == here


def test_small_products_load_neither_compiler_nor_scipy():
    code = (
        "import sys, numpy as np; from lowapprox.sketching import *\n"
        "X = np.ones((1000, 500))\n"
        "for K in (Gaussian, SparseSign, CountSketch, SRHT):\n"
        "    S = K(30, 1000, rng=0); S.T @ (S @ X); S.apply_rows(X[:9], 5, np.zeros((30, 500)))\n"
        "print(sorted({'numba', 'scipy'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 1), (12, 3), (0, 0), (5000, 2)])
def test_degenerate_shapes(kind, shape, compiled):
    m, n = shape
    if kind not in UNBOUNDED:
        m = min(m, 200)  # many copies of a transform take time
    S = KINDS[kind](m, n, rng=0)
    m = S.shape[0]  # none, where nothing can be sampled
    D = S.toarray()
    with kernels(compiled):
        for k in (0, 1, 3):
            X, Y = np.ones((n, k)), np.ones((m, k))
            close(S @ X, D @ X, float)
            close(S.T @ Y, D.T @ Y, float)
        out = np.zeros((m, 2))
        S.apply_rows(np.ones((n, 2)), 0, out)
        close(out, D @ np.ones((n, 2)), float)
        S.apply_rows(np.ones((0, 2)), n, out)
    if m and n:
        np.testing.assert_array_equal(S.columns(n, n), np.zeros((m, 0)))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_nan_and_infinity_go_through(kind, bad, dtype, compiled):
    S = KINDS[kind](20, 100, rng=0)
    X = np.ones((100, 30), dtype)
    X[17, 3] = bad
    with kernels(compiled):
        SX, clean = S @ X, S @ np.ones_like(X)
    hit = S.columns(17, 18)[:, 0] != 0
    assert not np.isfinite(SX[hit, 3]).any()
    np.testing.assert_array_equal(np.delete(SX, 3, axis=1), np.delete(clean, 3, axis=1))
    if kind in {"sparse", "countsketch"}:
        assert np.isfinite(SX[~hit, 3]).all()


@pytest.mark.large
def test_single_precision_sums_are_long_ones():
    n = 300_000
    x = np.full((n, 4), 0.1, np.float32)
    for S in (CountSketch(2, n, rng=0), SRHT(8, n, rng=0), SparseSign(8, n, zeta=2, rng=0)):
        exact = S @ x.astype(float)
        # Sums in single precision alone would be off by some 1e-5 of |x|_1 / sqrt(m) here.
        assert np.abs(S @ x - exact).max() < 1e-6 * np.abs(exact).max()


def test_inputs_are_not_changed():
    X = np.random.default_rng(0).standard_normal((2000, 30))
    before = X.copy()
    for make in KINDS.values():
        for compiled in (False, True):
            with kernels(compiled):
                S = make(20, 2000, rng=0)
                S.T @ (S @ X)
                S.apply_rows(X, 0, np.zeros((20, 30)))
    np.testing.assert_array_equal(X, before)


def test_a_row_stream_of_unknown_length():
    S = SparseSign(10, 2**62, rng=0)
    out = np.zeros((10, 3))
    S.apply_rows(np.ones((4, 3)), 2**62 - 4, out)
    close(out, S.columns(2**62 - 4, 2**62) @ np.ones((4, 3)), float)
    x = np.zeros(10)
    S.apply_rows(np.ones(4), 11, x)
    close(x, S.columns(11, 15).sum(axis=1), float)


@pytest.mark.parametrize("out_dtype", [np.float32, np.complex64, np.complex128])
def test_apply_rows_into_other_precisions_and_layouts(out_dtype):
    S = SRHT(8, 100, rng=0)
    X = np.random.default_rng(0).standard_normal((100, 4))
    out = np.asfortranarray(np.ones((8, 4), out_dtype))
    S.apply_rows(X, 0, out)
    close(out, 1.0 + S.toarray() @ X, out_dtype)


BAD_CALLS = {
    "`m` must be an integer": (InputTypeError, lambda: Gaussian(2.5, 3)),
    "`m` must be in": (InputError, lambda: Gaussian(-1, 3)),
    "`n` must be in": (InputError, lambda: CountSketch(1, 2**63)),
    "`dtype` must be": (InputTypeError, lambda: SRHT(1, 2, dtype=np.int32)),
    "`dtype` must be float32, float64, complex64 or complex128, got 'abc'": (
        InputTypeError,
        lambda: SRHT(1, 2, dtype="abc"),
    ),
    "`zeta` must be at least 1": (InputError, lambda: SparseSign(4, 4, zeta=0)),
    "`block` must be a power of two": (InputError, lambda: SRHT(4, 4, block=12)),
    "`exact` must be a bool": (InputTypeError, lambda: SRHT(4, 4, exact=1)),
    "`block` must be in": (InputError, lambda: SRHT(4, 4, block=0)),
    "`rng` must be": (InputTypeError, lambda: Gaussian(1, 2, rng="seed")),
    "`X` must have 5 rows": (InputError, lambda: Gaussian(3, 5, rng=0) @ np.ones((4, 2))),
    "`Y` must have 3 rows": (InputError, lambda: Gaussian(3, 5, rng=0).T @ np.ones((4, 2))),
    "`X` must have 2 dim": (InputError, lambda: Gaussian(3, 5, rng=0) @ np.ones((5, 2, 2))),
    "`X` must have a bool": (
        InputTypeError,
        lambda: Gaussian(3, 5, rng=0) @ np.ones((5, 2), object),
    ),
    "`i1` must be in": (InputError, lambda: SRHT(3, 5, rng=0).columns(2, 6)),
    "`i0` must be in": (InputError, lambda: SRHT(3, 5, rng=0).columns(-1, 3)),
    "`row_start` plus": (
        InputError,
        lambda: SRHT(3, 5, rng=0).apply_rows(np.ones((2, 2)), 4, np.zeros((3, 2))),
    ),
    "`row_start` must be at least 0": (
        InputError,
        lambda: SRHT(3, 5, rng=0).apply_rows(np.ones((2, 2)), -1, np.zeros((3, 2))),
    ),
    "`out` must have shape": (
        InputError,
        lambda: SRHT(3, 5, rng=0).apply_rows(np.ones((2, 2)), 0, np.zeros((2, 3))),
    ),
    "`out` must be a complex NumPy array, got float64": (
        InputTypeError,
        lambda: SRHT(3, 5, rng=0).apply_rows(1j * np.ones((2, 2)), 0, np.zeros((3, 2))),
    ),
    "`out` must be a floating-point NumPy array, got list": (
        InputTypeError,
        lambda: SRHT(3, 5, rng=0).apply_rows(np.ones((2, 2)), 0, [[0.0] * 2] * 3),
    ),
}


@pytest.mark.parametrize("message", BAD_CALLS)
def test_refusals(message):
    error, call = BAD_CALLS[message]
    with pytest.raises(error) as info:
        call()
    assert str(info.value).startswith(message)


def test_read_only_out_is_refused():
    out = np.zeros((3, 2))
    out.flags.writeable = False
    with pytest.raises(InputError, match="writable"):
        SRHT(3, 5, rng=0).apply_rows(np.ones((2, 2)), 0, out)


def test_kernel_threshold():
    assert not operators.use_kernels(999_999)
    assert operators.use_kernels(1_000_000)

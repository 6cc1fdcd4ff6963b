"""Lazy products, and the operators that sketch them factor by factor."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from lowapprox import lstsq
from lowapprox._core.errors import InputError, InputTypeError
from lowapprox.sketching import (
    SRHT,
    Gaussian,
    KhatriRaoSign,
    SparseSign,
    TensorSketch,
    TensorSRHT,
    khatri_rao,
    kron,
    tensor,
    tensor_operators,
)
from lowapprox.svd import randomized_svd
from tests.reference import host, random_array
from tests.sketching.kinds import kernels, tolerance
from tests.strategies import DTYPES, FORMS, OPERATOR_FORMS, dtypes, seeds

OPERATORS = {"srht": TensorSRHT, "sketch": TensorSketch, "signs": KhatriRaoSign}
PRODUCTS = {"kron": kron, "khatri_rao": khatri_rao}


def explicit(product, factors):
    """The product by the definitions of NumPy and SciPy."""
    result = factors[0]
    for A in factors[1:]:
        result = np.kron(result, A) if product == "kron" else scipy.linalg.khatri_rao(result, A)
    return result


def close(actual, exact, dtype):
    scale = np.abs(exact).max(initial=1.0)
    np.testing.assert_allclose(host(actual), exact, rtol=0, atol=10 * tolerance(dtype) * scale)


@st.composite
def factors(draw, product):
    gen, q = np.random.default_rng(draw(seeds)), draw(st.integers(1, 3))
    rows = [draw(st.integers(1, 12)) for _ in range(q)]
    width = draw(st.integers(1, 4))
    widths = [width if product == "khatri_rao" else draw(st.integers(1, 4)) for _ in range(q)]
    dtype = draw(dtypes())
    return [random_array(gen, shape, dtype) for shape in zip(rows, widths, strict=True)]


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("operator", OPERATORS)
@given(data=st.data(), m=st.integers(1, 20), seed=seeds, compiled=st.booleans())
@settings(max_examples=40)
def test_sketches_of_products_are_those_of_the_explicit_ones(
    operator, product, data, m, seed, compiled
):
    parts = data.draw(factors(product))
    dtype = parts[0].dtype
    exact = explicit(product, parts)
    P = PRODUCTS[product](*parts)
    assert P.shape == exact.shape
    assert P.dtype == dtype
    close(P.toarray(), exact, dtype)
    S = OPERATORS[operator](m, [A.shape[0] for A in parts], rng=seed)
    assert S.shape == (m, exact.shape[0])
    with kernels(compiled):
        got = S @ P
        assert got.dtype == dtype
        close(got, S.toarray() @ exact, dtype)
        close(S @ exact, S.toarray() @ exact, dtype)
    assert pickle.loads(pickle.dumps(S)) == S


@pytest.mark.parametrize("product", PRODUCTS)
@given(
    data=st.data(), columns=st.integers(0, 3), seed=seeds, block=st.sampled_from([1, 200, 2**23])
)
@settings(max_examples=40)
def test_lazy_products_are_operators(product, data, columns, seed, block):
    parts = data.draw(factors(product))
    dtype = parts[0].dtype
    exact, P = explicit(product, parts), PRODUCTS[product](*parts)
    gen = np.random.default_rng(seed)
    X = random_array(gen, (exact.shape[1], columns), dtype)
    Y = random_array(gen, (exact.shape[0], columns), dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor, "_BLOCK_BYTES", block)
        close(P.mat(X), exact @ X, dtype)
        close(P @ X, exact @ X, dtype)
        for j in range(columns):
            close(P @ X[:, j], exact @ X[:, j], dtype)
        close(P.rmat(Y), exact.conj().T @ Y, dtype)
        close(P.entries(), exact, dtype)
        i, j = sorted(gen.integers(0, exact.shape[0] + 1, 2))
        close(P.row_block(i, j), exact[i:j], dtype)
    assert (pickle.loads(pickle.dumps(P)).toarray() == P.toarray()).all()


def test_lazy_products_of_sparse_factors_and_their_singular_values():
    gen = np.random.default_rng(0)
    A, B = sp.random_array((40, 2), density=0.3, rng=gen), gen.standard_normal((30, 2))
    for name, product in PRODUCTS.items():
        exact, P = explicit(name, [A.toarray(), B]), product(A, B)
        x = gen.standard_normal((exact.shape[1], 2))
        close(P.mat(x + 1j), exact @ (x + 1j), float)
        s = randomized_svd(P, P.shape[1], rng=0).s
        np.testing.assert_allclose(s, np.linalg.svd(exact, compute_uv=False), rtol=1e-10)


@pytest.mark.parametrize("product", PRODUCTS)
def test_products_with_factors_of_other_namespaces_are_refused(product):
    A = FORMS["array-api-strict"](np.ones((30, 2)))
    P = PRODUCTS[product](A, A)
    for call in (lambda: randomized_svd(P, 1), lambda: lstsq(P, np.ones(900))):
        with pytest.raises(InputTypeError, match="NumPy"):
            call()


@pytest.mark.parametrize("operator", ["srht", "signs"])
def test_long_vectors_are_sketched_factor_by_factor(operator, monkeypatch):
    """In any partition, with products of few entries made at a time or of many."""
    gen = np.random.default_rng(0)
    S = OPERATORS[operator](20, (13, 7, 50), rng=0)
    X = gen.standard_normal((13 * 7 * 50, 2))
    exact = S.toarray() @ X
    for entries in (1, 3000, 1 << 20):
        monkeypatch.setattr(tensor_operators, "_PRODUCT_ENTRIES", entries)
        close(S @ X, exact, float)
        close(S @ X[:, 0], exact[:, 0], float)
        out = np.zeros((20, 2))
        for i, j in itertools.pairwise([0, 3, 50, 51, 1000, 1225, 4550]):
            S.apply_rows(X[i:j], i, out)
        close(out, exact, float)


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_rows_of_the_operator_are_products_of_rows_of_the_factors(operator):
    S = OPERATORS[operator](12, (5, 7, 3), rng=0)
    parts = [T.toarray() for T in S._factors]
    if operator == "sketch":
        spectra = [np.fft.fft(T, axis=0) for T in parts]
        exact = np.fft.ifft(rowwise(spectra), axis=0)
    else:
        exact = rowwise(parts) / np.sqrt(12)
    np.testing.assert_allclose(S.toarray(), exact.real, rtol=0, atol=1e-14)


def rowwise(parts):
    """Tensor products of matching rows."""
    result = parts[0]
    for T in parts[1:]:
        result = (result[:, :, None] * T[:, None, :]).reshape(result.shape[0], -1)
    return result


@pytest.mark.parametrize("form", [form for form in FORMS if form not in OPERATOR_FORMS])
@pytest.mark.parametrize("operator", OPERATORS)
def test_factors_of_all_forms(form, operator):
    gen = np.random.default_rng(0)
    for dtype in DTYPES:
        A, B = random_array(gen, (12, 3), dtype), random_array(gen, (9, 3), dtype)
        for S in (OPERATORS[operator](8, (12, 9), rng=0), OPERATORS[operator](8, (12, 9), rng=0)):
            for name, product in PRODUCTS.items():
                got = S @ product(FORMS[form](A), FORMS[form](B))
                close(got, S.toarray() @ explicit(name, [A, B]), dtype)
    T = OPERATORS[operator](8, (12, 9), rng=0, dtype=complex)
    got = T @ kron(FORMS[form](A.real), FORMS[form](B.real))
    assert "complex" in str(got.dtype)


def test_factors_on_a_device_stay_there():
    xp = pytest.importorskip("array_api_strict")
    device = xp.Device("device1")
    gen = np.random.default_rng(0)
    A, B = gen.standard_normal((12, 3)), gen.standard_normal((9, 3))
    there = [xp.asarray(x, device=device) for x in (A, B)]
    for make in OPERATORS.values():
        S = make(8, (12, 9), rng=0)
        for name, product in PRODUCTS.items():
            got = S @ product(*there)
            assert got.device == device
            got = xp.asarray(got, device=xp.Device("CPU_DEVICE"))
            close(got, S.toarray() @ explicit(name, [A, B]), float)
    with pytest.raises(InputTypeError, match="host memory"):
        Gaussian(3, 108, rng=0) @ kron(*there)
    with pytest.raises(InputTypeError, match="`factors\\[1\\]`"):
        kron(A, there[1])


def test_other_operators_read_the_rows_block_by_block(monkeypatch):
    monkeypatch.setattr(tensor, "_BLOCK_BYTES", 4096)
    gen = np.random.default_rng(0)
    A, B = gen.standard_normal((30, 3)), sp.random_array((20, 3), density=0.4, rng=gen)
    for name, product in PRODUCTS.items():
        P, exact = product(A, B), explicit(name, [A, B.toarray()])
        for S in (Gaussian(9, 600, rng=0), SparseSign(9, 600, rng=0), SRHT(9, 600, rng=0)):
            close(S @ P, S.toarray() @ exact, float)
        # Factors of other sizes than those of the operator.
        S = TensorSRHT(9, (20, 30), rng=0)
        close(S @ P, S.toarray() @ exact, float)
        close(P.toarray(), exact, float)


def test_products_of_mixed_precision_and_whole_numbers():
    A, B = np.arange(6).reshape(3, 2), np.ones((2, 2), np.float32)
    P = khatri_rao(A, B)
    assert P.dtype == np.float64
    np.testing.assert_array_equal(P.toarray(), scipy.linalg.khatri_rao(A, B))
    assert repr(P) == "khatri_rao((3, 2), (2, 2))"
    S = TensorSketch(4, (3, 2), rng=0)
    assert (S @ P).dtype == np.float64


def test_sizes_of_any_kind():
    same = [TensorSRHT(4, n, rng=0) for n in ((3, 2), [3, 2], np.array([3, 2]))]
    assert same[0] == same[1] == same[2] != TensorSRHT(4, (2, 3), rng=0)
    assert repr(same[2]).startswith("TensorSRHT(4, 6, sizes=(3, 2), key=0x")
    assert TensorSketch(4, 6, rng=0) == TensorSketch(4, [6], rng=0)


def test_empty_products():
    for make in OPERATORS.values():
        S = make(4, (3, 2), rng=0)
        assert (S @ kron(np.ones((3, 0)), np.ones((2, 2)))).shape == (4, 0)
        assert (make(0, (3, 2), rng=0) @ kron(np.ones((3, 1)), np.ones((2, 2)))).shape == (0, 2)
        none = make(4, (0, 2), rng=0) @ kron(np.ones((0, 1)), np.ones((2, 2)))
        np.testing.assert_array_equal(none, np.zeros((4, 2)))


def test_nan_goes_through():
    A, B = np.ones((6, 2)), np.ones((5, 2))
    A[2, 1] = np.nan
    for make in OPERATORS.values():
        got = make(8, (6, 5), rng=0) @ khatri_rao(A, B)
        assert np.isnan(got[:, 1]).any()
        assert np.isfinite(got[:, 0]).all()


@pytest.mark.large
def test_a_product_that_could_not_be_formed():
    gen = np.random.default_rng(0)
    A, B = gen.standard_normal((200_000, 4)), gen.standard_normal((100_000, 4))
    for make in OPERATORS.values():
        Y = make(400, (200_000, 100_000), rng=0) @ khatri_rao(A, B)
        gram = (A.T @ A) * (B.T @ B)
        assert np.linalg.norm(Y.T @ Y - gram) <= 0.5 * np.linalg.norm(gram)


@pytest.mark.stat
def test_coherent_products_are_embedded_by_dense_operators():
    # Coordinate subspaces of both factors; d = 16, m = 16 d. Rows of few factors have heavier
    # tails than Gaussian ones, so the bounds are wider than 1 +- 1/4.
    E = np.eye(64)[:, :4]
    for make in (TensorSRHT, KhatriRaoSign):
        for key in range(20):
            s = np.linalg.svd(make(256, (64, 64), rng=key) @ kron(E, E), compute_uv=False)
            assert s[-1] > 0.45
            assert s[0] < 1.6


BAD_CALLS = {
    "`kron` needs at least one factor": (InputError, kron),
    "`factors[1]` must have 2 dimensions": (InputError, lambda: kron(np.eye(2), np.ones(3))),
    "`factors` must have equally many": (InputError, lambda: khatri_rao(np.eye(2), np.eye(3))),
    "`factors[0]` must be an array": (
        InputTypeError,
        lambda: kron(OPERATOR_FORMS["operator"](np.eye(2))),
    ),
    "`n` must have at least one": (InputError, lambda: TensorSketch(3, [])),
    "`n` must be in": (InputError, lambda: TensorSRHT(3, (2**40, 2**40))),
    "`n` must be an integer": (InputTypeError, lambda: KhatriRaoSign(3, (2, 1.5))),
    "`X` must be an array of 4 rows for kron((2, 2), (2, 2)), got shape (3, 1)": (
        InputError,
        lambda: kron(np.eye(2), np.eye(2)) @ np.ones(3),
    ),
    "`X` must have 6 rows": (
        InputError,
        lambda: TensorSRHT(3, (2, 3), rng=0) @ kron(np.eye(2), np.eye(2)),
    ),
}


@pytest.mark.parametrize("message", BAD_CALLS)
def test_refusals(message):
    error, call = BAD_CALLS[message]
    with pytest.raises(error) as info:
        call()
    assert str(info.value).startswith(message)

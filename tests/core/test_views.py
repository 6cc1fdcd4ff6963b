"""Scaled and centred matrices, and the check that comes first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from lowapprox._core.errors import InputError, InputTypeError, NumericalError
from lowapprox._core.matrix import as_matrix
from lowapprox._core.views import Centred, Scaled, normalize
from tests.reference import centred, random_array
from tests.strategies import DTYPES, FORMS, OPERATOR_FORMS, matrices, seeds, spectral_matrices

ENTRY_FORMS = sorted(set(FORMS) - set(OPERATOR_FORMS))


def products(op: Any, seed: int) -> tuple[np.ndarray, ...]:
    """X, A X, Y, A^H Y for fixed panels."""
    gen = np.random.default_rng(seed)
    X, Y = (random_array(gen, (n, 2), op.dtype) for n in op.shape[::-1])
    return X, op.to_numpy(op.mat(op.from_numpy(X))), Y, op.to_numpy(op.rmat(op.from_numpy(Y)))


@given(matrices(max_side=15), st.sampled_from(sorted(FORMS)), st.integers(-90, 90), seeds)
def test_scaling_by_a_power_of_two_is_exact(
    A: np.ndarray, form: str, exponent: int, seed: int
) -> None:
    A = (np.round(A * 2**10) / 2**10).astype(A.dtype)  # far from the subnormal numbers
    op, factor = as_matrix(FORMS[form](A)), 2.0**exponent
    scaled = Scaled(op, exponent)
    for one, two in zip(products(op, seed), products(scaled, seed), strict=True):
        assert two.dtype == A.dtype
        same = np.array_equal(one, two)
        assert same or np.array_equal(one * A.real.dtype.type(factor), two)
    np.testing.assert_array_equal(op.to_numpy(scaled.entries()), A * A.real.dtype.type(factor))
    if op.kind != "operator":
        assert scaled.max_abs() == op.max_abs() * factor


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize(
    ("dtype", "value", "exponent"),
    [
        ("d", 2.0**-1070, 1070),
        ("d", 2.0**1023, -1023),
        ("d", 5e-324, 1074),
        ("f", 2.0**-148, 148),
        ("f", 2.0**127, -127),
        ("D", 2.0**-1070, 1070),
        ("F", 2.0**127, -127),
    ],
)
def test_scaling_reaches_the_ends_of_the_range(
    form: str, dtype: str, value: float, exponent: int
) -> None:
    """The factor alone overflows, and so does a panel that it multiplies."""
    if form == "csr messy" and value == 5e-324:
        pytest.skip("half of the smallest number is zero")
    A = np.full((3, 2), value, dtype)
    scaled = Scaled(as_matrix(FORMS[form](A)), exponent)
    ones = np.full((3, 2), np.ldexp(value, exponent), dtype)
    X, AX, Y, AY = products(scaled, 0)
    tolerance = {"rtol": 8 * scaled.eps, "atol": 8 * scaled.eps}
    np.testing.assert_allclose(AX, ones @ X, **tolerance)
    np.testing.assert_allclose(AY, ones.T @ Y, **tolerance)
    np.testing.assert_array_equal(scaled.to_numpy(scaled.entries()), ones)
    if scaled.kind != "operator":
        assert scaled.max_abs() == ones[0, 0].real
        assert scaled.fro2() == pytest.approx(np.linalg.norm(ones) ** 2)


def assert_centred(A: np.ndarray, form: str, seed: int, slack: float = 1.0) -> None:
    op = Centred(as_matrix(FORMS[form](A)))
    C = centred(A)
    scale = np.linalg.norm(A.astype(C.dtype)) * slack
    X, CX, Y, CY = products(op, seed)
    bound = 16 * (sum(A.shape) + 8) * op.eps * scale
    assert np.abs(CX - C @ X).max() <= bound * np.linalg.norm(X)
    assert np.abs(CY - C.conj().T @ Y).max() <= bound * np.linalg.norm(Y)
    assert CX.dtype == CY.dtype == A.dtype
    mean = A.astype(C.dtype).mean(axis=0)
    np.testing.assert_allclose(
        op.to_numpy(op.mean), mean, rtol=16 * op.eps, atol=16 * op.eps * np.abs(A).max()
    )
    total = op.fro2()
    if op.kind == "operator":
        assert total is None
    else:
        # The mean is rounded to the precision of A, which moves every entry by that much.
        limit = 32 * (A.size + 8) * op.eps * np.linalg.norm(C) * scale
        limit += A.size * (16 * op.eps * np.abs(A).max()) ** 2
        assert total is not None
        assert abs(total - np.linalg.norm(C) ** 2) <= limit


@given(matrices(), st.sampled_from(sorted(FORMS)), seeds)
def test_centring_equals_that_of_the_dense_matrix(A: np.ndarray, form: str, seed: int) -> None:
    assert_centred(A, form, seed)


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_constant_columns_become_zero(form: str, dtype: np.dtype, gen: Any) -> None:
    A = np.repeat(random_array(gen, (1, 4), dtype), 33, axis=0)
    op = Centred(as_matrix(FORMS[form](A)))
    X, CX, Y, CY = products(op, 0)
    noise = 64 * op.eps * np.abs(A).max()
    assert np.abs(CX).max() <= noise * np.linalg.norm(X)
    assert np.abs(CY).max() <= noise * np.linalg.norm(Y)
    if op.kind != "operator":
        assert op.fro2() <= A.size * noise**2


@pytest.mark.parametrize("form", sorted(OPERATOR_FORMS))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_centred_operator(form: str, dtype: np.dtype, gen: np.random.Generator) -> None:
    assert_centred(random_array(gen, (30, 7), dtype) + 1, form, 0)


@pytest.mark.parametrize("form", ENTRY_FORMS)
def test_dominating_means_do_not_cancel(form: str, gen: np.random.Generator) -> None:
    """The squared norm is right although it is 1e-14 of the part that the means carry."""
    A = random_array(gen, (50, 6), float) + 1e7
    if "csr" in form or "array" in form or "matrix" in form:
        A[::7, 2] = 0.0  # unstored entries count too
    op = Centred(as_matrix(FORMS[form](A)))
    assert op.fro2() == pytest.approx(np.linalg.norm(centred(A)) ** 2, rel=1e-6)


def test_a_sparse_matrix_with_dominating_means_and_unstored_zeros() -> None:
    A = np.full((40, 3), 1e8)
    A[0, 1] = 0.0
    op = Centred(as_matrix(scipy.sparse.csr_array(A)))
    assert op.fro2() == pytest.approx(np.linalg.norm(centred(A)) ** 2, rel=1e-12)


def test_long_float32_columns_keep_their_mean(gen: np.random.Generator) -> None:
    A = (gen.random((200_000, 2)) + 1000).astype(np.float32)
    mean = Centred(as_matrix(A)).mean
    np.testing.assert_allclose(mean, A.mean(axis=0, dtype=float), rtol=2e-6)


@given(
    spectral_matrices(min_side=1, scaled=True, spectra=("harmonic", "flat", "rank-3", "graded")),
    st.sampled_from(sorted(FORMS)),
)
def test_normalize_brings_every_scale_into_range(spectral: Any, form: str) -> None:
    A = spectral.A
    op, exponent, fro2 = normalize(as_matrix(FORMS[form](A)))
    if op.kind == "operator":
        assert fro2 is None
    else:
        expected = np.linalg.norm(np.ldexp(1.0, -exponent) * A.astype(np.result_type(A, float)))
        assert fro2 == pytest.approx(expected**2, rel=1e-3 if op.eps > 1e-10 else 1e-10)
        assert 1e-24 < fro2 < 1e24 if op.eps > 1e-10 else 1e-200 < fro2 < 1e200
    X, AX, _, _ = products(op, 0)
    again = np.ldexp(1.0, -exponent) * (A.astype(np.result_type(A, float)) @ X)
    limit = (
        64 * sum(A.shape) * op.eps * np.linalg.norm(A.astype(complex) * np.ldexp(1.0, -exponent))
    )
    assert np.abs(AX - again).max() <= limit * np.linalg.norm(X)


def test_normalize_of_a_centred_matrix() -> None:
    A = np.random.default_rng(0).standard_normal((20, 10)) + 5
    for factor in (1.0, 2.0**-700, 2.0**700):
        _, exponent, fro2 = normalize(Centred(as_matrix(A * factor)))
        exact = np.linalg.norm(centred(A) * np.ldexp(factor, -exponent)) ** 2
        assert fro2 == pytest.approx(exact, rel=1e-12)
    tiny = scipy.sparse.csr_array(A * 2.0**-700)
    with pytest.raises(InputTypeError, match="no stored entries"):  # not those without the mean
        normalize(Centred(as_matrix(tiny)))


def test_views_have_no_source() -> None:
    op = as_matrix(np.ones((3, 2)))
    for view in (Centred(op), Scaled(op, 1), op.H):
        assert not hasattr(view, "source")
        assert not hasattr(view, "csr")
    with pytest.raises(InputTypeError, match="got Scaled"):
        Scaled(op, 1).row_block(0, 1)


def test_ordinary_scales_are_left_alone() -> None:
    base = as_matrix(np.ones((3, 2)))
    op, exponent, fro2 = normalize(base)
    assert op is base
    assert (exponent, fro2) == (0, 6.0)


@pytest.mark.parametrize("form", ENTRY_FORMS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_normalize_refuses_nan_and_infinity(form: str, bad: float, dtype: np.dtype) -> None:
    A = np.ones((5, 4), dtype)
    A[3, 2] = bad
    with pytest.raises(InputError, match=r"`K` must contain finite numbers"):
        normalize(as_matrix(FORMS[form](A)), "K")


@pytest.mark.parametrize("form", sorted(OPERATOR_FORMS))
def test_normalize_refuses_operators_with_nan(form: str) -> None:
    A = np.eye(4)
    A[2, 2] = np.nan
    with pytest.raises(NumericalError, match="NaN"):
        normalize(as_matrix(FORMS[form](A)))


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_normalize_of_zero(form: str, dtype: np.dtype) -> None:
    op, exponent, fro2 = normalize(as_matrix(FORMS[form](np.zeros((3, 2), dtype))))
    assert exponent == 0
    assert fro2 == (None if op.kind == "operator" else 0.0)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
@pytest.mark.parametrize("form", ["C", "csr_array", "operator", "array-api-strict", "big-endian"])
def test_normalize_of_nothing(form: str, shape: tuple[int, int]) -> None:
    op, exponent, fro2 = normalize(as_matrix(FORMS[form](np.zeros(shape))))
    assert exponent == 0
    assert fro2 == (None if op.kind == "operator" else 0.0)


@pytest.mark.parametrize("value", [5e-324, 1e-310, 1e-200, 1e200, 1.7e308])
def test_normalize_at_the_ends_of_the_range(value: float) -> None:
    A = np.diag([value, value, 0.0])
    op, exponent, fro2 = normalize(as_matrix(A))
    assert fro2 == pytest.approx(2.0 * np.ldexp(value, -exponent) ** 2)
    assert op.mat(np.eye(3))[0, 0] == np.ldexp(value, -exponent)

"""Randomized Nystrom approximation: semidefinite order, error, solves, inputs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse.linalg
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import AccuracyWarning, InputError, InputTypeError, NumericalError
from lowapprox._core.matrix import as_matrix
from lowapprox._core.views import Scaled
from lowapprox.svd import nystrom
from tests.reference import CountedOperator, orthonormal, orthonormality_defect, random_array
from tests.strategies import DENSE_FORMS, DTYPES, FORMS, OPERATOR_FORMS, psd_matrices, seeds


def psd(n, values, dtype=float, seed=7):
    Q = orthonormal(np.random.default_rng(seed), n, len(values), np.result_type(dtype, float))
    K = (Q * values) @ Q.conj().T
    return ((K + K.conj().T) / 2).astype(dtype)


@given(psd_matrices(), st.data(), seeds)
def test_lies_below_the_matrix(K, data, seed):
    n = K.shape[0]
    rank = data.draw(st.integers(1, n))
    res = nystrom(K, rank, rng=seed)
    assert res.U.shape == (n, rank)
    assert res.U.dtype == K.dtype
    assert res.w.dtype == K.real.dtype
    assert (np.diff(res.w) <= 0).all()
    assert (res.w >= 0).all()
    eps = float(np.finfo(K.dtype).eps)
    top = float(np.linalg.eigvalsh(K)[-1])
    assert orthonormality_defect(res.U) <= 20 * eps * np.sqrt(n * rank)
    U = res.U.astype(np.result_type(K, float))
    E = K - (U * res.w.astype(float)) @ U.conj().T
    rounding = 50 * n * eps * max(top, 0.0)
    assert np.linalg.eigvalsh(E)[0] >= -rounding
    assert res.error_kind == "exact"
    assert res.trace_error == pytest.approx(E.trace().real, abs=n * rounding)
    # Eckart-Young, eigenvalue by eigenvalue: the approximation is below the matrix.
    values = np.linalg.eigvalsh(K)[::-1][:rank]
    assert (res.w <= values + rounding).all()
    if rank == n:
        np.testing.assert_allclose(res.w, values, atol=rounding)


@pytest.mark.parametrize("dtype", DTYPES)
def test_exact_for_low_rank(dtype):
    K = psd(100, np.array([4.0, 3.0, 2.0, 1.0]), dtype)
    res = nystrom(K, 4, rng=0)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(res.w, [4, 3, 2, 1], atol=1e3 * eps)
    np.testing.assert_allclose(res.reconstruct(), K, atol=1e3 * eps)
    wide = nystrom(K, 10, rng=0)  # more than there is: zeros, and still orthonormal
    np.testing.assert_allclose(wide.w[4:], 0, atol=1e3 * eps)
    assert orthonormality_defect(wide.U) <= 100 * eps


@pytest.mark.stat
def test_mean_error_meets_the_bound_of_the_paper():
    values = 1.0 / np.arange(1, 151)
    K, k = psd(150, values), 20
    errors = [nystrom(K, k, rng=seed).trace_error for seed in range(30)]
    sketch = nystrom(K, k, rng=0).info["sketch_size"]
    best = values[k:].sum()
    assert np.mean(errors) <= best * (1 + k / (sketch - k - 1))
    assert min(errors) >= best * (1 - 1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_forms_agree(form, dtype):
    K = psd(40, 0.7 ** np.arange(40), dtype)
    before = K.copy()
    res, expected = nystrom(FORMS[form](K), 8, rng=3), nystrom(K, 8, rng=3)
    np.testing.assert_allclose(np.asarray(res.w), expected.w, atol=1e-13)
    np.testing.assert_allclose(np.asarray(res.reconstruct()), expected.reconstruct(), atol=1e-12)
    np.testing.assert_array_equal(K, before)
    assert res.error_kind == ("estimate" if form in OPERATOR_FORMS else "exact")


def test_torch_stays_torch():
    torch = pytest.importorskip("torch")
    K = psd(40, 0.7 ** np.arange(40), np.float32)
    res = nystrom(torch.from_numpy(K), 8, rng=3)
    assert res.U.dtype == res.w.dtype == torch.float32
    b = torch.ones(40)
    np.testing.assert_allclose(
        (res.reconstruct() @ res.solve(b, 0.5) + 0.5 * res.solve(b, 0.5)).numpy(), b, atol=1e-5
    )


@pytest.mark.stat
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_estimated_trace_error_of_an_operator_is_unbiased(dtype):
    K = psd(60, 1.0 / np.arange(1, 61), dtype)
    ratios = []
    for seed in range(200):
        op = CountedOperator(K)
        res = nystrom(op, 10, rng=seed)
        assert op.columns == res.matvecs + 1  # one column more tells the scale
        E = K - res.reconstruct()
        ratios.append(res.trace_error / E.trace().real)
    assert abs(np.mean(ratios) - 1) < 5 * np.std(ratios) / np.sqrt(200)
    assert np.std(ratios) > 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [None, 3])
def test_solve(dtype, columns):
    K = psd(50, 0.5 ** np.arange(50), dtype)
    res = nystrom(K, 10, rng=0)
    b = random_array(np.random.default_rng(1), (50,) if columns is None else (50, columns), dtype)
    for mu in (1e-3, 1.0, 100.0):
        x = res.solve(b, mu)
        assert x.shape == b.shape
        assert x.dtype == dtype
        wide = np.result_type(dtype, float)
        dense = res.reconstruct().astype(wide) + mu * np.eye(50)
        np.testing.assert_allclose(
            x, np.linalg.solve(dense, b), atol=1e3 * np.finfo(dtype).eps * np.abs(x).max() / mu**0.5
        )


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_preconditioner(dtype):
    n, mu = 300, 1e-5
    K = psd(n, 1.0 / np.arange(1, n + 1) ** 2, dtype)
    res = nystrom(K, 60, rng=0)
    P = res.preconditioner(mu)
    assert isinstance(P, scipy.sparse.linalg.LinearOperator)
    dense = P @ np.eye(n)
    w, U = res.w, res.U
    inverse = (U * ((w + mu) / (w[-1] + mu))) @ U.conj().T + np.eye(n) - U @ U.conj().T
    np.testing.assert_allclose(dense @ inverse, np.eye(n), atol=1e-8)
    system = K + mu * np.eye(n)
    b = random_array(np.random.default_rng(1), (n,), dtype)
    steps = {}
    for name, M in (("plain", None), ("preconditioned", P)):
        count = []
        x, failed = scipy.sparse.linalg.cg(system, b, M=M, rtol=1e-9, callback=count.append)
        assert not failed
        np.testing.assert_allclose(system @ x, b, atol=1e-7)
        steps[name] = len(count)
    assert steps["preconditioned"] < steps["plain"] / 4


def test_linear_operator():
    K = psd(30, 0.5 ** np.arange(30), np.complex128)
    res = nystrom(K, 6, rng=0)
    op = res.as_linear_operator()
    np.testing.assert_allclose(op @ np.eye(30), res.reconstruct(), atol=1e-14)
    np.testing.assert_allclose(op.H @ np.ones(30), res.reconstruct() @ np.ones(30), atol=1e-14)


@pytest.mark.parametrize("factor", [2.0**-600, 1e-200, 1e200, 2.0**600])
def test_extreme_scales(factor):
    K = psd(40, 0.7 ** np.arange(40))
    res, scaled = nystrom(K, 8, rng=3), nystrom(K * factor, 8, rng=3)
    np.testing.assert_allclose(scaled.w / factor, res.w, rtol=1e-12)
    assert scaled.trace_error == pytest.approx(res.trace_error * factor, rel=1e-10, abs=0)


@pytest.mark.parametrize("form", ["C", "csr_array"])
def test_a_view_is_seen_through_its_products(form):
    B = random_array(np.random.default_rng(0), (30, 4), float)
    result = nystrom(Scaled(as_matrix(FORMS[form](B @ B.T)), 3), 4, rng=0)
    np.testing.assert_allclose(result.reconstruct(), 8 * (B @ B.T), atol=1e-11)
    assert result.error_kind == "estimate"
    assert result.trace_error < 1e-9


def test_shift():
    K = psd(40, 0.7 ** np.arange(40))
    res = nystrom(K, 8, shift=0.0, rng=3)
    np.testing.assert_allclose(res.w, nystrom(K, 8, rng=3).w, atol=1e-12)
    big = nystrom(K, 8, shift=0.3, rng=3)
    assert big.info["shift"] == pytest.approx(0.3)
    assert np.linalg.eigvalsh(K - big.reconstruct())[0] > -0.3
    assert big.trace_error > res.trace_error


def test_directions_that_rounding_made_negative_are_dropped():
    K = psd(40, np.r_[1.0, 0.5, 0.25, np.zeros(37)])
    with pytest.warns(AccuracyWarning, match="directions were dropped"):
        res = nystrom(K, 20, shift=0.0, rng=3)
    np.testing.assert_allclose(res.w, np.r_[1.0, 0.5, 0.25, np.zeros(17)], atol=1e-14)
    np.testing.assert_allclose(res.reconstruct(), K, atol=1e-14)
    assert orthonormality_defect(res.U) < 1e-13


def test_zero_empty_single():
    res = nystrom(np.zeros((5, 5)), 3, rng=0)
    assert res.w.tolist() == [0, 0, 0]
    assert orthonormality_defect(res.U) < 1e-14
    assert res.trace_error == 0
    assert nystrom(np.zeros((0, 0)), 0).U.shape == (0, 0)
    np.testing.assert_allclose(nystrom([[4]], 1, rng=0).w, [4.0], rtol=1e-14)


@pytest.mark.parametrize("form", ["C", "csr_array", "operator"])
def test_indefinite_is_refused(form):
    values = 0.7 ** np.arange(40)
    values[5] *= -1  # large: found in the compression
    with pytest.raises(NumericalError, match="positive semidefinite"):
        nystrom(FORMS[form](psd(40, values)), 8, rng=0)
    with pytest.raises(NumericalError, match="positive semidefinite"):
        nystrom(FORMS[form](-psd(40, 0.7 ** np.arange(40))), 8, rng=0)


@pytest.mark.parametrize("form", ["C", "csr_array", "array-api-strict"])
def test_indefinite_is_found_in_the_residual(form):
    """One negative eigenvalue in a flat spectrum: no random compression is indefinite."""
    K = np.eye(400)
    K[123, 123] = -0.5
    with pytest.raises(NumericalError, match="quadratic form of the residual"):
        nystrom(FORMS[form](K), 8, rng=0)


def test_not_hermitian_is_refused():
    A = np.random.default_rng(0).standard_normal((30, 30)) + 20 * np.eye(30)
    for form in ("C", "csr_array", "operator"):
        with pytest.raises(InputError, match="Hermitian"):
            nystrom(FORMS[form](A), 5, rng=0)
    with pytest.raises(InputError, match="not real"):
        nystrom(np.eye(5) * (1 + 1j), 2, rng=0)


def test_wrong_arguments_are_refused():
    K = np.eye(4)
    with pytest.raises(InputError, match="square"):
        nystrom(np.ones((3, 4)), 1)
    for bad in (0, 5):
        with pytest.raises(InputError, match="`rank`"):
            nystrom(K, bad)
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="`shift`"):
            nystrom(K, 2, shift=bad)
    with pytest.raises(InputTypeError, match="`shift`"):
        nystrom(K, 2, shift="large")
    res = nystrom(K, 2, rng=0)
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="`mu`"):
            res.solve(np.ones(4), bad)
    with pytest.raises(InputTypeError, match="`mu`"):
        res.solve(np.ones(4), None)
    with pytest.raises(InputError, match="`b`"):
        res.solve(np.ones(5), 1.0)
    with pytest.raises(InputError, match="`mu`"):
        nystrom(np.diag([1.0, 0.0, 0.0]), 2, rng=0).preconditioner(0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("form", [*DENSE_FORMS, "csr_array"])
def test_nan_is_refused(form, bad):
    K = np.eye(10)
    K[3, 4] = K[4, 3] = bad
    with pytest.raises(InputError, match="finite"):
        nystrom(FORMS[form](K), 3, rng=0)


def test_nan_in_an_operator_is_refused():
    K = np.eye(10)
    K[3, 4] = K[4, 3] = np.nan
    with pytest.raises(NumericalError, match="NaN"):
        nystrom(FORMS["operator"](K), 3, rng=0)


def test_result_object():
    K = psd(30, 0.5 ** np.arange(30))
    res, again = nystrom(K, 6, rng=1), nystrom(K, 6, rng=1)
    np.testing.assert_array_equal(res.U, again.U)
    copy = pickle.loads(pickle.dumps(res))
    np.testing.assert_array_equal(copy.w, res.w)
    assert repr(res).startswith("NystromResult(U=(30, 6), w=(6,), trace_error=")
    assert res.passes == 1

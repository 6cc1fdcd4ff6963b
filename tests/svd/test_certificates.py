"""What is said about errors: exact values, estimates, bounds and missed values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import ConvergenceWarning, InputError, InputTypeError
from lowapprox._core.matrix import as_matrix
from lowapprox.svd import estimate_error, randomized_svd
from lowapprox.svd.estimates import frobenius_probe, spectral_probe
from tests.reference import centred, error, product, residuals, with_spectrum
from tests.strategies import DTYPES, FORMS, SPECTRA, quiet, seeds, spectral_matrices
from tests.svd.problems import METHODS

REAL_AND_COMPLEX = (np.float64, np.complex128)


def matrix(spectrum="harmonic", dtype=float, shape=(300, 200)):
    s = SPECTRA[spectrum](np.arange(float(min(shape))))
    return with_spectrum(np.random.default_rng(0), *shape, s, dtype)


def truncated(A, k):
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    return U[:, :k], s[:k], Vh[:k]


# ---- exact where it is free


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ["C", "csr_array", "array-api-strict"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_frobenius_error_is_exact(method, form, dtype):
    A = matrix(dtype=dtype)
    for accuracy in ("fast", "high"):
        res = randomized_svd(FORMS[form](A), 12, method=method, accuracy=accuracy, rng=0)
        assert res.error_kind == "exact"
        true = error(A, product(*(np.asarray(x) for x in res)))
        # Twice the square root of rounding, over the relative error: the difference cancels.
        assert res.error == pytest.approx(true, rel=1e-3 if A.real.dtype == np.float32 else 1e-9)
        assert res.fro_norm == pytest.approx(np.linalg.norm(A), rel=1e-5)
        share = np.asarray(res.explained_variance_ratio)
        np.testing.assert_allclose(share.sum(), 1 - (true / np.linalg.norm(A)) ** 2, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tiny_errors_are_not_called_exact(dtype):
    """Where ``|A|^2 - sum s^2`` cancels the error is estimated from products, or bounded."""
    A = matrix("geometric", dtype)
    true_rank = 34 if A.real.dtype == np.float32 else 80
    for certify, kind in (("free", "estimate"), ("none", "bound")):
        res = randomized_svd(A, true_rank, method="krylov", certify=certify, accuracy="full", rng=0)
        assert res.error_kind == kind
        true = error(A, product(*res))
        eps = float(np.finfo(dtype).eps)
        if kind == "bound":
            assert true <= res.error <= 1e2 * np.sqrt(eps)
        else:
            assert true / 3 - 10 * eps <= res.error <= 3 * true + 100 * eps


@pytest.mark.parametrize("method", ["krylov", "subspace", "gram"])
@pytest.mark.parametrize("dtype", REAL_AND_COMPLEX)
def test_operators_get_an_estimate(method, dtype):
    A = matrix(dtype=dtype)
    ratios = []
    for seed in range(30):
        res = randomized_svd(FORMS["operator"](A), 12, method=method, rng=seed)
        assert res.error_kind == "estimate"
        ratios.append((res.error / error(A, product(*res))) ** 2)
        assert res.fro_norm == pytest.approx(np.linalg.norm(A), rel=0.3)
    # The square is unbiased; the standard error of 300 probes is far below.
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.15)


def test_no_products_beyond_those_of_the_method():
    A = matrix()
    free, none = (
        randomized_svd(A, 12, method="krylov", certify=c, rng=0) for c in ("free", "none")
    )
    assert free.matvecs == none.matvecs
    assert free.error == none.error
    probe = randomized_svd(A, 12, method="krylov", certify="probe", rng=0)
    assert probe.matvecs == free.matvecs + 24
    assert probe.passes == free.passes + 2
    assert (free.error_bound, free.failure_probability) == (None, None)
    res = randomized_svd(FORMS["operator"](A), 12, method="krylov", certify="none", rng=0)
    assert np.isnan(res.error)
    assert np.isnan(res.fro_norm)
    with pytest.raises(InputTypeError, match="certify"):
        _ = res.explained_variance_ratio


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("spectrum", ["harmonic", "root", "step"])
def test_spectral_error(method, spectrum):
    A = matrix(spectrum)
    with quiet():
        res = randomized_svd(A, 12, method=method, norm="spectral", accuracy="high", rng=0)
    assert res.norm == "spectral"
    assert res.error == pytest.approx(error(A, product(*res), "spectral"), rel=0.05)
    assert res.error_kind in {"exact", "estimate"}
    if res.error_kind == "exact":
        assert res.error == pytest.approx(error(A, product(*res), "spectral"), rel=1e-6)


# ---- bounds with a probability


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", REAL_AND_COMPLEX)
@pytest.mark.parametrize("spectrum", ["harmonic", "root", "geometric"])
def test_probes_bound_the_spectral_error(method, dtype, spectrum):
    A = matrix(spectrum, dtype)
    for seed in range(10):
        res = randomized_svd(A, 10, method=method, certify="probe", rng=seed)
        true = error(A, product(*res), "spectral")
        assert res.failure_probability == pytest.approx(3.0**-12)
        assert true <= res.error_bound <= 200 * true
        assert res.converged


@pytest.mark.parametrize("dtype", REAL_AND_COMPLEX)
@pytest.mark.parametrize("probes", [1, 2, 3])
def test_bounds_fail_as_rarely_as_stated(dtype, probes):
    """One value above all others is the worst case. The allowance is six deviations."""
    E = np.zeros((12, 9), dtype)
    E[3, 4] = 1j if np.dtype(dtype).kind == "c" else -1.0
    E[5, 6] = 0.05
    op = as_matrix(E)
    fails = 0
    for seed in range(2000):
        gen = np.random.default_rng(seed)
        probe = spectral_probe(op, op.mat, op.rmat, probes, gen)
        assert probe.lower <= 1 + 1e-12
        assert probe.failure_probability == 3.0**-probes
        fails += probe.upper < 1
    allowed = 2000 * 3.0**-probes
    assert fails <= allowed + 6 * np.sqrt(allowed)
    assert fails > 0  # else the bound is looser than it says


def test_frobenius_probe_is_unbiased():
    A = matrix(shape=(40, 30))
    op = as_matrix(A)
    squares = [
        frobenius_probe(op, op.mat, 4, np.random.default_rng(seed)) ** 2 for seed in range(2000)
    ]
    true = np.linalg.norm(A) ** 2
    deviation = np.std(squares) / np.sqrt(2000)
    assert abs(np.mean(squares) - true) < 5 * deviation
    # Var |A w|^2 = 2 sum s^4, divided by the number of probes.
    s4 = float((np.linalg.svd(A, compute_uv=False) ** 4).sum())
    assert np.var(squares) == pytest.approx(2 * s4 / 4, rel=0.3)


class Hiding:
    """An operator that shows a direction only after a number of columns."""

    def __init__(self, A, hidden, columns):
        self.A, self.hidden, self.left = A, hidden, columns
        self.shape, self.dtype = A.shape, A.dtype

    def matmat(self, X):
        self.left -= X.shape[1]
        return (self.A if self.left > 0 else self.A + self.hidden) @ X

    def rmatmat(self, Y):
        return (self.A if self.left > 0 else self.A + self.hidden).T @ Y


@pytest.mark.parametrize("method", ["krylov", "subspace"])
def test_missed_values_are_reported(method):
    """The factors of another matrix: the error is larger than the smallest value found."""
    A = matrix("geometric")
    plain = randomized_svd(FORMS["operator"](A), 5, method=method, certify="none", rng=0)
    gen = np.random.default_rng(1)
    hidden = 3.0 * np.outer(gen.standard_normal(300) / 17, gen.standard_normal(200) / 14)
    op = Hiding(A, hidden, plain.matvecs // 2 + 2)
    with pytest.warns(ConvergenceWarning, match="probes found"):
        res = randomized_svd(op, 5, method=method, certify="probe", rng=0)
    assert not res.converged
    assert res.error_bound >= np.linalg.norm(A + hidden - product(*res), 2)


# ---- residuals


@pytest.mark.parametrize("form", ["C", "csr_array", "operator"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(300, 200), (700, 100), (100, 700)])
def test_residuals_are_honest_at_every_accuracy(form, dtype, shape):
    """Also on the passing long side, which tall sparse matrices and operators take."""
    A = matrix("geometric", dtype, shape)
    eps = float(np.finfo(dtype).eps)
    for accuracy in ("fast", "balanced", "high", "full"):
        with quiet():
            res = randomized_svd(
                FORMS[form](A), 15, method="krylov", accuracy=accuracy, certify="none", rng=0
            )
        true = residuals(A, *res)
        floor = 8 * eps * np.sqrt(max(shape))
        assert (true <= 1.01 * res.residuals + floor).all()
        np.testing.assert_allclose(res.residuals, true, rtol=0.05, atol=floor)


# ---- estimate_error


@pytest.mark.parametrize("norm", ["fro", "spectral"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", REAL_AND_COMPLEX)
def test_estimate_error(norm, form, dtype):
    A = matrix(dtype=dtype, shape=(60, 45))
    factors = truncated(A, 6)
    true = error(A, product(*factors), norm)
    if form == "array-api-strict":
        factors = tuple(FORMS[form](x) for x in (factors[0], factors[2]))
        factors = (factors[0], FORMS[form](truncated(A, 6)[1][:, None])[:, 0], factors[1])
    estimate = estimate_error(FORMS[form](A), factors, norm=norm, probes=12, rng=0)
    assert estimate.lower <= true <= estimate.upper
    assert estimate.lower <= estimate.value <= estimate.upper
    assert true / 3 < estimate.value < 3 * true
    assert (estimate.norm, estimate.probes) == (norm, 12)
    assert estimate.passes == (1 if norm == "fro" else 2)
    if norm == "spectral":
        assert estimate.value <= true * (1 + 1e-12)


def test_frobenius_interval_covers_as_stated():
    """95 % for a matrix of rank one, the widest case; wider spectra are covered more often."""
    for s, low in ((np.array([1.0]), 0.95), (np.ones(8), 0.97)):
        A = with_spectrum(np.random.default_rng(0), 30, 20, s)
        nothing = (np.zeros((30, 1)), np.zeros(1), np.zeros((1, 20)))
        true = np.linalg.norm(A)
        covered = 0
        for seed in range(1500):
            estimate = estimate_error(A, nothing, rng=seed)
            covered += estimate.lower <= true <= estimate.upper
        deviation = np.sqrt(0.95 * 0.05 * 1500)
        assert covered >= low * 1500 - 5 * deviation
        if len(s) == 1:
            assert covered <= low * 1500 + 5 * deviation


@given(spectral_matrices(min_side=2, scaled=True), st.sampled_from(["fro", "spectral"]), seeds)
def test_estimate_error_at_any_scale(made, norm, seed):
    A, s = made.A, made.s
    k = max(1, min(A.shape) // 2)
    if s[k] < 1e-4 * s[0] or s[0] == 0:
        return
    res = randomized_svd(A, k, method="direct")
    estimate = estimate_error(A, res, norm=norm, probes=20, rng=seed)
    true = float(np.linalg.norm(s[k:])) if norm == "fro" else s[k]
    # Twenty probes, rank one at worst: chi-square(20) leaves (0.05, 3.5) with odds of 1e-8.
    assert 0.2 * true < estimate.value < 1.9 * true
    assert true < 5 * estimate.upper


def test_estimate_error_of_a_centred_result():
    A = matrix() + 5.0
    res = randomized_svd(A, 6, center=True, rng=0)
    true = error(A, res.reconstruct())
    assert true < 0.5 * np.linalg.norm(centred(A))
    estimate = estimate_error(A, res, rng=0)
    assert estimate.lower <= true <= estimate.upper


def test_estimate_error_finds_wrong_factors():
    A = matrix()
    U, s, Vh = truncated(A, 6)
    estimate = estimate_error(A, (U, s, -Vh), norm="spectral", rng=0)
    assert estimate.lower > s[0]


def test_estimate_error_refuses():
    A = matrix(shape=(30, 20))
    factors = truncated(A, 3)
    with pytest.raises(InputError, match="shape"):
        estimate_error(A.T, factors)
    for bad in (0, 1):
        with pytest.raises(InputError, match="`probes`"):
            estimate_error(A, factors, probes=bad)
    with pytest.raises(InputError, match="`norm`"):
        estimate_error(A, factors, norm="nuclear")
    A[0, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        estimate_error(A, factors)
    estimate = estimate_error(np.eye(4), truncated(np.eye(4), 2), rng=0)
    assert repr(estimate).startswith("ErrorEstimate(value=")
    assert estimate.converged


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_in_factors_never_becomes_a_finite_estimate(bad):
    A = matrix(shape=(30, 20))
    U, s, Vh = truncated(A, 3)
    for factors in ((U * bad, s, Vh), (U, s * bad, Vh), (U, s, Vh * bad)):
        for norm in ("fro", "spectral"):
            try:
                with np.errstate(all="ignore"):
                    estimate = estimate_error(A, factors, norm=norm, rng=0)
            except InputError:
                continue
            assert not np.isfinite(estimate.value)
            assert not np.isfinite(estimate.upper)

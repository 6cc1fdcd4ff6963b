"""Tolerances: the error is met with as few triplets as possible; caps, callbacks, progress."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import ConvergenceWarning, InputError
from lowapprox.svd import randomized_svd
from tests.reference import (
    centred,
    error,
    orthonormality_defect,
    product,
    residuals,
    tail,
    with_spectrum,
)
from tests.strategies import FORMS, matrices, quiet, seeds

J = np.arange(1.0, 301.0)
SPECTRA = {
    "harmonic": 1 / J,
    "geometric": 2.0 ** (-J / 5),
    "step": np.where(J <= 12, 1.0, 1e-3),
    "rank-10": (J <= 10) / J,
    "root": J**-0.5,
}


def optimal_rank(s, tol, norm="fro"):
    """The fewest triplets, at least one, whose best error is within the tolerance."""
    s = np.sort(s)[::-1]
    left = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1]) if norm == "fro" else s
    return max(int(np.count_nonzero(left > tol * left[0])), 1)


@pytest.mark.parametrize("method", ["auto", "krylov", "direct"])
@pytest.mark.parametrize("spectrum", ["harmonic", "geometric", "step", "rank-10"])
@pytest.mark.parametrize("tol", [0.7, 0.3, 0.1, 0.03, 1e-2, 1e-4, 1e-9])
def test_frobenius(spectrum, tol, method):
    s = SPECTRA[spectrum]
    A = with_spectrum(np.random.default_rng(0), 400, 300, s)
    best = optimal_rank(s, tol)
    res = randomized_svd(A, tol=tol, method=method, rng=1)
    assert res.converged
    true = error(A, product(*res))
    assert true <= tol * np.linalg.norm(A) * (1 + 1e-9)
    if res.error_kind == "exact":
        assert res.error == pytest.approx(true, rel=1e-6, abs=1e-13)
    assert res.error_kind != "bound" or res.error >= true - 1e-13
    assert best <= res.s.shape[0] <= best + 1
    assert orthonormality_defect(res.U) < 1e-13


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.complex128])
@pytest.mark.parametrize("form", ["C", "csr_array", "array-api-strict"])
@pytest.mark.parametrize("tol", [0.3, 0.05])
def test_frobenius_in_other_forms(form, dtype, tol):
    s = SPECTRA["harmonic"]
    A = with_spectrum(np.random.default_rng(0), 320, 300, s, dtype)
    res = randomized_svd(FORMS[form](A), tol=tol, method="krylov", rng=1)
    approximation = product(*(np.asarray(x) for x in res))
    assert error(A, approximation) <= tol * np.linalg.norm(A) * (1 + 1e-5)
    assert res.s.shape[0] <= optimal_rank(s, tol) + 1


@pytest.mark.parametrize("tol", [1e-3, 1e-5])
def test_single_precision_below_the_identity(tol):
    """``|A|_F^2 - |B|_F^2`` would cancel here."""
    s = SPECTRA["geometric"]
    A = with_spectrum(np.random.default_rng(0), 400, 300, s, np.float32)
    res = randomized_svd(A, tol=tol, method="krylov", rng=1)
    assert res.converged
    assert error(A, product(*res)) <= 1.05 * tol * np.linalg.norm(A)
    assert res.s.shape[0] <= optimal_rank(s, tol) + 2


@given(matrices(), st.floats(1e-3, 0.9), st.sampled_from(["krylov", "direct"]), seeds)
def test_frobenius_of_small_matrices(A, tol, method, seed):
    res = randomized_svd(A, tol=tol, method=method, rng=seed)
    eps = float(np.finfo(A.dtype).eps)
    top = float(np.linalg.norm(A.astype(np.result_type(A, float))))
    true = error(A, product(*res))
    slack = 100 * np.sqrt(max(A.shape)) * eps * top
    assert res.converged
    assert true <= tol * top * (1 + 1e-5) + slack
    exact = np.linalg.svd(A.astype(np.result_type(A, float)), compute_uv=False)
    assert res.s.shape[0] <= optimal_rank(exact, tol * (1 - 1e-3)) + 1
    if method == "direct":
        assert res.s.shape[0] <= optimal_rank(exact, tol * (1 - 1e-3))


@pytest.mark.parametrize("method", ["krylov", "direct"])
@pytest.mark.parametrize("spectrum", ["harmonic", "geometric", "step", "root"])
@pytest.mark.parametrize("tol", [0.48, 0.11, 0.031])
def test_spectral(spectrum, tol, method):
    s = SPECTRA[spectrum]
    A = with_spectrum(np.random.default_rng(0), 400, 300, s)
    res = randomized_svd(A, tol=tol, norm="spectral", method=method, rng=1)
    assert res.converged
    assert res.norm == "spectral"
    true = error(A, product(*res), "spectral")
    assert true <= tol * s[0] * (1 + 1e-3)
    best = optimal_rank(s, tol, "spectral")
    assert best <= res.s.shape[0] <= best + 1
    assert res.error == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize("method", ["krylov", "subspace"])
@pytest.mark.parametrize("tol", [1e-2, 1e-5, 1e-9])
def test_residual(tol, method):
    A = with_spectrum(np.random.default_rng(0), 400, 300, SPECTRA["geometric"])
    res = randomized_svd(A, 8, tol=tol, norm="residual", method=method, rng=1)
    assert res.converged
    assert residuals(A, *res).max() <= tol * res.s[0] + 1e-13
    assert res.residuals.max() <= tol * res.s[0]
    assert res.norm == "fro"
    assert res.s.shape == (8,)


@pytest.mark.parametrize("norm", ["fro", "spectral"])
@pytest.mark.parametrize("method", ["auto", "krylov", "direct"])
def test_rank_is_a_cap(norm, method):
    A = with_spectrum(np.random.default_rng(0), 400, 300, SPECTRA["root"])
    with pytest.warns(ConvergenceWarning, match="rank 7"):
        res = randomized_svd(A, 7, tol=0.05, norm=norm, method=method, rng=0)
    assert not res.converged
    assert res.s.shape == (7,)
    best = tail(A, 7, norm)
    assert best * (1 - 1e-6) <= error(A, product(*res), norm) <= best * 1.01
    assert res.error == pytest.approx(best, rel=0.05)
    # A cap that is not reached changes nothing.
    res = randomized_svd(A, 250, tol=0.6, norm=norm, method=method, rng=0)
    assert res.converged
    assert res.s.shape[0] <= optimal_rank(SPECTRA["root"], 0.6, norm) + 1


@pytest.mark.parametrize("tol", [0.3, 0.1])
@pytest.mark.parametrize("spectrum", ["harmonic", "geometric"])
def test_operators(spectrum, tol):
    """The norm of the operator is estimated, so the tolerance is met up to that estimate."""
    s = SPECTRA[spectrum]
    A = with_spectrum(np.random.default_rng(0), 400, 300, s)
    for seed in range(5):
        res = randomized_svd(FORMS["operator"](A), tol=tol, rng=seed)
        assert res.converged
        assert res.error_kind == "estimate"
        true = error(A, product(*res))
        assert true <= 1.1 * tol * np.linalg.norm(A)
        assert true / 3 < res.error < 3 * true


@pytest.mark.parametrize("form", ["C", "csr_array"])
def test_centred(form):
    A = with_spectrum(np.random.default_rng(0), 400, 300, SPECTRA["harmonic"]) + 3.0
    res = randomized_svd(FORMS[form](A), tol=0.2, center=True, rng=0, method="krylov")
    assert error(A, res.reconstruct()) <= 0.2 * np.linalg.norm(centred(A)) * (1 + 1e-9)
    assert res.s.shape[0] <= optimal_rank(np.linalg.svd(centred(A), compute_uv=False), 0.2) + 1
    assert float(res.explained_variance_ratio.sum()) >= 1 - 0.2**2 - 1e-9


@pytest.mark.parametrize("scale", [2.0**-600, 2.0**600])
def test_tolerance_is_relative(scale):
    A = with_spectrum(np.random.default_rng(0), 200, 150, SPECTRA["harmonic"][:150])
    plain = randomized_svd(A, tol=0.1, rng=0)
    res = randomized_svd(A * scale, tol=0.1, rng=0)
    np.testing.assert_allclose(res.s / scale, plain.s, rtol=1e-12)


# ---- the caller stops the work


@pytest.mark.parametrize("method", ["krylov", "subspace"])
def test_callback(method):
    A = with_spectrum(np.random.default_rng(0), 400, 300, SPECTRA["root"])
    seen = []
    full = randomized_svd(A, 20, method=method, accuracy="high", rng=0, callback=seen.append)
    assert full.converged
    steps = [p.step for p in seen]
    assert steps == sorted(set(steps))
    assert seen[-1].passes == full.passes
    assert seen[-1].value <= seen[-1].target
    assert all(p.value > p.target for p in seen[:-1])
    assert len(seen) > 1
    count = len(seen)
    seen.clear()

    def stop(p):
        seen.append(p)
        return len(seen) == count - 1

    with pytest.warns(ConvergenceWarning):
        res = randomized_svd(A, 20, method=method, accuracy="high", rng=0, callback=stop)
    assert len(seen) == count - 1
    assert not res.converged
    assert res.passes == seen[-1].passes < full.passes
    assert res.s.shape == (20,)
    true = residuals(A, *res)
    assert (true <= res.residuals + 1e-13).all()
    assert (res.residuals <= 20 * true + 1e-13).all()


def test_callback_errors_reach_the_caller():
    def fail(record):
        raise RuntimeError(f"{record.step}")

    with pytest.raises(RuntimeError):
        randomized_svd(np.eye(300), 3, callback=fail, method="krylov", rng=0)


def test_progress_is_shown_on_standard_error(capsys):
    A = with_spectrum(np.random.default_rng(0), 200, 150, SPECTRA["root"][:150])
    randomized_svd(A, 5, method="krylov", rng=0, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "passes" in shown.err
    assert shown.err.endswith("\n")
    randomized_svd(A, 5, method="krylov", rng=0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("passes", [2, 3, 4, 6])
@pytest.mark.parametrize("norm", ["fro", "spectral"])
def test_tolerance_within_few_passes(norm, passes):
    A = with_spectrum(np.random.default_rng(0), 400, 300, SPECTRA["root"])
    with pytest.warns(ConvergenceWarning):
        res = randomized_svd(A, tol=0.01, norm=norm, passes=passes, method="krylov", rng=0)
    assert not res.converged
    assert res.passes <= passes
    true = error(A, product(*res), norm)
    assert true > 0.01 * (np.linalg.norm(A) if norm == "fro" else 1.0)
    if norm == "fro":
        assert res.error == pytest.approx(true, rel=1e-6)


def test_method_without_tolerance_is_refused():
    with pytest.raises(InputError, match="`rank`"):
        randomized_svd(np.eye(50), tol=0.1, method="subspace")


@pytest.mark.parametrize("method", ["subspace", "gram"])
def test_other_methods_say_whether_the_tolerance_is_met(method):
    A = with_spectrum(np.random.default_rng(0), 400, 100, 1 / J[:100])
    for tol in (0.52, 0.21, 0.021):
        with quiet():
            res = randomized_svd(A, 12, tol=tol, method=method, accuracy="high", rng=0)
        met = error(A, product(*res)) <= tol * np.linalg.norm(A)
        assert res.converged == met
        assert res.s.shape[0] == min(optimal_rank(1 / J[:100], tol), 12)
        with quiet():
            res = randomized_svd(
                A, 12, tol=tol, method=method, norm="spectral", accuracy="high", rng=0
            )
        assert res.converged == (error(A, product(*res), "spectral") <= tol)
    if method == "subspace":
        with pytest.raises(InputError, match="`tol`"):
            randomized_svd(FORMS["operator"](A), 12, tol=0.1, method=method)

"""Subspace iteration with shifts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox._core.matrix import as_matrix
from lowapprox._subspace.shifted import shifted_iteration
from tests.reference import orthonormality_defect, residuals, with_spectrum
from tests.strategies import DTYPES, FORMS, SPECTRA, matrices, seeds


def iterate(A, rank, width, goal=0.0, *, steps=100, seed=0, fro2=None, report=lambda *_: False):
    return shifted_iteration(
        as_matrix(A),
        rank,
        width,
        np.random.default_rng(seed),
        lambda s: goal * s[0],
        steps=steps,
        fro2=fro2,
        report=report,
    )


@given(matrices(), st.data(), st.integers(1, 6), seeds)
def test_triplets_hold_after_any_number_of_steps(A, data, steps, seed):
    A = A if A.shape[0] >= A.shape[1] else np.ascontiguousarray(A.conj().T)
    width = data.draw(st.integers(1, A.shape[1]))
    rank = data.draw(st.integers(1, width))
    fro2 = float(np.linalg.norm(A.astype(np.result_type(A, float))) ** 2)
    out = iterate(A, rank, width, steps=steps, seed=seed, fro2=fro2)
    eps = float(np.finfo(A.dtype).eps)
    U, s, Vh = out.U.T, out.s[:rank], out.V.conj()
    assert orthonormality_defect(U) <= 50 * eps * np.sqrt(max(A.shape))
    assert orthonormality_defect(Vh.conj().T) <= 50 * eps * np.sqrt(max(A.shape))
    exact = np.linalg.svd(A, compute_uv=False)
    slack = 100 * np.sqrt(max(A.shape)) * eps * exact[0]
    assert (s <= exact[:rank] + slack).all()
    true = residuals(A, U, s, Vh)
    if out.converged:
        np.testing.assert_allclose(out.residuals, true, rtol=1e-3, atol=slack)
    else:
        assert (np.linalg.norm(U.conj().T @ A - s[:, None] * Vh, axis=1) <= slack).all()
        assert (true <= 1.001 * out.residuals + slack).all()
    if width == A.shape[1]:
        np.testing.assert_allclose(s, exact[:rank], atol=slack)


@pytest.mark.parametrize("form", ["C", "csr_array", "operator", "array-api-strict"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_converges(form, dtype):
    s = SPECTRA["geometric"](np.arange(80.0))
    A = with_spectrum(np.random.default_rng(0), 120, 80, s, dtype)
    goal = 1e-5 if A.real.dtype == np.float32 else 1e-12
    out = iterate(FORMS[form](A), 6, 14, goal)
    eps = float(np.finfo(dtype).eps)
    assert out.converged
    assert out.steps <= 8
    np.testing.assert_allclose(out.s[:6], s[:6], atol=50 * eps)
    U, V = np.asarray(out.U), np.asarray(out.V)
    assert residuals(A, U.T, out.s[:6], V.conj()).max() <= goal + 50 * eps


def test_shifts_beat_plain_iteration():
    """Equal steps: the shift damps the unwanted part."""
    s = 1 / np.arange(1.0, 201)
    A = with_spectrum(np.random.default_rng(0), 250, 200, s)
    out = iterate(A, 20, 30, steps=8)
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((200, 30)))[0]
    for _ in range(7):
        Q = np.linalg.qr(A.T @ (A @ Q))[0]
    plain = np.linalg.svd(A @ Q, compute_uv=False)[:20]
    lost = float((s[:20] ** 2).sum() - (out.s[:20] ** 2).sum())
    assert 0 < lost < 0.5 * float((s[:20] ** 2).sum() - (plain**2).sum())


def test_more_steps_never_hurt():
    s = SPECTRA["root"](np.arange(100.0))
    for dtype in DTYPES:
        A = with_spectrum(np.random.default_rng(0), 150, 100, s, dtype)
        eps = float(np.finfo(dtype).eps)
        energies = [float((iterate(A, 10, 20, steps=k).s[:10] ** 2).sum()) for k in range(1, 40, 3)]
        assert (np.diff(energies) >= -200 * eps).all()
        assert energies[-1] == pytest.approx(float((s[:10] ** 2).sum()), rel=1e-4)


@pytest.mark.parametrize("exponent", [-39, 36])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_fourth_powers_stay_in_range(dtype, exponent):
    """The squared Frobenius norm fits into single precision here, and its square does not."""
    s = SPECTRA["harmonic"](np.arange(40.0))
    A = with_spectrum(np.random.default_rng(0), 60, 40, s, dtype)
    factor = dtype(2.0**exponent).real
    one, two = (iterate(M, 5, 15, 1e-5) for M in (A, A * factor))
    assert one.converged
    assert two.steps == one.steps
    np.testing.assert_array_equal(two.U, one.U)
    np.testing.assert_array_equal(two.s, one.s * 2.0**exponent)


@pytest.mark.parametrize("form", ["zero", "rank one", "identity"])
def test_degenerate_matrices(form):
    A = {
        "zero": np.zeros((30, 20)),
        "rank one": np.outer(np.ones(30), np.arange(20.0)),
        "identity": np.eye(30, 20),
    }[form]
    out = iterate(A, 4, 8, 1e-12, steps=5)
    exact = np.linalg.svd(A, compute_uv=False)[:4]
    np.testing.assert_allclose(out.s[:4], exact, atol=1e-12 * max(exact[0], 1))
    assert orthonormality_defect(out.U.T) < 1e-13
    assert orthonormality_defect(out.V.T) < 1e-13


def test_report_stops():
    seen = []

    def report(*record):
        seen.append(record)
        return len(seen) == 3

    A = with_spectrum(np.random.default_rng(0), 60, 50, SPECTRA["root"](np.arange(50.0)))
    out = iterate(A, 5, 10, 1e-12, report=report)
    assert not out.converged
    assert out.steps == 3
    assert [record[:2] for record in seen] == [(1, 2), (2, 4), (3, 6)]
    # The result has gained half a step on what was reported.
    assert residuals(A, out.U.T, out.s[:5], out.V.conj()).max() <= seen[-1][2]

"""Block Golub-Kahan: its recurrences, breakdown, exhaustion, thick restart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox._core.matrix import as_matrix
from lowapprox._subspace.golub_kahan import GolubKahan
from lowapprox._subspace.longside import KeptSide, PassingSide
from lowapprox._subspace.stopping import RankRule, grow
from tests.reference import orthonormality_defect, residuals, with_spectrum
from tests.strategies import DTYPES, FORMS, SPECTRA, matrices, seeds

SIDES = ("kept", "passing")


def start(A, block, side="kept", seed=0, capacity=20):
    op, gen = as_matrix(A), np.random.default_rng(seed)
    long = KeptSide(op, gen, capacity) if side == "kept" else PassingSide(op, gen)
    return GolubKahan(op, block, long, gen, capacity)


def triplets(gk, count):
    ritz = gk.ritz()
    U, s, V = gk.vectors(ritz, gk.images(ritz, count))
    return np.asarray(U).T, s, np.asarray(V).conj(), np.hypot(ritz.residuals[:count], gk.dropped)


def rounding(A):
    return 100 * np.sqrt(max(A.shape)) * float(np.finfo(A.dtype).eps) * np.linalg.norm(A, 2)


@given(matrices(), st.integers(1, 12), st.sampled_from(SIDES), seeds, st.data())
def test_triplets_hold_after_every_step(A, block, side, seed, data):
    """Also for ragged last blocks, breakdown, and the exhausted space."""
    A = A if A.shape[0] >= A.shape[1] else np.ascontiguousarray(A.conj().T)
    n = A.shape[1]
    gk = start(A, block, side, seed)
    steps = data.draw(st.integers(1, -(-n // min(block, n))))
    for _ in range(steps):
        if gk.exhausted:
            break
        gk.step()
    d = gk.size
    assert d <= n
    assert gk.exhausted == (d == n)
    assert gk.passes == 2 * -(-d // min(block, n))
    assert gk.matvecs == 2 * d
    U, s, Vh, reported = triplets(gk, d)
    eps = float(np.finfo(A.dtype).eps)
    assert orthonormality_defect(Vh.conj().T) <= 50 * eps * np.sqrt(A.shape[0])
    assert orthonormality_defect(U) <= 50 * eps * np.sqrt(A.shape[0])
    slack = rounding(A)
    exact = np.linalg.svd(A, compute_uv=False)
    assert (s <= exact[:d] + slack).all()
    if side == "kept":
        np.testing.assert_allclose(residuals(A, U, s, Vh), reported, rtol=1e-3, atol=slack)
        energy = float(np.linalg.norm(A @ Vh.conj().T)) ** 2
        assert gk.energy == pytest.approx(energy, rel=1e-5, abs=slack**2)
    if gk.exhausted:
        np.testing.assert_allclose(s, exact, atol=slack)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("block", [16, 32])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spectrum", ["geometric", "rank-10", "harmonic"])
def test_more_work_never_hurts(spectrum, dtype, block, side):
    """Single precision lost its orthogonality here once everything had converged."""
    j = np.arange(1, 601)
    s = {"geometric": 2.0 ** (-j / 5), "rank-10": (j <= 10) / j, "harmonic": 1 / j}[spectrum]
    A = with_spectrum(np.random.default_rng(0), 800, 600, s, dtype)
    eps = float(np.finfo(dtype).eps)
    top = np.linalg.norm(A, 2)
    gk = start(A, block, side, capacity=128)
    worst = []
    for dim in (96, 160, 480):
        while gk.size < dim:
            gk.step()
        U, values, Vh, reported = triplets(gk, 40)
        assert orthonormality_defect(U) <= 20 * eps * np.sqrt(40)
        assert orthonormality_defect(Vh.conj().T) <= 20 * eps * np.sqrt(40)
        true = residuals(A, U, values, Vh)
        assert (true <= 1.05 * reported + 4 * eps * np.sqrt(800) * top).all()
        np.testing.assert_allclose(reported, true, rtol=0.05, atol=4 * eps * np.sqrt(800) * top)
        worst.append(true.max())
        wrong = np.abs(values - s[:40]).max()
        assert wrong <= max(true.max() ** 2 * 1e3, 50 * eps * top)
    floor = 4 * eps * np.sqrt(800) * top
    assert worst[1] <= worst[0] + floor
    assert worst[2] <= worst[1] + floor
    assert worst[2] <= 2 * floor or spectrum == "harmonic"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["C", "csr_array", "array-api-strict"])
def test_thick_restart(dtype, side, form):
    exact = SPECTRA["root"](np.arange(150.0))
    A = with_spectrum(np.random.default_rng(0), 500, 150, exact, dtype)
    eps = float(np.finfo(dtype).eps)
    gk = start(FORMS[form](A), 8, side, capacity=40)
    goal = 1e-5 if A.real.dtype == np.float32 else 1e-10
    ritz, verdict, restarts = grow(
        gk, RankRule(20, 20, 0.0, goal), max_dim=80, max_passes=None, report=lambda *_: False
    )
    assert verdict.done
    assert restarts >= (1 if A.real.dtype == np.float32 else 2)
    assert gk.size <= 80
    U, s, V = (np.asarray(x) for x in gk.vectors(ritz, gk.images(ritz, 20)))
    np.testing.assert_allclose(s, exact[:20], atol=50 * eps)
    assert orthonormality_defect(U.T) <= 100 * eps
    assert orthonormality_defect(V.T) <= 100 * eps
    true = residuals(A, U.T, s, V.conj())
    np.testing.assert_allclose(ritz.residuals[:20], true, rtol=0.05, atol=100 * eps)
    assert true.max() <= goal + 100 * eps


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_a_restart_keeps_the_recurrence(dtype, side):
    """Triplets are the same right after a restart, and the step after it still fits."""
    A = with_spectrum(np.random.default_rng(0), 200, 90, SPECTRA["root"](np.arange(90.0)), dtype)
    gk = start(A, 6, side)
    for _ in range(8):
        gk.step()
    ritz = gk.ritz()
    gk.restart(ritz, 20)
    assert gk.size == 20
    after = gk.ritz()
    np.testing.assert_allclose(after.s, ritz.s[:20], rtol=1e-13)
    np.testing.assert_allclose(after.residuals, ritz.residuals[:20], atol=1e-13)
    for _ in range(3):
        gk.step()
    U, s, Vh, reported = triplets(gk, gk.size)
    assert orthonormality_defect(U) < 1e-12
    assert orthonormality_defect(Vh.conj().T) < 1e-12
    np.testing.assert_allclose(residuals(A, U, s, Vh)[:10], reported[:10], rtol=1e-6, atol=1e-12)
    assert (s[:20] >= after.s - 1e-13).all()


@pytest.mark.parametrize("side", SIDES)
def test_breakdown_finds_what_the_start_missed(side):
    """Two values: the first block spans an invariant space after one step."""
    s = np.repeat([1.0, 0.5], [30, 60])
    A = with_spectrum(np.random.default_rng(0), 120, 90, s)
    gk = start(A, 4, side)
    while not gk.exhausted:
        gk.step()
    U, values, Vh, _ = triplets(gk, 90)
    np.testing.assert_allclose(values, s, atol=1e-13)
    np.testing.assert_allclose(U * values @ Vh, A, atol=1e-13)


def test_operators_that_return_their_argument():
    class Identity:
        shape, dtype = (50, 50), np.dtype(float)

        def matmat(self, X):
            return X

        rmatmat = matmat

    for side in SIDES:
        gk = start(Identity(), 7, side)
        while not gk.exhausted:
            gk.step()
        U, s, Vh, _ = triplets(gk, 50)
        np.testing.assert_allclose(s, 1, atol=1e-14)
        np.testing.assert_allclose(U @ Vh, np.eye(50), atol=1e-13)


@pytest.mark.parametrize("side", SIDES)
def test_complement_product(side):
    A = with_spectrum(np.random.default_rng(0), 80, 40, 1 / np.arange(1.0, 41), complex)
    gk = start(A, 5, side)
    for _ in range(3):
        gk.step()
    X = np.random.default_rng(1).standard_normal((40, 3)) + 0j
    before = X.copy()
    out = gk.complement_product(X)
    # Without the next block: the projected matrix does not hold its image yet.
    V = np.asarray(gk._V.rows[: gk.size]).T
    assert gk.width > 0
    np.testing.assert_allclose(out, A @ (X - V @ (V.conj().T @ X)), atol=1e-14)
    np.testing.assert_array_equal(X, before)

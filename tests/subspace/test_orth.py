"""Orthonormalization of blocks of rows: rank decisions, replacements, accounting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox._core.matrix import as_matrix
from lowapprox._subspace.orth import (
    Basis,
    cholesky_factor,
    orthonormalize,
    random_rows,
    remove_span,
)
from tests.reference import orthonormal, orthonormality_defect, random_array, with_spectrum
from tests.strategies import DTYPES, FORMS, SPECTRA, dtypes, seeds


def op_for(dtype, form="C"):
    return as_matrix(FORMS[form](np.ones((2, 2), dtype)))


@st.composite
def blocks(draw):
    """Rows (b, n), b <= n, of any spectrum and scale, orthogonal to a basis (d, n)."""
    n = draw(st.integers(1, 60))
    b = draw(st.integers(1, min(n, 12)))
    d = draw(st.integers(0, n - b))
    dtype = draw(dtypes())
    gen = np.random.default_rng(draw(seeds))
    frame = orthonormal(gen, n, d + b, dtype)
    s = SPECTRA[draw(st.sampled_from(sorted(SPECTRA)))](np.arange(float(b)))
    Z = with_spectrum(gen, b, b, s, dtype) @ frame[:, d:].T
    return Z.astype(dtype), np.ascontiguousarray(frame[:, :d].T)


@given(blocks(), st.sampled_from([0.0, 1e-6, 1e-3]), st.sampled_from([1.0, 3.0, 100.0]), seeds)
def test_orthonormal_rows_and_their_factor(made, noise, once, seed):
    Z, basis = made
    op, gen = op_for(Z.dtype), np.random.default_rng(seed)
    eps = float(np.finfo(Z.dtype).eps)
    out = orthonormalize(op, Z.copy(), noise, gen, basis=basis, once=once)
    assert out.rows.shape == Z.shape
    assert out.rows.dtype == Z.dtype
    assert out.factor.dtype == np.result_type(Z.dtype, np.float64)
    # One pass of Cholesky QR loses the square of the condition that it is allowed.
    assert orthonormality_defect(out.rows.T) <= 50 * eps * once**2
    wide = out.rows.astype(np.result_type(Z, float))
    slack = 50 * eps * np.sqrt(Z.shape[1])
    lost = float(np.linalg.norm(Z - out.factor @ wide))
    assert lost <= out.dropped + slack
    assert out.dropped <= max(noise, 0.0) * np.sqrt(len(Z)) * (1 + 1e-6)
    if basis.size:
        # Nothing of a direction above the noise is scaled up by more than 1 / noise.
        assert np.abs(wide @ basis.conj().T).max() <= 100 * eps * once + 4 * eps


@given(blocks(), seeds)
def test_the_basis_stays_orthogonal_to_replacements(made, seed):
    Z, basis = made
    eps = float(np.finfo(Z.dtype).eps)
    Z[:] = 0
    out = orthonormalize(op_for(Z.dtype), Z, 0.0, np.random.default_rng(seed), basis=basis)
    together = np.concatenate([basis, out.rows])
    assert orthonormality_defect(together.T) <= 50 * eps
    assert not out.factor.any()
    assert out.dropped == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_rank_is_decided_relative_to_the_operator(dtype):
    """A block of pure rounding gives fresh directions, however well conditioned it looks."""
    gen = np.random.default_rng(0)
    eps = float(np.finfo(dtype).eps)
    Z = random_array(gen, (4, 50), dtype) * eps
    out = orthonormalize(op_for(dtype), Z.copy(), 10 * eps * np.sqrt(50), gen)
    assert not out.factor.any()
    assert out.dropped == pytest.approx(float(np.linalg.norm(Z)), rel=1e-3)
    assert np.abs(out.rows @ Z.conj().T / np.linalg.norm(Z, axis=1)).max() < 0.9


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_limit_keeps_the_strongest(dtype):
    gen = np.random.default_rng(0)
    frame = orthonormal(gen, 30, 5, dtype).T
    Z = np.array([3.0, 2.0, 1.0, 1e-3, 1e-4], dtype)[:, None] * frame
    out = orthonormalize(op_for(dtype), Z.copy(), 0.0, gen, limit=3)
    assert out.rows.shape == (3, 30)
    assert out.dropped == pytest.approx(np.hypot(1e-3, 1e-4), rel=1e-2)
    assert np.linalg.norm(Z - out.factor @ out.rows) == pytest.approx(out.dropped, rel=1e-2)
    empty = orthonormalize(op_for(dtype), Z.copy(), 0.0, gen, limit=0)
    assert empty.rows.shape == (0, 30)
    assert empty.factor.shape == (5, 0)
    assert empty.dropped == pytest.approx(float(np.linalg.norm(Z)), rel=1e-5)


@pytest.mark.parametrize("form", ["C", "array-api-strict"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e5, 1e12, np.inf])
def test_conditions(form, dtype, condition):
    op, gen = op_for(dtype, form), np.random.default_rng(0)
    s = np.geomspace(1.0, 1.0 / condition, 6) if np.isfinite(condition) else np.r_[1.0, np.zeros(5)]
    Z = with_spectrum(gen, 6, 200, s, dtype)
    out = orthonormalize(op, op.from_numpy(Z.copy()), 0.0, gen, once=1.0)
    rows = op.to_numpy(out.rows)
    eps = float(np.finfo(dtype).eps)
    assert orthonormality_defect(rows.T) <= 20 * eps
    assert np.linalg.norm(Z - out.factor @ rows) <= 50 * eps


@pytest.mark.parametrize("form", ["C", "csr_array", "array-api-strict"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_weak_rows_before_strong_ones_cost_no_digits(form, dtype):
    """The inverse of the Cholesky factor alone loses as many digits here as the condition has."""
    eps = float(np.finfo(dtype).eps)
    small = 40 * np.sqrt(eps)
    coordinates = np.array([[1, 0, 0], [1, small, 0], [0, 1, 1]])
    for seed in range(10):
        gen = np.random.default_rng(seed)
        op = op_for(dtype, form)
        Z = (coordinates @ orthonormal(gen, 200, 3, dtype).T).astype(dtype)
        out = orthonormalize(op, op.from_numpy(Z.copy()), 0.0, gen)
        rows = op.to_numpy(out.rows)
        rows = rows.astype(np.result_type(rows, float))
        assert orthonormality_defect(rows.T) <= 20 * eps
        assert np.linalg.norm(Z - out.factor @ rows) <= 20 * eps


@given(blocks(), st.floats(0, 1e6), seeds)
def test_remove_span(made, weight, seed):
    Z, basis = made
    gen = np.random.default_rng(seed)
    d = len(basis)
    added = (weight * random_array(gen, (len(Z), d), Z.dtype)).astype(Z.dtype)
    mixed = (Z + added @ basis).astype(Z.dtype)
    out, coefficients, gram = remove_span(op_for(Z.dtype), mixed.copy(), basis)
    eps = float(np.finfo(Z.dtype).eps)
    size = float(np.linalg.norm(mixed)) + 1.0
    assert np.abs(out @ basis.conj().T).max(initial=0.0) <= 20 * eps * size
    np.testing.assert_allclose(out + coefficients @ basis, mixed, atol=20 * eps * size)
    np.testing.assert_allclose(out, Z, atol=100 * eps * size)
    wide = out.astype(np.result_type(out, float))
    underflow = float(np.finfo(Z.dtype).tiny)  # squares of subnormal numbers
    np.testing.assert_allclose(
        gram, wide @ wide.conj().T, atol=100 * eps * np.linalg.norm(out) ** 2 + underflow
    )


@given(blocks())
def test_cholesky_factor(made):
    Z, _ = made
    Z = Z.astype(np.result_type(Z, float))
    gram = Z @ Z.conj().T
    split = cholesky_factor(gram, 0.0, 2.0**-52)
    s = np.linalg.svd(Z, compute_uv=False)
    if s[-1] > 1e-5 * s[0] and s[0] > 0:
        assert split is not None
    if split is not None:
        np.testing.assert_allclose(split.L @ split.L.conj().T, gram, atol=1e-13 * s[0] ** 2)
        np.testing.assert_allclose(split.inverse @ split.L, np.eye(len(Z)), atol=1e-6)
        rows = Z / np.linalg.norm(Z, axis=1)[:, None]
        least = np.linalg.svd(rows, compute_uv=False)[-1]
        assert split.condition * (least + 1e-8) >= 1.0  # the Gram matrix shows no less
    assert cholesky_factor(gram * np.nan, 0.0, 2.0**-52) is None
    assert cholesky_factor(gram, 2 * s[0], 2.0**-52) is None


@pytest.mark.parametrize("form", ["C", "array-api-strict"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_basis_grows_past_its_capacity(dtype, form):
    op, gen = op_for(dtype, form), np.random.default_rng(0)
    basis = Basis(op, 20, 2)
    assert basis.rows.shape == (0, 20)
    parts = [random_array(gen, (b, 20), dtype) for b in (1, 2, 5, 0, 3)]
    for part in parts:
        stored = basis.append(op.from_numpy(part))
        np.testing.assert_array_equal(op.to_numpy(stored), part)
    whole = np.concatenate(parts)
    assert basis.size == len(whole)
    np.testing.assert_array_equal(op.to_numpy(basis.rows), whole)
    turn = random_array(gen, (4, len(whole)), np.result_type(dtype, float))
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(op.to_numpy(basis.rotate(turn)), turn @ whole, atol=100 * eps)
    basis.replace(op.from_numpy(parts[2]))
    np.testing.assert_array_equal(op.to_numpy(basis.rows), parts[2])


def test_random_rows_share_a_stream_between_precisions():
    rows = {
        np.dtype(dtype): random_rows(op_for(dtype), 3, 5, np.random.default_rng(1))
        for dtype in DTYPES
    }
    for dtype, x in rows.items():
        assert x.dtype == dtype
    np.testing.assert_array_equal(rows[np.dtype("f")], rows[np.dtype("d")].astype("f"))
    np.testing.assert_array_equal(rows[np.dtype("F")], rows[np.dtype("D")].astype("F"))

"""Tangent spaces: adjoints, projections, retractions and the kernels behind them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import thread_limit
from lowapprox.completion import kernels_tangent, plain_tangent
from lowapprox.completion.observations import compressed
from lowapprox.completion.problem import Factors
from lowapprox.completion.spectrum import Sum, leading
from lowapprox.completion.tangent import (
    Blocks,
    Entries,
    Point,
    Tangent,
    conjugate_gradients,
    retract,
)
from tests.completion.problems import Array, low_rank
from tests.strategies import seeds

LOOPS = (plain_tangent, kernels_tangent)
EPS = float(np.finfo(float).eps)


class Case(NamedTuple):
    entries: Entries
    tangent: Tangent
    rows: Array
    columns: Array
    gen: np.random.Generator

    def vector(self) -> Array:
        return self.tangent.cleaned(self.gen.standard_normal(self.tangent.size))

    def matrix(self, x: Array) -> Array:
        L, R = self.tangent.factors(x)
        return L @ R.T

    def sparse(self, z: Array) -> Array:
        out = np.zeros(self.entries.shape)
        out[self.rows, self.columns] = z
        return out


@st.composite
def cases(draw: st.DrawFn) -> Case:
    m, n = draw(st.integers(1, 25)), draw(st.integers(1, 25))
    rank = draw(st.integers(1, min(m, n, 9)))
    gen = np.random.default_rng(draw(seeds))
    flat = np.flatnonzero(gen.random(m * n) < draw(st.sampled_from([0.05, 0.3, 1.0])))
    if not flat.size:
        flat = np.array([m * n - 1])
    rows, columns = flat // n, flat % n
    weights = gen.random(flat.size) + 0.1 if draw(st.booleans()) else None
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    values = gen.standard_normal(flat.size).astype(dtype)
    if weights is not None:
        weights = weights.astype(dtype)
    entries = Entries(compressed(rows, columns, values, weights, (m, n)))
    entries.loops = draw(st.sampled_from(LOOPS))
    U = np.linalg.qr(gen.standard_normal((m, rank)))[0]
    V = np.linalg.qr(gen.standard_normal((n, rank)))[0]
    return Case(entries, Tangent(entries, U, V), rows, columns, gen)


@given(cases())
def test_forward_reads_the_entries_of_the_matrix(case: Case) -> None:
    x = case.vector()
    expected = case.matrix(x)[case.rows, case.columns]
    np.testing.assert_allclose(case.tangent.forward(x), expected, atol=1e3 * EPS)


@given(cases())
def test_adjoint_is_that_of_forward(case: Case) -> None:
    x, z = case.vector(), case.gen.standard_normal(case.rows.size)
    left = case.tangent.forward(x) @ case.entries.weighted(z)
    size = np.linalg.norm(x) * np.linalg.norm(z)
    assert abs(left - x @ case.tangent.adjoint(z)) <= 1e3 * EPS * size


@given(cases())
def test_normal_is_adjoint_after_forward(case: Case) -> None:
    x = case.vector()
    expected = case.tangent.adjoint(case.tangent.forward(x))
    np.testing.assert_allclose(case.tangent.normal(x), expected, atol=1e3 * EPS)


@given(cases())
def test_sparse_products(case: Case) -> None:
    entries, (m, n) = case.entries, case.entries.shape
    z = case.gen.standard_normal(case.rows.size)
    X = case.gen.standard_normal((n, 21))
    Y = case.gen.standard_normal((m, 3))
    dense = case.sparse(z)
    np.testing.assert_allclose(entries.mat(z, X), dense @ X, atol=1e4 * EPS)
    np.testing.assert_allclose(entries.rmat(z, Y), dense.T @ Y, atol=1e4 * EPS)


@given(cases())
def test_projection(case: Case) -> None:
    t = case.tangent
    M = case.gen.standard_normal(case.entries.shape)
    x = t.projected(M @ t.V, M.T @ t.U)
    P = case.matrix(x)
    again = t.projected(P @ t.V, P.T @ t.U)
    size = np.linalg.norm(M)
    np.testing.assert_allclose(again, x, atol=1e3 * EPS * size)
    np.testing.assert_allclose(t.cleaned(x), x, atol=1e3 * EPS * size)
    # What is left is orthogonal to the tangent space, whose inner product is that of the vectors.
    y = case.vector()
    assert abs(np.sum((M - P) * case.matrix(y))) <= 1e3 * EPS * size * np.linalg.norm(y)
    assert np.isclose(np.linalg.norm(P), np.linalg.norm(x))


@given(cases())
def test_retraction_is_the_best_approximation(case: Case) -> None:
    t, x = case.tangent, case.vector()
    s = np.sort(case.gen.random(t.rank))[::-1] + 0.5
    X = (t.U * s) @ t.V.T + case.matrix(x)
    point = retract(t, s, x)
    values = np.linalg.svd(X, compute_uv=False)
    gap = np.linalg.norm(X - (point.U * point.s) @ point.V.T)
    assert gap <= np.linalg.norm(values[t.rank :]) + 1e3 * EPS * values[0]
    np.testing.assert_allclose(point.s, values[: t.rank], atol=1e3 * EPS * values[0])


def test_retraction_is_of_second_order(gen: np.random.Generator) -> None:
    known = low_rank(30, 20, 4, 2.0)
    point = Point.of(Factors(known.U, known.V))
    tangent = Tangent(Entries(known.observed), point.U, point.V)
    x = tangent.cleaned(gen.standard_normal(tangent.size))
    X = (point.U * point.s) @ point.V.T
    gaps = []
    for t in (1e-2, 1e-3, 1e-4):
        moved = retract(tangent, point.s, t * x)
        L, R = tangent.factors(t * x)
        gaps.append(np.linalg.norm((moved.U * moved.s) @ moved.V.T - X - L @ R.T))
    np.testing.assert_allclose(np.log10(gaps[0] / gaps[1]), 2, atol=0.1)
    np.testing.assert_allclose(np.log10(gaps[1] / gaps[2]), 2, atol=0.1)


@given(cases())
def test_blocks_are_symmetric_and_positive(case: Case) -> None:
    t = case.tangent
    off = case.gen.random(t.rank) + 0.1
    blocks = Blocks(t, off, np.add.outer(off, off))
    x, y = case.vector(), case.vector()
    assert x @ blocks(x) > 0
    size = np.linalg.norm(x) * np.linalg.norm(y) / off.min()
    assert abs(blocks(x) @ y - x @ blocks(y)) <= 1e4 * EPS * size


@given(st.sampled_from(LOOPS), st.integers(1, 9), st.integers(1, 12), seeds)
def test_inverse_blocks(loops: Any, k: int, count: int, seed: int) -> None:
    factors = np.random.default_rng(seed).standard_normal((count, k, k + 2))
    grams = factors @ factors.transpose(0, 2, 1)
    inverses = grams.copy()
    loops.invert_blocks(inverses, 0, count)
    for G, inverse in zip(grams, inverses, strict=True):
        identity = np.eye(k)
        np.testing.assert_allclose(G @ inverse, identity, atol=1e3 * EPS * np.linalg.cond(G))
        np.testing.assert_allclose(
            inverse, inverse.T, rtol=1e-9, atol=1e-12 * np.abs(inverse).max()
        )


@pytest.mark.parametrize("loops", LOOPS)
def test_inverse_blocks_of_singular_matrices_are_finite(loops: Any) -> None:
    blocks = np.stack([np.ones((3, 3)), np.zeros((3, 3)), np.diag([1.0, 0.0, 1e-200])])
    loops.invert_blocks(blocks, 0, 3)
    assert np.isfinite(blocks).all()
    poisoned = np.full((1, 3, 3), np.nan)
    loops.invert_blocks(poisoned, 0, 1)
    assert np.isnan(poisoned).any()


@given(seeds, st.integers(1, 30))
def test_conjugate_gradients_solve(seed: int, n: int) -> None:
    gen = np.random.default_rng(seed)
    F = gen.standard_normal((n, n))
    A = F @ F.T + np.eye(n)
    b, x0 = gen.standard_normal((2, n))
    x, steps = conjugate_gradients(
        lambda x: A @ x, b - A @ x0, x0, lambda r: r / np.diag(A), np.copy, tol=1e-10, steps=300
    )
    assert steps <= 300
    first = np.linalg.norm(b - A @ x0)
    assert np.linalg.norm(b - A @ x) <= 1.01e-10 * first + 1e3 * EPS * np.linalg.norm(A @ x)


@given(cases(), st.integers(1, 6))
def test_leading_triplets(case: Case, width: int) -> None:
    m, n = case.entries.shape
    width = min(width, n)
    z = case.gen.standard_normal(case.rows.size)
    factors = Factors(case.gen.standard_normal((m, 2)), case.gen.standard_normal((n, 2)))
    dense = case.sparse(z) + factors.U @ factors.V.T
    count = min(width, m, n)
    exact, right = np.linalg.svd(dense, full_matrices=False)[1:]
    # Blocks enough to span everything: the triplets are those of the dense matrix.
    warm = right[: min(count - 1, n - width)].T
    U, s, V = leading(Sum(case.entries, z, factors), warm, count, (width, n), case.gen)
    np.testing.assert_allclose(s, exact[:count], atol=1e-10 * exact[0])
    np.testing.assert_allclose(dense @ V, U * s, atol=1e-10 * exact[0])


def test_bits_do_not_depend_on_the_threads() -> None:
    known = low_rank(2000, 900, 6, 3.0)
    entries = Entries(known.observed)
    assert entries.row_cuts.size > 3
    point = Point.of(Factors(known.U, known.V))
    tangent = Tangent(entries, point.U, point.V)
    x = np.random.default_rng(1).standard_normal(tangent.size)
    results = []
    for threads in (1, 2, 4):
        with thread_limit(threads):
            blocks = Blocks(tangent, np.ones(6), np.ones((6, 6)))
            results.append((tangent.forward(x), tangent.normal(x), blocks(x)))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("place", ["left", "values"])
def test_nan_stays_nan(place: str) -> None:
    known = low_rank(20, 15, 2, 2.0)
    entries = Entries(known.observed)
    if place == "left":
        left = known.U.copy()
        left[3, 1] = np.nan
        rows = np.repeat(np.arange(20), known.observed.rows.counts)
        np.testing.assert_array_equal(np.isnan(entries.inner(left, known.V)), rows == 3)
    else:
        z = np.zeros(known.observed.count)
        z[7] = np.nan
        assert np.isnan(entries.mat(z, known.V)).any(axis=1).sum() == 1

"""Connected components share nothing: each is fitted as if it was alone, by every method."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from lowapprox import AccuracyWarning, ConvergenceWarning, complete
from lowapprox.completion import CompletionResult
from lowapprox.completion.complete import METHODS
from lowapprox.completion.hard import identified
from lowapprox.completion.problem import Factors
from lowapprox.completion.reading import read
from lowapprox.completion.tangent import Entries, Point
from tests.completion.problems import low_rank
from tests.strategies import quiet

Array = np.ndarray[Any, Any]

EXACT = [name for name in METHODS if name != "soft-impute"]
pytestmark = pytest.mark.filterwarnings("ignore:the entries fall into 2 parts")


def holed(rank: int, oversampling: float, seed: int, noise: float = 0.0) -> tuple[Array, Array]:
    """Return a matrix with NaN, and the truth."""
    m, n = (40, 30) if seed % 2 else (30, 30)
    known = low_rank(m, n, rank, oversampling, seed=seed, noise=noise)
    A, rows = np.full((m, n), np.nan), known.observed.rows
    A[np.repeat(np.arange(m), rows.counts), rows.indices] = rows.values
    return A, known.U @ known.V.T


def joined(A: Array, B: Array) -> Array:
    out = np.full((A.shape[0] + B.shape[0], A.shape[1] + B.shape[1]), np.nan)
    out[: A.shape[0], : A.shape[1]], out[A.shape[0] :, A.shape[1] :] = A, B
    return out


def gaps(fit: CompletionResult, X: Array, Y: Array) -> list[float]:
    """Return the relative errors within both blocks; nothing is said of entries between them."""
    found, (m, n) = fit.to_dense(), X.shape
    assert np.isnan(found[:m, n:]).all()
    assert np.isnan(found[m:, :n]).all()
    blocks = ((found[:m, :n], X), (found[m:, n:], Y))
    return [float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in blocks]


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("size", [1.0, 0.01])
def test_exact_fits_of_both(method: str, size: float) -> None:
    # Of all entries the leading singular vectors lie in the first block.
    (A, X), (B, Y) = holed(2, 5.0, 1), holed(2, 5.0, 2)
    fit = complete(joined(A, size * B), 2, method=method, rng=0)
    assert fit.reason == "residual"
    assert max(gaps(fit, X, size * Y)) <= 1e-6


@pytest.mark.parametrize("method", [name for name in METHODS if name != "irls"])
def test_noisy_fits_are_those_of_either_alone(method: str) -> None:
    (A, _), (B, _) = holed(2, 6.0, 1, 0.1), holed(2, 6.0, 2, 0.1)
    options: dict[str, Any] = {"method": method, "reg": 1.0, "rng": 0, "tol": 1e-7}
    alone = [complete(part, 2, **options).to_dense() for part in (A, 0.5 * B)]
    assert max(gaps(complete(joined(A, 0.5 * B), 2, **options), *alone)) <= 1e-5


@pytest.mark.filterwarnings("ignore:0 rows and 6 columns hold fewer entries than the rank")
def test_a_component_with_fewer_rows_than_the_rank() -> None:
    (A, X), gen = holed(4, 4.0, 1), np.random.default_rng(0)
    B = gen.standard_normal((3, 6))
    for method in EXACT:
        fit = complete(joined(A, B), 4, method=method, rng=0, reg=0)
        assert fit.reason == "residual"
        assert max(gaps(fit, X, B)) <= 1e-6
    tall = Factors(gen.standard_normal((3, 5)), gen.standard_normal((9, 5)))
    point = Point.of(tall)
    assert (point.U.shape, point.s.shape, point.V.shape) == ((3, 3), (3,), (9, 3))
    np.testing.assert_allclose(point.U * point.s @ point.V.T, tall.U @ tall.V.T, atol=1e-12)
    whole = read(joined(np.ones((3, 2)), np.ones((2, 3))))
    factors = Factors(np.ones((5, 3)), np.ones((5, 3)))
    assert identified(Entries(whole), factors, gen)


@pytest.mark.parametrize("method", ["increment", "gauss-newton", "irls", "scaled-gd"])
def test_it_stops_where_it_is_told_to(method: str) -> None:
    (A, _), (B, _) = holed(2, 5.0, 1), holed(2, 5.0, 2)
    both = joined(A, B)
    for most in (1, 2, 3):
        with pytest.warns(ConvergenceWarning, match="max_iter"):
            fit = complete(both, 2, method=method, max_iter=most, rng=0)
        assert fit.iterations == most
        # The last record is that of the whole.
        gap = np.linalg.norm((fit.to_dense() - both)[~np.isnan(both)])
        size = np.linalg.norm(both[~np.isnan(both)])
        np.testing.assert_allclose(fit.history[-1].residual, gap / size, rtol=1e-9)
    with pytest.warns(ConvergenceWarning, match="callback"):
        fit = complete(both, 2, method=method, rng=0, callback=lambda record: record.step == 2)
    assert (fit.iterations, fit.reason) == (2, "callback")


@pytest.mark.parametrize("method", ["increment", "gauss-newton", "scaled-gd", "soft-impute"])
def test_entries_held_out_judge_each_by_its_own(method: str) -> None:
    (A, X), (B, Y) = holed(2, 6.0, 1, 0.3), holed(2, 6.0, 2, 0.3)
    fit = complete(joined(A, B), 6, method=method, rng=0, validation=0.1, tol=1e-6)
    assert fit.converged
    with quiet():
        over = complete(joined(A, B), 6, method="scaled-gd", rng=0, validation=0, max_iter=300)
    assert max(gaps(fit, X, Y)) < 0.9 * min(gaps(over, X, Y))


def test_components_that_the_learned_ridge_takes_for_noise_are_told() -> None:
    (A, X), (B, Y) = holed(2, 5.0, 1, 0.3), holed(2, 5.0, 2)
    both = joined(A, 0.003 * B)  # the noise of one is larger than the values of the other
    for method in ("auto", "als-cg", "als-chol"):
        with pytest.warns(AccuracyWarning, match="all values of 1 of the 2 parts of `A` may be"):
            fit = complete(both, 2, method=method, rng=0)
        assert fit.converged
        np.testing.assert_allclose(gaps(fit, X, 0.003 * Y)[1], 1.0)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "`complete`")
        complete(both, 2, rng=0, reg=1e-4)
        small = np.outer([1.0, 2, 3], [1.0, 1, 2]), np.outer([1.0, -2, 3], [1.0, 5, 2])
        fit = complete(joined(*small), 1, method="als-cg", rng=0)
    assert max(gaps(fit, *small)) <= 1e-6

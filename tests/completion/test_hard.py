"""Exact fits near the limit, and the check that no other matrix fits as well."""

from __future__ import annotations

import os

import numpy as np
import pytest

from lowapprox.completion import hard
from lowapprox.completion.hard import identified, recover
from lowapprox.completion.observations import compressed
from lowapprox.completion.problem import Factors
from lowapprox.completion.tangent import Entries
from tests.completion.problems import Known, low_rank, solved

pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="too slow without the compiler"
)


@pytest.mark.parametrize(("condition", "seed"), [(1.0, 0), (1e3, 0)])
def test_recovery_at_a_third_more_entries_than_unknowns(condition: float, seed: int) -> None:
    known = low_rank(300, 300, 5, 1.35, condition=condition, seed=seed)
    factors, watch = solved(recover, known, 5)
    assert watch.reason == "residual"
    assert known.error(factors.U, factors.V) < 1e-6


def test_no_false_fit_below_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hard, "_ROUNDS", 1)
    monkeypatch.setattr(hard, "_STEPS", 100)
    ends = set()
    for seed in range(3):
        known = low_rank(24, 20, 2, 1.15, seed=seed, least=2)
        factors, watch = solved(recover, known, 2)
        wrong = known.error(factors.U, factors.V) > 1e-5
        assert not (wrong and watch.reason == "residual")
        ends.add((wrong, watch.reason))
    assert len(ends) > 1  # some are found, and some are not


def test_restarts_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hard, "_ROUNDS", 1)
    known = low_rank(30, 25, 3, 1.5, noise=0.3)
    _, watch = solved(recover, known, 3)
    assert watch.reason == "stagnated"
    assert {step.method for step in watch.history} == {"increment", "irls", "gauss-newton"}
    _, watch = solved(recover, known, 3, max_iter=20)
    assert watch.reason == "max_iter"
    assert len(watch.history) == 20
    _, watch = solved(recover, known, 3, callback=lambda progress: progress.step >= 30)
    assert watch.reason == "callback"
    assert len(watch.history) == 30


def without(known: Known, row: int, kept: int) -> Known:
    """Forget all but some entries of a row."""
    rows = known.observed.rows
    numbers = np.repeat(np.arange(known.observed.shape[0]), rows.counts)
    place = np.arange(numbers.size) - rows.indptr[numbers]
    use = (numbers != row) | (place < kept)
    observed = compressed(
        numbers[use], rows.indices[use], rows.values[use], None, known.observed.shape
    )
    return Known(observed, known.U, known.V)


@pytest.mark.parametrize("seed", range(3))
def test_identified(seed: int) -> None:
    known = low_rank(60, 50, 3, 2.5, seed=seed)
    gen = np.random.default_rng(seed)
    truth = Factors(known.U, known.V)
    assert identified(Entries(known.observed), truth, gen)
    # A row is determined by as many entries as the rank, and not by fewer.
    assert identified(Entries(without(known, 5, 3).observed), truth, gen)
    assert not identified(Entries(without(known, 5, 2).observed), truth, gen)


def test_weights_and_dead_components_have_no_part_in_it() -> None:
    known = low_rank(60, 50, 3, 2.5)
    gen = np.random.default_rng(0)
    rows = known.observed.rows
    weights = 10.0 ** gen.uniform(-9, 9, rows.values.size)
    i = np.repeat(np.arange(60), rows.counts)
    heavy = Entries(compressed(i, rows.indices, rows.values, weights, (60, 50)))
    assert identified(heavy, Factors(known.U, known.V), gen)
    dead = [1e-14 * gen.standard_normal((len(X), 1)) for X in (known.U, known.V)]
    more = Factors(np.hstack([known.U, dead[0]]), np.hstack([known.V, dead[1]]))
    assert identified(heavy, more, gen)


def test_two_blocks_that_share_too_little_are_not_identified() -> None:
    # Rows 0-19 see columns 0-14, the others columns 13-29: two columns in common, rank three.
    gen = np.random.default_rng(0)
    U, V = gen.standard_normal((40, 3)), gen.standard_normal((30, 3))
    seen = np.zeros((40, 30), bool)
    seen[:20, :15] = seen[20:, 13:] = True
    for common, expected in ((2, False), (3, True)):
        seen[20:, 15 - common : 13] = True
        rows, columns = np.nonzero(seen)
        values = np.einsum("ij,ij->i", U[rows], V[columns])
        observed = compressed(rows, columns, values, None, (40, 30))
        assert identified(Entries(observed), Factors(U, V), gen) is expected

"""Stopping rules on spaces whose triplets are known, and the driver."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from lowapprox._core.matrix import as_matrix
from lowapprox._subspace import stopping
from lowapprox._subspace.golub_kahan import GolubKahan
from lowapprox._subspace.longside import KeptSide
from lowapprox._subspace.space import Ritz
from lowapprox._subspace.stopping import FrobeniusRule, RankRule, SpectralRule, grow
from tests.reference import with_spectrum

EPS = float(np.finfo(float).eps)


def ritz(s, r):
    empty = np.zeros((0, 0))
    s = np.asarray(s, float)
    return Ritz(empty, s, empty, empty, np.broadcast_to(np.asarray(r, float), s.shape).copy())


@dataclass
class Space:
    """A space that shows what it is told to."""

    s: np.ndarray
    exhausted: bool = False
    fro2: float = 1.0
    op: object = field(default_factory=lambda: as_matrix(np.eye(50)))

    @property
    def size(self):
        return len(self.s)

    @property
    def energy(self):
        return float((np.asarray(self.s) ** 2).sum())


def judge(rule, s, r, **options):
    return rule.judge(Space(np.asarray(s, float), **options), ritz(s, r))


# ---- rank


def test_rank_rule_compares_with_the_last_wanted_value():
    rule = RankRule(4, 2, 0.1, 1e-12)
    verdict = judge(rule, [1.0, 0.5, 0.1], [0.0, 0.049, 9.0])
    assert verdict.done
    assert verdict.size == 2
    assert (verdict.value, verdict.target) == (0.049, 0.05)
    assert not judge(rule, [1.0, 0.5, 0.1], [0.051, 0.0, 0.0]).done


def test_rank_rule_knows_its_floor():
    rule = RankRule(4, 2, 0.0, 1e-3)
    assert judge(rule, [1.0, 1e-9], [1e-3, 1e-3]).done
    assert not judge(rule, [1.0, 1e-9], [1.1e-3, 0.0]).done


def test_rank_rule_needs_all_triplets_or_the_whole_space():
    rule = RankRule(4, 3, 0.1, 1e-12)
    small = judge(rule, [1.0, 0.5], 0.0)
    assert not small.done
    assert small.size == 2
    assert judge(rule, [1.0, 0.5], 0.0, exhausted=True).done


# ---- Frobenius


def frobenius(tol, fro2, cap=50, level=0.02):
    return FrobeniusRule(1, tol, fro2, cap, level, 1e-14)


def test_frobenius_rule_takes_the_fewest():
    s = np.array([3.0, 2.0, 1.0, 0.5])
    fro2 = float((s**2).sum()) + 0.25  # a quarter lies outside the space
    left = np.sqrt(np.append(np.cumsum(s[::-1] ** 2)[::-1][1:], 0.0) + 0.25)
    for k in range(1, 4):
        for tol, size in ((left[k - 1] * 1.0001, k), (left[k - 1] * 0.9999, k + 1)):
            verdict = judge(frobenius(tol / np.sqrt(fro2), fro2), s, 0.0)
            assert verdict.done
            assert verdict.size == size
            assert verdict.value == pytest.approx(left[size - 1])
            assert verdict.value <= verdict.target


def test_frobenius_rule_waits_for_settled_triplets():
    s = [3.0, 2.0, 1.0]
    rule = frobenius(0.3, 14.0)
    assert judge(rule, s, [0.0, 0.03, 1.0]).done
    unsettled = judge(rule, s, [0.0, 0.05, 1.0])
    assert not unsettled.done
    assert unsettled.size == 2
    assert judge(rule, s, 1.0, exhausted=True).done


def test_frobenius_rule_at_its_cap():
    s = [3.0, 2.0, 1.0]
    verdict = judge(frobenius(0.01, 14.0, cap=2), s, [0.0, 0.03, 0.0])
    assert verdict.done
    assert verdict.size == 2
    assert verdict.value > verdict.target
    assert not judge(frobenius(0.01, 14.0, cap=2), s, [0.0, 0.05, 0.0]).done


def test_frobenius_rule_looks_only_when_the_identity_says_so():
    s = np.array([3.0, 2.0])
    rule = frobenius(0.3, 14.0, cap=30)
    assert rule.due(Space(s))  # 1 <= (0.98 * 0.3)^2 * 14
    assert not frobenius(0.1, 14.0).due(Space(s))
    assert frobenius(0.1, 14.0, cap=2).due(Space(s))
    assert frobenius(1e-9, 14.0).due(Space(s))  # the identity cancels
    assert frobenius(0.1, None).due(Space(s))


# ---- spectral


def spectral(tol, cap=50):
    return SpectralRule(2, tol, cap, 0.02, 1e-14)


def test_spectral_rule_takes_the_fewest():
    s = [1.0, 0.5, 0.2, 0.05]
    for tol, size in ((0.6, 1), (0.4, 2), (0.1, 3)):
        verdict = judge(spectral(tol), s, 0.0)
        assert verdict.done
        assert verdict.size == size
        assert verdict.value == s[size]
    assert not judge(spectral(0.01), s, 0.0).done
    last = judge(spectral(0.01), s, 0.0, exhausted=True)
    assert last.done
    assert (last.size, last.value) == (4, 0.0)


def test_spectral_rule_counts_the_residual():
    s = [1.0, 0.5, 0.099]
    assert judge(spectral(0.1), s, 1e-4).done
    assert not judge(spectral(0.1), s, 2e-3).done  # 0.101 may be there
    capped = judge(spectral(0.1, cap=1), s, 1e-4)
    assert capped.done
    assert (capped.size, capped.value) == (1, 0.5001)


# ---- schedule and driver


def test_schedule_follows_the_trend():
    rule = RankRule(10, 5, 0.0, 1e-9)
    verdict = judge(rule, [1.0] * 10, 1e-1)
    rule.schedule(10, 5, verdict)
    assert rule.next_look == 15  # no trend yet
    rule.schedule(15, 5, judge(rule, [1.0] * 15, 1e-2))
    assert rule.next_look == 35  # seven decades at one a block: the most that is left out
    rule.schedule(20, 5, judge(rule, [1.0] * 20, 2e-9))
    assert rule.next_look == 25
    rule.schedule(25, 5, judge(rule, [1.0] * 25, 1e-2))  # it got worse
    assert rule.next_look == 30


def space(s, block=8, m=300, seed=0):
    s = np.asarray(s, float)
    op = as_matrix(with_spectrum(np.random.default_rng(seed), m, len(s), s))
    gen = np.random.default_rng(seed)
    return GolubKahan(op, block, KeptSide(op, gen, 40), gen, 40)


@pytest.mark.parametrize("max_passes", [2, 3, 5, 9])
def test_driver_keeps_the_budget(max_passes):
    gk = space(1 / np.arange(1.0, 201))
    _, verdict, _ = grow(
        gk,
        RankRule(30, 30, 0.0, 1e-12),
        max_dim=200,
        max_passes=max_passes,
        report=lambda *_: False,
    )
    assert not verdict.done
    assert gk.passes == max_passes // 2 * 2


def test_driver_stops_when_told():
    gk = space(1 / np.arange(1.0, 201))
    calls = []

    def report(*record):
        calls.append(record)
        return len(calls) == 2

    _, verdict, _ = grow(
        gk, RankRule(30, 30, 0.0, 1e-12), max_dim=200, max_passes=None, report=report
    )
    assert not verdict.done
    assert [c[0] for c in calls] == sorted(c[0] for c in calls)
    assert calls[-1] == (gk.passes // 2, gk.passes, verdict.value, verdict.target)


def test_driver_restarts_a_limited_number_of_times(monkeypatch):
    monkeypatch.setattr(stopping, "_RESTARTS", 3)
    gk = space(1 / np.arange(1.0, 201), block=4)
    _, verdict, restarts = grow(
        gk, RankRule(8, 8, 0.0, 0.0), max_dim=40, max_passes=None, report=lambda *_: False
    )
    assert not verdict.done
    assert restarts == 3
    assert gk.size <= 40


def test_driver_ends_with_the_space():
    gk = space(np.ones(37), block=8)
    ritz_, verdict, restarts = grow(
        gk, RankRule(37, 37, 0.0, 1e-12), max_dim=37, max_passes=None, report=lambda *_: False
    )
    assert verdict.done
    assert gk.exhausted
    assert restarts == 0
    np.testing.assert_allclose(ritz_.s, 1, atol=1e-14)


def test_driver_grows_when_the_rank_does():
    """With a tolerance the rank may outgrow the first limit of the dimension."""
    s = 1 / np.arange(1.0, 201)
    gk = space(s)
    rule = FrobeniusRule(8, 0.08, float((s**2).sum()), 200, 0.02, 1e-13)
    _, verdict, _ = grow(gk, rule, max_dim=40, max_passes=None, report=lambda *_: False)
    left = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1])
    best = np.count_nonzero(left > 0.08 * left[0])
    assert verdict.done
    assert best <= verdict.size <= best + 1
    assert gk.size > 40

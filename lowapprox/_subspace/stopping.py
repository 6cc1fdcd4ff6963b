"""When a Krylov space is large enough: rules that read the projected matrix, and the driver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from lowapprox._core.rng import standard_normal
from lowapprox._subspace.algebra import Small
from lowapprox._subspace.space import KrylovSpace, Ritz

__all__ = [
    "FrobeniusRule",
    "RankRule",
    "SpectralRule",
    "StoppingRule",
    "Verdict",
    "grow",
]

_SETTLED = 0.02  # residual over value at which the wanted triplets count as found, in tol mode
_RESTARTS = 50
_EQUAL = 1e-3  # values closer than this, relatively, may be copies of one


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to stop, how many triplets to keep, and what was compared.

    `outgrown` says that the space became larger than the caller wanted.
    """

    done: bool
    size: int
    value: float
    target: float
    outgrown: bool = False


@dataclass(slots=True)
class StoppingRule(ABC):
    """Base: decides when the next look at B is worth its SVD."""

    next_look: int
    _seen: tuple[int, float] | None = field(default=None, init=False)

    def due(self, gk: KrylovSpace) -> bool:
        """Tell whether to look now."""
        return gk.size >= self.next_look

    @abstractmethod
    def judge(self, gk: KrylovSpace, ritz: Ritz) -> Verdict:
        """Compare with the target."""

    def schedule(self, size: int, width: int, verdict: Verdict) -> None:
        """Set the next look where the linear trend of the logarithm reaches the target."""
        ahead = 1
        gap = np.log(verdict.value / verdict.target) if 0 < verdict.target < verdict.value else 0.0
        if self._seen is not None and gap > 0:
            (size0, gap0) = self._seen
            slope = (gap0 - gap) / max(size - size0, 1)
            if slope > 0:
                ahead = int(np.clip(0.9 * gap / slope / width, 1, 4))
        self._seen = (size, gap)
        self.next_look = size + ahead * width


@dataclass(slots=True)
class RankRule(StoppingRule):
    """Stop when all residuals of the leading `rank` triplets are small.

    Small is ``level`` times the last wanted value or ``floor`` times the first, whichever is more.
    """

    rank: int
    level: float
    floor: float

    def judge(self, gk: KrylovSpace, ritz: Ritz) -> Verdict:
        size = min(self.rank, gk.size)
        value = float(ritz.residuals[:size].max())
        target = float(max(self.level * ritz.s[size - 1], self.floor * ritz.s[0]))
        done = (size == self.rank and value <= target) or gk.exhausted
        return Verdict(done, size, value, target)


@dataclass(slots=True)
class FrobeniusRule(StoppingRule):
    """Stop at the fewest triplets with ``|A - A_k|_F <= tol |A|_F``, `cap` at most.

    The error is known exactly from the energy of B (the identity of randQB_EI: Yu, Gu, Li 2018,
    arXiv:1606.09402). Below ``3 sqrt(eps)`` the identity cancels, and what lies outside the space
    is estimated from products with random vectors.
    """

    tol: float
    fro2: float | None
    cap: int
    level: float
    floor: float

    def due(self, gk: KrylovSpace) -> bool:
        if gk.size < self.next_look:
            return False
        if gk.size >= self.cap or not self._identity(gk):
            return True
        assert self.fro2 is not None
        return self.fro2 - gk.energy <= (0.98 * self.tol) ** 2 * self.fro2

    def judge(self, gk: KrylovSpace, ritz: Ritz) -> Verdict:
        outside2 = self._outside(gk)
        total2 = float((ritz.s**2).sum()) + outside2
        left2 = outside2 + np.append(np.cumsum((ritz.s**2)[::-1])[::-1][1:], 0.0)
        goal2 = self.tol**2 * total2
        enough = np.flatnonzero(left2 <= goal2)
        if enough.size and enough[0] < self.cap:
            size = int(enough[0]) + 1
            settled = ritz.residuals[:size].max() <= max(
                _SETTLED * ritz.s[size - 1], self.floor * ritz.s[0]
            )
            error = float(np.sqrt(left2[size - 1]))
            return Verdict(bool(settled) or gk.exhausted, size, error, float(np.sqrt(goal2)))
        size = min(self.cap, gk.size)
        target = max(self.level * ritz.s[size - 1], self.floor * ritz.s[0])
        capped = size == self.cap and ritz.residuals[:size].max() <= target
        error = float(np.sqrt(left2[size - 1]))
        return Verdict(bool(capped) or gk.exhausted, size, error, float(np.sqrt(goal2)))

    def _identity(self, gk: KrylovSpace) -> bool:
        return self.fro2 is not None and self.tol >= 3.0 * np.sqrt(gk.op.eps)

    def _outside(self, gk: KrylovSpace) -> float:
        """Return the energy of A outside the space."""
        if gk.exhausted:
            return 0.0
        if self._identity(gk):
            assert self.fro2 is not None
            return max(self.fro2 - gk.energy, 0.0)
        probes = gk.op.from_numpy(standard_normal(gk.gen, (gk.op.shape[1], 10), gk.op.dtype))
        image = gk.op.to_numpy(gk.complement_product(probes))
        # Half above the mean: ten Gaussian probes of a flat spectrum scatter by a third at most.
        return 1.5 * float(np.vdot(image, image).real) / 10


@dataclass(slots=True)
class SpectralRule(StoppingRule):
    """Stop at the fewest triplets with ``sigma_{k+1} <= tol sigma_1``, `cap` at most."""

    tol: float
    cap: int
    level: float
    floor: float

    def judge(self, gk: KrylovSpace, ritz: Ritz) -> Verdict:
        goal = self.tol * float(ritz.s[0])
        known = ritz.s + (0.0 if gk.exhausted else ritz.residuals)
        small = np.flatnonzero(known <= goal)
        if small.size and small[0] <= self.cap:
            size = max(int(small[0]), 1)
            wanted = ritz.residuals[: size + 1].max()
            settled = wanted <= max(_SETTLED * goal, self.floor * ritz.s[0])
            return Verdict(bool(settled) or gk.exhausted, size, float(known[small[0]]), goal)
        size = min(self.cap, gk.size)
        if gk.exhausted:
            value = float(known[size]) if size < gk.size else 0.0
            return Verdict(True, size, value, goal)
        target = max(self.level * ritz.s[size - 1], self.floor * ritz.s[0])
        capped = size == self.cap and ritz.residuals[:size].max() <= target
        return Verdict(bool(capped), size, float(known[min(size, gk.size - 1)]), goal)


def grow(
    gk: KrylovSpace,
    rule: StoppingRule,
    *,
    max_dim: int,
    max_passes: int | None,
    most: int | None = None,
    report: Callable[[int, int, float, float], bool],
) -> tuple[Ritz, Verdict, int]:
    """Run the bidiagonalization until the rule is met, the budget is spent or the caller stops it.

    Returns
    -------
    ritz : Ritz
    verdict : Verdict
        ``done`` is False when the budget or the caller ended the run.
    restarts : int
    """
    steps = restarts = 0
    limit = min(gk.op.shape)
    block = waiting = gk.width
    explored = 0  # random columns that the space has grown from
    while True:
        gk.step()
        explored += waiting
        waiting = gk.fresh
        steps += 1
        spent = gk.exhausted or (max_passes is not None and gk.passes + gk.step_passes > max_passes)
        width = gk.width
        full = max_dim < limit and gk.size + 2 * width > max_dim
        outgrown = most is not None and gk.size > most
        if not (spent or full or outgrown or rule.due(gk)):
            continue
        ritz = gk.ritz()
        verdict = rule.judge(gk, ritz)
        stopped = report(steps, gk.passes, verdict.value, verdict.target)
        hidden = verdict.done and not gk.exhausted and _may_hide(ritz.s[: verdict.size], explored)
        if spent or stopped or (verdict.done and not hidden):
            return ritz, replace(verdict, done=verdict.done and not hidden), restarts
        if outgrown:
            return ritz, replace(verdict, outgrown=True), restarts
        rule.schedule(gk.size, width, verdict)
        if hidden:
            if not waiting:
                gk.widen(block)
                waiting = gk.width - width
            rule.next_look = gk.size + 2 * gk.width
        if full:
            keep = verdict.size + max(2 * width, verdict.size // 4)
            if keep + 2 * width > gk.size:  # the rank outgrew the space: let the space grow
                max_dim = 2 * max_dim
                continue
            if restarts == _RESTARTS:
                return ritz, verdict, restarts
            gk.restart(ritz, keep)
            restarts += 1
            rule.next_look = gk.size + 2 * width


def _may_hide(s: Small, explored: int) -> bool:
    """Tell whether a value may have more copies than were found.

    A Krylov space that grew from c random columns holds at most c vectors of one eigenspace. As
    many equal values above the last wanted one may therefore hide others.
    """
    above = s[s > s[-1] * (1.0 + _EQUAL)] if s.size else s
    if above.size < explored:
        return False
    return bool((above[explored - 1 :] >= above[: above.size - explored + 1] * (1 - _EQUAL)).any())

"""Iterations preconditioned by the triangle of a sketch, and the refined Cholesky solution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lowapprox.regression.outcome import Check, Outcome
from lowapprox.regression.spread import Spread
from lowapprox.regression.system import Host, System, squares_of
from lowapprox.regression.triangle import BackwardError, Triangle, Truncated, triangle_of
from lowapprox.sketching.tensor import LazyProduct

__all__ = [
    "Start",
    "cholesky",
    "corrected",
    "fossils",
    "iterative",
    "sketch_operator",
    "sketch_rows",
    "sketched_start",
    "spir",
]

_U = float(np.finfo(float).eps)
_HOPELESS = 0.1  # of 1 / rcond, from which singular values are looked at one by one
_SWEEPS = 4
_MOST_STEPS = 100
_LONG_WITHOUT = 10  # steps without a look at the backward error
_LEAST_NORM = 1e-151  # of a column: the squares of smaller ones lose digits
_CORRECTIONS = 6
_CHOLESKY_BREAKS = 3e7  # condition number, from which its corrections hardly gain digits


@dataclass(frozen=True, slots=True)
class Start:
    """What a sketch gives: a preconditioner, a first solution, and how well posed it looks.

    Attributes
    ----------
    triangle : Triangle
        Of the sketched matrix.
    X : numpy.ndarray, shape (d, k)
        Solution of the sketched problem.
    condition : float
        Estimate for the matrix with columns of unit norm.
    ratio : float
        Columns of the matrix by rows of the sketch.
    measure : BackwardError
        With the triangle in place of the matrix.
    report : callable
        Told step, passes, backward error and target; returns True to stop.
    spread : Spread
        From the sketch.
    """

    triangle: Triangle | Truncated
    X: Host
    condition: float
    ratio: float
    measure: BackwardError
    report: Callable[[int, int, float, float], bool]
    spread: Spread


def sketch_rows(n: int, d: int) -> int:
    """Return the rows of the sketch: more of them save passes and cost a larger factorization."""
    factor = 20 if d <= 400 else 6
    return max(min(factor * d, n // 2), 4 * d) // 4 * 4


def sketch_operator(system: System, kind: str, rows: int, gen: np.random.Generator) -> Any:
    """Return a sketching operator for the rows of a system."""
    from lowapprox.sketching import SRHT, Gaussian, SparseSign, TensorSRHT

    n = system.shape[0]
    # Weights make the rows of a product anyway.
    if isinstance(system.op, LazyProduct) and system.weights is None and kind in {"auto", "srht"}:
        return TensorSRHT(rows, [factor.shape[0] for factor in system.op.factors], rng=gen)
    if kind == "gaussian":
        return Gaussian(rows, n, rng=gen)
    if kind == "srht":
        return SRHT(rows, n, rng=gen)
    return SparseSign(rows, n, zeta=4, rng=gen)


def sketched_start(
    system: System,
    S: Any,
    b_norms: Host,
    gen: np.random.Generator,
    report: Callable[[int, int, float, float], bool],
    rcond: float | None = None,
) -> Start:
    """Sketch the problem and factor the sketch.

    With `rcond`, singular values below it are cut off where the condition number is hopeless.
    """
    d = system.shape[1]
    with np.errstate(all="ignore"):
        R = triangle_of(system.sketch(S))
        factor = R[:d, :d].copy()
        if system.ridge:
            R = triangle_of(np.concatenate([R, np.sqrt(system.ridge) * np.eye(d, R.shape[1])]))
        full = Triangle(R[:d, :d])
        condition = full.condition(gen) if np.isfinite(R).all() else np.nan
        triangle: Triangle | Truncated = full
        if rcond is not None and condition * rcond > _HOPELESS:
            triangle = Truncated(full, rcond)
            condition = triangle.condition
        X = triangle.solve(R[:d, d:])
        measure = BackwardError(triangle, b_norms)
    rows = S.shape[0]
    error = float(np.sqrt(2.0 / max(rows - d, 1)))
    cut, rank = (0.0, d) if triangle is full else (rcond or 0.0, triangle.rank)
    spread = Spread(factor, system.ridge, cut, rank, system.count, rows=rows, error=error)
    return Start(triangle, X, condition, d / S.shape[0], measure, report, spread)


def spir(system: System, start: Start, target: float) -> Outcome:
    """Solve by conjugate gradients on the normal equations in the variable ``R D x``, refined.

    The first sweep starts from the solution of the sketched problem, the others from where the
    last one ended with a recomputed residual, which is what makes the solution backward stable.
    """
    return _refined(system, start, target, _conjugate_gradients)


def fossils(system: System, start: Start, target: float) -> Outcome:
    """Solve by a refined heavy-ball iteration, which needs no inner products.

    Where the sketch is too poor for its fixed step, conjugate gradients go on.
    """
    return _rescued(system, start, target, _refined(system, start, target, _heavy_ball))


# A sweep: (system, start, found, target, first) -> found, steps. It corrects what was found.
_Sweep = Callable[[System, Start, Check, float, bool], tuple[Check, int]]


def _refined(system: System, start: Start, target: float, sweep: _Sweep) -> Outcome:
    best = Check.of(system, start.X, start.measure)
    steps, stop = 0, False
    for number in range(_SWEEPS):
        if (best.error <= target).all() or not np.isfinite(best.error).any():
            break
        found, count = sweep(system, start, best, target, number == 0)
        steps += count
        gained = (found.error <= best.error / 4.0) & (found.error > target)
        best = best.better(found)
        stop = start.report(steps, system.passes, float(best.error.max()), target)
        if stop or (number and not gained.any()):
            break
    return _outcome(system, start, best, steps, stop)


def _outcome(
    system: System, start: Start, found: Check, steps: int, stopped: bool = False
) -> Outcome:
    triangle = start.triangle
    if isinstance(triangle, Truncated) and triangle.rank < found.X.shape[0]:
        found = Check.of(system, triangle.shortest(found.X), start.measure)
    return Outcome(
        found,
        triangle.D,
        start.condition,
        triangle.rank,
        steps,
        spread=start.spread,
        stopped=stopped,
    )


def _conjugate_gradients(
    system: System, start: Start, found: Check, target: float, first: bool
) -> tuple[Check, int]:
    triangle = start.triangle
    residual = triangle.solve_adjoint(found.G)
    P, Z = residual.copy(), np.zeros_like(residual)
    rs = rs0 = squares_of(residual)
    enough = _inner_goal(start, found)
    checks = _Checks(found.error, np.sqrt(rs))
    k = 0
    for k in range(1, _MOST_STEPS + 1):
        Q = triangle.solve_adjoint(system.normal(triangle.solve(P)))
        curvature = np.einsum("ij,ij->j", P.conj(), Q).real
        moving = (curvature > 0.0) & (rs > 0.0)
        alpha = np.divide(rs, curvature, out=np.zeros_like(rs), where=moving)
        Z += alpha * P
        residual = residual - alpha * Q
        step = alpha * np.sqrt(squares_of(P))
        fresh = squares_of(residual)
        beta = np.divide(fresh, rs, out=np.zeros_like(rs), where=moving)
        P, rs = residual + beta * P, fresh
        if not moving.any():
            break
        if first:
            if (step <= enough).all():
                break
        elif ((rs <= 1e-26 * rs0) | (step <= _U * np.sqrt(squares_of(Z)))).all():
            break
        elif checks.due(k, np.sqrt(rs), target):
            trial = Check.of(system, found.X + triangle.solve(Z), start.measure)
            if checks.enough(np.minimum(trial.error, found.error), target):
                return trial, k
            checks.made(k, np.sqrt(rs), trial.error)
    return Check.of(system, found.X + triangle.solve(Z), start.measure), k


def _heavy_ball(
    system: System, start: Start, found: Check, target: float, first: bool
) -> tuple[Check, int]:
    """Iterate with the step and momentum that suit a sketch; what grows goes no further."""
    triangle, momentum = start.triangle, start.ratio
    size = (1.0 - momentum) ** 2
    C = triangle.solve_adjoint(found.G)
    before, Z = np.zeros_like(C), size * C
    enough = _inner_goal(start, found)
    last = np.full(C.shape[1], np.inf)
    checks = _Checks(found.error, np.sqrt(squares_of(Z)))
    k, grown = 1, 0
    for k in range(1, _MOST_STEPS + 1):
        B = triangle.solve_adjoint(system.normal(triangle.solve(Z)))
        dZ = size * (C - B) + momentum * (Z - before)
        step = np.sqrt(squares_of(dZ))
        grown = grown + 1 if (step > last).any() else 0
        if grown >= 2 or not np.isfinite(step).all():
            break
        before, Z, last = Z, Z + dZ, step
        if first:
            if (step <= enough).all():
                break
        elif (step <= _U * np.sqrt(squares_of(Z))).all():
            break
        elif checks.due(k, step, target):
            trial = Check.of(system, found.X + triangle.solve(Z), start.measure)
            if checks.enough(np.minimum(trial.error, found.error), target):
                return trial, k
            checks.made(k, step, trial.error)
    return Check.of(system, found.X + triangle.solve(Z), start.measure), k


class _Checks:
    """When to look at the backward error, which takes a pass: it is taken to fall as the sizes do.

    Far from the solution it falls less, so that one look tells when to look again.
    """

    def __init__(self, error: Host, size: Host) -> None:
        self.made(0, size, error)

    def made(self, step: int, size: Host, error: Host) -> None:
        """Note the errors of some step, and sizes that the iteration reduces."""
        self._step, self._size, self._error = step, size, error

    def due(self, step: int, size: Host, target: float) -> bool:
        """Tell whether the target may have been reached."""
        count = step - self._step
        likely = (self._error * size <= 2.0 * target * self._size).all()
        return count >= _LONG_WITHOUT or (count >= 2 and bool(likely))

    def enough(self, error: Host, target: float) -> bool:
        """Tell whether errors have reached the target, or stay where they are close to it."""
        stays = (error >= self._error / 2.0) & (error <= 4.0 * target)
        return bool(((error <= target) | stays).all())


def iterative(system: System, start: Start, target: float) -> Outcome:
    """Iterate with momentum on x itself, the residual recomputed in every step.

    The steps are ``x' = x + (1 - q)^2 (R D)^-1 (R D)^-H A^H (b - A x) + q (x - x_before)`` with
    q the columns by the rows of the sketch. Where the sketch is too poor for that, conjugate
    gradients go on.

    References
    ----------
    .. [1] Epperly (2023), "Fast and forward stable randomized algorithms for linear least-squares
       problems", arXiv:2311.04362.
    """
    triangle, momentum = start.triangle, start.ratio
    size = (1.0 - momentum) ** 2
    best = found = Check.of(system, start.X, start.measure)
    dY, last = np.zeros_like(found.X), np.full(found.X.shape[1], np.inf)
    most = min(_MOST_STEPS, int(4.0 * np.log(_U) / np.log(momentum)))  # at half the speed
    k, grown = 0, 0
    while k < most and grown < 3 and not (best.error <= target).all():
        dY = size * triangle.solve_adjoint(found.G) + momentum * dY
        step = np.sqrt(squares_of(dY))
        grown = grown + 1 if (step > last).any() else 0
        last = step
        found = Check.of(system, found.X + triangle.solve(dY), start.measure)
        best = best.better(found)
        k += 1
        length = np.linalg.norm(triangle.R @ (triangle.D[:, None] * found.X), axis=0)
        if start.report(k, system.passes, float(best.error.max()), target):
            return _outcome(system, start, best, k, stopped=True)
        if not np.isfinite(step).all() or (step <= _U * (length + np.sqrt(found.squares))).all():
            break
    return _rescued(system, start, target, _outcome(system, start, best, k))


def _rescued(system: System, start: Start, target: float, outcome: Outcome) -> Outcome:
    """Let conjugate gradients go on where the heavy ball came to no good end."""
    if outcome.stopped or (outcome.found.error <= 8.0 * target).all():
        return outcome
    rest = spir(system, replace(start, X=outcome.found.X), target)
    found = outcome.found.better(rest.found)
    return replace(rest, found=found, iterations=outcome.iterations + rest.iterations)


def _inner_goal(start: Start, found: Check) -> Host:
    """Return the length of a step of the first sweep below which more steps change nothing."""
    y = np.linalg.norm(found.X * start.triangle.D[:, None], axis=0)
    norm = np.linalg.norm(start.triangle.R)
    goal: Host = 10.0 * _U * (norm * y + 0.04 * start.condition * np.sqrt(found.squares))
    return goal


def cholesky(
    system: System,
    b_norms: Host,
    target: float,
    gen: np.random.Generator,
    report: Callable[[int, int, float, float], bool],
) -> Outcome | None:
    """Solve by a Cholesky factor of ``A^H A``, and correct the solution while that helps.

    Returns None where the factor does not exist, or the condition number is too large for it.
    """
    d = system.shape[1]
    with np.errstate(all="ignore"):
        gram, C = system.normal_equations()
        G = gram + system.ridge * np.eye(d)
        D = np.sqrt(np.diagonal(G).real)
        if not (D > _LEAST_NORM).all():
            return None
        try:
            R = np.linalg.cholesky(G / D / D[:, None]).conj().T
        except np.linalg.LinAlgError:
            return None
    if not np.isfinite(R).all():
        return None
    triangle = Triangle(R * D)
    condition = triangle.condition(gen)
    if not condition < _CHOLESKY_BREAKS:
        return None
    squared = system.ridge > 0.0
    factor = gram if squared else R * D
    spread = Spread(factor, system.ridge, 0.0, d, system.count, squared=squared)
    spread = replace(spread, error=_U * condition**2)
    X = triangle.solve(triangle.solve_adjoint(C))
    measure = BackwardError(triangle, b_norms)
    start = Start(triangle, X, condition, 0.0, measure, report, spread)
    return corrected(system, start, target)


def corrected(system: System, start: Start, target: float) -> Outcome:
    """Correct a solution by a triangle that is nearly that of the matrix, while that helps."""
    triangle = start.triangle
    best = found = Check.of(system, start.X, start.measure)
    step = triangle.solve_adjoint(found.G)
    steps, stop = 0, False
    while not (best.error <= target).all() and steps < _CORRECTIONS and not stop:
        found = Check.of(system, found.X + triangle.solve(step), start.measure)
        before, step = step, triangle.solve_adjoint(found.G)
        # Far from the solution x may be so large that it hides what was gained.
        gained = (found.error <= best.error / 4.0) | (squares_of(step) <= squares_of(before) / 16.0)
        best = best.better(found)
        steps += 1
        stop = start.report(steps, system.passes, float(best.error.max()), target)
        if not gained.any():
            break
    return _outcome(system, start, best, steps, stop)

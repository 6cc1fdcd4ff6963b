"""How wrong a truncated SVD is: exact where it is free, else estimated or bounded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowapprox.svd._methods import Factors, Task
from lowapprox.svd.estimates import frobenius_probe, residual_map, spectral_probe
from lowapprox.svd.result import ErrorKind

__all__ = ["CERTIFICATES", "Certificate", "certify_factors"]

CERTIFICATES = ("free", "probe", "none")
_FROBENIUS_PROBES = 10
_SPECTRAL_PROBES = 12


@dataclass(frozen=True, slots=True)
class Certificate:
    """Errors of the scaled factors and what they cost."""

    error: float
    kind: ErrorKind
    fro_norm: float
    error_bound: float | None = None
    failure_probability: float | None = None
    missed: bool = False
    passes: int = 0
    matvecs: int = 0


def certify_factors(task: Task, factors: Factors, certify: str) -> Certificate:
    """Compute the error of the factors in the norm that the task names."""
    passes = matvecs = 0
    error, kind, fro2 = _frobenius(task, factors)
    forward, backward = residual_map(task.op, factors.U, factors.s, factors.V)
    if kind != "exact" and factors.error is None and certify != "none":
        error = frobenius_probe(task.op, forward, _FROBENIUS_PROBES, task.gen)
        kind, passes, matvecs = "estimate", 1, _FROBENIUS_PROBES
        if fro2 is None:
            fro2 = error**2 + float((factors.s**2).sum())
    bound = probability = None
    missed = False
    next_value = factors.next_value
    unknown = task.norm == "spectral" and next_value is None and certify == "free"
    if certify == "probe" or unknown:
        probe = spectral_probe(task.op, forward, backward, _SPECTRAL_PROBES, task.gen)
        bound, probability = probe.upper, probe.failure_probability
        if kind != "estimate" and factors.error is None:  # a norm above all rounding bounds it too
            bound = min(bound, error)
        missed = _missed(task, factors, probe.lower)
        next_value = probe.lower if next_value is None else next_value
        passes, matvecs = passes + 2, matvecs + 2 * _SPECTRAL_PROBES
    if task.norm == "spectral":
        complete = factors.info.get("dimension") == min(task.op.shape)
        error = float("nan") if next_value is None else next_value
        kind = "exact" if complete else "estimate"
    fro_norm = float("nan") if fro2 is None else float(np.sqrt(fro2))
    return Certificate(error, kind, fro_norm, bound, probability, missed, passes, matvecs)


def _frobenius(task: Task, factors: Factors) -> tuple[float, ErrorKind, float | None]:
    """Return the Frobenius error that needs no product."""
    energy = float((factors.s**2).sum())
    if factors.error is not None:
        known = task.fro2 if factors.fro2 is None else factors.fro2
        return factors.error, factors.error_kind, known
    if task.fro2 is None:
        return float("nan"), "estimate", None
    left2 = max(task.fro2 - energy, 0.0)
    rounding2 = 64.0**2 * task.op.eps * task.fro2
    if left2 > rounding2:
        return float(np.sqrt(left2)), "exact", task.fro2
    # The difference cancels; all that it says is an upper bound.
    return float(np.sqrt(left2 + rounding2)), "bound", task.fro2


def _missed(task: Task, factors: Factors, lower: float) -> bool:
    """Tell whether the error is larger than the smallest value found, which it must not be."""
    s = factors.s
    if s.shape[0] == min(task.op.shape):
        return bool(lower > 1e3 * task.floor * s[0])
    slack = np.hypot(s[-1], factors.residuals.max())
    return bool(lower > 1.01 * slack + 1e3 * task.floor * s[0])

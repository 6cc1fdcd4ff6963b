"""How wrong a truncated SVD is: exact where it is free, else estimated or bounded."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lowapprox._core.errors import ConvergenceWarning
from lowapprox._core.matrix import MatrixLike
from lowapprox._core.results import run_info
from lowapprox._core.views import Scaled, scaled
from lowapprox.svd._methods import Factors, Task
from lowapprox.svd.estimates import frobenius_probe, residual_map, spectral_probe
from lowapprox.svd.result import ErrorKind

__all__ = ["CERTIFICATES", "Certificate", "certified", "certify_factors", "nothing"]

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


def certified(
    task: Task, factors: Factors, certify: str, exponent: int, start: float, **how: Any
) -> dict[str, Any]:
    """Certify factors of the matrix times ``2**-exponent``, for a public function.

    Warns the caller of that function if what was asked for is not met, and returns the fields of a
    `Factorization`.
    """
    if factors.exponent:
        exponent += factors.exponent
        task = replace(task, op=Scaled(task.op, -factors.exponent))
    solved = time.perf_counter()
    certificate = certify_factors(task, factors, certify)
    seconds = {"solve": solved - start, "certify": time.perf_counter() - solved}
    converged = factors.converged and not certificate.missed
    if not converged:
        message = _unmet(factors, certificate.missed)
        warnings.warn(message, ConvergenceWarning, stacklevel=3)
    bound = certificate.error_bound
    return {
        "rank": int((factors.s > max(task.op.shape) * task.op.eps * factors.s[0]).sum()),
        "error": scaled(certificate.error, exponent),
        "error_kind": certificate.kind,
        "residuals": np.ldexp(factors.residuals, exponent),
        "converged": converged,
        "passes": factors.passes + certificate.passes,
        "matvecs": factors.matvecs + certificate.matvecs,
        "info": run_info(start, **how, **factors.info, exponent=exponent, seconds=seconds),
        "norm": "spectral" if task.norm == "spectral" else "fro",
        "fro_norm": scaled(certificate.fro_norm, exponent),
        "error_bound": None if bound is None else scaled(bound, exponent),
        "failure_probability": certificate.failure_probability,
    }


def nothing(op: MatrixLike, request: Mapping[str, Any], start: float) -> tuple[int, dict[str, Any]]:
    """Return the number of triplets of an empty or zero matrix, and what `certified` returns."""
    k = min(*op.shape, 1 if request["rank"] is None else request["rank"])
    return k, {
        "rank": 0,
        "error": 0.0,
        "error_kind": "exact",
        "residuals": np.zeros(k),
        "converged": True,
        "passes": 0,
        "matvecs": 0,
        "info": run_info(start, "direct", why="zero or empty"),
        "norm": "spectral" if request["norm"] == "spectral" else "fro",
        "fro_norm": 0.0,
    }


def _unmet(factors: Factors, missed: bool) -> str:
    """Say that the criterion was not met, how far the factors are from it, and what to do."""
    s = factors.s
    worst = float(factors.residuals.max() / s[0]) if s.size and s[0] > 0 else 0.0
    how_far = "" if np.isnan(worst) else f"; largest residual {worst:.1e} of the largest value"
    cause = (
        "random probes found a direction that the factors miss"
        if missed
        else f"the criterion was not met within rank {s.size} and {factors.passes} passes"
    )
    return f"{cause}{how_far}. Allow more passes or rank, a larger tol, or another method."


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

"""The block Krylov method: block Golub-Kahan with a stopping rule."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox._core.matrix import MatrixLike
from lowapprox._core.threads import blas_threads
from lowapprox._core.typing import Array
from lowapprox._subspace.algebra import Small, double
from lowapprox._subspace.golub_kahan import GolubKahan
from lowapprox._subspace.longside import KeptSide, PassingSide
from lowapprox._subspace.stopping import (
    FrobeniusRule,
    RankRule,
    SpectralRule,
    StoppingRule,
    grow,
)
from lowapprox.svd._methods import Factors, Spent, Task, subspace_width

__all__ = ["affordable_dim", "block_size", "krylov", "stopping_rule"]


def krylov(task: Task) -> Factors:
    """Compute a truncated SVD from a block Krylov space."""
    factors = krylov_up_to(task, None)
    assert isinstance(factors, Factors)
    return factors


def krylov_up_to(task: Task, most: int | None) -> Factors | Spent:
    """Compute a truncated SVD, or give up when the space outgrows `most` dimensions."""
    op = task.op
    m, n = op.shape
    width = block_size(task)
    expected = min(n, max(4 * task.cap, task.cap + 10 * width, 2 * task.cap + 64))
    if task.rank is None:
        expected = min(n, 16 * width)
    few = False
    if task.passes is not None:
        steps = max(task.passes // 2, 1)
        if task.rank is not None:
            # Where these steps would not reach the usual space: as wide as the subspace method.
            width = max(width, min(subspace_width(task), -(-expected // steps)))
        few = steps * width <= max(expected, 2 * width)
        expected = min(expected, steps * width)
    rule = stopping_rule(task, width)
    max_dim = max(expected, affordable_dim(op, m + n))
    # Tall sparse matrices and operators: U would outweigh everything else, after many steps.
    passing = op.kind != "dense" and m >= 3 * n and task.accuracy != "full" and not few
    budget = _budget(task.passes, 1 if passing else 0)
    side = PassingSide(op, task.gen) if passing else KeptSide(op, task.gen, expected)
    # Kernels and a threaded BLAS would fight for the cores between the products.
    with blas_threads(1) if op.compiled else nullcontext():
        gk = GolubKahan(op, width, side, task.gen, expected)
        ritz, verdict, restarts = grow(
            gk,
            rule,
            max_dim=max_dim,
            max_passes=budget,
            most=most,
            report=task.report,
        )
        if verdict.outgrown:
            return Spent(gk.passes, gk.matvecs)
        size = min(verdict.size, task.cap)
        if not verdict.done and not passing and not restarts:
            ritz = gk.extended(task.fro2)
        images = gk.images(ritz, size)
    U, s, V = gk.vectors(ritz, images)
    residuals = np.hypot(ritz.residuals[:size], gk.dropped)
    residuals += 4.0 * op.eps * float(ritz.s[0]) * np.sqrt(size)
    met = verdict.done and (task.tol is None or verdict.value <= verdict.target)
    passes, matvecs = gk.passes, gk.matvecs
    if passing:
        passes, matvecs = passes + 1, matvecs + size
        if s[-1] < 1e2 * np.sqrt(op.eps) * s[0]:
            # U was not kept orthogonal well enough for values so far apart: measure.
            measured = _residuals(op, U, s, V)
            met = met and bool(measured.max() <= 2.0 * max(residuals.max(), task.floor * s[0]))
            residuals = np.maximum(residuals, measured)
            passes, matvecs = passes + 1, matvecs + size
    following = float(ritz.s[size]) if size < ritz.s.shape[0] else 0.0
    return Factors(
        U=U.T,
        s=s,
        V=V.T,
        residuals=residuals,
        converged=met,
        passes=passes,
        matvecs=matvecs,
        info={"block": width, "dimension": gk.size, "restarts": restarts},
        next_value=following,
    )


def _budget(passes: int | None, reserved: int) -> int | None:
    """Return the passes that the bidiagonalization may use."""
    if passes is None:
        return None
    if passes < 2 + reserved:
        raise InputError(
            f"`passes` must be at least {2 + reserved} for method='krylov' and this matrix, "
            f"got {passes}"
        )
    return passes - reserved


def _residuals(op: MatrixLike, U: Array, s: Small, V: Array) -> Small:
    """Norms of ``A^H u_i - s_i v_i``, for vectors as rows."""
    rows = op.rmat(U.T).T - op.from_numpy(s[:, None], real=True) * V
    return np.asarray(np.linalg.norm(double(op.to_numpy(rows)), axis=1))


def block_size(task: Task) -> int:
    """Columns a step: more run faster per column, fewer need fewer columns in all."""
    op = task.op
    single = op.real_dtype.itemsize == 4
    if op.kind == "dense" and op.compiled:  # one panel of the kernels
        width = 32 if single else 16
    elif op.kind == "dense":
        width = 32 if single or task.accuracy == "fast" or min(op.shape) >= 20_000 else 16
    elif op.kind == "sparse":  # one cache line a row of the panel
        width = 16 if single else 8
    else:
        width = 8
    if task.rank is not None:
        # Few columns cost a dense product as much as eight: it waits for the matrix.
        width = min(width, max(task.rank, 8 if op.kind == "dense" else 4))
    return min(width, *op.shape)


def stopping_rule(task: Task, width: int) -> StoppingRule:
    """Rule for what the task asks."""
    first = min(task.cap + max(width, task.oversample or 0), *task.op.shape)
    if task.tol is None:
        return RankRule(first, task.cap, task.level, task.floor)
    if task.norm == "residual":
        return RankRule(first, task.cap, 0.0, max(task.tol, task.floor))
    if task.norm == "spectral":
        return SpectralRule(2 * width, task.tol, task.cap, task.level, task.floor)
    return FrobeniusRule(width, task.tol, task.fro2, task.cap, task.level, task.floor)


def affordable_dim(op: MatrixLike, length: int) -> int:
    """Dimension at which bases of vectors of that length take a quarter of the matrix's memory."""
    m, n = op.shape
    item = op.dtype.itemsize
    if op.kind == "operator":
        return 0
    stored = m * n * item if op.kind == "dense" else op.column_indices().size * (item + 4)
    return int(0.25 * stored / (item * length))

"""The single-pass method: every row is read once."""

from __future__ import annotations

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox._core.views import Adjoint, scaled
from lowapprox.svd._methods import Factors, Task
from lowapprox.svd.streaming import StreamingSVD

__all__ = ["single_pass"]

_BLOCK_BYTES = 16 << 20


def single_pass(task: Task) -> Factors:
    """Compute a truncated SVD from sketches, one block of rows after another.

    Of the rows that were not read when the callback ended the work nothing is known, nor then of
    the error.
    """
    if task.rank is None:
        raise InputError("`rank` must be given with method='single_pass', got None")
    wide = isinstance(task.op, Adjoint)
    op = task.op.H if wide else task.op
    m, n = op.shape
    stream = StreamingSVD(n, task.rank, rng=task.gen)
    step = max(1, _BLOCK_BYTES // max(1, n * op.dtype.itemsize))
    for count, start in enumerate(range(0, m, step), start=1):
        stop = min(start + step, m)
        stream._take(op.row_block(start, stop), start, "A")
        if task.report(count, 1, (m - stop) / m, 0.0):
            break
    if stop < m:  # the result has all rows, zeros where none were read
        stream.update(np.zeros((1, n), op.dtype), row_start=m - 1)
    out = stream._solve(last=True)  # randomized_svd warns
    exponent = int(np.frexp(out.fro_norm)[1])
    s, V = out.s.astype(np.float64), out.Vh.conj().T
    error = out.error if stop == m else float("nan")
    goal = np.inf
    if task.tol is not None:  # the error bounds the residuals and the spectral error
        goal = task.tol * (out.fro_norm if task.norm == "fro" else s[0])
    return Factors(
        U=V if wide else out.U,
        s=scaled(s, -exponent),
        V=out.U if wide else V,
        residuals=np.full(s.size, scaled(error, -exponent)),
        converged=out.converged and bool(error <= goal),
        passes=1,
        matvecs=out.matvecs,
        info={key: out.info[key] for key in ("sketch_size", "core_size")},
        next_value=scaled(error, -exponent),  # no less than the spectral error, without a pass
        error=scaled(error, -exponent),
        error_kind=out.error_kind,
        exponent=exponent,
        fro2=scaled(out.fro_norm, -exponent) ** 2 if stop == m else None,
    )

"""The single-pass method: every row is read once."""

from __future__ import annotations

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox._core.matrix import Adjoint
from lowapprox._core.views import scaled
from lowapprox.svd._methods import Factors, Task
from lowapprox.svd.streaming import StreamingSVD

__all__ = ["single_pass"]

_BLOCK_BYTES = 16 << 20


def single_pass(task: Task) -> Factors:
    """Compute a truncated SVD from sketches, one block of rows after another."""
    if task.rank is None:
        raise InputError("`rank` must be given with method='single_pass', got None")
    wide = isinstance(task.op, Adjoint)
    op = task.op.H if wide else task.op
    m, n = op.shape
    stream = StreamingSVD(n, task.rank, rng=task.gen)
    step = max(1, _BLOCK_BYTES // max(1, n * op.dtype.itemsize))
    for count, start in enumerate(range(0, m, step), start=1):
        stop = min(start + step, m)
        stream.partial_fit(op.row_block(start, stop), row_start=start)
        if task.report(count, 1, (m - stop) / m, 0.0):
            break
    out = stream._solve()  # randomized_svd warns
    exponent = int(np.frexp(out.fro_norm)[1])
    V = out.Vh.conj().T
    complete = out.converged and stream.n_rows == m
    met = complete and (task.tol is None or out.error <= task.tol * out.fro_norm)
    return Factors(
        U=V if wide else out.U,
        s=scaled(out.s.astype(np.float64), -exponent),
        V=out.U if wide else V,
        residuals=scaled(out.residuals, -exponent),
        converged=met,
        passes=1,
        matvecs=out.matvecs,
        info={key: out.info[key] for key in ("sketch_size", "core_size")},
        error=scaled(out.error, -exponent),
        error_kind=out.error_kind,
        exponent=exponent,
        fro2=scaled(out.fro_norm, -exponent) ** 2,
    )

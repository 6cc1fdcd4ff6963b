"""The single-pass method: every row is read once."""

from __future__ import annotations

from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.matrix import Adjoint
from lowapprox.svd._methods import Factors, Task

__all__ = ["single_pass"]

_BLOCK_BYTES = 16 << 20


def single_pass(task: Task) -> Factors:
    """Compute a truncated SVD from sketches, one block of rows after another."""
    from lowapprox.svd.streaming import StreamingSVD

    if task.rank is None:
        raise InputError("`rank` must be given with method='single_pass', got None")
    wide = isinstance(task.op, Adjoint)
    op = task.op.H if wide else task.op
    if op.kind == "operator" or not hasattr(op, "row_block"):
        raise InputTypeError(
            "method='single_pass' reads rows of NumPy arrays and scipy.sparse matrices; "
            "use method='subspace' with passes=2"
        )
    m, n = op.shape
    stream = StreamingSVD(n, task.rank, rng=task.gen)
    step = max(1, _BLOCK_BYTES // max(1, n * op.dtype.itemsize))
    for start in range(0, m, step):
        stream.partial_fit(op.row_block(start, min(start + step, m)), row_start=start)
        task.report(start // step + 1, 1, 1.0 - min(start + step, m) / m, 0.0)
    out = stream.result()
    U, V = out.U, out.Vh.conj().T
    return Factors(
        U=V if wide else U,
        s=out.s,
        V=U if wide else V,
        residuals=out.residuals,
        converged=out.converged,
        passes=1,
        matvecs=0,
        info=dict(out.info) | {"dimension": task.rank},
        error=out.error,
        error_kind=out.error_kind,
    )

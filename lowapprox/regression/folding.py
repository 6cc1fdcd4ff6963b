"""Rows folded into a triangle by LAPACK."""

from __future__ import annotations

import numpy as np

from lowapprox.regression.routines import routine
from lowapprox.regression.system import Host

__all__ = ["fold"]

_NARROW = 400  # columns, up to which narrow panels are fastest


def fold(R: Host, M: Host, triangular: int = 0) -> None:
    """Replace the triangle R of some rows by that of the rows and M, in place.

    Parameters
    ----------
    R : numpy.ndarray, shape (w, w)
        Upper triangular and Fortran-ordered, in double precision; what is below the diagonal is
        not touched.
    M : numpy.ndarray, shape (r, w)
        Fortran-ordered, of the same dtype. Overwritten.
    triangular : int, default 0
        So many of the last rows of M are the first of a triangle, and zero below its diagonal.
    """
    import ctypes

    rows, width = M.shape
    if M.size == 0:
        return
    panel = min(16 if width <= _NARROW else 32, width)
    T, work = np.empty((2, panel * width), M.dtype)
    sizes = [ctypes.c_int(i) for i in (rows, width, triangular, panel, width, rows, panel, 0)]
    m, n, l, nb, ldr, ldm, ldt, info = map(ctypes.byref, sizes)
    R_, M_, T_, work_ = (x.ctypes.data for x in (R, M, T, work))
    routine({"d": "dtpqrt", "D": "ztpqrt"}[M.dtype.char])(
        m, n, l, nb, R_, ldr, M_, ldm, T_, ldt, work_, info
    )
    assert sizes[-1].value == 0, sizes[-1].value

"""Routines of BLAS and LAPACK without the interpreter's lock.

SciPy's wrappers hold the lock, so that threads wait for one another. The routines themselves are
exported by `scipy.linalg.cython_blas` and `cython_lapack`, and ctypes calls them without it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from lowapprox.regression.system import Host

__all__ = ["add_gram", "routine", "times_triangle"]

_FLAG = {"upper": b"U", "left": b"L", "plain": b"N", "transposed": b"T"}


@lru_cache
def routine(name: str) -> Any:
    """Return a routine of BLAS or LAPACK, all of whose arguments are pointers."""
    import ctypes

    from scipy.linalg import cython_blas, cython_lapack

    capsules = vars(cython_blas)["__pyx_capi__"] | vars(cython_lapack)["__pyx_capi__"]
    capsule = capsules[name]
    arguments = [ctypes.py_object]
    signature = ctypes.PYFUNCTYPE(ctypes.c_char_p, *arguments)(
        ("PyCapsule_GetName", ctypes.pythonapi)
    )(capsule)
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, *arguments, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    count = signature.count(b",") + 1
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * count)(pointer(capsule, signature))


def times_triangle(T: Host, E: Host) -> None:
    """Replace T by ``T E``, in place.

    Parameters
    ----------
    T : numpy.ndarray, shape (r, d)
        C-ordered, in double precision.
    E : numpy.ndarray, shape (d, d)
        Upper triangular and Fortran-ordered, of the same dtype.
    """
    rows, d = T.shape
    left, upper, transposed, plain = _flags("left", "upper", "transposed", "plain")
    one, m, n = np.ones(1, T.dtype), _integer(d), _integer(rows)
    # The rows of T are the columns of a Fortran-ordered matrix M, which becomes E^T M.
    routine({"d": "dtrmm", "D": "ztrmm"}[T.dtype.char])(
        left, upper, transposed, plain, m, n, one.ctypes.data, E.ctypes.data, m, T.ctypes.data, m
    )


def add_gram(T: Host, G: Host) -> None:
    """Add the conjugate of ``T^H T`` to the upper triangle of G, in place.

    Parameters
    ----------
    T : numpy.ndarray, shape (r, d)
        C-ordered, in single or double precision.
    G : numpy.ndarray, shape (d, d)
        Fortran-ordered, of the same dtype; what is below the diagonal is not touched.
    """
    rows, d = T.shape
    upper, plain = _flags("upper", "plain")
    one, n, k = np.ones(1, T.real.dtype), _integer(d), _integer(rows)
    name = {"f": "ssyrk", "d": "dsyrk", "F": "cherk", "D": "zherk"}[T.dtype.char]
    routine(name)(
        upper, plain, n, k, one.ctypes.data, T.ctypes.data, n, one.ctypes.data, G.ctypes.data, n
    )


def _flags(*names: str) -> list[Any]:
    import ctypes

    return [ctypes.byref(ctypes.c_char(_FLAG[name])) for name in names]


def _integer(value: int) -> Any:
    import ctypes

    return ctypes.byref(ctypes.c_int(value))

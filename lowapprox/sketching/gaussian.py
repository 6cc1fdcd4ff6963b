"""Gaussian sketching operator."""

from __future__ import annotations

import numpy as np

from lowapprox.sketching._hash import fill_normals, fill_normals_compiled
from lowapprox.sketching.operators import NDArray
from lowapprox.sketching.slabs import SlabOperator

__all__ = ["Gaussian"]


class Gaussian(SlabOperator):
    """Operator with independent Gaussian entries of variance 1/m.

    Parameters
    ----------
    m, n : int
        Shape: the operator maps n rows to m.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Source of the key; a Generator is advanced once.
    dtype : dtype, default float64
        Precision of the explicit entries. With a complex dtype the entries are complex, with
        independent real and imaginary parts of variance 1/(2m).

    Raises
    ------
    InputError
        If `m` or `n` is negative.
    InputTypeError
        If `dtype` is not float32, float64, complex64 or complex128.

    Notes
    -----
    Costs ``2 m n k`` operations and ``m n`` normals for a matrix of k columns; the reference for
    the statistics of the others. The first rows of two operators that differ in `m` alone are
    proportional.

    References
    ----------
    .. [1] Martinsson, Tropp (2020), "Randomized numerical linear algebra", arXiv:2002.01387.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import Gaussian
    >>> S = Gaussian(20, 1000, rng=0)
    >>> (S @ np.ones((1000, 3))).shape
    (20, 3)
    >>> S == Gaussian(20, 1000, rng=0)
    True
    """

    def _real_entries(self) -> bool:
        return self.dtype.kind == "f"

    def _slab(self, i0: int, i1: int, compiled: bool) -> NDArray:
        rows = self.shape[0] * (1 if self._real_entries() else 2)
        normals: NDArray = np.empty((rows, i1 - i0))
        if compiled:
            fill_normals_compiled(self.key, i0, normals)
        else:
            fill_normals(self.key, i0, normals)
        if not self._real_entries():
            normals = (normals[::2] + 1j * normals[1::2]) * 0.5**0.5
        return normals

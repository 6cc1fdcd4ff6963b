"""Sketching operator of independent random signs."""

from __future__ import annotations

import numpy as np

from lowapprox.sketching._hash import words
from lowapprox.sketching.operators import NDArray
from lowapprox.sketching.slabs import SlabOperator

__all__ = ["Rademacher"]


class Rademacher(SlabOperator):
    """Operator with independent entries ``+-1/sqrt(m)``.

    Parameters
    ----------
    m, n : int
        Shape: the operator maps n rows to m.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Source of the key; a Generator is advanced once.
    dtype : dtype, default float64
        Precision of the explicit entries. The entries are real in any case, which is enough for
        complex data.

    Raises
    ------
    InputError
        If `m` or `n` is negative.
    InputTypeError
        If `dtype` is not float32, float64, complex64 or complex128.

    Notes
    -----
    Costs ``2 m n k`` operations for a matrix of k columns, as `Gaussian` does, but a bit in place
    of a normal for each entry. All columns have norm 1. The first rows of two operators that
    differ in `m` alone are proportional.

    References
    ----------
    .. [1] Achlioptas (2003), "Database-friendly random projections: Johnson-Lindenstrauss with
       binary coins", doi:10.1016/S0022-0000(03)00025-4.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import Rademacher
    >>> S = Rademacher(16, 1000, rng=0)
    >>> np.unique(S.toarray())
    array([-0.25,  0.25])
    """

    def _slab(self, i0: int, i1: int, compiled: bool) -> NDArray:
        del compiled  # the generation takes little of the time
        return self.signs(np.arange(i0, i1, dtype=np.uint64))

    def signs(self, index: NDArray) -> NDArray:
        """Return the signs of columns with any indices."""
        m = self.shape[0]
        word = words(self.key, index[:, None], np.arange(-(-m // 64), dtype=np.uint64))
        bits = np.unpackbits(word.astype("<u8").view(np.uint8), axis=1, bitorder="little")
        return 1.0 - 2.0 * bits[:, :m].T

"""Truncated SVD and its relatives."""

from lowapprox.svd.cholesky import PivotedCholeskyResult, rp_cholesky
from lowapprox.svd.interpolative import InterpolativeResult, interpolative

__all__ = ["InterpolativeResult", "PivotedCholeskyResult", "interpolative", "rp_cholesky"]

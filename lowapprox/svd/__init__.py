"""Truncated SVD and its relatives."""

from lowapprox.svd.cholesky import PivotedCholeskyResult, rp_cholesky

__all__ = ["PivotedCholeskyResult", "rp_cholesky"]

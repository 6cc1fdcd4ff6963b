"""Truncated SVD and its relatives."""

from lowapprox.svd.cholesky import PivotedCholeskyResult, rp_cholesky
from lowapprox.svd.cur import CURResult, cur
from lowapprox.svd.eigh import EighResult, randomized_eigh
from lowapprox.svd.estimates import ErrorEstimate, estimate_error
from lowapprox.svd.interpolative import InterpolativeResult, interpolative
from lowapprox.svd.nystrom import NystromResult, nystrom
from lowapprox.svd.randomized import randomized_svd
from lowapprox.svd.range_finder import RangeResult, range_finder
from lowapprox.svd.result import SVDResult
from lowapprox.svd.streaming import StreamingSVD

__all__ = [
    "CURResult",
    "EighResult",
    "ErrorEstimate",
    "InterpolativeResult",
    "NystromResult",
    "PivotedCholeskyResult",
    "RangeResult",
    "SVDResult",
    "StreamingSVD",
    "cur",
    "estimate_error",
    "interpolative",
    "nystrom",
    "randomized_eigh",
    "randomized_svd",
    "range_finder",
    "rp_cholesky",
]

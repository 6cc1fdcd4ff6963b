"""Least squares, with the backward error of every solution."""

from lowapprox.regression.lstsq import lstsq
from lowapprox.regression.result import LstsqResult
from lowapprox.regression.streaming import StreamingLstsq

__all__ = ["LstsqResult", "StreamingLstsq", "lstsq"]

"""Least squares, with the backward error of every solution."""

from lowapprox.regression.factor import LstsqFactor, lstsq_factor
from lowapprox.regression.lstsq import lstsq
from lowapprox.regression.result import LstsqResult
from lowapprox.regression.streaming import StreamingLstsq

__all__ = ["LstsqFactor", "LstsqResult", "StreamingLstsq", "lstsq", "lstsq_factor"]

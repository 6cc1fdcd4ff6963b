"""Least squares, with the backward error of every solution."""

from lowapprox.regression.lstsq import lstsq
from lowapprox.regression.result import LstsqResult

__all__ = ["LstsqResult", "lstsq"]

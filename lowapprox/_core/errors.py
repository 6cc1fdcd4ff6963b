"""Exceptions and warnings."""

from __future__ import annotations

__all__ = [
    "AccuracyWarning",
    "ConvergenceWarning",
    "InputError",
    "InputTypeError",
    "LowApproxError",
    "LowApproxWarning",
    "MissingDependencyError",
    "NumericalError",
]


class LowApproxError(Exception):
    """Base class of all errors raised on purpose."""


class InputError(LowApproxError, ValueError):
    """An argument has a value outside its allowed range."""


class InputTypeError(LowApproxError, TypeError):
    """An argument has a type or dtype that the function cannot use."""


class NumericalError(LowApproxError, ArithmeticError):
    """A computation produced NaN or infinity, or met a matrix it cannot treat."""


class MissingDependencyError(LowApproxError, ImportError):
    """An optional package is needed and not installed."""


class LowApproxWarning(UserWarning):
    """Base class of all warnings."""


class ConvergenceWarning(LowApproxWarning):
    """The requested criterion was not met; the result says ``converged=False``."""


class AccuracyWarning(LowApproxWarning):
    """The result is usable but less accurate than asked."""

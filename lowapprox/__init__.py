"""Low-rank and sketched linear algebra, and text-to-pattern distances, with computed errors.

Names are loaded on first use: importing the package loads neither NumPy, SciPy nor numba.
"""

import importlib

__version__ = "0.1.0.dev0"

_NAMES = {
    "AccuracyWarning": "_core.errors",
    "ConvergenceWarning": "_core.errors",
    "InputError": "_core.errors",
    "InputTypeError": "_core.errors",
    "LowApproxError": "_core.errors",
    "LowApproxWarning": "_core.errors",
    "MissingDependencyError": "_core.errors",
    "NumericalError": "_core.errors",
    "complete": "completion",
    "hamming_distances": "hamming",
    "lstsq": "regression",
    "randomized_svd": "svd",
    "show_config": "_core.config",
    "thread_limit": "_core.threads",
}
_MODULES = ("completion", "datasets", "hamming", "regression", "sketching", "svd")

__all__ = [*_MODULES, *_NAMES, "__version__"]


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"lowapprox.{name}")
    if name in _NAMES:
        value = getattr(importlib.import_module(f"lowapprox.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'lowapprox' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)

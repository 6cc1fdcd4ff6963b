"""What the library runs on."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from importlib import metadata
from typing import Any

__all__ = ["config_info", "show_config"]

_PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "array-api-compat", "threadpoolctl")
_OPTIONAL = ("scikit-learn", "dask", "matplotlib", "rich", "torch", "cupy-cuda12x", "cupy-cuda13x")


def config_info() -> dict[str, Any]:
    """Return versions, BLAS libraries, threads, threading layer, kernel cache and devices."""
    import numba as nb
    import numpy as np
    import scipy.linalg  # noqa: F401  loads the second BLAS, so that it is listed
    import threadpoolctl

    from lowapprox import __version__
    from lowapprox._core.threads import threading_layer

    pools = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
    return {
        "lowapprox": __version__,
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        "packages": {p: v for p in _PACKAGES + _OPTIONAL if (v := _version(p))},
        "blas": [
            f"{p['internal_api']} {p['version']} ({p.get('architecture', '?')}), "
            f"{p['num_threads']} threads"
            for p in pools
        ],
        "cpus": os.cpu_count(),
        "kernel threads": nb.get_num_threads(),
        "threading layer": threading_layer(),
        "kernel cache": _kernel_cache(),
        "simd": ", ".join(_simd(np)) or "baseline",
        "devices": _devices(),
    }


def show_config() -> None:
    """Print versions, BLAS, threads, threading layer, kernel cache folder and devices.

    Examples
    --------
    >>> import lowapprox
    >>> lowapprox.show_config()  # doctest: +SKIP
    """
    for key, value in config_info().items():
        sys.stdout.write(f"{key:>16}: {_line(value)}\n")


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return "; ".join(value) if isinstance(value, list) else str(value)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _kernel_cache() -> str:
    """Name the folder that numba chose for compiled code, by one of the kernels."""
    from lowapprox._core.kernels_csr import gather

    if not hasattr(gather, "stats"):
        return "none, the kernels run as Python"
    return gather.stats.cache_path or "none, no folder can be written"


def _simd(np: Any) -> list[str]:
    found = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    return [str(f) for f in found][-4:]


def _devices() -> list[str]:
    """List CUDA devices, asking only libraries that are installed."""
    names: list[str] = []
    if _version("cupy-cuda12x") or _version("cupy-cuda13x"):
        import cupy

        runtime = cupy.cuda.runtime
        with contextlib.suppress(runtime.CUDARuntimeError):  # no driver or no device
            names = [
                runtime.getDeviceProperties(i)["name"].decode()
                for i in range(runtime.getDeviceCount())
            ]
    return names or ["cpu"]

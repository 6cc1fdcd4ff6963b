"""The only door to numba: decorators with the project's flags."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba as nb

__all__ = ["SAFE_FASTMATH", "cuda_kernel", "kernel", "prange"]

F = TypeVar("F", bound=Callable[..., Any])

# Reordering only: the flags `nnan` and `ninf` would turn NaN into a finite result.
SAFE_FASTMATH = frozenset({"reassoc", "contract", "nsz"})

prange = nb.prange


def kernel(
    *, parallel: bool = False, reorder: bool = False, inline: bool = False
) -> Callable[[F], F]:
    """Compile a loop with the project's flags.

    Parameters
    ----------
    parallel : bool
        Run `prange` loops on the numba threads.
    reorder : bool
        Allow the compiler to reorder floating-point sums.
    inline : bool
        Make it a part of every kernel that calls it, whatever its size: vectors are handed over
        in registers.

    Notes
    -----
    Where no folder for the compiled code can be written, the kernel is compiled
    without a cache.
    """
    opts: dict[str, Any] = {
        "nogil": True,
        "parallel": parallel,
        "forceinline": inline,
        "error_model": "numpy",
        "fastmath": set(SAFE_FASTMATH) if reorder else False,
    }

    def wrap(func: F) -> F:
        try:
            return cast("F", nb.njit(cache=True, **opts)(func))
        except RuntimeError:  # no writable cache location
            return cast("F", nb.njit(**opts)(func))

    return wrap


def cuda_kernel(**opts: Any) -> Callable[[F], F]:
    """Compile a CUDA kernel. numba's CUDA target is imported on the first use."""
    from numba import cuda

    def wrap(func: F) -> F:
        return cast("F", cuda.jit(**opts)(func))

    return wrap


def _load_target() -> None:
    """Load what numba loads at the first call, 0.2 s of modules, before it knows of kernels.

    With no garbage looked for meanwhile, which finds none, a first call took 0.27 s, not 0.32 s.
    """
    from numba.core.registry import cpu_target

    collects = gc.isenabled()
    gc.disable()
    try:
        cpu_target.typing_context.refresh()
        cpu_target.target_context.refresh()
    finally:
        if collects:
            gc.enable()


if not nb.config.DISABLE_JIT:
    _load_target()

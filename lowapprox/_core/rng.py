"""Random numbers: one normalization and counter-based keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lowapprox._core.errors import InputTypeError

if TYPE_CHECKING:
    from lowapprox._core.typing import RNGInput

__all__ = ["as_generator", "draw_key", "standard_normal"]


def as_generator(rng: RNGInput) -> np.random.Generator:
    """Normalize the `rng` argument (SPEC 7).

    Raises
    ------
    InputTypeError
        If `rng` is a legacy ``RandomState`` or cannot seed a generator.
    """
    legacy: tuple[Any, ...] = (np.random.RandomState, type(np.random))
    if isinstance(rng, legacy):
        raise InputTypeError(
            "`rng` must be None, an int, a SeedSequence, a BitGenerator or a Generator, "
            "got a legacy RandomState; pass np.random.default_rng(seed)"
        )
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as exc:
        raise InputTypeError(
            "`rng` must be None, a nonnegative int, a SeedSequence, a BitGenerator or a "
            f"Generator, got {rng!r}"
        ) from exc


def draw_key(gen: np.random.Generator) -> tuple[int, int]:
    """Draw the 128-bit key of a counter-based stream, as two 64-bit words."""
    low, high = gen.integers(0, 2**64, size=2, dtype=np.uint64)
    return int(low), int(high)


def standard_normal(
    gen: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray[Any, Any]:
    """Gaussian array with E|x|^2 = 1, drawn in float64 so that all precisions share a stream."""
    x: np.ndarray[Any, Any] = gen.standard_normal(shape)
    if dtype.kind == "c":
        x = (x + 1j * gen.standard_normal(shape)) / np.sqrt(2.0)
    return x.astype(dtype, copy=False)

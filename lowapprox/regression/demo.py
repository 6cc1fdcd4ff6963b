"""Rows of the demo: least squares on an elevation map."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox import datasets
from lowapprox._core.demo import DemoRow, timed
from lowapprox._core.typing import Array
from lowapprox.regression.lstsq import lstsq

__all__ = ["ROWS"]


def surface(quick: bool) -> DemoRow:
    """Fit a smooth surface to a terrain, in one pass, with a bound for each coefficient."""
    heights = datasets.elevation()[:: 4 if quick else 1].astype(np.float64)
    design, b = _design(heights.shape, 6 if quick else 9), heights.ravel()
    result, seconds = timed(lambda: lstsq(design, b, method="linf", eps=0.5, rng=0))
    exact, exact_seconds = timed(lambda: np.linalg.lstsq(design, b)[0], repeat=1)
    scale = float(np.abs(exact).max())
    assert result.entry_bound is not None
    return DemoRow(
        name="lstsq-surface",
        data="elevation, polynomial",
        shape=(b.size, exact.size),
        method="one pass",
        seconds=seconds,
        exact_seconds=exact_seconds,
        error=float(np.abs(result.x - exact).max()) / scale,
        estimate=float(result.entry_bound.max()) / scale,
        kind="bound",
        draw=lambda figure: _bars(figure, result.x - exact, result.entry_bound),
    )


def _design(shape: tuple[int, int], degree: int) -> Array:
    """Return all products of Legendre polynomials on a grid up to a degree in each direction."""
    north, east = (
        np.polynomial.legendre.legvander(np.linspace(-1, 1, size), degree) for size in shape
    )
    return np.einsum("ia,jb->ijab", north, east).reshape(shape[0] * shape[1], -1)


def _bars(figure: Any, errors: Array, bounds: Array) -> None:
    axes = figure.subplots()
    places = np.arange(errors.size)
    axes.bar(places, 2 * bounds, bottom=-bounds, color="0.85", label="stated for all at once: 95 %")
    axes.plot(places, errors, "k.", markersize=4, label="true error")
    axes.set(xlabel="coefficient", ylabel="metres", title="Sketched least squares: errors")
    axes.legend()


ROWS = (surface,)

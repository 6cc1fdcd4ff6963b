"""Rows of the demo: the SVD family on the embedded data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lowapprox import datasets
from lowapprox._core.demo import DemoRow, timed
from lowapprox.svd.cholesky import PivotedCholeskyResult, rp_cholesky
from lowapprox.svd.randomized import randomized_svd
from lowapprox.svd.result import SVDResult
from lowapprox.svd.streaming import StreamingSVD

__all__ = ["ROWS"]

Host = np.ndarray[Any, Any]


def photograph(quick: bool) -> DemoRow:
    """Compress a photograph to rank 40."""
    image = datasets.photograph()[:: 2 if quick else 1, :: 2 if quick else 1]
    result, seconds = timed(lambda: randomized_svd(image, 40, rng=0))
    exact = _exact_seconds(image)
    return _svd_row(
        "svd-photograph",
        "photograph",
        image,
        result,
        (seconds, exact),
        lambda figure: _compare(figure, image, result, "gray", "grey levels"),
    )


def terrain(quick: bool) -> DemoRow:
    """Find the rank that an elevation map needs for a relative error of 2 %."""
    heights = datasets.elevation()[:: 2 if quick else 1, :: 2 if quick else 1]
    result, seconds = timed(lambda: randomized_svd(heights, tol=0.02, rng=0))
    exact = _exact_seconds(heights)
    return _svd_row(
        "svd-tolerance",
        "elevation, tol=0.02",
        heights,
        result,
        (seconds, exact),
        lambda figure: _compare(figure, heights, result, "viridis", "metres"),
    )


def words(quick: bool) -> DemoRow:
    """Principal components of sparse counts, centred without filling in the zeros."""
    counts, _, terms = datasets.documents()
    counts = counts[:200] if quick else counts
    weights = counts.log1p()
    result, seconds = timed(lambda: randomized_svd(weights, 10, center=True, rng=0))
    dense = weights.toarray()
    centred = dense - dense.mean(axis=0)
    return _svd_row(
        "pca-documents",
        "words, sparse, centred",
        centred,
        result,
        (seconds, _exact_seconds(centred)),
        lambda figure: _topics(figure, result, terms),
        reconstruction=result.reconstruct() - dense.mean(axis=0),
    )


def patches(quick: bool) -> DemoRow:
    """Principal patterns of the 32 x 32 patches of the photograph, one pass over their rows."""
    step = 12 if quick else 6
    windows = np.lib.stride_tricks.sliding_window_view(datasets.photograph(), (32, 32))
    windows = windows[::step, ::step]

    def stream() -> SVDResult:
        sketch, start = StreamingSVD(1024, 20, rng=0), 0
        for band in windows:  # only one band of patches is in memory at a time
            block = band.reshape(-1, 1024) / 255.0
            sketch.partial_fit(block, row_start=start)
            start += block.shape[0]
        return sketch.result()

    result, seconds = timed(stream)
    rows = windows.reshape(-1, 1024) / 255.0
    return _svd_row(
        "streaming-patches",
        "patches, one pass",
        rows,
        result,
        (seconds, _exact_seconds(rows)),
        lambda figure: _patterns(figure, result),
    )


def kernel(quick: bool) -> DemoRow:
    """Low-rank factor of a Gaussian kernel matrix of which few entries are evaluated."""
    step = 16 if quick else 8
    heights = datasets.elevation()
    rows, cols = (
        grid.ravel() for grid in np.mgrid[: heights.shape[0] : step, : heights.shape[1] : step]
    )
    points = np.stack([rows / 40.0, cols / 40.0, heights[rows, cols] / 200.0], axis=1)

    def entries(i: Host, j: Host) -> Host:
        x, y = points[i], points[j]
        square = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2.0 * (x @ y.T)
        block: Host = np.exp(-0.5 * np.maximum(square, 0.0))
        return block

    n = len(points)
    result, seconds = timed(lambda: rp_cholesky(entries, 200, diag=np.ones(n), rng=0))
    every = np.arange(n)
    _, exact = timed(lambda: np.linalg.eigh(entries(every, every)), repeat=1)
    missing = entries(every, every).diagonal() - (result.F**2).sum(axis=1)
    return DemoRow(
        name="rp-cholesky-kernel",
        data="RBF kernel of terrain",
        shape=(n, n),
        method=f"rejection, rank {result.rank}",
        seconds=seconds,
        exact_seconds=exact,
        error=float(missing.sum()) / n,
        estimate=result.trace_error / result.trace,
        kind="exact",
        draw=lambda figure: _pivots(figure, heights, step, result),
    )


ROWS: tuple[Callable[[bool], DemoRow], ...] = (photograph, terrain, words, patches, kernel)


def _exact_seconds(A: Host) -> float:
    A = np.asarray(A, dtype=np.float64)
    return timed(lambda: np.linalg.svd(A, full_matrices=False), repeat=1)[1]


def _svd_row(
    name: str,
    data: str,
    A: Host,
    result: SVDResult,
    times: tuple[float, float],
    draw: Callable[[Any], None],
    reconstruction: Host | None = None,
) -> DemoRow:
    norm = float(np.linalg.norm(np.asarray(A, dtype=np.float64)))
    approximation = result.reconstruct() if reconstruction is None else reconstruction
    return DemoRow(
        name=name,
        data=data,
        shape=(A.shape[0], A.shape[1]),
        method=f"{result.info['method']}, rank {len(result.s)}",
        seconds=times[0],
        exact_seconds=times[1],
        error=float(np.linalg.norm(A - approximation)) / norm,
        estimate=result.error / norm,
        kind=result.error_kind,
        draw=draw,
    )


def _compare(figure: Any, original: Host, result: SVDResult, colours: str, unit: str) -> None:
    """Draw the original, the approximation and the difference."""
    approximation = result.reconstruct()
    difference = approximation - original
    relative = np.linalg.norm(difference) / np.linalg.norm(original.astype(np.float64))
    stated = result.error / np.linalg.norm(original.astype(np.float64))
    low, high = float(original.min()), float(original.max())
    peak = float(np.abs(difference).max())
    left, middle, right = figure.subplots(1, 3)
    shown = left.imshow(original, cmap=colours, vmin=low, vmax=high)
    middle.imshow(approximation, cmap=colours, vmin=low, vmax=high)
    figure.colorbar(shown, ax=[left, middle], label=unit, shrink=0.8)
    figure.colorbar(
        right.imshow(difference, cmap="RdBu", vmin=-peak, vmax=peak),
        ax=right,
        label=unit,
        shrink=0.8,
    )
    m, n = original.shape
    k = len(result.s)
    left.set_title(f"original: {m} x {n}, {m * n} numbers")
    middle.set_title(f"rank {k}: {k * (m + n)} numbers")
    right.set_title(f"difference: {relative:.2%} of the norm,\nstated by the result: {stated:.2%}")
    for axes in (left, middle, right):
        axes.set_axis_off()


def _topics(figure: Any, result: SVDResult, terms: tuple[str, ...]) -> None:
    """Draw the words with the largest weights of the first four components."""
    share = result.explained_variance_ratio
    figure.suptitle("Words with the largest weights, and the share of the variance")
    for i, axes in enumerate(figure.subplots(1, 4)):
        weights = result.Vh[i]
        best = np.argsort(-np.abs(weights))[:12][::-1]
        axes.barh(range(12), weights[best], color=np.where(weights[best] < 0, "C1", "C0"))
        axes.set_yticks(range(12), [terms[j] for j in best])
        axes.axvline(0.0, color="black", linewidth=0.8)
        axes.set_title(f"component {i + 1} ({share[i]:.1%})")


def _patterns(figure: Any, result: SVDResult) -> None:
    """Draw the leading right singular vectors as small images."""
    figure.suptitle("The 20 leading patterns of the patches, from one pass over them")
    for i, axes in enumerate(figure.subplots(2, 10).flat):
        pattern = result.Vh[i].reshape(32, 32)
        peak = float(np.abs(pattern).max())
        axes.imshow(pattern, cmap="RdBu", vmin=-peak, vmax=peak)
        axes.set_title(f"{result.s[i]:.3g}", fontsize=9)
        axes.set_axis_off()


def _pivots(figure: Any, heights: Host, step: int, result: PivotedCholeskyResult) -> None:
    """Draw the chosen points on the map, and what the factor leaves of the diagonal."""
    left, right = figure.subplots(1, 2)
    part = heights[::step, ::step]
    rows, cols = np.unravel_index(result.pivots, part.shape)
    left.plot(cols, rows, ".", color="red", markersize=4)
    left.set_title(f"the {result.rank} points whose kernel columns were chosen")
    figure.colorbar(left.imshow(part, cmap="viridis"), ax=left, label="metres")
    right.set_title("what is left of the diagonal (it was 1)")
    rest = result.residual_diagonal.reshape(part.shape)
    figure.colorbar(right.imshow(rest, cmap="magma"), ax=right)
    for axes in (left, right):
        axes.set_axis_off()

"""Rows of the demo: a photograph of which most pixels are missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox import datasets
from lowapprox._core.demo import DemoRow, timed
from lowapprox._core.rng import as_generator
from lowapprox._core.typing import Array
from lowapprox.completion.complete import complete

__all__ = ["ROWS"]

_MISSING = 0.6
_PASSES = 30  # over the filled matrix, after which its error hardly falls


def photograph(quick: bool) -> DemoRow:
    """Fill in the pixels of a photograph, of which 60 % are missing."""
    step, rank = (2, 15) if quick else (1, 40)
    image = datasets.photograph()[::step, ::step].astype(np.float64)
    known = as_generator(0).random(image.shape) >= _MISSING
    result, seconds = timed(
        lambda: complete(
            image,
            rank,
            mask=known,
            center=True,
            row_bias=True,
            col_bias=True,
            validation=0.02,
            rng=0,
        )
    )
    filled = np.where(known, image, np.clip(result.to_dense(), 0.0, 255.0))
    _, exact_seconds = timed(lambda: _by_svd(image, known, rank), repeat=1)
    size = float(np.sqrt(np.mean(image[~known] ** 2)))
    return DemoRow(
        name="complete-photograph",
        data="photograph, 40 % known",
        shape=image.shape,
        method=f"alternation, rank {rank}",
        seconds=seconds,
        exact_seconds=exact_seconds,
        error=float(np.sqrt(np.mean((filled - image)[~known] ** 2))) / size,
        estimate=min(record.held_out for record in result.history) / size,
        kind="estimate",
        draw=lambda figure: _compare(figure, image, known, filled),
    )


def _by_svd(image: Array, known: Array, rank: int) -> Array:
    """Fill in by a truncated SVD of what was filled in before, again and again."""
    filled = np.where(known, image, image[known].mean())
    for _ in range(_PASSES):
        U, s, Vh = np.linalg.svd(filled, full_matrices=False)
        filled = np.where(known, image, (U[:, :rank] * s[:rank]) @ Vh[:rank])
    return filled


def _compare(figure: Any, image: Array, known: Array, filled: Array) -> None:
    shown = {
        "40 % are known (blue: missing)": np.where(known, image, np.nan),
        "Completed": filled,
        "The photograph": image,
    }
    for axes, (title, pixels) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        axes.set_facecolor("#2f6f9f")  # where nothing is known
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255)
        axes.set(title=title, xticks=[], yticks=[])


ROWS = (photograph,)

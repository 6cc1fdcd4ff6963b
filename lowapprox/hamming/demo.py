"""Rows of the demo: the Hamming family on a genome and on a photograph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lowapprox import datasets
from lowapprox._core.demo import DemoRow, timed
from lowapprox._core.rng import as_generator
from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import IUPAC
from lowapprox.hamming.approximate import approximate_hamming_distances
from lowapprox.hamming.bounded import hamming_matches
from lowapprox.hamming.distances import hamming_distances

__all__ = ["ROWS"]

# What the repressor of the phage binds to: either half is the consensus TATCACCGC, the last base
# of which they share (Sarai, Takeda 1989, doi:10.1073/pnas.86.17.6513).
_OPERATOR = "TATCACCGSCGGTGATA"


def read(quick: bool) -> DemoRow:
    """Find where a piece of a genome came from, of which a third of the letters are drawn anew."""
    genome, start, m = datasets.genome(), 20_000, 500 if quick else 2000
    letters = np.array(list(genome[start : start + m]))
    rng = as_generator(0)
    changed = rng.choice(m, m // 3, replace=False)
    letters[changed] = rng.choice(list("ACGT"), changed.size)
    pattern = "".join(letters)
    distances, seconds = timed(lambda: hamming_distances(genome, pattern))
    exact, exact_seconds = _by_definition(genome, pattern)
    return DemoRow(
        name="hamming-read",
        data="genome, noisy piece",
        shape=(len(genome), m),
        method="all distances",
        seconds=seconds,
        exact_seconds=exact_seconds,
        error=float(np.abs(distances - exact).max()) / m,
        estimate=0.0,
        kind="exact",
        draw=lambda figure: _profile(figure, distances, m),
    )


def operators(quick: bool) -> DemoRow:  # noqa: ARG001  as small as it is
    """Find the places that the repressor of the phage binds to."""
    genome, k = datasets.genome(), 4
    matches, seconds = timed(lambda: hamming_matches(genome, _OPERATOR, k, classes=IUPAC))
    exact, exact_seconds = _by_definition(genome, _OPERATOR, classes=IUPAC)
    found = np.full(exact.size, k + 1)
    found[matches.positions] = matches.distances
    return DemoRow(
        name="hamming-operators",
        data="binding sites",
        shape=(len(genome), len(_OPERATOR)),
        method=f"at most {k} mismatches",
        seconds=seconds,
        exact_seconds=exact_seconds,
        error=float(np.abs(found - np.minimum(exact, k + 1)).max()) / len(_OPERATOR),
        estimate=0.0,
        kind="exact",
        draw=lambda figure: _places(figure, genome, matches.positions, matches.distances),
    )


def grey_levels(quick: bool) -> DemoRow:
    """Estimate the distances of a third of a photograph from all other stretches of it."""
    text, m, eps = datasets.photograph().ravel(), 20_000 if quick else 80_000, 0.1
    pattern = text[100_000 : 100_000 + m]
    (found, info), seconds = timed(
        lambda: approximate_hamming_distances(text, pattern, eps, rng=0, return_info=True)
    )
    exact, exact_seconds = timed(lambda: hamming_distances(text, pattern), repeat=1)
    error = np.abs(found - exact) / np.maximum(exact, 1)
    return DemoRow(
        name="hamming-approximate",
        data="photograph, all pixels",
        shape=(text.size, m),
        method="all exact" if info.exact else f"{info.sample} pixels of the pattern",
        seconds=seconds,
        exact_seconds=exact_seconds,
        error=float(error.max()),
        estimate=0.0 if info.exact else eps,
        kind="exact" if info.exact else "bound",
        draw=lambda figure: _estimates(figure, found, exact, m, eps),
    )


ROWS: tuple[Callable[[bool], DemoRow], ...] = (read, operators, grey_levels)


def _by_definition(text: str, pattern: str, **options: Any) -> tuple[Array, float]:
    """Count with one NumPy pass over the text for each letter of the pattern."""
    return timed(lambda: hamming_distances(text, pattern, method="naive", **options), repeat=1)


def _profile(figure: Any, distances: Array, m: int) -> None:
    """Draw the share of differing letters along the genome, the best place marked."""
    left, right = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    share = distances / m
    best = int(distances.argmin())
    left.plot(share, linewidth=0.3)
    left.plot(best, share[best], "o", color="C3")
    left.annotate(
        f"letter {best}: {distances[best]} of {m}",
        (best, share[best]),
        xytext=(12, -3),
        textcoords="offset points",
    )
    left.set(xlabel="letter of the genome", ylabel="share of letters that differ")
    left.set_title("a piece of the genome, a third of its letters drawn anew")
    right.hist(share, bins=120, orientation="horizontal", log=True)
    right.set(xlabel="places", title="all places")


def _places(figure: Any, genome: str, positions: Array, distances: Array) -> None:
    """Draw the matches along the genome, and their letters, those that differ in red."""
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    agree = len(_OPERATOR) - distances
    left.vlines(positions, agree.min() - 1, agree, color="C0")
    left.plot(positions, agree, "o", color="C0")
    left.set(xlim=(0, len(genome)), xlabel="letter of the genome", ylabel="letters that agree")
    left.set_yticks(range(agree.min(), len(_OPERATOR) + 1))
    left.set_title(f"places like {_OPERATOR} (S = C or G)")
    right.set_axis_off()
    right.set(xlim=(-4, len(_OPERATOR)), ylim=(len(positions), -1))
    for row, place in enumerate(positions.tolist()):
        right.text(-4, row, str(place), family="monospace")
        for i, wanted in enumerate(_OPERATOR):
            letter = genome[place + i]
            colour = "black" if letter in IUPAC.get(wanted, wanted) else "C3"
            right.text(i, row, letter, color=colour, family="monospace", weight="bold")


def _estimates(figure: Any, found: Array, exact: Array, m: int, eps: float) -> None:
    """Draw exact and estimated shares along the text, and the relative errors."""
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    step = max(1, found.size // 4000)  # as many as can be seen
    places = np.arange(0, found.size, step)
    left.plot(places, exact[places] / m, ".", markersize=3, color="C0", label="exact")
    left.plot(places, found[places] / m, ".", markersize=1, color="C1", label="estimated")
    left.set(xlabel="first pixel", ylabel="share of pixels that differ")
    left.set_title(f"{m} pixels of the photograph along all of it")
    left.legend(loc="lower right", markerscale=5)
    right.hist((found - exact) / np.maximum(exact, 1), bins=60, log=True)
    for bound in (-eps, eps):
        right.axvline(bound, color="C3", linestyle="--")
    right.set_xticks([-eps, -eps / 2, 0, eps / 2, eps])
    right.set(xlabel="relative error", ylabel="places", title="the bounds are dashed")

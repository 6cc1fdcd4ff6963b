"""Distances within a given error, from a sample of the pattern."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from lowapprox._core.checks import checked_choice, checked_tol
from lowapprox._core.results import Result
from lowapprox._core.rng import as_generator
from lowapprox._core.typing import Array, RNGInput
from lowapprox.hamming.counting import blocks, count, count_range
from lowapprox.hamming.distances import measure
from lowapprox.hamming.plan import is_tiny, predicted_time, prepare
from lowapprox.hamming.problem import Problem, narrowest, pose
from lowapprox.hamming.samples import additive_sample, multiplicative_sample
from lowapprox.hamming.verify import Verifier, verify_time

__all__ = ["SamplingInfo", "approximate_hamming_distances"]

ERRORS = ("multiplicative", "additive")

_THRESHOLDS = tuple(i / 64 for i in range(1, 64))  # shares of mismatches
_PILOT_POSITIONS = 512
_PILOT_SHIFTS = 2048  # in a row, at each of so many places:
_PILOT_PLACES = 8
_SCALE = 1.0  # nanoseconds to write an estimate


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SamplingInfo(Result):
    """How approximate distances were found.

    Attributes
    ----------
    exact : bool
        Whether all of them are exact.
    reason : str
        Why they are exact, or why not.
    sample : int
        Number of pattern positions that were compared at every shift.
    threshold : float
        Shifts with a smaller share of mismatches in the sample were counted exactly; 0 if none
        were to be.
    recounted : int
        Number of shifts that were counted exactly after the sample.
    """

    exact: bool
    reason: str
    sample: int
    threshold: float = 0.0
    recounted: int = 0
    _shown: ClassVar[tuple[str, ...]] = ("exact", "reason", "sample", "threshold", "recounted")


def approximate_hamming_distances(
    text: Any,
    pattern: Any,
    eps: float,
    *,
    delta: float = 1e-3,
    rng: RNGInput = None,
    error: str = "multiplicative",
    mode: str = "valid",
    wildcard: Any = None,
    classes: Mapping[Any, Iterable[Any]] | None = None,
    return_info: bool = False,
) -> Array:
    """Estimate the mismatches of a pattern at every place of a text, within a given error.

    Parameters
    ----------
    text, pattern : str, bytes, bytearray, memoryview, array or sequence of hashables
        Of n and m letters, as `hamming_distances` takes them.
    eps : float
        Error allowed, between 0 and 1.
    delta : float, default 1e-3
        Chance allowed, between 0 and 1, that the error is larger at one shift or more.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Chooses the sample. The result does not depend on the number of threads.
    error : {"multiplicative", "additive"}
        With a chance of at least 1 - `delta`, at all shifts together, the estimate lies within
        `eps` times the distance ("multiplicative"), or within `eps` times m ("additive", which
        may need a smaller sample).
    mode : {"valid", "full", "cyclic"}
        Which shifts, as in `hamming_distances`.
    wildcard : letter, optional
        A letter that agrees with every letter.
    classes : mapping of letter to letters, optional
        What a letter stands for.
    return_info : bool, default False
        Return also how the distances were found.

    Returns
    -------
    distances : ndarray
        Estimates, of dtype float64; or the exact distances, of the integer dtype that
        `hamming_distances` returns, where counting them is predicted to be cheaper. So the dtype
        tells which of the two they are.
    info : SamplingInfo
        Only with `return_info`.

    Raises
    ------
    InputError
        If `eps` or `delta` does not lie strictly between 0 and 1, or another argument is out of
        range.
    InputTypeError
        If the letters of text and pattern cannot be compared.

    See Also
    --------
    hamming_distances : Exact, and faster unless the pattern is long.
    hamming_matches : For distances that are small everywhere of interest.

    Notes
    -----
    The same positions of the pattern, drawn at random, are compared at every shift, and the
    mismatches among them scaled. For the additive error, log(2 N / delta) / (2 eps^2) positions
    are enough for N shifts [1]_, whatever m is, and fewer as the sample becomes a large part of
    the pattern [2]_. For the multiplicative error a shift keeps its estimate only if the share of
    mismatches in the sample reaches a threshold, for which about
    2 log(2 N / delta) (1 / threshold - 1) / eps^2 positions are enough; the others are counted
    exactly. A pilot sample chooses the threshold with the least predicted cost. So this pays where
    most distances are a large part of m; where they are small everywhere, all are counted exactly.
    As the multiplicative error is the smaller one, it may be kept where the additive one was
    asked for. The theory has O(n / eps^2) whatever the letters, by sampling too [3]_.

    References
    ----------
    .. [1] W. Hoeffding, "Probability inequalities for sums of bounded random variables", JASA 58
       (1963), doi:10.1080/01621459.1963.10500830.
    .. [2] R. J. Serfling, "Probability inequalities for the sum in sampling without replacement",
       Annals of Statistics 2 (1974), doi:10.1214/aos/1176342611.
    .. [3] T. M. Chan, S. Golan, T. Kociumaka, T. Kopelowitz, E. Porat, "Approximating
       text-to-pattern Hamming distances", STOC 2020, arXiv:2001.00211.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.hamming import approximate_hamming_distances
    >>> letters = np.random.default_rng(0).integers(0, 100, 120_000)
    >>> found, info = approximate_hamming_distances(
    ...     letters, letters[50_000:90_000], 0.1, rng=0, return_info=True
    ... )
    >>> found.dtype, info.exact, int(found[50_000])
    (dtype('float64'), False, 0)
    >>> approximate_hamming_distances("abracadabra", "abr", 0.1)
    array([0, 3, 3, 2, 3, 2, 3, 0, 3], dtype=int8)
    """
    eps, delta = checked_tol(eps, "eps"), checked_tol(delta, "delta")
    checked_choice(error, "error", ERRORS)
    gen = as_generator(rng)
    problem = pose(text, pattern, mode=mode, wildcard=wildcard, classes=classes)
    whole = problem.pattern.size
    sample, threshold, reason = _plan(problem, eps, delta, error, gen)
    recounted = 0
    if sample == whole:
        found = measure(problem, np.empty(problem.shifts, narrowest(problem.pattern.span)))
    else:
        chosen = np.sort(gen.choice(whole, sample, replace=False, shuffle=False))
        found, recounted = _estimate(problem, chosen, threshold)
        if recounted == problem.shifts:
            reason = "every shift was counted exactly after the sample"
            found = found.astype(narrowest(problem.pattern.span))
    exact = found.dtype.kind == "i"
    info = SamplingInfo(exact, reason, sample, threshold, recounted)
    return (found, info) if return_info else found


def _plan(
    problem: Problem, eps: float, delta: float, error: str, gen: np.random.Generator
) -> tuple[int, float, str]:
    """Return the size of the sample (the whole pattern: exact), the threshold, and why."""
    whole = problem.pattern.size
    if whole == 0 or is_tiny(problem):
        return whole, 0.0, "there are few letters to compare"
    nats = math.log(problem.shifts) - math.log(delta)  # the shifts share `delta`
    plans = [(multiplicative_sample(eps, nats, t), t) for t in _THRESHOLDS]
    if error == "additive":  # kept by the others too, but for all shifts it needs no threshold
        plans.append((additive_sample(eps, nats, whole), 0.0))
    plans = [(sample, threshold) for sample, threshold in plans if 2 * sample < whole]
    if not plans:
        return whole, 0.0, "the sample would be half of the pattern or more"
    exact = predicted_time(problem)
    times = _SCALE + np.array([predicted_time(problem, sample) for sample, _ in plans])
    low = _pilot(problem, [threshold for _, threshold in plans], gen)
    times += np.minimum(low * verify_time(whole), exact)
    best = int(np.argmin(times))
    predicted = f"{times[best]:.3g} ns per shift predicted, {exact:.3g} ns for the whole pattern"
    if times[best] >= exact:
        return whole, 0.0, f"sampling is not cheaper: {predicted}"
    return *plans[best], f"sampling is cheaper: {predicted}"


def _pilot(problem: Problem, thresholds: list[float], gen: np.random.Generator) -> Array:
    """Estimate which share of the shifts has a smaller share of mismatches than each threshold.

    The positions are drawn apart from those of the sample: as the threshold depends on them, it
    would depend on the sample if they were the same.
    """
    size = min(_PILOT_POSITIONS, problem.pattern.size)
    chosen = np.sort(gen.choice(problem.pattern.size, size, replace=False, shuffle=False))
    counters, compiled = prepare(replace(problem, pattern=problem.pattern.take(chosen)))
    length = min(_PILOT_SHIFTS, problem.shifts)
    found = np.empty((_PILOT_PLACES, length), dtype=np.int32)
    for row in found:
        start = int(gen.integers(problem.shifts - length + 1))
        count_range(problem.text, counters, start, row, compiled=compiled)
    return np.searchsorted(np.sort(found, axis=None) / size, thresholds) / found.size


def _estimate(problem: Problem, chosen: Array, threshold: float) -> tuple[Array, int]:
    """Return the estimates from chosen positions, and how many shifts were counted exactly."""
    whole, span = problem.pattern.size, problem.pattern.span
    counters, compiled = prepare(replace(problem, pattern=problem.pattern.take(chosen)))
    verifier = Verifier(problem.pattern, problem.text.alphabet)
    enough = math.ceil(threshold * chosen.size)
    exact = predicted_time(problem)
    out = np.empty(problem.shifts)
    left = []  # blocks to be counted as a whole

    def sample(start: int, stop: int) -> int:
        codes = problem.text.codes(start, stop + span - 1, compiled=compiled)
        found = np.empty(stop - start, dtype=narrowest(chosen.size))
        count(codes, counters, found)
        np.multiply(found, whole / chosen.size, out=out[start:stop])
        few = np.flatnonzero(found < enough)
        if few.size * verify_time(whole) >= found.size * exact:
            left.append((start, stop))
            return found.size
        if few.size:
            out[start + few] = verifier.count(codes, few)
        return few.size

    def recount(block: int) -> None:
        start, stop = left[block]
        found = np.empty(stop - start, dtype=narrowest(span))
        count_range(problem.text, exactly, start, found)
        out[start:stop] = found

    recounted = sum(blocks(sample, problem.shifts, span, compiled=compiled))
    if left:
        from lowapprox._core.threads import run_blocks

        exactly, _ = prepare(problem)
        run_blocks(recount, len(left))
    return out, recounted

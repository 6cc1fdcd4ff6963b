"""Hamming distances between a pattern and every place of a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lowapprox._core.checks import checked_choice
from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.typing import Array
from lowapprox.hamming.counting import blocks, count_into, count_range
from lowapprox.hamming.plan import METHODS, prepare
from lowapprox.hamming.problem import Problem, checked_dtype, pose

__all__ = ["hamming_distances", "measure"]


def hamming_distances(
    text: Any,
    pattern: Any,
    *,
    method: str = "auto",
    mode: str = "valid",
    wildcard: Any = None,
    classes: Mapping[Any, Iterable[Any]] | None = None,
    dtype: Any = None,
    out: Array | None = None,
) -> Array:
    """Count the mismatches of a pattern at every place of a text, exactly.

    Parameters
    ----------
    text, pattern : str, bytes, bytearray, memoryview, array or sequence of hashables
        Of n and m letters: characters (code points, as they are: nothing is normalized or
        folded), integers or booleans of any width (bytes are integers), floats, or objects
        compared by ``==``. Arrays are one-dimensional; a memory map is read block by block.
    method : {"auto", "bits", "byte", "fft", "hybrid", "scatter", "naive"}
        All are exact. "auto" takes the one with the least predicted time.
    mode : {"valid", "full", "cyclic"}
        "valid": the n - m + 1 shifts at which the pattern lies within the text; none if m > n.
        "full": the n + m - 1 shifts -(m - 1), ..., n - 1 at which they overlap; letters outside
        the text do not count. "cyclic": the n shifts around a circular text.
    wildcard : letter, optional
        A letter that agrees with every letter, in the text and in the pattern.
    classes : mapping of letter to letters, optional
        What a letter stands for, as ``{"R": "AG"}``; two letters agree if they stand for a common
        one. A letter without an entry stands for itself. `IUPAC` has the codes of nucleotides.
    dtype : integer dtype, optional
        Of the distances; by default the narrowest signed one that holds m, so that differences
        of distances are safe.
    out : ndarray, optional
        Where to write; its dtype holds if `dtype` is not given.

    Returns
    -------
    ndarray of int
        Distance at each shift, in order; `out` if it was given.

    Raises
    ------
    InputError
        If an array is not one-dimensional, `dtype` cannot hold m, or `out` has a wrong shape or
        overlaps the text.
    InputTypeError
        If the letters of text and pattern cannot be compared (str with bytes), or are unhashable.

    See Also
    --------
    hamming_matches : Only the shifts with at most k mismatches.
    approximate_hamming_distances : Cheaper where a relative error is allowed.

    Notes
    -----
    Work is shared by the threads of `thread_limit`; apart from the result, memory is bounded
    whatever the length of the text. The methods and their costs are told in the user guide; the
    split of letters between them goes back to Abrahamson [1]_, and the best bound known,
    O(n sqrt(m)), to Chan, Jin, Vassilevska Williams and Xu [2]_.

    References
    ----------
    .. [1] K. Abrahamson, "Generalized string matching", SIAM Journal on Computing 16 (1987),
       doi:10.1137/0216067.
    .. [2] T. M. Chan, C. Jin, V. Vassilevska Williams, Y. Xu, "Faster algorithms for
       text-to-pattern Hamming distances", FOCS 2023, arXiv:2310.13174.

    Examples
    --------
    >>> from lowapprox.hamming import IUPAC, hamming_distances
    >>> hamming_distances("abracadabra", "abr")
    array([0, 3, 3, 2, 3, 2, 3, 0, 3], dtype=int8)
    >>> hamming_distances("GATTACA", "RAY", classes=IUPAC)
    array([0, 1, 3, 1, 2], dtype=int8)
    """
    checked_choice(method, "method", METHODS)
    problem = pose(text, pattern, mode=mode, wildcard=wildcard, classes=classes)
    return measure(problem, _checked_out(out, dtype, problem), method)


def measure(problem: Problem, out: Array, method: str = "auto") -> Array:
    """Write the distances of all shifts into `out`, and return it."""
    if out.size == 0 or problem.pattern.size == 0:
        out[...] = 0
        return out
    counters, compiled = prepare(problem, method)
    if compiled:
        count_into(problem.text, counters, out)
    else:

        def work(start: int, stop: int) -> None:
            count_range(problem.text, counters, start, out[start:stop], compiled=False)

        blocks(work, out.size, problem.pattern.span, compiled=False)
    return out


def _checked_out(out: Any, dtype: Any, problem: Problem) -> Array:
    """Return the array of distances to be filled."""
    shifts, m, source = problem.shifts, problem.pattern.span, problem.text.letters.source
    wanted = checked_dtype(dtype, m) if dtype is not None or out is None else None
    if out is None:
        return np.empty(shifts, dtype=wanted)
    if not isinstance(out, np.ndarray):
        raise InputTypeError(f"`out` must be a NumPy array, got {type(out).__name__}")
    checked_dtype(out.dtype, m, "out")
    if out.shape != (shifts,):
        raise InputError(f"`out` must have shape ({shifts},), got {out.shape}")
    if wanted is not None and out.dtype != wanted:
        raise InputError(f"`out` must have dtype {wanted} as `dtype` says, got {out.dtype}")
    if not out.flags.writeable:
        raise InputError("`out` must be writeable, got a read-only array")
    if isinstance(source, np.ndarray) and np.shares_memory(out, source):
        raise InputError("`out` must not overlap the memory of `text`")
    return out

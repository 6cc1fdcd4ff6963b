"""What the methods have in common, and the loop over blocks of shifts that runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from lowapprox._core.threads import kernel_threads
from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Pattern
from lowapprox.hamming.bits import BitsCounter
from lowapprox.hamming.text import CodedText

__all__ = [
    "Counter",
    "block_shifts",
    "blocks",
    "count",
    "count_into",
    "count_range",
    "smallest_block",
]

R = TypeVar("R")

_SMALLEST_BLOCK = 1 << 19
_SHARE = 300e3  # nanoseconds of work for each thread: with less, one alone is as fast


class Counter(Protocol):
    """A method, prepared for the positions of a pattern that it counts."""

    @property
    def pattern(self) -> Pattern:
        """The positions that this method counts."""

    def subtract(self, codes: Array, out: Array) -> None:
        """Subtract from ``out[i]`` the number of agreements at shift i.

        `codes` holds ``out.size + span - 1`` text codes; `out` is contiguous, of any integer type.
        The call must release the interpreter's lock, and may run in several threads at once.
        """


def block_shifts(span: int, smallest: int = _SMALLEST_BLOCK) -> int:
    """Return the number of shifts of a block: its codes stay in cache, the overlap stays small."""
    # Of smaller ones, the threads spend as much time on handing over the interpreter's lock.
    return max(smallest, 1 << (4 * span - 1).bit_length() if span else 0)


def count(codes: Array, counters: Sequence[Counter], out: Array) -> None:
    """Write the distances that the counters find together into `out`, contiguous."""
    out[...] = sum(counter.pattern.size for counter in counters)
    for counter in counters:
        counter.subtract(codes, out)


def count_range(
    text: CodedText,
    counters: Sequence[Counter],
    start: int,
    out: Array,
    *,
    compiled: bool = True,
) -> None:
    """Write the distances of the shifts from `start` on into `out`, contiguous."""
    if out.size and counters:
        span = counters[0].pattern.span
        codes = text.codes(start, start + out.size + span - 1, compiled=compiled)
        count(codes, counters, out)
    else:
        out[...] = 0


def count_into(text: CodedText, counters: Sequence[Counter], out: Array) -> None:
    """Write the distances of all shifts into `out`, block by block and in parallel."""
    direct = out.flags.c_contiguous and out.dtype.isnative
    span = counters[0].pattern.span if counters else 0
    if direct and out.size and len(counters) == 1 and isinstance(counters[0], BitsCounter):
        codes = text.held(0, out.size + span - 1)
        if codes is not None and codes.dtype == np.uint8:
            _count_shared(codes, counters[0], out)
            return

    def work(start: int, stop: int) -> None:
        target = out[start:stop]
        if direct:
            count_range(text, counters, start, target)
        else:
            piece = np.empty(target.size, dtype=out.dtype.newbyteorder("="))
            count_range(text, counters, start, piece)
            target[...] = piece

    blocks(work, out.size, span)


def _count_shared(codes: Array, counter: BitsCounter, out: Array) -> None:
    """Write all distances; the threads share out the tiles without the interpreter's lock."""
    from lowapprox._core.threads import run_together

    taken = np.zeros(2, dtype=np.int64)
    threads = _bits_threads(counter, out.size)
    run_together(lambda: counter.count_shared(codes, out, taken), threads)


def smallest_block(counters: Sequence[Counter], shifts: int) -> int:
    """Return how many shifts a block must have to be worth a thread."""
    if len(counters) == 1 and isinstance(counters[0], BitsCounter):
        return min(_SMALLEST_BLOCK, -(-shifts // _bits_threads(counters[0], shifts)))
    return _SMALLEST_BLOCK


def _bits_threads(counter: BitsCounter, shifts: int) -> int:
    """Return for how many threads there is work."""
    work = shifts * (0.25 + 1.6e-3 * counter.pattern.size)  # about, see `plan`
    return max(1, min(kernel_threads(), int(work / _SHARE)))


def blocks(
    work: Callable[[int, int], R],
    shifts: int,
    span: int,
    *,
    smallest: int = _SMALLEST_BLOCK,
    compiled: bool = True,
) -> list[R]:
    """Return ``work(start, stop)`` of all blocks of shifts, in order; in parallel if compiled.

    The blocks are of one size and, if there are many, even in number: two threads get as much.
    """
    count = -(-shifts // block_shifts(span, smallest))
    size = -(-shifts // max(count + (count > 1 and count % 2), 1))
    starts = range(0, shifts, max(size, 1))
    if not compiled:
        return [work(start, min(start + size, shifts)) for start in starts]
    from lowapprox._core.threads import run_blocks

    found: list[Any] = [None] * len(starts)

    def run(block: int) -> None:
        found[block] = work(starts[block], min(starts[block] + size, shifts))

    run_blocks(run, len(starts))
    return found

"""The result of a search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lowapprox._core.results import Result
from lowapprox._core.typing import Array

__all__ = ["Matches"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Matches(Result):
    """Shifts of a pattern and their exact distances.

    Unpacks as ``positions, distances = matches``; its length is the number of shifts.

    Attributes
    ----------
    positions : numpy.ndarray of int64, shape (r,)
        Places in the text where the pattern begins; negative where it begins before the text
        (mode "full").
    distances : numpy.ndarray of int, shape (r,)
        Number of mismatches at each of them.
    info : Mapping
        Methods that counted, seconds, threads.
    converged : bool
        True: the search is exact.
    passes : int
        Passes over the text.
    """

    positions: Array
    distances: Array
    info: Mapping[str, Any] = field(default_factory=dict)
    converged: bool = True
    passes: int = 1
    _shown: ClassVar[tuple[str, ...]] = ("positions", "distances")

    def __iter__(self) -> Iterator[Array]:
        return iter((self.positions, self.distances))

    def __len__(self) -> int:
        return int(self.positions.size)

"""Distances by definition, in plain Python: what every method and every form is held to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def agree(
    a: Any, b: Any, wildcard: Any = None, classes: Mapping[Any, Iterable[Any]] | None = None
) -> bool:
    """Tell whether two letters agree."""
    if wildcard is not None and any(
        x == wildcard or (x != x and wildcard != wildcard)  # noqa: PLR0124
        for x in (a, b)
    ):
        return True
    if classes is None:
        return bool(a == b)
    return any(x == y for x in classes.get(a, [a]) for y in classes.get(b, [b]))


def distances(
    text: Sequence[Any],
    pattern: Sequence[Any],
    *,
    mode: str = "valid",
    wildcard: Any = None,
    classes: Mapping[Any, Iterable[Any]] | None = None,
) -> list[int]:
    """Count the pairs of letters that do not agree, at every shift of a mode."""
    n, m = len(text), len(pattern)
    shifts = range(n - m + 1)
    if mode == "full" and m > 0:
        shifts = range(1 - m, n)
    if mode == "cyclic":
        shifts = range(n)

    def pairs(shift: int) -> Iterable[tuple[Any, Any]]:
        for j, letter in enumerate(pattern):
            place = (shift + j) % n if mode == "cyclic" else shift + j
            if 0 <= place < n:
                yield text[place], letter

    return [sum(not agree(a, b, wildcard, classes) for a, b in pairs(s)) for s in shifts]

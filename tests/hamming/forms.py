"""Texts and patterns of every kind of letters, and every way of handing one over."""

from __future__ import annotations

import array
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

Form = Callable[[list[Any]], Any]


def _strided(x: np.ndarray) -> np.ndarray:
    wide = np.repeat(x, 3)
    wide[1::3] = wide[2::3] = wide[:1] if x.size else 0
    return wide[::3]


def _read_only(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


def _unaligned(x: np.ndarray) -> np.ndarray:
    out = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype)
    out[...] = x
    return out


# Every way of laying out the same array.
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": np.ascontiguousarray,
    "strided": _strided,
    "reversed": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "read-only": _read_only,
    "unaligned": _unaligned,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
}


def _objects(letters: list[Any]) -> np.ndarray:
    out = np.empty(len(letters), dtype=object)
    for i, letter in enumerate(letters):
        out[i] = letter
    return out


def _typed(dtype: str, layout: str) -> Form:
    return lambda letters: LAYOUTS[layout](np.array(letters, dtype=dtype))


SEQUENCES: dict[str, Form] = {"list": list, "tuple": tuple, "object array": _objects}
_BYTES: dict[str, Form] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": lambda letters: memoryview(bytes(letters)),
    "memoryview with gaps": lambda letters: memoryview(bytes(np.repeat(letters, 2).tolist()))[::2],
    "S1 array": lambda letters: np.array([bytes([x]) for x in letters], dtype="S1"),
    "characters in C": lambda letters: memoryview(bytes(letters)).cast("c"),
}


def forms(family: str, letters: list[Any]) -> st.SearchStrategy[tuple[str, Form]]:
    """Return the forms that can hold these letters as they are."""
    found: dict[str, Form] = dict(SEQUENCES)
    if family == "text":
        found["str"] = "".join
        found |= {f"U1 {layout}": _typed("U1", layout) for layout in LAYOUTS}
    elif family in {"bool", "integer"}:
        kinds = ["?"] * (family == "bool") + [f"{s}{w}" for s in "iu" for w in (1, 2, 4, 8)]
        for kind in kinds:
            low, high = (0, 1) if kind == "?" else (np.iinfo(kind).min, np.iinfo(kind).max)
            if all(low <= x <= high for x in letters):
                found |= {f"{kind} {layout}": _typed(kind, layout) for layout in LAYOUTS}
        if all(0 <= x < 256 for x in letters):
            found |= _BYTES
        if all(0 <= x < 2**64 for x in letters):
            found["array.array"] = lambda letters: array.array("Q", letters)
    elif family == "float":
        for kind in ("f2", "f4", "f8"):
            found |= {f"{kind} {layout}": _typed(kind, layout) for layout in LAYOUTS}
    return st.sampled_from(sorted(found)).map(lambda name: (name, found[name]))


ALPHABETS: dict[str, list[list[Any]]] = {
    "text": [
        list("ACGT"),
        list("ab"),
        ["e", "é", "\u0301", "E"],  # with a combining mark: letters are code points
        ["\ud800", "\udfff", "x"],  # surrogates by themselves
        ["\U0001f600", "\U00010000", "\uffff", "z"],
        ["\x01", "\x7f", "\x80", "\xff", "\u0100"],
    ],
    "integer": [
        [0, 1, 2, 3],
        [7],
        list(range(256)),
        [-1, 0, 1, 255, 256, 65535, 65536],
        [2**53, 2**53 + 1, 2**53 + 2, -(2**53) - 1],
        [2**63 - 1, 2**63, 2**64 - 1, 2**64 - 2],
        [-(2**63), -(2**63) + 1, 2**63 - 1, -1, 0],
        [-(2**31), 2**31 - 1, 2**31, 2**32 - 1],
        [2**64 - 1, -1, -(2**63), 0],  # equal bits, different numbers
        [2**70, -(2**70), 5],
    ],
    "bool": [[False, True]],
    "float": [[0.0, -0.0, 1.5, math.nan], [math.inf, -math.inf, math.nan, 0.25], [-1.0, 2.0]],
    "object": [
        [None, "a", 1, 2.5, ("x", 1)],
        [True, 1, 1.0, "1", b"1"],
        [math.nan, None, frozenset(), -0.0, 0],
        ["word", "words", ""],
    ],
}


@dataclass(frozen=True)
class Given:
    """Text and pattern as lists, the same in some form, and the options of the call."""

    text: list[Any]
    pattern: list[Any]
    options: dict[str, Any]
    text_form: tuple[str, Form]
    pattern_form: tuple[str, Form]

    def __repr__(self) -> str:
        names = f"{self.text_form[0]!r}, {self.pattern_form[0]!r}"
        return f"Given({self.text!r}, {self.pattern!r}, {self.options!r}, {names})"

    @property
    def arguments(self) -> tuple[Any, Any]:
        """Text and pattern as they are handed over."""
        return self.text_form[1](self.text), self.pattern_form[1](self.pattern)


def options(letters: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a wildcard, classes, both or neither, as keywords."""
    named = [x for x in letters if x == x and x is not None]  # noqa: PLR0124
    one = st.sampled_from(named) if named else st.nothing()

    def classes(wildcard: Any) -> st.SearchStrategy[dict[str, Any]]:
        rest = [x for x in named if x != wildcard]
        if not rest:
            return st.just({"wildcard": wildcard})
        letter = st.sampled_from(rest)
        table = st.dictionaries(letter, st.lists(letter, max_size=4), max_size=4)
        return table.map(lambda c: {"wildcard": wildcard, "classes": c})

    wild = st.sampled_from([x for x in letters if x is not None])
    return st.one_of(
        st.just({}),
        wild.map(lambda w: {"wildcard": w}),
        st.just(None).flatmap(classes),
        one.flatmap(classes),
    )


@st.composite
def given_letters(
    draw: Any, families: tuple[str, ...] = tuple(ALPHABETS), max_text: int = 40
) -> Given:
    """Draw a text and a pattern, in forms that agree with one another, and the options."""
    family = draw(st.sampled_from(families))
    alphabet = draw(st.sampled_from(ALPHABETS[family]))
    letters = st.sampled_from(alphabet)
    text = draw(st.lists(letters, max_size=max_text))
    pattern = draw(st.lists(letters, max_size=max_text // 3))
    if text and draw(st.booleans()):
        start = draw(st.integers(0, len(text) - 1))
        pattern = text[start : start + len(pattern)]
    chosen = draw(options(alphabet))
    if family == "float" or draw(st.booleans()):
        text_form = pattern_form = draw(forms(family, text + pattern))
    else:
        text_form, pattern_form = draw(forms(family, text)), draw(forms(family, pattern))
    return Given(text, pattern, chosen, text_form, pattern_form)

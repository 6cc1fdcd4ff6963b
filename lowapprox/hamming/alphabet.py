"""Codes of letters: which text letters agree with which pattern letters.

Only the letters of the pattern get codes; a text letter that the pattern does not have is "other",
and so costs nothing, whatever the size of the text's alphabet. The text is never sorted. Letters of
one byte are codes as they stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.typing import Array
from lowapprox.hamming.letters import Letters, as_one_letter, same_family

__all__ = ["IUPAC", "Alphabet", "Pattern", "encode_pattern"]

# Ambiguity codes of nucleotides (Cornish-Bowden 1985, doi:10.1093/nar/13.9.3021).
IUPAC = {
    **{"R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC"},
    **{"B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT"},
}

_FEW = 40  # letters of one byte: fewer are compared, by vectors, instead of looked up
_CLOSE = 16  # times as many integers as there are letters are numbered by a table
_MAX_TABLE = 1 << 22  # entries of a look-up table; a wider range of letters is searched


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """The pattern positions that can mismatch, and their letters.

    Attributes
    ----------
    positions : ndarray of int64, shape (p,)
        Increasing; wildcards are left out.
    letters : ndarray of int64, shape (p,)
        Their letters, between 0 and ``kinds - 1``.
    span : int
        Length of the whole pattern.
    """

    positions: Array
    letters: Array
    span: int

    @property
    def size(self) -> int:
        """Number of positions that can mismatch."""
        return int(self.positions.size)

    def take(self, chosen: Array) -> Pattern:
        """Return the pattern of some of the positions (a mask or indices in order)."""
        return Pattern(self.positions[chosen], self.letters[chosen], self.span)


@dataclass(frozen=True, slots=True, eq=False)
class Alphabet:
    """Codes of text letters, and what they agree with.

    Attributes
    ----------
    kinds : int
        Pattern letters lie below: their number, or 256 where letters are bytes as they stand.
    codes : int
        Number of text codes of real letters. Two more follow: `other`, which agrees with no
        pattern letter, and `wild`, which agrees with every one.
    plain : bool
        Text letters are bytes, and codes as they stand.
    agree : ndarray of bool, shape (kinds, codes), or None
        Whether a pattern letter agrees with a text code; None where they agree if they are equal.
    wild_in_text : bool
        Whether a text may hold `wild`.
    dtype : dtype
        Of the codes: uint8, uint16 or uint32.
    """

    kinds: int
    codes: int
    agree: Array | None
    wild_in_text: bool
    dtype: Any
    plain: bool
    _text: Letters  # none: only their kind, and their name for messages
    _found: dict[Any, int] | _Table  # letter: code
    _encoders: dict[Any, _Table | _Search | _Dictionary]  # for each width of letters met so far

    @property
    def other(self) -> int:
        """Code of the text letters that the pattern does not have."""
        return self.codes

    @property
    def wild(self) -> int:
        """Code that agrees with every letter."""
        return self.codes + 1

    def encode(self, raw: Any, out: Array, *, compiled: bool) -> None:
        """Write the codes of text letters; `compiled` allows numba."""
        if self.plain:
            out[...] = raw
            return
        unit = raw.dtype if isinstance(raw, np.ndarray) else None
        encoder = self._encoders.get(unit)
        if encoder is None:
            # Where `other` does not fit, there is no other letter.
            other = min(self.other, int(np.iinfo(self.dtype).max))
            encoder = _encoder(unit, self._text, self._found, other, self.dtype)
            self._encoders[unit] = encoder
        encoder.encode(raw, out, compiled=compiled)

    def codes_of(self, letter: int) -> Array:
        """Return the text codes that agree with a pattern letter, `wild` included if it occurs."""
        real = [letter] if self.agree is None else np.flatnonzero(self.agree[letter])
        return np.append(real, [self.wild] * self.wild_in_text).astype(np.int64)

    def agreement(self) -> Array:
        """Return the whole table, shape (kinds, codes + 2)."""
        table = np.zeros((self.kinds, self.codes + 2), dtype=bool)
        table[:, : self.codes] = np.eye(self.kinds) if self.agree is None else self.agree
        table[:, self.wild] = True
        return table


def encode_pattern(
    text: Letters,
    pattern: Letters,
    *,
    wildcard: Any = None,
    classes: Mapping[Any, Iterable[Any]] | None = None,
    padded: bool = False,
    mixed: bool = False,
) -> tuple[Letters, Pattern, Alphabet]:
    """Give codes to the letters of a pattern.

    Parameters
    ----------
    text, pattern : Letters
        Only the kind of the text's letters matters here.
    wildcard : letter, optional
        Agrees with every letter, on either side.
    classes : mapping, optional
        The letters that a letter stands for; two letters agree if they stand for a common one. A
        letter without an entry stands for itself.
    padded : bool
        Whether the text will be padded by wildcards.
    mixed : bool
        Whether more letters of this family may follow the text's, in other widths.

    Returns
    -------
    text : Letters
        In the family of the comparison.
    coded : Pattern
    alphabet : Alphabet
    """
    text, pattern = same_family(text, pattern)
    family = text.family
    if wildcard is None and classes is None and not (padded or mixed):
        plain = _as_bytes(text, pattern)
        if plain is not None:
            kind = Letters((), family, text.name)
            alphabet = Alphabet(256, 256, None, False, np.dtype(np.uint8), True, kind, {}, {})
            return text, Pattern(np.arange(plain.size), plain, plain.size), alphabet
    if wildcard is None and classes is None and not mixed:
        table = _Table.of(pattern)
        if table is not None:
            letters, kind = (
                table.codes_of(pattern.raw(0, len(pattern))),
                Letters((), family, text.name),
            )
            every = not padded and _are_all(table.letters, text)
            dtype = np.min_scalar_type(table.other + padded - every)
            alphabet = Alphabet(
                table.other, table.other, None, padded, dtype, False, kind, table, {}
            )
            return text, Pattern(np.arange(letters.size), letters, letters.size), alphabet
    letters, inverse = _distinct(pattern)
    wild = None if wildcard is None else as_one_letter(wildcard, family, "wildcard")
    real = None if wildcard is None else np.array([not _same(x, wild) for x in letters], dtype=bool)
    positions = np.arange(len(pattern))
    if real is not None:
        positions = np.flatnonzero(real[inverse])
        inverse = (np.cumsum(real) - 1)[inverse[positions]]
        letters = [x for x, keep in zip(letters, real, strict=True) if keep]
    agree = None
    known = letters
    if classes is not None:
        known, agree = _resolve(letters, _checked_classes(classes, family, wild))
    codes = {letter: code for code, letter in enumerate(known)}
    other, in_text = len(codes), padded or wildcard is not None
    spare = other + in_text  # the largest code
    if not (in_text or mixed) and _are_all(known, text):
        spare -= 1  # every text letter is known
    if wildcard is not None:
        codes[wild] = other + 1
    dtype, kind = np.min_scalar_type(spare), Letters((), family, text.name)
    alphabet = Alphabet(len(letters), other, agree, in_text, dtype, False, kind, codes, {})
    return text, Pattern(positions, inverse, len(pattern)), alphabet


def _as_bytes(text: Letters, pattern: Letters) -> Array | None:
    """Return the letters of the pattern if those of both sides are bytes."""
    if text.family not in ("text", "integer") or text.raw(0, 0).dtype != np.uint8:
        return None
    letters = pattern.raw(0, len(pattern))
    if letters.dtype != np.uint8 and letters.size and not 0 <= letters.min() <= letters.max() < 256:
        return None
    return letters.astype(np.int64)


def _same(letter: Any, wild: Any) -> bool:
    """Tell whether a letter is the wildcard; as a wildcard, NaN is equal to itself."""
    return bool(letter == wild or (letter != letter and wild != wild))  # noqa: PLR0124


def _distinct(pattern: Letters) -> tuple[list[Any], Array]:
    """Return the distinct letters as Python objects, and the index of each position's letter.

    A letter that is not equal to itself (NaN) gets an entry that no text letter will meet.
    """
    raw = pattern.raw(0, len(pattern))
    if isinstance(raw, np.ndarray):
        values, inverse = np.unique(raw, return_inverse=True)
        letters = values.tolist()
        if pattern.family == "text":
            letters = [chr(x) for x in letters]
        return letters, inverse.astype(np.int64)
    seen: dict[Any, int] = {}
    try:
        inverse = np.array([seen.setdefault(x, len(seen)) for x in raw], dtype=np.int64)
    except TypeError:
        raise _unhashable(raw, pattern.name) from None
    return list(seen), inverse


def _checked_classes(
    classes: Mapping[Any, Iterable[Any]], family: str, wild: Any
) -> dict[Any, set[Any]]:
    if not isinstance(classes, Mapping):
        raise InputTypeError(
            f"`classes` must map letters to the letters they stand for, got {classes!r}"
        )
    checked = {}
    for letter, members in classes.items():
        key = as_one_letter(letter, family, "classes")
        try:
            checked[key] = {as_one_letter(x, family, "classes") for x in members}
        except TypeError as exc:
            if isinstance(exc, InputTypeError):
                raise
            raise InputTypeError(
                f"`classes` must map {letter!r} to a sequence of letters, got {members!r}"
            ) from None
        if wild is not None and wild in checked[key] | {key}:
            raise InputError(f"`classes` must not name the wildcard {wild!r}")
    return checked


def _resolve(letters: list[Any], classes: dict[Any, set[Any]]) -> tuple[list[Any], Array]:
    """Return every letter that can agree with one of `letters`, and with which of them."""
    listed = set(letters).union(classes, *classes.values())
    known = letters + [x for x in listed if x not in set(letters)]
    meaning = {x: classes.get(x, {x}) for x in known}
    agree = np.array([[not meaning[p].isdisjoint(meaning[t]) for t in known] for p in letters])
    return known, agree.reshape(len(letters), len(known))


def _are_all(known: Sequence[Any], text: Letters) -> bool:
    """Tell whether the text can hold no letter but the known ones, as bytes can."""
    unit = None if text.family == "object" else text.raw(0, 0).dtype
    if len(known) != 256 or unit is None or unit.itemsize > 1 or text.family == "text":
        return False
    limits = np.iinfo(unit)
    return bool(limits.min <= min(known) and max(known) <= limits.max)


def _encoder(
    unit: Any, text: Letters, codes: dict[Any, int] | _Table, other: int, dtype: Any
) -> Any:
    if isinstance(codes, _Table):
        return codes.within(unit, other, dtype)
    if unit is None:
        # A letter not equal to itself would be found by its identity.
        equal = {x: c for x, c in codes.items() if x == x}  # noqa: PLR0124
        nan = max([other, *(c for x, c in codes.items() if x != x)])  # noqa: PLR0124
        return _Dictionary(equal, other, nan, text.name)
    values, found, nan = [], [], other
    low, high = (-np.inf, np.inf) if unit.kind == "f" else (np.iinfo(unit).min, np.iinfo(unit).max)
    for letter, code in codes.items():
        value = ord(letter) if text.family == "text" else letter
        if value != value:  # noqa: PLR0124
            nan = code if code > other else other  # NaN agrees with nothing, unless it is wild
        elif low <= value <= high:
            values.append(value)
            found.append(code)
    keys = np.array(values, dtype=unit)
    order = np.argsort(keys)
    keys, found_codes = keys[order], np.array(found, dtype=dtype)[order]
    if unit.kind != "f" and keys.size:
        first, size = int(keys[0]), int(keys[-1]) - int(keys[0]) + 1
        if size <= _MAX_TABLE:
            table = np.full(size, other, dtype=dtype)
            table[[int(k) - first for k in keys]] = found_codes
            return _Table(first, table, other)
    return _Search(keys, found_codes, other, nan)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Codes from a table of all integers between two letters."""

    low: int
    table: Array
    other: int

    @classmethod
    def of(cls, pattern: Letters) -> _Table | None:
        """Give codes to the letters of a pattern, if they are integers of a narrow range."""
        letters = pattern.raw(0, len(pattern))
        if (
            not isinstance(letters, np.ndarray)
            or letters.dtype.kind not in "iu"
            or not letters.size
        ):
            return None
        low, high = int(letters.min()), int(letters.max())
        if high - low > min(_CLOSE * letters.size, _MAX_TABLE):
            return None
        seen = np.zeros(high - low + 1, dtype=bool)
        seen[_above(low, letters)] = True
        ranks = np.cumsum(seen) - 1
        other = int(ranks[-1]) + 1
        ranks[~seen] = other
        return cls(low, ranks, other)

    @property
    def letters(self) -> Sequence[int]:
        """The letters that have codes, if there are no gaps."""
        return range(self.low, self.low + self.other) if self.other == self.table.size else ()

    def codes_of(self, letters: Array) -> Array:
        """Return the codes of letters that all are between the first and the last."""
        return self.table[_above(self.low, letters)]

    def within(self, unit: Any, other: int, dtype: Any) -> _Table | _Search:
        """Return the part for letters of a dtype."""
        limits = np.iinfo(unit)
        first, last = max(limits.min - self.low, 0), max(limits.max - self.low + 1, 0)
        table = np.minimum(self.table[first:last], other).astype(dtype)
        if not table.size:
            return _Search(np.empty(0, unit), table, other, other)
        return _Table(self.low + first, table, other)

    def encode(self, raw: Array, out: Array, *, compiled: bool) -> None:
        # Differences modulo the width of the letters: those below `low` become large.
        unsigned = np.dtype(f"u{raw.itemsize}")
        low = np.array([self.low], dtype=raw.dtype).view(unsigned)[0]
        letters = raw.view(unsigned)
        if compiled:
            from lowapprox.hamming.kernels import encode, encode_few

            if letters.dtype == out.dtype == np.uint8:
                keys = np.flatnonzero(self.table != self.other)
                if keys.size <= _FEW:
                    codes, keys = self.table[keys], keys.astype(np.uint8) + low
                    encode_few(letters, keys, codes, np.uint8(self.other), (0,) * 64, out)
                    return
            with np.errstate(over="ignore"):  # differences wrap around, also as Python
                encode(letters, low, self.table, self.other, out)
        else:
            index = (letters - low).astype(np.int64)
            known = (index >= 0) & (index < self.table.size)  # 64-bit letters may wrap around
            out[...] = np.where(known, self.table[np.where(known, index, 0)], self.other)


def _above(low: int, letters: Array) -> Array:
    """Return how far letters lie above the least one; the difference may not fit their dtype."""
    unsigned = np.dtype(f"u{letters.itemsize}")
    least = np.array([low], dtype=letters.dtype).view(unsigned)
    return (letters.view(unsigned) - least).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """Codes from a binary search among the letters."""

    keys: Array
    codes: Array
    other: int
    nan: int

    def encode(self, raw: Array, out: Array, *, compiled: bool) -> None:  # noqa: ARG002
        out[...] = self.other
        if raw.dtype.kind == "f":
            out[np.isnan(raw)] = self.nan
        if self.keys.size:
            index = np.minimum(np.searchsorted(self.keys, raw), self.keys.size - 1)
            np.copyto(out, self.codes[index], where=self.keys[index] == raw)


@dataclass(frozen=True, slots=True, eq=False)
class _Dictionary:
    """Codes of hashable objects."""

    codes: dict[Any, int]
    other: int
    nan: int
    name: str

    def encode(self, raw: list[Any], out: Array, *, compiled: bool) -> None:  # noqa: ARG002
        try:
            found = [self.codes.get(x, self.other) for x in raw]
        except TypeError:
            raise _unhashable(raw, self.name) from None
        if self.nan != self.other:
            found = [self.nan if x != x else c for x, c in zip(raw, found, strict=True)]  # noqa: PLR0124
        out[...] = found


def _unhashable(raw: list[Any], name: str) -> InputTypeError:
    for letter in raw:
        try:
            hash(letter)
        except TypeError:
            return InputTypeError(f"`{name}` must have hashable letters, got {letter!r}")
    raise AssertionError

"""Files with a user, an item and a rating on each line."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import TextIOBase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.results import Result
from lowapprox.completion.sorting import Host

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Ratings", "read_ratings"]

_SEPARATORS = ("\t", "::", ";", ",", "|", " ")
_PACKERS = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}
_RATING = "rating"  # as a title
_PRECISIONS = ("float32", "float64")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ratings(Result):
    r"""Ratings as triples, and who is who: an input of `complete`.

    Attributes
    ----------
    rows, cols : numpy.ndarray of int32, shape (count,)
        Numbers of users and of items, in the order of the file.
    values : numpy.ndarray, shape (count,)
        The ratings.
    users, items : numpy.ndarray, shape (m,), (n,)
        The names in the file by number, sorted: integers where all are integers, strings else.
        Names that were known before come first.

    Examples
    --------
    >>> import io
    >>> from lowapprox.completion import read_ratings
    >>> ratings = read_ratings(io.StringIO("ann alien 4.5\nbob brazil 2\n"))
    >>> ratings
    Ratings(values=(2,), users=(2,), items=(2,))
    >>> ratings.users[ratings.rows].tolist(), ratings.items[ratings.cols].tolist()
    (['ann', 'bob'], ['alien', 'brazil'])
    """

    rows: Host
    cols: Host
    values: Host
    users: Host
    items: Host

    _shown: ClassVar[tuple[str, ...]] = ("values", "users", "items")

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of users and of items."""
        return int(self.users.size), int(self.items.size)

    @property
    def triples(self) -> tuple[Host, Host, Host]:
        """Rows, columns and values."""
        return self.rows, self.cols, self.values


def read_ratings(
    path: str | PathLike[str] | TextIOBase,
    *,
    sep: str | None = None,
    header: bool | None = None,
    dtype: str = "float32",
    like: Ratings | None = None,
) -> Ratings:
    r"""Read a text file with a user, an item and a rating on each line.

    Parameters
    ----------
    path : str, path or open text file
        Compressed files that end in ``.gz``, ``.bz2`` or ``.xz`` are read as they are.
    sep : str, optional
        What separates the fields. By default the first that the first lines hold of tab, ``::``,
        semicolon, comma, ``|`` and white space.
    header : bool, optional
        Whether the first line is none of the ratings. By default it is a rating if its third field
        is a number.
    dtype : {"float32", "float64"}
        Precision of the ratings.
    like : Ratings, optional
        Users and items of these keep their numbers, and others follow: for files of ratings to
        learn from and to judge by.

    Returns
    -------
    Ratings
        Numbers of users and items with the ratings, and the names.

    Raises
    ------
    InputError
        If a line has less than three fields, or its rating is no number, or a header says that
        the ratings are in another column than the third.

    Notes
    -----
    Fields after the third, such as times, are left out; names may stand in double quotes. Files
    whose names are integers are read several times as fast as others.

    Examples
    --------
    >>> import io
    >>> from lowapprox import complete
    >>> from lowapprox.completion import read_ratings
    >>> file = io.StringIO("user,item,rating\nann,7,4.5\nbob,3,2\nann,3,1\n")
    >>> ratings = read_ratings(file)
    >>> ratings.users.tolist(), ratings.items.tolist(), ratings.values.tolist()
    (['ann', 'bob'], [3, 7], [4.5, 2.0, 1.0])
    >>> complete(ratings, 1, center=True, reg=0.1, rng=0).shape
    (2, 2)
    >>> later = read_ratings(io.StringIO("ann 5 2"), like=ratings)
    >>> later.users.tolist(), later.items.tolist(), later.cols.tolist()
    (['ann', 'bob'], [3, 7, 5], [2])
    """
    if dtype not in _PRECISIONS:
        raise InputError(f"`dtype` must be one of {', '.join(_PRECISIONS)}, got {dtype!r}")
    if sep is not None and len(set(str(sep))) != 1:
        raise InputError(f"`sep` must be one character, perhaps repeated, or None, got {sep!r}")
    if like is not None and not isinstance(like, Ratings):
        raise InputTypeError(f"`like` must be Ratings or None, got {type(like).__name__}")
    if isinstance(path, TextIOBase):
        lines = list(path)
        return _numbered_like(_read(lines, _layout(lines, sep, header), dtype), like)
    try:
        file = Path(path)
    except TypeError:
        raise InputTypeError(
            f"`path` must be a path or an open text file, got {type(path).__name__}"
        ) from None
    try:
        with _opened(file) as opened:
            layout = _layout(opened, sep, header)
        return _numbered_like(_read(str(file), layout, dtype), like)
    except UnicodeDecodeError as exc:
        raise InputError(
            f"`path` must be encoded in UTF-8, got {exc}; other files can be passed opened"
        ) from exc


class _Layout(NamedTuple):
    """What separates the fields, the lines before the first rating, and whether it has numbers."""

    sep: str
    skip: int
    integers: bool


def _read(source: str | list[str], layout: _Layout, dtype: str) -> Ratings:
    step = len(layout.sep)  # a repeated separator has empty fields between
    form: dict[str, Any] = {
        "delimiter": None if layout.sep == " " else layout.sep[0],
        "skiprows": layout.skip,
        "comments": None,
        "quotechar": '"',
        "encoding": "utf-8-sig",
    }
    try:
        if layout.integers:
            try:
                return _numbered(source, (0, step, 2 * step), dtype, form)
            except UnicodeDecodeError:
                raise
            except ValueError:  # a name further down is none
                pass
        names = np.loadtxt(source, np.str_, usecols=(0, step), ndmin=2, **form)
        values = np.loadtxt(source, dtype, usecols=2 * step, ndmin=1, **form)
    except UnicodeDecodeError:
        raise
    except ValueError as exc:
        raise InputError(
            f"`path` must hold a user, an item and a number on each line: {exc}"
        ) from exc
    return _ratings(names[:, 0], names[:, 1], values)


def _numbered(
    source: str | list[str], columns: tuple[int, ...], dtype: str, form: dict[str, Any]
) -> Ratings:
    fields = [("user", np.int64), ("item", np.int64), ("value", dtype)]
    data = np.loadtxt(source, fields, usecols=columns, ndmin=1, **form)
    return _ratings(data["user"], data["item"], data["value"])


def _ratings(users: Host, items: Host, values: Host) -> Ratings:
    finite = np.isfinite(values)
    if not finite.all():
        at = int(np.argmin(finite))
        raise InputError(f"ratings must be finite, got {values[at]} as number {at + 1}")
    users, rows = _numbers(users)
    items, cols = _numbers(items)
    return Ratings(rows, cols, np.ascontiguousarray(values), users, items)


def _numbers(names: Host) -> tuple[Host, Host]:
    """Return the different names, as integers where all are, and the number of each name."""
    kinds, numbers = np.unique(names, return_inverse=True)
    if kinds.dtype.kind == "U":
        try:
            kinds, merged = np.unique(kinds.astype(np.int64), return_inverse=True)
            numbers = merged[numbers]
        except ValueError:
            pass
    return kinds, numbers.astype(np.int32)


def _numbered_like(ratings: Ratings, like: Ratings | None) -> Ratings:
    """Give users and items the numbers that they have elsewhere, and others the next ones."""
    if like is None:
        return ratings
    rows, users = _continued(ratings.rows, ratings.users, like.users)
    cols, items = _continued(ratings.cols, ratings.items, like.items)
    return Ratings(rows, cols, ratings.values, users, items)


def _continued(numbers: Host, names: Host, known: Host) -> tuple[Host, Host]:
    """Return numbers of names in the order of those known, and all names."""
    if names.dtype.kind != known.dtype.kind:
        names, known = names.astype(np.str_), known.astype(np.str_)
    new = np.setdiff1d(names, known)
    every = np.concatenate([known, new])
    order = np.argsort(every, kind="stable")
    places = order[np.searchsorted(every, names, sorter=order)]
    return places.astype(np.int32)[numbers], every


def _layout(lines: Iterable[str], sep: str | None, header: bool | None) -> _Layout:
    """Look at the first two lines that are not empty."""
    filled = ((i, line) for i, line in enumerate(lines) if line.strip())
    first = list(islice(filled, 2))
    if not first:
        raise InputError("`path` must hold ratings, got no line")
    # A header may use other words, but the last line of the two is one of the ratings.
    line = first[-1][1].removeprefix("\ufeff")
    if sep is None:
        sep = next((s for s in _SEPARATORS if len(_fields(line, s)) >= 3), None)
        if sep is None:
            raise InputError(f"`path` must hold three fields on each line, got {line.strip()!r}")
    if header is None:
        fields = _fields(first[0][1], sep)
        header = len(fields) < 3 or not _is(float, fields[2])
    data = first[-1] if header else first[0]
    if header:
        titles = [x.strip().lower() for x in _fields(first[0][1], sep)]
        if _RATING not in titles[2:3] and _RATING in titles:
            raise InputError(
                "`path` must have users, items and ratings in the first three columns, got "
                f"{first[0][1].strip()!r}"
            )
    if header and len(first) < 2:
        raise InputError("`path` must hold ratings, got a header alone")
    names = _fields(data[1].removeprefix("\ufeff"), sep)[:2]
    return _Layout(sep, first[0][0] + 1 if header else 0, all(_is(int, x) for x in names))


def _fields(line: str, sep: str) -> list[str]:
    if sep == " ":
        return line.split()
    if len(sep) > 1:
        return line.split(sep)
    return next(csv.reader([line.strip("\r\n")], delimiter=sep))


def _is(kind: Callable[[str], Any], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _opened(path: Path) -> Any:
    packer = _PACKERS.get(path.suffix)
    if packer is None:
        return path.open(encoding="utf-8-sig")
    return importlib.import_module(packer).open(path, "rt", encoding="utf-8-sig")

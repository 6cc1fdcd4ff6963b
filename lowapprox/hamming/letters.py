"""Letters: what texts and patterns may be made of, and how a text is handed out in pieces."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.typing import Array

__all__ = ["Letters", "as_letters", "as_one_letter", "same_family"]

# Which letters can be compared: code points with code points, integers (bytes are integers) with
# integers, floats with floats; hashable objects with anything, by Python's ``==``.
_FAMILIES = ("text", "integer", "float", "object")


@dataclass(frozen=True, slots=True, eq=False)
class Letters:
    """A sequence of letters that can be read in pieces.

    Attributes
    ----------
    source : str, ndarray or sequence
        The letters as they were given; a memory map stays one.
    family : str
        "text", "integer", "float" or "object".
    name : str
        Name of the argument, for messages.
    """

    source: Any
    family: str
    name: str

    def __len__(self) -> int:
        return len(self.source)

    @property
    def are_bytes(self) -> bool:
        """Whether `raw` returns a view of bytes, without a copy."""
        source = self.source
        if isinstance(source, str):
            return source.isascii() and _utf8() is not None
        return isinstance(source, np.ndarray) and source.itemsize == source.strides[0] == 1

    def raw(self, start: int, stop: int) -> Array:
        """Return letters `start` to `stop`: a contiguous native array, or a list of objects.

        Code points are uint8 where the whole text is ASCII, else uint32; booleans are uint8.
        """
        if isinstance(self.source, str) and self.are_bytes:
            return np.asarray(_String(self.source))[start:stop]
        piece = self.source[start:stop]
        if isinstance(piece, str):
            if self.source.isascii():
                return np.frombuffer(piece.encode("ascii"), dtype=np.uint8)
            return np.frombuffer(piece.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        if not isinstance(piece, np.ndarray) or piece.dtype.kind == "O":
            return list(piece)
        if piece.dtype.kind in "US":
            return _characters(piece)
        return np.ascontiguousarray(piece, dtype=_native(piece.dtype))

    def objects(self) -> list[Any]:
        """Return every letter as a Python object."""
        source = self.source
        if not isinstance(source, np.ndarray):
            return list(source)
        if source.dtype.kind == "U":
            return [chr(x) for x in _characters(source).tolist()]
        if source.dtype.kind == "S":
            return [bytes([x]) for x in _characters(source).tolist()]
        return list(source.tolist())


def as_letters(value: Any, name: str) -> Letters:
    """Take a text or a pattern in any of the allowed forms.

    Raises
    ------
    InputError
        If an array is not one-dimensional.
    InputTypeError
        If the value is no sequence of letters.
    """
    if isinstance(value, Letters):
        return value
    if isinstance(value, str):
        return Letters(value, "text", name)
    if isinstance(value, (bytes, bytearray)):
        return Letters(np.frombuffer(value, dtype=np.uint8), "integer", name)
    if isinstance(value, memoryview):
        value = np.asarray(value)
    # Asking NumPy for the class would load numpy.ma, at half the cost of a tiny call.
    if "numpy.ma" in sys.modules and isinstance(value, np.ma.MaskedArray):
        raise InputTypeError(f"`{name}` must not be a masked array; mark the places by `wildcard`")
    if isinstance(value, np.ndarray):
        return _as_array_letters(value, name)
    if type(value).__module__.split(".")[0] == "dask":
        raise InputTypeError(
            f"`{name}` must not be a Dask array; iter_hamming_distances takes its blocks one by one"
        )
    if isinstance(value, (set, frozenset, dict)) or not isinstance(value, Sequence):
        if not hasattr(value, "__array__"):
            raise InputTypeError(
                f"`{name}` must be a str, bytes, a one-dimensional array or a sequence of "
                f"hashable letters, got {type(value).__name__}"
            )
        return _as_array_letters(np.asarray(value), name)
    if set(map(type, value)) <= {int, bool} and len(value):
        array = np.asarray(value)
        if array.dtype.kind in "biu":  # integers beyond 64 bits stay objects
            return Letters(array, "integer", name)
    # Others, as a deque, need not have slices.
    sliced = isinstance(value, (list, tuple, range))
    return Letters(value if sliced else list(value), "object", name)


def as_one_letter(value: Any, family: str, name: str) -> Any:
    """Return a letter given by itself, as a Python object of the family's kind."""
    if family == "text":
        if isinstance(value, str) and len(value) == 1:
            return value
        raise InputError(f"`{name}` must be a single character, got {value!r}")
    if family == "object":
        _checked_hashable(value, name)
        return value
    if isinstance(value, (str, bytes)) and len(value) == 1 and family == "integer":
        code = ord(value)
        if code < 256:
            return code
    allowed: Any = (numbers.Integral, np.bool_) if family == "integer" else numbers.Real
    if isinstance(value, allowed) and not isinstance(value, str):
        return int(value) if family == "integer" else float(value)
    raise InputTypeError(f"`{name}` must be a letter of {family} kind as the text, got {value!r}")


def same_family(text: Letters, pattern: Letters) -> tuple[Letters, Letters]:
    """Return both sides in one family, or refuse to compare them."""
    if text.family == pattern.family:
        return text, pattern
    if "object" in (text.family, pattern.family):
        return tuple(
            x if x.family == "object" else Letters(x.objects(), "object", x.name)
            for x in (text, pattern)
        )  # type: ignore[return-value]
    raise InputTypeError(
        f"`{text.name}` and `{pattern.name}` must have letters of one kind, "
        f"got {text.family} and {pattern.family} letters"
    )


def _as_array_letters(array: Array, name: str) -> Letters:
    if array.ndim != 1:
        raise InputError(f"`{name}` must be one-dimensional, got shape {array.shape}")
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind in "biu":
        return Letters(array, "integer", name)
    if kind == "f" and size <= 8:
        return Letters(array, "float", name)
    if kind == "U" and size <= 4:
        return Letters(array, "text", name)
    if kind == "S" and size <= 1:
        return Letters(array, "integer", name)
    if kind in "USTO":  # words, or any Python objects
        return Letters(array if kind == "O" else array.tolist(), "object", name)
    raise InputTypeError(
        f"`{name}` must hold integers, booleans, floats, characters or hashable objects, "
        f"got dtype {array.dtype}"
    )


class _String:
    """The memory of an ASCII string as an array, which keeps the string alive."""

    __slots__ = ("__array_interface__", "_text")

    def __init__(self, text: str) -> None:
        address = _utf8()(text)
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": (len(text),),
            "data": (address, True),
        }
        self._text = text


@lru_cache(maxsize=1)
def _utf8() -> Any:
    """Return what tells the address of a string in UTF-8; None where there is no such thing.

    In CPython, which keeps ASCII strings in that form, nothing is copied.
    """
    if sys.implementation.name != "cpython":
        return None
    import ctypes

    kind = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)
    return kind(("PyUnicode_AsUTF8", ctypes.pythonapi))


def _characters(piece: Array) -> Array:
    """Return the code points of an array of single characters; an empty string is U+0000."""
    native = np.ascontiguousarray(piece, dtype=piece.dtype.newbyteorder("="))
    unit = np.dtype(np.uint32 if piece.dtype.kind == "U" else np.uint8)
    if piece.dtype.itemsize == 0:
        return np.zeros(piece.size, dtype=unit)
    return native.view(unit)


def _native(dtype: Any) -> Any:
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f":
        return np.dtype(np.float64)
    return dtype.newbyteorder("=")


def _checked_hashable(value: Any, name: str) -> None:
    try:
        hash(value)
    except TypeError:
        raise InputTypeError(f"`{name}` must have hashable letters, got {value!r}") from None

"""What texts may be: a registry for the documentation and the tests."""

from __future__ import annotations

from collections.abc import Mapping

from lowapprox._core.inputs import Call, Inputs, Kind

__all__ = ["INPUTS"]

_KINDS: Mapping[str, Kind] = {
    "characters": Kind(
        "str",
        "``str``, or NumPy array of single characters",
        "Code points, as they are: nothing is normalized or folded.",
    ),
    "integers": Kind(
        "integers",
        "``bytes``, ``bytearray``, buffer; NumPy array of integers or booleans of any width, "
        "byte order and strides",
        "Compared by value, signed ones with unsigned ones too.",
    ),
    "floats": Kind("floats", "NumPy array of floats", "NaN is equal to nothing."),
    "mapped": Kind("memmap", "``numpy.memmap``", "Read once, block by block."),
    "objects": Kind(
        "objects",
        "object array, array of words; list of words, tuples, ... (to ``iter_hamming_distances`` a "
        "list is pieces)",
        "Compared by ``==`` and ``hash``; also with the letters of the other kinds.",
    ),
    "pieces": Kind(
        "pieces",
        "iterable of texts, or file that is open for reading",
        "Read once; the end of a piece is no end of the text.",
    ),
}
_TEXTS = frozenset(_KINDS) - {"pieces"}

INPUTS = Inputs(
    _KINDS,
    (
        Call("hamming_distances(A, pattern)", _TEXTS),
        Call("hamming_matches(A, pattern, k)", _TEXTS),
        Call("hamming_search(A, pattern)", _TEXTS),
        Call("iter_hamming_distances(A, pattern)", frozenset(_KINDS)),
        Call("approximate_hamming_distances(A, pattern, eps)", _TEXTS),
    ),
)

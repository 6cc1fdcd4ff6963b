"""What the calls of this family take: a registry for the documentation and the tests."""

from __future__ import annotations

from lowapprox._core.inputs import Call, Inputs, Kind

__all__ = ["INPUTS"]

_KINDS = {
    "str": Kind("str", "``str``, array of single characters", "Code points, as they are."),
    "bytes": Kind("bytes", "``bytes``, ``bytearray``, ``memoryview``", "Integers; not copied."),
    "array": Kind(
        "array",
        "one-dimensional NumPy array of integers, booleans or floats, of any width and byte order",
        "Compared by value; a text is coded block by block.",
    ),
    "map": Kind("memmap", "``numpy.memmap``", "Read block by block, once."),
    "host": Kind(
        "host array",
        "array that NumPy can read: PyTorch on the CPU, data frame column",
        "Goes through ``numpy.asarray``. Arrays on other devices are not copied silently.",
    ),
    "sequence": Kind(
        "sequence",
        "list, tuple or object array of hashables",
        "Compared by ``==``, through a dictionary.",
    ),
    "parts": Kind(
        "parts",
        "iterable of texts",
        "One after the other, of one kind; a list of words is a text whose letters are words "
        "for the other calls.",
    ),
    "file": Kind("file", "open file", "Bytes, or characters if opened as text."),
    "chunked": Kind("Dask", "Dask array", "Refused with a hint."),
}
_WHOLE = frozenset({"str", "bytes", "array", "map", "host"})
_TEXTS = _WHOLE | {"sequence"}

INPUTS = Inputs(
    _KINDS,
    (
        Call("hamming_distances(A, P)", _TEXTS),
        Call("hamming_matches(A, P, 2)", _TEXTS),
        Call("hamming_search(A, P)", _TEXTS),
        Call("approximate_hamming_distances(A, P, 0.1)", _TEXTS),
        Call("iter_hamming_distances(A, P)", _WHOLE | {"parts", "file"}),
    ),
)

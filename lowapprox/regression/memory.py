"""Refusal of problems that take more memory than there is, before it is asked for."""

from __future__ import annotations

import os

from lowapprox._core.errors import InputError

__all__ = ["check_memory"]

_MODEST = 1 << 30  # bytes, which nobody is asked about


def check_memory(
    shape: tuple[int, int], copies: int, *, by_rows: bool = True, name: str = "A"
) -> None:
    """Raise InputError where the triangle of a matrix of this shape does not fit.

    Parameters
    ----------
    shape : tuple of int
        Of the matrix.
    copies : int
        So many arrays of the size of the triangle are held at once, at least.
    by_rows : bool, default True
        Where there are fewer rows than columns the triangle has the shape of the matrix; that of
        an operator, of which products are all there is, has as many columns as rows.
    name : str, default "A"
        Of the argument.
    """
    least = min(shape)
    needed = 8 * copies * least * (shape[1] if by_rows else least)
    if needed <= _MODEST:
        return
    memory = _physical_memory()
    if memory is not None and needed > memory:
        raise InputError(
            f"`{name}` must be smaller: the triangular factor for shape {shape} takes, with its "
            f"copies, at least {needed / 1e9:,.1f} GB, and the memory is {memory / 1e9:,.1f} GB; "
            "scipy.sparse.linalg.lsmr needs no factor"
        )


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not every system tells
        return None

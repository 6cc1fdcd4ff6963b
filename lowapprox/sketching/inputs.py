"""What the operators are applied to: a registry for the documentation and the tests."""

from __future__ import annotations

from lowapprox._core.inputs import ENTRIES, MATRICES, PRODUCTS, Call, Inputs

__all__ = ["INPUTS"]

_OPERATORS = ("Gaussian", "Rademacher", "SRHT", "SparseSign", "CountSketch")

INPUTS = Inputs(
    MATRICES,
    (
        *(Call(f"{name}(m, n) @ A", PRODUCTS) for name in _OPERATORS),
        *(Call(f"{name}(n, n).T @ A", PRODUCTS) for name in _OPERATORS),
        *(
            Call(f"{name}(m, n).apply_rows(A, 0, out)", ENTRIES, "in host memory")
            for name in _OPERATORS
        ),
    ),
)

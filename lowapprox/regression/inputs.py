"""What least squares is solved for: a registry for the documentation and the tests."""

from __future__ import annotations

from lowapprox._core.inputs import HOST, MATRICES, Call, Inputs

__all__ = ["INPUTS"]

INPUTS = Inputs(
    MATRICES,
    (
        Call("lstsq(A, b)", HOST | {"operator"}),
        Call("lstsq_factor(A)", HOST | {"operator"}),
        Call("StreamingLstsq(n).partial_fit(A, b)", HOST),
    ),
)

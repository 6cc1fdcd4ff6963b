"""Names for the types of public arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    RNGInput: TypeAlias = (
        int | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator | None
    )
else:
    RNGInput: TypeAlias = Any

# Arrays of any array-API namespace; no static type covers NumPy, CuPy, PyTorch and JAX at once.
Array: TypeAlias = Any
# Array, scipy.sparse array or matrix, LinearOperator, or a nested sequence of numbers.
MatrixInput: TypeAlias = Any

__all__ = ["Array", "MatrixInput", "RNGInput"]

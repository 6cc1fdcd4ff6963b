"""What operators share whose explicit columns are made slab by slab and multiplied by BLAS."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from typing import Any

import numpy as np

from lowapprox.sketching.operators import NDArray, SketchOperator, narrowed, use_kernels

__all__ = ["SlabOperator"]

_ROWS = 1024  # columns of the operator that are made at a time


class SlabOperator(SketchOperator):
    """An operator that has no faster product than by its explicit entries."""

    def _scale(self) -> float:
        return float(max(self.shape[0], 1) ** -0.5)

    @abstractmethod
    def _slab(self, i0: int, i1: int, compiled: bool) -> NDArray:
        """Return columns before scaling, in double precision, by a kernel if there is one."""

    def _entries(self, i0: int, i1: int) -> NDArray:
        return self._slab(i0, i1, use_kernels(self.shape[0] * (i1 - i0)))

    def _accumulate_dense(self, X: NDArray, dtype: np.dtype[Any], start: int, out: NDArray) -> None:
        limit: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if use_kernels(X.size):
            from lowapprox._core.threads import blas_threads

            limit = blas_threads(1)  # the tiles are spread over the threads
        with limit:
            super()._accumulate_dense(X, dtype, start, out)

    def _add_tile(self, tile: NDArray, start: int, acc: NDArray, compiled: bool) -> None:
        for i in range(0, tile.shape[0], _ROWS):
            part = tile[i : i + _ROWS]
            slab = self._slab(start + i, start + i + part.shape[0], compiled)
            acc += narrowed(slab, tile.dtype) @ part

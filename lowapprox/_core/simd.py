"""Vectors as values inside kernels.

A kernel that keeps a short row of numbers in registers says so with these functions, instead of
hoping that the compiler finds out. They become plain LLVM vector instructions, which every
processor has in some width, and they take flat C-contiguous arrays and element offsets.

The number of lanes is the length of the tuple `lanes` (its items mean nothing): a tuple's length
is part of its type, so one kernel text is compiled once for each width it is called with.

Each function below is the Python text of what its instruction does, and is used as it stands when
there is no compiler (``NUMBA_DISABLE_JIT=1``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

__all__ = ["vadd", "vdouble", "vfill", "vload", "vmuladd", "vstore"]

F = TypeVar("F", bound=Callable[..., Any])


class _Vector(types.Type):  # type: ignore[misc]
    """`count` lanes of a scalar type."""

    def __init__(self, dtype: Any, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(f"vector({dtype} x {count})")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        lane = dmm.lookup(fe_type.dtype).get_value_type()
        super().__init__(dmm, fe_type, ir.VectorType(lane, fe_type.count))


def _compiled_as(typing: Callable[..., Any]) -> Callable[[F], F]:
    """Replace a Python function by an instruction, where there is a compiler."""

    def wrap(func: F) -> F:
        return func if nb.config.DISABLE_JIT else cast("F", intrinsic(typing))

    return wrap


def _pointer(context: Any, builder: Any, sig: Any, args: Any, vector: Any) -> Any:
    data = context.make_array(sig.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), vector.as_pointer())


def _broadcast(builder: Any, scalar: Any, vector: Any) -> Any:
    index = ir.IntType(32)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(index, 0))
    zeros = ir.Constant(ir.VectorType(index, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, undefined, zeros)


def _load(_: Any, array: Any, _start: Any, lanes: Any) -> Any:
    result = _Vector(array.dtype, lanes.count)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = context.get_value_type(result)
        load = builder.load(_pointer(context, builder, sig, args, vector))
        load.align = array.dtype.bitwidth // 8
        return load

    return result(array, types.intp, lanes), codegen


def _store(_: Any, array: Any, _start: Any, v: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = context.get_value_type(v)
        store = builder.store(args[2], _pointer(context, builder, sig, args, vector))
        store.align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, v), codegen


def _fill(_: Any, scalar: Any, lanes: Any) -> Any:
    result = _Vector(scalar, lanes.count)

    def codegen(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return _broadcast(builder, args[0], context.get_value_type(result))

    return result(scalar, lanes), codegen


def _add(_: Any, v: Any, w: Any) -> Any:
    def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.fadd(*args)

    return v(v, w), codegen


def _double(_: Any, v: Any) -> Any:
    result = _Vector(types.float64, v.count)

    def codegen(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        wide = v.dtype == types.float64
        return args[0] if wide else builder.fpext(args[0], context.get_value_type(result))

    return result(v), codegen


def _muladd(_: Any, v: Any, _scalar: Any, w: Any) -> Any:
    def codegen(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        vector = context.get_value_type(v)
        name = f"llvm.fmuladd.v{vector.count}{vector.element.intrinsic_name}"
        kind = ir.FunctionType(vector, [vector] * 3)
        muladd = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(muladd, [_broadcast(builder, args[1], vector), args[2], args[0]])

    return v(v, v.dtype, w), codegen


@_compiled_as(_load)
def vload(array: Any, start: Any, lanes: Any) -> Any:
    """Return ``array[start : start + len(lanes)]`` as a vector."""
    return array[start : start + len(lanes)].copy()


@_compiled_as(_store)
def vstore(array: Any, start: Any, v: Any) -> None:
    """Write a vector to the array, from `start` on."""
    array[start : start + v.size] = v


@_compiled_as(_fill)
def vfill(scalar: Any, lanes: Any) -> Any:
    """Return a vector with the scalar in each lane."""
    return np.full(len(lanes), scalar)


@_compiled_as(_add)
def vadd(v: Any, w: Any) -> Any:
    """Return ``v + w``."""
    return v + w


@_compiled_as(_double)
def vdouble(v: Any) -> Any:
    """Return the vector in double precision."""
    return v.astype(np.float64)


@_compiled_as(_muladd)
def vmuladd(v: Any, scalar: Any, w: Any) -> Any:
    """Return ``v + scalar * w``, rounded once where the processor can."""
    return v + scalar * w

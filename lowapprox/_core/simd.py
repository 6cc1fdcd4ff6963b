"""Vectors as values inside kernels.

A kernel that keeps a short row of numbers in registers says so with these functions, instead of
hoping that the compiler finds out. They become plain LLVM vector instructions, which every
processor has in some width, and they take flat C-contiguous arrays and element offsets.

The number of lanes is the length of the tuple `lanes` (its items mean nothing): a tuple's length
is part of its type, so one kernel text is compiled once for each width it is called with. A tile
is a tuple of vectors; its height is the length of the tuple `rows` in the same way.

Each function below is the Python text of what its instruction does, and is used as it stands when
there is no compiler (``NUMBA_DISABLE_JIT=1``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

# Like jit.py a door to numba: only kernel files import it, inside the functions that call them.
import numba as nb
import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model

__all__ = [
    "REGISTERS",
    "REGISTER_BYTES",
    "vadd",
    "vand",
    "vcount",
    "vdouble",
    "veq",
    "vfill",
    "vfunnel",
    "vinner",
    "vload",
    "vmul",
    "vmuladd",
    "vmulsub",
    "vor",
    "vouter",
    "vround",
    "vshr",
    "vstore",
    "vsub",
    "vtile",
    "vtile_store",
    "vtranspose",
    "vwhere",
    "vxor",
]

F = TypeVar("F", bound=Callable[..., Any])


def _registers() -> tuple[int, int]:
    """Return number and size of the vector registers of the processor that is compiled for."""
    if nb.config.CPU_NAME not in (None, "", "host"):
        return 16, 32  # chosen by NUMBA_CPU_NAME: numba does not say what it has
    try:
        features = get_host_cpu_features()
    except RuntimeError:  # LLVM does not know
        features = {}
    if features.get("avx512f"):
        return 32, 64
    return (16, 32) if features.get("avx") else (32 if features.get("neon") else 16, 16)


REGISTERS, REGISTER_BYTES = _registers()  # for speed alone: no result may depend on them


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


def _elementwise(integer: str, real: str | None = None) -> Callable[..., Any]:
    """Return the typing of an operation on two vectors, by the names of its instructions."""

    def typing(_: Any, v: Any, w: Any) -> Any:
        name = integer if isinstance(v.dtype, types.Integer) else real
        if name is None or v != w:
            raise TypingError(f"no such operation on {v} and {w}")

        def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
            return getattr(builder, name)(*args)

        return v(v, w), codegen

    return typing


def _shift_right(_: Any, v: Any, _bits: Any) -> Any:
    def codegen(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        vector = context.get_value_type(v)
        return builder.lshr(args[0], _broadcast(builder, _cut(builder, args[1], vector), vector))

    return v(v, types.intp), codegen


def _funnel(_: Any, v: Any, w: Any, _bits: Any) -> Any:
    def codegen(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        vector = context.get_value_type(v)
        shift = _broadcast(builder, _cut(builder, args[2], vector), vector)
        fshr = _standard(builder, "fshr", vector, 3)
        return builder.call(fshr, [args[1], args[0], shift])

    return v(v, w, types.intp), codegen


def _cut(builder: Any, scalar: Any, vector: Any) -> Any:
    wide = scalar.type.width > vector.element.width
    return builder.trunc(scalar, vector.element) if wide else scalar


def _equal(_: Any, v: Any, w: Any) -> Any:
    def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        bits = builder.bitcast(builder.icmp_unsigned("==", *args), ir.IntType(v.count))
        return bits if v.count == 64 else builder.zext(bits, ir.IntType(64))

    return types.uint64(v, w), codegen


def _count(_: Any, bits: Any) -> Any:
    def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return bits(bits), codegen


def _where(_: Any, bits: Any, v: Any, w: Any) -> Any:
    def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        few = args[0]
        if bits.bitwidth > v.count:
            few = builder.trunc(few, ir.IntType(v.count))
        lanes = builder.bitcast(few, ir.VectorType(ir.IntType(1), v.count))
        return builder.select(lanes, args[1], args[2])

    return v(bits, v, w), codegen


def _double(_: Any, v: Any) -> Any:
    result = _Vector(types.float64, v.count)

    def codegen(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        wide = v.dtype == types.float64
        return args[0] if wide else builder.fpext(args[0], context.get_value_type(result))

    return result(v), codegen


def _muladd(*, negated: bool) -> Callable[..., Any]:
    """Return the typing of ``v + scale * w`` or ``v - scale * w``."""

    def typing(_: Any, v: Any, scale: Any, w: Any) -> Any:
        whole = isinstance(scale, _Vector)

        def codegen(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
            vector = context.get_value_type(v)
            factor = args[1] if whole else _broadcast(builder, args[1], vector)
            if negated:
                factor = builder.fneg(factor)
            muladd = _standard(builder, "fmuladd", vector, 3)
            return builder.call(muladd, [factor, args[2], args[0]])

        return v(v, v if whole else v.dtype, w), codegen

    return typing


def _standard(builder: Any, name: str, vector: Any, operands: int) -> Any:
    """Return an LLVM function whose operands and result are of one vector type."""
    name = f"llvm.{name}.v{vector.count}{vector.element.intrinsic_name}"
    kind = ir.FunctionType(vector, [vector] * operands)
    return cgutils.get_or_insert_function(builder.module, kind, name)


def _round(_: Any, v: Any, array: Any) -> Any:
    result = _Vector(array.dtype, v.count)

    def codegen(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        near = builder.call(_standard(builder, "rint", context.get_value_type(v), 1), [args[0]])
        wide = builder.fptosi(near, ir.VectorType(ir.IntType(32), v.count))
        target = context.get_value_type(result)
        change = builder.trunc if target.element.width < 32 else builder.sext
        return wide if target.element.width == 32 else change(wide, target)

    return result(v, array), codegen


def _tile(_: Any, array: Any, _start: Any, _step: Any, lanes: Any, rows: Any) -> Any:
    result = types.UniTuple(_Vector(array.dtype, lanes.count), rows.count)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = context.get_value_type(result.dtype)
        places = _places(context, builder, sig.args[0], args[:3], rows.count, vector)
        align = array.dtype.bitwidth // 8
        return _packed(context, builder, result, [builder.load(p, align=align) for p in places])

    return result(array, types.intp, types.intp, lanes, rows), codegen


def _tile_store(_: Any, array: Any, _start: Any, _step: Any, tile: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = context.get_value_type(tile.dtype)
        places = _places(context, builder, sig.args[0], args[:3], tile.count, vector)
        for r, place in enumerate(places):
            row = builder.extract_value(args[3], r)
            builder.store(row, place, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, tile), codegen


def _outer(_: Any, tile: Any, array: Any, _start: Any, _step: Any, v: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = context.get_value_type(v)
        places = _places(context, builder, sig.args[1], args[1:4], tile.count)
        muladd = _standard(builder, "fmuladd", vector, 3)
        rows = []
        for r, place in enumerate(places):
            factor = _broadcast(builder, builder.load(place), vector)
            rows.append(builder.call(muladd, [factor, args[4], builder.extract_value(args[0], r)]))
        return _packed(context, builder, tile, rows)

    return tile(tile, array, types.intp, types.intp, v), codegen


def _inner(_: Any, v: Any, array: Any, _start: Any, _step: Any, tile: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = context.get_value_type(v)
        places = _places(context, builder, sig.args[1], args[1:4], tile.count)
        muladd = _standard(builder, "fmuladd", vector, 3)
        total = args[0]
        for r, place in enumerate(places):
            factor = _broadcast(builder, builder.load(place), vector)
            total = builder.call(muladd, [factor, builder.extract_value(args[4], r), total])
        return total

    return v(v, array, types.intp, types.intp, tile), codegen


def _places(
    context: Any, builder: Any, kind: Any, args: Any, count: int, vector: Any = None
) -> list[Any]:
    """Return pointers to `count` numbers or vectors of an array, (array, start, step) in `args`."""
    data, at = context.make_array(kind)(context, builder, args[0]).data, args[1]
    places = []
    for _ in range(count):
        place = builder.gep(data, [at])
        places.append(builder.bitcast(place, vector.as_pointer()) if vector else place)
        at = builder.add(at, args[2])
    return places


def _packed(context: Any, builder: Any, kind: Any, rows: list[Any]) -> Any:
    """Return a tile made of its rows."""
    tile = ir.Constant(context.get_value_type(kind), ir.Undefined)
    for r, row in enumerate(rows):
        tile = builder.insert_value(tile, row, r)
    return tile


def _transpose(_: Any, array: Any, _start: Any, _step: Any, lanes: Any) -> Any:
    n = lanes.count

    def codegen(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        vector = ir.VectorType(context.get_value_type(array.dtype), n)
        places = _places(context, builder, array, args[:3], n, vector)
        rows = [builder.load(place, align=array.dtype.bitwidth // 8) for place in places]
        bit = 1
        while bit < n:  # exchange this bit of the number of the row and of the lane
            low = [k + (n - bit if k & bit else 0) for k in range(n)]
            high = [k + (n if k & bit else bit) for k in range(n)]
            index = ir.VectorType(ir.IntType(32), n)
            masks = ir.Constant(index, low), ir.Constant(index, high)
            for k in range(n):
                if not k & bit:
                    pair = rows[k], rows[k + bit]
                    rows[k], rows[k + bit] = (builder.shuffle_vector(*pair, m) for m in masks)
            bit *= 2
        for place, row in zip(places, rows, strict=True):
            builder.store(row, place, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, lanes), codegen


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


@_compiled_as(_elementwise("add", "fadd"))
def vadd(v: Any, w: Any) -> Any:
    """Return ``v + w``."""
    return v + w


@_compiled_as(_elementwise("sub", "fsub"))
def vsub(v: Any, w: Any) -> Any:
    """Return ``v - w``."""
    return v - w


@_compiled_as(_elementwise("and_"))
def vand(v: Any, w: Any) -> Any:
    """Return ``v & w``."""
    return v & w


@_compiled_as(_elementwise("or_"))
def vor(v: Any, w: Any) -> Any:
    """Return ``v | w``."""
    return v | w


@_compiled_as(_elementwise("xor"))
def vxor(v: Any, w: Any) -> Any:
    """Return ``v ^ w``."""
    return v ^ w


@_compiled_as(_shift_right)
def vshr(v: Any, bits: Any) -> Any:
    """Return unsigned ``v >> bits``, for fewer bits than a lane has."""
    return v >> v.dtype.type(bits)


@_compiled_as(_funnel)
def vfunnel(v: Any, w: Any, bits: Any) -> Any:
    """Return ``v >> bits`` with the lowest bits of `w` on top; unsigned, bits < width of a lane."""
    width = v.dtype.type(8 * v.dtype.itemsize)
    shift = v.dtype.type(bits)
    return v >> shift | w << width - shift if shift else v


@_compiled_as(_equal)
def veq(v: Any, w: Any) -> Any:
    """Return where lanes are equal: an unsigned integer with bit i for lane i, at most 64."""
    return np.uint64(sum(1 << int(i) for i in np.flatnonzero(v == w)))


@_compiled_as(_count)
def vcount(bits: Any) -> Any:
    """Return how many lanes are marked by an unsigned integer: the number of its bits set."""
    return type(bits)(int(bits).bit_count())


@_compiled_as(_where)
def vwhere(bits: Any, v: Any, w: Any) -> Any:
    """Return the lanes of `v` where an unsigned integer has bit i set for lane i, else of `w`."""
    return np.where([int(bits) >> i & 1 for i in range(v.size)], v, w)


@_compiled_as(_double)
def vdouble(v: Any) -> Any:
    """Return the vector in double precision."""
    return v.astype(np.float64)


@_compiled_as(_elementwise("mul", "fmul"))
def vmul(v: Any, w: Any) -> Any:
    """Return ``v * w``."""
    return v * w


@_compiled_as(_muladd(negated=False))
def vmuladd(v: Any, scale: Any, w: Any) -> Any:
    """Return ``v + scale * w``, rounded once where the processor can; `scale` may be a scalar."""
    return v + scale * w


@_compiled_as(_muladd(negated=True))
def vmulsub(v: Any, scale: Any, w: Any) -> Any:
    """Return ``v - scale * w``, rounded once where the processor can; `scale` may be a scalar."""
    return v - scale * w


@_compiled_as(_round)
def vround(v: Any, array: Any) -> Any:
    """Return the nearest integers, within 32 signed bits, in the dtype of an array."""
    return np.rint(v).astype(np.int32).astype(array.dtype)


@_compiled_as(_tile)
def vtile(array: Any, start: Any, step: Any, lanes: Any, rows: Any) -> Any:
    """Return as many vectors as the tuple `rows` has items, whose places are `step` apart."""
    return tuple(vload(array, start + r * step, lanes) for r in range(len(rows)))


@_compiled_as(_tile_store)
def vtile_store(array: Any, start: Any, step: Any, tile: Any) -> None:
    """Write the vectors of a tile to places `step` apart."""
    for r, v in enumerate(tile):
        vstore(array, start + r * step, v)


@_compiled_as(_outer)
def vouter(tile: Any, array: Any, start: Any, step: Any, v: Any) -> Any:
    """Return the tile plus the outer product of ``array[start], array[start + step]...`` and v."""
    return tuple(vmuladd(row, array[start + r * step], v) for r, row in enumerate(tile))


@_compiled_as(_inner)
def vinner(v: Any, array: Any, start: Any, step: Any, tile: Any) -> Any:
    """Return v plus the product of ``array[start], array[start + step]...`` with a tile."""
    for r, row in enumerate(tile):
        v = vmuladd(v, array[start + r * step], row)
    return v


@_compiled_as(_transpose)
def vtranspose(array: Any, start: Any, step: Any, lanes: Any) -> None:
    """Exchange rows and columns of a square, whose rows begin `step` apart, in the array.

    The number of lanes, a power of two, is that of the rows too.
    """
    at = start + step * np.arange(len(lanes))[:, None] + np.arange(len(lanes))
    array[at] = array[at].T

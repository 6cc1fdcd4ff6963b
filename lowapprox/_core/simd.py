"""Vectors as values inside kernels.

A kernel that keeps a short row of numbers in registers says so with these functions, instead of
hoping that the compiler finds out. They become plain LLVM vector instructions, which every
processor has in some width, and they take flat C-contiguous arrays and element offsets.

The number of lanes is the length of the tuple `lanes` (its items mean nothing): a tuple's length
is part of its type, so one kernel text is compiled once for each width it is called with. Tiles of
vectors are in `simd_tiles`.

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
    "peek",
    "take",
    "vadd",
    "vand",
    "vcount",
    "vdiv",
    "vdouble",
    "veq",
    "vfill",
    "vfunnel",
    "vgather",
    "vload",
    "vmul",
    "vmuladd",
    "vmulsub",
    "vor",
    "vround",
    "vshr",
    "vstore",
    "vsub",
    "vsum",
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
    """`count` lanes of a scalar type. Compiled kernels on disk know it by this name."""

    def __init__(self, dtype: Any, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(f"vector({dtype} x {count})")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        lane = dmm.lookup(fe_type.dtype).get_value_type()
        super().__init__(dmm, fe_type, ir.VectorType(lane, fe_type.count))


def vector_type(dtype: Any, count: int) -> Any:
    """Return the type of vectors of so many lanes."""
    return _Vector(dtype, count)


def compiled_as(typing: Callable[..., Any]) -> Callable[[F], F]:
    """Replace a Python function by an instruction, where there is a compiler."""

    def wrap(func: F) -> F:
        return func if nb.config.DISABLE_JIT else cast("F", intrinsic(typing))

    return wrap


def _pointer(context: Any, builder: Any, sig: Any, args: Any, vector: Any) -> Any:
    data = context.make_array(sig.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), vector.as_pointer())


def broadcast(builder: Any, scalar: Any, vector: Any) -> Any:
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


def _gather(_: Any, array: Any, index: Any, _start: Any, lanes: Any) -> Any:
    result = _Vector(array.dtype, lanes.count)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, places = (
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(sig.args[:2], args[:2], strict=True)
        )
        v = ir.Constant(context.get_value_type(result), ir.Undefined)
        for k in range(lanes.count):
            at = builder.load(
                builder.gep(places, [builder.add(args[2], ir.Constant(args[2].type, k))])
            )
            number = builder.load(builder.gep(data, [at]))
            v = builder.insert_element(v, number, ir.Constant(ir.IntType(32), k))
        return v

    return result(array, index, types.intp, lanes), codegen


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
        return broadcast(builder, args[0], context.get_value_type(result))

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
        return builder.lshr(args[0], broadcast(builder, _cut(builder, args[1], vector), vector))

    return v(v, types.intp), codegen


def _funnel(_: Any, v: Any, w: Any, _bits: Any) -> Any:
    def codegen(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        vector = context.get_value_type(v)
        words = ir.VectorType(ir.IntType(64), v.count * v.dtype.bitwidth // 64)
        low, high = (builder.bitcast(x, words) for x in args[:2])
        fshr = standard(builder, "fshr", words, 3)
        return builder.bitcast(
            builder.call(fshr, [high, low, broadcast(builder, args[2], words)]), vector
        )

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


def _take(_: Any, array: Any, _at: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        one = ir.Constant(ir.IntType(array.dtype.bitwidth), 1)
        return builder.atomic_rmw("add", builder.gep(data, [args[1]]), one, "acq_rel")

    return array.dtype(array, types.intp), codegen


def _peek(_: Any, array: Any, _at: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        place = builder.gep(data, [args[1]])
        return builder.load_atomic(place, "acquire", array.dtype.bitwidth // 8)

    return array.dtype(array, types.intp), codegen


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
            factor = args[1] if whole else broadcast(builder, args[1], vector)
            if negated:
                factor = builder.fneg(factor)
            muladd = standard(builder, "fmuladd", vector, 3)
            return builder.call(muladd, [factor, args[2], args[0]])

        return v(v, v if whole else v.dtype, w), codegen

    return typing


def standard(builder: Any, name: str, vector: Any, operands: int) -> Any:
    """Return an LLVM function whose operands and result are of one vector type."""
    name = f"llvm.{name}.v{vector.count}{vector.element.intrinsic_name}"
    kind = ir.FunctionType(vector, [vector] * operands)
    return cgutils.get_or_insert_function(builder.module, kind, name)


def _round(_: Any, v: Any, array: Any) -> Any:
    result = _Vector(array.dtype, v.count)

    def codegen(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        near = builder.call(standard(builder, "rint", context.get_value_type(v), 1), [args[0]])
        wide = builder.fptosi(near, ir.VectorType(ir.IntType(32), v.count))
        target = context.get_value_type(result)
        change = builder.trunc if target.element.width < 32 else builder.sext
        return wide if target.element.width == 32 else change(wide, target)

    return result(v, array), codegen


def lane_sums(builder: Any, vectors: list[Any], lanes: int) -> Any:
    """Return a vector of the sum of each vector; all counts are powers of two."""

    def mask(lanes: Any) -> Any:
        index = ir.VectorType(ir.IntType(32), len(lanes))
        return ir.Constant(index, list(lanes))

    # Vectors are joined in pairs: the lower halves of all pieces are added to the upper ones, so
    # that a vector holds twice as many pieces of half the length.
    piece = lanes
    while len(vectors) > 1:
        pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
        size = vectors[0].type.count
        if piece == 1:
            vectors = [builder.shuffle_vector(*p, mask(range(2 * size))) for p in pairs]
            continue
        low = [k for k in range(2 * size) if k % piece < piece // 2]
        high = [k + piece // 2 for k in low]
        halves = [[builder.shuffle_vector(*p, mask(m)) for m in (low, high)] for p in pairs]
        vectors, piece = [builder.fadd(*h) for h in halves], piece // 2
    total = vectors[0]
    while piece > 1:
        low = [k for k in range(total.type.count) if k % piece < piece // 2]
        high = [k + piece // 2 for k in low]
        total = builder.fadd(*(builder.shuffle_vector(total, total, mask(m)) for m in (low, high)))
        piece //= 2
    return total


def _sum(_: Any, v: Any) -> Any:
    def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        total = lane_sums(builder, [args[0]], v.count)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return v.dtype(v), codegen


@compiled_as(_load)
def vload(array: Any, start: Any, lanes: Any) -> Any:
    """Return ``array[start : start + len(lanes)]`` as a vector."""
    return array[start : start + len(lanes)].copy()


@compiled_as(_gather)
def vgather(array: Any, index: Any, start: Any, lanes: Any) -> Any:
    """Return ``array[index[start : start + len(lanes)]]`` as a vector."""
    return array[index[start : start + len(lanes)]]


@compiled_as(_store)
def vstore(array: Any, start: Any, v: Any) -> None:
    """Write a vector to the array, from `start` on."""
    array[start : start + v.size] = v


@compiled_as(_fill)
def vfill(scalar: Any, lanes: Any) -> Any:
    """Return a vector with the scalar in each lane."""
    return np.full(len(lanes), scalar)


@compiled_as(_elementwise("add", "fadd"))
def vadd(v: Any, w: Any) -> Any:
    """Return ``v + w``."""
    return v + w


@compiled_as(_elementwise("sub", "fsub"))
def vsub(v: Any, w: Any) -> Any:
    """Return ``v - w``."""
    return v - w


@compiled_as(_elementwise("and_"))
def vand(v: Any, w: Any) -> Any:
    """Return ``v & w``."""
    return v & w


@compiled_as(_elementwise("or_"))
def vor(v: Any, w: Any) -> Any:
    """Return ``v | w``."""
    return v | w


@compiled_as(_elementwise("xor"))
def vxor(v: Any, w: Any) -> Any:
    """Return ``v ^ w``."""
    return v ^ w


@compiled_as(_shift_right)
def vshr(v: Any, bits: Any) -> Any:
    """Return unsigned ``v >> bits``, for fewer bits than a lane has."""
    return v >> v.dtype.type(bits)


@compiled_as(_funnel)
def vfunnel(v: Any, w: Any, bits: Any) -> Any:
    """Return ``v >> bits`` with the lowest bits of `w` on top, in words of 64 bits; bits < 64."""
    low, high, shift = v.view(np.uint64), w.view(np.uint64), np.uint64(bits)
    return (low >> shift | high << np.uint64(64) - shift).view(v.dtype) if bits else v


@compiled_as(_equal)
def veq(v: Any, w: Any) -> Any:
    """Return where lanes are equal: an unsigned integer with bit i for lane i, at most 64."""
    return np.uint64(sum(1 << int(i) for i in np.flatnonzero(v == w)))


@compiled_as(_count)
def vcount(bits: Any) -> Any:
    """Return how many lanes are marked by an unsigned integer: the number of its bits set."""
    return type(bits)(int(bits).bit_count())


@compiled_as(_where)
def vwhere(bits: Any, v: Any, w: Any) -> Any:
    """Return the lanes of `v` where an unsigned integer has bit i set for lane i, else of `w`."""
    return np.where([int(bits) >> i & 1 for i in range(v.size)], v, w)


@compiled_as(_take)
def take(array: Any, at: Any) -> Any:
    """Return ``array[at]`` and add one to it; no other thread gets the same number."""
    array[at] += 1
    return array[at] - 1


@compiled_as(_peek)
def peek(array: Any, at: Any) -> Any:
    """Return ``array[at]``, with all that was written by the threads that changed it before."""
    return array[at]


@compiled_as(_double)
def vdouble(v: Any) -> Any:
    """Return the vector in double precision."""
    return v.astype(np.float64)


@compiled_as(_elementwise("mul", "fmul"))
def vmul(v: Any, w: Any) -> Any:
    """Return ``v * w``."""
    return v * w


@compiled_as(_muladd(negated=False))
def vmuladd(v: Any, scale: Any, w: Any) -> Any:
    """Return ``v + scale * w``, rounded once where the processor can; `scale` may be a scalar."""
    return v + scale * w


@compiled_as(_muladd(negated=True))
def vmulsub(v: Any, scale: Any, w: Any) -> Any:
    """Return ``v - scale * w``, rounded once where the processor can; `scale` may be a scalar."""
    return v - scale * w


@compiled_as(_elementwise("udiv", "fdiv"))
def vdiv(v: Any, w: Any) -> Any:
    """Return ``v / w``."""
    return v / w


@compiled_as(_sum)
def vsum(v: Any) -> Any:
    """Return the sum of the lanes, a power of two of them."""
    return v.sum()


@compiled_as(_round)
def vround(v: Any, array: Any) -> Any:
    """Return the nearest integers, within 32 signed bits, in the dtype of an array."""
    return np.rint(v).astype(np.int32).astype(array.dtype)

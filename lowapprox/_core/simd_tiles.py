"""Tiles inside kernels: several vectors as one value.

A tile is a tuple of vectors of `simd`; its height is the length of the tuple `rows`, as its width
is that of `lanes`. Rows of a tile lie `step` elements apart in their array.
"""

from __future__ import annotations

from typing import Any

# Like simd.py a door to numba: only kernel files import it, inside the functions that call them.
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from lowapprox._core.simd import (
    broadcast,
    compiled_as,
    lane_sums,
    standard,
    vector_type,
    vload,
    vmuladd,
    vstore,
)

__all__ = [
    "vcombine",
    "vdots",
    "vfetch",
    "vinner",
    "vouter",
    "vtile",
    "vtile_store",
    "vtranspose",
]


def _tile(_: Any, array: Any, _start: Any, _step: Any, lanes: Any, rows: Any) -> Any:
    result = types.UniTuple(vector_type(array.dtype, lanes.count), rows.count)

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
        muladd = standard(builder, "fmuladd", vector, 3)
        rows = []
        for r, place in enumerate(places):
            factor = broadcast(builder, builder.load(place), vector)
            rows.append(builder.call(muladd, [factor, args[4], builder.extract_value(args[0], r)]))
        return _packed(context, builder, tile, rows)

    return tile(tile, array, types.intp, types.intp, v), codegen


def _inner(_: Any, v: Any, array: Any, _start: Any, _step: Any, tile: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = context.get_value_type(v)
        places = _places(context, builder, sig.args[1], args[1:4], tile.count)
        muladd = standard(builder, "fmuladd", vector, 3)
        total = args[0]
        for r, place in enumerate(places):
            factor = broadcast(builder, builder.load(place), vector)
            total = builder.call(muladd, [factor, builder.extract_value(args[4], r), total])
        return total

    return v(v, array, types.intp, types.intp, tile), codegen


def _dots(
    _: Any, array: Any, index: Any, _first: Any, _step: Any, _column: Any, tile: Any, rows: Any
) -> Any:
    result = vector_type(array.dtype, rows.count)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = context.get_value_type(tile.dtype)
        muladd = standard(builder, "fmuladd", vector, 3)
        sums = []
        for row in _indexed_rows(context, builder, sig, args[:5], tile, rows.count):
            total = None
            for c, place in enumerate(row):
                part = builder.load(place, align=array.dtype.bitwidth // 8)
                factor = builder.extract_value(args[5], c)
                total = (
                    builder.call(muladd, [part, factor, total])
                    if total
                    else builder.fmul(part, factor)
                )
            sums.append(total)
        return lane_sums(builder, sums, vector.count)

    return result(array, index, types.intp, types.intp, types.intp, tile, rows), codegen


def _combine(
    _: Any, array: Any, index: Any, _first: Any, _step: Any, _column: Any, tile: Any, v: Any
) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = context.get_value_type(tile.dtype)
        muladd = standard(builder, "fmuladd", vector, 3)
        # Lanes are broadcast by loads, which have more room than shuffles. To read the rows again
        # is cheaper than to keep them: they are more than the registers. The sum of the rows does
        # not wait for that of the rows before.
        kept = cgutils.alloca_once_value(builder, args[6])
        nothing = ir.FunctionType(ir.VoidType(), [kept.type])
        builder.asm(nothing, "", "r,~{memory}", [kept], True)
        lane = builder.bitcast(kept, vector.element.as_pointer())
        totals: list[Any] = [None] * tile.count
        rows = _indexed_rows(context, builder, sig, args[:5], tile, v.count)
        for r, row in enumerate(rows):
            factor = builder.gep(lane, [ir.Constant(ir.IntType(32), r)])
            factor = broadcast(builder, builder.load(factor), vector)
            for c, place in enumerate(row):
                part = builder.load(place, align=array.dtype.bitwidth // 8)
                totals[c] = (
                    builder.call(muladd, [factor, part, totals[c]])
                    if totals[c]
                    else builder.fmul(factor, part)
                )
        before = [builder.extract_value(args[5], c) for c in range(tile.count)]
        totals = [builder.fadd(*pair) for pair in zip(before, totals, strict=True)]
        return _packed(context, builder, tile, totals)

    return tile(array, index, types.intp, types.intp, types.intp, tile, v), codegen


def _indexed_rows(
    context: Any, builder: Any, sig: Any, args: Any, tile: Any, count: int
) -> list[list[Any]]:
    """Return pointers to the vectors of `count` rows, each as long as a tile."""
    vector = context.get_value_type(tile.dtype)
    data, index = (
        context.make_array(kind)(context, builder, value).data
        for kind, value in zip(sig.args[:2], args[:2], strict=True)
    )
    wide = ir.IntType(64)
    rows = []
    for r in range(count):
        place = builder.gep(index, [builder.add(args[2], ir.Constant(args[2].type, r))])
        number = builder.load(place)
        if number.type != wide:
            number = builder.sext(number, wide)
        at = builder.add(builder.mul(number, args[3]), args[4])
        first = builder.bitcast(builder.gep(data, [at]), vector.as_pointer())
        rows.append([builder.gep(first, [ir.Constant(wide, c)]) for c in range(tile.count)])
    return rows


def _fetch(_: Any, array: Any, _start: Any, lanes: Any, rows: Any) -> Any:
    size = lanes.count * rows.count * array.dtype.bitwidth // 8

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        first = builder.bitcast(builder.gep(data, [args[1]]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        hints = [ir.Constant(word, h) for h in (0, 3, 1)]  # to read, soon and often, data
        for line in range(0, size, 64):
            builder.call(fetch, [builder.gep(first, [ir.Constant(ir.IntType(64), line)]), *hints])
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes, rows), codegen


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


@compiled_as(_tile)
def vtile(array: Any, start: Any, step: Any, lanes: Any, rows: Any) -> Any:
    """Return as many vectors as the tuple `rows` has items, whose places are `step` apart."""
    return tuple(vload(array, start + r * step, lanes) for r in range(len(rows)))


@compiled_as(_tile_store)
def vtile_store(array: Any, start: Any, step: Any, tile: Any) -> None:
    """Write the vectors of a tile to places `step` apart."""
    for r, v in enumerate(tile):
        vstore(array, start + r * step, v)


@compiled_as(_outer)
def vouter(tile: Any, array: Any, start: Any, step: Any, v: Any) -> Any:
    """Return the tile plus the outer product of ``array[start], array[start + step]...`` and v."""
    return tuple(vmuladd(row, array[start + r * step], v) for r, row in enumerate(tile))


@compiled_as(_inner)
def vinner(v: Any, array: Any, start: Any, step: Any, tile: Any) -> Any:
    """Return v plus the product of ``array[start], array[start + step]...`` with a tile."""
    for r, row in enumerate(tile):
        v = vmuladd(v, array[start + r * step], row)
    return v


@compiled_as(_dots)
def vdots(array: Any, index: Any, first: Any, step: Any, column: Any, tile: Any, rows: Any) -> Any:
    """Return the inner products of a tile with rows of an array, a lane for each item of `rows`.

    Row r is as long as all vectors of the tile and begins at ``index[first + r] * step + column``.
    """
    return _rows_at(array, index, first, step, column, tile, len(rows)) @ np.concatenate(tile)


@compiled_as(_combine)
def vcombine(array: Any, index: Any, first: Any, step: Any, column: Any, tile: Any, v: Any) -> Any:
    """Return the tile plus the sum of rows of an array, placed as in `vdots`, times lanes of v."""
    rows = _rows_at(array, index, first, step, column, tile, v.size)
    return tuple(np.split(np.concatenate(tile) + v @ rows, len(tile)))


def _rows_at(
    array: Any, index: Any, first: Any, step: Any, column: Any, tile: Any, count: int
) -> Any:
    at = index[first : first + count, None].astype(np.intp) * step + column
    return array[at + np.arange(sum(v.size for v in tile))]


@compiled_as(_fetch)
def vfetch(array: Any, start: Any, lanes: Any, rows: Any) -> None:
    """Begin to load what `vtile` with a step of ``len(lanes)`` will read; the place may be any."""


@compiled_as(_transpose)
def vtranspose(array: Any, start: Any, step: Any, lanes: Any) -> None:
    """Exchange rows and columns of a square, whose rows begin `step` apart, in the array.

    The number of lanes, a power of two, is that of the rows too.
    """
    at = start + step * np.arange(len(lanes))[:, None] + np.arange(len(lanes))
    array[at] = array[at].T

"""The values of observed entries, centred and of a size of about one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lowapprox._core.errors import NumericalError
from lowapprox._core.views import scaled
from lowapprox.completion.observations import Compressed, Host, Observations

__all__ = ["normalized"]

_PART = 1 << 16  # numbers


def normalized(observed: Observations, *, center: bool) -> tuple[float, float, Observations]:
    """Return the mean, the scale and what is left of the values."""
    rows, columns = observed.rows, observed.columns
    if not observed.count:
        return 0.0, 1.0, observed
    dtype = observed.dtype
    with np.errstate(over="ignore", invalid="ignore"):
        mean = _mean(rows) if center else 0.0
        shifted = rows.values - dtype.type(mean) if mean else rows.values
    if mean and not np.isfinite(shifted).all():
        raise NumericalError(
            f"the observed values of `A` less their mean overflow {dtype}: pass smaller ones"
        )
    peak = int(np.frexp(max(shifted.max(), -shifted.min()))[1])
    scaled_down = (scaled(part.astype(np.float64), -peak) for part in _parts(shifted))
    size = float(np.sqrt(sum(float(part @ part) for part in scaled_down) / observed.count))
    # A power of four: to multiply by it is exact, and so is its root.
    power = 2 * round((float(np.log2(size)) + peak) / 2) if size else 0
    power = min(power, 1022)  # the next one is infinite

    def changed(side: Compressed) -> Compressed:
        values = shifted
        if side is columns:
            values = side.values - dtype.type(mean) if mean else side.values
        return replace(side, values=np.ldexp(values, -power) if power else values)

    if mean or power:
        observed = Observations(observed.shape, changed(rows), changed(columns))
    return mean, 2.0**power, observed


def _mean(rows: Compressed) -> float:
    if rows.weights is None:
        return float(np.mean(rows.values, dtype=np.float64))
    parts = zip(_parts(rows.values), _parts(rows.weights), strict=True)
    total = sum(float(w.astype(np.float64) @ v.astype(np.float64)) for v, w in parts)
    return total / float(np.sum(rows.weights, dtype=np.float64))


def _parts(x: Host) -> Iterator[Host]:
    """Cut a long vector into parts that stay in the cache when they are converted."""
    return (x[i : i + _PART] for i in range(0, x.size, _PART))

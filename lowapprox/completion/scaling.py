"""The values of observed entries, centred and of a size of about one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lowapprox._core.errors import NumericalError
from lowapprox._core.views import scaled
from lowapprox.completion.observations import Compressed, Host, Observations

__all__ = ["evened", "normalized"]

_PART = 1 << 16  # numbers


def normalized(observed: Observations, *, center: bool) -> tuple[float, float, Observations]:
    """Return the mean, the scale and what is left of the values, in the memory of these."""
    rows, sides = observed.rows, (observed.rows, observed.columns)
    if not observed.count:
        return 0.0, 1.0, observed
    dtype = observed.dtype
    with np.errstate(over="ignore", invalid="ignore"):
        mean = _mean(rows) if center else 0.0
        for side in sides if mean else ():
            np.subtract(side.values, dtype.type(mean), out=side.values)
    if mean and not np.isfinite(rows.values).all():
        raise NumericalError(
            f"the observed values of `A` less their mean overflow {dtype}: pass smaller ones"
        )
    peak = int(np.frexp(max(rows.values.max(), -rows.values.min()))[1])
    scaled_down = (scaled(part.astype(np.float64), -peak) for part in _parts(rows.values))
    size = float(np.sqrt(sum(float(part @ part) for part in scaled_down) / observed.count))
    # A power of four: to multiply by it is exact, and so is its root.
    power = 2 * round((float(np.log2(size)) + peak) / 2) if size else 0
    power = min(power, 1022)  # the next one is infinite
    for side in sides if power else ():
        np.ldexp(side.values, -power, out=side.values)
    return mean, 2.0**power, Observations(observed.shape, *sides)


def evened(observed: Observations) -> tuple[float, Observations]:
    """Return the unit of the weights, and weights of about one, in the memory of these.

    The unit is a power of two, so that weights change no more than their exponents.
    """
    weights = observed.rows.weights
    if weights is None or not weights.size:
        return 1.0, observed
    peak = int(np.frexp(weights.max())[1])
    total = sum(float(np.ldexp(w.astype(np.float64), -peak).sum()) for w in _parts(weights))
    power = min(round(float(np.log2(total / weights.size)) + peak), 1022)
    for side in (observed.rows, observed.columns):
        if power and side.weights is not None:
            least = np.finfo(observed.dtype).tiny  # what underflows is still observed
            np.maximum(np.ldexp(side.weights, -power), least, out=side.weights)
    return 2.0**power, observed


def _mean(rows: Compressed) -> float:
    if rows.weights is None:
        return float(np.mean(rows.values, dtype=np.float64))
    parts = zip(_parts(rows.values), _parts(rows.weights), strict=True)
    total = sum(float(w.astype(np.float64) @ v.astype(np.float64)) for v, w in parts)
    return total / float(np.sum(rows.weights, dtype=np.float64))


def _parts(x: Host) -> Iterator[Host]:
    """Cut a long vector into parts that stay in the cache when they are converted."""
    return (x[i : i + _PART] for i in range(0, x.size, _PART))

"""The demo: every family on the embedded data."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from lowapprox._core.demo import DemoRow
from lowapprox._core.errors import MissingDependencyError

__all__ = ["FAMILIES", "rows", "save_pictures", "write_table"]

# Each module has ROWS: functions of `quick` that return a DemoRow. A new family adds a line.
FAMILIES = (
    "lowapprox.completion.demo",
    "lowapprox.hamming.demo",
    "lowapprox.regression.demo",
    "lowapprox.svd.demo",
)

_HEADER = ("example", "data", "shape", "method", "time", "exact", "true error", "stated error")
_FOOTER = """\
Times are medians after a first call; `exact` is what the call replaces: the full factorization, for
complete-photograph thirty of them; one NumPy pass over the text for each letter of the pattern; for
hamming-approximate, our own exact distances. Errors are relative (Frobenius norm, of missing pixels
for complete-photograph; trace for rp-cholesky; largest coefficient for lstsq-surface; over the
length of the pattern for hamming rows). The true error was computed from
the whole data; the stated one is part of the result, with what it claims to be: exact, an estimate
or a bound.
"""


def rows(*, quick: bool = False) -> Iterator[DemoRow]:
    """Run every computation of every family and yield what it found.

    Parameters
    ----------
    quick : bool, default False
        Use smaller parts of the data.
    """
    for family in FAMILIES:
        for row in importlib.import_module(family).ROWS:
            yield row(quick)


def write_table(found: Sequence[DemoRow], stream: TextIO) -> None:
    """Write the rows as a table: with rich where it is installed, else in plain text."""
    cells = [_cells(row) for row in found]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        stream.write(_plain([_HEADER, *cells]))
    else:
        table = Table(*_HEADER, title="lowapprox on embedded data")
        for line in cells:
            table.add_row(*line)
        console = Console(file=stream, width=None if stream.isatty() else 140)
        console.print(table)
    stream.write(_FOOTER)


def save_pictures(found: Sequence[DemoRow], folder: str | Path) -> list[Path]:
    """Draw the rows that have a picture into PNG files.

    Parameters
    ----------
    found : sequence of DemoRow
    folder : str or Path
        Made if it does not exist.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    figure_class = require_figure()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for row in found:
        if row.draw is not None:
            # A figure without pyplot: no window system and no global state.
            figure = figure_class(figsize=(12, 4.5), layout="constrained")
            row.draw(figure)
            written.append(folder / f"{row.name}.png")
            figure.savefig(written[-1], dpi=100, bbox_inches="tight")
    return written


def require_figure() -> type:
    """Return matplotlib's figure class, or say how to install it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise MissingDependencyError(
            'pictures need matplotlib; install it with pip install "lowapprox[plot]"'
        ) from exc
    figure: type = Figure
    return figure


def _cells(row: DemoRow) -> tuple[str, ...]:
    return (
        row.name,
        row.data,
        " x ".join(str(n) for n in row.shape),
        row.method,
        _duration(row.seconds),
        _duration(row.exact_seconds),
        f"{row.error:.3e}",
        f"{row.estimate:.3e} ({row.kind})",
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def _plain(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    text.insert(1, "  ".join("-" * w for w in widths))
    return "".join(line.rstrip() + "\n" for line in text)

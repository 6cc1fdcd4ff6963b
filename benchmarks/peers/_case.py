"""Measure one case in a process of its own, and print its rows."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys

from benchmarks.peers._measure import Budget, Row, compiled_for


def main(family: str, name: str, seconds: str, fewest: str, most: str) -> list[Row]:
    """Return the rows of a case, each with the processor that kernels were compiled for."""
    tables = importlib.import_module(f"benchmarks.peers.{family}").TABLES
    cases = {case.name: case for table in tables for case in table.cases}
    rows: list[Row] = cases[name].run(Budget(float(seconds), int(fewest), int(most)))
    return [row | {"compiled for": compiled_for()} for row in rows]


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):  # the rows are all that is printed
        rows = main(*sys.argv[1:])
    print(json.dumps(rows))

"""Run the comparisons: ``python -m benchmarks.peers [family ...] [--only REGEX] [--write]``."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import sys
import traceback
from pathlib import Path

import benchmarks.peers
from benchmarks.peers._measure import (
    QUICK,
    Budget,
    Case,
    NotInstalledError,
    Row,
    Table,
    load_rows,
    machine,
    rst_table,
    save_rows,
    text_table,
)

DOCS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"


def main(argv: list[str] | None = None) -> int:
    """Measure the chosen cases, print their tables and, with --write, the pages of the docs."""
    families = [m.name for m in pkgutil.iter_modules(benchmarks.peers.__path__)]
    families = [name for name in families if not name.startswith("_")]
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=main.__doc__)
    parser.add_argument("family", nargs="*", help=f"of {', '.join(families)}; all by default")
    parser.add_argument("--only", metavar="REGEX", default="", help="cases whose name matches")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--quick", action="store_true", help="few pairs, for a first look")
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"write {DOCS.relative_to(DOCS.parents[1])}/FAMILY.rst from all rows measured so far",
    )
    options = parser.parse_args(argv)
    if unknown := set(options.family) - set(families):
        parser.error(f"no family {', '.join(sorted(unknown))}; there are {', '.join(families)}")

    failed = 0
    for family in options.family or families:
        module = importlib.import_module(f"benchmarks.peers.{family}")
        tables: tuple[Table, ...] = module.TABLES
        rows = load_rows(family)
        for table in tables:
            chosen = [c for c in table.cases if re.search(options.only, c.name)]
            if options.list:
                print("\n".join(case.name for case in chosen))
                continue
            fresh: list[Row] = []
            for case in chosen:
                print(f"... {case.name}", file=sys.stderr, flush=True)
                try:
                    rows[case.name] = run(case, QUICK if options.quick else Budget())
                except Exception:
                    traceback.print_exc()
                    failed += 1
                    continue
                save_rows(family, rows)
                fresh += rows[case.name]
            if fresh:
                print(f"\n{table.title}\n{'-' * len(table.title)}\n{text_table(fresh)}", flush=True)
        if options.write:
            write_page(family, module.TITLE, tables, rows)
    return min(failed, 1)


def run(case: Case, budget: Budget) -> list[Row]:
    """Measure one case; a peer that is missing makes a row that says so."""
    try:
        return case.run(budget)
    except NotInstalledError as exc:
        return [{"work": case.name, "peer": str(exc), "note": "not installed"}]


def write_page(
    family: str, title: str, tables: tuple[Table, ...], rows: dict[str, list[Row]]
) -> None:
    """Write the page of one family from the rows measured so far."""
    lines = [
        f".. Written by `python -m benchmarks.peers {family} --write`; do not edit.",
        "",
        ":html_theme.sidebar_secondary.remove: true",  # the tables need the width
        "",
        title,
        "=" * len(title),
        "",
        "How these figures are taken, and what the columns mean, is said in :doc:`index`.",
        "",
    ]
    lines += [f":{key}: {value}" for key, value in machine()]
    for table in tables:
        measured = [row for case in table.cases for row in rows.get(case.name, [])]
        if measured:
            lines += ["", table.title, "-" * len(table.title), "", table.about, ""]
            lines += [rst_table(measured)]
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / f"{family}.rst").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())

"""The directive ``supported-inputs``: tables made from what the families say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from lowapprox._core.inputs import PRECISIONS, REFUSED, Call, Inputs, Kind, registered


def table(header: Iterable[str], rows: Iterable[Iterable[str]], options: str) -> Iterator[str]:
    """Lines of a list-table."""
    yield from (".. list-table::", "   :header-rows: 1", options, "")
    for row in (header, *rows):
        cells = list(row)
        yield f"   * - {cells[0]}"
        yield from (f"     - {cell}" for cell in cells[1:])
    yield ""


def kinds(known: Mapping[str, Kind]) -> Iterator[str]:
    """What each kind is, and how it is treated."""
    rows = ((kind.heading, kind.what, kind.treatment) for kind in known.values())
    return table(("column", "input", "treatment"), rows, "   :widths: 13 35 52")


def calls(package: str, inputs: Inputs) -> Iterator[str]:
    """Which call takes what."""

    def row(call: Call) -> Iterator[str]:
        name = re.match(r"\w+", call.code)[0]
        note = f" ({call.note})" if call.note else ""
        yield f":py:obj:`{call.code} <{package}.{name}>`{note}"
        yield from ("yes" if kind in call.takes else "|no|" for kind in inputs.kinds)

    header = ("call", *(kind.heading for kind in inputs.kinds.values()))
    return table(header, map(row, inputs.calls), "   :class: benchmark")


def precisions() -> Iterator[str]:
    """In which precision numbers are computed."""
    rows = [(", ".join(given), precision) for precision, given in PRECISIONS.items()]
    rows.append((", ".join(REFUSED), "``InputTypeError``"))
    return table(("numbers", "computed and returned in"), rows, "   :widths: 70 30")


class SupportedInputs(SphinxDirective):
    """All tables: kinds that families share once, then the calls of each family."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # what it is made from is no file of the documentation
        lines, seen = [".. |no| unicode:: U+2013", ""], []
        for package, inputs in registered().items():
            if inputs.kinds not in seen:
                seen.append(inputs.kinds)
                lines += kinds(inputs.kinds)
            lines += [f"**{package}**", "", *calls(package, inputs)]
        return self.parse_text_to_nodes("\n".join([*lines, "**Numbers**", "", *precisions()]))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("supported-inputs", SupportedInputs)
    return {"parallel_read_safe": True}

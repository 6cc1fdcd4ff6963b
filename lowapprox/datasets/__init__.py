"""Small real data sets that come with the package, each with its licence in `SOURCES`."""

from lowapprox.datasets.load import (
    SOURCES,
    Documents,
    Source,
    documents,
    elevation,
    genome,
    photograph,
)

__all__ = ["SOURCES", "Documents", "Source", "documents", "elevation", "genome", "photograph"]

"""Comparisons with other libraries, one module a family; see `docs/benchmarks/index.rst`."""

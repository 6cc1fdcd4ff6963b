"""Benchmarks: `python -m benchmarks.peers` against other libraries, asv classes for history."""

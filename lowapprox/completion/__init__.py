"""Completion of matrices of low rank with missing entries."""

__all__: list[str] = []

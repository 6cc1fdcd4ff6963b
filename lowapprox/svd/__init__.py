"""Truncated SVD and its relatives."""

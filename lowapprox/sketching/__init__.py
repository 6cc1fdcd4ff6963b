"""Sketching operators."""

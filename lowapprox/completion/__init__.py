"""Completion of matrices of low rank with missing entries."""

from lowapprox.completion.complete import complete
from lowapprox.completion.result import CompletionResult

__all__ = ["CompletionResult", "complete"]

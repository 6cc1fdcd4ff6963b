"""Completion of matrices of low rank with missing entries."""

from lowapprox.completion.complete import complete
from lowapprox.completion.diagnosis import Diagnostics
from lowapprox.completion.problem import Record
from lowapprox.completion.ratings import Ratings, read_ratings
from lowapprox.completion.result import CompletionResult

__all__ = ["CompletionResult", "Diagnostics", "Ratings", "Record", "complete", "read_ratings"]

"""Random linear maps that compress the rows of a matrix."""

from lowapprox.sketching.gaussian import Gaussian
from lowapprox.sketching.hadamard import SRHT
from lowapprox.sketching.rademacher import Rademacher
from lowapprox.sketching.sparse import CountSketch, SparseSign

__all__ = ["SRHT", "CountSketch", "Gaussian", "Rademacher", "SparseSign"]

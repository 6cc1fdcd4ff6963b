"""Random linear maps that compress the rows of a matrix."""

from lowapprox.sketching.fastfood import Fastfood
from lowapprox.sketching.gaussian import Gaussian
from lowapprox.sketching.hadamard import SRHT
from lowapprox.sketching.quality import distortion, embedding_dim
from lowapprox.sketching.rademacher import Rademacher
from lowapprox.sketching.sampling import RowSampling
from lowapprox.sketching.sparse import CountSketch, SparseSign
from lowapprox.sketching.srtt import SRTT
from lowapprox.sketching.tensor import khatri_rao, kron
from lowapprox.sketching.tensor_operators import KhatriRaoSign, TensorSketch, TensorSRHT
from lowapprox.sketching.walsh import fwht

__all__ = [
    "SRHT",
    "SRTT",
    "CountSketch",
    "Fastfood",
    "Gaussian",
    "KhatriRaoSign",
    "Rademacher",
    "RowSampling",
    "SparseSign",
    "TensorSRHT",
    "TensorSketch",
    "distortion",
    "embedding_dim",
    "fwht",
    "khatri_rao",
    "kron",
]

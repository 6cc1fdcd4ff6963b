from lowapprox import completion as completion
from lowapprox import datasets as datasets
from lowapprox import hamming as hamming
from lowapprox import regression as regression
from lowapprox import sketching as sketching
from lowapprox import svd as svd
from lowapprox._core.config import show_config as show_config
from lowapprox._core.errors import AccuracyWarning as AccuracyWarning
from lowapprox._core.errors import ConvergenceWarning as ConvergenceWarning
from lowapprox._core.errors import InputError as InputError
from lowapprox._core.errors import InputTypeError as InputTypeError
from lowapprox._core.errors import LowApproxError as LowApproxError
from lowapprox._core.errors import LowApproxWarning as LowApproxWarning
from lowapprox._core.errors import MissingDependencyError as MissingDependencyError
from lowapprox._core.errors import NumericalError as NumericalError
from lowapprox._core.threads import thread_limit as thread_limit
from lowapprox.completion import complete as complete
from lowapprox.hamming import hamming_distances as hamming_distances
from lowapprox.regression import lstsq as lstsq
from lowapprox.svd import randomized_svd as randomized_svd

__all__: list[str]
__version__: str

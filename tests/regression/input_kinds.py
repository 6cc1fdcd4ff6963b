"""What the calls of the registry need besides the matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

EXAMPLES: dict[str, Any] = {}


def names(A: Any) -> dict[str, Any]:
    return {"b": np.ones(40)}

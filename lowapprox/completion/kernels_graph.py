"""The bipartite graph of rows and columns that observed entries join."""

from __future__ import annotations

from typing import Any

from lowapprox._core.jit import kernel

__all__ = ["components"]


@kernel()
def components(
    row_starts: Any,
    row_indices: Any,
    column_starts: Any,
    column_indices: Any,
    queue: Any,
    row_labels: Any,
    column_labels: Any,
) -> int:
    """Return the number of connected components, and write that of each where there is -1.

    The queue has room for all rows and columns. Those without entries keep their label.
    """
    m = row_labels.size
    found = 0
    for first in range(m):
        if row_labels[first] >= 0 or row_starts[first] == row_starts[first + 1]:
            continue
        row_labels[first] = found
        queue[0] = first
        head, tail = 0, 1
        while head < tail:
            node = queue[head]
            head += 1
            if node < m:
                for t in range(row_starts[node], row_starts[node + 1]):
                    j = row_indices[t]
                    if column_labels[j] < 0:
                        column_labels[j] = found
                        queue[tail] = m + j
                        tail += 1
            else:
                for t in range(column_starts[node - m], column_starts[node - m + 1]):
                    i = column_indices[t]
                    if row_labels[i] < 0:
                        row_labels[i] = found
                        queue[tail] = i
                        tail += 1
        found += 1
    return found

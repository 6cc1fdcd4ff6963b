r"""
Least squares of a stream
=========================

Rows that come once leave a triangle behind, or sums of products. Both are small; the triangle keeps
twice as many digits.
"""

import matplotlib.pyplot as plt
import numpy as np

from lowapprox.regression import StreamingLstsq

# %%
# A polynomial is fitted to readings that come a few at a time. The higher the degree, the closer to
# dependent are its columns. The sums are those of :math:`A^T A` and :math:`A^T b`.

rng = np.random.default_rng(0)
degrees = range(2, 19)
blocks = [rng.uniform(-1, 1, rng.integers(1, 300)) for _ in range(200)]
errors, condition = {"triangle": [], "sums of products": []}, []
for degree in degrees:
    truth = np.ones(degree + 1)
    stream, gram, sides = StreamingLstsq(degree + 1), 0.0, 0.0
    for t in blocks:
        A = np.vander(t, degree + 1, increasing=True)
        b = A @ truth
        stream.partial_fit(A, b)
        gram, sides = gram + A.T @ A, sides + A.T @ b
    result = stream.result()
    condition.append(result.cond_estimate)
    sums = np.linalg.lstsq(gram, sides, rcond=0)[0]
    for name, x in zip(errors, (result.x, sums), strict=True):
        errors[name].append(np.abs(x - truth).max())

fig, ax = plt.subplots(figsize=(6, 4))
for name, values in errors.items():
    ax.loglog(condition, values, ".-", label=name)
ax.set(xlabel="condition number", ylabel="largest error of a coefficient")
ax.legend()
fig.tight_layout()

# %%
# The backward error is that of the solution and of all factorizations on the way.

print(f"{result.backward_error:.1e} after {stream.n_rows} rows in {len(blocks)} blocks")

# %%
# Two streams become one; the sum is right whatever either has seen.

halves = [StreamingLstsq(7), StreamingLstsq(7)]
for i, t in enumerate(blocks):
    halves[i % 2].partial_fit(np.vander(t, 7, increasing=True), np.cos(t))
merged = halves[0].merge(halves[1]).result()
print(np.round(merged.x, 4))  # about 1 - t^2 / 2 + t^4 / 24 - t^6 / 720

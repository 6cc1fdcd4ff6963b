r"""
A photograph with missing pixels
================================

Of a photograph 60 % of the pixels are unknown. No photograph is of low rank, but this one is near
enough for its main forms to come back.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from lowapprox import ConvergenceWarning, complete, datasets

image = datasets.photograph().astype(float)
known = np.random.default_rng(0).random(image.shape) < 0.4
options = {"mask": known, "center": True, "row_bias": True, "col_bias": True, "rng": 0}
result = complete(image, 40, validation=0.02, **options)
filled = np.where(known, image, np.clip(result.to_dense(), 0, 255))

fig, axes = plt.subplots(1, 3, figsize=(12, 4.3))
for ax, (title, pixels) in zip(
    axes,
    {
        "40 % are known (blue: missing)": np.where(known, image, np.nan),
        "completed": filled,
        "all pixels": image,
    }.items(),
    strict=True,
):
    ax.set_facecolor("#2f6f9f")
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    ax.set(title=title, xticks=[], yticks=[])
fig.tight_layout()

# %%
# How good is it, and what would tell us without the missing pixels? Two per cent of the known
# ones were held out.


def missed(result):
    """Return the root mean squared error at the missing pixels."""
    return np.sqrt(np.mean((result.to_dense() - image)[~known] ** 2))


print(f"error at the missing pixels {missed(result):.1f} grey levels,")
print(f"stated by those held out    {min(step.held_out for step in result.history):.1f}")

# %%
# Which rank? The error falls until the known pixels cannot tell more components from one another.
# The learned ridge keeps larger ranks from harm: without it, the error rises again.

warnings.simplefilter("ignore", ConvergenceWarning)  # forty steps are enough for the picture
ranks = (2, 5, 10, 20, 30, 40, 60)
errors = {"learned ridge": [], "ridge of 1e-3": []}
for rank in ranks:
    for name, reg in zip(errors, ("auto", 1e-3), strict=True):
        fit = complete(image, rank, method="als-cg", reg=reg, validation=0, max_iter=40, **options)
        errors[name].append(missed(fit))

fig, ax = plt.subplots(figsize=(6.5, 3.8))
for marker, (name, values) in zip("os", errors.items(), strict=True):
    ax.plot(ranks, values, marker=marker, label=name)
ax.set(xlabel="rank", ylabel="error at the missing pixels", ylim=(0, 40))
ax.legend()
fig.tight_layout()

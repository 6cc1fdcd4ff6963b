r"""
A small recommender
===================

Ratings from half a star to five, most of them unknown: predictions with no tuning, users that come
later, and how many components the data support.
"""

import matplotlib.pyplot as plt
import numpy as np

from lowapprox import complete

# %%
# The ratings are synthetic, so that the truth is known: each user and item has a bias, tastes are
# of rank three, and there is noise of 0.7 stars. Few items get most of the ratings.

rng = np.random.default_rng(0)
users, items, count = 3000, 800, 120_000
popularity = 1 / np.arange(1, items + 1) ** 0.7
places = np.unique(
    rng.integers(0, users, count) * items
    + rng.choice(items, count, p=popularity / popularity.sum())
)
rows, columns = np.divmod(rng.permutation(places), items)
tastes = rng.standard_normal((users, 3)) * [0.5, 0.4, 0.3]
traits = rng.standard_normal((items, 3))
truth = 3.4 + 0.4 * rng.standard_normal(users)[:, None] + 0.5 * rng.standard_normal(items)
truth += tastes @ traits.T
stars = truth[rows, columns] + 0.7 * rng.standard_normal(rows.size)
stars = np.clip(np.round(2 * stars) / 2, 0.5, 5)

new, test = rows >= 2900, np.arange(rows.size) % 20 == 0  # the last hundred users come later
learn = ~new & ~test
print(f"{learn.sum()} ratings to learn from, {learn.sum() / (2900 * items):.1%} of all")

# %%
# Which rank? It is found by the error at ratings held out.

triples = rows[learn], columns[learn], stars[learn]
options = {"center": True, "row_bias": True, "col_bias": True, "rng": 0}
result = complete(triples, shape=(2900, items), **options)
errors = result.info["rank_errors"]
print(f"rank {result.rank}")

fig, ax = plt.subplots(figsize=(6.5, 3.5))
ax.semilogx(list(errors), list(errors.values()), "o-")
ax.axvline(result.rank, color="0.7", zorder=0)
ax.set(xlabel="rank", ylabel="error at ratings held out", xticks=list(errors))
ax.set_xticklabels([str(rank) for rank in errors])
ax.minorticks_off()
fig.tight_layout()

# %%
# The error at ratings that nobody has seen, beside that of biases alone and that of the truth,
# which knows everything but the noise and the rounding to half stars:

seen = ~new & test


def error(predictions):
    """Return the root mean squared error of predictions for the ratings that nobody has seen."""
    return np.sqrt(np.mean((predictions - stars[seen]) ** 2))


levels = result.offset + result.row_bias[rows[seen]] + result.col_bias[columns[seen]]
print(f"biases alone {error(levels):.3f}")
print(f"completed    {error(result.predict(rows[seen], columns[seen])):.3f}")
print(f"truth        {error(truth[rows[seen], columns[seen]]):.3f}")

# %%
# A hundred users come later. For each a small problem is solved, while the items stay what they
# are.

late = new & ~test
arrived = result.fold_in_rows((rows[late] - 2900, columns[late], stars[late]), shape=(100, items))
unseen = new & test
predictions = arrived.predict(rows[unseen] - 2900, columns[unseen])
print(f"error for new users {np.sqrt(np.mean((predictions - stars[unseen]) ** 2)):.3f}")

r"""
Find themes in documents
========================

Latent semantic analysis is a truncated SVD of a document-term matrix. The matrix stays sparse, also
when the column means are subtracted, which makes it a principal component analysis.
"""

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp

from lowapprox import datasets, randomized_svd

docs = datasets.documents()
terms = np.array(docs.terms)
counts = docs.counts.astype(float)
print(f"{counts.shape[0]} documents, {counts.shape[1]} terms, {counts.nnz} counts")

# %%
# The usual weights: logarithms of counts, times the rarity of the term, rows of unit length.

weights = counts.copy()
weights.data = np.log1p(weights.data)
frequency = np.bincount(weights.indices, minlength=len(terms))
weights = weights @ sp.diags_array(np.log(counts.shape[0] / frequency))
lengths = np.sqrt((weights**2).sum(axis=1))
X = sp.csr_array(sp.diags_array(1 / np.maximum(lengths, 1e-12)) @ weights)

# %%
# Principal components. ``center=True`` subtracts the means inside the products, and nothing is
# densified.

pca = randomized_svd(X, rank=20, center=True, accuracy="high", rng=0)
print(pca)
for i in range(5):
    order = np.argsort(pca.Vh[i])
    ends = " ".join(terms[order[-1:-6:-1]]), " ".join(terms[order[:5]])
    print(f"component {i + 1}: {ends[0]}  <->  {ends[1]}")

# %%
# Each document is a point in the coordinates of the components.

scores = pca.transform(X)
fig, axes = plt.subplots(1, 2, figsize=(10, 4))
axes[0].bar(range(1, 21), 100 * pca.explained_variance_ratio)
axes[0].set(xlabel="component", ylabel="variance explained, %", xticks=range(1, 21, 3))
axes[1].scatter(scores[:, 0], scores[:, 1], s=8, alpha=0.6)
axes[1].set(xlabel="component 1", ylabel="component 2")
fig.tight_layout()

# %%
# Near points are documents on the same subject: the nearest to a few of them, by the angle between
# their scores.

unit = scores / np.linalg.norm(scores, axis=1, keepdims=True)
for i in (100, 300, 500):
    nearest = np.argsort(-(unit @ unit[i]))[1:4]
    print(docs.titles[i])
    for j in nearest:
        print(f"    {unit[j] @ unit[i]:.2f}  {docs.titles[j]}")

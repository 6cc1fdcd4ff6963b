r"""
Find binding sites in a genome
==============================

The repressor of the bacteriophage lambda binds to six places of its genome, the operators. They are
alike, but no two are the same: each half of an operator resembles ``TATCACCGC``, one of them read
on the other strand, and the two share their last base (Sarai, Takeda 1989,
doi:10.1073/pnas.86.17.6513). So places are wanted that differ from

.. code-block:: text

   TATCACCGSCGGTGATA

in few letters, where S stands for C or G. As this pattern is the same on both strands, one search
finds both.
"""

import matplotlib.pyplot as plt
import numpy as np

from lowapprox import datasets
from lowapprox.hamming import IUPAC, hamming_distances, hamming_matches

genome = datasets.genome()
pattern = "TATCACCGSCGGTGATA"
m = len(pattern)
print(f"{len(genome)} letters: {genome[:40]}...")

# %%
# The number of differing letters at every place. ``IUPAC`` has the letters that stand for several
# bases.

distances = hamming_distances(genome, pattern, classes=IUPAC)
print(f"{distances.size} distances of dtype {distances.dtype}; the smallest is {distances.min()}")

# %%
# How many places would agree as well by chance? If the letters of the genome were independent, with
# the frequencies that they have, the distance would be a sum of independent zeros and ones.

frequency = {base: genome.count(base) / len(genome) for base in "ACGT"}
law = np.ones(1)
for letter in pattern:
    agree = sum(frequency[base] for base in IUPAC.get(letter, letter))
    law = np.convolve(law, [agree, 1 - agree])
expected = law * distances.size

fig, ax = plt.subplots(figsize=(6, 3.5))
ax.bar(range(m + 1), np.bincount(distances, minlength=m + 1), color="C0", label="in the genome")
ax.step(np.arange(m + 2) - 0.5, [*expected, 0], "k", where="post", label="expected by chance")
ax.set(yscale="log", ylim=(0.03, 3e4), xlabel="letters that differ", ylabel="places")
ax.set_xticks(range(0, m + 1, 2))
ax.legend(loc="upper left")
fig.tight_layout()

# %%
# Up to three differences there is nothing that chance would explain. Four are a fair bound: one
# place is expected by chance. If only near places are wanted, ``hamming_matches`` returns nothing
# else.

positions, found = hamming_matches(genome, pattern, 4, classes=IUPAC)
print(f"expected by chance: {expected[:4].sum():.1f} with at most 3, {expected[4]:.1f} with 4")
for place, distance in zip(positions, found, strict=True):
    print(f"{place:6d}  {genome[place : place + m]}  {distance} differ")

# %%
# Five of the eight are operators: three to the left of the gene of the repressor itself, two to its
# right. The sixth, OR2, differs in six letters. So do some forty places by chance, and its letters
# alone do not tell it from them: the repressor binds there only beside another one, on OR1.

known = {"OL1": 35590, "OL2": 35614, "OL3": 35634, "OR3": 37950, "OR2": 37973, "OR1": 37997}
for name, place in known.items():
    print(f"{name}  {place}  {genome[place : place + m]}  {distances[place]} differ")

fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, width_ratios=(2, 1, 1))
for ax, (first, last) in zip(
    axes, ((0, distances.size), (35570, 35670), (37930, 38030)), strict=True
):
    places = np.arange(first, last)
    if last - first > 1000:  # thousands of letters to a pixel: only the best of each are seen
        places = places[distances[places] <= 7]
    ax.vlines(places, 0, m - distances[places], color="0.7", lw=1)
    sites = [p for p in positions if first <= p < last]
    ax.plot(sites, m - distances[sites], "o", color="C3", ms=5)
    ax.set(xlabel="letter of the genome", ylim=(0, m))
for name, place in known.items():
    ax = axes[1] if name.startswith("OL") else axes[2]
    ax.annotate(name, (place, m - distances[place] + 0.7), ha="center")
axes[0].set(
    ylabel="letters that agree", xlim=(0, len(genome)), title="places of 10 letters or more"
)
axes[1].set_title("left operator")
axes[2].set_title("right operator")
fig.tight_layout()

r"""
Gaps in the records of sensors
==============================

A row of sensors measures a temperature every hour. Some values are lost, some sensors are silent
for days, and some readings are wild.
"""

import matplotlib.pyplot as plt
import numpy as np

from lowapprox import complete

rng = np.random.default_rng(0)
hours, sensors = 24 * 60, 120
t = np.arange(hours) / 24
x = np.linspace(0, 1, sensors)
truth = (
    12
    + 6 * np.outer(np.sin(2 * np.pi * t / 30), 1 - 0.5 * x)  # the weather
    + 4 * np.outer(np.sin(2 * np.pi * (t - 0.3)), 0.3 + x**2)  # day and night, stronger inland
    + 2 * np.outer(np.cumsum(rng.standard_normal(hours)) / 30, np.sin(3 * np.pi * x))
)
readings = truth + 0.3 * rng.standard_normal(truth.shape)

# %%
# A third is lost at random, every sixth sensor is silent for two weeks, and one reading in a
# hundred is off by tens of degrees.

known = rng.random(truth.shape) < 0.67
for sensor in range(0, sensors, 6):
    start = rng.integers(0, hours - 24 * 14)
    known[start : start + 24 * 14, sensor] = False
wild = rng.random(truth.shape) < 0.01
readings[wild] += 25 * rng.choice([-1, 1], wild.sum())

# %%
# Wild readings pull at least squares; the Huber loss gives them little weight.

fits = {
    loss: complete(readings, 4, mask=known, loss=loss, center=True, rng=0)
    for loss in ("squared", "huber")
}
for loss, fit in fits.items():
    gap = (fit.to_dense() - truth)[~known]
    print(f"{loss:>8}: error {np.sqrt(np.mean(gap**2)):.3f} degrees at the places that are missing")

# %%
# One sensor that was silent:

sensor = 60
silent = ~known[:, sensor]
fig, axes = plt.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
recorded = axes[0].imshow(
    np.where(known, readings, np.nan).T, aspect="auto", extent=(0, 60, sensors, 0), vmin=0, vmax=25
)
fig.colorbar(recorded, ax=axes[0], label="degrees", pad=0.01)
axes[0].set(ylabel="sensor", title="what was recorded (white: nothing)")
axes[1].plot(t, truth[:, sensor], "0.7", lw=3, label="truth")
axes[1].plot(t, np.where(silent, np.nan, readings[:, sensor]), "k.", ms=2, label="recorded")
axes[1].plot(t, fits["huber"].to_dense()[:, sensor], "C1", lw=1, label="completed")
axes[1].set(xlabel="days", ylabel="degrees", title=f"sensor {sensor}", ylim=(-5, 35))
axes[1].legend(loc="lower left", ncols=3)
fig.align_ylabels()

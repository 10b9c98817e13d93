# %% [markdown]
# # Your own table
#
# A table of real numbers has columns with different units. Here you train a model on such a table, and read three
# things from it: the noise of each column, a short code for each row, and how certain the code is. NumPy makes the
# table, so you know the right answers and can compare.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import vi

# %% [markdown]
# ## A table with a known answer
#
# Six sensors watch 3,000 machines. Two hidden causes, such as load and age, move all sensors together. Each sensor
# adds its own noise. The pressure is in pascal and the flow in cubic metres per second, so the scales differ by a
# factor of ten million.

# %%
rng = np.random.default_rng(0)
unit = pd.Series(
    {"temperature_K": 5, "pressure_Pa": 2e4, "flow_m3_s": 2e-3, "current_A": 0.8, "vibration_mm": 0.05, "power_W": 300}
)
noise = unit * [0.2, 0.3, 0.5, 0.2, 0.6, 0.3]
weights = rng.normal(size=[2, 6]) * unit.to_numpy()
causes = rng.normal(size=[3000, 2])
signal = 20 * unit.to_numpy() + causes @ weights  # what perfect sensors would show
table = pd.DataFrame(signal + noise.to_numpy() * rng.normal(size=signal.shape), columns=unit.index)
table.to_csv("machines.csv", index=False)
table.head(3)

# %% [markdown]
# ## Train
#
# `data.standardize=true` shows the model every column with mean 0 and standard deviation 1. All that you give and get
# keeps your units. `likelihood.scale=per_dimension` learns the noise of each column. `decoder.hidden=[]` makes the
# decoder linear, as the table is. The number of latents, L, is 2.

# %%
run = vi.train(
    [
        *("data=arrays", "data.path=machines.csv", "data.standardize=true"),
        *("likelihood=gaussian", "likelihood.scale=per_dimension", "decoder.hidden=[]", "encoder.hidden=[32]"),
        *("model.latent_dim=2", "posterior=full_covariance_gaussian"),
        *("trainer.epochs=100", "optimizer.learning_rate=0.002", "logger=none"),
    ],
    directory="runs/table",
)
run

# %% [markdown]
# The bound is logged in the file `metrics.csv` of the run, and `run.metrics` reads it. There is a row for each
# evaluation. All bounds are in nats per datum, and a datum is a row of your table.

# %%
run.metrics[["epoch", "train/bound", "validation/elbo", "validation/iw_bound"]].iloc[[0, 1, -1]].round(2)

# %% [markdown]
# ## Is the bound near the truth?
#
# The table is Gaussian, so its true log density has a closed form. `run.evaluate` estimates the log density of the
# validation rows with 200 samples for each row. The density belongs to your units, so you can compare the two.

# %%
covariance = weights.T @ weights + np.diag(noise**2)
centred = (table - 20 * unit).to_numpy()
squares = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred)
truth = -(squares + np.linalg.slogdet(2 * np.pi * covariance)[1]) / 2
estimate = run.evaluate(split="validation", samples=200)["iw_bound"]
print(f"truth {truth.mean():.2f}, model {estimate['mean']:.2f} ± {estimate['standard_error']:.2f} nats per row")

# %% [markdown]
# ## The noise of each column
#
# `model.encode` takes B rows and gives q(z|x), the distribution of their codes. `model.decode` takes codes and gives
# p(x|z). The standard deviation of p(x|z) is the noise that the model has learned.

# %%
model = run.load()
q = model.encode(table)  # B = 3,000 rows
p = model.decode(q.mean())  # from codes [B, L]
learned = p.distribution.stddev().numpy()[0]  # the same for all rows
pd.DataFrame({"true noise": noise, "learned noise": learned, "ratio": learned / noise}).map("{:.3g}".format)

# %% [markdown]
# ## Codes in a data frame
#
# The mean of q(z|x) is the code of a row. Its standard deviation says how certain the code is. Latents may be turned
# and mirrored without a change of p(x), so a latent is no single cause. But the causes are linear functions of the
# code: R² is the share of a cause that the code explains. The largest possible R² follows from the noise.

# %%
codes = pd.DataFrame(np.hstack([q.mean(), q.stddev()]), columns=["z1", "z2", "sd of z1", "sd of z2"]).round(2)
codes.head(3)

# %%
inputs = np.column_stack([np.ones(len(table)), q.mean()])
fitted = inputs @ np.linalg.lstsq(inputs, causes, rcond=None)[0]
r2 = 1 - np.mean((causes - fitted) ** 2, axis=0) / causes.var(axis=0)
best = 1 - np.diag(np.linalg.inv(np.eye(2) + (weights / noise.to_numpy() ** 2) @ weights.T))
print(f"R² of the causes {r2.round(3)}, the largest possible {best.round(3)}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for i, ax in enumerate(axes):
    ax.scatter(causes[:, i], fitted[:, i], s=2)
    ax.set(xlabel=f"true cause {i + 1}", ylabel="read from the code", aspect="equal")

# %% [markdown]
# ## How certain is a row?
#
# Draw S codes for each row, decode them, and take an interval in the units of the table. The draws have the shape (B,
# S, L), and the decoded draws have the shape (B, S, columns). An honest interval of 90 % holds the value of a perfect
# sensor in about 90 % of the rows. This interval holds a little less: it knows how uncertain the code is, but it
# takes the decoder as certain.

# %%
draws = model.reconstruct(table, eps=rng.normal(size=[len(table), 200, 2]))
low, high = np.quantile(draws, [0.05, 0.95], axis=1)
coverage = pd.Series(((low < signal) & (signal < high)).mean(axis=0), index=unit.index)
print("draws", draws.shape)
print(coverage.map("{:.0%}".format).to_string())

# %% tags=["check"]
assert abs(estimate["mean"] - truth.mean()) < 3 * estimate["standard_error"]
assert np.all(abs(learned / noise - 1) < 0.15)
assert np.all(r2 > best - 0.03)
assert np.all(abs(coverage - 0.9) < 0.05)

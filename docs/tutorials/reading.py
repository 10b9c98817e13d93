# %% [markdown]
# # Reading a run
#
# A run leaves many numbers. This page asks four questions of one run, in the order in which they matter. How tight is
# the bound? Can the samples be trusted? Are the latents used? Is the gradient more signal than noise?

# %%
import numpy as np
import pandas as pd

import vi

# %% [markdown]
# ## The run
#
# The data are 1,797 digits. L is 10 latents, and the estimator takes S = 1 sample for each datum. A batch of B images
# so gives samples of the shape (B, 1, 10).

# %%
common = ["model.latent_dim=10", "trainer.epochs=200", "logger=none"]
run = vi.train(common, directory="runs/plain")

# %% [markdown]
# ## How tight is the bound?
#
# Each evaluation adds a row to `metrics.csv`. Three of its columns are bounds of log p(x), in nats per datum:
#
# - `train/bound` is the value of the estimator, a mean over the steps since the last row.
# - `validation/elbo` is the ELBO of the validation data. It is −nll − kl.
# - `validation/iw_bound` uses 100 samples for each datum, so it lies nearer to log p(x).
#
# Where `train/bound` still rises and `validation/elbo` falls, the model learns its data by heart.

# %%
names = ["train/bound", "validation/elbo", "validation/iw_bound"]
ax = run.metrics.plot(x="epoch", y=names, figsize=(6, 3), ylabel="nats per datum")
_ = ax.set_ylim(run.metrics["validation/elbo"].iloc[3], None)
# %% [markdown]
# More samples tighten the bound. The gap that remains between the ELBO and the last bound tells how far q(z|x) is
# from the true posterior.

# %%
several = {s: run.evaluate(split="validation", samples=s) for s in (1, 10, 100, 1000)}
bounds = pd.Series({s: numbers["iw_bound"]["mean"] for s, numbers in several.items()}, name="iw_bound")
bounds.index.name = "S"
print(bounds.round(2).to_string())

# %% [markdown]
# ## Can the samples be trusted?
#
# The effective sample size says how many of the S samples carry the weight. Where it is near 1, a single sample
# decides, and the bound is looser than it seems. The least over the data matters, not only the median.

# %%
sizes = pd.DataFrame({s: numbers["effective_sample_size"] for s, numbers in several.items()}).T
sizes.index.name = "S"
sizes.round(1)

# %% [markdown]
# ## Are the latents used?
#
# The KL of a latent is what it tells about the datum, in nats. A latent with a KL of 0 has collapsed: its q(z|x) is
# the prior, whatever x is. A larger β makes latents collapse. If it lasts for two evaluations, the run says so once in
# its log. It also says so in the closing table, for its best checkpoint.

# %%
strict = vi.train([*common, "trainer.beta=2"], directory="runs/strict")
print(strict.summary["collapse"])

# %%
kl = pd.DataFrame(
    {f"β = {beta}": np.sort(each.evaluate(split="validation", samples=10)["kl_per_dimension"])[::-1]
     for beta, each in {1: run, 2: strict}.items()}
)  # fmt: skip
kl.plot.bar(figsize=(6, 2.8), xlabel="latents, sorted", ylabel="KL, nats", rot=0)
print(f"active latents: {run.summary['active_units']} with β = 1, {strict.summary['active_units']} with β = 2")

# %% [markdown]
# The loss has β and the bound has not: `train/loss` changes its meaning with β, `validation/elbo` does not. So you
# can compare the two runs by their bounds.

# %%
last = pd.DataFrame({"β = 1": run.metrics.iloc[-1], "β = 2": strict.metrics.iloc[-1]})
last.loc[["train/loss", "train/bound", "train/elbo", "validation/elbo", "validation/iw_bound"]].round(2)

# %% [markdown]
# ## Is the gradient more signal than noise?
#
# Two estimators with the same bound may have gradients with different noise. `run.diagnose` computes the gradient
# many times for the same data. `snr` is the norm of its mean divided by its standard deviation. φ is the group
# `inference`: encoder and posterior.

# %%
table, slopes = run.diagnose(["iwae", "dreg"], samples=[1, 8, 64], repeats=100)
table[table["group"] == "inference"].pivot(index="samples", columns="estimator", values="snr").round(3)

# %% [markdown]
# `iwae` and `dreg` have the same bound. Where many samples share the weight, the signal of `iwae` drowns as S grows,
# and `dreg` keeps its signal. [Evaluation and diagnostics](../evaluation.md) explains every number.

# %% tags=["check"]
assert bounds.is_monotonic_increasing
assert np.all(sizes["minimum"] <= sizes["median"])
assert strict.summary["collapse"] is not None
assert strict.summary["active_units"] < run.summary["active_units"]
assert last.loc["validation/elbo", "β = 2"] < last.loc["validation/elbo", "β = 1"]
snr = table[table["group"] == "inference"].set_index(["estimator", "samples"])["snr"]
assert snr["dreg", 64] > snr["iwae", 64]

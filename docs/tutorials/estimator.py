# %% [markdown]
# # An estimator of your own
#
# You have an idea for a bound of log p(x). Here you write it as a class, see it fail a check, mend it, prove it, and
# compare it with an estimator of vi in a small sweep. The data are digits that come with scikit-learn.

# %%
import pandas as pd

import vi

check_estimator = vi.testing.check_estimator

# %% [markdown]
# ## The idea
#
# The importance-weighted bound averages the weights of S samples. The idea: only the best sample counts. A run must
# be able to find the class again, so write it into a module. `particles.log_weight` has the shape (B, S): S samples
# for each of B data. A bound has the shape (B).

# %%
# %%writefile my_best.py
import math

import tensorflow as tf

from vi.estimators import Estimator


class Best(Estimator):
    """The log weight of the best sample."""

    def bound(self, particles):
        return tf.reduce_max(particles.log_weight, axis=1)  # [B, S] → [B]


class Mended(Estimator):
    """The log weight of the best sample, minus log S."""

    def bound(self, particles):
        return tf.reduce_max(particles.log_weight, axis=1) - math.log(self.samples)


# %% [markdown]
# ## The first check
#
# `check_estimator` runs the class on a model whose log p(x) is known. `vi-check my_best.Best` does the same on the
# command line. A report is a table, and `failures` are the checks that failed.

# %%
from my_best import Best, Mended

for check in check_estimator(Best).failures:
    print(f"{check.name}: {check.value:.3g} must be at most {check.limit:.3g}. {check.meaning}\n")

# %% [markdown]
# The number is sure, and the sentence names the usual mistakes. Here the cause is another: the best of several
# samples is more than their mean, so `Best` lies above log p(x). A model that follows it would learn to fool the
# bound.
#
# ## The proof
#
# The mean of S positive weights is at least the best weight divided by S. So log mean w ≥ max log w − log S. The left
# side is the importance-weighted bound, which is at most log p(x) on average. `Mended` subtracts log S, so it is a
# lower bound too.

# %%
report = check_estimator(Mended)
print("all passed" if report else report)
pd.DataFrame([{"check": c.name, "number": c.value, "limit": c.limit, "passed": c.passed} for c in report.checks[:6]])

# %% [markdown]
# In a test of your own write `vi.testing.check_estimator(Mended).raise_if_failed()`.
#
# ## A small sweep
#
# A bound that is proved need not be good. Train with it and with `iwae`, with two seeds each. Compare runs of
# different estimators by `validation/iw_bound`, which does not depend on the estimator. On the command line this is
# one line: `vi-train -m estimator=my_best.Mended,iwae estimator.samples=10 seed=0,1`.

# %%
short = ["estimator.samples=10", "trainer.epochs=60", "trainer.jit=false", "logger=none"]
runs = {}
for name in ("my_best.Mended", "iwae"):
    for seed in (0, 1):
        runs[name] = vi.train([f"estimator={name}", f"seed={seed}", *short], directory=f"runs/sweep/{name}_{seed}")

# %% [markdown]
# `vi.compare` groups the runs by their settings and averages over seeds, as the command `vi-compare runs/sweep` does.

# %%
import vi.compare

settings = vi.compare.compare(["runs/sweep"]).settings
settings.filter(regex="^validation/(elbo|iw_bound) best").round(2).T

# %% [markdown]
# ## Where does the difference come from?
#
# The importance-weighted bounds of both agree within about one standard error. But the ELBO of `Mended` is some nats
# lower, so its q(z|x) is further from the true posterior.
#
# The gradient of a maximum reaches one sample in each datum and forgets the others. `run.diagnose` measures the
# gradients of both estimators on the model of one run: `snr` is the signal divided by the noise, and φ is the group
# `inference`.

# %%
table, _ = runs["my_best.Mended"].diagnose(["my_best.Mended", "iwae"], samples=[10], repeats=100)
table.pivot(index="group", columns="estimator", values=["snr", "variance"]).round(3)

# %% [markdown]
# `Mended` is right and noisy: a bound for a proof, not for daily work. The next idea costs you the same ten lines.
# [Estimators](../estimators.md#write-your-own) lists what `particles` offers, and how θ and φ can follow different
# losses.

# %% tags=["check"]
assert "expectation" in [check.name for check in check_estimator(Best).failures]
assert report
bounds = {name: settings.filter(like=name, axis=0).iloc[0] for name in ("iwae", "Mended")}
assert abs(bounds["iwae"]["validation/iw_bound best"] - bounds["Mended"]["validation/iw_bound best"]) < 0.4
assert bounds["iwae"]["validation/elbo best"] > bounds["Mended"]["validation/elbo best"] + 2
snr = table[table["group"] == "inference"].set_index("estimator")["snr"]
assert snr["iwae"] > snr["my_best.Mended"]

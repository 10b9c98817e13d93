# %% [markdown]
# # Discrete latents
#
# Some causes are kinds, not numbers. Here a single latent has four categories, and the model must find the four kinds
# of pattern behind noisy bits without labels. You train it in two ways: with `vimco`, which needs no gradient through
# z, and with a relaxation, which has one. NumPy makes the data, so the true log p(x) is known.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import vi

# %% [markdown]
# ## Bits with a known answer
#
# A datum has 5×5 bits. It shows one of four patterns, and each bit is flipped with probability 0.1. The labels
# `y_train` colour pictures. No loss reads them.

# %%
rng = np.random.default_rng(0)
patterns = np.zeros([4, 5, 5])
patterns[0, 2, :] = patterns[1, :, 2] = 1  # a horizontal and a vertical bar
patterns[2] = np.eye(5)
patterns[3] = np.clip(np.eye(5) + np.eye(5)[::-1], 0, 1)  # a cross, which holds the diagonal
kind = rng.integers(0, 4, 4000)
x = np.abs(patterns[kind] - (rng.random([4000, 5, 5]) < 0.1))
np.savez("bits.npz", x_train=x, y_train=kind)

figure, axes = plt.subplots(2, 4, figsize=(5, 2.7), layout="constrained")
for ax, image in zip(axes.flat, [*patterns, *(x[kind == k][0] for k in range(4))], strict=True):
    ax.imshow(image, cmap="gray_r")
    ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("pattern")
_ = axes[1, 0].set_ylabel("datum")
# %% [markdown]
# log p(x) is a sum over the four kinds. Its mean is the best value that any model can reach, up to the accident of
# the draw.

# %%
flipped = np.abs(x[:, None] - patterns).sum(axis=(2, 3))  # [N, 4]
log_joint = flipped * np.log(0.1) + (25 - flipped) * np.log(0.9) - np.log(4)
truth = np.log(np.exp(log_joint).sum(axis=1))  # [N]
print(f"true log p(x): {truth.mean():.2f} nats per datum")

# %% [markdown]
# ## Train without a gradient through z
#
# `model.latent_dim` counts all entries, so one variable with four categories has L = 4. A sample z is one-hot, and S
# samples for each of B data have the shape (B, S, L). A gradient cannot pass through z. `vimco` follows the score of
# q instead, and every sample is the baseline of the others. So it needs S of at least 2.

# %%
common = [
    *("data=arrays", "data.path=bits.npz", "model.latent_dim=4", "prior=categorical", "prior.categories=4"),
    *("encoder.hidden=[32]", "decoder.hidden=[]", "optimizer.learning_rate=0.01", "trainer.epochs=40", "logger=none"),
]
vimco = vi.train(
    [*common, "posterior=categorical", "posterior.categories=4", "estimator=vimco", "estimator.samples=5"],
    directory="runs/vimco",
)

# %% [markdown]
# ## Train with a relaxation
#
# `gumbel_softmax` trains with points between the categories, and gradients pass through them. A low temperature is
# nearer to one-hot, but has noisier gradients. `train/bound` then belongs to the relaxed model. Validation uses
# one-hot samples, so compare the two runs by `validation/iw_bound` alone.

# %%
relaxed = vi.train(
    [*common, "posterior=gumbel_softmax", "posterior.categories=4", "posterior.temperature=0.7"],
    directory="runs/relaxed",
)

# %%
columns = ["train/bound", "validation/elbo", "validation/iw_bound"]
last = pd.DataFrame({"vimco": vimco.metrics.iloc[-1], "relaxed": relaxed.metrics.iloc[-1]}).T
last[columns].astype(float).round(2)

# %% [markdown]
# ## Are the kinds found?
#
# The mean of q(z|x) holds the probabilities of the four categories, [B, 4]. A table of the true kinds against the
# most probable categories has one large number in each row, if the model has found the kinds. Which category is which
# kind is decided by chance.

# %%
model = vimco.load()
probabilities = model.encode(x).mean()
found = probabilities.argmax(axis=1)
pd.crosstab(pd.Series(kind, name="true kind"), pd.Series(found, name="category"))

# %% [markdown]
# The decoder turns each category into its pattern: probabilities of bits, near 0.1 and 0.9.

# %%
names = model.decode(np.eye(4, dtype=np.float32)).mean()  # [4, 5, 5]
figure, axes = plt.subplots(1, 4, figsize=(5, 1.5), layout="constrained")
for k, ax in enumerate(axes):
    ax.imshow(names[k], cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[], title=f"category {k}")

# %% [markdown]
# ## How sure is the model?
#
# The cross holds the diagonal, so a noisy cross can look like a diagonal. Where q is unsure, the kinds truly overlap.
# The exact p(z|x) follows from Bayes' theorem. Compare the probability that each gives to its best guess.

# %%
exact = np.exp(log_joint - truth[:, None])
right = np.array([np.bincount(kind[found == k], minlength=4).argmax() for k in range(4)])  # category → kind
accuracy = (right[found] == kind).mean()
print(f"accuracy {accuracy:.3f}, of Bayes' theorem {(exact.argmax(axis=1) == kind).mean():.3f}")
print(f"mean confidence {probabilities.max(axis=1).mean():.3f}, of Bayes' theorem {exact.max(axis=1).mean():.3f}")

# %% tags=["check"]
bound = last["validation/iw_bound"].astype(float)
assert np.all(abs(bound - truth.mean()) < 0.35)
assert sorted(right) == [0, 1, 2, 3]
assert accuracy > (exact.argmax(axis=1) == kind).mean() - 0.02
assert abs(probabilities.max(axis=1).mean() - exact.max(axis=1).mean()) < 0.02

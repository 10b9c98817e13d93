# %% [markdown]
# # Your own images
#
# Here you save images as a file, train a model on them, and use it in four ways: compress, reconstruct, generate, and
# find images that do not belong. The images are the handwritten digits of scikit-learn, so nothing is downloaded. Put
# your own array in their place.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.special import logsumexp
from sklearn.datasets import load_digits

import vi

# %% [markdown]
# ## From arrays to a file
#
# `x_train` holds N images as `[N, H, W]` or `[N, H, W, C]`, in any numeric type. The labels `y_train` are for
# pictures and probes; no loss reads them. vi sets a part of `x_train` aside for validation. `x_test` is read by
# `vi-evaluate` alone.

# %%
digits = load_digits()
images = digits.images.astype(np.uint8)[..., None]  # grey levels 0 … 16, [1797, 8, 8, 1]
order = np.random.default_rng(0).permutation(len(images))
train, test = order[:1500], order[1500:]
np.savez(
    "images.npz",
    **{"x_train": images[train], "y_train": digits.target[train]},
    **{"x_test": images[test], "y_test": digits.target[test]},
)

# %% [markdown]
# ## Train
#
# `data.scale` divides the grey levels, so that they lie in [0, 1]. Grey levels are real numbers, so the likelihood is
# Gaussian. Its standard deviation is learned: one number for all pixels. `encoder=conv decoder=conv` would choose
# convolutions, which suit larger images.

# %%
run = vi.train(
    [
        *("data=arrays", "data.path=images.npz", "data.scale=16", "data.validation=0.2"),
        *("likelihood=gaussian", "likelihood.scale=shared", "model.latent_dim=8"),
        *("encoder.hidden=[128]", "decoder.hidden=[128]", "trainer.epochs=200", "logger=none"),
    ],
    directory="runs/images",
)
run

# %% [markdown]
# A bound of real data may be positive: it is the log of a density, and a density may exceed 1. More nats are better,
# whatever their sign. The numbers belong to images in [0, 1]. With another `data.scale` they would differ.
#
# ## Compress and reconstruct
#
# The model takes x as in training, divided by `data.scale`. B images become q(z|x). Its means are the codes, `[B,
# L]`: 64 pixels become 8 numbers.

# %%
model = run.load()
x = images[test] / 16  # [297, 8, 8, 1]
q = model.encode(x)
print("codes", q.mean().shape, "uncertainty", q.stddev().mean(axis=0).round(2))
again = model.decode(q.mean()).mean()  # E[x|z], [297, 8, 8, 1]
print(f"error of a pixel: {np.sqrt(np.mean((x - again) ** 2)):.3f}, of the mean image {x.std(axis=0).mean():.3f}")


# %%
def show(rows):
    """Images in rows."""
    _, axes = plt.subplots(len(rows), len(rows[0]), figsize=(7, 0.8 * len(rows)), layout="constrained")
    for ax, image in zip(axes.flat, np.concatenate(rows), strict=True):
        ax.imshow(image[..., 0], cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])


show([x[:10], again[:10]])  # above the images, below their reconstructions

# %% [markdown]
# ## Generate
#
# `generate` draws codes from the prior and decodes them. The images are means, so they have no pixel noise.

# %%
show([model.generate(10, seed=1), model.generate(10, seed=2)])

# %% [markdown]
# ## Images that do not belong
#
# An image that the model has not learned has a low log p(x). The importance-weighted bound of each image takes four
# lines. Follow the shapes: S samples for each of B images are z `[B, S, L]`, each sample has a log weight `[B, S]`,
# and the log of the mean weight is one number for each image, `[B]`.


# %%
def log_density(x, samples=100):
    """The importance-weighted bound of log p(x), [B]."""
    q = model.encode(x.astype(np.float32))
    z, log_q = q.sample(np.random.default_rng(0).normal(size=[len(x), samples, 8]))  # [B, S, L], [B, S]
    p = model.decode(z)  # of images, [B, S, 8, 8, 1]
    log_weight = p.log_prob(x.astype(np.float32)[:, None]) + model.prior.log_prob(z) - log_q  # [B, S]
    return logsumexp(log_weight, axis=1) - np.log(samples)


strange = np.rot90(x, axes=(1, 2))  # the same images, lying on their sides
figure, ax = plt.subplots(figsize=(6, 2.5), layout="constrained")
for name, group in {"upright": x, "lying": strange}.items():
    ax.hist(log_density(group), bins=40, alpha=0.6, label=name)
ax.set(xlabel="bound of log p(x), nats", ylabel="images")
_ = ax.legend()
# %% [markdown]
# `run.evaluate` gives the mean of this bound on the test images. It also tells how well a classifier of ten nearest
# neighbours reads the digit from the code.

# %%
numbers = run.evaluate(samples=100)
print(f"bound {numbers['iw_bound']['mean']:.1f} ± {numbers['iw_bound']['standard_error']:.1f} nats per image")
print(f"by hand {log_density(x).mean():.1f}, lying images {log_density(strange).mean():.1f}")
print(f"accuracy of 10 nearest neighbours {numbers['knn_accuracy']:.2f}")

# %% tags=["check"]
assert abs(log_density(x).mean() - numbers["iw_bound"]["mean"]) < 0.5
assert np.mean(log_density(x) > np.quantile(log_density(strange), 0.9)) > 0.7
assert np.sqrt(np.mean((x - again) ** 2)) < 0.6 * x.std(axis=0).mean()
assert numbers["knn_accuracy"] > 0.85

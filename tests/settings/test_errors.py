"""Every mistake is answered by one sentence: what was typed, or is in the files, and the answer."""

import contextlib
import io
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra

import vi
from tests.support.runs import TINY, eagerly, leave_no_pictures
from vi.commands.compare import main as compare
from vi.commands.directories import Directories
from vi.commands.train import main as train
from vi.runs import directory as directories

# What Hydra composes: groups, choices, keys, syntax, interpolations, options.
COMPOSITION = {
    "nope=mlp": "nope: there is no such key.",
    "lr=0.1": "lr: there is no such key; did you mean optimizer.learning_rate?",
    "learning_rate=0.1": "learning_rate: there is no such key; did you mean optimizer.learning_rate?",
    "trainer.lr=0.1": "trainer.lr: there is no such key; did you mean optimizer.learning_rate?",
    "binarization=none": "binarization: there is no such key; did you mean data.binarization?",
    "samples=3": "samples: there is no such key; did you mean estimator.samples?",
    "kernel_size=3": "kernel_size: there is no such key; did you mean encoder.kernel_size or decoder.kernel_size?",
    "iwae": "iwae: is not of the form KEY=VALUE; did you mean estimator=iwae?",
    "conv": "conv: is not of the form KEY=VALUE; did you mean encoder=conv or decoder=conv?",
    "estimator": ("estimator: is a group; choose with estimator=CHOICE; vi-train --help estimator lists the choices."),
    "data=my.csv": "data=my.csv: is the name of a file; write data=arrays data.path=my.csv.",
    "'data=of mine/x.npz'": ("data=of mine/x.npz: is the name of a file; write data=arrays 'data.path=of mine/x.npz'."),
    "estimatr=multi_sample": "estimatr: there is no such key; did you mean estimator?",
    "estimator=multisample": (
        "estimator=multisample: there is no such choice; did you mean multi_sample? Allowed: analytic_kl, "
    ),
    "decoder=custom decoder._target_=my.narrow_decoder": (
        "the decoder gives outputs of shape (7,) for each z, but the likelihood Bernoulli needs (8, 8, 1)."
    ),
    "schedule=vi.estimators.IWAE": "schedule._target_=vi.estimators.IWAE: gives a IWAE, but must give a keras",
    "decoder=none": "the decoder gives outputs of shape (2,) for each z, but the likelihood Bernoulli needs (8, 8, 1).",
    "posterior=deterministic": (
        "the posterior Deterministic is a point mass: it has neither a density nor a KL; use estimator=reconstruction."
    ),
    "posterior=location_scale": (
        "the KL of posterior LocationScale to prior StandardNormal has no closed form; use estimator=monte_carlo_kl"
    ),
    "estimator/nope=mlp": "estimator/nope: there is no such key; did you mean estimator?",
    "trainer.epoch=3": "trainer.epoch: there is no such key; did you mean trainer.epochs?",
    "+trainer.epoch=3": "trainer.epoch: there is no such key; did you mean trainer.epochs?",
    "estimator=HalfHalf": (
        "estimator=HalfHalf: there is no such choice; a class of your own is named with its module, "
        "estimator=my_module.HalfHalf. Allowed: analytic_kl, "
    ),
    "experiment=nope": "experiment=nope: there is no such choice. Allowed: bornschein2015_helmholtz, burda2015_iwae, ",
    "experiment=": "experiment=: there is no such choice. Allowed: bornschein2015_helmholtz, burda2015_iwae, ",
    "trainer=[a,b]": "trainer=b: there is no such choice.",
    "debug=true": "debug=true: must be GROUP=CHOICE, a name; vi-train --help shows all.",
    "=3": "=3: must be GROUP=CHOICE, a name; vi-train --help shows all.",
    "+trainer.epochs=3": "+trainer.epochs: there is such a key already; leave out the +.",
    "+estimator=multi_sample": "+estimator: it is chosen already; leave out the +.",
    "+trainer=default": "+trainer: it is chosen already; leave out the +.",
    "~nope": "~nope: there is nothing to take out.",
    "~data=mnist": "~data=mnist: there is nothing to take out.",
    "~seed=3": "~seed=3: seed is 0; ~seed takes it out whatever it is.",
    "~trainer.epochs": "trainer.epochs is not set: must be a finite number above 0.",
    "~estimator": "estimator=null: must be one of the group's choices, or custom.",
    "trainer.epochs": "trainer.epochs: is not of the form KEY=VALUE; quote a value with spaces, commas or braces.",
    "name=a b": "b: is not of the form KEY=VALUE; quote a value with spaces, commas or braces.",
    "encoder.hidden=[3": (
        "encoder.hidden=[3: cannot be read; close its brackets, and quote a value with spaces, commas or braces."
    ),
    "'trainer.beta={_target_: a'": (
        "trainer.beta={_target_: a: cannot be read; close its brackets, and quote a value with spaces, commas or "
        "braces."
    ),
    "name=\\'a": "name='a: cannot be read; close its brackets, and quote a value with spaces, commas or braces.",
    "estimator.samples=1,2": "estimator.samples=1,2: holds several values; add -m to run one job for each, ",
    "seed=0,1": "seed=0,1: holds several values; add -m to run one job for each, or brackets to give a list.",
    "'seed=choice(1,2)'": (
        "seed=choice(1,2): holds several values; add -m to run one job for each, or brackets to give a list."
    ),
    "-m 'seed=range(a)'": (
        "seed=range(a): cannot be read; close its brackets, and quote a value with spaces, commas or braces."
    ),
    "-m seed=1,": "seed=1,: cannot be read; close its brackets, and quote a value with spaces, commas or braces.",
    "model.latent_dim=${nope}": "model.latent_dim=${nope}: there is no key nope.",
    "'model.latent_dim=${nope:3}'": "model.latent_dim: Unsupported interpolation type nope.",
    "'model.latent_dim=${model.latent_dim}'": "model.latent_dim: Recursive interpolation detected.",
    "'model.latent_dim=${oc.env:NOPE}'": "model.latent_dim: Environment variable 'NOPE' not found.",
    "name=${nope}": "${nope}: there is no key nope.",
    "hydra.nope=3": "hydra.nope: there is no such key.",
    "hydra.mode=NOPE": "hydra.mode=NOPE: Invalid value 'NOPE', expected one of [RUN, MULTIRUN].",
    "hydra/launcher=nope": "hydra/launcher=nope: there is no such choice. Allowed: basic, joblib.",
    "hydra/launcher=joblib hydra.launcher.n_jobs=two": (
        "hydra.launcher.n_jobs=two: Value 'two' of type 'str' could not be converted to Integer."
    ),
    "--nope": "unrecognized arguments: --nope; see vi-train --help.",
    "--config-dir": "argument --config-dir/-cd: expected one argument; see vi-train --help.",
    "--config-dir nope": "--config-dir={place}/nope: there is no such directory.",
    "--config-dir conf experiment=mine": "trainer.epoch: there is no such key; did you mean trainer.epochs?",
    "--config-dir conf experiment=broken": (
        "while parsing a flow node expected the node content, but found '<stream end>' in "
        '"{place}/conf/experiment/broken.yaml", line 2, column 1'
    ),
    "--config-dir conf experiment=elsewhere": (
        "experiment.trainer.epochs: there is no such key; did you mean trainer.epochs?"
    ),
    "--config-name nope": "--config-name=nope: there is no such config; leave it out.",
    "--config-path nope": "--config-path: vi.commands.nope holds no config; leave it out, --config-dir adds configs.",
    "--cfg nope": (
        "argument --cfg/-c: invalid choice: 'nope' (choose from 'job', 'hydra', 'all'); see vi-train --help."
    ),
    "-m --cfg job": "Only one of --run, --multirun, --cfg, --info and --shell_completion can be specified",
    "seed=1 --config-dir conf nope=2": "nope: there is no such key.",
    "-m estimator=nope,analytic_kl": ("estimator=nope: there is no such choice. Allowed: analytic_kl, "),
    "-m estimator=glob(nope*)": "outputs/multirun/",
    "sweep.resume=sweep": "sweep.resume=sweep: resumes a multirun; add -m.",
}
# Values, answered before TensorFlow is imported.
VALUES = {
    "estimator=iwae estimator.free_bits=1": (
        "estimator.free_bits: vi.estimators.IWAE has no such argument; it takes samples."
    ),
    "estimator.sample=2": (
        "estimator.sample: vi.estimators.AnalyticKL has no such argument; did you mean estimator.samples?"
    ),
    "+estimator.power=2": (
        "estimator.power: vi.estimators.AnalyticKL has no such argument; it takes samples, free_bits, groups, capacity."
    ),
    "+data.power=2": (
        "data.power: vi.data.digits has no such argument; it takes validation, scale, binarization, seed, standardize."
    ),
    "+optimizer.power=2": "optimizer.power: keras.optimizers.Adam has no such argument; it takes learning_rate, beta_1",
    "optimizer.inference.rho=0.9": (
        "optimizer.inference.rho: keras.optimizers.Adam has no such argument; it takes learning_rate, beta_1, "
    ),
    "optimizer.inference=3": "optimizer.inference=3: must hold settings, optimizer.inference.KEY=VALUE.",
    "posterior.latent_dim=3": (
        "posterior.latent_dim: vi.posteriors.DiagonalGaussian has no such argument; it takes scale."
    ),
    "likelihood=gaussian likelihood.scale=3": ("likelihood.scale=3: must be fixed, shared, per_dimension or output."),
    "trainer.update_every=3": ("trainer.update_every=3: must be a mapping of settings."),
    "trainer.update_every.inference=0": "trainer.update_every.inference=0: must be a whole number of at least 1.",
    "'trainer.beta={_target_: keras.optimizers.schedules.PolynomialDecay}'": (
        "trainer.beta.initial_learning_rate is not set; keras.optimizers.schedules.PolynomialDecay needs it: "
        "trainer.beta.initial_learning_rate=VALUE."
    ),
    "warmup=cyclical trainer.beta.rise=2": ("trainer.beta.rise=2: must be a finite number above 0 and at most 1."),
    "schedule=cosin": "schedule=cosin: there is no such choice; did you mean cosine? Allowed: cosine, custom, ",
    "schedule=cosine schedule.decay_epochs=-1": "schedule.decay_epochs=-1: must be a finite number above 0.",
    "schedule=stages schedule.boundary_epochs=[3,2]": (
        "schedule.boundary_epochs=[3, 2]: must be a list of positive epochs that rises, such as [20, 40]."
    ),
    "schedule=cosine schedule.decay_epochs=9 schedule.decay_steps=5": (
        "schedule.decay_epochs=9 and schedule.decay_steps=5: only one of them can be given; ~schedule.decay_epochs "
        "leaves out one."
    ),
    "schedule=cosine schedule.boundary_epochs=[1]": (
        "schedule.boundary_epochs: keras.optimizers.schedules.CosineDecay has no such argument; it takes "
    ),
    "schedule.decay_epochs=3": "schedule={'decay_epochs': 3}: needs a choice, such as schedule=cosine.",
    "schedule=custom": "schedule=custom: needs schedule._target_=DOTTED.PATH of a class or function of your own.",
    "schedule=nope.Thing": "schedule._target_=nope.Thing: there is no module nope on Python's path or in the ",
    "schedule=cosine optimizer=burda2015_short": (
        "schedule=keras.optimizers.schedules.CosineDecay: optimizer.learning_rate follows a schedule of its own already"
    ),
    "schedule=cosine ~optimizer.learning_rate": (
        "schedule=keras.optimizers.schedules.CosineDecay: needs optimizer.learning_rate=NUMBER."
    ),
    "'optimizer.learning_rate={_target_: nope.Thing}'": (
        "optimizer.learning_rate._target_=nope.Thing: there is no module nope on Python's path"
    ),
    "estimator=custom estimator._target_=nope.Thing": "estimator._target_=nope.Thing: there is no module nope on ",
    "estimator=custom estimator._target_=vi.nope.Thing": "estimator._target_=vi.nope.Thing: vi has no nope.",
    "estimator=custom estimator._target_=vi.estimators.AnalyticKl": (
        "estimator._target_=vi.estimators.AnalyticKl: vi.estimators has no AnalyticKl; did you mean AnalyticKL?"
    ),
    "estimator=custom estimator._target_=vi.estimators": (
        "estimator._target_=vi.estimators: must be a class or function, but is of type module."
    ),
    "estimator=custom estimator._target_=my.NUMBER": (
        "estimator._target_=my.NUMBER: must be a class or function, but is of type int."
    ),
    "estimator=custom estimator._target_=my_syntax.Thing": (
        "estimator._target_=my_syntax.Thing: SyntaxError in my_syntax: invalid syntax (my_syntax.py, line 1)"
    ),
    "estimator=my.Baad": "estimator=my.Baad: my has no Baad; did you mean Bad?",
    "estimator=my.Bad estimator.samples=0": "estimator.samples=0: must be a whole number of at least 1.",
    "estimator=my.Bad estimator.power=1": "estimator.power: my.Bad has no such argument; it takes samples.",
    "encoder=my.decoder": ("encoder=my.decoder: must take the argument event_shape, which every encoder is given."),
    "decoder=my.decoder decoder.width=3": "decoder.width: my.decoder has no such argument; it takes none.",
    "trainer.epochs=-3": "trainer.epochs=-3: must be a finite number above 0.",
    "trainer.epochs=inf": "trainer.epochs=inf: must be a finite number above 0.",
    "trainer.epochs=": "trainer.epochs=: must be a finite number above 0.",
    "trainer.epochs=[1,2]": "trainer.epochs=[1, 2]: must be a finite number above 0.",
    "decoder.hidden=${encoder.hidden} seed=-2": "seed=-2: must be a whole number from 0 to 2147483647.",
    "seed=1.5": "seed=1.5: must be a whole number from 0 to 2147483647.",
    "seed=-1": "seed=-1: must be a whole number from 0 to 2147483647.",
    "model.latent_dim=two": "model.latent_dim=two: must be a whole number of at least 1.",
    "model.latent_dim=[2]": "model.latent_dim=[2]: must be a whole number of at least 1.",
    "encoder.hidden=3": "encoder.hidden=3: must be a list of positive whole numbers, such as [256].",
    "encoder.hidden=[3,a]": "encoder.hidden=[3, 'a']: must be a list of positive whole numbers, such as [256].",
    "encoder=conv encoder.filters=[]": (
        "encoder.filters=[]: must be a list of at least one positive whole number, such as [256]."
    ),
    "encoder.activation=rleu": "encoder.activation=rleu: must be a Keras activation, one of celu, elu, exponential, ",
    "'trainer.beta={a: 3}'": (
        "trainer.beta={'a': 3}: must be a finite number of at least 0, or a Keras schedule with its _target_."
    ),
    "trainer.jit=yes": "trainer.jit=yes: must be auto, true or false.",
    "trainer.matmul=float16": "trainer.matmul=float16: must be float32, tf32 or bfloat16.",
    "trainer.matmul=bfloat16 trainer.precision=float64": ("trainer.matmul=bfloat16: needs trainer.precision=float32."),
    "trainer.matmul=tf32 trainer.jit=false": (
        "trainer.matmul=tf32: needs trainer.jit=true or auto, so that evaluation stays in float32."
    ),
    "trainer.noise=frozen": "trainer.noise=frozen: must be fresh or fixed.",
    "optimizer.inference.learning_rate=0": (
        "optimizer.inference.learning_rate=0: must be a finite number above 0, or a Keras schedule with its _target_."
    ),
    "data.validation=1.5": (
        "data.validation=1.5: must be a fraction between 0 and 1, or a whole number of at least 1, or given or "
        "test, or null."
    ),
    "data.path=3 data=mnist": "data.path=3: must be a path, or null.",
    "logger.wandb.mode=on logger=wandb": "logger.wandb.mode=on: must be offline, online or disabled.",
    "model=3": "model=3: must hold model.latent_dim, model.output_bias.",
    "data=arrays": "data.path is not set; give it on the command line, data.path=VALUE.",
    "estimator=custom": "estimator=custom: needs estimator._target_=DOTTED.PATH of a class or function of your own.",
    "'name=\"a b\"'": (
        "name=a b: must be a name of letters, digits, hyphens, underscores and dots, which does not begin with a dot."
    ),
    "name=.hidden": (
        "name=.hidden: must be a name of letters, digits, hyphens, underscores and dots, which does not begin with "
        "a dot."
    ),
    "init_from=3.5": "init_from=3.5: must be a directory, or null.",
}
# What the dotted paths name, and what it does when it is called.
INSTANTIATION = {
    "estimator=custom estimator._target_=nope": (
        "estimator._target_=nope: must be the dotted path of a class or function, such as my_module.MyClass."
    ),
    "estimator=custom estimator._target_=3": (
        "estimator._target_=3: must be the dotted path of a class or function, such as my_module.MyClass."
    ),
    "estimator=custom estimator._target_=a..b": (
        "estimator._target_=a..b: must be the dotted path of a class or function, such as my_module.MyClass."
    ),
    "estimator=custom estimator._target_=my.Thing": (
        "estimator._target_=my.Thing: gives a Thing, but must give a vi.estimators.Estimator."
    ),
    "estimator=custom estimator._target_=my.Abstract": (
        "estimator._target_=my.Abstract: TypeError: Can't instantiate abstract class Abstract with abstract method "
        "bound"
    ),
    "estimator=custom estimator._target_=my.raises": "estimator._target_=my.raises: ValueError: samples must be even",
    "estimator=custom estimator._target_=my_import.Thing": (
        "estimator._target_=my_import.Thing: there is no module nothing_like_it on Python's path"
    ),
    "estimator=custom estimator._target_=my_value.Thing": (
        "estimator._target_=my_value.Thing: ValueError in my_value: a b"
    ),
    "data=custom data._target_=my.data": "data._target_=my.data: gives a dict, but must give a vi.data.Dataset.",
    "'trainer.beta={_target_: keras.optimizers.SGD}'": (
        "trainer.beta._target_=keras.optimizers.SGD: gives a SGD, but must give a "
        "keras.src.optimizers.schedules.learning_rate_schedule.LearningRateSchedule."
    ),
}
# What a class refuses in its own terms; the command names the component.
REFUSED = {
    "estimator=renyi estimator.alpha=1": (
        "estimator.alpha=1: must be max, or a number at least 0.001 away from 1; at 1 the bound is the ELBO, as "
        "MonteCarloKL gives it."
    ),
    "estimator=chi_upper_bound estimator.form=exponential": (
        "estimator.offset=null: must be set for form=exponential, "
    ),
    "posterior=categorical prior=categorical estimator=vimco posterior.categories=3": (
        "posterior.categories=3: must be at least 2 and divide latent_dim=2, because each variable takes a latent for "
        "each category; with latent_dim=6 there are two variables of 3 categories."
    ),
    "encoder=conv encoder.padding=valid encoder.kernel_size=9": (
        "encoder.kernel_size=9: exceeds the 8×8 pixels that are left of an image of 8×8, and padding=valid adds none."
    ),
}
# What does not fit together.
PAIRS = {
    "data=none": "data=none: there are no data to describe, so likelihood=none must be chosen, too.",
    "posterior=custom posterior._target_=my.Flow": (
        "the KL of posterior Flow to prior StandardNormal has no closed form; use estimator=monte_carlo_kl, or, if "
        "the posterior has no density, an estimator that needs no density."
    ),
    "posterior=custom posterior._target_=my.Implicit estimator=monte_carlo_kl": (
        "the posterior Implicit is implicit: it has no density, so there are no log weights; use an estimator that "
        "needs no density, such as an adversarial one."
    ),
    "posterior=custom posterior._target_=my.Score": (
        "AnalyticKL follows gradients through z, but the posterior Score is not reparameterized; use "
        "estimator=vimco, score_function, reweighted_wake_sleep or wake_sleep, or your own estimator without a path "
        "(pathwise = False)."
    ),
    "data=arrays data.path=flat.npz": (
        "flat.npz: x_train[0, 1] = -0.132105 lies outside [0, scale=1], as likelihood Bernoulli "
        "needs; use a likelihood of real data, such as gaussian, without binarization."
    ),
    "data.binarization=none data.scale=1": (
        "scikit-learn's digits: x_train[0, 0, 2, 0] = 5 lies outside [0, scale=1], as likelihood Bernoulli "
        "needs; set the scale of the data, or use a likelihood of real data, such as gaussian, without binarization."
    ),
    "data=arrays data.path=flat.npz encoder=conv": (
        "conv_encoder needs data of shape (height, width, channels), these are of shape (6,); give images an axis "
        "of channels, or use mlp_encoder."
    ),
    "data=arrays data.path=flat.npz decoder=conv likelihood=gaussian": (
        "conv_decoder needs data of shape (height, width, channels), these are of shape (6,); give images an axis "
        "of channels, or use mlp_decoder."
    ),
    "decoder=custom decoder._target_=my.decoder model.output_bias=data_mean": (
        "model.output_bias=data_mean needs a decoder whose last layer with weights is named 'output'."
    ),
    "trainer.batch_size=5000": "trainer.batch_size=5000: exceeds the 1198 training data that are not held out.",
    "data.validation=5000": (
        "data.validation=5000: holds out 5000 of the 1497 training data; at least 1 must be held out, and 1 be "
        "left to train on."
    ),
    "data.validation=0.00001": (
        "data.validation=1e-05: holds out 0 of the 1497 training data; at least 1 must be held out, and 1 be left "
        "to train on."
    ),
}
# Files of data.
DATA = {
    "data=arrays data.path=nope.npz": (
        "data.path=nope.npz: there is no such file in {place}; an .npz, .npy, .csv or .parquet file is needed."
    ),
    "data=arrays data.path=folder": "data.path=folder: is a directory; an .npz, .npy, .csv or .parquet file is needed.",
    "data=arrays data.path=cut.npz": (
        "data.path=cut.npz: cannot be read as an .npz file; it has another format, or is damaged."
    ),
    "data=arrays data.path=changed.npz": (
        "changed.npz: array x_train cannot be read: Bad CRC-32 for file 'x_train.npy'."
    ),
    "data=arrays data.path=text.npz": (
        "data.path=text.npz: cannot be read as an .npz file; it has another format, or is damaged."
    ),
    "data=arrays data.path=text.npy": (
        "data.path=text.npy: cannot be read as an .npy file of numbers (the magic string is not correct; "
    ),
    "data=arrays data.path=cut.npy": ("data.path=cut.npy: cannot be read as an .npy file of numbers (it claims"),
    "data=arrays data.path=other.npz": "other.npz: holds no array x_train; it holds a, b.",
    "data=arrays data.path=objects.npz": (
        "objects.npz: array x_train cannot be read: Object arrays cannot be loaded when allow_pickle=False."
    ),
    "data=arrays data.path=strings.npz": (
        "strings.npz: x_train has dtype <U1, but must be of real numbers of at most 64 bits."
    ),
    "data=arrays data.path=nan.npz": "nan.npz: x_train[7, 3] = nan is not finite.",
    "data=arrays data.path=labels.npz": (
        "labels.npz: y_train has shape (39,), but must be (40,): one number for each datum."
    ),
    "data=arrays data.path=weights.npz": "weights.npz: weight_train[0] = -1 is negative.",
    "data=arrays data.path=one_axis.npz": (
        "one_axis.npz: x_train has shape (40,), but must be [N, *event], each above 0."
    ),
    "data=arrays data.path=none.npz": ("none.npz: x_train has shape (0, 6), but must be [N, *event], each above 0."),
    "data=arrays data.path=shapes.npz": ("shapes.npz: one datum of x_validation has shape (5,), of x_train (6,)."),
    "data=arrays data.path=flat.npz data.validation=given": (
        "flat.npz: holds no array x_validation, which validation=given needs; it holds x_train."
    ),
    "data=arrays data.path=flat.npz data.validation=test": ("flat.npz: holds no array x_test; it holds x_train."),
    "data=arrays data.path=flat.npz data.binarization=dynamic": (
        "flat.npz: x_train[0, 1] = -0.132105 lies outside [0, scale=1], as binarization needs "
        "probabilities; use a likelihood of real data, such as gaussian, without binarization."
    ),
    "data=mnist data.path=nope": "data.path=nope: there is no such folder with mnist.npz in {place}.",
    "data=mnist data.path=folder": "data.path=folder: holds no mnist.npz in {place}.",
    "data=mnist data.path=other.npz": "other.npz: holds no array x_train; it holds nothing that is read.",
    "data=omniglot": (
        "data.path=null: must be the folder of omniglot28_resized.npz, unless the environment variable VI_DATA_DIR "
        "names this folder."
    ),
}
# Directories of runs and sweeps: gone on with, started from, written to.
RUNS = {
    "resume=nope": "resume=nope: holds no config.yaml, so it is not the directory of a run.",
    "resume=folder": "resume=folder: holds no config.yaml, so it is not the directory of a run.",
    "resume=": "resume=.: holds no config.yaml, so it is not the directory of a run.",
    "resume=cut": "resume=cut: its config.yaml is not the config of a run.",
    "resume=empty": "resume=empty: its config.yaml is not the config of a run.",
    "resume=binary": (
        "resume=binary: its config.yaml is damaged: 'utf-8' codec can't decode byte 0xff in position 0: invalid "
        "start byte."
    ),
    "resume=list": "resume=list: its config.yaml is not the config of a run.",
    "resume=yaml": (
        "resume=yaml: its config.yaml is damaged: while parsing a flow node expected the node content, but found "
        "'<stream end>' in \"{place}/yaml/config.yaml\", line 1, column 5."
    ),
    "resume=value": "resume=value: in its config.yaml, trainer.batch_size=-1: must be a whole number of at least 1.",
    "resume=key": "resume=key: in its config.yaml, trainer.nope: there is no such key; did you mean trainer.noise?",
    "resume=damaged": "damaged/checkpoints: holds no last checkpoint that can be read.",
    "resume=shape": (
        "shape/checkpoints/step_000000012: a variable of model (dense_1/kernel) has shape (4, 2) there, and (4, 3) "
        "here."
    ),
    "resume=used": "used: another process is at work in it; wait until it has ended.",
    "resume=run seed=1": (
        "seed=1: the run in run has seed=0; only trainer.epochs, trainer.profile, data.path and logger may change when "
        "it is resumed; init_from=run instead of resume begins a new run from its weights."
    ),
    "resume=run estimator=nope": "estimator=nope: the run in run has estimator=analytic_kl; only ",
    "resume=run trainer.epoch=9": "trainer.epoch: there is no such key; did you mean trainer.epochs?",
    "resume=run ~trainer": "~trainer: nothing can be taken out of a run that is resumed.",
    "resume=run model.latent_dim=${nope}": "model.latent_dim=${nope}: there is no key nope.",
    "resume=run trainer.epochs=10,20": (
        "trainer.epochs=10,20: holds several values, but one run is resumed; a list needs brackets."
    ),
    "resume=run trainer.epochs=0.5": "trainer.epochs=0.5: the run has done 1.00167 already.",
    "resume=run hydra.run.dir=other": ("hydra.run.dir=other: a resumed run stays in its directory; leave this out."),
    "-m resume=run": "resume=run: resumes a single run; with -m, use sweep.resume=SWEEP_DIR.",
    "init_from=nope": "init_from=nope: holds no config.yaml, so it is not the directory of a run.",
    "init_from=cut": "init_from=cut: its config.yaml is not the config of a run.",
    "init_from=damaged": "init_from=damaged: damaged/checkpoints: holds no best checkpoint that can be read.",
    "init_from=run encoder.hidden=[4] decoder.hidden=[4] model.latent_dim=5": (
        "init_from=run: run/checkpoints/step_000000012: a variable of model (dense_1/kernel) has shape (4, 2) "
        "there, and (4, 5) here."
    ),
    "init_from=run 'encoder.hidden=[4,4]'": (
        "init_from=run: run/checkpoints/step_000000012: holds 10 variables of model, not 14 as are needed here."
    ),
    "-m sweep.resume=nope seed=0,1": "sweep.resume=nope: must be the directory of a multirun, and holds no job.",
    "-m sweep.resume=text.npz seed=0,1": (
        "sweep.resume=text.npz: must be the directory of a multirun, and holds no job."
    ),
    "-m sweep.resume=folder seed=0,1": "sweep.resume=folder: must be the directory of a multirun, and holds no job.",
    "-m sweep.resume=sweep seed=5,6": (
        "sweep.resume=sweep: give the same overrides again; encoder.hidden=[256, 128]: the run in sweep/0 has "
    ),
    "hydra.run.dir=run": "run: already holds a run; choose another directory, or resume=run.",
    "hydra.run.dir=text.npz": "text.npz: must be a directory, but a file is in its way.",
    "hydra.run.dir=text.npz/run": "text.npz/run: must be a directory, but a file is in its way.",
    "-m hydra.sweep.dir=text.npz/sweep": "text.npz/sweep: must be a directory, but a file is in its way.",
}

JUDGED_EARLY = ("estimator=multisample", "resume=folder", "resume=cut", "resume=value", "resume=run seed=1")
COMMAND_LINES = {**COMPOSITION, **INSTANTIATION, **REFUSED, **PAIRS, **DATA, **RUNS}
ALIKE = {
    *("estimator/nope=mlp", "+trainer.epoch=3", "experiment=", "debug=true", "+trainer=default", "~data=mnist"),
    *("encoder.hidden=[3", "'trainer.beta={_target_: a'", "'seed=choice(1,2)'", "-m seed=1,", "seed=0,1"),
    *("--config-dir conf experiment=elsewhere", "seed=1 --config-dir conf nope=2", "-m estimator=nope,analytic_kl"),
    *(f"estimator=custom estimator._target_={target}" for target in ("3", "a..b", "my.Abstract", "my_value.Thing")),
    *(f"data=arrays data.path={name}" for name in ("folder", "changed.npz", "text.npz", "text.npy", "cut.npy")),
    *(f"data=arrays data.path={name}.npz" for name in ("objects", "strings", "labels", "weights", "one_axis")),
    *(f"data=arrays data.path={name}.npz" for name in ("none", "shapes", "flat")),
    *("data=arrays data.path=flat.npz data.validation=test", "data=mnist data.path=folder", "data.validation=5000"),
    *(f"resume={run}" for run in ("", "empty", "binary", "list", "yaml", "key")),
    *("resume=run trainer.epoch=9", "resume=run model.latent_dim=${nope}", "resume=run ~trainer"),
    *("init_from=nope", "init_from=cut", "init_from=run 'encoder.hidden=[4,4]'"),
    *("-m sweep.resume=text.npz seed=0,1", "-m sweep.resume=folder seed=0,1"),
    *("hydra.run.dir=text.npz/run", "-m hydra.sweep.dir=text.npz/sweep"),
}
"""Lines that another line resembles; they are among the slow tests."""
assert COMMAND_LINES.keys() >= ALIKE

# A component of the user's own that breaks: exit code 1, and its traceback in a file.
BROKEN = {
    "estimator=custom estimator._target_=my.Bad": "AttributeError: 'Particles' object has no attribute 'nothing' (",
    "encoder=custom encoder._target_=my.narrow_encoder": "ValueError: Invalid input shape for input ",
}

COMPARE = {
    "nope": "nope: there is no such directory.",
    "text.npz": "text.npz: there is no such directory.",
    "folder": "folder: holds no run, which is a directory with a config.yaml or a summary.json.",
    "run nope": "nope: there is no such directory.",
    "run --output text.npz": "text.npz: must be a directory, but a file is in its way.",
    "run --nope": "unrecognized arguments: --nope; see vi-compare --help.",
    "": "the following arguments are required: DIR; see vi-compare --help.",
}

PYTHON = {
    "vi.estimators.Renyi(alpha=1)": (
        "alpha=1: must be max, or a number at least 0.001 away from 1; at 1 the bound is the ELBO, as MonteCarloKL "
        "gives it."
    ),
    'vi.train("seed=1")': "seed=1: overrides are a list of texts, such as ['seed=1'].",
    'vi.train(["trainer.epochs=-3"])': "trainer.epochs=-3: must be a finite number above 0.",
    'vi.train(["trainer.epochs"])': "trainer.epochs: is not of the form KEY=VALUE; quote a value with spaces, ",
    'vi.train(["seed=0,1"])': "seed=0,1: holds several values; add -m to run one job for each, ",
    'vi.train(["resume=folder"])': "resume=folder: holds no config.yaml, so it is not the directory of a run.",
    'vi.train(["resume=run"], directory="other")': "resume=run: a resumed run stays in its directory, not in other.",
    'vi.train(["sweep.resume=sweep"])': "sweep.resume=sweep: resumes a multirun, which only vi-train -m can do.",
    'vi.train(directory="run")': "run: already holds a run; choose another directory, or resume=run.",
    'vi.train(directory="text.npz/run")': "text.npz/run: no run can be written there (Not a directory).",
    'vi.load("folder")': "folder: holds no config.yaml, so it is not the directory of a run.",
    'vi.load("yaml")': "yaml: its config.yaml is damaged: while parsing a flow node expected the node content, ",
    'vi.load("damaged")': "damaged/checkpoints: holds no best checkpoint that can be read.",
    'vi.load("shape")': "shape/checkpoints/step_000000012: a variable of model (",
    'vi.load("run", "newest")': "checkpoint=newest: must be best or last.",
    'vi.replay("folder")': "{place}: holds no config.yaml, so it is not the directory of a run.",
    'vi.replay("run/nonfinite")': "run/nonfinite: holds no step that can be replayed (",
}

MY = """
    import keras
    from tensorflow_probability import bijectors, distributions
    from vi.data import Dataset
    from vi.estimators import Estimator
    from vi.posteriors import DiagonalGaussian

    NUMBER = 3

    class Thing:
        def __init__(self, samples=1): ...

    class Abstract(Estimator): ...

    def raises(samples=1): raise ValueError("samples must\\nbe even")

    def data(): return {"x_train": 3}

    class Bad(Estimator):
        def bound(self, particles): return particles.nothing

    class Flow(DiagonalGaussian):
        def marginals(self, q): return None
        def distribution(self, **parameters):
            return distributions.TransformedDistribution(super().distribution(**parameters), bijectors.Tanh())
        def push(self, q, eps):
            z = q.bijector.forward(eps)
            return z, q.log_prob(z)

    class Implicit(DiagonalGaussian):
        def marginals(self, q): return None
        def distribution(self, **parameters): return None
        def push(self, q, eps): return eps, None

    class Score(DiagonalGaussian):
        reparameterized = False

    def decoder(latent_dim, outputs):
        return keras.Sequential([keras.Input((latent_dim,)), keras.layers.Dense(64), keras.layers.Reshape(outputs)])

    def narrow_decoder(latent_dim, outputs):
        return keras.Sequential([keras.Input((latent_dim,)), keras.layers.Dense(7)])

    def narrow_encoder(event_shape):
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(7)])
"""

X = np.random.default_rng(0).standard_normal((40, 6)).astype("float32")
ARRAYS = {
    "flat": {"x_train": X},
    "other": {"a": X, "b": X},
    "objects": {"x_train": np.array([{}, {}])},
    "strings": {"x_train": np.array([["a"], ["b"]])},
    "nan": {"x_train": np.where(np.arange(240).reshape(40, 6) == 45, np.nan, X)},
    "labels": {"x_train": X, "y_train": np.zeros(39)},
    "weights": {"x_train": X, "weight_train": np.arange(40) - 1.0},
    "one_axis": {"x_train": X[:, 0]},
    "none": {"x_train": X[:0]},
    "shapes": {"x_train": X, "x_validation": X[:, :5]},
}


def write_data(place):
    """Arrays of every kind, and damaged files."""
    for name, content in ARRAYS.items():
        np.savez(place / f"{name}.npz", **content)
    whole = (place / "flat.npz").read_bytes()
    (place / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (place / "changed.npz").write_bytes(whole[:300] + bytes(100) + whole[400:])
    np.save(place / "cut.npy", X)
    (place / "cut.npy").write_bytes((place / "cut.npy").read_bytes()[:200])
    for name in ("text.npz", "text.npy"):
        (place / name).write_text("1, 2, 3\n")


def write_runs(place):
    """A run, a sweep of two jobs, and damaged runs."""
    small = [*TINY, "encoder.hidden=[4]", "decoder.hidden=[4]"]
    with pytest.MonkeyPatch.context() as patch, eagerly():
        leave_no_pictures(patch)
        run = vi.train(small, directory=place / "run").directory
    text = (run / "config.yaml").read_text()
    configs = {
        "cut": text[: text.index("trainer:")],
        "empty": "",
        "binary": b"\xff\xfe\x00\x01",
        "list": "- a\n- b\n",
        "yaml": "a: [",
        "value": text.replace("batch_size: 100", "batch_size: -1"),
        "key": text.replace("batch_size: 100", "batch_size: 100\n  nope: 3"),
        "shape": text.replace("latent_dim: 2", "latent_dim: 3"),
        "damaged": text,
        "used": text,
        "sweep/0": text,
        "sweep/1": text,
    }
    for name, content in configs.items():
        config = shutil.copytree(run, place / name) / "config.yaml"
        config.write_bytes(content if isinstance(content, bytes) else content.encode())
    for file in (place / "damaged" / "checkpoints").glob("*/variables.index"):
        file.write_bytes(file.read_bytes()[:20])


@pytest.fixture(scope="module")
def all_files(tmp_path_factory):
    """A directory with a run, a sweep, data, modules and configs, and damaged ones of each kind."""
    place = tmp_path_factory.mktemp("place")
    write_data(place)
    write_runs(place)
    (place / "folder").mkdir()
    thing = "def Thing(samples=1): ..."
    modules = {"my": MY, "my_syntax": "def Thing(:", "my_import": f"import nothing_like_it\n{thing}"}
    for name, text in {**modules, "my_value": f"raise ValueError('a\\nb')\n{thing}"}.items():
        (place / f"{name}.py").write_text(textwrap.dedent(text))
    experiments = {
        "mine": "# @package _global_\ntrainer:\n  epoch: 3\n",
        "broken": "trainer: [\n",
        "elsewhere": "trainer:\n  epochs: 3\n",
    }
    (place / "conf" / "experiment").mkdir(parents=True)
    for name, text in experiments.items():
        (place / "conf" / "experiment" / f"{name}.yaml").write_text(text)
    return place


@pytest.fixture
def place(all_files, monkeypatch):
    """It is the current directory, `used` is held by another process, and no file is written but logs."""
    monkeypatch.chdir(all_files)
    before = files(all_files)
    with directories.lock(all_files / "used"):
        yield all_files
    after = files(all_files)
    written = [file for file in after if after[file] != before.get(file)]
    for file in {*after} - {*before}:
        file.unlink()
    assert written == []


def files(place):
    """When each file was written, but for logs and Hydra's own record of a sweep."""
    kept = ("train.log", "multirun.yaml")
    found = [path for path in place.rglob("*") if path.is_file() and path.suffix != ".pyc" and path.name not in kept]
    return {path: path.stat().st_mtime_ns for path in found}


def close_files(handlers):
    for handler in [reference() for reference in handlers]:
        if type(handler) is logging.FileHandler:
            handler.close()


@contextlib.contextmanager
def as_it_was():
    """Afterwards the process is as if no command had run in it."""
    root, before = logging.root, (logging.root.handlers[:], logging.root.level, logging.raiseExceptions)
    environment, arguments, path, shutdown = dict(os.environ), sys.argv, sys.path[:], logging.shutdown
    os.environ.pop("VI_DATA_DIR", None)
    logging.shutdown = close_files  # Hydra would close pytest's handlers too
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(before[0]):
            handler.close()
        root.handlers[:], root.level, logging.raiseExceptions = before
        os.environ.clear()
        os.environ.update(environment)
        sys.argv, sys.path[:], logging.shutdown, Directories.sweep = arguments, path, shutdown, None
        GlobalHydra.instance().clear()


def answer(line, command=train):
    """The exit code of a command line in this process, and what it writes to standard error."""
    errors = io.StringIO()
    with as_it_was(), contextlib.redirect_stderr(errors):
        sys.argv = [command.__name__, *shlex.split(line)]
        with pytest.raises(SystemExit) as end:
            command()
    return end.value.code, errors.getvalue()


def assert_says(errors, program, sentence, place):
    assert errors.startswith(f"{program}: {sentence}".replace("{place}", str(place)))
    assert errors.count("\n") == 1
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=pytest.mark.slow) if line in ALIKE else line for line in COMMAND_LINES]
)
def test_a_wrong_command_line_is_answered_by_one_sentence(line, place):
    code, errors = answer(line)
    assert_says(errors, "vi-train", COMMAND_LINES[line], place)
    assert code == 2


@pytest.mark.parametrize("line", COMPARE)
def test_a_wrong_comparison_is_answered_by_one_sentence(line, place):
    code, errors = answer(line, compare)
    assert_says(errors, "vi-compare", COMPARE[line], place)
    assert code == 2


@pytest.mark.parametrize("call", PYTHON)
def test_a_wrong_call_raises_one_sentence(call, place):
    with pytest.raises(vi.ConfigError) as error:
        eval(call)
    assert str(error.value).startswith(PYTHON[call].replace("{place}", str(place)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_component_of_ones_own_keeps_its_traceback(line, all_files, tmp_path, monkeypatch):
    monkeypatch.chdir(all_files)
    code, errors = answer(f"{line} hydra.run.dir={tmp_path}")
    assert_says(errors, "vi-train", BROKEN[line], all_files)
    assert code == 1
    assert "Traceback" in (tmp_path / "traceback.txt").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_in_a_multirun_a_wrong_job_is_raised_and_the_other_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = "seed=-1: must be a whole number from 0 to 2147483647."
    code, errors = answer(f"-m seed=-1,0 hydra.sweep.dir=sweep {shlex.join(TINY)}")
    assert code == 1
    assert errors.splitlines()[-1].endswith(f" failed: {wrong}")
    assert errors.splitlines()[-1].startswith("vi-train: job 0 (seed=-1,")
    failed, finished = (json.loads(Path(f"sweep/{job}/summary.json").read_text()) for job in range(2))
    assert (failed["status"], failed["error"], failed["overrides"][0]) == ("failed", wrong, "seed=-1")
    assert finished["status"] == "finished"


def process(*arguments, cwd, **environment):
    """A command line in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{cwd}{os.pathsep}{Path(vi.__file__).parents[1]}", **environment}
    command = [sys.executable, "-c", "from vi.commands.train import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "line", ["trainer.epoch=3", pytest.param("data=arrays data.path=nan.npz", marks=pytest.mark.slow)]
)
def test_so_it_is_in_a_process_of_its_own(line, place):
    result = process(*shlex.split(line), cwd=place)
    assert_says(result.stderr, "vi-train", COMMAND_LINES[line], place)
    assert (result.returncode, result.stdout.count("\n") <= 1) == (2, True)


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_wrong_values_and_files_of_runs_are_answered_before_tensorflow_is_imported(every, place):
    sentences = dict([*VALUES.items(), *((line, COMMAND_LINES[line]) for line in JUDGED_EARLY)][::every])
    code = (
        "import os, shlex, sys; from vi.commands.train import main\n"
        "for line in sys.argv[1:]:\n"
        "    sys.argv[1:] = shlex.split(line)\n"
        "    os.environ.pop('HYDRA_FULL_ERROR', None)\n"
        "    try: main()\n"
        "    except SystemExit as end: assert end.code == 2\n"
        "    assert 'tensorflow' not in sys.modules, line\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(vi.__file__).parents[1])}
    environment.pop("VI_DATA_DIR", None)
    result = subprocess.run([sys.executable, "-c", code, *sentences], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    answers = result.stderr.splitlines()
    assert len(answers) == len(sentences)
    for line, said in zip(sentences, answers, strict=True):
        assert said.startswith(f"vi-train: {sentences[line]}"), line


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        (
            "-m hydra/launcher=joblib seed=0,1",
            "hydra/launcher=joblib: is not installed; pip install 'vi[joblib]' adds it.",
        ),
        ("sweep=optuna", "hydra/sweeper=optuna: is not installed; pip install 'vi[optuna]' adds it."),
    ],
)
def test_an_extra_that_is_not_installed_is_named(line, missing, tmp_path):
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "__init__.py").touch()  # hides those that are installed
    result = process(*shlex.split(line), cwd=tmp_path)
    assert_says(result.stderr, "vi-train", missing, tmp_path)
    assert result.returncode == 2


@pytest.mark.slow
def test_a_study_whose_trials_all_fail_says_why_and_does_not_go_on(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    study = ["sweep=optuna", "hydra.sweeper.n_trials=2", "hydra.sweep.dir=study", "seed=-1"]
    result = process(*study, cwd=tmp_path)
    said = [line for line in result.stderr.splitlines() if line.startswith("vi-train: ")]
    assert [line.partition(" (")[0] for line in said] == ["vi-train: job 0", "vi-train: job 1"]
    assert all("failed: seed=-1: must be a whole number" in line for line in said)
    assert result.returncode == 1
    again = process("sweep=optuna", "sweep.resume=study", cwd=tmp_path)
    sentence = "sweep.resume=study: resumes grids only; start an Optuna study anew."
    assert_says(again.stderr, "vi-train", sentence, tmp_path)
    assert again.returncode == 2

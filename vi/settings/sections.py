"""The sections of a config that are no components, and the settings of `vi-evaluate` and `vi-diagnose`.

Each class declares the keys of one section with their kinds, defaults and meanings.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from vi.kinds import AtLeast, Filters, Kind, NonNegative, Path, Positive, Schedule, Seed, Text, is_list, kind_of
from vi.settings.constructors import REQUIRED, Argument, meanings
from vi.settings.keys import FILLED_IN

Name = Annotated[
    str,
    Kind(
        "a name of letters, digits, hyphens, underscores and dots, which does not begin with a dot",
        lambda v: isinstance(v, str) and re.fullmatch(r"[\w-][\w.-]*", v) is not None,
    ),
]
Directory = Annotated[
    str,
    Kind("a directory", lambda v: (isinstance(v, str) and v != "") or type(v) is int),  # a job's directory is a number
]
Settings = Annotated[Mapping[str, Any], Kind("a mapping of settings", lambda v: isinstance(v, Mapping))]
Estimators = Annotated[
    Sequence[str],
    Kind(
        "a list of choices of the group estimator, or of dotted paths of classes, such as [iwae, dreg]",
        lambda v: isinstance(v, list | tuple) and len(v) > 0 and all(isinstance(name, str) and name for name in v),
    ),
]
_NAME = re.compile(r"\w+(\.\w+)*")
Modules = Annotated[
    Sequence[str],
    Kind(
        "the name of a module, or a list of names, such as [my_module]",
        lambda v: all(isinstance(each, str) and _NAME.fullmatch(each) for each in (v if is_list(v) else [v])),
    ),
]
Monitor = Literal[
    "validation/iw_bound",
    "validation/elbo",
    "validation/nll",
    "train/bound",
    "train/elbo",
    "train/nll",
    "train/loss",
]


@dataclasses.dataclass
class Run:
    """A run.

    Args:
        name: the name of the run, and of the folder below outputs/.
        seed: of the initial weights, the order of the data and the noise.
        schedule: the factor of all learning rates, a Keras schedule of the step; null keeps them constant.
        init_from: the directory of a run. This run starts from its best weights.
        resume: the directory of a run to resume; with -m use sweep.resume.
        trust: the modules whose code may run for a run that somebody else has made, see resume.
        pseudo: filled in: true if the likelihood is no density of the data, such as Bernoulli on grey levels.
    """

    name: Name = "default"
    seed: Seed = 0
    schedule: Schedule | None = None
    init_from: Directory | None = None
    resume: Directory | None = None
    trust: Modules = ()
    pseudo: bool | None = None


@dataclasses.dataclass
class Sweep:
    """A multirun.

    Args:
        resume: the directory of a multirun to resume.
    """

    resume: Directory | None = None


@dataclasses.dataclass
class Model:
    """The settings that encoder, posterior, decoder, likelihood and prior share.

    Args:
        latent_dim: L, the number of latent dimensions.
        output_bias: the initial bias of the decoder's output: zero, or from the mean of the data.
        event_shape: filled in: the shape of one datum.
        standardized: filled in: whether the model standardizes its data, see data.standardize.
        columns: filled in: the names of a table's columns, at most 1,000.
    """

    latent_dim: Annotated[int, Positive] = 2
    output_bias: Literal["zeros", "data_mean"] = "zeros"
    event_shape: Sequence[int] | None = None
    standardized: bool | None = None
    columns: Sequence[str] | None = None


@dataclasses.dataclass
class UpdateEvery:
    """The update intervals of the parameter groups.

    Args:
        generative: θ (decoder, likelihood, prior), at every n-th step.
        inference: φ (encoder, posterior), at every n-th step.
        auxiliary: ψ (networks of the estimator), at every n-th step.
    """

    generative: Annotated[int, Positive] = 1
    inference: Annotated[int, Positive] = 1
    auxiliary: Annotated[int, Positive] = 1


@dataclasses.dataclass
class Trainer:
    """The training: its length, its options, and the intervals of evaluations.

    Args:
        epochs: passes over the training data.
        batch_size: B, the data of one step.
        beta: β, the weight of the KL term: a number, or a Keras schedule of the step.
        noise: fresh at every step, or fixed: for each datum the same in every epoch.
        update_every: how often each group of parameters is updated.
        evaluate_every: epochs between evaluations; null evaluates at every epoch, but at least 5 and at most 50 times.
        monitor: the metric that picks the best checkpoint and stops early.
        patience: the number of evaluations without an improvement after which the training stops; null never stops
            early.
        validation_samples: importance samples of validation/iw_bound.
        validation_size: the number of validation data for validation/iw_bound during training; at the end all are used.
        evaluate: true evaluates on the test set at the end, as vi-evaluate does.
        evaluation_samples: importance samples of the evaluation at the end.
        diagnose_every: epochs between measurements of the gradients' signal and noise; null measures none.
        profile: true shows at the end where the time of a step went, and writes a trace for TensorBoard.
        nonfinite: the reaction to a step that is not finite: stop, or skip and count the step.
        precision: the precision of weights, data and noise.
        matmul: the precision of the networks' matrix products and convolutions in training; evaluation is in float32.
        jit: true compiles with XLA; auto decides by the device and the networks.
        steps_per_call: train steps of one compiled call; auto makes a call last about a second.
    """

    epochs: Annotated[float, Positive] = 50
    batch_size: Annotated[int, Positive] = 100
    beta: Annotated[float, NonNegative] | Schedule = 1.0
    noise: Literal["fresh", "fixed"] = "fresh"
    update_every: Settings = dataclasses.field(default_factory=lambda: dataclasses.asdict(UpdateEvery()))
    evaluate_every: Annotated[float, Positive] | None = None
    monitor: Monitor = "validation/iw_bound"
    patience: Annotated[int, Positive] | None = None
    validation_samples: Annotated[int, Positive] = 100
    validation_size: Annotated[int, Positive] = 1000
    evaluate: bool = False
    evaluation_samples: Annotated[int, Positive] = 5000
    diagnose_every: Annotated[float, Positive] | None = None
    profile: bool = False
    nonfinite: Literal["stop", "skip"] = "stop"
    precision: Literal["float32", "float64"] = "float32"
    matmul: Literal["float32", "tf32", "bfloat16"] = "float32"
    jit: Literal["auto", True, False] = "auto"
    steps_per_call: Annotated[int, Positive] | Literal["auto"] = "auto"


@dataclasses.dataclass
class Logger:
    """The destinations of metrics besides metrics.csv and the terminal.

    Args:
        wandb: the settings of the Weights & Biases dashboard; null leaves it out.
    """

    wandb: Settings | None = None


@dataclasses.dataclass
class Wandb:
    """The Weights & Biases dashboard.

    Args:
        mode: offline writes to the run's directory; online also uploads.
        project: the project of the dashboard.
        entity: the user or team; null is your default.
        tags: further tags of the run.
        group: the name that runs share; null is the name of the multirun.
    """

    mode: Literal["offline", "online", "disabled"] = "offline"
    project: Text = "vi"
    entity: Text | None = None
    tags: Sequence[str] = ()
    group: Text | None = None


@dataclasses.dataclass
class Evaluate:
    """The settings of `vi-evaluate`.

    Args:
        run: the directory of a run.
        checkpoint: the checkpoint to evaluate.
        split: the split of the run's data.
        samples: S, importance samples for each datum.
        size: the number of data, from the first on, that get S samples; null takes all.
        trust: the modules whose code may run for a run that somebody else has made.
    """

    run: Directory
    checkpoint: Literal["best", "last"] = "best"
    split: Literal["test", "validation", "train"] = "test"
    samples: Annotated[int, Positive] = 5000
    size: Annotated[int, Positive] | None = None
    trust: Modules = ()


@dataclasses.dataclass
class Diagnose:
    """The settings of `vi-diagnose`.

    Args:
        run: the directory of a run.
        checkpoint: the checkpoint to use; initial is the weights before training.
        split: the split of the run's data.
        estimators: choices of the group estimator, or dotted paths of your classes.
        samples: the numbers S of samples for each datum; every estimator is measured with each.
        repeats: the number of gradients, each with fresh noise; the standard error falls with its square root.
        batch_size: the number of data of the split, from the first on; all gradients use the same data.
        trust: the modules whose code may run for a run that somebody else has made.
    """

    run: Directory
    checkpoint: Literal["best", "last", "initial"] = "best"
    split: Literal["test", "validation", "train"] = "validation"
    estimators: Estimators = ("analytic_kl", "iwae", "stl", "dreg")
    samples: Filters = (1, 5, 25, 100)
    repeats: Annotated[int, AtLeast(20)] = 200
    batch_size: Annotated[int, Positive] = 20
    trust: Modules = ()


@dataclasses.dataclass
class Data:
    """The place of the data of a run.

    Args:
        path: the current path of the data, if they have moved.
    """

    path: Path | None = None


RUN = {
    "": Run,
    "sweep": Sweep,
    "model": Model,
    "trainer": Trainer,
    "trainer.update_every": UpdateEvery,
    "logger": Logger,
    "logger.wandb": Wandb,
}
"""The sections of a run's config, by the key of each."""
REQUESTS: dict[str, dict[str, type]] = {
    "evaluate": {"": Evaluate, "data": Data},
    "diagnose": {"": Diagnose, "data": Data},
}
"""The sections of each command's settings, by the key of each."""


@functools.cache
def declared(section: type) -> dict[str, Argument]:
    """The keys of a section: the kind, the default and the meaning of each."""
    hints, texts = typing.get_type_hints(section, include_extras=True), meanings(inspect.getdoc(section) or "")
    return {
        field.name: Argument(kind_of(hints[field.name]), _default(field), texts[field.name])
        for field in dataclasses.fields(section)
    }


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return REQUIRED if field.default is dataclasses.MISSING else field.default


def dotted_keys(sections: Mapping[str, type] = RUN) -> list[str]:
    """The dotted keys of these sections that a user may set. A nested section is replaced by its keys."""
    found = [f"{prefix}.{name}".removeprefix(".") for prefix, section in sections.items() for name in declared(section)]
    return [key for key in found if key not in sections and key not in FILLED_IN]

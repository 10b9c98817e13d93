"""Makes the objects of a config. No other module instantiates components."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vi.errors import ConfigError, SettingError
from vi.settings.dotted import find
from vi.settings.epochs import in_steps
from vi.settings.keys import GROUPS, show
from vi.settings.saved import Config
from vi.settings.sentences import sentence

if TYPE_CHECKING:
    import keras

    from vi.data.dataset import Dataset
    from vi.estimators import Estimator
    from vi.models.latent import LatentVariableModel


MOST_NAMES = 1000
"""The largest number of columns whose names a config keeps, and of characters of a name."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """The objects of a config."""

    data: Dataset
    model: LatentVariableModel
    estimator: Estimator
    optimizers: dict[str, keras.optimizers.Optimizer]
    beta: float | keras.optimizers.schedules.LearningRateSchedule


def build(config: Config) -> Parts:
    """Data, model, estimator and optimizers. Fills in the keys that follow from the data: the event shape, `pseudo`."""
    import keras

    from vi.data.dataset import Dataset
    from vi.estimators import Estimator
    from vi.runs.adapt import adapt

    keras.utils.clear_session()
    keras.utils.set_random_seed(config["seed"])
    data = instantiate("data", config["data"], Dataset)
    config["model"] |= {"event_shape": list(data.event_shape), "standardized": data.standardize}
    config["model"]["columns"] = _names(data.columns or ())
    model = build_model(config, data.event_shape)
    if config["data"]["_target_"] == "vi.data.nothing" and model.likelihood.support != "none":
        raise ConfigError("data=none: there are no data to describe, so likelihood=none must be chosen, too.")
    if model.likelihood.support == "binary":
        data.require_unit_interval(f"as likelihood {type(model.likelihood).__name__} needs")
    config["pseudo"] = model.likelihood.support == "binary" and not data.binary
    adapt(model, data, output_bias=config["model"]["output_bias"] == "data_mean")
    estimator = instantiate("estimator", config["estimator"], Estimator)
    estimator.build(data.event_shape, config["model"]["latent_dim"])
    beta, factor = (
        schedule(key, settings, len(data.train) / config["trainer"]["batch_size"])
        for key, settings in (("trainer.beta", config["trainer"]["beta"]), ("schedule", config["schedule"]))
    )
    every = config["trainer"]["update_every"]
    return Parts(data, model, estimator, build_optimizers(config["optimizer"], factor, every), beta)


def _names(columns: Sequence[str]) -> list[str] | None:
    """The names of a table's columns; None if they are none, too many, or a saved config cannot hold one of them."""
    fits = 0 < len(columns) <= MOST_NAMES and all(len(name) < MOST_NAMES and "${" not in name for name in columns)
    return list(columns) if fits else None


def schedule(key: str, settings: Any, steps: float) -> Any:
    """The schedule that settings describe, if an epoch has `steps` steps; a number or None stays as it is."""
    from keras.optimizers.schedules import LearningRateSchedule

    if not isinstance(settings, Mapping):
        return settings
    return instantiate(key, in_steps(settings, steps), LearningRateSchedule)


def build_model(config: Config, event_shape: tuple[int, ...]) -> LatentVariableModel:
    """The model of a config, with initial weights."""
    import keras

    from vi.likelihoods.base import Likelihood
    from vi.models.latent import LatentVariableModel
    from vi.posteriors import Posterior
    from vi.priors.base import Prior
    from vi.runs.adapt import standardization

    latent = {"latent_dim": config["model"]["latent_dim"]}
    likelihood = instantiate("likelihood", config["likelihood"], Likelihood, event_shape=event_shape)
    outputs = likelihood.outputs(event_shape)
    parts = {
        "encoder": instantiate("encoder", config["encoder"], keras.Layer, event_shape=event_shape),
        "posterior": instantiate("posterior", config["posterior"], Posterior, **latent),
        "decoder": instantiate("decoder", config["decoder"], keras.Layer, outputs=outputs, **latent),
        "likelihood": likelihood,
        "prior": instantiate("prior", config["prior"], Prior, **latent),
        "standardization": standardization(likelihood) if config["model"].get("standardized") else None,
        "columns": config["model"].get("columns"),
    }
    try:
        return LatentVariableModel(**parts)
    except Exception as error:
        if _is_of_memory(error):
            raise ConfigError("the model of this config does not fit into memory.") from None
        raise


def _is_of_memory(error: BaseException) -> bool:
    """Whether something is too large for the memory; TensorFlow's own error is known by its name."""
    return isinstance(error, MemoryError | OverflowError) or type(error).__name__ == "ResourceExhaustedError"


def build_optimizers(
    settings: Config,
    factor: keras.optimizers.schedules.LearningRateSchedule | None = None,
    update_every: Mapping[str, int] | None = None,
) -> dict[str, keras.optimizers.Optimizer]:
    """An optimizer for each parameter group: the common settings, with the group's settings over them.

    Args:
        settings: the section `optimizer` of the config.
        factor: multiplies the learning rates, as a schedule of the step.
        update_every: n by group: the group is updated at every n-th step, 1 by default.
    """
    import keras

    from vi.training.schedules import Scaled

    def settings_of(group: str) -> Config:
        common = {name: value for name, value in settings.items() if name not in GROUPS}
        merged = {**common, **(settings.get(group) or {})}
        if isinstance(rate := merged.get("learning_rate"), int):
            merged["learning_rate"] = float(rate)  # Keras takes no whole number
        elif isinstance(rate, Mapping):
            merged["learning_rate"] = in_steps(rate, 1.0)
        return merged

    def optimizer_of(group: str) -> keras.optimizers.Optimizer:
        own = settings_of(group)
        every = (update_every or {}).get(group, 1)
        rate = {} if factor is None else {"learning_rate": Scaled(own["learning_rate"], factor, every)}
        return instantiate(f"optimizer.{group}", own, keras.optimizers.Optimizer, **rate)

    return {group: optimizer_of(group) for group in GROUPS}


def instantiate(key: str, settings: Mapping[str, Any], kind: type, **arguments: Any) -> Any:
    """Calls the `_target_` of `settings`, which must give a `kind`; the current directory is importable.

    Raises:
        ConfigError: there is no such target, the call failed, or it gave something else.
    """
    import hydra

    target = settings["_target_"]
    for name, value in {key: settings, **{f"{key}.{name}": value for name, value in settings.items()}}.items():
        if isinstance(value, Mapping) and "_target_" in value:
            find(f"{name}._target_={value['_target_']}", str(value["_target_"]))
    try:
        component = hydra.utils.instantiate(settings, **arguments, _convert_="all")
    except hydra.errors.InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, SettingError):
            raise ConfigError(f"{key}.{cause.setting}={show(cause.value)}: {cause.allowed}") from None
        if isinstance(cause, ConfigError):
            raise cause from None
        if _is_of_memory(cause):
            raise ConfigError(f"{key}._target_={target}: does not fit into memory.") from None
        raise ConfigError(f"{key}._target_={target}: {type(cause).__name__}: {sentence(cause)}") from error
    if not isinstance(component, kind):
        found = type(component).__name__
        home = ".".join(kind.__module__.split(".")[:2]) if kind.__module__.startswith("vi.") else kind.__module__
        raise ConfigError(f"{key}._target_={target}: gives a {found}, but must give a {home}.{kind.__name__}.")
    return component

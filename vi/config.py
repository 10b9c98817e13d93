"""From configs to objects: compose, check, instantiate, save and load. Only this module and `cli` know Hydra."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vi import schema
from vi.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

    from vi.data import Dataset
    from vi.estimators import Estimator
    from vi.model import LatentVariableModel

Config = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a config describes, as objects."""

    data: Dataset
    model: LatentVariableModel
    estimator: Estimator
    optimizers: dict[str, Any]
    beta: Any


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that was made: its directory, its config and its summary."""

    directory: Path
    config: Config
    summary: Config

    @property
    def metrics(self) -> pd.DataFrame:
        """metrics.csv, a row per evaluation."""
        import pandas as pd

        return pd.read_csv(self.directory / "metrics.csv")

    def load(self, checkpoint: Literal["best", "last"] = "best") -> LatentVariableModel:
        """The trained model."""
        return load(self.directory, checkpoint)


def train(overrides: Sequence[str] = (), directory: str | Path | None = None) -> Run:
    """Trains as `vi-train` with these overrides does, and returns the run.

    It clears Keras's session, and sets Keras's precision and the global seeds, as the config says.

    Args:
        overrides: as on the command line, for example `["data=mnist", "estimator.samples=5"]`.
        directory: the run directory; by default `outputs/<name>/<date>_<time>`.

    Raises:
        ConfigError: a value, a name or a file is wrong; nothing has been written.
        RunError: the training could not go on.
    """
    import datetime

    if isinstance(overrides, str):
        raise ConfigError(f"{overrides}: overrides are a list of texts, such as [{overrides!r}].")
    config = resolve(compose(overrides))
    if directory is None:
        directory = Path("outputs") / config["name"] / f"{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}"
    summary = run(config, Path(directory))
    return Run(Path(directory), config, summary)


def load(run_dir: str | Path, checkpoint: Literal["best", "last"] = "best") -> LatentVariableModel:
    """The trained model of a run, with the weights of its best or its last checkpoint; needs no data.

    It sets Keras's precision to the run's.

    Raises:
        ConfigError: the directory holds no run, or no such checkpoint.
    """
    from omegaconf import OmegaConf
    from yaml import YAMLError

    from vi.checkpoint import Checkpoints

    file = Path(run_dir) / "config.yaml"
    if not file.is_file():
        raise ConfigError(f"{run_dir}: holds no config.yaml, so it is not the directory of a run.")
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(file))
    except (YAMLError, OSError) as error:
        raise ConfigError(f"{file}: is damaged: {sentence(error)}.") from None
    if not isinstance(config, dict) or not {"model", "trainer", *schema.COMPONENTS} <= set(config):
        raise ConfigError(f"{file}: is not the config of a run.")
    set_precision(config)
    model = build_model(config, tuple(config["model"]["event_shape"]))
    Checkpoints(Path(run_dir) / "checkpoints", {"model": model.variables}).restore(checkpoint)
    return model


def conf_directory() -> Path:
    """The directory of the configs: `conf/` of the checkout, or of the installed package."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The config that `vi-train` with these overrides would run.

    Raises:
        ConfigError: an override is wrong.
    """
    import hydra

    try:
        with hydra.initialize_config_dir(str(conf_directory()), version_base="1.3", job_name="train"):
            return hydra.compose("train", list(overrides))
    except (hydra.errors.HydraException, ValueError) as error:
        raise ConfigError(sentence(error)) from None


def resolve(config: DictConfig) -> Config:
    """The config as plain values, every interpolation resolved and every value checked.

    Raises:
        ConfigError: a value is not allowed, or an interpolation leads nowhere.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        plain: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(sentence(error)) from None
    schema.check(plain)
    return plain


def run(config: Config, directory: Path) -> Config:
    """One job: builds what the config describes, trains it, and writes everything below `directory`."""
    from vi.job import run_job, set_up_devices

    set_up_devices()
    set_precision(config)
    parts = build(config)
    return run_job(parts, config, directory, save)


def build(config: Config) -> Parts:
    """Data, model, estimator and optimizers. Fills in what only the data know: the event shape, `pseudo`."""
    import keras

    from vi.data import Dataset
    from vi.estimators import Estimator

    keras.utils.clear_session()
    keras.utils.set_random_seed(config["seed"])
    data = instantiate("data", config["data"], Dataset)
    config["model"]["event_shape"] = list(data.event_shape)
    model = build_model(config, data.event_shape)
    if model.likelihood.support == "binary":
        data.require_unit_interval(f"as likelihood {type(model.likelihood).__name__} needs")
    config["pseudo"] = model.likelihood.support == "binary" and not data.binary
    if config["model"]["output_bias"] == "data_mean":
        from vi.networks import set_output_bias

        set_output_bias(model.decoder, model.likelihood.initial_output(data.mean))
    estimator = instantiate("estimator", config["estimator"], Estimator)
    estimator.build(data.event_shape, config["model"]["latent_dim"])
    beta = config["trainer"]["beta"]
    if isinstance(beta, Mapping):
        beta = instantiate("trainer.beta", beta, keras.optimizers.schedules.LearningRateSchedule)
    return Parts(data, model, estimator, build_optimizers(config["optimizer"]), beta)


def build_model(config: Config, event_shape: tuple[int, ...]) -> LatentVariableModel:
    """The model of a config, with initial weights."""
    import keras

    from vi.likelihoods import Likelihood
    from vi.model import LatentVariableModel
    from vi.posteriors import Posterior
    from vi.priors import Prior

    latent = {"latent_dim": config["model"]["latent_dim"]}
    likelihood = instantiate("likelihood", config["likelihood"], Likelihood, event_shape=event_shape)
    outputs = likelihood.outputs(event_shape)
    return LatentVariableModel(
        encoder=instantiate("encoder", config["encoder"], keras.Layer, event_shape=event_shape),
        posterior=instantiate("posterior", config["posterior"], Posterior, **latent),
        decoder=instantiate("decoder", config["decoder"], keras.Layer, outputs=outputs, **latent),
        likelihood=likelihood,
        prior=instantiate("prior", config["prior"], Prior, **latent),
    )


def build_optimizers(settings: Config) -> dict[str, Any]:
    """An optimizer for each parameter group: the common settings, overlaid by the group's own."""
    import keras

    common = {name: value for name, value in settings.items() if name not in schema.GROUPS}
    return {
        group: instantiate(f"optimizer.{group}", {**common, **(settings.get(group) or {})}, keras.optimizers.Optimizer)
        for group in schema.GROUPS
    }


def instantiate(key: str, settings: Mapping[str, Any], kind: type, **arguments: Any) -> Any:
    """Calls the `_target_` of `settings`, which must give a `kind`; the current directory is importable.

    Raises:
        ConfigError: there is no such target, the call failed, or it gave something else.
    """
    import hydra

    target = settings["_target_"]
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    _require_importable(f"{key}._target_={target}", target)
    try:
        component = hydra.utils.instantiate(settings, **arguments, _convert_="all")
    except hydra.errors.InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, ConfigError):
            raise cause from None
        raise ConfigError(f"{key}._target_={target}: {type(cause).__name__}: {sentence(cause)}") from error
    if not isinstance(component, kind):
        found = type(component).__name__
        raise ConfigError(
            f"{key}._target_={target}: gives a {found}, but must give a {kind.__module__}.{kind.__name__}."
        )
    return component


def _require_importable(what: str, target: str) -> None:
    module, _, name = target.rpartition(".")
    try:
        names = dir(importlib.import_module(module)) if module else []
    except ModuleNotFoundError as error:
        if error.name and module.startswith(error.name) and "." in module:
            return  # the name of a class within a module, perhaps; instantiating it will tell
        raise ConfigError(f"{what}: there is no module {error.name}.") from error
    except Exception as error:
        raise ConfigError(f"{what}: {type(error).__name__} in {module}: {sentence(error)}") from error
    if name not in names:
        raise ConfigError(
            f"{what}: {module or 'a target without a module'} has no {name}{schema.suggestion(name, names)}"
        )


def set_precision(config: Config) -> None:
    """Makes `trainer.precision` the dtype of all that is built from here on."""
    import keras

    keras.config.set_floatx(config["trainer"]["precision"])
    keras.config.set_dtype_policy(config["trainer"]["precision"])


def save(config: Config, file: Path) -> None:
    """Writes the config as YAML.

    Raises:
        ConfigError: the file exists; two runs never share a directory.
    """
    from omegaconf import OmegaConf

    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x") as stream:
            stream.write(OmegaConf.to_yaml(OmegaConf.create(config)))
    except FileExistsError:
        raise ConfigError(f"{file.parent}: already holds a run; choose another directory.") from None


def sentence(error: BaseException) -> str:
    """An exception on one line; for Hydra's, the key or choice that is wrong and what is allowed."""
    text = " ".join(str(error).split())
    if found := re.search(
        r"Could not find '([^']+)/([^'/]+)' Available options in '[^']+': (.*?) Config search path", text
    ):
        group, choice, options = found[1], found[2], found[3].split()
        hint = schema.suggestion(choice, options)
        return f"{group}={choice}: there is no such choice{hint} Allowed: {', '.join(options)}."
    if found := re.search(r"Could not override '([^']+)'", text):
        known = [*schema.RULES, *schema.COMPONENTS, *schema.CHOSEN]
        return f"{found[1]}: there is no such key{schema.suggestion(found[1], known)}"
    if found := re.search(r"Ambiguous value for argument '([^']+)'", text):
        return f"{found[1]}: holds several values; add -m to run one job for each, or brackets to give a list."
    if found := re.search(r"Error parsing override '([^']+)'|LexerNoViableAltException: (.*) \^", text):
        return f"{found[1] or found[2]}: is not of the form KEY=VALUE; quote a value with spaces, commas or braces."
    if found := re.search(r"Interpolation key '([^']+)' not found full_key: (\S+)", text):
        return f"{found[2]}=${{{found[1]}}}: there is no key {found[1]}."
    return text

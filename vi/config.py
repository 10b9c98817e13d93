"""From overrides to configs, and from configs to objects. Only this module and `cli` import Hydra."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi import schema
from vi.directory import write
from vi.dotted import find
from vi.errors import ConfigError
from vi.sentences import sentence

if TYPE_CHECKING:
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


def read(run_dir: Path, key: str | None = None) -> Config:
    """The config of a run; `key` is what named its directory, for error messages.

    Raises:
        ConfigError: the directory holds no run, or its config is damaged.
    """
    from omegaconf import OmegaConf
    from yaml import YAMLError

    file, what = run_dir / "config.yaml", f"{key}={run_dir}" if key else str(run_dir)
    if not file.is_file():
        raise ConfigError(f"{what}: holds no config.yaml, so it is not the directory of a run.")
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(file))
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what}: its config.yaml is damaged: {sentence(error).rstrip('.')}.") from None
    if not isinstance(config, dict) or not {"model", "trainer", *schema.COMPONENTS} <= set(config):
        raise ConfigError(f"{what}: its config.yaml is not the config of a run.")
    try:
        schema.check(config)
    except ConfigError as error:
        raise ConfigError(f"{what}: in its config.yaml, {error}") from None
    return config


def composable(overrides: Sequence[str]) -> list[str]:
    """What Hydra is to compose: all overrides; beside `resume=RUN_DIR`, only what concerns Hydra itself and the logger.

    Raises:
        ConfigError: the choice of a group is no name; or the directory holds no run, or another one was typed.
    """
    parsed = _parse(overrides)
    typed = {o.key_or_group: None if o.is_delete() or o.is_sweep_override() else o.value() for o in parsed}
    for group in ("", *schema.COMPONENTS, *schema.CHOSEN):
        if not isinstance(typed.get(group), str | list | None):
            raise ConfigError(
                f"{group}={schema.show(typed[group])}: must be GROUP=CHOICE, a name; vi-train --help shows all."
            )
    if typed.get("resume") is None:
        return list(overrides)
    if "hydra.run.dir" in typed:
        raise ConfigError(
            f"hydra.run.dir={typed['hydra.run.dir']}: a run that is resumed goes on in its own directory; leave it out."
        )
    read(Path(str(typed["resume"])), "resume")
    return [
        text
        for text, override in zip(overrides, parsed, strict=True)
        if schema.is_of(override.key_or_group.split("/")[0], ("hydra", "resume", "logger", "sweep"))
    ]


def resumed(run_dir: Path, typed: Sequence[str], composed: DictConfig) -> Config:
    """The config of a run that is gone on with: its own, with what was typed beside `resume` where that may change.

    Args:
        run_dir: the directory of the run.
        typed: the overrides.
        composed: what Hydra has made of those that are `composable`.

    Raises:
        ConfigError: the directory holds no run, or something was typed that differs from it.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config = read(run_dir, "resume")
    choices = config.get("choices") or {}
    changed: Any = OmegaConf.create(config)
    for override in _parse(typed):
        key = override.key_or_group
        if schema.is_of(key.split("/")[0], ("hydra", *schema.COMMANDS)):
            continue
        if override.is_delete():
            raise ConfigError(f"~{key}: nothing can be taken out of a run that is resumed.")
        if key == "logger" or (schema.is_of(key, ("logger",)) and changed.logger.wandb is None):
            changed.logger = composed.logger
        elif key in (*schema.COMPONENTS, *schema.CHOSEN, *choices):
            _require_same(run_dir, key, override.value(), choices.get(key))
        else:
            OmegaConf.update(changed, key, override.value(), force_add=True)
    try:
        new: Any = OmegaConf.to_container(changed, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(sentence(error)) from None
    schema.check(new)
    _require_same_leaves(run_dir, config, new)
    return new


def require_same(run_dir: Path, composed: DictConfig) -> None:
    """Raises ConfigError unless the run that a directory holds is of this config, but for what may change."""
    from omegaconf import OmegaConf

    keys = [str(key) for key in composed if key not in ("hydra", *schema.COMMANDS)]
    _require_same_leaves(run_dir, read(run_dir), _plain(OmegaConf.masked_copy(composed, keys)))


def _require_same_leaves(run_dir: Path, config: Config, new: Config) -> None:
    kept, asked = dict(schema.leaves(config)), dict(schema.leaves(new))
    for key in {**asked, **kept}:
        if not schema.is_of(key, (*schema.MAY_CHANGE, *schema.FILLED_IN, "choices")):
            _require_same(run_dir, key, asked.get(key), kept.get(key))


def _require_same(run_dir: Path, key: str, asked: Any, kept: Any) -> None:
    if asked != kept:
        *others, last = schema.MAY_CHANGE
        raise ConfigError(
            f"{key}={schema.show(asked)}: the run in {run_dir} has {key}={schema.show(kept)}; only "
            f"{', '.join(others)} and {last} may change when it is resumed."
        )


def _parse(overrides: Sequence[str]) -> list[Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_overrides(list(overrides))


def arguments(overrides: Sequence[str]) -> dict[str, Any]:
    """The values of KEY=VALUE, read as overrides are; ConfigError where one cannot be read, or holds several values."""
    from hydra.errors import HydraException

    try:
        parsed = _parse(overrides)
    except HydraException as error:
        raise ConfigError(sentence(error)) from None
    if wrong := [o.input_line for o in parsed if o.is_sweep_override() or o.is_delete()]:
        raise ConfigError(f"{wrong[0]}: must be KEY=VALUE, with one value.")
    return {override.key_or_group: override.value() for override in parsed}


def conf_directory() -> Path:
    """The directory of the configs: `conf/` of the checkout, or of the installed package."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def compose(overrides: Sequence[str] = ()) -> tuple[DictConfig, dict[str, str | None]]:
    """The config that `vi-train` with these overrides would run, and the choice of each group.

    Raises:
        ConfigError: an override is wrong.
    """
    composed = _compose("train", overrides, composable)
    choices = choices_of(composed.hydra)
    del composed["hydra"]
    return composed, choices


def compose_request(command: str, overrides: Sequence[str] = ()) -> Config:
    """What a command, "evaluate" or "diagnose", with these overrides is asked for.

    Raises:
        ConfigError: an override is wrong.
    """

    def known(overrides: Sequence[str]) -> list[str]:
        for override in _parse(overrides):
            key = override.key_or_group
            if key not in rules:
                raise ConfigError(f"{key}: there is no such key{schema.suggestion(key, list(rules))}")
            if override.is_sweep_override():
                raise ConfigError(f"{override.input_line}: holds several values; a list needs brackets.")
        return list(overrides)

    rules = schema.REQUESTS[command]
    composed = _compose(command, overrides, known)
    del composed["hydra"]
    asked = _plain(composed)
    schema.check_request(command, asked)
    return asked


def estimators_of(names: Sequence[str]) -> dict[str, Config]:
    """The settings of estimators by name: a choice of the group, or the dotted path of a class of one's own.

    Raises:
        ConfigError: there is no such choice.
    """
    from omegaconf import OmegaConf

    folder, found = conf_directory() / "estimator", {}
    choices = sorted(file.stem for file in folder.glob("*.yaml") if file.stem != "custom")
    for name in names:
        if name not in choices and not schema.TARGET.test(name):
            end = f"{schema.suggestion(name, choices)} Allowed: {', '.join(choices)}, or a dotted path."
            raise ConfigError(f"estimators=[{name}]: there is no such choice{end}")
        found[name] = dict(OmegaConf.load(folder / f"{name}.yaml")) if name in choices else {"_target_": name}
    return found


def _compose(name: str, overrides: Sequence[str], prepare: Callable[[Sequence[str]], list[str]]) -> DictConfig:
    """The config of this name, open to changes, with overrides as `prepare` has them."""
    import hydra
    from omegaconf import OmegaConf

    try:
        with hydra.initialize_config_dir(str(conf_directory()), version_base="1.3", job_name=name):
            composed = hydra.compose(name, prepare(overrides), return_hydra_config=True)
    except (hydra.errors.HydraException, ValueError) as error:
        raise ConfigError(sentence(error)) from None
    OmegaConf.set_struct(composed, False)
    return composed


def choices_of(hydra: Any) -> dict[str, str | None]:
    """The choice of each group of ours, from Hydra's own part of a config."""
    return {group: choice for group, choice in hydra.runtime.choices.items() if group.split("/")[0] != "hydra"}


def resolve(config: DictConfig, choices: Mapping[str, str | None]) -> Config:
    """The config as plain values, every interpolation resolved and every value checked.

    Raises:
        ConfigError: a value is not allowed, or an interpolation leads nowhere.
    """
    plain = _plain(config)
    plain["choices"] = dict(choices)
    schema.check(plain)
    return {key: value for key, value in plain.items() if key not in schema.COMMANDS}


def _plain(config: DictConfig) -> Config:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        plain: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(sentence(error)) from None
    return plain


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

        set_output_bias(model.decoder, model.likelihood.initial_output, data.mean)
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

    def settings_of(group: str) -> Config:
        common = {name: value for name, value in settings.items() if name not in schema.GROUPS}
        merged = {**common, **(settings.get(group) or {})}
        if isinstance(rate := merged.get("learning_rate"), int):
            merged["learning_rate"] = float(rate)  # Keras takes no whole number
        return merged

    return {
        group: instantiate(f"optimizer.{group}", settings_of(group), keras.optimizers.Optimizer)
        for group in schema.GROUPS
    }


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
        if isinstance(cause, ConfigError):
            raise cause from None
        raise ConfigError(f"{key}._target_={target}: {type(cause).__name__}: {sentence(cause)}") from error
    if not isinstance(component, kind):
        found = type(component).__name__
        raise ConfigError(
            f"{key}._target_={target}: gives a {found}, but must give a {kind.__module__}.{kind.__name__}."
        )
    return component


def set_precision(config: Config) -> None:
    """Makes `trainer.precision` the dtype of all that is built from here on."""
    import keras

    keras.config.set_floatx(config["trainer"]["precision"])
    keras.config.set_dtype_policy(config["trainer"]["precision"])


def save(config: Config, file: Path) -> None:
    """Writes the config as YAML, whole or not at all."""
    from omegaconf import OmegaConf

    write(file, OmegaConf.to_yaml(OmegaConf.create(config)))

"""The checks of a config, before TensorFlow is imported: each setting is checked against its constructor."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vi.errors import ConfigError
from vi.kinds import ANYTHING, Decay, Kind, NonNegative, Positive, Range, Schedule, kind_of
from vi.settings import sections
from vi.settings.constructors import REQUIRED, read
from vi.settings.epochs import check_epochs, in_steps
from vi.settings.keys import COMMANDS, COMPONENTS, FILLED_IN, GROUPS, MISSING, is_of, leaves, show, suggestion

TARGET = Kind(
    "the dotted path of a class or function, such as my_module.MyClass",
    lambda v: isinstance(v, str) and re.fullmatch(r"\w+(\.\w+)+", v) is not None,
)
GIVEN = {
    "encoder": ("event_shape",),
    "decoder": ("latent_dim", "outputs"),
    "posterior": ("latent_dim",),
    "prior": ("latent_dim",),
    "likelihood": ("event_shape",),
}
"""The arguments of a component that a run sets."""

_POSITIVE, _NULL = Range(above=0).of(float), kind_of(type(None))
KERAS: dict[str, Kind] = {
    "learning_rate": _POSITIVE | kind_of(Schedule),
    **dict.fromkeys(["global_clipnorm", "clipnorm", "clipvalue"], _POSITIVE | _NULL),
    **dict.fromkeys(["beta_1", "beta_2", "rho", "momentum", "ema_momentum"], Decay.of(float)),
    "weight_decay": NonNegative.of(float) | _NULL,
    "epsilon": _POSITIVE,
    **dict.fromkeys(["nesterov", "amsgrad", "centered", "use_ema"], kind_of(bool)),
    **dict.fromkeys(["decay_steps", "first_decay_steps"], Positive.of(int)),
}
"""The kinds of the arguments of Keras's optimizers and schedules, which declare no types."""


def check(config: Mapping[str, Any]) -> None:
    """Raises ConfigError for the first key or value that is not allowed."""
    for section in ("model", "trainer", "logger"):
        if not isinstance(config.get(section), Mapping):
            raise ConfigError(_must_hold(section, config.get(section)))
    for component in COMPONENTS:
        _check_target(component, config.get(component))
    if isinstance(schedule := config.get("schedule"), Mapping):
        if "_target_" not in schedule:
            raise ConfigError(f"schedule={show(schedule)}: needs a choice, such as schedule=cosine.")
        _check_target("schedule", schedule)
    _require_set(config)
    _check_sections(config, sections.RUN, (*COMPONENTS, "choices"))
    choices = config.get("choices") or {}
    for component in COMPONENTS:
        if component != "optimizer":
            check_call(component, config[component], GIVEN.get(component, ()), choices.get(component))
    _check_optimizer(config["optimizer"], choices.get("optimizer"))
    _check_schedule(schedule, config["optimizer"])
    _check_matmul(config["trainer"])


def _check_target(component: str, settings: Any) -> None:
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{component}={show(settings)}: must be one of the group's choices, or custom.")
    target = settings.get("_target_", MISSING)
    if target == MISSING:
        raise ConfigError(
            f"{component}=custom: needs {component}._target_=DOTTED.PATH of a class or function of your own."
        )
    if not TARGET.test(target):
        raise ConfigError(f"{component}._target_={show(target)}: must be {TARGET.allowed}.")


def _check_optimizer(settings: Mapping[str, Any], choice: str | None) -> None:
    """Checks the common settings of the optimizer, and the settings of each parameter group over the common ones."""
    common = {name: value for name, value in settings.items() if name not in GROUPS}
    check_call("optimizer", common, choice=choice)
    for group in GROUPS:
        own = settings.get(group) or {}
        if not isinstance(own, Mapping):
            raise ConfigError(f"optimizer.{group}={show(own)}: must hold settings, optimizer.{group}.KEY=VALUE.")
        if own:
            check_call(f"optimizer.{group}", {**common, **own})


def _check_schedule(schedule: Any, optimizer: Mapping[str, Any]) -> None:
    """Checks that the learning rates, which the schedule multiplies, are numbers."""
    if schedule is not None and "learning_rate" not in optimizer:
        raise ConfigError(f"schedule={show(schedule['_target_'])}: needs optimizer.learning_rate=NUMBER.")
    for key, value in leaves(optimizer, "optimizer."):
        if schedule is not None and key.endswith(".learning_rate") and isinstance(value, Mapping):
            raise ConfigError(f"schedule={show(schedule['_target_'])}: {key} follows a schedule of its own already.")


def _check_matmul(trainer: Mapping[str, Any]) -> None:
    """Checks that a lower precision of products fits the other settings of the trainer."""
    matmul = trainer["matmul"]
    if matmul != "float32" and trainer["precision"] != "float32":
        raise ConfigError(f"trainer.matmul={matmul}: needs trainer.precision=float32.")
    if matmul == "tf32" and trainer["jit"] is False:  # TensorFlow keeps plans of products by their shapes alone
        raise ConfigError("trainer.matmul=tf32: needs trainer.jit=true or auto, so that evaluation stays in float32.")


def check_request(command: str, asked: Mapping[str, Any]) -> None:
    """Raises ConfigError for the first key or value that a command, "evaluate" or "diagnose", does not take."""
    _require_set(asked)
    _check_sections(asked, sections.REQUESTS[command])


def check_call(key: str, settings: Mapping[str, Any], given: Sequence[str] = (), choice: str | None = None) -> None:
    """Checks settings against the constructor of `_target_`, if it can be read without running code.

    Args:
        key: the key of the settings, for the sentence; "" for arguments without a key.
        settings: `_target_` and the arguments.
        given: further arguments of the call.
        choice: the choice of the group. If it is the target, the sentence names the choice.

    Raises:
        ConfigError: there is no such target, or an argument is missing, unknown or not allowed.
    """
    target, prefix = str(settings["_target_"]), f"{key}." if key else ""
    what = f"{key}={target}" if choice == target else f"{prefix}_target_={target}" if key else target
    try:
        constructor = read(target)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from None
    if constructor is None:
        return
    arguments, of_keras = constructor.arguments, target.startswith("keras.")
    for name, value in settings.items():
        if name in ("_target_", "_args_", "_partial_", "_recursive_", "_convert_"):
            continue
        if name not in arguments or name in given:
            if constructor.open and name not in given and not of_keras:
                continue
            raise ConfigError(f"{prefix}{name}: {target} has no such argument{_taken(prefix, name, arguments, given)}")
        kind = KERAS.get(name, ANYTHING) if of_keras else arguments[name].kind
        nested = isinstance(value, Mapping) and "_target_" in value
        if not kind.test(value) and not (nested and not target.startswith("vi.")):
            raise ConfigError(f"{prefix}{name}={show(value)}: must be {kind.allowed}.")
        if nested:
            check_call(f"{prefix}{name}", value)
    if unknown := [name for name in given if name not in arguments and not constructor.open]:
        raise ConfigError(f"{what}: must take the argument {unknown[0]}, which every {key} is given.")
    if "_args_" in settings or settings.get("_partial_"):
        return
    for name, argument in arguments.items():
        if argument.default is REQUIRED and name not in settings and name not in given:
            raise ConfigError(f"{prefix}{name} is not set; {target} needs it: {prefix}{name}=VALUE.")


def _taken(prefix: str, name: str, arguments: Mapping[str, Any], given: Sequence[str]) -> str:
    """The end of a sentence: the closest argument, or all arguments."""
    names = [each for each in arguments if each not in given]
    if (close := suggestion(name, names)) != ".":
        return close.replace("mean ", f"mean {prefix}")
    return f"; it takes {', '.join(names)}." if names else "; it takes none."


def _require_set(config: Mapping[str, Any]) -> None:
    for key, value in leaves(config):
        if value == MISSING:
            raise ConfigError(f"{key} is not set; give it on the command line, {key}=VALUE.")


def _check_sections(config: Mapping[str, Any], known: Mapping[str, type], others: Sequence[str] = ()) -> None:
    """Checks the sections of a config against their declarations; `others` are further top-level keys of the config."""
    for prefix, section in known.items():
        settings, declared = _at(config, prefix), sections.declared(section)
        if settings is None:
            continue  # no dashboard, or a key of a command, which no run's config holds
        if not isinstance(settings, Mapping):
            raise ConfigError(_must_hold(prefix, settings))
        for name, value in settings.items():
            key = f"{prefix}.{name}" if prefix else name
            if name not in declared:
                if key in (*known, *others):
                    continue
                key = next((leaf for leaf, _ in leaves({key: value})), key)
                names = [*sections.dotted_keys(known), *others]
                raise ConfigError(f"{key}: there is no such key{suggestion(key, names)}")
            if not declared[name].kind.test(value):
                raise ConfigError(f"{key}={show(value)}: must be {declared[name].kind.allowed}.")
            if isinstance(value, Mapping) and "_target_" in value:
                check_epochs(key, value)
                check_call(key, in_steps(value, 1.0))
        for name, argument in declared.items():
            key = f"{prefix}.{name}" if prefix else name
            if name not in settings and not is_of(key, (*COMMANDS, *FILLED_IN, "logger.wandb")):
                raise ConfigError(f"{key} is not set: must be {argument.kind.allowed}.")


def _at(config: Mapping[str, Any], prefix: str) -> Any:
    """The value of a config at a key; None if there is no value."""
    for name in filter(None, prefix.split(".")):
        config = config.get(name) if isinstance(config, Mapping) else None  # type: ignore[assignment]
    return config


def _must_hold(section: str, value: Any) -> str:
    """The sentence for a section that is no mapping."""
    keys = [key for key in sections.dotted_keys() if key.startswith(f"{section}.")]
    return f"{section}={show(value)}: must hold {', '.join(keys)}."

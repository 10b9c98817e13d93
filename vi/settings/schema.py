"""What a config may hold. Read before TensorFlow is imported, so that a mistake is answered at once."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from vi.errors import ConfigError

GROUPS = ("generative", "inference", "auxiliary")
MISSING = "???"


@dataclasses.dataclass(frozen=True)
class Rule:
    """What one key may hold: `test` decides, and `allowed` completes the sentence "… must be"."""

    allowed: str
    test: Callable[[Any], bool]


def number(low: float | None = None, above: float | None = None, below: float | None = None) -> Rule:
    """A finite number, at least `low` or above `above`, and below `below`."""
    limit = "" if low is None else f" of at least {low:g}"
    limit = limit if above is None else f" above {above:g}"
    limit = limit if below is None else f"{limit} and below {below:g}"
    return Rule(
        f"a finite number{limit}",
        lambda v: (
            _is_number(v)
            and (low is None or v >= low)
            and (above is None or v > above)
            and (below is None or v < below)
        ),
    )


def integer(low: int, high: int | None = None) -> Rule:
    """A whole number from `low` to `high`."""
    limit = f"of at least {low}" if high is None else f"from {low} to {high}"
    return Rule(
        f"a whole number {limit}",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= (v if high is None else high),
    )


def choice(*values: Any) -> Rule:
    """One of the values."""
    names = [str(v).lower() if isinstance(v, bool) else str(v) for v in values]
    return Rule(" or ".join(filter(None, [", ".join(names[:-1]), names[-1]])), lambda v: any(v == w for w in values))


def widths(at_least: int = 0) -> Rule:
    """A list of positive whole numbers."""
    return Rule(
        f"a list of {'at least one ' if at_least else ''}positive whole number{'' if at_least else 's'}, such as [256]",
        lambda v: (
            isinstance(v, Sequence)
            and not isinstance(v, str)
            and len(v) >= at_least
            and all(integer(1).test(w) for w in v)
        ),
    )


def each(rule: Rule, plural: str) -> Rule:
    """One value for all layers, or a list with one for each."""
    return Rule(
        f"{rule.allowed}, or a list of {plural}, one a layer",
        lambda v: (
            rule.test(v)
            or (isinstance(v, Sequence) and not isinstance(v, str) and len(v) > 0 and all(map(rule.test, v)))
        ),
    )


def either(first: Rule, second: Rule) -> Rule:
    """What one of two rules allows."""
    return Rule(f"{first.allowed}, or {second.allowed}", lambda v: first.test(v) or second.test(v))


TEXT = Rule("a text", lambda v: isinstance(v, str) and v != "")
DIRECTORY = Rule("a directory", lambda v: TEXT.test(v) or isinstance(v, int))  # a job's directory is a number
NOTHING = Rule("null", lambda v: v is None)
TARGET = Rule(
    "the dotted path of a class or function, such as my_module.MyClass",
    lambda v: isinstance(v, str) and re.fullmatch(r"\w+(\.\w+)+", v) is not None,
)
SCHEDULE = Rule(
    "a Keras schedule with its _target_",
    lambda v: isinstance(v, Mapping) and isinstance(v.get("_target_"), str),
)
ACTIVATIONS = (
    *(
        "celu",
        "elu",
        "exponential",
        "gelu",
        "glu",
        "hard_shrink",
        "hard_sigmoid",
        "hard_silu",
        "hard_swish",
        "hard_tanh",
    ),
    *("leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu"),
    *("soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus"),
    *("swish", "tanh", "tanh_shrink", "threshold"),
)
ACTIVATION = Rule(f"a Keras activation, one of {', '.join(ACTIVATIONS)}", lambda v: v in ACTIVATIONS)
FRACTION = Rule("a fraction between 0 and 1", lambda v: isinstance(v, float) and 0 < v < 1)
VALIDATION = either(FRACTION, either(integer(1), choice("given", "test")))

RULES: dict[str, Rule] = {
    "name": Rule(
        "a name of letters, digits, hyphens, underscores and dots, which does not begin with a dot",
        lambda v: isinstance(v, str) and re.fullmatch(r"[\w-][\w.-]*", v) is not None,
    ),
    "seed": integer(0, 2**31 - 1),
    "resume": either(DIRECTORY, NOTHING),
    "init_from": either(DIRECTORY, NOTHING),
    "sweep.resume": either(DIRECTORY, NOTHING),
    "model.latent_dim": integer(1),
    "model.output_bias": choice("zeros", "data_mean"),
    "data.path": either(TEXT, NOTHING),
    "data.validation": either(VALIDATION, NOTHING),
    "data.binarization": choice("none", "dynamic", "static"),
    "data.scale": number(above=0),
    "data.seed": integer(0, 2**31 - 1),
    "data.size": integer(2),
    "data.features": integer(1),
    "data.factors": integer(1),
    "data.sd": number(above=0),
    "encoder.hidden": widths(),
    "encoder.activation": ACTIVATION,
    "encoder.filters": widths(at_least=1),
    "encoder.kernel_size": each(integer(1), "them"),
    "encoder.strides": each(integer(1), "them"),
    "encoder.padding": each(choice("same", "valid"), "them"),
    "encoder.offset": number(),
    "decoder.hidden": widths(),
    "decoder.activation": ACTIVATION,
    "decoder.filters": widths(at_least=1),
    "decoder.kernel_size": each(integer(1), "them"),
    "decoder.strides": each(integer(1), "them"),
    "decoder.padding": each(choice("same", "valid"), "them"),
    "decoder.output_kernel_size": integer(1),
    "decoder.projection": choice(True, False),
    "posterior.scale": choice("log_variance", "log_sd"),
    "posterior.base": choice("normal", "laplace", "logistic", "gumbel"),
    "posterior.base_scale": number(above=0),
    "posterior.activation": ACTIVATION,
    "posterior.categories": integer(2),
    "posterior.temperature": either(number(above=0), SCHEDULE),
    "posterior.straight_through": choice(True, False),
    "prior.categories": integer(2),
    "prior.learned": choice(True, False),
    "likelihood.mean": choice("linear", "sigmoid"),
    "likelihood.scale": choice("fixed", "shared", "per_dimension", "output"),
    "likelihood.sd": number(above=0),
    "estimator.samples": integer(1),
    "estimator.divergence_samples": integer(0),
    "estimator.free_bits": number(low=0),
    "estimator.groups": either(integer(1), NOTHING),
    "estimator.capacity": either(either(number(low=0), SCHEDULE), NOTHING),
    "estimator.outer": integer(1),
    "estimator.importance_weighted": choice(True, False),
    "estimator.alpha": either(number(), choice("max")),
    "estimator.order": number(above=1),
    "estimator.form": choice("log", "exponential"),
    "estimator.offset": either(number(), NOTHING),
    "estimator.function": TEXT,
    "estimator.baseline": choice("leave_one_out", "moving_average", "learned", "none"),
    "estimator.decay": number(low=0, below=1),
    "estimator.hidden": widths(),
    "estimator.inference": choice("wake", "sleep", "both"),
    "estimator.dreams": integer(1),
    "trainer.epochs": number(above=0),
    "trainer.batch_size": integer(1),
    "trainer.beta": either(number(low=0), SCHEDULE),
    "trainer.noise": choice("fresh", "fixed"),
    "trainer.jit": choice("auto", True, False),
    "trainer.precision": choice("float32", "float64"),
    "trainer.steps_per_call": either(integer(1), choice("auto")),
    "trainer.evaluate_every": number(above=0),
    "trainer.validation_samples": integer(1),
    "trainer.validation_size": integer(1),
    "trainer.monitor": choice(
        "validation/iw_bound",
        "validation/elbo",
        "validation/nll",
        "train/bound",
        "train/elbo",
        "train/nll",
        "train/loss",
    ),
    "trainer.evaluate": choice(True, False),
    "trainer.evaluation_samples": integer(1),
    "trainer.diagnose_every": either(number(above=0), NOTHING),
    "trainer.patience": either(integer(1), NOTHING),
    "trainer.nonfinite": choice("stop", "skip"),
    "logger.wandb": either(NOTHING, Rule("a mapping of settings", lambda v: isinstance(v, Mapping))),
    "logger.wandb.mode": choice("offline", "online", "disabled"),
    "logger.wandb.project": TEXT,
    "logger.wandb.entity": either(TEXT, NOTHING),
    **{f"trainer.update_every.{group}": integer(1) for group in GROUPS},
}

OPTIMIZER_RULES: dict[str, Rule] = {
    "learning_rate": either(number(above=0), SCHEDULE),
    "global_clipnorm": either(number(above=0), NOTHING),
    **dict.fromkeys(["beta_1", "beta_2", "rho", "momentum"], number(low=0, below=1)),
    "epsilon": number(above=0),
    "nesterov": choice(True, False),
}
for _name, _rule in OPTIMIZER_RULES.items():
    RULES |= {f"optimizer.{prefix}{_name}": _rule for prefix in ("", *(f"{group}." for group in GROUPS))}

SPLIT = choice("test", "validation", "train")
REQUESTS: dict[str, dict[str, Rule]] = {
    "evaluate": {
        "run": DIRECTORY,
        "checkpoint": choice("best", "last"),
        "split": SPLIT,
        "samples": integer(1),
        "size": either(integer(1), NOTHING),
        "data.path": either(TEXT, NOTHING),
    },
    "diagnose": {
        "run": DIRECTORY,
        "checkpoint": choice("best", "last", "initial"),
        "split": SPLIT,
        "estimators": Rule(
            "a list of choices of the group estimator, or of dotted paths of classes, such as [iwae, dreg]",
            lambda v: isinstance(v, Sequence) and not isinstance(v, str) and len(v) > 0 and all(map(TEXT.test, v)),
        ),
        "samples": widths(at_least=1),
        "repeats": integer(20),
        "batch_size": integer(1),
        "data.path": either(TEXT, NOTHING),
    },
}
"""What `vi-evaluate` and `vi-diagnose` are asked for."""

CHOSEN = ("trainer", "warmup", "logger", "experiment", "debug", "sweep")
COMPONENTS = ("data", "encoder", "posterior", "decoder", "likelihood", "prior", "estimator", "optimizer")
FILLED_IN = ("pseudo", "model.event_shape")
COMMANDS = ("resume", "sweep")
"""What a command asks for, and no config of a run holds."""
MAY_CHANGE = ("trainer.epochs", "data.path", "logger")
"""What may differ from the run that is resumed."""


def check(config: Mapping[str, Any]) -> None:
    """Raises ConfigError for the first key or value that is not allowed; components of a user's own are not read."""
    for section in ("model", "trainer", "logger"):
        if not isinstance(config.get(section), Mapping):
            keys = ", ".join(key for key in RULES if key.startswith(f"{section}."))
            raise ConfigError(f"{section}={show(config.get(section))}: must hold {keys}.")
    for component in COMPONENTS:
        settings = config.get(component)
        if not isinstance(settings, Mapping):
            raise ConfigError(f"{component}={show(settings)}: must be one of the group's choices, or custom.")
        if settings.get("_target_", MISSING) == MISSING:
            raise ConfigError(
                f"{component}=custom: needs {component}._target_=DOTTED.PATH of a class or function of your own."
            )
        if not TARGET.test(settings["_target_"]):
            raise ConfigError(f"{component}._target_={show(settings['_target_'])}: must be {TARGET.allowed}.")
    found = dict(leaves(config))
    for key, value in found.items():
        if value == MISSING:
            raise ConfigError(f"{key} is not set; give it on the command line, {key}=VALUE.")
        component, rule = key.split(".")[0], RULES.get(key)
        if (
            component not in COMPONENTS
            and rule is None
            and key not in FILLED_IN
            and not key.startswith(("logger.wandb.", "choices."))
        ):
            raise ConfigError(f"{key}: there is no such key{suggestion(key, list(RULES))}")
        ours = component not in COMPONENTS or str(config[component]["_target_"]).startswith(("vi.", "keras."))
        if ours and rule is not None and not rule.test(value):
            raise ConfigError(f"{key}={show(value)}: must be {rule.allowed}.")
    for key in RULES:
        section = key.split(".")[0]
        if section not in (*COMPONENTS, *COMMANDS) and not key.startswith("logger.wandb") and key not in found:
            raise ConfigError(f"{key} is not set: must be {RULES[key].allowed}.")


def check_request(command: str, asked: Mapping[str, Any]) -> None:
    """Raises ConfigError for the first key or value that a command does not take: one of `REQUESTS`."""
    found, rules = dict(leaves(asked)), REQUESTS[command]
    for key in found:
        if key not in rules:
            raise ConfigError(f"{key}: there is no such key{suggestion(key, list(rules))}")
    for key, rule in rules.items():
        if (value := found.get(key, MISSING)) == MISSING:
            raise ConfigError(f"{key} is not set; give it on the command line, {key}=VALUE.")
        if not rule.test(value):
            raise ConfigError(f"{key}={show(value)}: must be {rule.allowed}.")


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of a nested config and their values; schedules and lists are values."""
    for name, value in config.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and (key not in RULES or key == "logger.wandb"):
            yield from leaves(value, f"{key}.")
        else:
            yield key, value


def is_of(key: str, sections: Sequence[str]) -> bool:
    """Whether a dotted key is one of these, or below one."""
    return any(key == section or key.startswith(f"{section}.") for section in sections)


def show(value: Any) -> str:
    """A value as it is typed in a config."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def suggestion(wrong: str, allowed: Sequence[str]) -> str:
    """The end of a sentence: the closest allowed name as a question, or a full stop."""
    close = difflib.get_close_matches(wrong, [name for name in allowed if name != wrong], 1)
    return f"; did you mean {close[0]}?" if close else "."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")

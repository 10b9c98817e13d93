"""What a run leaves beside its numbers: the description of its model, its W&B run, its evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vi.evaluation.report import flat
from vi.files import write
from vi.loggers.dashboard import WandbLogger
from vi.pictures.draw import draw
from vi.runs.summary import Command, count_parameters, count_variables
from vi.training.trainer import Trainer


def describe(model: Any, trainer: Trainer) -> str:
    """The Keras summaries of encoder and decoder, and the parameters of each group."""
    lines: list[str] = []
    for network in (model.encoder, model.decoder):
        if hasattr(network, "summary"):
            network.summary(print_fn=lines.append, line_length=78)
    parts = {"posterior": model.posterior, "likelihood": model.likelihood, "prior": model.prior}
    lines += [
        f"{name}: {type(part).__name__}, {count_variables(part.trainable_variables):,} parameters"
        for name, part in parts.items()
    ]
    lines += [f"{group}: {count:,} trainable parameters" for group, count in count_parameters(trainer).items()]
    return "\n".join(lines) + "\n"


def dashboard(config: dict, summary: dict, command: Command, directory: Path) -> WandbLogger:
    """The W&B run of a run, begun or gone on with."""
    choices, settings = config.get("choices") or {}, dict(config["logger"]["wandb"])
    tags = [config["name"], *(choices[group] for group in ("estimator", "data") if choices.get(group))]
    about = {
        "id": summary["wandb_id"],
        "name": f"{config['name']}/{directory.name}",
        "group": command.group,
        "notes": command.line,
        "tags": [*tags, *settings.pop("tags", [])],
    }
    return WandbLogger(directory, config, **(about | settings))


def record(evaluation: dict, pictures: dict[str, Path], config: dict, summary: dict, directory: Path) -> None:
    """Adds the numbers and the pictures of an evaluation to the W&B run of a run that has ended, if it has one."""
    if config["logger"]["wandb"] and "wandb_id" in summary:
        group = directory.parent.name if (directory.parent / "multirun.yaml").exists() else None
        logger = dashboard(config, summary, Command(summary["command"], summary["overrides"], group), directory)
        for name, path in pictures.items():
            logger.picture(f"evaluation/{name}", path)
        logger.finish(summary | flat(evaluation), hurried=False)


def leave(
    evaluation: Mapping[str, Any], parts: Any, directory: Path, check: Callable[[], None] = lambda: None
) -> dict[str, Path]:
    """Writes evaluation.json and the pictures of its split below the directory of a run; returns these by name."""
    write(directory / "evaluation.json", json.dumps(evaluation, indent=2, allow_nan=False) + "\n")
    split = getattr(parts.data, evaluation["split"])
    return dict(draw(parts, split, directory / "metrics.csv", directory / "evaluation", check))

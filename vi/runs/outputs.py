"""The outputs of a run besides its metrics: the description of its model, its W&B run, its evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from vi.data.dataset import Dataset
from vi.errors import ConfigError
from vi.evaluation.scores import flat
from vi.files import require_real, write
from vi.loggers.dashboard import WandbLogger
from vi.loggers.notebook import without_displays
from vi.models.latent import LatentVariableModel
from vi.models.people import count_variables
from vi.pictures.embedded import embedded
from vi.pictures.gallery import draw_pictures
from vi.runs.directory import Summary
from vi.runs.summary import Command, count_parameters
from vi.settings.saved import Config
from vi.text import html
from vi.training.trainer import Trainer

WIDEST = 1400  # pixels of a picture in a notebook: as many as the pictures of a run have


def describe(model: LatentVariableModel, trainer: Trainer) -> str:
    """The Keras summaries of encoder and decoder, and the parameters of each group."""
    lines: list[str] = []
    for network in (model.encoder, model.decoder):
        if hasattr(network, "summary"):
            with without_displays():
                network.summary(print_fn=lines.append, line_length=78)
    parts: dict[str, keras.Layer] = {"posterior": model.posterior, "likelihood": model.likelihood, "prior": model.prior}
    lines += [
        f"{name}: {type(part).__name__}, {count_variables(part.trainable_variables):,} parameters"
        for name, part in parts.items()
    ]
    lines += [f"{group}: {count:,} trainable parameters" for group, count in count_parameters(trainer).items()]
    return "\n".join(lines) + "\n"


def figures(directory: Path) -> str:
    """The pictures in the directory of a run as HTML. They are inside the text, so nothing is loaded to show them."""
    try:
        require_real(directory)
    except ConfigError as error:
        return f"<p>{html(error)}</p>"
    files = sorted((directory / "figures").glob("*.png"))
    shown = "".join(embedded(file, WIDEST, zoom=0.5) for file in files if not file.stem.endswith("_diagram"))
    return f'<div style="display:flex;flex-wrap:wrap;align-items:flex-end;gap:1em">{shown}</div>'


def dashboard(config: Config, summary: Summary, command: Command, directory: Path) -> WandbLogger:
    """The logger that begins or resumes the W&B run of a run."""
    choices, settings = config.get("choices") or {}, dict(config["logger"]["wandb"])
    tags = [config["name"], *(choices[group] for group in ("estimator", "data") if choices.get(group))]
    about = {
        "id": summary["wandb_id"],
        "name": f"{config['name']}/{directory.name}",
        "notes": command.line,
        "tags": [*tags, *settings.pop("tags", [])],
        "group": settings.pop("group", None) or command.group,
    }
    return WandbLogger(directory, config, **(about | settings))


def record(
    evaluation: Mapping[str, Any], pictures: Mapping[str, Path], config: Config, summary: Summary, directory: Path
) -> None:
    """Adds the numbers and the pictures of an evaluation to the W&B run of an ended run, if the run has one."""
    if config["logger"]["wandb"] and "wandb_id" in summary:
        group = directory.parent.name if (directory.parent / "multirun.yaml").exists() else None
        logger = dashboard(config, summary, Command(summary["command"], summary["overrides"], group), directory)
        for name, path in pictures.items():
            logger.picture(f"evaluation/{name}", path)
        logger.finish(summary | flat(evaluation), hurried=False)


def write_evaluation(
    evaluation: Mapping[str, Any],
    model: LatentVariableModel,
    data: Dataset,
    directory: Path,
    poll: Callable[[], None],
) -> dict[str, Path]:
    """Writes evaluation.json and pictures of its split into the directory of a run; returns the pictures by name."""
    write(directory / "evaluation.json", json.dumps(evaluation, indent=2, allow_nan=False) + "\n")
    split = getattr(data, evaluation["split"])
    metrics, folder = directory / "metrics.csv", directory / "evaluation"
    return dict(draw_pictures(model, data, split, metrics, folder, poll))

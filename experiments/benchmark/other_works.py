"""The works beside dense training: convolutions, log p(x), whole processes, and the memory of an evaluation."""

from __future__ import annotations

from typing import Any

from experiments.benchmark.dense import BURDA_DECODER, BURDA_ENCODER, weights
from experiments.benchmark.work import Contestant, Work

W3 = Work(
    key="W3",
    title="Training steps of the convolutional VAE of TFP's tutorial, batch 256",
    unit="ms a step",
    per=0.01,
    contestants=(
        Contestant("vi", "vi", "vi_training", "convolutional"),
        Contestant("Keras 2 fit, TFP layers", "keras", "keras2_conv", "steps"),
        Contestant(
            "PyTorch, contiguous",
            "torch",
            "torch_conv",
            "steps",
            {"memory_format": "contiguous_format", "compiled": False},
        ),
        Contestant(
            "PyTorch, channels last",
            "torch",
            "torch_conv",
            "steps",
            {"memory_format": "channels_last", "compiled": False},
        ),
        Contestant(
            "torch.compile", "torch", "torch_conv", "steps", {"memory_format": "channels_last", "compiled": True}
        ),
        Contestant("JAX scan", "jax", "jax_conv", "steps", most=1),
    ),
    options={"batch": 256, "updates": 10},
    parameters=749_305,
    tolerance=15.0,  # after at least five rounds; before, the bound rises by tens of nats a round
)

W4 = Work(
    key="W4",
    title="log p(x) by 5,000 importance samples, Burda et al.'s one-layer network",
    unit="s a datum",
    per=100,
    contestants=(
        Contestant("vi-evaluate", "vi", "vi_evaluation", "log_likelihood"),
        Contestant("pythae get_nll", "pythae", "pythae_evaluation", "log_likelihood"),
        Contestant("JAX", "jax", "jax_evaluation", "log_likelihood"),
    ),
    options={"batch": 100, "samples": 5000},
    parameters=weights(*BURDA_ENCODER, *BURDA_DECODER),
    tolerance=0.3,
    operations=100 * 5000 * sum(2 * i * o for i, o in BURDA_DECODER),  # the encoder, once a datum, is left out
    warmup=1,
)


def _processes(key: str, title: str, by_name: dict[str, str], warmup: int = 1, **options: Any) -> Work:
    """A work whose rounds are whole processes, by functions of the module `processes`."""
    contestants = tuple(Contestant(name, "vi", "processes", function) for name, function in by_name.items())
    options = options or {"overrides": [], "epochs": 1000}
    tolerance = 2.0  # nats: the Keras script holds out other images
    return Work(key, title, "s", 1, contestants, options, tolerance=tolerance, warmup=warmup)


def _memory(samples: int) -> Work:
    title = f"The process of vi-evaluate for 100 images with {samples} samples: its peak memory"
    return _processes(f"W6, S = {samples}", title, {"vi-evaluate": "memory"}, warmup=0, samples=samples, data=100)


W5 = (
    _processes(
        "W5, first step",
        "From the shell to the end of the first train step",
        {"vi-train": "first_step", "Keras script": "script_first_step"},
    ),
    _processes(
        "W5, default run",
        "From the shell to the end of the default run",
        {"vi-train": "default_run", "Keras script": "script_run"},
        warmup=0,
    ),
    _processes(
        "W5, second job",
        "The second job of a sweep, to the end of its first train step",
        {"vi-train -m": "second_job"},
        warmup=0,
    ),
    _processes("W5, help", "From the shell to the end of vi-train --help", {"vi-train --help": "show_help"}),
)
OTHER_WORKS = (W3, W4, *W5, _memory(50), _memory(500), _memory(5000))

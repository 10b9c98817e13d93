"""The works beside dense training: convolutions, log p(x), whole processes, and the memory of an evaluation."""

from __future__ import annotations

from experiments.benchmark.work import Contestant, Work

DECODER = 50 * 200 + 200 * 200 + 200 * 784
"""The weights that each sample of Burda's network passes."""

W3 = Work(
    key="W3",
    title="Training steps of the convolutional VAE of TFP's tutorial, batch 256",
    unit="ms a step",
    per=0.01,
    contestants=(
        Contestant("vi", "vi", "vi_conv", "steps"),
        Contestant("Keras 2 fit, TFP layers", "keras", "keras2_conv", "steps"),
        Contestant("PyTorch, contiguous", "torch", "torch_conv", "contiguous"),
        Contestant("PyTorch, channels last", "torch", "torch_conv", "channels_last"),
        Contestant("torch.compile", "torch", "torch_conv", "compiled"),
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
    parameters=425_284,
    tolerance=0.3,
    operations=100 * 5000 * 2 * DECODER,  # two for each weight; the encoder, once a datum, is left out
    warmup=1,
)

START = {"overrides": [], "epochs": 1000}
FIRST_STEP = Work(
    key="W5, first step",
    title="From the shell to the end of the first train step",
    unit="s",
    per=1,
    contestants=(
        Contestant("vi-train", "vi", "processes", "first_step"),
        Contestant("Keras script", "vi", "processes", "script_first_step"),
    ),
    options=START,
    warmup=1,
)
DEFAULT_RUN = Work(
    key="W5, default run",
    title="From the shell to the end of the default run",
    unit="s",
    per=1,
    contestants=(
        Contestant("vi-train", "vi", "processes", "default_run"),
        Contestant("Keras script", "vi", "processes", "script_run"),
    ),
    options=START,
    tolerance=2.0,  # they hold out different images
    warmup=0,
)
SECOND_JOB = Work(
    key="W5, second job",
    title="The second job of a sweep, to the end of its first train step",
    unit="s",
    per=1,
    contestants=(Contestant("vi-train -m", "vi", "processes", "second_job"),),
    options=START,
    warmup=0,
)
HELP = Work(
    key="W5, help",
    title="From the shell to the end of vi-train --help",
    unit="s",
    per=1,
    contestants=(Contestant("vi-train --help", "vi", "processes", "show_help"),),
    options=START,
    warmup=1,
)


def _memory(samples: int) -> Work:
    return Work(
        key=f"W6, S = {samples}",
        title=f"The process of vi-evaluate for 100 images with {samples} samples: its peak memory",
        unit="s",
        per=1,
        contestants=(Contestant("vi-evaluate", "vi", "processes", "memory"),),
        options={"samples": samples, "data": 100},
        warmup=0,
    )


OTHER_WORKS = (W3, W4, FIRST_STEP, DEFAULT_RUN, SECOND_JOB, HELP, _memory(50), _memory(500), _memory(5000))

"""The works, and who does them."""

from __future__ import annotations

from experiments.benchmark.dense import BURDA_DECODER, BURDA_ENCODER, MLP, products, weights
from experiments.benchmark.other_works import OTHER_WORKS
from experiments.benchmark.work import Contestant, Work

CEILINGS = (
    Contestant("TensorFlow's product", "vi", "tensorflow_ceiling", "Product"),
    Contestant("PyTorch's product", "torch", "torch_ceiling", "Product"),
)
"""The faster one of the two is the ceiling of a work that counts operations."""


def _trained(function: str, numpyro: str) -> tuple[Contestant, ...]:
    """All who take a function of their training module; NumPyro is shown with the name of its objective."""
    return (
        Contestant("vi", "vi", "vi_training", function),
        Contestant(f"NumPyro {numpyro}", "numpyro", "numpyro_training", function),
        Contestant("JAX scan", "jax", "jax_training", function),
        Contestant("PyTorch eager", "torch", "torch_training", function, {"compiled": False}),
        Contestant("torch.compile", "torch", "torch_training", function, {"compiled": True}),
        Contestant("pythae", "pythae", "pythae_training", function),
    )


W1 = Work(
    key="W1",
    title="A pass over MNIST: 784–256–2, analytic KL, batch 100",
    unit="s a pass",
    per=1,
    contestants=(
        *_trained("analytic_kl", "SVI"),
        Contestant("Keras fit", "keras", "keras_training", "Training", {"fit": True, "steps_per_execution": 50}),
        Contestant("tf.function a step", "keras", "keras_training", "Training", {"fit": False}),
    ),
    options={"batch": 100, "updates": 600},
    parameters=weights(*MLP),
    tolerance=2.0,
    operations=60_000 * products(*MLP, first=True),
)


def _w2(batch: int, updates: int) -> Work:
    return Work(
        key=f"W2, batch {batch}",
        title=f"A training step of IWAE, k = 50, on binarized MNIST, batch {batch}",
        unit="ms a step",
        per=updates / 1000,
        contestants=_trained("iwae", "RenyiELBO"),
        options={"batch": batch, "updates": updates},
        parameters=weights(*BURDA_ENCODER, *BURDA_DECODER),
        tolerance=4.0,
        operations=batch * updates * (products(*BURDA_ENCODER, first=True) + 50 * products(*BURDA_DECODER)),
    )


WORKS = (W1, _w2(20, 300), _w2(100, 100), *OTHER_WORKS)

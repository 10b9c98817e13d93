"""The works, and who does them."""

from __future__ import annotations

from experiments.benchmark.other_works import OTHER_WORKS
from experiments.benchmark.work import Contestant, Work

CEILINGS = (
    Contestant("TensorFlow's product", "vi", "tensorflow_ceiling", "Product"),
    Contestant("PyTorch's product", "torch", "torch_ceiling", "Product"),
)
"""The faster one of the two is the ceiling of a work that counts operations."""

MLP = ((784, 256), (256, 4), (2, 256), (256, 784))
BURDA_ENCODER, BURDA_DECODER = ((784, 200), (200, 200), (200, 100)), ((50, 200), (200, 200), (200, 784))


def weights(*layers: tuple[int, int]) -> int:
    """The parameters of dense layers with biases."""
    return sum((inputs + 1) * outputs for inputs, outputs in layers)


def products(*layers: tuple[int, int], first: bool = False) -> int:
    """The floating-point operations of a training step for one datum or sample.

    Two for each weight in the forward pass, two for the gradient by the weights, and two for the gradient by the
    inputs, which a `first` layer does not need. Only matrix products count; all else is overhead.
    """
    return sum((4 if first and n == 0 else 6) * i * o for n, (i, o) in enumerate(layers))


W1 = Work(
    key="W1",
    title="A pass over MNIST: 784–256–2, analytic KL, batch 100",
    unit="s a pass",
    per=1,
    contestants=(
        Contestant("vi", "vi", "vi_training", "analytic_kl"),
        Contestant("NumPyro SVI", "numpyro", "numpyro_training", "analytic_kl"),
        Contestant("JAX scan", "jax", "jax_training", "analytic_kl"),
        Contestant("PyTorch eager", "torch", "torch_training", "analytic_kl", {"compiled": False}),
        Contestant("torch.compile", "torch", "torch_training", "analytic_kl", {"compiled": True}),
        Contestant("pythae", "pythae", "pythae_training", "analytic_kl"),
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
        contestants=(
            Contestant("vi", "vi", "vi_training", "iwae"),
            Contestant("NumPyro RenyiELBO", "numpyro", "numpyro_training", "iwae"),
            Contestant("JAX scan", "jax", "jax_training", "iwae"),
            Contestant("PyTorch eager", "torch", "torch_training", "iwae", {"compiled": False}),
            Contestant("torch.compile", "torch", "torch_training", "iwae", {"compiled": True}),
            Contestant("pythae", "pythae", "pythae_training", "iwae"),
        ),
        options={"batch": batch, "updates": updates},
        parameters=weights(*BURDA_ENCODER, *BURDA_DECODER),
        tolerance=4.0,
        operations=batch * updates * (products(*BURDA_ENCODER, first=True) + 50 * products(*BURDA_DECODER)),
    )


WORKS = (W1, _w2(20, 300), _w2(100, 100), *OTHER_WORKS)

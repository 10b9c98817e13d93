"""The dense networks of the works: their weights, and the useful operations of their products."""

from __future__ import annotations

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

"""Data sets: from named arrays, from files, by name, and drawn from a known model."""

from vi.data.dataset import Dataset, Split
from vi.data.named import arrays, binarized_mnist, digits, fashion_mnist, mnist, omniglot
from vi.data.synthetic import linear_gaussian, nothing

__all__ = [
    "Dataset",
    "Split",
    "arrays",
    "binarized_mnist",
    "digits",
    "fashion_mnist",
    "linear_gaussian",
    "mnist",
    "nothing",
    "omniglot",
]

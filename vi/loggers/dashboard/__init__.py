"""Weights & Biases, fed by a thread beside the training. A failure of W&B does not stop the training."""

from vi.loggers.dashboard.logger import WandbLogger

__all__ = ["WandbLogger"]

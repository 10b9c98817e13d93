"""Weights & Biases, fed by a thread beside the training: whatever happens to it, the training goes on."""

from vi.loggers.dashboard.logger import WandbLogger

__all__ = ["WandbLogger"]

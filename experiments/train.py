"""Trains a model: the same as the command `vi-train`."""

from vi.cli import train

if __name__ == "__main__":
    train()

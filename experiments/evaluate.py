"""Evaluates a trained run: the same as the command `vi-evaluate`."""

from vi.cli import evaluate

if __name__ == "__main__":
    evaluate()

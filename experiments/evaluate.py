"""Evaluates a trained run: the same as the command `vi-evaluate`."""

from vi.commands import evaluate

if __name__ == "__main__":
    evaluate()

"""Trains a model: the same as the command `vi-train`."""

from vi.commands.train import main

if __name__ == "__main__":
    main()

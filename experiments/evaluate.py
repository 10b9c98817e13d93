"""Evaluates a trained run: the same as the command `vi-evaluate`."""

from vi.commands.evaluate import main

if __name__ == "__main__":
    main()

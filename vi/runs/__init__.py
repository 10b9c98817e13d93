"""Runs: from a config to the files of a run, and from these files back to the model."""

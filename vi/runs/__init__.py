"""Runs: from a config to the files of a run, and from the files back to the model."""

"""Runs: from a config to the files of a run, and from these back to its model."""

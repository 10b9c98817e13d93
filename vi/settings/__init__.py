"""Configs: their allowed values, and their composition, reading and writing, without TensorFlow."""

"""Configs: what they may hold, and how they are composed, read and written, without TensorFlow."""

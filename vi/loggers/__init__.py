"""The loggers of a run's numbers: metrics.csv, the terminal and Weights & Biases."""

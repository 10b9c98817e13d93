"""Where a run's numbers go: metrics.csv, the terminal and Weights & Biases."""

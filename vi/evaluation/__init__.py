"""Estimates on held-out data, independent of the training estimator."""

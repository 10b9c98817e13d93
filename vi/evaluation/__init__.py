"""Estimates on held-out data that do not depend on the estimator trained with."""

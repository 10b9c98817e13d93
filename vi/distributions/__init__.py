"""Distributions that posteriors and priors share."""

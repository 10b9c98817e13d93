"""Training: the train step, the compiled loop over steps, and the fit to its end."""

"""Training: the train step, the compiled loop over steps, and the whole fit."""

"""The names of the compared numbers, as in metrics.csv and summary.json."""

BOUNDS = ("validation/iw_bound", "validation/elbo", "validation/nll", "validation/kl")
CURVES = (*BOUNDS, "train/bound")
NUMBERS = [
    *(f"{bound} {when}" for bound in BOUNDS for when in ("best", "final")),
    *("parameters", "seconds", "examples_per_second", "knn_accuracy"),
]
BEST, BEST_NLL = "validation/iw_bound best", "validation/nll best"
ERROR = " standard error"

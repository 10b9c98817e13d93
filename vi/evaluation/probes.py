"""Simple classifiers of labels, fitted on the posterior means of training data: what the latents hold of them."""

from __future__ import annotations

import numpy as np

CLASSES = 100
"""Labels of more classes are no task for a probe."""


def are_classes(labels: np.ndarray | None) -> bool:
    """Whether there are labels, whole numbers of few classes."""
    return labels is not None and labels.dtype.kind in "iu" and len(np.unique(labels)) <= CLASSES


def knn_accuracy(train_means, train_labels, means, labels, neighbours: int = 10) -> float | None:
    """The accuracy of a k-nearest-neighbours classifier of labels, fitted on the posterior means of training data.

    None where there are fewer training data than neighbours.
    """
    from sklearn.neighbors import KNeighborsClassifier

    if len(train_means) < neighbours:
        return None
    return float(KNeighborsClassifier(neighbours).fit(train_means, train_labels).score(means, labels))


def logistic_accuracy(train_means, train_labels, means, labels) -> float | None:
    """The accuracy of a logistic regression of labels on standardized posterior means, fitted on training data.

    None where the training data have one class only.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    if len(np.unique(train_labels)) < 2:
        return None
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000))
    with threadpool_limits(1, "blas"):  # its products are small: on busy cores, waiting threads take 100 times as long
        probe.fit(train_means.astype(np.float64), train_labels)
    return float(probe.score(means.astype(np.float64), labels))

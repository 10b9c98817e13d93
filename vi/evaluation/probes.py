"""Probes: simple classifiers that predict labels from posterior means, fitted on training data."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np

CLASSES = 100
"""Labels with more classes than this are not probed."""


def are_classes(labels: np.ndarray | None) -> TypeGuard[np.ndarray]:
    """Whether the labels are whole numbers of at most `CLASSES` classes."""
    return labels is not None and labels.dtype.kind in "iu" and len(np.unique(labels)) <= CLASSES


def knn_accuracy(
    train_means: np.ndarray, train_labels: np.ndarray, means: np.ndarray, labels: np.ndarray, neighbours: int = 10
) -> float | None:
    """The accuracy of a k-nearest-neighbours classifier of posterior means; None with fewer data than neighbours."""
    from sklearn.neighbors import KNeighborsClassifier

    if len(train_means) < neighbours:
        return None
    return float(KNeighborsClassifier(neighbours).fit(train_means, train_labels).score(means, labels))


def logistic_accuracy(
    train_means: np.ndarray, train_labels: np.ndarray, means: np.ndarray, labels: np.ndarray
) -> float | None:
    """The accuracy of a logistic regression on standardized posterior means; None if there is one class only."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    if len(np.unique(train_labels)) < 2:
        return None
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000))
    # The products are small. On busy cores, threads that wait for one another would take 100 times as long.
    with threadpool_limits(1, "blas"):
        probe.fit(train_means.astype(np.float64), train_labels)
    return float(probe.score(means.astype(np.float64), labels))

"""Opens a split of a data set for a command."""

from __future__ import annotations

from vi.data.dataset import Dataset, Split
from vi.errors import ConfigError
from vi.likelihoods.base import Likelihood


def open_split(data: Dataset, likelihood: Likelihood, split: str, asked: str | None = None) -> Split:
    """The split "train", "validation" or "test" of the data.

    `asked` is the setting that requests the split, for error messages; by default split=NAME.

    Raises:
        ConfigError: the data have no such split, or its values do not fit the likelihood.
    """
    try:
        opened: Split = getattr(data, split)
        if likelihood.support == "binary":
            data.require_unit_interval(f"as likelihood {type(likelihood).__name__} needs", (split,))
    except ConfigError as error:
        sentence = f"{asked or f'split={split}'}: {error}"
        if asked is None and split == "test" and not data.has_test:
            sentence = f"{sentence.rstrip('.')}; split=validation takes the validation data."
        raise ConfigError(sentence) from None
    return opened

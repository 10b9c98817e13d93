"""Tables from .csv and .parquet files: numbers by the names of their columns, and a column of labels."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from vi.errors import SettingError
from vi.files import MEGABYTE, damage, require_memory
from vi.text import plain

log = logging.getLogger(__name__)

SUFFIXES = (".csv", ".parquet")


def read_table(file: Path, label: str | None = None) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of a table, and the names of the columns of `x_train`.

    Args:
        file: a .csv file whose first line holds the names of the columns, or a .parquet file.
        label: the column that becomes `y_train`; it may hold text. All other columns become `x_train`, `[N, columns]`.

    Raises:
        SettingError: the file cannot be read, there is no such label, a column holds text, or a value is missing.
    """
    table = _read(file)
    y = {}
    if label is not None:
        if label not in table:
            raise SettingError("label", label, f"{file} has no such column; it has {_some(table.columns)}.")
        y = {"y_train": _labels(table.pop(label))}
    for name in table:
        column = table[name]
        if not pd.api.types.is_numeric_dtype(column):
            held = next(iter(column.dropna()), None)
            raise SettingError(
                "path",
                file,
                f"column {name!r} holds {held!r}, which is no number; write numbers, leave the column out of the file, "
                f"or make it the label with data.label={plain(name)}.",
            )
    names, missing = list(table.columns), table.isna().to_numpy()
    if missing.any():
        row, at = np.argwhere(missing)[0]
        raise SettingError(
            "path",
            file,
            f"row {row + 1} of column {names[at]!r} is missing, and so are {missing.sum() - 1} other values; fill "
            "them in, or leave these rows or columns out of the file.",
        )
    return {"x_train": table.to_numpy(np.float64), **y}, names


def _read(file: Path) -> pd.DataFrame:
    try:
        if file.suffix.lower() == ".csv":
            # A short row is filled up to the length of the first line.
            require_memory(8 * len(pd.read_csv(file, nrows=0).columns) * _count_lines(file))
            table = pd.read_csv(file)
        else:
            table = pd.read_parquet(file)
    except ImportError:
        saved = "np.savez('my.npz', x_train=table.to_numpy())"
        raise SettingError(
            "path", file, f"pandas needs pyarrow to read it: pip install pyarrow, or save an .npz with {saved}."
        ) from None
    except (ValueError, OSError, MemoryError) as error:  # pandas's own errors are ValueErrors
        raise SettingError("path", file, f"cannot be read as a table: {damage(error)}.") from None
    names = [str(name) for name in table.columns]
    table.columns = pd.Index(names)
    if names and names[0] in ("Unnamed: 0", "__index_level_0__"):
        log.info("%s: the first column has no name, so it is taken for the numbers of the rows and left out.", file)
        return table.drop(columns=names[0])
    if names != [str(i) for i in range(len(names))] and all(map(_is_number, names)):
        raise SettingError("path", file, f"the first line must name the columns, but it begins with {plain(names[0])}.")
    return table


def _count_lines(file: Path) -> int:
    with file.open("rb") as opened:
        return 1 + sum(block.count(b"\n") + block.count(b"\r") for block in iter(lambda: opened.read(MEGABYTE), b""))


def _labels(column: pd.Series) -> np.ndarray:
    """Labels as they are; text becomes the numbers 0, 1, … in alphabetical order, and NaN where it is missing."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(np.float64 if column.isna().any() else None)
    classes = column.astype("category").cat
    log.info("The labels are %s.", _some(f"{i} = {name}" for i, name in enumerate(classes.categories[:21])))
    numbers = classes.codes.to_numpy()
    return np.where(numbers < 0, np.nan, numbers) if (numbers < 0).any() else numbers


def _some(names: Iterable[str], most: int = 20) -> str:
    """The first of many names, for a sentence."""
    first = list(itertools.islice(names, most + 1))
    return plain(", ".join(first[:most]) + (", …" if first[most:] else ""))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

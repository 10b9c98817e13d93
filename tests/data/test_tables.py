"""Tables are read by the names of their columns, and what cannot be read is named."""

import numpy as np
import pandas as pd
import pytest

from vi import data
from vi.errors import ConfigError

FRAME = pd.DataFrame({"age": [30, 41, 52, 63], "height": [1.5, 1.75, 1.6, 1.8], "kind": ["b", "a", "b", "a"]})


def opened(frame, tmp_path, label="kind", index=False, header=True):
    frame.to_csv(tmp_path / "own.csv", index=index, header=header)
    return data.arrays(str(tmp_path / "own.csv"), label=label, validation=1)


def test_columns_are_data_by_name_and_one_may_be_the_label(tmp_path):
    dataset = opened(FRAME, tmp_path)
    assert list(dataset.columns) == ["age", "height"]
    kept = np.delete(np.arange(4), dataset.validation.index)
    np.testing.assert_array_equal(dataset.train.x, FRAME[["age", "height"]].to_numpy()[kept])
    np.testing.assert_array_equal(dataset.train.y, np.array([1, 0, 1, 0])[kept])  # in alphabetical order


def test_numbers_of_rows_that_pandas_has_written_are_no_data(tmp_path):
    assert list(opened(FRAME, tmp_path, index=True).columns) == ["age", "height"]


REFUSED = {
    "text": (
        FRAME,
        {"label": None},
        "column 'kind' holds 'b', which is no number; write numbers, leave the column out",
    ),
    "missing": (FRAME.where(FRAME != 52), {}, "row 3 of column 'age' is missing, and so are 0 other values"),
    "no_label": (FRAME, {"label": "sort"}, "label=sort: "),
    "no_names": (FRAME[["age", "height"]], {"label": None, "header": False}, "the first line must name the columns"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_table_may_not_hold_is_named(name, tmp_path):
    frame, options, sentence = REFUSED[name]
    with pytest.raises(ConfigError) as error:
        opened(frame, tmp_path, **options)
    assert sentence in str(error.value)


def test_a_parquet_file_is_read_or_the_sentence_says_what_to_do(tmp_path, monkeypatch):
    file = tmp_path / "own.parquet"
    file.touch()
    monkeypatch.setattr(pd, "read_parquet", lambda file: FRAME)
    assert data.arrays(str(file), label="kind", validation=1).event_shape == (2,)

    def without_pyarrow(file):
        raise ImportError

    monkeypatch.setattr(pd, "read_parquet", without_pyarrow)
    with pytest.raises(ConfigError, match=r"pip install pyarrow, or save an \.npz with np\.savez"):
        data.arrays(str(file))


def test_a_file_that_is_no_table_is_named(tmp_path):
    (tmp_path / "own.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match=r"own\.csv: cannot be read as a table"):
        data.arrays(str(tmp_path / "own.csv"))

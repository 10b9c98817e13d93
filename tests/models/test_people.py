"""What people give to a model: data frames by their columns, and sentences for what is no data."""

import numpy as np
import pandas as pd
import pytest

import vi
from tests.support import models
from tests.support.runs import TINY
from vi.errors import ConfigError
from vi.models.people import as_batch
from vi.runs import build

NAMES = ["length", "weight", "age"]


def frame(rows=60):
    return pd.DataFrame(np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32), columns=NAMES)


def read(x, columns=NAMES):
    return as_batch(x, (3,), "float32", columns).x.numpy()


def test_a_data_frame_is_read_by_the_names_of_its_columns():
    table = frame()
    for given in (table, table[["age", "length", "weight"]], table.assign(label="x")):
        np.testing.assert_array_equal(read(given), table.to_numpy())


def test_without_names_a_data_frame_is_taken_as_it_is():
    other = frame()[["age", "length", "weight"]]
    np.testing.assert_array_equal(read(other, None), other.to_numpy())


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (frame()[["age", "length"]], "x: lacks the column weight; the model takes length, weight, age."),
        (frame().assign(age="old"), "x: must be numbers, but the DataFrame holds something else."),
        ("table.csv", "x: must be numbers, but the str holds something else."),
        (frame().assign(age=np.nan), "x: holds NaN; the model takes finite numbers."),
        ([[1.0, 2.0], [3.0]], "x: must be numbers, but the list holds something else."),
    ],
)
def test_what_is_no_data_of_the_model_is_one_sentence(x, sentence):
    with pytest.raises(ConfigError) as error:
        read(x)
    assert str(error.value) == sentence


def test_a_model_without_names_still_refuses_text_and_nan():
    model = models.linear_gaussian()
    with pytest.raises(ConfigError, match="x: must be numbers"):
        model.encode("table.csv")
    with pytest.raises(ConfigError, match="x: holds NaN"):
        model.encode(np.full([2, *model.likelihood.event_shape], np.nan))


@pytest.mark.usefixtures("without_pictures")
def test_a_loaded_run_knows_the_columns_of_its_table(tmp_path):
    table = frame(100)
    table.to_csv(tmp_path / "table.csv", index=False)
    own = ["data=arrays", f"data.path={tmp_path / 'table.csv'}", "likelihood=gaussian", "trainer.batch_size=20"]
    run = vi.train([*TINY, *own, "encoder.hidden=[4]", "decoder.hidden=[4]"], tmp_path / "run")
    assert run.config["model"]["columns"] == NAMES
    model = run.load()
    found = model.encode(table[["age", "weight", "length"]]).mean()
    np.testing.assert_array_equal(found, model.encode(table).mean())
    with pytest.raises(ConfigError, match="lacks the column age"):
        model.reconstruct(table[["weight", "length"]])


@pytest.mark.parametrize("names", [["${a}", "b"], ["a" * 5000, "b"], [str(i) for i in range(1001)], []])
def test_names_that_a_saved_config_cannot_hold_are_not_kept(names):
    assert build._names(names) is None
    assert build._names(["a", "b"]) == ["a", "b"]

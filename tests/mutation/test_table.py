"""The table of mistakes fits the code."""

from pathlib import Path

import pytest

from tests.mutation.table import MISTAKES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_each_mistake_replaces_a_text_that_occurs_once(mistake):
    text = (ROOT / "vi" / mistake.file).read_text()
    assert text.count(mistake.before) == 1, f"vi/{mistake.file} holds this text not once; fit the entry to the code"
    assert mistake.after != mistake.before
    for name in mistake.tests.split():
        file, _, test = name.partition("::")
        assert not test or f"def {test.partition('[')[0]}(" in (ROOT / "tests" / file).read_text()
        assert (ROOT / "tests" / file).is_file()

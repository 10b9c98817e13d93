"""What an error says, on one line, whatever it is."""

import pytest

from vi.errors import SettingError, reason


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (ValueError("first.\nsecond"), "first"),
        (AssertionError(), "AssertionError"),
        (MemoryError(), "MemoryError"),
        (OSError(), "OSError"),
    ],
)
def test_the_reason_is_one_line_also_of_an_error_that_says_nothing(error, said):
    assert reason(error) == said


def test_a_setting_is_refused_in_one_sentence():
    assert str(SettingError("alpha", 1, "must not be 1.")) == "alpha=1: must not be 1."

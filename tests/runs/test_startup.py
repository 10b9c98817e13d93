import logging
import time
from types import SimpleNamespace

import pytest

from vi.runs.startup import Startup


def test_the_time_until_the_first_step_is_reported_once_and_in_parts(caplog):
    found = []
    began = time.perf_counter() - 3
    startup = Startup(began, began + 2, found.append)
    with caplog.at_level(logging.INFO):
        for step in (0, 1, 10):
            assert len(found) == (step > 1)
            startup.progress(SimpleNamespace(step=step))
    (seconds,) = found
    assert list(seconds) == ["imports", "building", "compiling", "first_step"]
    assert seconds["imports"] == pytest.approx(2)
    assert seconds["building"] == pytest.approx(1, abs=0.5)
    assert seconds["first_step"] == pytest.approx(sum(seconds[part] for part in list(seconds)[:3]))
    (said,) = caplog.messages
    assert said.startswith("The first step took 3.")
    assert "imports 2.0 s" in said

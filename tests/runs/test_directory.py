"""The directory of a run: one process holds it at a time; a file is replaced whole or not at all."""

import signal
import subprocess
import sys

import pytest

from vi import files
from vi.errors import ConfigError
from vi.runs import directory

HOLD = """
import sys, time
from pathlib import Path
from vi.runs.directory import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_directory_is_held_by_one_process_and_a_crash_leaves_no_lock(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    assert directory.in_use(tmp_path)
    with pytest.raises(ConfigError, match="another process is at work in it"), directory.lock(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert not directory.in_use(tmp_path)
    with directory.lock(tmp_path):
        assert directory.in_use(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_breaks_off_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    files.write(file, "before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(file, "after")
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_summary_is_read_or_refused_in_a_sentence(tmp_path):
    assert directory.read_summary(tmp_path) == {}
    for text, message in (("{", "is damaged"), ("[]", "must hold a JSON object")):
        (tmp_path / "summary.json").write_text(text)
        with pytest.raises(ConfigError, match=message):
            directory.read_summary(tmp_path)


def test_the_newest_try_of_each_job_is_found_among_other_folders(tmp_path):
    for name in ("10", "2", "2_retry_2", "2_retry_10", "3_retry_old", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "4").touch()
    assert [folder.name for folder in directory.newest_jobs(tmp_path)] == ["2_retry_10", "10"]

"""How all five commands begin and end: their help, their answers, their exit codes."""

import signal
import subprocess
import sys

import pytest

from vi.commands.start import SeveralErrors, run_command
from vi.errors import ConfigError, Interrupted, RunError

COMMANDS = ("train", "evaluate", "diagnose", "compare", "check")


def noted(interrupt):
    interrupt.add_note("vi-x resume=run goes on")
    return interrupt


OUTCOMES = [
    (None, 0, ""),
    (ConfigError("a=1: must be 2."), 2, "vi-x: a=1: must be 2.\n"),
    (RunError("out of\nmemory."), 1, "vi-x: out of memory.\n"),
    (FileNotFoundError(2, "No such file", "a.txt"), 1, "vi-x: a.txt: No such file.\n"),
    (SeveralErrors(["job 0 failed", "job 1 failed"]), 1, "vi-x: job 0 failed\nvi-x: job 1 failed\n"),
    (ZeroDivisionError("a\nb"), 1, "vi-x: ZeroDivisionError: a (HYDRA_FULL_ERROR=1 shows where).\n"),
    (KeyboardInterrupt(), 130, "vi-x: interrupted.\n"),
    (Interrupted(signal.SIGHUP), 129, "vi-x: interrupted.\n"),
    (noted(Interrupted(signal.SIGTERM)), 143, "vi-x: interrupted; vi-x resume=run goes on.\n"),
    (BrokenPipeError(32, "Broken pipe"), 0, ""),
]


def end_of(error):
    def work(given):
        if error is not None:
            raise error

    with pytest.raises(SystemExit) as end:
        run_command("x", work)
    return end.value.code


@pytest.mark.parametrize(("error", "code", "said"), OUTCOMES)
def test_every_end_has_its_exit_code_and_its_sentence(error, code, said, capsys):
    assert end_of(error) == code
    assert capsys.readouterr().err == said


def test_a_traceback_is_shown_where_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ConfigError):
        end_of(ConfigError("a=1: must be 2."))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "train"])
def test_help_lists_the_arguments_and_an_unknown_option_is_refused(name, command):
    for option in ("-h", "--help"):
        code, out, err = command(name, option)
        assert (code, err) == (0, "")
        assert f"vi-{name}" in out
    code, _, err = command(name, "--nope")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"vi-{name}: ")
    assert err.endswith(f"; see vi-{name} --help.\n")


def test_a_reader_that_has_gone_is_no_error():
    processes = []
    for name in COMMANDS:
        code = f"from vi.commands.{name} import main; main()"
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", code, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        processes[-1].stdout.close()
    for name, process in zip(COMMANDS, processes, strict=True):
        _, errors = process.communicate(timeout=300)
        assert (name, process.returncode, errors) == (name, 0, "")


@pytest.mark.parametrize("name", ["evaluate", "diagnose"])
def test_a_directory_without_its_key_is_answered_with_the_key(name, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my run").mkdir()
    code, _, said = command(name, "my run")
    assert code == 2
    assert said == f"vi-{name}: my run: is not of the form KEY=VALUE; did you mean 'run=my run'?\n"

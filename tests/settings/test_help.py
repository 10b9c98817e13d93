"""`vi-train --help GROUP=CHOICE` shows settings, values, ranges, meanings and source, without TensorFlow."""

import subprocess
import sys

import pytest

from vi.errors import ConfigError
from vi.settings.conf import choices_in, conf_directory
from vi.settings.constructors import read
from vi.settings.help import help_of
from vi.settings.keys import CHOSEN, COMPONENTS, GROUPS
from vi.settings.sections import RUN, dotted_keys

CHOICES = [
    f"{group}={file.stem}"
    for group in (*COMPONENTS, "trainer", "logger", "schedule", "warmup")
    for file in sorted((conf_directory() / group).glob("*.yaml"))
]
RENYI = """\
estimator=renyi: The variational Rényi bound (Li & Turner, 2016): 1/(1 − α) log (1/S) Σ w^(1 − α).

Settings, with their values:

  estimator.alpha=2
"""
OWN = '''
from typing import Annotated
from vi.estimators import IWAE
from vi.kinds import Positive

class Power(IWAE):
    """A power of the weights (Me, 2026).

    Args:
        power: the power.
    """

    def __init__(self, samples=5, power: Annotated[float, Positive] = 0.5, *, must: int):
        super().__init__(samples)
'''


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_has_a_help(choice):
    text = help_of([choice])
    assert text.startswith(choice)
    assert text.endswith("\n")
    if choice.split("=")[0] != "warmup":
        assert max(map(len, text.splitlines())) <= 130


@pytest.mark.parametrize("group", [*COMPONENTS, *CHOSEN])
def test_the_help_of_a_group_has_a_line_for_each_choice(group):
    text = help_of([group])
    assert text.startswith(f"{group}=CHOICE, ")
    assert text.endswith("\n")
    assert [choice for choice in choices_in(group) if f"\n  {choice}" not in text] == []
    assert max(map(len, text.splitlines())) <= 100


def test_the_help_of_a_group_says_what_each_choice_is():
    text = help_of(["estimator"])
    assert "\n  renyi                        The variational Rényi bound (Li & Turner, 2016): " in text
    assert "\n  multi_sample                 A preset: analytic_kl with 25 samples.\n" in text


def test_the_help_of_an_estimator_says_all_of_it():
    text = help_of(["estimator=renyi", "estimator.alpha=2"])
    assert text.startswith(RENYI)
    constructor = read("vi.estimators.Renyi")
    for argument in constructor.arguments.values():
        assert argument.meaning in text
        assert f"Must be {argument.kind.allowed}." in text
    assert f"Source: vi.estimators.Renyi, in vi/estimators/divergences.py, line {constructor.line}\n" in text


def test_the_help_of_a_section_has_each_of_its_keys():
    keys = [key for key in dotted_keys() if key.startswith("trainer.")]
    text = help_of(["trainer=default"])
    assert [key for key in keys if f"  {key}=" not in text] == []
    assert all(f"trainer.update_every.{group}=1" in text for group in GROUPS)
    assert set(RUN) > {"trainer", "trainer.update_every"}


def test_the_help_of_a_class_of_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "my_power.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    text = help_of(["estimator=my_power.Power"])
    assert "estimator=my_power.Power: A power of the weights (Me, 2026).\n" in text
    assert "  estimator.power=0.5\n      the power.\n      Must be a finite number above 0.\n" in text
    assert "  estimator.must\n      Must be a whole number.\n      Must be given.\n" in text
    assert "Source: my_power.Power, in my_power.py, line 6\n" in text


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["estimator=ren"], "estimator=ren: there is no such choice; did you mean renyi?"),
        (["estimator=vi.estimators.Ren"], "estimator=vi.estimators.Ren: vi.estimators has no Ren; did you mean Renyi?"),
        (["seed=1"], "seed=1: --help explains a group or a choice: estimator, or estimator=renyi."),
        (["renyi"], "renyi: is not of the form KEY=VALUE; did you mean estimator=renyi?"),
    ],
)
def test_a_mistake_is_one_sentence(overrides, sentence):
    with pytest.raises(ConfigError) as error:
        help_of(overrides)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("arguments", [["--help"], ["--help", "estimator=renyi"], ["optimizer=adam", "-h"]])
def test_help_imports_no_tensorflow(arguments):
    code = (
        "import sys; from vi.commands.train import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'tensorflow' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout

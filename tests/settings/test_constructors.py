"""Constructors are read as text: what they say is what Python would say, and no module runs."""

import inspect
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest

import vi
import vi.data
import vi.estimators
import vi.likelihoods
import vi.networks
import vi.posteriors
import vi.priors
from vi.errors import ConfigError
from vi.settings import constructors
from vi.settings.constructors import REQUIRED, Code, read

ROOMS = (vi.estimators, vi.posteriors, vi.priors, vi.likelihoods, vi.networks, vi.data)
PUBLIC = [f"{room.__name__}.{name}" for room in ROOMS for name in room.__all__]
NO_COMPONENT = (".Split", ".set_output_bias", ".ConditionalPosterior", ".ConditionalLikelihood")
OWN = """
    from __future__ import annotations
    import dataclasses
    import functools
    from typing import Annotated, Literal
    import numpy as np
    import vi
    import my_base as base
    from my_base import Bounded as Renamed
    from vi import kinds
    from vi.estimators import IWAE
    from vi.kinds import Positive

    raise RuntimeError("this module must not run")

    Form = Literal["log", "plain"]
    SAMPLES = 3

    class Power(vi.Estimator):
        '''A power of the weights.

        Args:
            samples: S.
            power: the power, which
                is above 0.
        '''
        def __init__(self, samples=1, power: Annotated[float, Positive] = 1.0, form: Form = "log"):
            super().__init__(samples)

    class Inherits(IWAE): ...

    class Passes(base.Bounded):
        def __init__(self, extra: bool = False, **options):
            super().__init__(3, **options)

    class Mixed(Passes, Renamed): ...

    class Stars(base.Bounded):
        def __init__(self, *args, extra: bool = False, **options):
            super().__init__(*args, **options)

    class Spreads(base.Bounded):
        def __init__(self, extra: bool = False, **options):
            super().__init__(*[3][extra:], **options)

    class Open:
        def __init__(self, a: "int", **anything):
            self.anything = anything

    class Bare: ...

    @dataclasses.dataclass
    class Record(base.Point):
        z: Annotated[int, kinds.AtLeast(2)] = 2

    @dataclasses.dataclass
    class Fields(Record, base.Bounded):
        '''A record.

        Args:
            z: another number.
        '''
        z: int = dataclasses.field(default=3)
        needed: int = dataclasses.field(kw_only=True)
        made: list = dataclasses.field(default_factory=list)
        x: int = dataclasses.field(init=False)
        later: int = dataclasses.field(default=1, init=False)
        _: dataclasses.KW_ONLY
        last: bool = True

    @dataclasses.dataclass
    class OfNoDataclass(base.Bounded):
        only: int = 1

    @functools.cache
    def decorated(n): ...

    def function(n: int, /, m: np.ndarray, *, k: float | None = SAMPLES): ...

    Alias = Power
    NUMBER = 3
    made = functools.partial(function, 1)
"""
BASE = '''
    import dataclasses

    class Bounded:
        def __init__(self, low: int, high: float = -1.5): ...

    @dataclasses.dataclass
    class Point:
        """A point.

        Args:
            x: across.
            y: up.
        """
        x: int
        y: float = 0.5
'''


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory of the user's own, which is the current one."""
    for name, text in {"my_own": OWN, "my_base": BASE}.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.mark.parametrize("path", PUBLIC)
def test_a_component_is_read_as_python_sees_it(path):
    room, name = path.rsplit(".", 1)
    target, found = getattr(sys.modules[room], name), read(path)
    signature = inspect.signature(target.__init__ if inspect.isclass(target) else target)
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    expected = {p.name: p.default for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    defaults = {name: each.default for name, each in found.arguments.items()}
    defaults = {name: inspect.Parameter.empty if d is REQUIRED else d for name, d in defaults.items()}
    factories = {name for name, default in expected.items() if "factory" in repr(default)}  # of dataclasses
    assert {name: defaults[name] for name in expected if name not in factories} == {
        name: default for name, default in expected.items() if name not in factories
    }
    assert set(defaults) == set(expected) or any(p.kind is p.VAR_KEYWORD for p in parameters)
    assert found.file == Path(inspect.getsourcefile(target))


@pytest.mark.parametrize("path", [path for path in PUBLIC if not path.endswith(NO_COMPONENT)])
def test_every_setting_of_a_component_has_a_kind_and_a_meaning(path):
    given = {"event_shape", "latent_dim", "outputs", "arrays", "source", "log_density"}
    for name, argument in read(path).arguments.items():
        if name not in given:
            assert argument.kind.allowed != "anything", name
            assert argument.meaning, name


def arguments(path):
    return {name: (a.default, a.kind.allowed) for name, a in read(path).arguments.items()}


def test_classes_of_a_module_that_cannot_even_run_are_read(place):
    assert arguments("my_own.Power") == {
        "samples": (1, "a whole number of at least 1"),  # as the base class declares it
        "power": (1.0, "a finite number above 0"),
        "form": ("log", "log or plain"),
    }
    assert read("my_own.Power").arguments["power"].meaning == "the power, which is above 0."
    assert arguments("my_own.Alias") == arguments("my_own.Power")
    assert arguments("my_own.Inherits") == {"samples": (5, "a whole number of at least 1")}
    assert arguments("my_own.Passes") == {"extra": (False, "true or false"), "high": (-1.5, "a finite number")}
    assert arguments("my_own.Mixed") == arguments("my_own.Passes")
    assert arguments("my_own.Bare") == {}
    assert arguments("my_own.Record") == {
        "x": (REQUIRED, "a whole number"),
        "y": (0.5, "a finite number"),
        "z": (2, "a whole number of at least 2"),
    }
    assert arguments("my_own.function") == {
        "m": (REQUIRED, "anything"),
        "k": (Code("SAMPLES"), "a finite number, or null"),
    }
    assert (read("my_own.Power").open, read("my_own.Open").open) == (False, True)


def test_arguments_that_a_constructor_passes_on_with_stars_are_those_of_the_base(place):
    passed = {"low": (REQUIRED, "a whole number"), "high": (-1.5, "a finite number")}
    assert arguments("my_own.Stars") == {"extra": (False, "true or false"), **passed}
    assert not read("my_own.Stars").open
    assert arguments("my_own.Spreads") == {"extra": (False, "true or false")}
    assert read("my_own.Spreads").open  # only running tells how many arguments the list holds


def test_a_dataclass_takes_the_fields_that_python_initializes(place, monkeypatch):
    read_of = {name: read(f"my_own.{name}").arguments for name in ("Record", "Fields", "OfNoDataclass")}
    found = read_of["Fields"]
    assert {name: each.default for name, each in found.items()} == {
        **{"y": 0.5, "z": 3, "needed": REQUIRED, "last": True},
        "made": Code("dataclasses.field(default_factory=list)"),
    }
    assert (found["y"].meaning, found["z"].meaning) == ("up.", "another number.")
    for name, text in {"my_base": BASE, "my_own": OWN.replace("raise RuntimeError", "RuntimeError")}.items():
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        exec(textwrap.dedent(text), vars(sys.modules[name]))
    for name, of_text in read_of.items():
        assert set(inspect.signature(getattr(sys.modules["my_own"], name)).parameters) == set(of_text)


@pytest.mark.parametrize(
    "path", ["my_own.made", "my_own.decorated", "collections.OrderedDict", "numpy.float32", "sys.exit"]
)
def test_what_only_running_would_tell_is_left_to_running(path, place):
    assert read(path) is None


WRONG = {
    "nope.Thing": "there is no module nope on Python's path or in the current directory, {place}.",
    "__main__.Thing": "a run cannot find code of a notebook or a script again; write it into a module of its own.",
    "vi.nope.Thing": "vi has no nope.",
    "vi.estimators.Renyy": "vi.estimators has no Renyy; did you mean Renyi?",
    "vi.estimators": "must be a class or function, but is of type module.",
    "my_own.NUMBER": "must be a class or function, but is of type int.",
    "my_own.Pover": "my_own has no Pover; did you mean Power?",
    "my_syntax.Thing": "SyntaxError in my_syntax: invalid syntax (my_syntax.py, line 1)",
}


@pytest.mark.parametrize("path", WRONG)
def test_a_wrong_path_is_answered_by_what_is_wrong(path, place):
    (place / "my_syntax.py").write_text("def Thing(:\n")
    with pytest.raises(ConfigError) as error:
        read(path)
    assert str(error.value) == WRONG[path].replace("{place}", str(place))


def test_names_made_at_run_time_are_not_denied(place):
    (place / "my_dynamic.py").write_text("for name in 'ab':\n    globals()[name] = type(name, (), {})\n")
    assert read("my_dynamic.a") is None


CALLS = (
    "sys.modules['os'].mkdir('made')",
    "Annotated[int, Range(below=sys.modules['os'].mkdir('made'))]",
    "Annotated[int, Between('made')]",
    "Annotated[int, [Range('made') for Range in [sys.modules['os'].mkdir]]]",
    "__import__('os').mkdir('made')",
)


@pytest.mark.parametrize("annotation", CALLS)
def test_an_annotation_calls_nothing_but_ranges(annotation, place):
    imports = "from typing import Annotated, sys\nfrom vi.kinds import Range\nBetween = sys.modules['os'].mkdir\n"
    (place / "my_calls.py").write_text(f"{imports}def thing(a: {annotation} = 1): ...\n")
    assert arguments("my_calls.thing") == {"a": (1, "anything")}
    assert not (place / "made").exists()


def test_a_changed_file_is_read_again(place):
    (place / "my_new.py").write_text("class Thing:\n    def __init__(self, a): ...\n")
    assert list(read("my_new.Thing").arguments) == ["a"]
    (place / "my_new.py").write_text("class Thing:\n    def __init__(self, changed): ...\n")
    assert list(read("my_new.Thing").arguments) == ["changed"]


def test_reading_imports_neither_tensorflow_nor_the_module():
    code = (
        "import sys; from vi.settings.constructors import read; read('vi.posteriors.GumbelSoftmax'); "
        "read('keras.optimizers.Adam'); print({'tensorflow', 'keras', 'numpy', 'vi.posteriors'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
    assert constructors.VOCABULARY == ("typing", "collections.abc", "vi.kinds")


@pytest.mark.parametrize("start", ["import typing", "from vi.kinds import typing", "from typing import sys"])
def test_an_annotation_reaches_no_module_beyond_the_vocabulary(tmp_path, monkeypatch, start):
    name, root = f"reaching_{len(start)}", "sys" if start.endswith("sys") else "typing.sys"
    text = f"{start}\nclass Net:\n    def __init__(self, x: {root}.modules['trap'][0] = 1): ...\n"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    taken = []
    trap = type("Trap", (), {"__getitem__": lambda self, key: taken.append(key)})()
    monkeypatch.setitem(sys.modules, "trap", trap)
    assert "x" in read(f"{name}.Net").arguments
    assert not taken

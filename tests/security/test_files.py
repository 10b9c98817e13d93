"""The files of a stranger's run are data: damaged, huge, linked or queer, each is one sentence, and nothing is written.

Every case changes one thing in a copy of a small run. All commands that would read it are tried.
"""

import contextlib
import json
import os
import shutil
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

import vi
from tests.support.runs import leave_no_pictures
from vi.commands.directories import GRID, _job_directory, _sweep_directory
from vi.compare import compare
from vi.compare.output import write_comparison
from vi.compare.results.files import name_of
from vi.errors import ConfigError
from vi.files import read_bytes, replacing, require_real, write
from vi.runs.api import diagnose, evaluate

pytestmark = pytest.mark.usefixtures("nothing_leaves")
KEPT = Path(__file__).parents[1] / "data" / "old_run"
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"


def last(run):
    return sorted((run / "checkpoints").iterdir())[-1]


def change_json(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def change_config(run, key, value):
    config = yaml.safe_load((run / "config.yaml").read_text())
    *sections, name = key.split(".")
    section = config
    for each in sections:
        section = section[each]
    if value is ...:
        del section[name]
    else:
        section[name] = value
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def add(run, *lines):
    """Lines at the end of config.yaml."""
    with (run / "config.yaml").open("a") as file:
        file.write("\n".join(lines) + "\n")


def link(path, target):
    """A link in place of a file or a folder of a run."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(target)


def bind(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


def all_states(run, text):
    for folder in (run / "checkpoints").iterdir():
        (folder / "state.json").write_text(text)


LINKS = {
    "config.yaml": lambda run, outside: link(run / "config.yaml", outside / "config.yaml"),
    "summary.json": lambda run, outside: link(run / "summary.json", outside / "summary.json"),
    "metrics.csv": lambda run, outside: link(run / "metrics.csv", outside / "victim"),
    "model.txt": lambda run, outside: link(run / "model.txt", outside / "victim"),
    "figures": lambda run, outside: link(run / "figures", outside),
    "a picture": lambda run, outside: (
        (run / "figures").mkdir(),
        link(run / "figures" / "curves.png", outside / "victim"),
    ),
    "evaluation": lambda run, outside: link(run / "evaluation", outside),
    "evaluation.json": lambda run, outside: link(run / "evaluation.json", outside / "victim"),
    "diagnostics": lambda run, outside: link(run / "diagnostics", outside),
    "checkpoints": lambda run, outside: link(run / "checkpoints", outside),
    "a checkpoint": lambda run, outside: link(run / "checkpoints" / "step_000000099", outside),
    "weights": lambda run, outside: link(last(run) / "variables.index", outside / "victim"),
    "a state": lambda run, outside: link(last(run) / "state.json", outside / "victim"),
    "a partial file": lambda run, outside: link(run / ".summary.json.partial", outside / "victim"),
    "a partial config": lambda run, outside: link(run / ".config.yaml.partial", outside / "victim"),
    "wandb": lambda run, outside: link(run / "wandb", outside),
    "nonfinite": lambda run, outside: link(run / "nonfinite", outside),
    "a link to itself": lambda run, outside: link(run / "loop", run / "loop"),
    "a link inside": lambda run, outside: link(run / "again", run / "checkpoints"),
    "a dangling link": lambda run, outside: link(run / "train.log", outside / "new"),
    "a pipe": lambda run, outside: os.mkfifo(run / "pipe"),
    "a pipe for the summary": lambda run, outside: ((run / "summary.json").unlink(), os.mkfifo(run / "summary.json")),
    "a pipe for metrics": lambda run, outside: ((run / "metrics.csv").unlink(), os.mkfifo(run / "metrics.csv")),
    "a hard link": lambda run, outside: os.link(outside / "victim", run / "train.log"),
    "a hard link for the summary": lambda run, outside: (
        (run / "summary.json").unlink(),
        os.link(outside / "summary.json", run / "summary.json"),
    ),
    "a socket": lambda run, outside: bind(run / "s"),
}
"""Parts of a run that are links, pipes or sockets."""
CONFIGS = {
    "an alias": (lambda run: (run / "config.yaml").write_text(BOMB), "it has the alias *a"),
    "depth": (lambda run: (run / "config.yaml").write_text("[" * 100_000), "is damaged"),
    "size": (lambda run: (run / "config.yaml").write_text("a: 1\n" * 300_000), "has more than 1,048,576 bytes"),
    "bytes": (lambda run: (run / "config.yaml").write_bytes(b"\xff\xfe\x00"), "is damaged"),
    "a tag": (lambda run: (run / "config.yaml").write_text("a: !!python/object/apply:os.system [x]"), "is damaged"),
    "two documents": (lambda run: (run / "config.yaml").write_text("a: 1\n---\nb: 2\n"), "is damaged"),
    "no mapping": (lambda run: (run / "config.yaml").write_text("- 1\n"), "is not the config of a run"),
    "no event shape": (lambda run: change_config(run, "model.event_shape", ...), "holds no model.event_shape"),
    "an event shape of text": (
        lambda run: change_config(run, "model.event_shape", "abc"),
        "model.event_shape=abc: must",
    ),
    "a huge event": (lambda run: change_config(run, "model.event_shape", [10**9, 10**9]), "does not fit into memory"),
    "a huge layer": (lambda run: change_config(run, "encoder.hidden", [10**6, 10**6]), "does not fit into memory"),
    "a number of 400 digits": (lambda run: change_config(run, "trainer.epochs", int("9" * 400)), "trainer.epochs=999"),
    "a width of 400 digits": (
        lambda run: change_config(run, "encoder.hidden", [int("9" * 400)]),
        "encoder.hidden=[999",
    ),
    "a number of 5,000 digits in few": (lambda run: add(run, "epochs: 0x" + "f" * 5000), "more than 3,000 characters"),
    "a number to the base 60": (lambda run: add(run, "more: 1" + ":59" * 5000), "more than 3,000 characters"),
    "a long name": (lambda run: add(run, f"more: {'x' * 9000}"), "a value of more than 3,000 characters"),
    "many keys": (lambda run: add(run, *(f"k{i}: 1" for i in range(9000))), "more than 10,000 keys and values"),
    "half a character": (lambda run: add(run, 'more: "\\ud800"'), "is damaged"),
    "a key that is a list": (lambda run: add(run, "? [1, 2]\n: 3"), "is damaged"),
    "a date that is none": (lambda run: add(run, "more: 2001-99-99"), "there is no such key"),
    "a set": (lambda run: add(run, "more: !!set {a, b}"), "config.yaml"),
    "a list for a section": (lambda run: change_config(run, "trainer", [1]), "trainer=[1]: must hold"),
    "a number for a component": (lambda run: change_config(run, "encoder", 3), "encoder=3: must be"),
    "an unknown argument": (
        lambda run: change_config(run, "encoder.command", "x"),
        "encoder.command: vi.networks.mlp_en",
    ),
    "a missing section": (lambda run: change_config(run, "model", ...), "is not the config of a run"),
}
"""What is done to config.yaml, and what `vi.load` says."""
STATES = {
    "no JSON": ("{", "holds no last checkpoint that can be read"),
    "a list": ("[]", "holds no last checkpoint that can be read"),
    "depth": ("[" * 100_000, "holds no last checkpoint that can be read"),
    "size": ('{"a": "' + "x" * 2**20 + '"}', "holds no last checkpoint that can be read"),
    "a step of text": ('{"step": "x"}', "holds no last checkpoint that can be read"),
    "seconds of text": ('{"step": 48, "seconds": "x"}', "state.json: seconds='x': must be a finite number."),
    "a row without a step": ('{"step": 48, "row": {"x": 1}}', "state.json: row={'x': 1}: must hold the metrics"),
    "a row with a text": (
        '{"step": 48, "row": {"step": 48, "x": "y"}}',
        "state.json: row={'step': 48, 'x': 'y'}: must hold the metrics of a row.",
    ),
    "no interval": ('{"step": 48, "interval": 0}', "state.json: interval=0: must be a finite number above 0, or null."),
    "a row of text": ('{"step": 48, "row": "x"}', "state.json: row='x': must hold the metrics of a row."),
    "a best step of text": ('{"step": 48, "best_step": "x"}', "state.json: best_step='x': must be a whole number"),
    "400 digits": ('{"step": 48, "seconds": ' + "9" * 400 + "}", "state.json: seconds=999"),
    "5,000 digits": ('{"step": ' + "9" * 5000 + "}", "holds no last checkpoint that can be read"),
}
"""The text of state.json in all checkpoints, and what a resumed run says."""
SUMMARIES = {
    "no JSON": "{",
    "depth": '{"a":' * 100_000,
    "numbers of 400 digits": '{"status": "finished", "best": {"step": 1, "validation/elbo": ' + "9" * 400 + "}}",
    "a status of another type": '{"status": ["finished"]}',
    "a best of another type": '{"status": "finished", "final": 3, "best": [1]}',
    "a seed of another type": '{"status": "interrupted", "seed": {"a": 1}, "overrides": 7}',
    "a number that is no bound": '{"status": "finished", "final": {"a": 1}, "best": {"step": 1, "a": 1.7e308}}',
    "a seed of 400 digits": '{"status": "interrupted", "seed": ' + "9" * 400 + "}",
    "half a character": '{"status": "failed", "error": "\\ud800", "overrides": ["\\ud800=1"]}',
    "choices of another type": '{"status": "interrupted", "choices": [{"a": 1}], "parameters": "x"}',
    "overrides of other types": '{"status": "interrupted", "overrides": [1], "resumed": 3}',
    "an id that is a path": '{"status": "interrupted", "wandb_id": "../../x"}',
    "an epoch of text": '{"status": "interrupted", "epoch": "soon"}',
}
METRICS = {
    "bytes": b"\xff\xfe",
    "no numbers": b"step,epoch,seconds\n1,x,2\n",
    "no columns": b"a,b\n1,2\n",
    "400 digits": b"step,epoch,seconds\n" + b"9" * 400 + b",1,1\n",
    "quotes": b'step,epoch,seconds\n"1,1,1\n',
    "numbers beyond all bounds": b"step,epoch,seconds,validation/elbo\n"
    + b"".join(b"%d,%d,1,%de307\n" % (i, i, 9 * (-1) ** i) for i in range(20)),
    "an epoch beyond all bounds": b"step,epoch,seconds,validation/elbo\n1,9e307,1,1\n2,-9e307,1,1\n3,1,1,1\n",
    "steps that are none": b"step,epoch,seconds\nnan,nan,nan\n",
    "a column twice": b"step,epoch,seconds,step\n1,1,1,1\n",
    "a hundred thousand columns": b"step,epoch,seconds" + b",x" * 100_000 + b"\n1,1,1" + b",1" * 100_000 + b"\n",
    "longer rows": b"step,epoch,seconds\n1,1,1\n" + b"1," * 1000 + b"\n",
    "no file": ...,
    "a null byte": b"step,epoch,seconds\n1\x00,1,1\n",
}


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A stranger's run in the current directory, and a folder outside with a file that must stay as it is."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("precious")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    run = Path(shutil.copytree(KEPT, tmp_path / "work" / "run"))
    for name in ("config.yaml", "summary.json"):
        shutil.copy(run / name, outside / name)
    return run, outside


def content(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()}


def assert_refused(call, sentence=""):
    with pytest.raises(ConfigError) as error:
        call()
    assert sentence in str(error.value), str(error.value)[:300]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", LINKS)
def test_a_run_with_links_or_pipes_is_refused_and_nothing_is_written_outside(case, places):
    run, outside = places
    LINKS[case](run, outside)
    sentence = (
        "is neither a file nor a folder"
        if case.startswith(("a pipe", "a socket"))
        else "is a hard link, a file with another name elsewhere"
        if case.startswith("a hard link")
        else "is a link, but everything"
    )
    before = content(outside)
    for call in (
        lambda: vi.load(run),
        lambda: evaluate(run, split="validation", samples=2),
        lambda: diagnose(run, ["iwae"], [2]),
        lambda: vi.train([f"resume={run}"]),
        lambda: vi.train([f"init_from={run}"], directory="new"),
        lambda: vi.replay(run / "nonfinite"),
    ):
        assert_refused(call, sentence)
    comparison = compare([run])  # one bad run never ends a comparison
    assert list(comparison.runs["state"]) == ["damaged"]
    write_comparison(comparison, run.parent / "comparison")
    assert content(outside) == before


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case == "a huge layer" else case for case in CONFIGS]
)
def test_a_damaged_config_is_one_sentence(case, places):
    run, _ = places
    spoil, sentence = CONFIGS[case]
    spoil(run)
    assert_refused(lambda: vi.load(run), sentence)
    states_beside_a_good_run(run)


@pytest.mark.parametrize("case", STATES)
def test_a_damaged_state_is_one_sentence(case, places, monkeypatch):
    leave_no_pictures(monkeypatch)
    run, _ = places
    text, sentence = STATES[case]
    all_states(run, text)
    assert_refused(lambda: vi.train([f"resume={run}", "trainer.epochs=5"]), sentence)


def states_beside_a_good_run(run):
    """Compares a run with a good one and writes the comparison; the state of each run by its path."""
    shutil.copytree(KEPT, run.parent / "good")
    comparison = compare([run.parent])
    write_comparison(comparison, run.parent / "comparison")
    return dict(zip(comparison.runs["path"], comparison.runs["state"], strict=True))


@pytest.mark.parametrize("case", SUMMARIES)
def test_a_damaged_summary_never_ends_a_comparison(case, places):
    run, _ = places
    (run / "summary.json").write_text(SUMMARIES[case])
    states = states_beside_a_good_run(run)
    assert states["good"] == "finished"
    assert states["run"] != "finished"


@pytest.mark.parametrize("case", METRICS)
def test_damaged_metrics_never_end_a_comparison(case, places):
    run, _ = places
    if METRICS[case] is ...:
        (run / "metrics.csv").unlink()
        (run / "metrics.csv").mkdir()
    else:
        (run / "metrics.csv").write_bytes(METRICS[case])
    if case in ("numbers beyond all bounds", "an epoch beyond all bounds"):
        change_json(run / "summary.json", status="interrupted")  # so that its curve is drawn alone
    assert states_beside_a_good_run(run)["good"] == "finished"


@pytest.mark.slow
def test_other_folders_beside_checkpoints_are_neither_read_nor_removed(places, monkeypatch):
    leave_no_pictures(monkeypatch)
    run, _ = places
    for name in ("step_000000024.bak", "step_x", "step_99999999999999999999", ".step_000000024.partial.bak", "own"):
        (run / "checkpoints" / name).mkdir()
        (run / "checkpoints" / name / "state.json").write_text("{}")
    resumed = vi.train([f"resume={run}", "trainer.epochs=5"])
    assert resumed.summary["status"] == "finished"
    left = {path.name for path in (run / "checkpoints").iterdir()}
    assert {"step_000000024.bak", "step_x", "step_99999999999999999999", ".step_000000024.partial.bak", "own"} <= left


def test_a_comparison_replaces_links_and_does_not_follow_them(places):
    run, outside = places
    for name in ("comparison.csv", "comparison.md", "comparison.html", "comparison.png", ".comparison.csv.partial"):
        link(run.parent / name, outside / "victim")
    write_comparison(compare([run]), run.parent)
    assert (outside / "victim").read_text() == "precious"
    assert not (run.parent / "comparison.csv").is_symlink()


def test_files_are_written_under_names_that_nobody_foresees(tmp_path):
    names = set()
    for _ in range(3):
        with replacing(tmp_path / "a.txt") as partial:
            partial.write_text("x")
            names.add(partial.name)
    assert len(names) == 3
    with contextlib.suppress(ZeroDivisionError), replacing(tmp_path / "a.txt") as partial:
        partial.write_text("y")
        raise ZeroDivisionError
    write(tmp_path / "b.txt", "x")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "x", "b.txt": "x"}


def test_the_name_of_a_results_file_leads_nowhere_else():
    name = name_of({"experiment": "../../x", "overrides": ["a=/../y"], "seed": "/../../z"})
    assert "/" not in name
    assert name_of({"experiment": "vae_mnist", "overrides": [], "seed": 1}) == "vae_mnist-seed1.json"


def test_only_regular_files_within_a_limit_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", 5) == b"12345"
    (tmp_path / "link").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    for path, most in (("a", 4), ("link", 9), ("pipe", 9), (".", 9), ("none", 9)):
        with pytest.raises(OSError, match=r"\w"):
            read_bytes(tmp_path / path, most)


def test_what_weights_and_biases_links_in_its_folder_is_its_own(tmp_path):
    run = tmp_path / "run"
    (run / "wandb" / "offline-run-1" / "logs").mkdir(parents=True)
    (run / "wandb" / "latest-run").symlink_to("offline-run-1")
    (run / "wandb" / "debug.log").symlink_to("offline-run-1/logs/debug.log")  # of a run whose log is gone
    (tmp_path / "core.log").touch()
    (run / "wandb" / "offline-run-1" / "logs" / "debug-core.log").symlink_to(tmp_path / "core.log")
    require_real(run)
    for name, target in (("wandb/up", ".."), ("wandb/offline-run-2", tmp_path), ("wandb/loop", "loop2/../..")):
        (run / name).symlink_to(target)
        assert_refused(lambda: require_real(run), "is a link")
        (run / name).unlink()
    os.mkfifo(run / "wandb" / "pipe")
    assert_refused(lambda: require_real(run), "is neither a file nor a folder")


SWEEPS = {
    "a job elsewhere": (lambda sweep, outside: link(sweep / "0", outside), "is a link"),
    "a log elsewhere": (lambda sweep, outside: link(sweep / "0" / "train.log", outside / "victim"), "is a link"),
    "a config elsewhere": (lambda sweep, outside: link(sweep / "multirun.yaml", outside / "victim"), "is a link"),
    "a pipe": (lambda sweep, outside: os.mkfifo(sweep / "multirun.yaml"), "is neither a file nor a folder"),
    "a pipe in a job": (lambda sweep, outside: os.mkfifo(sweep / "0" / "x"), "is neither a file nor a folder"),
    "a summary of another type": (
        lambda sweep, outside: (sweep / "0" / "summary.json").write_text('{"status": [1]}'),
        "status=[1]: is damaged",
    ),
    "other overrides": (
        lambda sweep, outside: (sweep / "multirun.yaml").write_text("hydra: {overrides: {task: ['${oc.env:HOME}']}}"),
        "give the same overrides again, in the same order: '${oc.env:HOME}'",
    ),
}


@pytest.mark.parametrize("case", SWEEPS)
def test_a_hostile_sweep_is_not_resumed_and_nothing_is_written_outside(case, places):
    run, outside = places
    sweep = run.parent / "sweep"
    (sweep / "0").mkdir(parents=True)
    spoil, sentence = SWEEPS[case]
    spoil(sweep, outside)
    before = content(outside)
    hydra = {"job": {"num": "???"}, "overrides": {"task": ["sweep.resume=sweep", "seed=1"]}}

    def directories():
        directories = (_sweep_directory, "sweep", None, GRID, "new"), (_job_directory, "sweep", "sweep", 0)
        return [resolve(*words, _root_=OmegaConf.create({"hydra": hydra})) for resolve, *words in directories]

    assert_refused(directories, sentence)
    assert content(outside) == before


def test_claims_of_an_array_are_checked_before_memory_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for shape in ("(1000000000000,)", "(1000000, 1000000)", "(-1, 2)"):
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + np.uint16(118).tobytes() + header.encode())
        assert_refused(lambda: vi.train(["data=arrays", "data.path=x.npy"]), "data.path=x.npy: cannot be read")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert_refused(lambda: vi.train(["data=arrays", "data.path=objects.npy"]), "data.path=objects.npy: cannot be read")


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(1000000, 1000000)", "(-1, 2)", "(3,)"])
def test_claims_in_an_archive_are_one_sentence(shape, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    with zipfile.ZipFile("x.npz", "w") as archive:
        archive.writestr("x_train.npy", b"\x93NUMPY\x01\x00" + np.uint16(118).tobytes() + header.encode())
    assert_refused(lambda: vi.train(["data=arrays", "data.path=x.npz"]), "x_train")

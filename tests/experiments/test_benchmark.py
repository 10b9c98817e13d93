import json
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmark import report, run, works
from experiments.benchmark.contestants import vi_training
from experiments.benchmark.environments import PEERS, python_of
from experiments.benchmark.rounds import differences, ratio, run_rounds
from experiments.benchmark.work import Contestant, Work

SMALL = ["data=digits", "encoder.hidden=[4]", "decoder.hidden=[4]", "model.latent_dim=2"]


class InProcess:
    """A worker without a process."""

    def __init__(self, contestant, made, seconds):
        self.contestant, self.made, self.seconds = contestant, made, iter(seconds)

    def ask(self, command):
        if command == "end":
            return {"peak_memory": 2**20}
        return self.made.facts() if command == "facts" else {**self.made.round(), "seconds": next(self.seconds)}


class Peer:
    def __init__(self, parameters, bound):
        self.parameters, self.bound = parameters, bound

    def facts(self):
        return {"parameters": self.parameters, "batch": 10, "updates": 2, "versions": {"peer": "1"}}

    def round(self):
        return {"bound": self.bound}


def test_a_work_of_vi_and_a_peer_from_rounds_to_report(tmp_path):
    options = {"batch": 10, "updates": 2, "overrides": SMALL}
    own = vi_training.analytic_kl(options)
    count = own.facts()["parameters"]
    first, second = Contestant("vi", "vi", "", ""), Contestant("peer", "jax", "", "")
    work = Work("W0", "a title", "s", 1, (first, second), {"batch": 10}, count, 1e6, 1e9, warmup=1)
    workers = [InProcess(first, own, [9, 1, 2, 4]), InProcess(second, Peer(count, -50.0), [9, 2, 2, 2])]
    outcomes = run_rounds(work, workers, 3)
    assert int(own.trainer.step) == 4 * 2
    assert outcomes[0].seconds == [1, 2, 4]
    assert ratio(outcomes[1], outcomes[0]) == (1, 0.5, 2)
    assert np.isfinite(outcomes[0].last["bound"])
    assert differences(work, outcomes) == []
    report.keep(work.key, report.entry(work, outcomes, []), "cpu", tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["W0"]["contestants"][1]["time"] == 2
    assert "| peer | 2 | 2 – 2 | 1.00 (0.50 – 2.00) |" in (tmp_path / "results.md").read_text()
    assert (tmp_path / "results.png").stat().st_size > 1000


def test_a_contestant_that_does_other_work_is_named():
    contestants = Contestant("vi", "vi", "", ""), Contestant("peer", "jax", "", "")
    work = Work("W0", "a title", "s", 1, contestants, {"batch": 20}, 7, 1.0, warmup=0)
    workers = [InProcess(contestants[0], Peer(7, -50.0), [1]), InProcess(contestants[1], Peer(8, np.nan), [1])]
    found = " ".join(differences(work, run_rounds(work, workers, 1)))
    assert "peer has parameters 8, but the work has 7" in found
    assert "vi has batch 10, but the work has 20" in found
    assert "the bound of peer is nan" in found


def test_useful_operations_of_dense_layers():
    assert works.products((2, 3), (3, 5), first=True) == 4 * 6 + 6 * 15
    assert works.weights((2, 3)) == 9


def test_every_contestant_has_a_peer_with_pinned_versions():
    peers = {c.peer for work in works.WORKS for c in work.contestants} - {"vi"}
    assert peers <= {path.stem for path in PEERS.glob("*.txt")}
    for path in PEERS.glob("*.txt"):
        assert all("==" in line for line in path.read_text().split())
    assert all(work.contestants[0].peer == "vi" for work in works.WORKS)


def test_works_are_chosen_by_key_and_device():
    assert [work.key for work in run.choose("W2", "cpu")] == ["W2, batch 20", "W2, batch 100"]
    assert {c.peer for work in run.choose("W1", "gpu") for c in work.contestants} == {"vi", "jax", "torch"}
    with pytest.raises(ValueError, match="ONLY=W9: must name some of W1, W2, W3"):
        run.choose("W9", "cpu")


def test_the_running_interpreter_serves_a_peer_whose_package_it_has():
    assert python_of("vi", running=False) == Path(sys.executable)
    assert python_of("keras", running=True) == Path(sys.executable)

"""Weights & Biases with the real library: what its files say. No failure of W&B stops a training."""

import contextlib
import csv
import http.server
import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import wandb

from tests.support.dashboard import STEPS, records, row, start
from vi.loggers.dashboard import feeder
from vi.loggers.dashboard import logger as wandb_logger
from vi.loggers.metrics_file import MetricsFile

KEY = "0123456789" * 4
UNREACHABLE = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": "http://127.0.0.1:9"}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path_factory):
    """W&B finds neither a key nor settings of the user who runs the tests."""
    home = tmp_path_factory.mktemp("home")
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def known(row):
    return {name: value for name, value in row.items() if value is not None}


def rows(directory, pattern="offline-run-*-abc"):
    """The rows of metrics that the files hold, without W&B's own columns."""
    items = [record["item"] for record in records(directory, pattern)]
    items = [{name: value for name, value in item.items() if not name.startswith("_")} for item in items]
    return [item for item in items if not any("figures/" in name for name in item)]


def metrics(directory):
    """The rows of metrics.csv, without empty cells."""
    with (directory / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("vi.loggers.dashboard")]


def test_wandb_begins_after_the_first_step(tmp_path, monkeypatch):
    begun = threading.Event()
    monkeypatch.setattr(wandb_logger.WandbLogger, "_take", lambda self, feeder, tasks: begun.set() or list(tasks))
    logger = start(tmp_path)
    logger.progress(SimpleNamespace(bound=float("nan")))
    assert not begun.wait(0.05)
    logger.progress(SimpleNamespace(bound=-100.0))
    assert begun.wait(10)
    logger.finish({"status": "finished"})


def test_the_files_of_wandb_say_what_was_logged(tmp_path, caplog):
    logger, file = start(tmp_path), MetricsFile(tmp_path / "metrics.csv")
    for step in STEPS:
        file.log(row(step))
        logger.log(row(step))
    wandb.Image(_pixels()).image.save(tmp_path / "a.png")
    logger.picture("a", tmp_path / "a.png")
    logger.finish({"status": "finished", "final": {"validation/elbo": -4.0}})
    assert rows(tmp_path) == metrics(tmp_path)
    assert all(type(row["step"]) is int for row in rows(tmp_path))
    (picture,) = (record["item"] for record in records(tmp_path) if "figures/a.path" in record["item"])
    assert picture["step"] == STEPS[-1]
    (saved,) = tmp_path.glob(f"wandb/offline-run-*/files/{picture['figures/a.path']}")
    assert saved.read_bytes() == (tmp_path / "a.png").read_bytes()
    (run,) = records(tmp_path, kind="run")
    assert run["config"]["update"] | {"seed": 7, "model": {"latent_dim": 2}} == run["config"]["update"]
    assert [run[name] for name in ("run_id", "display_name", "project", "run_group", "tags", "notes")] == [
        *("abc", "a/b", "vi", "sweep", ["mnist", "IWAE", "d" * 64], "vi-train seed=7")
    ]
    steps = {metric.get("name", metric.get("glob_name")): metric for metric in records(tmp_path, kind="metric")}
    assert {metric["step_metric"] for metric in steps.values()} == {"step"}
    assert "*" in steps
    summary = {}
    for record in records(tmp_path, kind="summary"):
        summary |= record.get("update", {})
    best = [row(step)["validation/elbo"] for step in STEPS]
    assert summary["status"] == "finished"
    assert summary["final"] == {"validation/elbo": -4.0}
    assert summary["validation/elbo"] == {"max": max(best)}
    assert summary["validation/nll"] == {"min": min(-value - 1e-7 for value in best)}
    assert [record["exit_code"] for record in records(tmp_path, kind="exit")] == [0]
    assert warnings(caplog) == []


@pytest.mark.parametrize("torn", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_resumed_run_is_the_union_of_its_files_and_no_row_is_lost_or_doubled(torn, tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    first = start(tmp_path)
    for step in STEPS:
        first.log(row(step))
    first.finish({"status": "interrupted"})
    if torn:  # within the record of the last row, as a kill leaves it
        (log,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
        os.truncate(log, log.read_bytes().index(str(row(STEPS[-1])["validation/elbo"]).encode()) + 5)
    kept = rows(tmp_path)
    for step in [*STEPS, 25, 30]:
        file.log(row(step))
    second = start(tmp_path)
    file.log(row(35))
    second.log(row(35))
    second.finish({"status": "finished"})
    assert len(list(tmp_path.glob("wandb/offline-run-*-abc"))) == 2
    assert len(kept) == len(STEPS) - torn
    assert rows(tmp_path) == metrics(tmp_path)
    goals = [metric["summary"] for metric in records(tmp_path, kind="metric") if metric.get("name") == "validation/nll"]
    assert goals == [{"min": True}] * 2
    summary = {}
    for record in records(tmp_path, kind="summary"):
        summary |= record.get("update", {})
    assert summary["validation/elbo"] == {"max": max(row["validation/elbo"] for row in metrics(tmp_path))}


def test_where_the_records_cannot_be_read_all_rows_are_logged_again(tmp_path):
    (tmp_path / "wandb" / "offline-run-20260101_000000-abc").mkdir(parents=True)
    (tmp_path / "wandb" / "offline-run-20260101_000000-abc" / "run-abc.wandb").write_bytes(b"damaged" * 9)
    for step in STEPS:
        MetricsFile(tmp_path / "metrics.csv").log(row(step))
    start(tmp_path).finish({"status": "finished"})
    (new,) = (path for path in tmp_path.glob("wandb/offline-run-*") if "20260101" not in path.name)
    assert rows(tmp_path, new.name) == metrics(tmp_path)


def test_a_run_is_finished_before_the_next_begins_and_leaves_the_process_as_it_was(tmp_path):
    hooks = sys.exit, sys.excepthook
    for name in ("a", "b"):
        logger = start(tmp_path, id=name)
        logger.log(row(10))
        logger.finish({"status": "finished"})
        assert rows(tmp_path, f"offline-run-*-{name}") == [row(10)]
        assert "WANDB_SERVICE" not in os.environ
        assert (sys.exit, sys.excepthook) == hooks


def test_another_run_of_the_user_in_the_same_process_goes_on(tmp_path):
    own = wandb.init(dir=tmp_path, id="own", mode="offline", settings=wandb.Settings(silent=True, console="off"))
    logger = start(tmp_path)
    logger.log(row(10))
    logger.finish({"status": "finished"})
    assert wandb.run is own
    own.log({"x": 1})
    own.finish()
    wandb.teardown()
    assert rows(tmp_path) == [row(10)]
    assert rows(tmp_path, "offline-run-*-own") == [{"x": 1}]


@pytest.mark.parametrize(("mode", "files"), [("offline", 1), ("disabled", 0)])
def test_the_config_decides_the_mode_whatever_the_environment_says(mode, files, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_MODE", {"offline": "disabled", "disabled": "online"}[mode])
    logger = start(tmp_path, mode=mode)
    logger.log(row(10))
    logger.finish({"status": "finished"})
    assert len(list(tmp_path.glob("wandb/*run-*/*.wandb"))) == files
    assert warnings(caplog) == []


def test_a_picture_that_cannot_be_read_is_one_warning_and_the_rest_is_logged(tmp_path, caplog):
    logger = start(tmp_path)
    for step in STEPS:
        logger.picture("a", tmp_path / "none.png")
        logger.log(row(step))
    logger.finish({"status": "finished"})
    assert [row["step"] for row in rows(tmp_path)] == STEPS
    (warning,) = warnings(caplog)
    assert "Weights & Biases failed (" in warning


def test_what_wandb_refuses_is_one_warning(tmp_path, caplog):
    logger = start(tmp_path, id="a/b")
    logger.log(row(5))
    logger.finish({"status": "finished"})
    (warning,) = warnings(caplog)
    assert "Weights & Biases failed (" in warning


def test_rows_beyond_the_bound_of_the_queue_are_left_out_with_one_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(feeder, "QUEUE_SIZE", 2)
    with wandb_logger.one_run_at_a_time:  # so that nothing is taken out
        logger = start(tmp_path)
        for step in STEPS:
            logger.log(row(step))
    logger.finish({"status": "finished"})
    assert [row["step"] for row in rows(tmp_path)] == STEPS[:2]
    (warning,) = warnings(caplog)
    assert "lags 2 rows behind" in warning


JOB = """
import json, logging, os, signal, sys, time
from pathlib import Path
from tests.support.dashboard import STEPS, row, start
from vi.loggers.dashboard import earlier, wandb_run
from vi.loggers.dashboard import logger as wandb_logger
from vi.loggers.metrics_file import MetricsFile

logging.basicConfig(level=logging.WARNING, format="%(message)s")
directory, what, mode, status = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
wandb_logger.OFFLINE_SECONDS = 3 if what == "SIGSTOP" else 60
wandb_run.START_SECONDS = 2 if status == "finished" else wandb_run.START_SECONDS
file, logger = MetricsFile(directory / "metrics.csv"), start(directory, mode=mode)
for step in STEPS:
    file.log(row(step))
    logger.log(row(step))
    if step == STEPS[1] and what != "nothing":
        while len(earlier.logged_steps(directory, "abc")) < 2:
            time.sleep(0.1)  # until the file has what was logged
        os.kill(logger._service._process.pid, getattr(signal, what))
logger.finish({"status": status})
if what != "nothing":
    wandb_logger.OFFLINE_SECONDS = 60
    following = start(directory, id="following", mode=mode)
    following.log(row(5))
    following.finish({"status": "finished"})
sys.exit(7)
"""


def run_job(directory, what="nothing", mode="offline", status="finished", **env):
    """Runs a job in a new process with a terminal; returns what it wrote to the terminal."""
    master, slave = pty.openpty()
    command = [sys.executable, "-c", JOB, str(directory), what, mode, status]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, **env}
    terminal = {"stdin": slave, "stdout": slave, "stderr": slave}
    code = subprocess.run(command, cwd=root, env=environment, timeout=60, **terminal).returncode
    os.close(slave)
    text = b""
    try:
        while part := os.read(master, 10_000):
            text += part
    except OSError:  # the end, on Linux
        os.close(master)
    assert code == 7, text.decode()
    return text.decode().splitlines()


@pytest.mark.parametrize(
    ("what", "message"), [("SIGKILL", "failed ("), ("SIGSTOP", "has not finished after 3 s and is given up")]
)
@pytest.mark.slow
def test_a_service_that_dies_or_hangs_costs_one_warning_and_is_replaced(what, message, tmp_path):
    lines = run_job(tmp_path, what)
    assert len(lines) == 1
    assert lines[0].startswith(f"Weights & Biases {message}")
    assert lines[0].endswith("missing rows are in metrics.csv.")
    assert [line["step"] for line in metrics(tmp_path)] == STEPS
    assert rows(tmp_path) == metrics(tmp_path)[:2]
    assert [row["step"] for row in rows(tmp_path, "offline-run-*-following")] == [*STEPS, 5]


@pytest.mark.parametrize(
    ("env", "reason"), [({}, "Use `wandb login` to log in"), (UNREACHABLE, "connection refused")], ids=["key", "server"]
)
@pytest.mark.slow
def test_a_run_that_cannot_go_online_is_recorded_offline_with_one_warning(env, reason, tmp_path):
    lines = run_job(tmp_path, mode="online", **env)
    assert len(lines) == 1
    assert lines[0].startswith("Weights & Biases cannot go online (")
    for part in (reason, "logger.wandb.mode=offline", f"`wandb sync {tmp_path}/wandb/offline-run-*`"):
        assert part in lines[0]
    assert rows(tmp_path) == metrics(tmp_path)
    assert [line["step"] for line in metrics(tmp_path)] == STEPS


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_a_server_that_does_not_answer(tmp_path):
    (line,) = run_job(tmp_path, mode="online", status="interrupted", **UNREACHABLE)
    assert line.startswith("Weights & Biases has not finished after 2 s and is given up")
    assert [line["step"] for line in metrics(tmp_path)] == STEPS


class Server(http.server.ThreadingHTTPServer):
    """The part of W&B's server that a run needs; `uploads` says whether it accepts rows."""

    daemon_threads = True

    def __init__(self, uploads):
        super().__init__(("127.0.0.1", 0), Answer)
        self.uploads = uploads
        self.runs, self.rows, self.exit_codes = [], [], []
        self.received = threading.Event()


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers GraphQL, a stream of rows and uploaded files."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "/file_stream" in self.path:
            self.stream(json.loads(body))
        elif self.path == "/graphql":
            self.answer(200, {"data": self.graphql(**json.loads(body))})
        else:
            self.answer(404, {})

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, {})

    def stream(self, content):
        if not self.server.uploads:
            return self.answer(503, {})
        lines = content.get("files", {}).get("wandb-history.jsonl", {"content": []})["content"]
        self.server.rows += [json.loads(line) for line in lines]
        self.server.exit_codes += [content["exitcode"]] if content.get("complete") else []
        self.answer(200, {})
        if lines:
            self.server.received.set()

    def graphql(self, query, variables=None, **_):
        project = {"id": "p", "name": "vi", "entity": {"id": "e", "name": "me"}}
        if "upsertBucket" in query:
            self.server.runs.append(variables)
            bucket = {"id": "r", "name": variables["name"], "displayName": "n", "config": "{}", "project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if "createRunFiles" in query:
            url = f"http://{self.headers['Host']}/"
            files = [{"name": name, "uploadUrl": url + name} for name in variables["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        return {"model": {**project, "bucket": None}} if "query RunResumeStatus" in query else {}

    def answer(self, code, content):
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(monkeypatch, uploads=True):
    with Server(uploads) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("WANDB__FILE_STREAM_TRANSMIT_INTERVAL", "1")  # instead of 15 s
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_online_the_rows_are_at_the_server_while_the_run_goes_on(tmp_path, monkeypatch, caplog):
    with serving(monkeypatch) as server:
        logger = start(tmp_path, mode="online")
        for step in STEPS:
            logger.log(row(step))
        assert server.received.wait(60)
        assert server.exit_codes == []
        logger.finish({"status": "failed"})
        received = [{name: value for name, value in row.items() if not name.startswith("_")} for row in server.rows]
    assert received == rows(tmp_path, "run-*-abc") == [known(row(step)) for step in STEPS]
    assert server.exit_codes == [1]
    run = server.runs[0]
    assert [run[name] for name in ("name", "displayName", "groupName", "notes")] == [
        *("abc", "a/b", "sweep", "vi-train seed=7")
    ]
    assert warnings(caplog) == []


@pytest.mark.slow
def test_a_server_that_takes_nothing_is_given_up_at_the_end_and_the_files_are_kept(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(wandb_logger, "ONLINE_SECONDS", 6)
    with serving(monkeypatch, uploads=False):
        logger = start(tmp_path, mode="online")
        for step in STEPS:
            logger.log(row(step))
        logger.finish({"status": "finished"})
    (warning,) = warnings(caplog)
    assert "has not finished after 6 s and is given up" in warning
    assert rows(tmp_path, "run-*-abc") == [known(row(step)) for step in STEPS]
    assert "WANDB_SERVICE" not in os.environ


def _pixels():
    import numpy as np

    return np.arange(48, dtype="uint8").reshape(4, 4, 3)

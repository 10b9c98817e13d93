"""Writes the table of results: README.md beside this file, and its picture, from results/*.json and systems.yaml.

    python experiments/report.py [DIRECTORY ...]

Each finished run of an experiment in and below the directories is first collected into results/, a small file per run
in place of the file of that name; a note that a person has put there is kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import re
import shlex
import statistics
import sys
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import yaml

from vi import pictures
from vi.compare.runs import Run, find
from vi.errors import ConfigError
from vi.files import write

HERE = Path(__file__).parent
PICTURE = "figures/rate_distortion.png"
FROM_SUMMARY = (
    *("estimator", "samples", "pseudo", "data_hash", "epoch", "step", "seconds", "examples_per_second"),
    *("parameters", "final", "best", "knn_accuracy"),
)
FROM_FILES = ("evaluation", "closed_form")
ABOUT = ("git_commit", "versions", "device")
KEYS = ("experiment", "seed", "command", "overrides", *FROM_SUMMARY, *FROM_FILES, "note", *ABOUT)
# What does not matter to the result.
NOT_TYPED = r"(hydra|logger|sweep)([./].*)?|data\.path|resume|trainer\.evaluat(e|ion_samples)"
MACHINE_PATH = re.compile(r"""["'=\[{(,:\s]~?/[^"'\s,]+""")
TERMS = {
    "elbo": ("evaluation.elbo", "final.validation/elbo"),
    "iw_bound": ("evaluation.iw_bound", "final.validation/iw_bound"),
    "rate": ("evaluation.rate", "final.validation/kl"),
    "distortion": ("evaluation.distortion", "final.validation/nll"),
}
PSEUDO = "†"
INTRODUCTION = """\
# Results

Each system of the texts that vi reproduces, its reference figure and ours. A: Louis Tiao, "Implementing variational
autoencoders in Keras: beyond the quickstart tutorial" (2017). B: the same author's draft on Monte Carlo sample sizes.
C: Kesler Zhu's course notes on VAEs with TensorFlow Probability. D: the TensorFlow Probability team, "Variational
autoencoders with TFP layers" (2019). E: Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders" (2015).
What else an experiment follows is named in its file in `conf/experiment/`. References marked *measured* are the text's
recipe run with stock Keras, the others are the texts' own. Where a text validates on the test images, so do we. Figures
are means over seeds, ± their standard deviation (sd) or standard error (se), or of one seed, as each says; NELBO is the
negative ELBO. Wall times are means of whole runs on {hardware}; they include other work where a note says so.

Written from `results/*.json` and `systems.yaml` by `python experiments/report.py`; with directories of runs,
`python experiments/report.py outputs`, it first collects what has finished there.
"""

Result = Mapping[str, Any]
Place = str | Mapping[str, float]
Results = Sequence[Result]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number of an experiment, or of each job of a sweep over one key.

    Args:
        experiment: that gives it.
        label: what it is called.
        number: its place in a results file, or places in the order of preference; a mapping of places to weights is
            their weighted sum.
        scale: what it is multiplied by.
        unit: of what is shown.
        digits: after the point.
        against: the place of the number that it is held against.
        sweep: as typed, such as trainer.beta=1,2; the number then goes from its first value to its last.
        text: shown instead of a number, once the experiment has been run.
        after: what is to be typed after the run for the number.
        published: the number that the source gives, by a recipe of its own.
    """

    experiment: str
    label: str = ""
    number: Place | Sequence[Place] = ()
    scale: float = 1
    unit: str = "nats"
    digits: int = 2
    against: str | None = None
    sweep: str | None = None
    text: str | None = None
    after: str | None = None
    published: str = "–"

    def owns(self, result: Result) -> bool:
        """Whether the result is of this experiment as it stands, or of this sweep."""
        typed = distinguishing(result["overrides"])
        if result["experiment"] != self.experiment or len(typed) != bool(self.sweep):
            return False
        return self.sweep is None or (key(typed[0]) == key(self.sweep) and value_of(result) in self.values)

    @property
    def values(self) -> list[float]:
        """Of the key that is swept over."""
        return sorted(float(each) for each in (self.sweep or "=").split("=")[1].split(",") if each)

    def groups(self, results: Results) -> dict[float, list[Result]]:
        """The results of the sweep by the value that it gives the key, in its order."""
        owned = [result for result in results if self.owns(result)]
        groups = {value: [result for result in owned if value_of(result) == value] for value in self.values}
        return {value: group for value, group in groups.items() if group}

    def command(self, results: Results) -> str:
        """What gives these results, all of them."""
        words = [f"experiment={self.experiment}", *([self.sweep] if self.sweep else [])]
        seeds = sorted({result["seed"] for result in results})
        if seeds not in ([], [0]):
            words.append("seed=" + ",".join(map(str, seeds)))
        many = ["-m"] if self.sweep or len(seeds) > 1 else []
        after = f"<br>`{self.after}`" if self.after else ""
        return f"`{' '.join(['vi-train', *many, *words])}`{after}"

    def show(self, results: Results, error: str) -> str:
        """The cell of the table."""
        if not results:
            return f"{self.label}: not run" if self.label else "not run"
        if self.text is not None:
            return self.text
        mark = mark_of(results) if self.unit == "nats" else ""
        if len(self.values) > 1:
            return f"{self.label} {self._course(results)}{mark}"
        estimate = Estimate.of(results, self.number, self.scale)
        if estimate.n == 0:
            return f"{self.label} not recorded".lstrip()
        shown = f"{self.label} {estimate.show(self.digits, error, self.unit)}{mark}".lstrip()
        against = Estimate.of(results, self.against or (), self.scale)
        return f"{shown}, against {minus(f'{against.mean:,.{self.digits}f}')}" if against.n else shown

    def _course(self, results: Results) -> str:
        """From the first to the last value of the sweep."""
        estimates = [Estimate.of(group, self.number, self.scale) for group in self.groups(results).values()]
        course = [estimate.mean for estimate in estimates if estimate.n]
        if len(course) < len(self.values):
            return f"recorded at {len(course)} of {len(self.values)} values"
        steps = [after - before for before, after in itertools.pairwise(course)]
        way = "falls throughout" if max(steps) < 0 else "rises throughout" if min(steps) > 0 else "not monotone"
        ends = " → ".join(minus(f"{number:,.{self.digits}f}") for number in (course[0], course[-1]))
        return f"{ends} {self.unit}, {way} ({seeds_of(min(estimate.n for estimate in estimates))} each)"


@dataclasses.dataclass(frozen=True)
class System:
    """A row of the table.

    Args:
        system: its number.
        shows: what it shows.
        reference: the figure that it is held to.
        figures: ours.
        ours: what is said in place of figures.
        error: of a mean over seeds, sd or se.
        details: a section of its own below the table: comparison, sweep or published.
        text: what that section says first.
    """

    system: str
    shows: str
    reference: str
    figures: Sequence[Figure] = ()
    ours: str = "not run"
    error: str = "sd"
    details: str | None = None
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Args:
        mean: of the numbers of the results.
        sd: over seeds, NaN for one seed.
        n: how many results have the number.
        data_error: the standard error over the data, where it is one result's that says so.
    """

    mean: float
    sd: float
    n: int
    data_error: float = math.nan

    @classmethod
    def of(cls, results: Results, places: Place | Sequence[Place], scale: float = 1) -> Estimate:
        """From the first of the places that all results have, else from those that have the last one."""
        found: list[Any] = []
        for place in [places] if isinstance(places, str | Mapping) else places:
            found = [each for result in results if (each := look_up(result, place)) is not None]
            if len(found) == len(results):
                break
        numbers = [scale * (each["mean"] if isinstance(each, dict) else each) for each in found]
        if not numbers:
            return cls(math.nan, math.nan, 0)
        one = found[0] if len(found) == 1 and isinstance(found[0], dict) else {}
        sd = statistics.stdev(numbers) if len(numbers) > 1 else math.nan
        return cls(statistics.fmean(numbers), sd, len(numbers), abs(scale) * (one.get("standard_error") or math.nan))

    @property
    def standard_error(self) -> float:
        """Over seeds where there are several, else over the data."""
        return self.sd / math.sqrt(self.n) if self.n > 1 else self.data_error

    def show(self, digits: int, error: str, unit: str) -> str:
        """The mean ± its error, sd or se, over seeds; the unit; and of how many seeds it is."""
        number, said = f"{self.mean:,.{digits}f}", seeds_of(self.n)
        if self.n > 1:
            number += f" ± {self.sd if error == 'sd' else self.standard_error:,.{digits}f}"
            said = f"{error}, {said}"
        return " ".join(filter(None, (minus(number), unit, f"({said})")))

    def cell(self, digits: int) -> str:
        """In a table that says elsewhere what the error is."""
        if not math.isfinite(self.mean):
            return "–"
        error = self.standard_error
        return minus(f"{self.mean:,.{digits}f}" + (f" ± {error:,.{digits}f}" if math.isfinite(error) else ""))


def collect(directories: Sequence[Path], folder: Path) -> list[Path]:
    """Writes a results file for each finished run of an experiment, the latest of a name; says which runs it leaves.

    Raises:
        ConfigError: there is no such directory, or no run below it.
    """
    latest: dict[str, tuple[Run, dict[str, Any]]] = {}
    for run in sorted(find(directories), key=lambda run: str(run.summary.get("started"))):
        if reason := refusal(run):
            say(f"{run.path} ({run.state}) is not collected. {reason}")
            continue
        result = result_of(run)
        if path := MACHINE_PATH.search(json.dumps(result | {"device": None}, ensure_ascii=False)):
            say(f"{run.path} ({run.state}) is not collected. It names a path of this machine, {path[0][1:]}.")
            continue
        name = name_of(result)
        if name in latest:
            say(f"{latest[name][0].path} ({run.state}) is not collected. {run.path} is a later run of the same.")
        latest[name] = run, result
    folder.mkdir(exist_ok=True)
    for name, (_, result) in latest.items():
        if (folder / name).exists():
            result["note"] = read_json(folder / name).get("note")
        write(folder / name, json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return [folder / name for name in latest]


def refusal(run: Run) -> str:
    """Why a run is not collected, if it is not."""
    choices = run.summary.get("choices") or {}
    if run.state != "finished":
        return run.sentence
    if choices.get("debug") is not None:
        return f"It was made with debug={choices['debug']}."
    return "" if choices.get("experiment") else "It is of no experiment."


def result_of(run: Run) -> dict[str, Any]:
    """What a results file holds."""
    summary = run.summary
    overrides = [each for each in typed(summary) if not re.fullmatch(NOT_TYPED, key(each))]
    files = {
        name: read_json(file) if (file := run.directory / f"{name}.json").exists() else None for name in FROM_FILES
    }
    for name, content in files.items():
        if content is not None and content.get("step") not in (summary["step"], summary["best"]["step"]):
            say(f"{run.path}: its {name}.json is of step {content.get('step')}, before it went on, and is left out.")
            files[name] = None
    whole = {
        "experiment": summary["choices"]["experiment"],
        "seed": summary["seed"],
        "command": shlex.join(["vi-train", *overrides]),
        "overrides": overrides,
        **{name: summary.get(name) for name in (*FROM_SUMMARY, *ABOUT)},
        **{name: shorten(content) for name, content in files.items()},
    }
    return {name: whole.get(name) for name in KEYS}


def typed(summary: Mapping[str, Any]) -> list[str]:
    """The overrides of a run, with what has been changed where it was gone on with."""
    overrides = {key(each): each for each in map(str, summary.get("overrides") or [])}
    for again in summary.get("resumed") or []:
        words = shlex.split(again["command"]) if again["command"].startswith("vi-train ") else []
        if "resume" in map(key, words):
            overrides |= {key(word): word for word in words if "=" in word and not word.startswith("-")}
    return list(overrides.values())


def shorten(content: Any) -> Any:
    """The same with four digits of each number in a list, and null for what is not finite."""
    if isinstance(content, dict):
        return {name: shorten(each) for name, each in content.items()}
    if isinstance(content, list):
        return [float(f"{each:.4g}") if isinstance(each, float) else each for each in map(shorten, content)]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def name_of(result: Result) -> str:
    """The name of a results file."""
    settings = sorted(urllib.parse.quote(each, safe="=+,[]") for each in distinguishing(result["overrides"]))
    return "-".join([result["experiment"], *settings, f"seed{result['seed']}"]) + ".json"


def distinguishing(overrides: Iterable[str]) -> list[str]:
    """The overrides that make a setting of an experiment."""
    return [each for each in overrides if key(each) not in ("experiment", "seed")]


def key(override: str) -> str:
    """What an override is of."""
    return override.lstrip("+~").split("=")[0]


def value_of(result: Result) -> float:
    """The number that the override of a job of a sweep gives, else NaN."""
    try:
        return float(distinguishing(result["overrides"])[0].partition("=")[2])
    except ValueError:
        return math.nan


def look_up(result: Result, place: Place) -> Any:
    """What stands at a dotted path, or the weighted sum of what stands at several; None where nothing does."""
    if isinstance(place, Mapping):
        terms = [(look_up(result, each), weight) for each, weight in place.items()]
        return None if any(term is None for term, _ in terms) else sum(term * weight for term, weight in terms)
    found: Any = result
    for part in place.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def read_json(file: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        ConfigError: it does not.
    """
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: must hold a JSON object.")
    return content


def read_results(folder: Path) -> list[dict[str, Any]]:
    """All results files, in the order of their names.

    Raises:
        ConfigError: one is damaged.
    """
    results = []
    for file in sorted(folder.glob("*.json")):
        results.append(read_json(file))
        if missing := [name for name in KEYS if name not in results[-1]]:
            raise ConfigError(f"{file}: lacks {', '.join(missing)}; collect the run again.")
    return results


def read_systems(file: Path) -> list[System]:
    """The rows of the table."""
    rows = yaml.safe_load(file.read_text())
    return [System(**row | {"figures": [Figure(**each) for each in row.get("figures", ())]}) for row in rows]


def readme(systems: Sequence[System], results: Results) -> str:
    """README.md."""
    notes: dict[str, int] = {}
    rows = [row for system in systems for row in table_rows(system, results, notes)]
    head = ("system", "what it shows", "reference", "ours", "command", "wall time")
    blocks = [INTRODUCTION.format(hardware=hardware(results)), table(head, rows)]
    if any(result["pseudo"] for result in results):
        blocks.append(
            f"{PSEUDO} A pseudo-likelihood: Bernoulli on grey levels is no density of the data, so that these nats are "
            "compared with the reference only, never with those of binarized data.\n"
        )
    blocks += [f"<sup>{number}</sup> {note}\n" for note, number in notes.items()]
    blocks += [block for system in systems if (block := details(system, results))]
    blocks += evaluations(results)
    return "\n".join(blocks)


def table_rows(system: System, results: Results, notes: dict[str, int]) -> list[list[str]]:
    """The lines of a system, one for each command; numbers the notes of its results."""
    lines: dict[str, list[str]] = {}
    for figure in system.figures:
        owned = [result for result in results if figure.owns(result)]
        shown, command = figure.show(owned, system.error), figure.command(owned)
        if command in lines:
            lines[command][0] += f"<br>{shown}"
            continue
        time = duration(statistics.fmean(result["seconds"] for result in owned)) if owned else "–"
        marks = {notes.setdefault(result["note"], len(notes) + 1) for result in owned if result["note"]}
        lines[command] = [shown, command, time + "".join(f"<sup>{mark}</sup>" for mark in sorted(marks))]
    first, *others = lines.values() or [[system.ours, "–", "–"]]
    return [[system.system, system.shows, system.reference, *first], *(["", "", "", *each] for each in others)]


def details(system: System, results: Results) -> str:
    """The section of a system below the table, empty where it has none or nothing has been run."""
    title = f"## {system.system}: {system.shows[0].lower()}{system.shows[1:]}\n\n"
    if system.details == "comparison":
        rows = []
        for figure in system.figures:
            owned = [result for result in results if figure.owns(result)]
            terms = [Estimate.of(owned, TERMS[term][1], -1 if term in ("elbo", "iw_bound") else 1) for term in TERMS]
            if owned:
                rows.append(
                    [figure.label.split(":")[0] + mark_of(owned), str(len(owned)), *(each.cell(2) for each in terms)]
                )
        head = ("setting", "seeds", "NELBO", "−iw_bound", "KL", "NLL")
        text = "At the end of training, on all validation data, in nats; ± is the standard error over seeds.\n\n"
        return title + text + table(head, rows) if rows else ""
    if system.details == "published":
        rows = []
        for figure in system.figures:
            if owned := [result for result in results if figure.owns(result)]:
                number = Estimate.of(owned, figure.number, figure.scale)
                units = Estimate.of(owned, "evaluation.active_units")
                cells = number.cell(figure.digits), f"{units.mean:g}" if units.n else "–", figure.published
                rows.append([figure.label.split(":")[0], str(len(owned)), *cells])
        columns = ("setting", "seeds", "−log p(x), ours", "active units", "published")
        return f"{title}{system.text}\n\n{table(columns, rows)}" if rows else ""
    if system.details == "sweep":
        figure = system.figures[0]
        frame = sweep_frame(figure, results)
        rows = [
            [f"{each['beta']:g}{each['mark']}", f"{each['seeds']:g}", *(each[f"{term} text"] for term in TERMS)]
            for _, each in frame.iterrows()
        ]
        text = (
            "In nats, of the evaluated checkpoint where there is an evaluation, else at the end of training; ± is the "
            "standard error over seeds where there are several, else over the data.\n\n"
        )
        picture = f"\n![Rate against distortion]({PICTURE})\n"
        return title + text + table(("β", "seeds", *TERMS), rows) + picture if rows else ""
    return ""


def sweep_frame(figure: Figure, results: Results) -> pd.DataFrame:
    """A row for each β that has been run: its terms, their standard errors, both as text, and its mark."""
    rows = []
    for beta, group in figure.groups(results).items():
        row: dict[str, Any] = {"beta": beta, "seeds": len(group), "mark": mark_of(group)}
        for term, places in TERMS.items():
            estimate = Estimate.of(group, places)
            row |= {term: estimate.mean, f"{term} standard error": estimate.standard_error}
            row[f"{term} text"] = estimate.cell(2)
        rows.append(row)
    return pd.DataFrame(rows)


def evaluations(results: Results) -> list[str]:
    """The section of all evaluations, a row for each setting; none where nothing has been evaluated."""
    settings: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        if result["evaluation"] is not None:
            name = " ".join([result["experiment"], *distinguishing(result["overrides"])])
            about = (result["evaluation"].get("checkpoint"), result["evaluation"].get("split"))
            settings.setdefault((name, *map(str, about)), []).append(result)
    if not settings:
        return []
    rows = []
    for (name, checkpoint, split), group in settings.items():
        terms = [Estimate.of(group, f"evaluation.{term}").cell(2) for term in TERMS]
        dimensions = look_up(group[0], "evaluation.kl_per_dimension")
        active = Estimate.of(group, "evaluation.active_units")
        units = f"{active.mean:g}" + (f" of {len(dimensions)}" if dimensions else "") if active.n else "–"
        size = Estimate.of(group, "evaluation.effective_sample_size").cell(1)
        accuracies = [Estimate.of(group, f"evaluation.{each}_accuracy", 100).cell(2) for each in ("knn", "logistic")]
        rows.append(
            [f"`{name}`{mark_of(group)}", f"{checkpoint}, {split}", str(len(group)), *terms, units, size, *accuracies]
        )
    head = ("setting", "checkpoint, data", "seeds", *TERMS, "active units", "ESS", "kNN, %", "logistic, %")
    text = (
        "## Evaluations\n\n"
        "What `vi-evaluate` says of the trained models, in nats; rate is the KL, distortion the negative\n"
        "log-likelihood, ESS the effective size of the importance sample, the accuracies those of classifiers on the\n"
        "posterior means. ± is the standard error over seeds where there are several, else over the data.\n\n"
    )
    return [text + table(head, rows)]


def hardware(results: Results) -> str:
    """The devices of the results."""
    return ", ".join(sorted({str(result["device"]) for result in results})) or "no machine yet"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def duration(seconds: float) -> str:
    """A wall time as a person says it."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{round(seconds / 60) // 60} h {round(seconds / 60) % 60} min"


def mark_of(results: Results) -> str:
    """The mark of numbers of a pseudo-likelihood."""
    return PSEUDO if any(result["pseudo"] for result in results) else ""


def seeds_of(n: int) -> str:
    """How many seeds."""
    return "one seed" if n == 1 else f"{n} seeds"


def minus(number: str) -> str:
    """With the sign that is typeset, and none for zero."""
    return re.sub(r"^-(?=[0.,]*( |$))", "", number).replace("-", "−")


def draw(frame: pd.DataFrame, path: Path) -> None:
    """The picture of the sweep over β."""
    path.parent.mkdir(exist_ok=True)
    pictures.rate_distortion(path, frame)


def say(sentence: str) -> None:
    """On stderr, as all that is not what was asked for."""
    print(f"report.py: {sentence}", file=sys.stderr)


def refuse(sentence: str) -> NoReturn:
    """Ends with exit code 2."""
    say(sentence)
    sys.exit(2)


def main(arguments: Sequence[str] | None = None, folder: Path = HERE) -> None:
    """Collects from the directories of the command line, then writes the table; exits with 2 where it cannot."""
    parser = argparse.ArgumentParser(
        prog="report.py", description="Collect results of runs; write README.md from them."
    )
    parser.add_argument(
        "directories", nargs="*", type=Path, metavar="DIRECTORY", help="a run, or a directory above runs"
    )
    parser.error = refuse  # type: ignore[method-assign, assignment]
    directories = parser.parse_args(arguments).directories
    try:
        written = collect(directories, folder / "results") if directories else []
        systems, results = read_systems(folder / "systems.yaml"), read_results(folder / "results")
        for result in results:
            if not any(figure.owns(result) for system in systems for figure in system.figures):
                say(f"{name_of(result)} belongs to no row of systems.yaml.")
        for system in systems:
            if system.details == "sweep" and len(frame := sweep_frame(system.figures[0], results)):
                draw(frame, folder / PICTURE)
                written.append(folder / PICTURE)
        write(folder / "README.md", readme(systems, results))
    except ConfigError as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{error.filename or folder}: {error.strerror or error}.")
    for file in [*written, folder / "README.md"]:
        print(file)


if __name__ == "__main__":
    main()

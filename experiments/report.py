"""Writes the table of results, README.md beside this file, and its picture from results/*.json and systems.yaml.

    python experiments/report.py [DIRECTORY ...]

First collects each finished run of an experiment in and below the directories into results/, one small file per run.
It replaces a file of the same name and keeps the note that a person has put there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from vi import pictures
from vi.compare.results.collect import collect
from vi.compare.results.files import Results, name_of, read_results
from vi.compare.results.rows import System, read_systems
from vi.compare.results.sections import details, evaluations, overview, sweep_frame
from vi.errors import ConfigError
from vi.files import write

HERE = Path(__file__).parent
PICTURE = "figures/rate_distortion.png"
INTRODUCTION = """\
# Results

Each row is a system of a text that vi reproduces, with the text's figure and ours. The letter names the text:

- A: Louis Tiao, "Implementing variational autoencoders in Keras: beyond the quickstart tutorial" (2017).
- B: the same author's draft on Monte Carlo sample sizes.
- C: Kesler Zhu's course notes on VAEs with TensorFlow Probability.
- D: the TensorFlow Probability team, "Variational autoencoders with TFP layers" (2019).
- E: Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders" (2015).

Each file in `conf/experiment/` names the further papers that it follows.

How to read the table:

- A reference that is marked *measured* comes from the text's recipe, run with stock Keras. The text itself gives the
  others.
- If a text validates on the test images, we do too.
- A figure is a mean over seeds ± the standard deviation (sd) or the standard error (se), or the value of one seed.
- NELBO is the negative ELBO.
- A wall time is the mean of whole runs on {hardware}. A note says where other jobs ran at the same time.

`python experiments/report.py` writes this page from `results/*.json` and `systems.yaml`.
`python experiments/report.py outputs` first collects the finished runs below `outputs`.
"""


def readme(systems: Sequence[System], results: Results) -> str:
    """The text of README.md."""
    hardware = ", ".join(sorted({str(result["device"]) for result in results})) or "no machine yet"
    sections = [section for system in systems if (section := details(system, results, PICTURE))]
    introduction = INTRODUCTION.format(hardware=hardware)
    return "\n".join([introduction, *overview(systems, results), *sections, *evaluations(results)])


def draw(systems: Sequence[System], results: Results, folder: Path) -> list[Path]:
    """Draws the sweep over β, if it was run; gives the path of the picture."""
    written = []
    for system in systems:
        if system.details == "sweep" and len(frame := sweep_frame(system.figures[0], results)):
            written.append(folder / PICTURE)
            written[-1].parent.mkdir(exist_ok=True)
            pictures.rate_distortion(written[-1], frame)
    return written


def say(sentence: str) -> None:
    """Prints a sentence to stderr."""
    print(f"report.py: {sentence}", file=sys.stderr)


def refuse(sentence: str) -> NoReturn:
    """Prints why the command is wrong, and exits with code 2."""
    say(sentence)
    sys.exit(2)


def main(arguments: Sequence[str] | None = None, folder: Path = HERE) -> None:
    """Collects from the directories of the command line, then writes the table; exits with 2 if it cannot."""
    parser = argparse.ArgumentParser(
        prog="report.py", description="Collect results of runs; write README.md from them."
    )
    parser.add_argument(
        "directories", nargs="*", type=Path, metavar="DIRECTORY", help="a run, or a directory above runs"
    )
    parser.error = refuse  # type: ignore[method-assign, assignment]
    directories = parser.parse_args(arguments).directories
    try:
        written = collect(directories, folder / "results", say) if directories else []
        systems, results = read_systems(folder / "systems.yaml"), read_results(folder / "results")
        for result in results:
            if not any(figure.owns(result) for system in systems for figure in system.figures):
                say(f"{name_of(result)} belongs to no row of systems.yaml.")
        written += draw(systems, results, folder)
        write(folder / "README.md", readme(systems, results))
    except ConfigError as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{error.filename or folder}: {error.strerror or error}.")
    for file in [*written, folder / "README.md"]:
        print(file)


if __name__ == "__main__":
    main()

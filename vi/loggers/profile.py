"""The table of a profile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import rich.box
import rich.console
import rich.table

from vi.files import short
from vi.loggers.terminal import print_line

MEANINGS = {
    "data": "the batch, gathered and converted",
    "noise": "random numbers",
    "encoder": "from x to the parameters of q(z|x)",
    "sampling": "z from the noise",
    "decoder": "from z to the decoder's output",
    "likelihood": "log p(x|z)",
    "dreams": "data from the model, and q at them",
    "loss": "log p(z), log q(z|x), the KL, the bound",
    "backward": "gradients",
    "metrics": "what is logged, and the gradients' norms",
    "optimizer": "updates of the weights",
    "rest": "the loop, and the copy of the weights",
    "step": "all of the compiled loop",
    "evaluation": "of the validation data",
    "host": "Python, loggers, checkpoints",
}
"""The content of each term."""


def profile_table(
    console: rich.console.Console,
    title: str,
    step: Mapping[str, float],
    between: Mapping[str, float],
    compiling: float,
    folder: Path,
) -> None:
    """Prints where the time of a step goes, and how to open the trace.

    Args:
        console: the terminal.
        title: the title of the table.
        step: the milliseconds of each term of a step.
        between: the milliseconds a step of each term outside the compiled calls.
        compiling: the seconds of compiling.
        folder: the folder of the trace and of the numbers.
    """
    of_step, whole = sum(step.values()), sum(step.values()) + sum(between.values())
    table = rich.table.Table(title=title, box=rich.box.SIMPLE_HEAD, title_justify="left")
    table.add_column("term", no_wrap=True)
    table.add_column("content")
    for name in ("ms a step", "% of step", "% of run"):
        table.add_column(name, justify="right")

    def add(term: str, milliseconds: float, in_step: bool) -> None:
        share = f"{100 * milliseconds / of_step:.1f}" if in_step else ""
        content = MEANINGS.get(term, "")
        table.add_row(term, content, f"{milliseconds:.3f}", share, f"{100 * milliseconds / whole:.1f}")

    for term, milliseconds in step.items():
        add(term, milliseconds, True)
    table.add_section()
    add("step", of_step, True)
    for term, milliseconds in between.items():
        add(term, milliseconds, False)
    if between:
        table.add_section()
        add("run", whole, False)
    console.print(table)
    if compiling:
        print_line(console, f"Compiling took {compiling:.1f} s more.")
    folder = short(folder)
    print_line(console, f"Numbers: {folder / 'profile.csv'}  trace: {folder}/")
    print_line(console, "  pip install tensorboard tensorboard-plugin-profile")
    print_line(console, f"  tensorboard --logdir {folder}  # shows the trace")

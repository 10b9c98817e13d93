"""The Markdown sections of a report: the table of systems, the details of each, all evaluations."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import pandas as pd

from vi.compare.markdown import table
from vi.compare.results.estimates import PSEUDO, Estimate, duration, mark_of
from vi.compare.results.files import Result, Results, distinguishing, look_up
from vi.compare.results.rows import Figure, System

TERMS = {
    "elbo": ("evaluation.elbo", "final.validation/elbo"),
    "iw_bound": ("evaluation.iw_bound", "final.validation/iw_bound"),
    "rate": ("evaluation.rate", "final.validation/kl"),
    "distortion": ("evaluation.distortion", "final.validation/nll"),
}
"""The places of the ELBO's terms: first in an evaluation, then at the end of training."""


def overview(systems: Sequence[System], results: Results) -> list[str]:
    """The table of all systems, and its footnotes."""
    notes: dict[str, int] = {}
    rows = [row for system in systems for row in _rows(system, results, notes)]
    blocks = [table(("system", "what it shows", "reference", "ours", "command", "wall time"), rows)]
    if any(result["pseudo"] for result in results):
        blocks.append(
            f"{PSEUDO} A pseudo-likelihood: Bernoulli is not a density of grey levels. Compare these nats with the "
            "reference only, never with nats of binarized data.\n"
        )
    return blocks + [f"<sup>{number}</sup> {note}\n" for note, number in notes.items()]


def _rows(system: System, results: Results, notes: dict[str, int]) -> list[list[str]]:
    """The lines of a system, one for each command. Adds the notes of its results to `notes`, with their numbers."""
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


def details(system: System, results: Results, picture: str) -> str:
    """The section of a system below the table; empty if the system has none or was not run.

    `picture` is the file that shows a sweep.
    """
    makers = {"comparison": _comparison, "published": _published, "sweep": _sweep}
    section = makers[system.details](system, results) if system.details in makers else ""
    title = f"## {system.system}: {system.shows[0].lower()}{system.shows[1:]}\n\n"
    shown = f"\n![Rate against distortion]({picture})\n" if system.details == "sweep" else ""
    return title + section + shown if section else ""


def _comparison(system: System, results: Results) -> str:
    """A line for each setting: the terms of the ELBO at the end of training."""
    rows = []
    for figure in system.figures:
        if owned := [result for result in results if figure.owns(result)]:
            terms = [Estimate.of(owned, TERMS[term][1], -1 if term in ("elbo", "iw_bound") else 1) for term in TERMS]
            name = figure.label.split(":")[0] + mark_of(owned)
            rows.append([name, str(len(owned)), *(each.cell(2) for each in terms)])
    text = "In nats, on all validation data, at the end of training. ± is the standard error over seeds.\n\n"
    return text + table(("setting", "seeds", "NELBO", "−iw_bound", "KL", "NLL"), rows) if rows else ""


def _published(system: System, results: Results) -> str:
    """A line for each setting: our number beside the published one."""
    rows = []
    for figure in system.figures:
        if owned := [result for result in results if figure.owns(result)]:
            number = Estimate.of(owned, figure.number, figure.scale)
            units = Estimate.of(owned, "evaluation.active_units")
            cells = number.cell(figure.digits), f"{units.mean:g}" if units.n else "–", figure.published
            rows.append([figure.label.split(":")[0], str(len(owned)), *cells])
    head = ("setting", "seeds", "−log p(x), ours", "active units", "published")
    return f"{system.text}\n\n{table(head, rows)}" if rows else ""


def _sweep(system: System, results: Results) -> str:
    """A line for each β: the terms of the ELBO."""
    rows = [
        [f"{each['beta']:g}{each['mark']}", f"{each['seeds']:g}", *(each[f"{term} text"] for term in TERMS)]
        for _, each in sweep_frame(system.figures[0], results).iterrows()
    ]
    text = (
        "In nats, from the evaluated checkpoint; without an evaluation, from the end of training. ± is the standard "
        "error over seeds; with one seed, over the data.\n\n"
    )
    return text + table(("β", "seeds", *TERMS), rows) if rows else ""


def sweep_frame(figure: Figure, results: Results) -> pd.DataFrame:
    """A row for each β that was run: the terms of the ELBO, their standard errors, both as text, and the mark."""
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
    """The section of all evaluations, with a row for each setting; no section if nothing was evaluated."""
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
        "The scores of the trained models by `vi-evaluate`, in nats; rate is the KL, distortion the negative\n"
        "log-likelihood, ESS the effective size of the importance sample, the accuracies are of classifiers on the\n"
        "posterior means. ± is the standard error over seeds where there are several, else over the data.\n\n"
    )
    return [text + table(head, rows)]

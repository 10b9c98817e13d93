"""The results: a table for each work, the numbers as JSON, and a picture. A run replaces the works that it has run."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

from experiments.benchmark.picture import brief, draw
from experiments.benchmark.rounds import Outcome, ratio
from experiments.benchmark.work import Work

HERE = Path(__file__).parent
INTRODUCTION = """\
# vi and its peers on the same works

All contestants of a work take turns (A B C A B C …) in one run, each in a process of its own. The table has the median
of the rounds, the fastest and the slowest round, and the time in units of vi's. The range beside the ratio is that of
the ratios by round: with n rounds it holds the true median ratio with probability 1 − 2^(1−n). The ceiling is the
faster float32 matrix product of TensorFlow and PyTorch, measured in turn with the contestants; the useful operations
are the products of the dense layers, forward and backward. Peak memory is that of the process, with its libraries.
`make bench` writes this file.
"""


def entry(work: Work, contestants: list[Outcome], ceilings: list[Outcome]) -> dict[str, Any]:
    """The numbers of a work."""
    best = max((each.last["operations"] / each.median for each in ceilings), default=None)
    rows = []
    for each in contestants:
        middle, low, high = ratio(each, contestants[0])
        rows.append(
            {
                "name": each.name,
                "time": each.median / work.per,
                "fastest": min(each.seconds) / work.per,
                "slowest": max(each.seconds) / work.per,
                "ratio": [middle, low, high],
                "ceiling": work.operations / each.median / best if work.operations and best else None,
                "peak_memory": each.last.get("peak_memory", each.peak_memory),
                "facts": each.facts,
                "last": each.last,
            }
        )
    return {
        "title": work.title,
        "unit": work.unit,
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
        "rounds": len(contestants[0].seconds),
        "gigaflops": best and best / 1e9,
        "contestants": rows,
    }


def machine() -> str:
    """The processor, its cores and the memory."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{next(iter(names), platform.processor())}, {os.cpu_count()} cores, {memory:.0f} GiB"


def keep(key: str, numbers: dict[str, Any], device: str, folder: Path = HERE) -> None:
    """Puts the numbers of a work into results.json, and writes the table and the picture again."""
    name = "results" if device == "cpu" else f"results_{device}"
    path = folder / f"{name}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    known = {**known, key: numbers}
    known = {key: known[key] for key in sorted(known, key=lambda key: [int(n) for n in re.findall(r"\d+", key)])}
    path.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    tables = [table(key, each) for key, each in known.items()]
    (folder / f"{name}.md").write_text("\n".join([INTRODUCTION, f"![Times by contestant]({name}.png)\n", *tables]))
    draw(known, folder / f"{name}.png")


def table(key: str, numbers: dict[str, Any]) -> str:
    """The table of a work in Markdown."""
    ceiling = f" Ceiling: {numbers['gigaflops']:.0f} GFLOP/s." if numbers["gigaflops"] else ""
    lines = [
        f"## {key}: {numbers['title']}\n",
        f"{numbers['machine']}. {numbers['date']}, {numbers['rounds']} rounds.{ceiling}\n",
        f"| contestant | {numbers['unit']} | fastest – slowest | of vi's | of the ceiling | memory, MiB | versions |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in numbers["contestants"]:
        middle, low, high = row["ratio"]
        share = "" if row["ceiling"] is None else f"{row['ceiling']:.2f}"
        versions = ", ".join(f"{name} {version}" for name, version in row["facts"].get("versions", {}).items())
        lines.append(
            f"| {row['name']} | {brief(row['time'])} | {brief(row['fastest'])} – {brief(row['slowest'])} | "
            f"{middle:.2f} ({low:.2f} – {high:.2f}) | {share} | {row['peak_memory'] / 2**20:.0f} | {versions} |"
        )
    return "\n".join([*lines, ""])

"""The picture of the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import ticker

from vi.pictures import style


def draw(known: dict[str, Any], path: Path) -> None:
    """A panel for each work with peers, a dot for each contestant, with its fastest and slowest round; a log scale."""
    known = {key: each for key, each in known.items() if len(each["contestants"]) > 1}
    counts = [len(each["contestants"]) for each in known.values()]
    if not counts:
        return
    with style.open_figure(path, style.PAGE, 0.5 * len(counts) + 0.17 * sum(counts)) as figure:
        panels = figure.subplots(len(counts), 1, squeeze=False, gridspec_kw={"height_ratios": counts})[:, 0]
        for axes, (key, each) in zip(panels, known.items(), strict=True):
            for place, row in enumerate(each["contestants"]):
                colour = style.ORANGE if place == 0 else style.BLUE
                axes.plot([row["fastest"], row["slowest"]], [place, place], color=colour, linewidth=1)
                axes.plot(row["time"], place, "o", color=colour, markersize=4)
                axes.annotate(brief(row["time"]), (row["slowest"], place), (4, -3), textcoords="offset points")
            axes.set_yticks(range(len(each["contestants"])), [row["name"] for row in each["contestants"]])
            axes.set(title=f"{key}: {each['unit']}", ylim=(len(each["contestants"]) - 0.5, -0.5), xscale="log")
            axes.set_xlim(right=1.15 * axes.get_xlim()[1])
            axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_locator(ticker.NullLocator())
            axes.spines[["top", "right"]].set_visible(False)


def brief(time: float) -> str:
    """A time with three digits."""
    return f"{time:,.0f}" if time >= 1000 else f"{time:.3g}"

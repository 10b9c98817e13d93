"""The page comparison.html: table, curves and pictures in one file. It needs no network."""

from __future__ import annotations

import html
import itertools
import json
import math
from pathlib import Path
from string import Template

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from vi import pictures
from vi.compare.columns import BEST, CURVES
from vi.compare.comparison import Comparison
from vi.compare.tables import UNIT, columns, states, unfinished
from vi.pictures.embedded import embedded
from vi.text import html as escaped
from vi.text import plain

AXES = {"epoch": "epochs", "seconds": "seconds"}
SYMBOLS = {"": "circle", "o": "circle", "s": "square"}
WIDEST = 900  # pixels of an embedded picture


def page(comparison: Comparison) -> str:
    """The text of the page."""
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    metrics = [name for name in CURVES if comparison.curves[name].notna().any()]
    drawn = {f"{m} {x}": json.loads(curves(comparison, m, x).to_json() or "") for m in metrics for x in AXES}
    return template.substitute(
        title=escaped(comparison.title),
        unit=UNIT,
        notes="".join(f"<p class=note>{escaped(note)}</p>" for note in comparison.notes),
        settings=_settings(comparison),
        unfinished=_unfinished(comparison),
        metrics="".join(f"<option>{name}</option>" for name in metrics),
        axes="".join(f"<option value={value}>{text}</option>" for value, text in AXES.items()),
        figures=json.dumps(drawn).replace("<", r"\u003c"),  # so that no text ends the script
        pictures=_pictures(comparison),
        plotly=get_plotlyjs(),
    )


def curves(comparison: Comparison, metric: str, x: str) -> go.Figure:
    """The learning curves of all settings: means over seeds with a band each, unfinished runs dashed."""
    looks = _looks(comparison)
    figure = go.Figure()
    lines = comparison.curves.dropna(subset=metric).groupby(["setting", "run"], observed=True, sort=False)
    for (setting, run), line in lines:
        colour, marker = looks[str(setting)]
        name = html.escape(plain(f"{setting}, {run}: unfinished" if run else f"{setting}"), quote=False)
        across, mean = line[x].to_numpy("float32"), line[metric].to_numpy("float32")
        error = line[f"{metric} standard error"].to_numpy("float32")
        group = {"legendgroup": name, "x": across}
        if not run and line["seeds"].iloc[0] > 1:
            edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False} | group
            figure.add_scatter(y=mean - error, **edge)
            figure.add_scatter(y=mean + error, fill="tonexty", fillcolor=_pale(colour), **edge)
        figure.add_scatter(
            y=mean,
            name=name,
            mode="lines+markers" if marker or len(line) <= 10 else "lines",
            line={"color": colour, "width": 1.5 if run else 2, "dash": "dash" if run else "solid"},
            marker={"symbol": SYMBOLS[marker], "size": 6, "maxdisplayed": 10},
            customdata=error,
            hovertemplate="%{x:.4g}: %{y:.2f}" + ("" if run or math.isnan(error.max()) else " ± %{customdata:.2f}"),
            **group,
        )
    figure.update_layout(
        height=430 + 19 * len(lines),
        xaxis_title={"text": "epoch" if x == "epoch" else "seconds, mean over seeds", "standoff": 8},
        yaxis_title={"text": f"{metric}, nats per datum", "standoff": 12},
        yaxis_range=pictures.focus(comparison.curves, metric),
        template="none",
        legend={"x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "tracegroupgap": 0, "maxheight": 2000},
        margin={"l": 70, "r": 10, "t": 10, "b": 10},
        hovermode="closest",
        hoverlabel_namelength=-1,
    )
    return figure


def _looks(comparison: Comparison) -> dict[str, tuple[str, str]]:
    """The colour and the marker of each setting, as in comparison.png."""
    return dict(zip(comparison.curves["setting"].unique(), itertools.cycle(pictures.LOOKS), strict=False))


def _pale(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"


def _settings(comparison: Comparison) -> str:
    shown, looks = columns(comparison.settings), _looks(comparison)
    headings = ["setting", "runs finished", "seeds", *(column.heading for column in shown)]
    sorted_by = 3 + [column.name for column in shown].index(BEST) if BEST in [c.name for c in shown] else -1
    head = "".join(
        f"<th scope=col{' aria-sort=descending' if i == sorted_by else ''}><button>{heading}</button></th>"
        for i, heading in enumerate(heading.replace(", ", "\n") for heading in headings)
    )
    body = ""
    for setting, row in comparison.settings.iterrows():
        colour = looks.get(str(setting), ("transparent", ""))[0]
        name = f'<div class=name><i style="background:{colour}"></i><span>{escaped(setting)}</span></div>'
        cells = [f"<th scope=row>{name}</th>", _cell(states(row), row["finished"]), f"<td>{row['seeds'] or '–'}</td>"]
        cells += [_cell(column.text(row), row[column.name]) for column in shown]
        body += f"<tr>{''.join(cells)}</tr>\n"
    return f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>"


def _cell(text: str, value: float) -> str:
    mean, _, error = text.partition(" ± ")
    shown = f"{mean} <small>± {error}</small>" if error else mean
    return f'<td data-value="{"" if math.isnan(value) else value}">{shown}</td>'


def _unfinished(comparison: Comparison) -> str:
    table = unfinished(comparison)
    if table.empty:
        return ""
    head = "".join(f"<th scope=col><button>{name}</button></th>" for name in table)
    body = "".join(
        f"<tr>{''.join(f'<td>{escaped(text)}</td>' for text in row)}</tr>\n" for row in table.itertuples(index=False)
    )
    return (
        "<h2>Runs without final numbers</h2>\n<div class=wide><table class=texts>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _pictures(comparison: Comparison) -> str:
    """The pictures of one finished run for each setting: the run with the lowest seed."""
    runs = comparison.runs[comparison.runs["state"] == "finished"].sort_values(["setting", "seed"], kind="stable")
    sections = ""
    for i, (_, run) in enumerate(runs.drop_duplicates("setting").iterrows()):
        files = sorted((run["directory"] / "figures").glob("*.png"))
        shown = "".join(embedded(file, WIDEST) for file in files)
        if shown:
            heading = escaped(f"{run['setting']} (run {run['path']})")
            sections += f"<details{'' if i else ' open'}><summary>{heading}</summary>{shown}</details>\n"
    return f"<h2>Pictures</h2>\n{sections}" if sections else ""

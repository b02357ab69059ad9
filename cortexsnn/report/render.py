"""Report content to one HTML file without any outside resource."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from . import numbers
from .content import SECTIONS, AccuracyRow, Confusion, ReportContent, ReportFigure, derived_verdict
from .write import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG_LIMIT = 1_500_000
"""A figure whose SVG is longer than this [characters] is embedded as PNG."""

_HEADINGS = {
    "results": "Results",
    "circuit": "Circuit and task",
    "accuracy": "Accuracy",
    "verification": "Agreement of the engines",
    "fidelity": "Fidelity under other settings",
    "rates": "Activity",
    "dale": "Dale\u2019s law",
    "training": "Training",
    "figures": "Figures",
    "program": "Program of one step",
    "timings": "Timings",
    "provenance": "Provenance",
}


def write_report(path: str | os.PathLike[str], content: ReportContent) -> None:
    """Write the report as one HTML file, atomically: `path` holds the old report or the whole new one."""
    write_text(path, render_html(content))


def render_html(content: ReportContent) -> str:
    """The report as HTML. Figures become inline SVG; all text of the content is escaped."""
    present = [name for name in SECTIONS if getattr(content, name)]
    if content.circuit is not None and not content.circuit.populations:
        present.remove("circuit")
    figures = _figures(content)
    template = _environment().get_template("report.html.jinja")
    return template.render(
        report=content,
        verdict=content.verdict or derived_verdict(content),
        table={name: position for position, name in enumerate(present, 1)},
        figures=figures,
        sections={name: text for name, text in _HEADINGS.items() if _shown(name, content, figures)},
        accuracy=_accuracy_table(content.accuracy),
        confusion=_confusion_table(content.confusion),
    )


def _shown(name: str, content: ReportContent, figures: Mapping[str, Sequence[Any]]) -> bool:
    if name == "figures":
        return bool(figures.get(""))
    if name == "accuracy" and content.confusion is not None:
        return True
    return bool(getattr(content, name)) or bool(figures.get(name))


def _figures(content: ReportContent) -> dict[str, list[dict[str, Any]]]:
    """Figures by section, numbered in the order in which they appear on the page."""
    order = {name: i for i, name in enumerate(_HEADINGS)} | {"": list(_HEADINGS).index("figures")}
    # The confusion matrix has no heading of its own.
    rows = [ReportFigure(*row) for row in content.figures]
    rows = [row._replace(section="accuracy") if row.section == "confusion" else row for row in rows]
    placed: dict[str, list[dict[str, Any]]] = {}
    for i, row in enumerate(sorted(rows, key=lambda row: order[row.section]), 1):
        drawing = _drawing(row.figure, i, row.caption)
        placed.setdefault(row.section, []).append({"number": i, "caption": row.caption, "drawing": drawing})
    return placed


def _drawing(figure: Figure, position: int, caption: str) -> Markup:
    from ..analysis.figures_style import to_png, to_svg

    svg = to_svg(figure, prefix=f"f{position}-")
    if len(svg) <= SVG_LIMIT:
        return Markup(svg.replace("<svg", f'<svg role="img" aria-label="Figure {position}"', 1))
    data = base64.b64encode(to_png(figure)).decode("ascii")
    natural = round(figure.get_figwidth() * 96)
    return Markup('<img src="data:image/png;base64,{}" alt="{}" style="--natural: {}px">').format(
        data, caption, natural
    )


def _accuracy_table(rows: Sequence[AccuracyRow]) -> dict[str, Any]:
    """Engines as rows; with several training seeds a column for each and their mean."""
    from ..analysis.distance import wilson_interval

    seeds = sorted({row.seed for row in rows if row.seed is not None})
    lines = []
    for engine in dict.fromkeys(row.engine for row in rows):
        own = [row for row in rows if row.engine == engine]
        values = [row.accuracy for row in own]
        equal = [row.predictions_equal for row in own if row.predictions_equal is not None]
        first = own[0]
        low, high = wilson_interval(first.accuracy, first.n_images)
        lines.append(
            {
                "engine": engine,
                "by_seed": {row.seed: row.accuracy for row in own},
                "mean": fmean(values),
                "std": stdev(values) if len(values) > 1 else None,
                "correct": round(first.accuracy * first.n_images),
                "n": first.n_images,
                "interval": f"{100 * low:.1f}{numbers.DASH}{100 * high:.1f}{numbers.SPACE}%",
                "equal": min(equal) if equal else None,
            }
        )
    return {"seeds": seeds, "lines": lines, "has_equal": any(line["equal"] is not None for line in lines)}


def _confusion_table(confusion: Confusion | None) -> dict[str, Any] | None:
    """Counts with the share of their row, which sets the shade."""
    if confusion is None:
        return None
    counts = np.asarray(confusion.counts)
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    lines = [
        {
            "label": str(label),
            "cells": [{"count": int(c), "share": float(s)} for c, s in zip(row, shares, strict=True)],
            "total": int(row.sum()),
            "recall": float(row[i] / row.sum()) if row.sum() else None,
        }
        for i, (label, row, shares) in enumerate(zip(confusion.labels, counts, share, strict=True))
    ]
    return {"lines": lines, "labels": [str(label) for label in confusion.labels], "n": int(counts.sum()),
            "correct": int(np.trace(counts)), "engine": confusion.engine}  # fmt: skip


@cache
def _environment() -> Environment:
    folder = resources.files(__package__)
    names = ("report.html.jinja", "report.css")
    environment = Environment(
        loader=DictLoader({name: folder.joinpath(name).read_text("utf-8") for name in names}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": numbers.count,
        "fixed": numbers.fixed,
        "number": numbers.number,
        "plain": "{:g}".format,
        "percent": numbers.percent,
        "seconds": numbers.seconds,
    }
    return environment

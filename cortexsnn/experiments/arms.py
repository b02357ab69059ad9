"""Experiments with arms: every arm is trained with the same seeds and splits, and compared pair by pair with the baseline."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..analysis.paired import Difference, estimate, paired_difference
from ..recording import versions
from ..report import Fact, Provenance, ReportContent, Table, VerificationRow, write_json, write_report, write_text
from .config import ArmsConfig
from .pool import map_tasks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")


class Run(NamedTuple):
    """One training: which arm under which setting with which seed, and what was measured (name -> number or list)."""

    setting: str
    arm: str
    seed: int
    measured: Mapping[str, Any]


class Results:
    """Runs by setting, arm and seed.

    Parameters
    ----------
    name : str
        Of the experiment, for files and the command.
    config : ArmsConfig
    """

    def __init__(self, name: str, config: ArmsConfig) -> None:
        self.name, self.config = name, config
        self.runs: list[Run] = []
        self.seconds = self.cpu_seconds = 0.0
        self.trainings = 0

    def collect(self, function: Callable[[T], Run], tasks: Sequence[T]) -> None:
        """Train everything, a few runs at a time."""
        start = time.perf_counter()
        self.runs += map_tasks(partial(_with_cpu_time, function), tasks, self.config.workers, self.name)
        self.seconds += time.perf_counter() - start
        self.cpu_seconds = sum(r.measured["cpu_seconds"] for r in self.runs)
        self.trainings = sum(r.measured.get("trainings", 1) for r in self.runs)

    @property
    def settings(self) -> list[str]:
        return list(dict.fromkeys(r.setting for r in self.runs))

    def arms(self, setting: str) -> list[str]:
        """Arms of a setting, in the order of the trainings."""
        return list(dict.fromkeys(r.arm for r in self.runs if r.setting == setting))

    def values(self, setting: str, arm: str, what: str = "accuracy") -> list[float]:
        """One number per seed, in the order of the seeds."""
        found = {r.seed: r.measured[what] for r in self.runs if r.setting == setting and r.arm == arm}
        return [float(found[seed]) for seed in self.config.seeds]

    def difference(self, setting: str, arm: str, baseline: str, what: str = "accuracy") -> Difference:
        """An arm minus the baseline, paired by seed."""
        return paired_difference(self.values(setting, arm, what), self.values(setting, baseline, what))

    def in_points(self, setting: str, arm: str, baseline: str, what: str = "accuracy") -> str:
        """The difference to the baseline as a sentence of the findings."""
        d = self.difference(setting, arm, baseline, what)
        return (
            f"{arm} minus {baseline}, {100 * d.mean:+.1f} points (95 % interval {100 * d.low:+.1f} to {100 * d.high:+.1f}; "
            f"detectable {100 * d.detectable:.1f})."
        )

    def table(self, baselines: Mapping[str, str], caption: str, what: str = "accuracy") -> Table:
        """Mean, interval and paired difference of every arm, for the settings of ``baselines``: setting -> arm."""
        rows = []
        for setting in baselines:
            for arm in self.arms(setting):
                found = estimate(self.values(setting, arm, what))
                row = [f"{setting}: {arm}", _percent(found.mean), f"{_percent(found.low)} to {_percent(found.high)}"]
                if arm == baselines[setting]:
                    row += ["baseline", "", "", ""]
                elif self.values(setting, arm, what) == self.values(setting, baselines[setting], what):
                    row += ["0", "", "", "identical in every run"]
                else:
                    d = self.difference(setting, arm, baselines[setting], what)
                    row += [
                        f"{100 * d.mean:+.1f}",
                        f"{100 * d.low:+.1f} to {100 * d.high:+.1f}",
                        f"{100 * d.detectable:.1f}",
                        d.verdict,
                    ]
                rows.append(row)
        columns = ["Arm", "Mean [%]", "95 % interval", "Difference", "95 % interval", "Detectable", "Verdict"]
        n = len(self.config.seeds)
        note = (
            f" Mean over {n} seeds with 95 % t-interval; differences in percentage points to the baseline of the same setting, paired by "
            "seed, which also draws the split (of the same images, so that the splits overlap and the intervals are somewhat narrow); "
            "detectable: the true difference that this design finds in 80 % of repetitions."
        )
        return Table(caption=caption + note, columns=columns, rows=rows)

    def write(
        self, folder: Path, title: str, table: Table, figures: Sequence[tuple[str, Figure]], findings: Sequence[str],
        more: Mapping[str, Any], tables: Sequence[Table] = (), verification: Sequence[VerificationRow] = (),
    ) -> str:  # fmt: skip
        """``results.json``, ``report.html`` and every figure as PNG; returns the table as text. Further tables and a proof stand below it."""
        from ..analysis.figures_style import to_png

        command = self.config.command
        config = self.config.model_dump(mode="json")
        summary = {
            "experiment": self.name, "command": command, "versions": versions(), "wall_seconds": self.seconds, "cpu_seconds": self.cpu_seconds, "workers": self.config.workers,
            "table": {"columns": list(table.columns), "rows": [list(r) for r in table.rows]}, "findings": list(findings), **more,
            **({"tables": [{"caption": t.caption, "columns": list(t.columns), "rows": [list(r) for r in t.rows]} for t in tables]} if tables else {}),
            "runs": [{"setting": r.setting, "arm": r.arm, "seed": r.seed, **r.measured} for r in self.runs], "config": config,
        }  # fmt: skip
        write_json(folder / "results.json", summary)
        for k, (_, figure) in enumerate(figures, start=1):
            (folder / f"figure-{k}.png").write_bytes(to_png(figure))
        spent = f"{self.seconds / 60:.1f} min"
        budget = (
            f"{self.cpu_seconds / 60:.0f} minutes of CPU time, {spent} in {self.config.workers} processes of one thread"
        )
        facts = f"{self.trainings} trainings, {len(self.config.seeds)} seeds per arm, {budget}."
        write_text(folder / "results.md", as_markdown(title, command, facts, table, findings, len(figures), tables))
        write_report(
            folder / "report.html",
            ReportContent(
                title=title,
                facts=[Fact("Trainings", str(self.trainings)), Fact("Seeds", str(len(self.config.seeds))), Fact("CPU time", f"{self.cpu_seconds / 60:.0f} min", f"{spent} in {self.config.workers} processes")],
                results=replace(table, findings=tuple(findings)),
                tables=tables,
                verification=verification,
                figures=list(figures),
                provenance=Provenance(
                    command=command, versions=versions(), seeds={"training": list(self.config.seeds)}, config=json.dumps(config, indent=2)
                ),
            ),
        )  # fmt: skip
        return "\n".join([title, *as_text(table), *findings, f"{self.trainings} trainings in {spent}"])


def _with_cpu_time(function: Callable[[T], Run], task: T) -> Run:
    start = cpu_seconds()
    run = function(task)
    before = run.measured.get("cpu_seconds", 0.0)  # of what was kept of an earlier run
    return run._replace(measured={**run.measured, "cpu_seconds": before + cpu_seconds() - start})


def cpu_seconds() -> float:
    """Of this process and of those it ran, such as compiled programs."""
    return sum(os.times()[:4])


def as_markdown(
    title: str,
    command: str,
    facts: str,
    table: Table,
    findings: Sequence[str],
    n_figures: int,
    tables: Sequence[Table] = (),
) -> str:
    """The page of an experiment: what ran, the tables, what they say, its figures (``figure-1.png`` … beside it)."""
    head = [
        f"# {title}",
        "",
        f"`{command}`: {facts} All numbers, per seed: `results.json` beside this page.",
    ]
    shown = [line for t in (replace(table, findings=tuple(findings)), *tables) for line in _table_lines(t)]
    figures = [line for k in range(1, n_figures + 1) for line in ("", f"![Figure {k}](figure-{k}.png)")]
    return "\n".join([*head, *shown, *figures]) + "\n"


def _table_lines(table: Table) -> list[str]:
    rows = [f"| {' | '.join(r)} |" for r in (table.columns, ["---"] * len(table.columns), *table.rows)]
    said = ["", "What came out:", "", *(f"- {f}" for f in table.findings)] if table.findings else []
    return ["", table.caption, "", *rows, *said]


def as_text(table: Table) -> list[str]:
    """Lines of a table in columns."""
    rows = [list(table.columns), *(list(r) for r in table.rows)]
    widths = [max(len(r[k]) for r in rows) for k in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip() for r in rows]


def _percent(x: float) -> str:
    return f"{100 * x:.1f}"

"""The report: escaped, self-contained, numbered, written whole or not at all; and strict JSON."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from cortexsnn.analysis import figures
from cortexsnn.report import (
    AccuracyRow,
    CircuitFacts,
    Confusion,
    DaleRow,
    EpochRow,
    Fact,
    FidelityRow,
    PopulationRow,
    Provenance,
    RateRow,
    ReportContent,
    ReportFigure,
    Table,
    TimingRow,
    Verdict,
    VerificationRow,
    numbers,
    render_html,
    write_json,
    write_report,
)

HOSTILE = "<script>alert('x')</script>\"'&{{ 7*7 }}"


def full(text: str = "plain") -> ReportContent:
    """A report with every section, whose every free text is `text`."""
    bars = figures.accuracy_bars({text: [0.9]}, n_images=10)
    return ReportContent(
        title=text,
        subtitle=text,
        verdict=Verdict(level="pass", headline=text, findings=[text]),
        facts=[Fact(text, text, text)],
        circuit=CircuitFacts(
            name=text, description=text, sources=[text], dt_ms=1.0, n_synapses=12_345, task=text,
            populations=[PopulationRow(name=text, kind=text, size=3, transmitter=text, model=text)],
        ),
        accuracy=[
            AccuracyRow(engine=text, accuracy=0.9, n_images=9, seed=s, predictions_equal=1.0) for s in (0, 1)
        ],
        verification=[
            VerificationRow(
                engine_a=text, engine_b=text, met="different", spikes_compared=1234, spikes_differing=5,
                largest_relative=2e-14, largest_variable=text, first_difference=text,
            )
        ],
        fidelity=[
            FidelityRow(
                setting=text, accuracy=0.9, spikes_differing=0.1, rate_ks=0.2, activity=text, note=text
            )
        ],
        confusion=Confusion(counts=np.array([[3, 1], [0, 0]]), labels=[text, "b"], engine=text),
        figures=[(text, bars), ReportFigure(text, bars, "accuracy"), ReportFigure(text, bars, "confusion")],
        rates=[
            RateRow(
                population=text, transmitter=text, n_neurons=3, n_spikes=9, mean_hz=1, isi_cv=math.nan, n_cv=0
            )
        ],
        dale=[DaleRow.from_weights(text, text, "excitatory", text, [0.0, 1.0], text)],
        program=text,
        training=[
            EpochRow(
                epoch=1, loss=1, validation_accuracy=0.5, validation_loss=1, seed=0, seconds=2, chosen=True
            )
        ],
        timings=[TimingRow(text, 0.005)],
        provenance=Provenance(
            command=text, versions={text: text}, seeds={text: text}, hashes={text: text}, machine=text,
            config=text,
        ),
        notes={"verification": text},
    )  # fmt: skip


class Page(HTMLParser):
    """Tags, attributes and identifiers of a page, and whether its tags close."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


def test_full_report_is_well_formed_and_numbered() -> None:
    html = render_html(full())
    page = Page(html)
    assert page.open == []
    identifiers = page.values("id")
    assert len(set(identifiers)) == len(identifiers)
    assert set(page.values("href")) >= {"#verification", "#dale", "#provenance"}
    assert {h[1:] for h in page.values("href") if h.startswith("#")} <= set(identifiers)
    numbered = [int(n) for n in re.findall(r"<b>Table (\d+)\.</b>", html)]
    assert numbered == list(range(1, 10))
    assert re.findall(r"<b>Figure (\d+)\.</b>", html) == ["1", "2", "3"]


def test_every_text_is_escaped() -> None:
    html = render_html(full(HOSTILE))
    page = Page(html)
    assert "script" not in page.tags
    assert not any(key.startswith("on") for key, _ in page.attributes)
    assert page.tags.count("table") == Page(render_html(full())).tags.count("table")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "{{ 7*7 }}" in html
    assert "49" not in re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL)


def test_every_text_field_reaches_the_page() -> None:
    """One field at a time carries a marker, so that none can be forgotten by the template."""
    marker = "qzmarkerqz"
    content = full()
    for part in fields(content):
        value = getattr(content, part.name)
        if isinstance(value, str):
            assert marker in render_html(replace(content, **{part.name: marker})), part.name
        elif isinstance(value, Verdict | CircuitFacts | Provenance | Confusion):
            for inner in fields(value):
                if isinstance(getattr(value, inner.name), str) and inner.name != "level":
                    changed = replace(value, **{inner.name: marker})
                    assert marker in render_html(replace(content, **{part.name: changed})), (
                        part.name,
                        inner.name,
                    )


def test_report_needs_nothing_from_outside() -> None:
    html = render_html(full())
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
        assert all(value.startswith(("#", "data:")) for value in page.values(name)), name
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert "http://" not in html
    assert "https://" not in html
    assert "default-src 'none'" in html


def test_long_figures_become_png(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexsnn.report.render.SVG_LIMIT", 10)
    page = Page(render_html(full(HOSTILE)))
    assert page.tags.count("img") == 3
    assert "svg" not in page.tags
    assert all(source.startswith("data:image/png;base64,") for source in page.values("src"))


def test_words_in_a_table_may_break_and_numbers_not() -> None:
    columns = ["Arm", "error", "difference", "verdict"]
    rows = [["a", "0.1 (0.05 to 0.15)", "baseline", "as expected"], ["b", "-", "", "not seen"]]
    table = Table(caption="", columns=columns, rows=rows)
    assert table.worded == [False, False, False, True]
    wide = Table(caption="", columns=[*columns, *"efgh"], rows=[[*row, *"1234"] for row in rows])
    page = render_html(ReportContent(title="", results=table, tables=[wide]))
    assert page.count('<td class="words">') == 4
    assert page.count('<td class="n">') == 2 * (2 + 2 + 4)
    assert page.count('<div class="scroll wide">') == 1


def test_an_almost_empty_report_has_no_empty_sections() -> None:
    html = render_html(ReportContent(title="only a title"))
    page = Page(html)
    assert "table" not in page.tags
    assert "h2" not in page.tags
    assert "nav" not in page.tags


@pytest.mark.parametrize("part", [f.name for f in fields(ReportContent) if f.name not in ("title", "notes")])
def test_each_part_may_be_absent_and_may_stand_alone(part: str) -> None:
    whole, bare = full(), ReportContent(title="t")
    default = getattr(bare, part)
    assert Page(render_html(replace(whole, **{part: default}))).open == []
    assert Page(render_html(replace(bare, **{part: getattr(whole, part)}))).open == []


def test_content_is_frozen_and_knows_its_sections() -> None:
    content = full()
    with pytest.raises(FrozenInstanceError):
        content.title = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match=r"'verifcation'.*Did you mean 'verification'"):
        ReportContent(title="t", notes={"verifcation": "x"})
    with pytest.raises(ValueError, match="'nowhere'"):
        replace(content, figures=[ReportFigure("c", content.figures[0][1], "nowhere")])


ROW = VerificationRow(engine_a="numpy", engine_b="torch", met="bitwise", spikes_compared=1200, spikes_differing=0)


@pytest.mark.parametrize(
    ("rows", "level", "text"),
    [
        (
            [ROW, replace(ROW, met="spike for spike")],
            "pass",
            "All 2 engine pairs agree spike for spike (1 of them bitwise)",
        ),
        (
            [ROW, replace(ROW, met="different", first_difference="step 3")],
            "fail",
            "1 of 2 engine pairs differ",
        ),
        ([ROW], "pass", "The two engines agree bitwise: 1\u202f200 spikes compared, 0 differ."),
        ([ROW, replace(ROW, spikes_compared=0)], "note", "silence agrees with everything"),
    ],
)
def test_verdict_follows_from_the_verification(rows: list[VerificationRow], level: str, text: str) -> None:
    html = render_html(ReportContent(title="t", verification=rows))
    assert f'class="verdict {level}"' in html
    assert text in html
    assert ("step 3" in html) == (level == "fail")


def test_a_broken_sign_makes_the_verdict_fail() -> None:
    broken = DaleRow.from_weights("E_I", "E", "excitatory", "any", [-0.1, 1.0])
    assert broken.verdict == "violated"
    html = render_html(ReportContent(title="t", verification=[ROW], dale=[broken]))
    assert 'class="verdict fail"' in html
    assert "violated in E_I" in html
    mixed = DaleRow.from_weights("out", "x", "mixed", "any", [-1.0])
    assert mixed.verdict == "not applied"
    html = render_html(ReportContent(title="t", verification=[ROW], dale=[mixed]))
    assert "exempt from Dale&#39;s law: out" in html
    assert "Dale&#39;s law holds" not in html
    assert DaleRow.from_weights("x", "x", "excitatory", "any", [0.0, 1.0]).zeros == 0.5
    assert math.isnan(DaleRow.from_weights("x", "x", "excitatory", "any", []).minimum)


def test_accuracy_table_with_and_without_seeds() -> None:
    several = render_html(replace(full(), figures=()))
    assert "seed 1" in several
    assert "Mean ± s.d." in several
    one = render_html(
        ReportContent(title="t", accuracy=[AccuracyRow(engine="torch", accuracy=347 / 360, n_images=360)])
    )
    assert "347 of 360" in one
    assert "93.9\u201397.9" in one


def test_write_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "report.html"
    write_report(path, full())
    old = path.read_text("utf-8")
    assert old.startswith("<!DOCTYPE html>")
    assert list(path.parent.iterdir()) == [path]

    def fail(*_: object) -> None:
        raise OSError("disk full")

    for broken in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, fail)
            with pytest.raises(OSError, match="disk full"):
                write_report(path, ReportContent(title="new"))
        assert path.read_text("utf-8") == old
        assert list(path.parent.iterdir()) == [path]


def test_written_files_obey_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


@dataclass(frozen=True)
class Pair:
    a: int
    b: float


def test_json_is_strict_and_knows_numpy(tmp_path: Path) -> None:
    path = tmp_path / "fidelity.json"
    write_json(path, {
        "scalar": np.float32(0.5), "count": np.int64(3), "flag": np.bool_(True), "nan": float("nan"),
        "inf": np.float64("-inf"), "array": np.array([1.0, np.nan]), 3: (1, "ä"), "set": {2, 1},
        "row": Pair(1, float("nan")), "path": Path("x/y"), "none": None,
    })  # fmt: skip

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    read = json.loads(path.read_text("utf-8"), parse_constant=refuse)
    assert read == {
        "scalar": 0.5, "count": 3, "flag": True, "nan": None, "inf": None, "array": [1.0, None],
        "3": [1, "ä"], "set": [1, 2], "row": {"a": 1, "b": None}, "path": "x/y", "none": None,
    }  # fmt: skip
    with pytest.raises(TypeError, match=r"a\[1\]\.b is a complex"):
        write_json(path, {"a": [1, {"b": 1j}]})
    with pytest.raises(TypeError, match="key of a is a tuple"):
        write_json(path, {"a": {(1, 2): 3}})
    assert json.loads(path.read_text("utf-8")) == read


def typed(text: str) -> str:
    """As one would type it: plain spaces, hyphens for dash and minus, x for times."""
    return text.translate(str.maketrans("\u00a0\u202f\u2013\u2212\u00d7", "  --x"))


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.99996, "> 99.9 %"),
        (0.0001, "< 0.1 %"),
        (0.972, "97.2 %"),
        (None, "-"),
        (math.nan, "-"),
    ],
)
def test_percent_never_rounds_to_certainty(fraction: float | None, shown: str) -> None:
    assert typed(numbers.percent(fraction)) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2.1e-14, "2.10 x 10⁻¹⁴"),
        (-0.5, "-0.500"),
        (0.0, "0"),
        (121.3, "121"),
        (99999.6, "1.00 x 10⁵"),
        (math.inf, "∞"),
        (None, "-"),
    ],
)
def test_number(value: float | None, shown: str) -> None:
    assert typed(numbers.number(value)) == shown


def test_counts_and_times() -> None:
    assert numbers.count(-1234567) == "\u22121\u202f234\u202f567"
    assert numbers.count(None) == numbers.DASH
    shown = [typed(numbers.seconds(value)) for value in (0.0051, 8.6, 200.4, None)]
    assert shown == ["5.10 ms", "8.60 s", "3 min 20 s", "-"]

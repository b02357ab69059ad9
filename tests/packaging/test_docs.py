"""The documentation: every circuit on the format page loads and lowers, shown programs are current, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import cortexsnn as cx

ROOT = Path(__file__).parents[2]
FORMAT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
MECHANISMS = (ROOT / "docs" / "mechanisms.md").read_text(encoding="utf-8")
CIRCUITS = {
    text.split("\n", 1)[0].removeprefix("name: "): text
    for text in re.findall(r"```yaml\n(name:.*?)```", FORMAT + MECHANISMS, re.DOTALL)
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def load(name: str, folder: Path) -> cx.Circuit:
    path = folder / f"{name}.yaml"
    path.write_text(CIRCUITS[name], encoding="utf-8")
    return cx.load(path)


def test_every_yaml_block_is_a_circuit() -> None:
    assert len(CIRCUITS) == (FORMAT + MECHANISMS).count("```yaml") >= 5


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuit_of_the_format_page_lowers(name: str, tmp_path: Path) -> None:
    circuit = load(name, tmp_path)
    assert circuit.name == name
    assert cx.lower(circuit).populations


def test_shown_program_is_the_one_that_runs(tmp_path: Path) -> None:
    shown = re.findall(r"<!-- program of (\w+) -->\n```text\n(.*?)\n```", FORMAT, re.DOTALL)
    assert shown
    for name, text in shown:
        assert text == str(cx.lower(load(name, tmp_path)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "printed"),
    [("training", "True"), ("analysis", "True"), ("plasticity", "True bitwise"), ("predictive_column", "True")],
)
def test_code_of_a_page_runs(page: str, printed: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    for name, content in re.findall(r"<!-- file: (\S+) -->\n```yaml\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(content, encoding="utf-8")
    code = re.search(r"<!-- run -->\n```python\n(.*?)```", text, re.DOTALL)
    assert code
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code[1]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert printed in ran.stdout.splitlines()
    assert "False" not in ran.stdout


@pytest.mark.compiled
@pytest.mark.slow
def test_intervals_between_events_of_the_column_are_as_irregular_as_its_page_says(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "predictive_column.md").read_text(encoding="utf-8")
    code = re.search(r"<!-- run: events -->\n```python\n(.*?)```", text, re.DOTALL)
    row = re.search(r"^\| 20 s \|(.*)\|$", text, re.MULTILINE)
    assert code
    assert row
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code[1]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found = [float(line.split()[1]) for line in ran.stdout.splitlines()]
    assert found == pytest.approx([float(cell.split()[0]) for cell in row[1].split("|")], abs=0.05)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = {_anchor(h) for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        assert not file or (page.parent / file).exists(), target
        assert file or anchor in headings, target


def _anchor(heading: str) -> str:
    """The anchor that a heading gets on the usual forges."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")

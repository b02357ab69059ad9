"""The README's example does what it says, and its circuit verifies."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cortexsnn as cx

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_example_prints_what_the_readme_shows() -> None:
    code = re.search(r"<!-- example -->\n```python\n(.*?)```", README, re.DOTALL)
    shown = re.search(r"<!-- output -->\n```text\n(.*?)```", README, re.DOTALL)
    assert code
    assert shown
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code[1]], capture_output=True, text=True, check=True)
    assert ran.stdout == shown[1]
    assert len(code[1].strip().splitlines()) <= 10


def test_circuit_of_the_readme_verifies(tmp_path: Path) -> None:
    text = re.search(r"```yaml\n(name: small_ei.*?)```", README, re.DOTALL)
    assert text
    path = tmp_path / "small_ei.yaml"
    path.write_text(text[1], encoding="utf-8")
    report = cx.verify(cx.load(path), duration="100 ms", engines=("numpy", "torch", "brian2"))
    assert report.agree
    assert report.n_spikes >= 100

"""The README's code runs, and its commands have the options they use."""

import os
import re
import subprocess
import sys

import pytest
from project_files import ROOT

from benchmarks import report
from seglib.backbones import BACKBONES

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"(?m)^seglib (\w+)(.*)$", README)


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", README)


def test_the_library_s_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    example, public_weights, faster = blocks("python")
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    exec(example, names)
    assert tuple(names["mask"].shape) == (120, 160)  # type: ignore[attr-defined]
    # The other one needs a network and a file: all but the weights is tried.
    fresh, replaced = re.subn(r'weights="[^"]+"', "weights=None", public_weights)
    exec(fresh, names)
    assert replaced == 2
    exec(faster, names)
    assert names["model"].config["backbone_options"] == {"legacy_padding": True}  # type: ignore[attr-defined]


def test_it_counts_the_backbones() -> None:
    assert re.findall(r"on (\d+) backbones", README) == [str(len(BACKBONES))]


def test_its_figures_are_those_of_the_benchmarks() -> None:
    bench = report.stored("bench")
    assert bench is not None
    (row,) = (
        row
        for row in bench["rows"]
        if (row["pair"], row["task"]) == ("Equal multiply-adds, smp", "optimised forward")
    )
    text = " ".join(README.split())
    assert f"{1 / row['ratio']:.1f} times as fast" in text


@pytest.mark.parametrize(("name", "rest"), COMMANDS)
def test_commands_have_their_options(name: str, rest: str) -> None:
    command = [sys.executable, "-m", "seglib", name, "--help"]
    variables = {**os.environ, "NO_COLOR": "1"}
    shown = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    for option in re.findall(r"--[a-z-]+", rest):
        assert option in shown.stdout


def test_make_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = "\n".join([*blocks("bash"), *re.findall(r"`(make [^`]+)`", README)])
    used = set(re.findall(r"(?m)^make ([a-z-]+)", lines))
    assert used
    assert {name for name in used if f"\n{name}:" not in makefile} == set()


def test_the_three_ways_to_start_have_three_lines_at_most() -> None:
    starts = [block for block in blocks("bash") if "start_here" in block or "make lab" in block]
    assert len(starts) == 3
    assert all(len(block.splitlines()) <= 3 for block in starts)

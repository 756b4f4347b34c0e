"""The committed notebooks keep the rules, are stored in canonical form, and link to what exists."""

import re
import subprocess
from pathlib import Path

import gate
import links
import nbformat
import pytest
from project_files import ROOT

import notebooks

NOTEBOOKS = notebooks.notebooks([ROOT / "notebooks"])
IDS = [path.relative_to(ROOT).as_posix() for path in NOTEBOOKS]
PAGES = ("README.md", "CONTRIBUTING.md", "data/README.md")


def prose(path: Path) -> str:
    """Markdown of a page, or of a notebook's Markdown cells."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_there_are_chapters() -> None:
    assert {"00", "02", "14"} <= {path.name[:2] for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_the_rules_are_kept(path: Path) -> None:
    assert gate.problems(nbformat.read(path, as_version=4), path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_the_form_is_canonical(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == notebooks.text_of(nbformat.reads(text, as_version=4)), (
        f"run `python tools/notebooks.py --format {path.relative_to(ROOT)}`"
    )


@pytest.mark.parametrize("path", [*NOTEBOOKS, *(ROOT / page for page in PAGES)], ids=[*IDS, *PAGES])
def test_links_lead_somewhere(path: Path) -> None:
    text = prose(path)
    assert links.broken(text, path) == []
    named = set(re.findall(r"\b\d\d_\w+\.ipynb", text))
    assert {name for name in named if not (ROOT / "notebooks" / name).exists()} == set()


def test_a_link_to_nothing_is_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    text = "# One two?\n[a](b.md) [c](#One-two?) [d](#one-two) [e](#three) ![f](g.png) `[h](i)`"
    assert links.broken(text, page) == ["b.md", "#three", "g.png"]


def test_no_file_names_a_place_on_this_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    everywhere = {"/", "/tmp", "/var/tmp"}  # a clone may lie there; its name gives nothing away
    folders = {str(ROOT.parent), str(Path.home())} - everywhere
    places = [f"{folder}/" for folder in sorted(folders)]
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        # Behind "/proc/1", a process's root is no place of its own.
        found += [name for place in places if re.search(rf"(?<![\w}}.-]){re.escape(place)}", text)]
    assert found == []

"""tools/notebooks.py: canonical form, and what it refuses to store."""

import copy
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from samples import code, save

import notebooks


def test_canonical_form_is_stable(good: NotebookNode) -> None:
    text = notebooks.text_of(good)
    assert notebooks.text_of(nbformat.reads(text, as_version=4)) == text
    assert text.endswith("}\n")


def test_canonical_form_drops_noise(good: NotebookNode) -> None:
    noisy = copy.deepcopy(good)
    noisy.metadata.language_info["version"] = "3.11.7"
    noisy.metadata["widgets"] = {"state": {}}
    noisy.metadata.kernelspec["display_name"] = "my env"
    for cell in noisy.cells:
        cell.metadata["execution"] = {"iopub.status.busy": "2020-01-01"}
        cell.metadata["collapsed"] = False
    view = code(noisy, "import ipywidgets").outputs[0].data[notebooks.WIDGET]
    view["model_id"] = "a1b2c3"
    assert notebooks.text_of(noisy) == notebooks.text_of(good)


def test_pieces_of_a_stream_are_joined() -> None:
    pieces = [new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    cell = new_code_cell("f()", outputs=pieces, execution_count=1)
    outputs = notebooks.canonical(new_notebook(cells=[cell])).cells[0].outputs
    assert [output.text for output in outputs] == ["a\nb\n"]


def test_cell_ids_are_kept_or_made_from_the_text() -> None:
    notebook = new_notebook(cells=[new_markdown_cell(text) for text in "aab"])
    for cell in notebook.cells:
        cell.id = "same"
    ids = [cell.id for cell in notebooks.canonical(notebook).cells]
    assert ids[0] == "same"
    assert len(set(ids)) == 3
    assert [cell.id for cell in notebooks.canonical(notebook).cells] == ids


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import sys\nprint('careful', file=sys.stderr)", "writes to stderr: careful"),
    ],
)
def test_a_bad_cell_is_named_and_nothing_is_written(
    tmp_path: Path,
    source: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = save(
        new_notebook(cells=[new_code_cell("x = 1"), new_code_cell(source)]), tmp_path / "a.ipynb"
    )
    before = path.read_bytes()
    monkeypatch.setattr("sys.argv", ["notebooks.py", str(path)])
    assert notebooks.main() == 1
    shown = capsys.readouterr().out
    assert message in shown
    assert f"cell 1 `{source.splitlines()[0]}`" in shown
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_second_run_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(new_notebook(cells=[new_code_cell("print(1)\nprint(2)")]), tmp_path / "a.ipynb")
    monkeypatch.setattr("sys.argv", ["notebooks.py", str(path)])
    assert notebooks.main() == 0
    once = path.read_bytes()
    assert notebooks.main() == 0
    assert path.read_bytes() == once
    monkeypatch.setattr("sys.argv", ["notebooks.py", "--check", str(path)])
    assert notebooks.main() == 0
    assert "as it was" in capsys.readouterr().out


def test_what_is_no_notebook_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text("{", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["notebooks.py", str(path)])
    assert notebooks.main() == 1
    assert f"{path}: not a notebook" in capsys.readouterr().out

"""Run notebooks from top to bottom and store them in canonical form, as `make notebooks` does.

    python tools/notebooks.py [PATH …]            execute, then write
    python tools/notebooks.py --format [PATH …]   write the canonical form, without executing
    python tools/notebooks.py --check [PATH …]    write nothing; fail where a file is not canonical

A PATH is a notebook or a folder; default notebooks/. Canonical form keeps
a diff to what changed: stable cell ids, no timing, no versions, no widget state, streams merged.
A cell that fails or writes to stderr is named, and its notebook stays as it was.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
CELL_TIMEOUT = 600  # seconds
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
CELL_METADATA = {"tags", "jupyter", "nbgrader"}
WIDGET = "application/vnd.jupyter.widget-view+json"


def canonical(notebook: NotebookNode) -> NotebookNode:
    """The notebook without what differs from run to run, as a new object."""
    result = nbformat.from_dict(notebook)
    result.nbformat, result.nbformat_minor = 4, 5
    result.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    seen: set[str] = set()
    for cell in result.cells:
        cell.id = _cell_id(cell, seen)
        seen.add(cell.id)
        cell.source = cell.source.rstrip()
        kept = {key: cell.metadata[key] for key in CELL_METADATA & set(cell.metadata)}
        cell.metadata = nbformat.from_dict({key: value for key, value in kept.items() if value})
        if cell.cell_type == "code":
            cell.outputs = [_output(output) for output in _merged(cell.outputs)]
    return result


def _cell_id(cell: NotebookNode, seen: set[str]) -> str:
    """The cell's id where it is valid and free, else one made from its text."""
    present = str(cell.get("id", ""))
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", present) and present not in seen:
        return present
    for copy in range(len(seen) + 1):
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}\n{copy}".encode()).hexdigest()[:8]
        if digest not in seen:
            return digest
    raise RuntimeError("unreachable: one of the ids is free")


def _merged(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Outputs with neighbouring pieces of one stream joined: where they break depends on timing."""
    result: list[NotebookNode] = []
    for output in outputs:
        last = result[-1] if result else None
        stream = last is not None and output.output_type == last.output_type == "stream"
        if last is not None and stream and output.name == last.name:
            last.text += output.text
        else:
            result.append(nbformat.from_dict(output))
    return result


def _output(output: NotebookNode) -> NotebookNode:
    data = output.get("data", {})
    output.pop("transient", None)
    for mime in data:
        if mime.startswith("image/") and mime != "image/svg+xml":
            data[mime] = "".join(data[mime].split())
    if WIDGET in data:
        # JupyterLab hides a view without a model until the cell runs; a dead id shows an error.
        data[WIDGET]["model_id"] = ""
    return output


def text_of(notebook: NotebookNode) -> str:
    """The file's text in canonical form."""
    return nbformat.writes(canonical(notebook)).rstrip("\n") + "\n"


def execute(notebook: NotebookNode, folder: Path) -> list[str]:
    """Run all cells on a fresh kernel, in place; returns what went wrong, cell by cell."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        force_raise_errors=True,
        skip_cells_with_tag="",
        record_timing=False,
        store_widget_state=False,
    )
    try:
        client.execute(stderr=subprocess.DEVNULL)  # the kernel's own notes; a cell's come as output
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return [f"{_last_run(notebook)}: {_plain(str(error))}"]
    return [
        f"{_name(index, cell)} writes to stderr: {_plain(output.text)}"
        for index, cell in enumerate(notebook.cells)
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    ]


def _name(index: int, cell: NotebookNode) -> str:
    first = cell.source.strip().splitlines()[0] if cell.source.strip() else ""
    return f"cell {index} `{first}`"


def _last_run(notebook: NotebookNode) -> str:
    """The cell that stopped the run: the one with an error, else the first without a count."""
    code = [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    for index, cell in code:
        if any(output.output_type == "error" for output in cell.outputs):
            return _name(index, cell)
    return next(
        (_name(index, cell) for index, cell in code if cell.execution_count is None), "start"
    )


def _plain(text: str) -> str:
    """Text without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()


def write(path: Path, text: str) -> None:
    """Replace the file in one step, so that an interruption leaves the old one whole."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", newline="\n", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        file.write(text)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    os.chmod(file.name, mode)
    os.replace(file.name, path)


def notebooks(paths: list[Path]) -> list[Path]:
    """Notebooks among and under the paths, in order."""
    found: list[Path] = []
    for path in paths:
        if path.is_file():
            found.append(path)
        elif path.is_dir():
            inside = sorted(path.rglob("*.ipynb"))
            hidden = {".ipynb_checkpoints", "release", "submitted", "autograded", "feedback"}
            found += [file for file in inside if not hidden & set(file.relative_to(path).parts)]
        else:
            sys.exit(f"{path}: no such notebook or folder")
    return found


def _prepare_kernels(folder: str) -> None:
    """One thread, as in the tests; no personal settings; fonts listed before a cell can say so."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["IPYTHONDIR"] = folder
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ.pop("MPLBACKEND", None)
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], check=False)


def _process(path: Path, options: argparse.Namespace) -> bool:
    before = path.read_text(encoding="utf-8")
    try:
        notebook = nbformat.reads(before, as_version=4)
    except Exception as error:  # nbformat raises several unrelated kinds
        print(f"{path}: not a notebook: {error}")
        return False
    if options.check:
        good = before == text_of(notebook)
        if not good:
            print(f"{path}: not in canonical form: run `python tools/notebooks.py --format {path}`")
        return good
    start = time.monotonic()
    failures = [] if options.format else execute(notebook, path.parent)
    for failure in failures:
        print(f"{path}: {failure}")
    if failures:
        return False
    after = text_of(notebook)
    if after != before:
        write(path, after)
    state = "changed" if after != before else "as it was"
    print(f"{path}: {state}" + ("" if options.format else f", {time.monotonic() - start:.0f} s"))
    return True


def main() -> int:
    """Process the notebooks; 1 if any failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT / "notebooks"])
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing, report")
    mode.add_argument("--format", action="store_true", help="do not execute")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not (options.check or options.format):
            _prepare_kernels(folder)
        results = [_process(path, options) for path in notebooks(options.paths)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())

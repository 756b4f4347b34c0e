"""What nbval leaves open, closed: a pytest plugin for every run of `pytest --nbval`.

nbval 0.11 passes a notebook that was never executed, never looks at pictures, and takes no notice
of an output's kind, of its alt text, of the order of outputs, or of what an ignored cell stored.
So every notebook gets one more test, the gate's, and every executed cell a second comparison. A
cell that carries a tolerance is compared here alone. Where SEGLIB_SEED_SHIFT is set, the seeds are
moved, outputs are not compared, and the asserts must hold all the same.
"""

from __future__ import annotations

import base64
import copy
import io
import os
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import gate
import nbformat
import pytest
import seeds
import tolerance
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, coalesce_streams
from PIL import Image, ImageChops, ImageStat

# Mean difference of two pictures' thumbnails, as a share of full scale; other CPUs stay below.
PICTURE_TOLERANCE = 0.05
THUMBNAIL = (32, 32)


class RulesItem(pytest.Item):
    """The gate, as one test of a notebook."""

    def runtest(self) -> None:
        found = gate.problems(nbformat.read(self.path, as_version=4), self.path)
        if found:
            raise AssertionError("\n".join(found))

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None
    ) -> str:
        return f"{self.path.name} breaks rules of the course:\n{excinfo.value}"

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.path.name}: rules"


class RulesFile(pytest.File):
    """Collects the gate's test of a notebook, beside nbval's collector of its cells."""

    def collect(self) -> list[pytest.Item]:
        return [RulesItem.from_parent(self, name="rules")]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".ipynb" and parent.config.getoption("nbval", False):
        return RulesFile.from_parent(parent, path=file_path)
    return None


def pytest_itemcollected(item: pytest.Item) -> None:
    if not isinstance(item, IPyNbCell):
        return
    tags = gate.tags(item.cell)
    if (shift := _shift()) is not None:
        item.cell.source = seeds.shifted(item.cell.source, shift, fixed=seeds.FIXED in tags)
        item.options["check"] = False
    elif gate.tolerances(item.cell):
        item.options["check"] = False  # nbval would compare every digit


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    result = yield
    if isinstance(item, IPyNbCell) and item.test_outputs is not None and _shift() is None:
        compared = gate.IGNORE not in gate.tags(item.cell)
        found = differences(item.cell.outputs, item.test_outputs, compared=compared)
        for allowed in gate.tolerances(item.cell) if not found else ():
            found += moved(item.cell.outputs, item.test_outputs, allowed)
        if found:
            item.raise_cell_error("Cell outputs differ", "\n".join(found))
    return result


def _shift() -> int | None:
    value = os.environ.get(seeds.VARIABLE)
    return int(value) if value else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Seconds of each notebook's cells, without the kernel's start."""
    seconds: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            name = str(getattr(report, "nodeid", "")).split("::")[0]
            if name.endswith(".ipynb") and getattr(report, "when", "") == "call":
                seconds[name] += report.duration
    if seconds:
        terminalreporter.section("seconds per notebook")
        for name in sorted(seconds):
            terminalreporter.write_line(f"{seconds[name]:6.1f}  {name}")


def differences(
    stored: list[NotebookNode], fresh: list[NotebookNode], *, compared: bool = True
) -> list[str]:
    """How a cell's stored outputs differ from fresh ones where nbval does not look.

    Args:
        stored: outputs in the notebook.
        fresh: outputs of the run.
        compared: False for a cell whose output is ignored: it must still hold one if it makes one.
    """
    if not compared:
        return ["it stores no output, but makes one"] if fresh and not stored else []
    stored, fresh = (coalesce_streams(copy.deepcopy(outputs)) for outputs in (stored, fresh))
    kinds = [_kind(output) for output in stored], [_kind(output) for output in fresh]
    if kinds[0] != kinds[1]:
        return [f"kinds of output: stored {kinds[0]}, now {kinds[1]}"]
    found = []
    for old, new in zip(stored, fresh, strict=True):
        for mime in (mime for mime in gate.IMAGES if mime in old.get("data", {})):
            alts = [output.metadata.get(mime, {}).get("alt") for output in (old, new)]
            if alts[0] != alts[1]:
                found.append(f"alt text: stored {alts[0]!r}, now {alts[1]!r}")
            if mime != "image/svg+xml":
                found += _picture(old.data[mime], new.data[mime])
    return found


def moved(
    stored: list[NotebookNode], fresh: list[NotebookNode], allowed: tolerance.Tolerance
) -> list[str]:
    """Where texts of the same kinds of outputs differ by more than what is allowed."""
    texts = zip(gate.texts(stored), gate.texts(fresh), strict=True)
    return [
        problem
        for old, new in texts
        if (problem := tolerance.difference(old, new, allowed)) is not None
    ]


def _kind(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return str(output.name)
    return f"{output.output_type} {sorted(output.get('data', {}))}"


def _picture(stored: str, fresh: str) -> list[str]:
    pictures = [Image.open(io.BytesIO(base64.b64decode(text))) for text in (stored, fresh)]
    sizes = [picture.size for picture in pictures]
    if any(abs(a - b) > 0.1 * b for a, b in zip(*sizes, strict=True)):
        return [f"picture size: stored {sizes[0]}, now {sizes[1]}"]
    # On white, as a page shows it: a transparent pixel has no colour of its own.
    flat = []
    for picture in pictures:
        page = Image.new("RGBA", picture.size, "white")
        page.alpha_composite(picture.convert("RGBA"))
        flat.append(page.convert("RGB").resize(THUMBNAIL, Image.Resampling.BOX))
    means = ImageStat.Stat(ImageChops.difference(*flat)).mean
    share = sum(means) / len(means) / 255
    if share > PICTURE_TOLERANCE:
        return [f"the picture is another one: its thumbnail differs by {share:.2f} of full scale"]
    return []

"""JupyterLab in a real browser: every chapter runs, can be read, and its explorers react.

Screenshots go to SEGLIB_SCREENSHOTS, where that is set.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import browser
import displays
import pytest

from seglib.teach.facts import inverted_residual_facts
from seglib.teach.learning_rates import learning_rates
from seglib.teach.pyramid_explorer import explored
from seglib.teach.receptive_field import AsppView, aspp_view
from seglib.teach.receptive_field_explorer import describe

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.requires("browser")
CHAPTERS = tuple(sorted(path.name for path in (browser.ROOT / "notebooks").glob("*.ipynb")))
START_HERE = "00_start_here.ipynb"
NARROW = (600, 800)  # pixels: half of a screen


class Shown(Protocol):
    """What an explorer shows."""

    def _repr_html_(self) -> str: ...


class Explorer(NamedTuple):
    """The pure function behind an explorer, and how to move its controls.

    Attributes:
        facts: what the explorer shows; without arguments, what it shows at first.
        moves: (argument, value), one after the other.
        labels: where they differ, {argument: label of its control}.
    """

    facts: Callable[..., Shown]
    moves: tuple[tuple[str, object], ...]
    labels: Mapping[str, str] = {}


EXPLORERS = {
    "02_inverted_residual.ipynb": Explorer(
        partial(inverted_residual_facts, 24, 24),
        (("stride", 2), ("expand_ratio", 4), ("dilation", 3), ("stride", 1)),
    ),
    "08_fpn.ipynb": Explorer(
        explored,
        (("backbone", "mobilenetv2"), ("output_stride", 8), ("height", 511), ("width", 516),
         ("levels", (3, 4)), ("out_channels", 64), ("top", "P6 and P7"), ("backbone", "resnet18")),
        {"output_stride": "output stride", "levels": "levels P", "top": "further levels"},
    ),
    "09_aspp.ipynb": Explorer(
        aspp_view,
        (("rates", (12, 24, 36)), ("output_stride", 8), ("input_size", 515), ("place", "corner"),
         ("output_stride", 32), ("rates", (1, 2, 3))),
        {"output_stride": "output stride", "input_size": "image size", "place": "pixel"},
    ),
    "14_training.ipynb": Explorer(
        learning_rates,
        (("lr", 0.65), ("power", 0.7), ("warmup_steps", 30), ("schedule", "constant"),
         ("warmup_steps", 0), ("schedule", "step")),
    ),
}  # fmt: skip


class Chapter(NamedTuple):
    """A chapter, and the page that shows it after all its cells were run in it."""

    name: str
    page: Page


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Lab]:
    with browser.Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="module")
def window(chromium: str) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=chromium, args=[*browser.FLAGS])
        yield window
        window.close()


@pytest.fixture(scope="module", params=CHAPTERS, ids=lambda name: name[:2])
def chapter(request: pytest.FixtureRequest, window: Browser, lab: browser.Lab) -> Iterator[Chapter]:
    lab.strip(request.param)
    with browser.opened(window, lab, request.param) as page:
        browser.run_all(page)
        displays.lay_out(page)
        yield Chapter(request.param, page)


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("SEGLIB_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_the_start_page_opens_with_its_picture(window: Browser, lab: browser.Lab) -> None:
    with browser.opened(window, lab, START_HERE) as page:
        picture = displays.pictures(page).first
        picture.scroll_into_view_if_needed()
        displays.wait_until_loaded(picture)
        box = picture.bounding_box()
        assert box is not None
        assert box["width"] > 300


def test_no_question_covers_the_start_page(window: Browser, lab: browser.Lab) -> None:
    with browser.opened(window, lab, START_HERE) as page:
        page.wait_for_timeout(5000)  # JupyterLab asks after it is ready
        for box in (".jp-Dialog", ".Toastify__toast", ".jp-Notification-Toast"):
            assert page.locator(box).count() == 0


@pytest.mark.slow
def test_a_chapter_runs_from_the_first_to_the_last_cell(chapter: Chapter, lab: browser.Lab) -> None:
    cells = [cell for cell in lab.read(chapter.name).cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    shown = [output.data for output in outputs if "data" in output]
    page, html = chapter.page, [data.get("text/html", "") for data in shown]
    assert displays.pictures(page).count() == sum("image/png" in data for data in shown) > 0
    tables = displays.displays(page).count() - displays.explorers(page).count()
    assert tables == sum(text.count('class="seglib"') for text in html)


@pytest.mark.slow
def test_an_explorer_shows_what_its_function_gives(chapter: Chapter) -> None:
    explorers = displays.explorers(chapter.page)
    if chapter.name not in EXPLORERS:
        assert explorers.count() == 0  # else it belongs into the table above
        return
    assert explorers.count() == 1
    facts, moves, labels = EXPLORERS[chapter.name]
    values: dict[str, object] = {}
    check_shown(explorers, facts())
    for name, value in moves:
        values[name] = value
        displays.choose(explorers, labels.get(name, name), value)
        check_shown(explorers, facts(**values))


def check_shown(explorer: Locator, facts: Shown) -> None:
    """Wait until the explorer shows the facts, and what it draws is loaded."""
    content = explorer.locator(".widget-html-content")
    arguments = [content.element_handle(), facts._repr_html_()]
    explorer.page.wait_for_function(
        f"([root, html]) => ({displays.ENDS_WITH})(root, html)", arg=arguments
    )
    for picture in content.locator("img").all():
        displays.wait_until_loaded(picture)
        assert isinstance(facts, AsppView)
        assert picture.get_attribute("alt") == describe(facts)


@pytest.mark.slow
def test_notes_stand_beside_the_code_and_below_it_on_a_narrow_page(chapter: Chapter) -> None:
    page = chapter.page
    frames = displays.annotated(page).locator(".sl-frame").all()
    assert frames or chapter.name == START_HERE
    try:
        for size, beside in ((browser.LAPTOP, True), (NARROW, False)):
            browser.resize(page, size)
            assert [displays.misplaced(frame, beside) for frame in frames] == [[]] * len(frames)
    finally:
        browser.resize(page, browser.LAPTOP)


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_display_can_be_read(theme: str, chapter: Chapter, screenshots: Path) -> None:
    page = chapter.page
    browser.set_theme(page, theme)
    take(page, screenshots, f"{chapter.name[:2]}_{theme}")
    assert displays.pale(page) == {}
    assert displays.wide(page) == []


def take(page: Page, folder: Path, prefix: str) -> None:
    """Screenshots of the top, the first annotated code, the explorer, and each figure."""
    places = {"top": page.locator(".jp-NotebookPanel:visible .jp-Cell").first}
    places |= {"code": displays.annotated(page).first, "explorer": displays.explorers(page)}
    for number, picture in enumerate(displays.pictures(page).all(), start=1):
        displays.wait_until_loaded(picture)
        places[f"figure{number}"] = picture
    for name, place in places.items():
        if place.count():
            place.evaluate("element => element.scrollIntoView({block: 'center'})")
            page.screenshot(path=folder / f"{prefix}_{name}.png")

"""JupyterLab in a real browser: the chapters run, the widget reacts, and all can be read.

Screenshots go to SEGLIB_SCREENSHOTS, where that is set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import browser
import pytest

from seglib.teach.facts import inverted_residual_facts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.requires("browser")
START_HERE, CHAPTER = "00_start_here.ipynb", "02_inverted_residual.ipynb"
NARROW = (600, 800)  # pixels: half of a screen


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


@pytest.fixture(scope="module")
def chapter(window: Browser, lab: browser.Lab) -> Iterator[Page]:
    """The chapter's page in the light theme, after all its cells were run in it."""
    lab.strip(CHAPTER)
    with browser.opened(window, lab, CHAPTER) as page:
        browser.run_all(page)
        yield page


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("SEGLIB_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def annotations(page: Page) -> Locator:
    return page.locator(".seglib:has(.sl-frame):visible")


def explorer(page: Page) -> Locator:
    return page.locator(".jupyter-widgets.widget-vbox")


def test_the_start_page_opens_with_its_picture(window: Browser, lab: browser.Lab) -> None:
    with browser.opened(window, lab, START_HERE) as page:
        picture = page.locator(".jp-OutputArea-output img").first
        picture.scroll_into_view_if_needed()
        page.wait_for_function(
            "image => image.complete && image.naturalWidth > 100", arg=picture.element_handle()
        )
        box = picture.bounding_box()
        assert box is not None
        assert box["width"] > 300


@pytest.mark.slow
def test_a_chapter_runs_from_the_first_to_the_last_cell(chapter: Page, lab: browser.Lab) -> None:
    cells = [cell for cell in lab.read(CHAPTER).cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@pytest.mark.slow
def test_the_explorer_reacts(chapter: Page) -> None:
    from playwright.sync_api import expect

    values = {"expand_ratio": 6, "stride": 1, "dilation": 1}
    for name, value in (("stride", 2), ("expand_ratio", 4), ("dilation", 3), ("stride", 1)):
        values[name] = value
        browser.set_slider(chapter, name, value)
        facts = inverted_residual_facts(24, 24, **values)
        expect(explorer(chapter).locator("strong").first).to_have_text(facts.title)
        rows = [
            [cell.inner_text() for cell in row.locator("td").all()]
            for row in explorer(chapter).locator("tbody tr").all()
        ]
        assert [row[0] for row in rows[1:-1]] == [layer.name for layer in facts.layers]
        assert [tuple(numbers(row[1], "×")) for row in rows[1:-1]] == [
            layer.shape for layer in facts.layers
        ]
        assert numbers(" | ".join(rows[-1][2:]), "|") == [facts.parameters, facts.multiply_adds]


def numbers(text: str, between: str) -> list[int]:
    """Integers whose digits may stand in groups."""
    return [int(re.sub(r"\s", "", part)) for part in text.split(between)]


@pytest.mark.slow
def test_notes_stand_beside_the_code_and_below_it_on_a_narrow_page(chapter: Page) -> None:
    try:
        for size, beside in ((browser.LAPTOP, True), (NARROW, False)):
            chapter.set_viewport_size({"width": size[0], "height": size[1]})
            assert annotations(chapter).count() > 0
            for display in annotations(chapter).all():
                display.scroll_into_view_if_needed()
                check_columns(display, beside)
    finally:
        chapter.set_viewport_size({"width": browser.LAPTOP[0], "height": browser.LAPTOP[1]})


def check_columns(display: Locator, beside: bool) -> None:
    """Every row has its note right of its code, or below it, and nothing sticks out."""
    frame = display.locator(".sl-frame").bounding_box()
    assert frame is not None
    for row in display.locator(".sl-row:has(.sl-note)").all():
        code = row.locator(".sl-code").bounding_box()
        note = row.locator(".sl-note").bounding_box()
        assert code is not None
        assert note is not None
        if beside:
            assert note["x"] >= code["x"] + code["width"] - 1
            assert abs(note["y"] - code["y"]) < 2
        else:
            assert note["y"] >= code["y"] + code["height"] - 1
            assert abs(note["x"] - code["x"]) < 2
        for box in (code, note):
            assert box["width"] > 150
            assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_display_can_be_read(
    theme: str, chapter: Page, window: Browser, lab: browser.Lab, screenshots: Path
) -> None:
    with browser.opened(window, lab, CHAPTER, theme=theme) as page:
        page.locator(".jp-OutputArea-output .seglib").first.wait_for(state="attached")
        pale = {
            text: round(ratio, 2)
            for display in page.locator(".jp-OutputArea-output .seglib").all()
            for text, ratio in browser.contrasts(display)
            if ratio < 4.5
        }
        page.screenshot(path=screenshots / f"02_{theme}_top.png")
        for name, place in (("code", annotations(page).first), ("explorer", explorer(page))):
            for _ in range(3):  # what is above takes its height when it comes into view
                place.evaluate("element => element.scrollIntoView({block: 'center'})")
                page.wait_for_timeout(300)
            page.screenshot(path=screenshots / f"02_{theme}_{name}.png")
        assert pale == {}

"""What stands on a chapter's page: can it be read, is it whole, and do its controls work?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # without playwright the tests are skipped, not broken
    from playwright.sync_api import ElementHandle, Locator, Page

SHOWN = ".jp-NotebookPanel:visible .jp-OutputArea-output"

# [text, ratio] of every piece of text in an element. A canvas reads any notation of a colour.
CONTRASTS = """root => {
    const context = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
    const paint = layers => {
        context.fillStyle = "#fff";
        context.fillRect(0, 0, 1, 1);
        for (const layer of layers) {
            context.fillStyle = layer;
            context.fillRect(0, 0, 1, 1);
        }
        const linear = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3)
            .map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const found = [];
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const parent = walker.currentNode.parentElement;
        const text = walker.currentNode.textContent.trim();
        if (!text || parent.closest("style")) continue;
        const layers = [];
        for (let node = parent; node; node = node.parentElement)
            layers.unshift(getComputedStyle(node).backgroundColor);
        const style = getComputedStyle(parent);
        const color = parent.closest("svg") ? style.fill : style.color;
        const back = paint(layers), front = paint([...layers, color]);
        found.push([text, (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05)]);
    }
    return found;
}"""

# What is wider than its place: the page, the notebook, prose and outputs, and what is in them.
WIDE = """() => {
    const found = [];
    const panel = [...document.querySelectorAll(".jp-NotebookPanel")].find(p => p.offsetWidth);
    const note = (part, what) => {
        const cell = [...panel.querySelectorAll(".jp-Cell")].indexOf(part.closest(".jp-Cell"));
        found.push(`cell ${cell}: ${what}, ${part.tagName}: ${part.textContent.slice(0, 60)}`);
    };
    const places = ".jp-OutputArea-output, .jp-RenderedMarkdown";
    const parts = ".seglib, .sl-frame, .sl-code, .sl-note, table, img, svg, pre, mjx-container";
    const scrolling = [document.documentElement, panel, ...panel.querySelectorAll(places)];
    scrolling.push(...panel.querySelectorAll(".jp-WindowedPanel-outer, .cm-scroller"));
    for (const one of scrolling)
        if (one.scrollWidth > one.clientWidth + 1)
            note(one, `holds ${one.scrollWidth} pixels in ${one.clientWidth}`);
    for (const place of panel.querySelectorAll(places)) {
        const frame = place.getBoundingClientRect();
        for (const part of place.querySelectorAll(parts)) {
            const box = part.getBoundingClientRect();
            if (box.width && (box.left < frame.left - 1 || box.right > frame.right + 1))
                note(part, `${box.left} to ${box.right} in ${frame.left} to ${frame.right}`);
        }
    }
    return found;
}"""

# Rows of annotated code whose note isn't where it belongs, beside the code or below it.
MISPLACED = """(frame, beside) => {
    const edge = frame.getBoundingClientRect(), found = [];
    for (const row of frame.querySelectorAll(".sl-row:has(.sl-note)")) {
        const code = row.querySelector(".sl-code").getBoundingClientRect();
        const note = row.querySelector(".sl-note").getBoundingClientRect();
        const placed = beside
            ? note.left >= code.right - 1 && Math.abs(note.top - code.top) < 2
            : note.top >= code.bottom - 1 && Math.abs(note.left - code.left) < 2;
        const inside = [code, note].every(box => box.width > 150 && box.right <= edge.right + 1);
        if (!placed || !inside) found.push(row.textContent.slice(0, 80));
    }
    return found;
}"""

WHOLE = """() => {
    const panel = window.jupyterapp.shell.currentWidget;
    return panel.node.querySelectorAll(".jp-Cell").length === panel.content.model.cells.length;
}"""
LOADED = "image => image.complete && image.naturalWidth > 100"

# Whether an element ends with the HTML, as the browser writes it.
ENDS_WITH = """(root, html) => {
    const other = document.createElement("template");
    other.innerHTML = html;
    return root.innerHTML.endsWith(other.innerHTML);
}"""


def displays(page: Page) -> Locator:
    """All that the library shows: code with notes, tables, reports."""
    return page.locator(f"{SHOWN} .seglib")


def annotated(page: Page) -> Locator:
    """Code with notes."""
    return page.locator(f"{SHOWN} .seglib:has(.sl-frame)")


def pictures(page: Page) -> Locator:
    """The figures, without what explorers draw."""
    return page.locator(f"{SHOWN}.jp-RenderedImage img")


def explorers(page: Page) -> Locator:
    """Sliders and choices, with what they lead to."""
    return page.locator(f"{SHOWN} .jupyter-widgets.widget-vbox")


def lay_out(page: Page) -> None:
    """Wait for all cells, and have the browser lay out those out of sight, too, from now on."""
    page.wait_for_function(WHOLE)
    page.add_style_tag(content=".jp-Cell {content-visibility: visible !important}")


def pale(page: Page) -> dict[str, float]:
    """Pieces of text in displays whose contrast with what is behind them is below 4.5."""
    found = [pair for display in displays(page).all() for pair in display.evaluate(CONTRASTS)]
    return {text: round(ratio, 2) for text, ratio in found if ratio < 4.5}


def wide(page: Page) -> list[str]:
    """What sticks out of its place, or makes it scroll sideways."""
    return list(page.evaluate(WIDE))


def misplaced(frame: Locator, beside: bool) -> list[str]:
    """Rows of annotated code whose note isn't beside the code, or below it."""
    return list(frame.evaluate(MISPLACED, beside))


def wait_until_loaded(image: Locator) -> ElementHandle:
    """Wait for an image that is more than an icon."""
    handle = image.element_handle()
    image.page.wait_for_function(LOADED, arg=handle)
    return handle


def choose(explorer: Locator, label: str, value: object) -> None:
    """Set one control of an explorer as a reader does: pick, press, or move a slider by keys."""
    name = explorer.page.get_by_text(label, exact=True)
    row = explorer.locator("> *").filter(has=explorer.page.locator(".widget-label").and_(name))
    if row.locator("select").count():
        options = map(str, value) if isinstance(value, tuple) else (str(value),)
        row.locator("select").select_option(label=", ".join(options))
    elif row.locator("button").count():
        row.get_by_role("button", name=str(value), exact=True).click()
    else:
        wanted = value if isinstance(value, tuple) else (value,)
        for place, number in enumerate(wanted):
            _slide(row, place, float(number))


def _slide(row: Locator, place: int, wanted: float) -> None:
    """Move one handle of a slider with the arrow keys, until it reads `wanted`."""
    handle = row.get_by_role("slider").nth(place)
    handle.scroll_into_view_if_needed()
    handle.focus()
    for _ in range(100):
        present = float(re.findall(r"[\d.]+", row.locator(".widget-readout").inner_text())[place])
        if present == wanted:
            return
        handle.press("ArrowRight" if wanted > present else "ArrowLeft")
    raise AssertionError(f"the slider reads {present} after 100 steps, not {wanted}")

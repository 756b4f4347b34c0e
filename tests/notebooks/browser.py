"""JupyterLab as a student sees it: a real server on a copy of the notebooks, in a real browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import nbformat
from nbformat import NotebookNode
from nbformat.sign import NotebookNotary

if TYPE_CHECKING:  # without playwright the tests are skipped, not broken
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
COURSE = (
    "notebooks",
    "data/checkpoints",
    "benchmarks/results",
    "tests/data",
)  # what a chapter reads
LAPTOP = (1366, 768)  # pixels
FLAGS = (
    "--no-sandbox",  # a container has no user namespaces, and a test no secrets
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
START = 90  # seconds until a server or a page is there, on a busy machine
RUN = 900  # seconds until a chapter has run, on a busy machine
SETTINGS = {"themes": {"theme": "JupyterLab Light"}}

# The current notebook's state; JupyterLab gives `jupyterapp` away when it is told to.
STATE = """() => {
    const panel = window.jupyterapp?.shell.currentWidget;
    const cells = panel?.content?.model?.cells;
    if (!cells || !panel.sessionContext.isReady) return null;
    const counts = [];
    let failed = false;
    for (const cell of cells) if (cell.type === "code") {
        counts.push(cell.executionCount);
        for (let i = 0; i < cell.outputs.length; i++)
            failed ||= cell.outputs.get(i).type === "error";
    }
    return {counts, failed, status: panel.sessionContext.session?.kernel?.status};
}"""
OVER = f"""() => {{
    const state = ({STATE})();
    if (!state || state.status !== "idle") return false;
    return state.failed || state.counts.every(count => count !== null);
}}"""


class Lab:
    """A JupyterLab server with its own folders, on a copy of the notebooks and what they read."""

    def __init__(self, folder: Path) -> None:
        self.notebooks = folder / "course" / "notebooks"
        self._runtime, self._settings = folder / "runtime", folder / "settings"
        self._data = folder / "data"
        self._log = folder / "server.log"
        for part in COURSE:
            shutil.copytree(ROOT / part, folder / "course" / part)
        for path in self.notebooks.rglob("*.ipynb"):  # as `make lab` does
            self._notary().sign(nbformat.read(path, as_version=4))
        for name in SETTINGS:
            self.set(name)
        self._process = self._start(folder)
        self.url, self._token = self._address()

    def set(self, name: str, **values: object) -> None:
        """Write the user's settings of the extension; the next page reads them."""
        path = self._settings / "@jupyterlab/apputils-extension" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(SETTINGS[name] | values))

    def page_of(self, name: str) -> str:
        """The address that opens a notebook."""
        return f"{self.url}lab/tree/{name}?token={self._token}"

    def read(self, name: str) -> NotebookNode:
        """The notebook, as it was saved last."""
        return nbformat.read(self.notebooks / name, as_version=4)

    def strip(self, name: str) -> None:
        """Take all outputs and counts out of a notebook."""
        notebook = self.read(name)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, self.notebooks / name)

    def _notary(self) -> NotebookNotary:
        self._data.mkdir(exist_ok=True)
        return NotebookNotary(data_dir=str(self._data))

    def _start(self, folder: Path) -> subprocess.Popen[bytes]:
        variables = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_CONFIG_PATH": str(ROOT / "tools" / "jupyter"),  # as `make lab` does
            "JUPYTER_DATA_DIR": str(self._data),
            "JUPYTER_RUNTIME_DIR": str(self._runtime),
            "JUPYTERLAB_SETTINGS_DIR": str(self._settings),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        }
        variables.pop("MPLBACKEND", None)  # a kernel chooses the inline backend only without it
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.port=0"]
        command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={self.notebooks}"]
        command += ["--expose-app-in-browser"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command += ["--allow-root"]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                command, cwd=self.notebooks, env=variables, stdout=log, stderr=log
            )

    def _address(self) -> tuple[str, str]:
        """URL and token, which the server writes down when it listens."""
        end = time.monotonic() + START
        while time.monotonic() < end and self._process.poll() is None:
            for path in self._runtime.glob("jpserver-*.json"):
                try:
                    known = json.loads(path.read_text())
                except json.JSONDecodeError:  # half-written
                    continue
                return known["url"], known["token"]
            time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"JupyterLab did not start:\n{self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


@contextmanager
def opened(
    browser: Browser, lab: Lab, name: str, size: tuple[int, int] = LAPTOP, theme: str = "light"
) -> Iterator[Page]:
    """A page that shows a notebook, in the light or the dark theme, when its cells are there.

    The kernel ends with the page.
    """
    lab.set("themes", theme=f"JupyterLab {theme.capitalize()}")
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.set_default_timeout(1000 * START)
    try:
        page.goto(f"{lab.page_of(name)}&reset")
        wait_for_theme(page, theme)
        page.locator("#jupyterlab-splash").wait_for(state="detached")
        page.locator(".jp-NotebookPanel:visible .jp-Cell").first.wait_for()
        yield page
    finally:
        page.evaluate("() => window.jupyterapp?.serviceManager.sessions.shutdownAll()")
        page.close()


def resize(page: Page, size: tuple[int, int]) -> None:
    """Change the window's size, and wait until JupyterLab fills it."""
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.wait_for_function(
        "() => document.querySelector('#jp-main-content-panel').offsetWidth === innerWidth"
    )


def set_theme(page: Page, theme: str) -> None:
    """Choose the light or the dark theme, as Settings → Theme does."""
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})",
        f"JupyterLab {theme.capitalize()}",
    )
    wait_for_theme(page, theme)


def wait_for_theme(page: Page, theme: str) -> None:
    """Wait until the page has the theme's colours."""
    from playwright.sync_api import expect

    expect(page.locator("body")).to_have_attribute(
        "data-jp-theme-light", str(theme == "light").lower(), timeout=1000 * START
    )


def run_all(page: Page) -> None:
    """Choose Run → Run All Cells, wait for the last cell or an error, save."""
    page.wait_for_function(f"() => ({STATE})()?.status === 'idle'")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(OVER, timeout=1000 * RUN)
    save(page)


def save(page: Page) -> None:
    """Save the notebook, as Ctrl+S does."""
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

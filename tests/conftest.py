"""What tests may need beyond packages: a browser, a sandbox, the real CamVid.

`@pytest.mark.requires("browser")` skips a test where the need is missing, and fails it where the
environment variable SEGLIB_REQUIRE lists the need (comma-separated), as .ci/run does. The
fixtures give the thing itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CAMVID = ROOT.parent / "shared" / "camvid"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = {
    "browser": "install the system package chromium, and the extra `test`",
    "sandbox": "install the system package bubblewrap, and allow user namespaces",
    "camvid": "put CamVid's train and val splits into ../shared/camvid",
}


@cache
def have(need: str) -> str | None:
    """Where the need is met, or None: a path to the browser, to bwrap, or to CamVid's folder."""
    if need == "browser":
        if find_spec("playwright") is None:
            return None
        return next(filter(None, map(shutil.which, BROWSERS)), None)
    if need == "sandbox":
        bwrap = shutil.which("bwrap")
        trial = ["--ro-bind", "/", "/", "--unshare-net", "--unshare-pid", "true"]
        if bwrap is None or subprocess.run([bwrap, *trial], capture_output=True).returncode:
            return None
        return bwrap
    if need == "camvid":
        return str(CAMVID) if (CAMVID / "train").is_dir() else None
    raise ValueError(f"requires: need is {need!r}, allowed are {', '.join(INSTALL)}")


def demand(need: str) -> str:
    """As `have`; a missing need skips the running test, or fails it if SEGLIB_REQUIRE says so."""
    place = have(need)
    if place is None:
        required = [item.strip() for item in os.environ.get("SEGLIB_REQUIRE", "").split(",")]
        message = f"needs {need}: {INSTALL[need]}"
        if need in required:
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return place


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("requires"):
        for need in mark.args:
            demand(need)


@pytest.fixture(scope="session")
def camvid_root() -> Path:
    """CamVid's folder, with train/, trainannot/, val/ and valannot/."""
    return Path(demand("camvid"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path, for playwright's executable_path."""
    return demand("browser")


@pytest.fixture(scope="session")
def bwrap() -> str:
    """bubblewrap's path; a trial run has passed."""
    return demand("sandbox")

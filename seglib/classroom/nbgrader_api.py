"""nbgrader's own functions on a course's folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader


def course_api(course: Path) -> NbGraderAPI:
    """nbgrader's API with the course's `nbgrader_config.py`."""
    config = Config()
    if (course / "nbgrader_config.py").is_file():
        config = PyFileConfigLoader("nbgrader_config.py", str(course)).load_config()
    config.CourseDirectory.root = str(course.resolve())
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)  # errors come back as results
    return NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)


def generate_assignment(course: Path, name: str) -> None:
    """Take the solutions out of `source/NAME` and write `release/NAME`.

    Raises:
        ValueError: if nbgrader refuses; the last line of its message.
    """
    before = Path.cwd()
    try:
        result = course_api(course).generate_assignment(name)
    finally:
        os.chdir(before)
    if not result["success"]:
        log = [line for line in result.get("log", "").splitlines() if "ERROR" in line]
        text = log[-2] if len(log) > 1 else str(result.get("error", "")).strip().splitlines()[-1]
        raise ValueError(f"{name}: nbgrader can't release it: {text.strip()}")

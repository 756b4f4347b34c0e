"""Scores and comments in nbgrader's gradebook, thin over `nbgrader.api.Gradebook`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nbgrader.api import Gradebook


@contextmanager
def open_gradebook(course: Path) -> Iterator[Gradebook]:
    """The course's `gradebook.db`; made where there is none.

    nbgrader asks the program `alembic` for a new database's version. It lies beside this Python,
    but on the PATH only where the environment is activated.
    """
    path = course / "gradebook.db"
    before = os.environ.get("PATH", "")
    if not path.exists():
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        gradebook = Gradebook(f"sqlite:///{path.resolve()}")
    finally:
        os.environ["PATH"] = before
    try:
        yield gradebook
    finally:
        gradebook.close()

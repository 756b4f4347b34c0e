"""One small course, released once; each test gets a copy to change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from class_course import make_course


@pytest.fixture(scope="session")
def released_course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with the assignment 01_rule and three students; only to be read."""
    return make_course(tmp_path_factory.mktemp("class") / "course")


@pytest.fixture
def course(released_course: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(released_course, tmp_path / "course"))

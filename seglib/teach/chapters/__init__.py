"""The chapters' exercises: one module for each chapter, `ch02` for chapter 02."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module

from seglib.teach.tasks import Task


def tasks() -> list[Task]:
    """Every chapter's tasks, in the order of the course."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [
        task
        for name in names
        if re.fullmatch(r"ch\d\d", name)
        for task in import_module(f"{__name__}.{name}").TASKS
    ]

"""Judge files: an assignment's parameters and items, as they follow from a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

from seglib.classroom.draw import Draw
from seglib.classroom.items import Item

ASSIGNMENTS = Path(__file__).resolve().parents[2] / "notebooks" / "assignments"
EXAMPLE = "example"  # the secret of the source notebooks, which anyone may read
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")


@dataclass(frozen=True)
class Assignment:
    """An assignment for one course.

    Attributes:
        name: of its notebook and its judge file.
        parameters: what the notebook's text tells the students; they differ from course to course.
        items: the tasks, with hidden cases.
    """

    name: str
    parameters: Mapping[str, object]
    items: tuple[Item, ...]


def available(folder: Path = ASSIGNMENTS) -> list[str]:
    """Names of the assignments that have a source notebook and a judge file, sorted."""
    judges = {path.stem for path in (folder / "judges").glob("*.py")}
    return sorted(name for name in judges if source_path(name, folder).is_file())


def source_path(name: str, folder: Path = ASSIGNMENTS) -> Path:
    """Where the source notebook lies."""
    return folder / "source" / name / f"{name}.ipynb"


def load_assignment(name: str, secret: str, folder: Path = ASSIGNMENTS) -> Assignment:
    """Read an assignment's judge file and draw its parameters and hidden cases.

    Args:
        name: of the assignment, `"01_make_divisible"`.
        secret: the course's; others give other parameters and cases.
        folder: what holds `source/` and `judges/`.
    Raises:
        ValueError: for a name without a judge file, or a judge file that breaks the rules.
    """
    path = folder / "judges" / f"{name}.py"
    if not NAME.fullmatch(name) or not path.is_file():
        known = ", ".join(available(folder)) or f"none in {folder}"
        raise ValueError(
            f"assignment is {name!r}, available are {known}; --sources DIR names your own"
        )
    module = _imported(path)
    parameters = module.parameters(Draw(secret, f"{name}/parameters"))
    try:
        parameters = json.loads(json.dumps(parameters), object_hook=dict)
    except TypeError as error:
        raise ValueError(f"{path.name}: parameters() must give plain values: {error}") from None
    given = SimpleNamespace(**{key: _tuples(value) for key, value in parameters.items()})
    items = tuple(module.items(given, Draw(secret, f"{name}/cases")))
    _check(path.name, items)
    return Assignment(name, vars(given), items)


def example(name: str) -> SimpleNamespace:
    """The parameters that a source notebook shows, under a secret that is none.

    Args:
        name: of the assignment. Its judge file is looked for in `../../judges`, seen from the
            working directory, as it is when the source notebook runs; then in this checkout.
    """
    near = Path.cwd().parent.parent
    folder = near if (near / "judges" / f"{name}.py").is_file() else ASSIGNMENTS
    return SimpleNamespace(**load_assignment(name, EXAMPLE, folder).parameters)


def _imported(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"seglib_judge_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    for needed in ("parameters", "items"):
        if not callable(getattr(module, needed, None)):
            raise ValueError(f"{path.name} must define {needed}(); see the assignments' README")
    return module


def _tuples(value: object) -> object:
    """The value with tuples for lists: what a notebook shows can't be changed by accident."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _check(name: str, items: tuple[Item, ...]) -> None:
    if not items or len({item.name for item in items}) != len(items):
        raise ValueError(f"{name}: items() must give items with different names")
    for item in items:
        if not item.parts or any(not part.cases or part.points <= 0 for part in item.parts):
            raise ValueError(f"{name}: every part of {item.name} needs cases and points above 0")

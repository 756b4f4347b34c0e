"""Whose a file is, by its path, as learning management systems name what they hand out.

Only what the system names counts: in a student's own folder the student names the files.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seglib.classroom.roster import Student

SUFFIXES = (".ipynb", ".ipynb.txt", ".ipynb.json")  # browsers add the last two
# "Full Name_12345_assignsubmission_file_…": the number is of this submission, not the student's.
_MOODLE = re.compile(r"(?P<name>.+?)_\d+_assignsubmission_[a-z]+_?(?P<rest>.*)", re.DOTALL)
# "lastnamefirst_LATE_12345_67890_x.ipynb": the first number is the student's, the second grows.
_CANVAS = re.compile(
    r"(?P<name>.*?)_(?:LATE_)?(?P<user>\d+)_(?P<upload>\d+)_(?P<rest>.+)", re.DOTALL
)
_COPY = re.compile(r"[ _-]*(?:\(\d+\)|copy\d*|v\d+|-\d+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Owner:
    """Whose a file is.

    Attributes:
        student: the id; "" if it fits none, or more than one.
        problem: why it is "".
        unit: what was handed in together: a student's folder, or the file itself.
        other: the assignment that it belongs to instead.
        own_name: what the student called the file.
        upload: a number that grows with time; 0 if unknown.
    """

    student: str = ""
    problem: str = ""
    other: str = ""
    unit: str = ""
    own_name: str = ""
    upload: int = 0


def notebook_stem(name: str) -> str | None:
    """A notebook's name without its suffix; None for other files."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return None


def how_named(own_name: str, assignment: str) -> int:
    """2: the student's file is called as the assignment, or not at all; 1: as copies of it are; 0:
    otherwise.
    """
    stem, wanted = _plain(notebook_stem(own_name) or ""), _plain(assignment)
    if stem in ("", wanted):
        return 2
    return int(_plain(_COPY.sub("", stem)) in ("", wanted))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _letters(text: str) -> str:
    """A name without spaces and punctuation."""
    return "".join(sign for sign in _plain(text) if sign.isalnum() or not sign.isascii())


class Identifier:
    """Finds a path's student in a class.

    Args:
        assignment: the one that is collected.
        others: names of other assignments, which are not to be taken for it.
        paths: all that is to be identified: folders that everything lies in say nothing.
    """

    def __init__(
        self,
        assignment: str,
        students: Sequence[Student],
        others: Iterable[str],
        paths: Sequence[str],
    ) -> None:
        self._assignment = _plain(assignment)
        self._others = {_plain(other): other for other in others}
        self._ids = {_plain(student.id): student.id for student in students}
        self._numbers = {student.lms_id: student.id for student in students if student.lms_id}
        self._known_number = {student.id for student in students if student.lms_id}
        self._names: dict[str, set[str]] = {}
        for student in students:
            first, last = student.first_name, student.last_name
            for name in {_letters(first + last), _letters(last + first)} - {""}:
                self._names.setdefault(name, set()).add(student.id)
        self._depth = self._wrapping(paths)

    def owner(self, path: str) -> Owner:
        """Whose the file is."""
        parts = path.split("/")[self._depth :]
        whole = [*map(_plain, parts), _plain(notebook_stem(parts[-1]) or "")]
        if other := next((self._others[part] for part in whole if part in self._others), ""):
            return Owner(problem=f"is of {other}", other=other)
        while len(parts) > 1 and _plain(parts[0]) == self._assignment:
            parts = parts[1:]
        if len(parts) == 1:
            return self._of_file(path, parts[0])
        student, problem = self._of_folder(parts[0])
        return Owner(student, problem, "", parts[0], parts[-1])

    def _wrapping(self, paths: Sequence[str]) -> int:
        """How many folders lie around everything and belong to nobody."""
        split = [path.split("/") for path in paths]
        depth = 0
        while split and all(len(parts) > depth + 1 for parts in split):
            names = {parts[depth] for parts in split}
            name = min(names)
            if len(names) > 1 or _MOODLE.fullmatch(name) or self._of_folder(name)[0]:
                break
            depth += 1
        return depth

    def _of_folder(self, name: str) -> tuple[str, str]:
        if match := _MOODLE.fullmatch(name):
            return self._by_name(match["name"])
        if student := self._ids.get(_plain(name)):
            return student, ""
        return self._by_name(name)

    def _by_name(self, name: str) -> tuple[str, str]:
        found = sorted(self._names.get(_letters(name), ()))
        if len(found) == 1:
            return found[0], ""
        if found:
            return "", f"could be of {' or '.join(found)}: they have this name; nothing is guessed"
        return "", "fits no student"

    def _of_file(self, path: str, name: str) -> Owner:
        """A file that lies in no student's folder."""
        if match := _MOODLE.fullmatch(name):
            student, problem = self._by_name(match["name"])
            return Owner(student, problem, "", path, match["rest"])
        stem = notebook_stem(name)
        stem = _plain(name if stem is None else stem)
        by_id, rest = self._by_id(stem)
        match = _CANVAS.fullmatch(name)
        if match is None or stem in self._ids:
            if len(by_id) == 1:
                return Owner(by_id[0], "", "", path, rest + ".ipynb")
            many = f"could be of {' or '.join(by_id)}; nothing is guessed"
            return Owner("", many if by_id else "fits no student")
        upload = int(match["upload"][:18])
        if student := self._numbers.get(match["user"], ""):
            return Owner(student, "", "", path, match["rest"], upload)
        student, problem = self._by_name(match["name"])
        found = {student, *by_id} - {""} - self._known_number  # theirs is another number
        if len(found) == 1:
            return Owner(found.pop(), "", "", path, match["rest"], upload)
        return Owner("", problem or "fits no student")

    def _by_id(self, stem: str) -> tuple[list[str], str]:
        """The students whose ids a file's name begins with, and what follows the id."""
        whole = [stem]
        for separator in "_- .":
            whole.append(stem.removesuffix(separator + self._assignment))
            whole.append(stem.removeprefix(self._assignment + separator))
        for name in whole:
            if name in self._ids:
                return [self._ids[name]], ""
        found = [key for key in self._ids if re.match(re.escape(key) + r"[_\- .]", stem)]
        rest = stem[len(found[0]) + 1 :] if len(found) == 1 else ""
        return [self._ids[key] for key in sorted(found)], rest

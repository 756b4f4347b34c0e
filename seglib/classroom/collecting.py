"""Sort what students handed in into the course's folder; whatever can't be placed gets a line."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from seglib.classroom.archives import TIMESTAMP, Entry, open_entries, read_time
from seglib.classroom.collected import store_lines
from seglib.classroom.identifying import Identifier, Owner, how_named, notebook_stem
from seglib.classroom.notebooks import parse_notebook, read_notebook
from seglib.classroom.roster import Student
from seglib.classroom.text import shorten
from seglib.files import atomic_path

_EPOCH = datetime.fromtimestamp(0, UTC)
_FORMAT = "%Y-%m-%d %H:%M:%S UTC"  # nbgrader reads numeric zones as seconds
WORSE = "not taken: another notebook of the student fits better"
UNCLEAR = "one of several notebooks, none clearly the last one or the assignment's; leave one"
_ALIKE = 0.5  # share of the release's cells that makes a notebook one of this assignment


@dataclass(frozen=True)
class Collected:
    """A file that was handed in.

    Attributes:
        student: whose it is; "" if that is not known.
        source: its path in the folder or archive.
        problem: why it does not count, or what else is to be said; "" for a student's submission.
    """

    student: str
    source: str
    problem: str = ""

    @property
    def line(self) -> str:
        """What is told about it; it begins with the student, if that is known."""
        return ": ".join(filter(None, (self.student, self.source, self.problem)))


@dataclass(frozen=True)
class _Candidate:
    """A notebook of a student; `share` of the release's cells are in it."""

    owner: Owner
    entry: Entry
    source: str
    digest: str
    share: float
    named: int  # 2: as the assignment, 1: as a copy of it, 0: otherwise

    @property
    def time(self) -> datetime:
        """To the second, as far as it is stored."""
        return (self.entry.time or _EPOCH).replace(microsecond=0)

    @property
    def age(self) -> tuple[int, datetime]:
        """Grows with time: by the system's number, or by the file's time."""
        return self.owner.upload, self.time

    def told(self, problem: str = "") -> Collected:
        return Collected(self.owner.student, self.source, problem)


def collect(
    assignment: str, origin: Path, course: Path, students: Sequence[Student]
) -> list[Collected]:
    """Write each student's notebook to `submitted/STUDENT/ASSIGNMENT`, with its time.

    Collecting the same files again changes nothing; a newer file replaces an older one.

    Args:
        assignment: a released assignment.
        origin: a folder of student folders (named by id, or by name) or of files that begin with
            the id; or a zip file of these, or as Moodle or Canvas pack it.
        course: the course's folder.
        students: the class.
    Returns:
        Each file that was found, by student. What has a `problem` is kept for the report, too.
    Raises:
        ValueError: if the assignment is not released, or `origin` is no folder and no zip file.
    """
    release = course / "release" / assignment / f"{assignment}.ipynb"
    if not release.is_file():
        raise ValueError(f"{assignment} is not released in {course}: release it first")
    wanted = {cell.grade_id for cell in read_notebook(release).cells} - {""}
    others = {path.name for path in (course / "release").iterdir()} - {assignment}
    with open_entries(origin) as entries:
        paths = [entry.names[0] for entry in entries]
        identifier = Identifier(assignment, students, others, paths)
        found, candidates = _sort(entries, identifier, assignment, wanted)
        for student, notebooks in candidates.items():
            chosen, told = _choose(notebooks)
            found += told
            if chosen is not None:
                found += _write(course / "submitted" / student / assignment, assignment, chosen)
    found.sort(key=lambda one: (one.student, one.source, one.problem))
    lines = [one.line for one in found if one.problem]
    store_lines(course, assignment, origin.name, lines)
    return found


def _sort(
    entries: Sequence[Entry], identifier: Identifier, assignment: str, wanted: set[str]
) -> tuple[list[Collected], dict[str, list[_Candidate]]]:
    """Lines about what can't count, and each student's notebooks."""
    found: list[Collected] = []
    candidates: dict[str, list[_Candidate]] = {}
    foreign: Counter[str] = Counter()
    for entry in entries:
        owners = [(identifier.owner(name), name) for name in entry.names]
        owner, name = next((pair for pair in owners if pair[0].student), owners[0])
        if owner.other:
            foreign[owner.other] += 1
            continue
        try:
            content = _content(entry, owner, name)
        except ValueError as problem:
            found.append(Collected(owner.student, shorten(name, 150), str(problem)))
            continue
        candidate = _Candidate(
            owner=owner,
            entry=entry,
            source=shorten(name, 150),
            digest=hashlib.sha256(content).hexdigest(),
            share=_share(content, wanted),
            named=how_named(owner.own_name, assignment),
        )
        candidates.setdefault(owner.student, []).append(candidate)
    for other, count in foreign.items():
        found.append(Collected("", f"{count} files of {other}", "another assignment; not taken"))
    return found, candidates


def _content(entry: Entry, owner: Owner, name: str) -> bytes:
    """A notebook's bytes; ValueError with what is wrong if it is none of a student."""
    if entry.problem or owner.problem:
        raise ValueError(entry.problem or owner.problem)
    if notebook_stem(name) is None:
        raise ValueError("is no notebook; not taken")
    return entry.read()


def _share(content: bytes, wanted: set[str]) -> float:
    """The share of the release's ids that a notebook has; 0 if it can't be read."""
    try:
        cells = parse_notebook(content, "it").cells
    except ValueError:
        return 0.0
    return len(wanted & {cell.grade_id for cell in cells}) / max(1, len(wanted))


def _choose(notebooks: Sequence[_Candidate]) -> tuple[_Candidate | None, list[Collected]]:
    """A student's notebook that counts, and lines about the others.

    Of what lies together the one named as the assignment, else the one most like the release; of
    what was handed in one after the other the last one.
    """
    fitting = [one for one in notebooks if one.named or one.share >= _ALIKE]
    if not fitting and len({one.digest for one in notebooks}) > 1:
        return None, [one.told(UNCLEAR) for one in notebooks]
    fitting = fitting or list(notebooks)
    found = [one.told(WORSE) for one in notebooks if one not in fitting]
    units: dict[str, list[_Candidate]] = {}
    for one in fitting:
        units.setdefault(one.owner.unit, []).append(one)
    best: list[_Candidate] = []
    for members in units.values():
        rank = max((one.named, one.share) for one in members)
        first = [one for one in members if (one.named, one.share) == rank]
        found += [one.told(WORSE) for one in members if one not in first]
        best += first
    newest = max(one.age for one in best)
    last = [one for one in best if one.age == newest]
    chosen = last[0] if len({one.digest for one in last}) == 1 else None
    for one in best:
        if chosen is None:
            found.append(one.told(UNCLEAR))
        elif one.digest != chosen.digest:
            found.append(one.told(f"older than {chosen.source}: does not count"))
        elif one is not chosen:
            found.append(one.told(f"the same as {chosen.source}"))
    return chosen, found


def _write(folder: Path, assignment: str, chosen: _Candidate) -> list[Collected]:
    """Store the notebook and its time, unless they or newer ones are there."""
    path, timestamp = folder / f"{assignment}.ipynb", folder / TIMESTAMP
    content = chosen.entry.read()
    if not path.is_file():
        told = [chosen.told()]
    elif path.read_bytes() == content:
        return [chosen.told()]
    else:
        stored = _stored_time(path, timestamp)
        if chosen.time < stored:
            older = f"older than what was collected before, of {stored:{_FORMAT}}: not taken"
            return [chosen.told(older), replace(chosen.told(), source=f"submitted/{path.name}")]
        told = [
            chosen.told(),
            chosen.told(f"replaces what was collected before, of {stored:{_FORMAT}}"),
        ]
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(timestamp) as temporary:  # first: a notebook beside no time would look new
        temporary.write_text(f"{chosen.time:{_FORMAT}}\n", encoding="utf-8")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return told


def _stored_time(path: Path, timestamp: Path) -> datetime:
    time = read_time(timestamp)
    return time or datetime.fromtimestamp(int(path.stat().st_mtime), UTC)

"""Grade submissions, many at a time; whatever one of them does, the others are graded."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from seglib.classroom.feedback import Outputs, remove_autograded, write_autograded
from seglib.classroom.gradebook import roster, store_roster, store_scores
from seglib.classroom.judges import ASSIGNMENTS
from seglib.classroom.judging import Judge
from seglib.classroom.kernel import Limits, SandboxError, require_sandbox
from seglib.classroom.records import Record, read_record, write_record
from seglib.classroom.release import released_assignment
from seglib.classroom.roster import Student
from seglib.classroom.running import Run
from seglib.classroom.submissions import Submission, read_submission
from seglib.classroom.text import shorten

SUBMISSION_SECONDS = 150.0
MAX_FILE = 50 * 2**20  # bytes of a notebook


@dataclass(frozen=True)
class Settings:
    """How to grade.

    Attributes:
        jobs: kernels at a time.
        sandboxed: False runs students' code without bubblewrap.
        again: grade also what has not changed since it was graded.
        limits: of each kernel.
        seconds: for one submission.
    """

    jobs: int = 2
    sandboxed: bool = True
    again: bool = False
    limits: Limits = Limits()  # noqa: RUF009 (frozen)
    seconds: float = SUBMISSION_SECONDS


@dataclass(frozen=True)
class Graded:
    """One submission's result; `fresh` is False where an earlier one was kept."""

    record: Record
    fresh: bool


@dataclass(frozen=True)
class _Work:
    """What a thread brings back; the main thread stores it."""

    record: Record
    submission: Submission | None = None
    outputs: Sequence[Outputs] = ()


def submitted(course: Path, assignment: str) -> list[str]:
    """Students with a folder `submitted/STUDENT/ASSIGNMENT`, sorted."""
    found = (course / "submitted").glob(f"*/{assignment}")
    return sorted(path.parent.name for path in found if path.is_dir())


def grade(
    assignment: str,
    course: Path,
    settings: Settings,
    students: Sequence[str] = (),
    report: Callable[[Graded, int], None] = lambda graded, total: None,
    folder: Path = ASSIGNMENTS,
) -> list[Graded]:
    """Grade an assignment's submissions and enter the scores into the gradebook.

    Args:
        assignment: a released one.
        course: the course's folder.
        settings: how.
        students: ids; none: everybody who handed something in.
        report: called for each result, with the number of them all.
        folder: what holds `judges/`.
    Returns:
        The results by student.
    Raises:
        ValueError: if the assignment was not released, a student handed nothing in, or bubblewrap
            is missing and `settings.sandboxed`.
    """
    released = released_assignment(assignment, course, folder)
    present = submitted(course, assignment)
    unknown = sorted(set(students) - set(present))
    if unknown:
        raise ValueError(f"student is {unknown[0]!r}, who handed in nothing for {assignment}")
    if settings.sandboxed:
        require_sandbox()
    judges = [Judge.of(item) for item in released.items]
    wanted = [student for student in present if not students or student in students]
    known = {student.id for student in roster(course)}
    strangers = [student for student in wanted if student not in known]
    store_roster(course, [Student(student) for student in strangers])
    grader = _Grader(assignment, course, folder, settings, judges)
    results: dict[str, Graded] = {}
    waiting: list[str] = []
    for student in wanted:
        kept = None if settings.again else grader.kept(student)
        if kept is None:
            waiting.append(student)
        else:
            results[student] = Graded(kept, fresh=False)
            store_scores(course, kept)
            report(results[student], len(wanted))
    with ThreadPoolExecutor(settings.jobs) as pool:
        try:
            tasks: list[Future[_Work]] = [pool.submit(grader.work, one) for one in waiting]
            for task in as_completed(tasks):
                work = task.result()
                grader.store(work)
                results[work.record.student] = Graded(work.record, fresh=True)
                report(results[work.record.student], len(wanted))
        except BaseException:  # the instructor's Ctrl-C: what is graded is stored
            pool.shutdown(cancel_futures=True)
            raise
    return [results[student] for student in wanted]


class _Grader:
    def __init__(
        self,
        assignment: str,
        course: Path,
        folder: Path,
        settings: Settings,
        judges: Sequence[Judge],
    ) -> None:
        self.assignment, self.course, self.settings = assignment, course, settings
        self.judges = judges
        self.hidden = (course.resolve(), folder.resolve())
        self.release = course / "release" / assignment / f"{assignment}.ipynb"
        self.basis = hashlib.sha256(self.release.read_bytes())
        for judge in judges:
            self.basis.update(repr((judge.request, judge.expected, judge.known)).encode())

    def kept(self, student: str) -> Record | None:
        """The earlier result, if nothing that it follows from has changed."""
        try:
            record = read_record(self.course, self.assignment, student)
        except ValueError:  # damaged: graded anew
            return None
        path, _ = self._notebook(student)
        same = record is not None and path and record.fingerprint == self._fingerprint(path)
        return record if same else None

    def _notebook(self, student: str) -> tuple[Path | None, str]:
        """The submission's notebook, and a line if it has another name than it should."""
        folder = self.course / "submitted" / student / self.assignment
        path = folder / f"{self.assignment}.ipynb"
        if path.is_file() and not path.is_symlink():
            return path, ""
        others = sorted(p for p in folder.glob("*.ipynb") if p.is_file() and not p.is_symlink())
        if len(others) == 1:
            return others[0], f"the notebook is named {others[0].name}"
        return None, f"{len(others)} notebooks, none of them named {self.assignment}.ipynb"

    def _fingerprint(self, path: Path) -> str:
        digest = self.basis.copy()
        digest.update(path.read_bytes() if path.stat().st_size <= MAX_FILE else b"too large")
        return digest.hexdigest()

    def work(self, student: str) -> _Work:
        """Grade one submission; never raises."""
        start = time.monotonic()
        try:
            return self._graded(student, start)
        except (SandboxError, OSError, ValueError) as error:
            return self._failed(student, start, shorten(" ".join(str(error).split()), 300))
        except Exception as error:  # a mistake of ours must not stop the others
            name = type(error).__name__
            return self._failed(student, start, f"the grader failed: {name}: {error}")

    def _failed(self, student: str, start: float, line: str, fingerprint: str = "") -> _Work:
        seconds = round(time.monotonic() - start, 2)
        return _Work(Record(self.assignment, student, "failed", (), (line,), fingerprint, seconds))

    def _graded(self, student: str, start: float) -> _Work:
        path, line = self._notebook(student)
        if path is None:
            return self._failed(student, start, line)
        fingerprint = self._fingerprint(path)
        if path.stat().st_size > MAX_FILE:
            size = path.stat().st_size // 2**20
            return self._failed(student, start, f"the notebook has {size} MB", fingerprint)
        try:
            submission = read_submission(path, self.release)
        except ValueError as error:
            return self._failed(student, start, shorten(str(error), 300), fingerprint)
        settings = self.settings
        run = Run(
            submission.cells, settings.limits, settings.seconds, settings.sandboxed, self.hidden
        )
        found = run.grade(self.judges)
        lines = (*filter(None, [line]), *submission.lines, *found.lines)
        record = Record(
            assignment=self.assignment,
            student=student,
            status="graded",
            items=tuple(found.items),
            lines=lines,
            fingerprint=fingerprint,
            seconds=round(time.monotonic() - start, 2),
            written=submission.written,
        )
        return _Work(record, submission, found.outputs)

    def store(self, work: _Work) -> None:
        """Write the submission's page, its scores and its record, the record last."""
        student = work.record.student
        if work.submission is None:
            remove_autograded(self.course, self.assignment, student)
        else:
            write_autograded(self.course, self.assignment, student, work.submission, work.outputs)
        store_scores(self.course, work.record)
        write_record(self.course, work.record)


def default_jobs() -> int:
    """Kernels at a time: as many as there are processors."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1

"""`seglib class`: release assignments, collect them, grade them in a sandbox, report."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seglib.cli.common import Commands, naming

if TYPE_CHECKING:
    from seglib.classroom.grading import Graded

classroom = typer.Typer(
    cls=Commands,
    help="Release assignments, collect them, grade them in a sandbox, report.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Course = Annotated[
    Path,
    typer.Option("--course", metavar="DIR", help="The course's own folder; keep it private."),
]
Roster = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="The class: id,first_name,last_name,email,lms_user_id."),
]
Names = Annotated[list[str] | None, typer.Argument(metavar="[ASSIGNMENT]…", show_default=False)]
COURSE = Path("course")


@classroom.callback()
def needs() -> None:
    """Release assignments, collect them, grade them in a sandbox, report."""
    if find_spec("nbgrader") is None:
        raise ValueError("seglib class needs nbgrader: pip install 'seglib[classroom]'")


@classroom.command()
def release(
    names: Names = None,
    course: Course = COURSE,
    everything: Annotated[
        bool, typer.Option("--all", help="All the assignments that there are.")
    ] = False,
    secret: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="The course's secret, at the first release; default: a random one."
            " Values in the assignments and hidden cases follow from it.",
        ),
    ] = None,
    roster: Roster = None,
    sources: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Your own assignments: holds source/ and judges/."),
    ] = None,
) -> None:
    """Write the students' notebooks to DIR/release, without solutions.

    The first release makes the course's folder and its secret.
    """
    from seglib.classroom import judges
    from seglib.classroom.release import open_course
    from seglib.classroom.release import release as release_one

    folder = sources or judges.ASSIGNMENTS
    wanted = _wanted(names, judges.available(folder), everything)
    with naming("--secret"):
        used = open_course(course, secret)
    _store(roster, course)
    for name in wanted:
        path = release_one(name, course, used, folder)
        print(f"{name}: hand out {path}")


@classroom.command()
def collect(
    assignment: Annotated[str, typer.Argument(help="A released assignment.")],
    origin: Annotated[
        Path, typer.Option("--from", metavar="PATH", help="A folder, or the LMS's zip file.")
    ],
    course: Course = COURSE,
    roster: Roster = None,
) -> None:
    """Sort what students handed in into DIR/submitted; nothing that can't be placed is lost."""
    from seglib.classroom.collecting import collect as collect_all
    from seglib.classroom.gradebook import roster as stored
    from seglib.classroom.release import read_secret

    read_secret(course)
    _store(roster, course)
    students = stored(course)
    if not students:
        raise ValueError(f"{course} has no students yet: give --roster CSV")
    found = collect_all(assignment, origin, course, students)
    for one in found:
        if one.problem:
            print(f"  {one.line}")
    placed = {one.student for one in found if one.student and not one.problem}
    missing = [student.id for student in students if student.id not in placed]
    print(f"{assignment}: {len(placed)} of {len(students)} students' notebooks collected")
    if missing:
        print(f"  nothing from: {', '.join(missing)}")


@classroom.command()
def grade(
    names: Names = None,
    course: Course = COURSE,
    student: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this one; may be repeated.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help="Notebooks at a time; default: processors.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Grade also what has not changed since.")
    ] = False,
    unsandboxed: Annotated[
        bool,
        typer.Option(
            "--unsandboxed",
            help="Run students' code without bubblewrap, with your rights: it can read and"
            " change your files.",
        ),
    ] = False,
    sources: Annotated[
        Path | None, typer.Option(metavar="DIR", help="As for release: your own assignments.")
    ] = None,
) -> None:
    """Run what was collected in a sandbox, and enter the scores into the gradebook."""
    from seglib.classroom import judges
    from seglib.classroom.grading import Settings, default_jobs, submitted
    from seglib.classroom.grading import grade as grade_all
    from seglib.classroom.release import read_secret

    read_secret(course)
    if jobs is not None and jobs < 1:
        raise ValueError(f"--jobs is {jobs}, must be 1 or more")
    released = sorted(path.stem for path in (course / "parameters").glob("*.json"))
    wanted = names or [name for name in released if submitted(course, name)]
    if not wanted:
        raise ValueError(f"nothing was collected in {course}: run `seglib class collect` first")
    settings = Settings(jobs or default_jobs(), not unsandboxed, again)
    for name in wanted:
        _known(name, released)
        only = [s for s in student or () if names or s in submitted(course, name)]
        if student and not only:
            continue
        print(f"{name}:")
        grade_all(name, course, settings, only, _Progress(), sources or judges.ASSIGNMENTS)


class _Progress:
    """Prints a line for each submission."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, graded: Graded, total: int) -> None:
        self._count += 1
        print(f"  {self._count}/{total} {_line(graded)}", flush=True)


def _line(graded: Graded) -> str:
    record = graded.record
    if record.status == "failed":
        return f"{record.student}: not graded: {record.lines[0]}"
    score, points = (
        sum(getattr(item, key) for item in record.items) for key in ("score", "points")
    )
    slugs = ", ".join(item.slug for item in record.items if item.slug)
    lines = len(record.lines)
    notes = [slugs, f"{lines} note{'s' * (lines > 1)}" if lines else ""]
    notes.append("" if graded.fresh else "as before")
    return "; ".join([f"{record.student}: {score:g} of {points:g}", *filter(None, notes)])


@classroom.command()
def report(
    names: Names = None,
    course: Course = COURSE,
    feedback: Annotated[
        bool, typer.Option("--feedback", help="Also write DIR/feedback/STUDENT/… pages.")
    ] = False,
) -> None:
    """Write DIR/grades.csv and DIR/report.html; after grading by hand, run it again."""
    from seglib.classroom.gradebook import write_feedback
    from seglib.classroom.release import read_secret
    from seglib.classroom.summary import write_csv, write_summary

    read_secret(course)
    released = sorted(path.stem for path in (course / "parameters").glob("*.json"))
    for name in names or ():
        _known(name, released)
    wanted = names or released
    rows = write_csv(course, course / "grades.csv", wanted)
    write_summary(course, course / "report.html", wanted)
    print(f"{course / 'grades.csv'}: {rows} rows\n{course / 'report.html'}: the summary")
    if feedback:
        for name in wanted:
            for line in write_feedback(course, name):
                print(f"  {name}: {line}")
        print(f"{course / 'feedback'}: a page for each notebook that was graded")


def _wanted(names: list[str] | None, available: list[str], everything: bool) -> list[str]:
    if not available:
        raise ValueError(
            "no assignments here: they come with the repository; clone it, or name your own with"
            " --sources DIR"
        )
    if everything == bool(names):
        raise ValueError(f"ASSIGNMENT: give --all, or some of {', '.join(available)}")
    return list(names or available)


def _known(name: str, released: list[str]) -> None:
    if name not in released:
        raise ValueError(f"ASSIGNMENT is {name!r}, released are {', '.join(released) or 'none'}")


def _store(path: Path | None, course: Path) -> None:
    from seglib.classroom.gradebook import store_roster
    from seglib.classroom.roster import read_roster

    if path is not None:
        with naming("--roster"):
            students = read_roster(path)
        store_roster(course, students)
        print(f"{len(students)} students in the roster")

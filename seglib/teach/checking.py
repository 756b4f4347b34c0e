"""`check`: judge an answer to an exercise, and name the likely mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from seglib.teach._html import block, escape, markup, table
from seglib.teach.chapters import tasks
from seglib.teach.interrupting import TimeLimit, run_limited, undisturbed
from seglib.teach.probing import explain
from seglib.teach.tasks import MISTAKES_OF, Exercise, NotAttempted, Task, Wrong

_TASKS: dict[str, Task] = {task.exercise.id: task for task in tasks()}


# {slug: hint} of every mistake that a check can name.
MISTAKES: dict[str, str] = {
    slug: hint for words in MISTAKES_OF.values() for slug, hint in words.items()
}


@dataclass(frozen=True)
class Failure:
    """What is wrong with an answer.

    Attributes:
        name: a slug of `MISTAKES`.
        hint: what the mistake is, and where it showed.
    """

    name: str
    hint: str


@dataclass(frozen=True, repr=False)
class CheckReport:
    """The result of a check; shows itself.

    Attributes:
        exercise: what was answered.
        attempted: False for None and for a stub left as it was.
        stages: the stages that ran, in order, and whether they passed.
        failures: what is wrong; empty if nothing is, or nothing was attempted.
    """

    exercise: Exercise
    attempted: bool = True
    stages: tuple[tuple[str, bool], ...] = field(default=())
    failures: tuple[Failure, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.attempted and not self.failures

    @property
    def points(self) -> int:
        """The exercise's points if it is passed, else 0."""
        return self.exercise.points if self.passed else 0

    def __bool__(self) -> bool:
        return self.passed

    def _verdict(self) -> str:
        if not self.attempted:
            return "not attempted"
        return "passed" if self.passed else "not yet"

    def __repr__(self) -> str:
        lines = [f"{self.exercise.id}: {self._verdict()}"]
        lines += [f"  {'✓' if good else '✗'} {stage}" for stage, good in self.stages]
        lines += [f"  {failure.name}: {failure.hint}" for failure in self.failures]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        color = "sl-good" if self.passed else "sl-bad" if self.attempted else "sl-quiet"
        verdict = f'<span class="{color}">{self._verdict()}</span>'
        title = f"<strong>{escape(self.exercise.id)}</strong> {verdict}"
        marks = {True: '<span class="sl-good">✓</span>', False: '<span class="sl-bad">✗</span>'}
        content = f'<p style="margin:0 0 4px 0">{title}</p>'
        if self.stages:
            done = " ".join(
                f'<span style="margin-right:1em">{marks[good]} {escape(stage)}</span>'
                for stage, good in self.stages
            )
            content += f'<p style="margin:0 0 4px 0">{done}</p>'
        rows = [
            (f'<code style="white-space:nowrap">{escape(item.name)}</code>', markup(item.hint))
            for item in self.failures
        ]
        if rows:
            content += table(("mistake", "hint"), rows, label="Failures")
        return block(content, label=f"Check of {self.exercise.id}: {self._verdict()}")


def exercises() -> list[Exercise]:
    """Every exercise, in the order of the course."""
    return [task.exercise for task in _TASKS.values()]


def check(exercise_id: str, answer: object, *, seconds: float = 10.0) -> CheckReport:
    """Judge an answer, stage by stage, up to the first that fails, and name the likely mistake.

    The stages: shape, dtype, parameter count, values, gradients, train/eval, as far as they apply.
    Whatever the answer does, this returns: exceptions are failures, endless Python loops are
    interrupted. Weights and BatchNorm statistics are random, and matched to the library's by the
    order in which they are used. Random states, default dtype and threads are as before afterwards;
    what the answer prints is dropped.

    Args:
        exercise_id: one of `exercises()`, `"02.inverted_residual"`.
        answer: class, function or dict as the exercise's `signature` says; None is "not attempted".
        seconds: time limit for the whole check.
    Returns:
        A report with `.passed`, `.attempted` and `.failures`.
    Raises:
        ValueError: for an unknown `exercise_id`, or `seconds` not above 0.
    """
    task = _TASKS.get(exercise_id) if isinstance(exercise_id, str) else None
    if task is None:
        raise ValueError(f"exercise_id is {exercise_id!r}, must be one of {', '.join(_TASKS)}")
    if not seconds > 0:
        raise ValueError(f"seconds is {seconds}, must be above 0")
    if answer is None or answer is ...:
        return CheckReport(task.exercise, attempted=False)
    _prepare(task)
    run = _Run(task, answer)
    with undisturbed():
        in_time = run_limited(run, seconds)
    return run.report(in_time)


@cache
def _warm(prepare: Callable[[], object]) -> None:
    prepare()


def _prepare(task: Task) -> None:
    _warm(task.prepare)


class _Run:
    """One judgement, in the form that a thread can run."""

    def __init__(self, task: Task, answer: object) -> None:
        self.task, self.answer = task, answer
        self.stages: list[str] = []
        self.attempted = True
        self.failure: Failure | None = None
        self.finished = False

    def __call__(self) -> None:
        try:
            for stage in self.task.judge(self.answer):
                if stage not in self.stages:
                    self.stages.append(stage)
        except TimeLimit:
            return
        except NotAttempted:
            self.attempted = False
        except Wrong as wrong:
            self.failure = self.fail(wrong.name, wrong.detail)
        except BaseException as error:
            self.failure = self.fail("raised-exception", explain(error))
        self.finished = True

    def fail(self, name: str, detail: str = "") -> Failure:
        words = {**MISTAKES_OF["general"], **self.task.mistakes}
        return Failure(name, f"{words[name]} {detail}".rstrip())

    def report(self, in_time: bool) -> CheckReport:
        failure = self.failure
        if not (in_time and self.finished):
            failure = self.fail("timed-out")
        if not self.attempted:
            return CheckReport(self.task.exercise, attempted=False)
        last = len(self.stages) - 1
        stages = tuple(
            (stage, failure is None or place != last) for place, stage in enumerate(self.stages)
        )
        return CheckReport(self.task.exercise, True, stages, (failure,) if failure else ())

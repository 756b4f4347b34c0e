"""A submission in its kernel: its cells in order, then the judges' requests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seglib.classroom import harness
from seglib.classroom.items import Item
from seglib.classroom.judging import Judge
from seglib.classroom.kernel import Limits, Outcome, Session
from seglib.classroom.records import ItemRecord
from seglib.classroom.submissions import Cell

TROUBLES = {
    "timed-out": "timed-out",
    "died": "kernel-died",
    "too-much-memory": "too-much-memory",
    "unreadable": "unreadable-reply",
}
WORDS = {
    "timed-out": "did not end in time",
    "died": "ended the kernel",
    "too-much-memory": "asked for too much memory",
    "unreadable": "sent what can't be read",
}
MAX_RESTARTS = 4
_SOURCE = Path(harness.__file__).read_text(encoding="utf-8")


@dataclass
class Findings:
    """What came of a submission: outputs of each cell, items, lines for the instructor."""

    outputs: list[tuple[dict[str, object], ...]]
    items: list[ItemRecord] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


class Run:
    """One submission's kernels: a new one after each that was lost.

    Args:
        cells: of the submission.
        limits: of each kernel.
        seconds: for all of it; what comes later is not run.
        sandboxed: False runs the code without bubblewrap.
        hidden: paths that the kernel must not see.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        limits: Limits,
        seconds: float,
        sandboxed: bool,
        hidden: Sequence[Path],
    ) -> None:
        self._cells = cells
        self._limits, self._sandboxed, self._hidden = limits, sandboxed, hidden
        self._end = time.monotonic() + seconds
        self._session: Session | None = None
        self._harmful: set[int] = set()  # cells that cost a kernel: not run again
        self._starts = 0
        self.found = Findings([() for _ in cells])

    def grade(self, judges: Sequence[Judge]) -> Findings:
        """Run the cells, then every judge's cases."""
        try:
            while not self._ready() and self._may_start():
                pass
            for judge in judges:
                self.found.items.append(self._item(judge))
        finally:
            self._close()
        return self.found

    def _may_start(self) -> bool:
        return self._starts <= MAX_RESTARTS and time.monotonic() < self._end

    def _ready(self) -> bool:
        """Whether there is a kernel in which all cells ran but those that cost one before."""
        if self._session is not None and self._session.alive:
            return True
        if not self._may_start():
            return False
        self._close()
        self._starts += 1
        session = Session({}, limits=self._limits, sandboxed=self._sandboxed, hidden=self._hidden)
        self._session = session.__enter__()
        for place, cell in enumerate(self._cells):
            if cell.kind == "code" and place not in self._harmful and not self._cell(place):
                return False
        return True

    def _cell(self, place: int) -> bool:
        """Run a cell; whether the kernel is still there."""
        assert self._session is not None
        outcome = self._session.run(self._cells[place].source, self._left())
        self.found.outputs[place] = outcome.outputs
        if outcome.status in ("ok", "error") and self._session.alive:
            return True
        self._harmful.add(place)
        number = sum(cell.kind == "code" for cell in self._cells[: place + 1])
        words = WORDS.get(outcome.status, "ended the kernel")
        self.found.lines.append(f"code cell {number} {words}: left out, the others were run again")
        return False

    def _item(self, judge: Judge) -> ItemRecord:
        while not self._ready():
            if not self._may_start():
                return judge.verdict(None, "timed-out")
        assert self._session is not None
        outcome, reply = self._session.ask(question(judge.request), self._left())
        if outcome.status in TROUBLES:
            self._note(judge.item, outcome)
            return judge.verdict(None, TROUBLES[outcome.status])
        return judge.verdict(reply)

    def _note(self, item: Item, outcome: Outcome) -> None:
        self.found.lines.append(f"`{item.name}` {WORDS[outcome.status]} on the hidden cases")

    def _left(self) -> float:
        """Seconds for the next step."""
        return max(0.5, min(self._limits.cell_seconds, self._end - time.monotonic()))

    def _close(self) -> None:
        if self._session is not None:
            self._session.__exit__(None, None, None)
            self._session = None


def question(request: str) -> str:
    """Code for the student's kernel that answers a request.

    It carries its own source, so that what the notebook defined is not in its way.
    """
    return (
        "import builtins as __builtins\n"
        f"__harness = {{'__name__': 'harness'}}\n"
        f"__builtins.exec(__builtins.compile({_SOURCE!r}, 'harness', 'exec'), __harness)\n"
        f"__harness['publish'](__builtins.globals(), {request!r})\n"
    )

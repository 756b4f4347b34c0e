"""What became of a cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from seglib.classroom.messages import Envelope, unpacked
from seglib.classroom.outputs import plain

Status = Literal["ok", "error", "timed-out", "died", "too-much-memory", "unreadable"]


@dataclass(frozen=True)
class Outcome:
    """What became of one cell.

    `outputs` are dicts of nbformat 4, safe to show; `error` is an exception's name, `message` says
    why a session ended or what the exception says.
    """

    status: Status
    outputs: tuple[dict[str, object], ...]
    error: str = ""
    message: str = ""


def answer_of(envelope: Envelope) -> Outcome | None:
    """What an execute_reply says; None if it can't be read."""
    if not envelope.kind:
        return None
    if envelope.left_out:  # an exception with a text of megabytes
        head = envelope.content.decode(errors="ignore")
        if not re.search(r'"status"\s*:\s*"error"', head):
            return None
        name = re.search(r'"ename"\s*:\s*"(\w+)"', head)
        return Outcome("error", (), name[1] if name else "", "the exception's text is too long")
    content = unpacked(envelope.content) or {}
    if content.get("status") == "ok":
        return Outcome("ok", ())
    if content.get("status") == "error":
        error, message = plain(content.get("ename"), 200), plain(content.get("evalue"), 2000)
        return Outcome("error", (), error, message)
    return None

"""Jupyter's messages: signed JSON in six parts; read without believing any of them."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from seglib.classroom.wire import Message

REPLY = "application/vnd.seglib.reply"  # the mime type of a harness's answer
_DELIMITER = b"<IDS|MSG>"
_LONGEST_HEADER = 2**13  # bytes
_REPLY_TEXT = re.compile(rf'"{re.escape(REPLY)}"\s*:\s*(?=")')


@dataclass(frozen=True)
class Envelope:
    """A message that belongs to a request: its type, its content as JSON, and what was cut off.

    The type is "" where header or signature show that it is no proper message.
    """

    kind: str
    content: bytes
    left_out: int  # bytes


class Letters:
    """Writes requests and reads what answers them, with one kernel's key."""

    def __init__(self) -> None:
        self.key = uuid.uuid4().hex
        self._session = uuid.uuid4().hex

    def request(self, kind: str, content: dict[str, object]) -> tuple[str, list[bytes]]:
        """(the message's id, its parts) of a request of type `kind`."""
        name = uuid.uuid4().hex
        header = {
            "msg_id": name,
            "session": self._session,
            "username": "teacher",
            "date": datetime.now(UTC).isoformat(),
            "msg_type": kind,
            "version": "5.3",
        }
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        return name, [_DELIMITER, self._signature(parts), *parts]

    def execution(self, code: str) -> tuple[str, list[bytes]]:
        """(the message's id, its parts) of a request to run a cell, which can't ask for input."""
        answers: dict[str, object] = {"user_expressions": {}, "allow_stdin": False}
        ways = {"silent": False, "store_history": True, "stop_on_error": False}
        return self.request("execute_request", {"code": code, **answers, **ways})

    def opened(self, message: Message, request: str) -> Envelope | None:
        """The message if it answers the request with this id; None for any other.

        The signature only tells a damaged message: a submission shares its kernel's key. A message
        of which a part was cut can't be checked.
        """
        parts = message.parts
        if _DELIMITER not in parts[:3]:
            return None
        start = parts.index(_DELIMITER)
        if len(parts) < start + 6:
            return None
        signature, header, parent, metadata, content = parts[start + 1 : start + 6]
        if request.encode() not in parent:
            return None
        signed = self._signature([header, parent, metadata, content])
        damaged = not message.left_out and not hmac.compare_digest(signed, signature)
        if damaged or max(map(len, (header, parent))) > _LONGEST_HEADER:
            return Envelope("", b"", 0)
        kind = field(header, "msg_type")
        if not isinstance(kind, str) or field(parent, "msg_id") != request:
            return Envelope("", b"", 0)
        return Envelope(kind, content, message.left_out)

    def _signature(self, parts: Sequence[bytes]) -> bytes:
        signer = hmac.new(self.key.encode(), digestmod=hashlib.sha256)
        for part in parts:
            signer.update(part)
        return signer.hexdigest().encode()


def unpacked(content: bytes) -> dict[str, object] | None:
    """A JSON object; None if the bytes are none."""
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def field(content: bytes, name: str) -> object:
    """One field of a JSON object; None if there is none."""
    value = unpacked(content)
    return None if value is None else value.get(name)


def is_reply(content: bytes) -> bool:
    """Whether a message's content claims to be a harness's answer."""
    return f'"{REPLY}"'.encode() in content


def reply_text(content: bytes, longest: int) -> str | None:
    """The reply in a display_data message's content, a text of at most `longest` bytes of UTF-8.

    Only this text is decoded: 16 MiB of `[],[],…` beside it would become a hundred times as much.
    """
    try:
        text = content.decode()
        start = _REPLY_TEXT.search(text)
        if start is None:
            return None
        value, _ = json.JSONDecoder().raw_decode(text, start.end())
        return value if isinstance(value, str) and len(value.encode()) <= longest else None
    except ValueError:  # no JSON, no UTF-8, or half a surrogate pair
        return None

"""A cell's outputs as notebooks store them, rebuilt field by field from what a kernel claims.

Kept are text (streams, `text/plain`, tracebacks) and PNG pictures: what a browser shows without
running anything. HTML, JavaScript, SVG, widgets and whatever else is dropped.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import zlib
from collections.abc import Mapping

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_BYTES = 2**20
_PNG_PIXELS = 2**24  # 4096 × 4096: a browser unpacks 64 MB
_ENTRY = 256  # bytes that an output costs beyond its text: 10⁶ empty ones are not free
# Control characters except tab, line feed, carriage return, backspace and escape (colours), and
# halves of surrogate pairs, which no file can hold.
_UNFIT = re.compile("[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_TEXT_OF = re.compile(r'"text"\s*:\s*"')
_NAME_OF = re.compile(r'"name"\s*:\s*"(stdout|stderr)"')


def clean(text: str) -> str:
    """`text` without characters that files or terminals choke on; each becomes U+FFFD."""
    return _UNFIT.sub("\ufffd", text)


def plain(value: object, longest: int = 2**16) -> str:
    """A claimed text, cleaned and cut after `longest` characters; "" for anything else."""
    return clean(value[:longest]) if isinstance(value, str) else ""


def checked_png(text: object) -> str | None:
    """The picture of at most 1 MiB and 2²⁴ pixels in a base64 text, encoded anew; else None.

    Its chunks must be whole, in order and nothing but PNG's; their contents are left to the viewer.
    """
    if not isinstance(text, str) or len(text) > _PNG_BYTES * 3 // 2:
        return None
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(data) > _PNG_BYTES or not data.startswith(_PNG):
        return None
    at = len(_PNG)
    kinds: list[bytes] = []
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if end > len(data) or struct.unpack_from(">I", data, end - 4)[0] != zlib.crc32(
            data[at + 4 : end - 4]
        ):
            return None
        if not kinds:
            if (kind, size) != (b"IHDR", 13):
                return None
            width, height = struct.unpack_from(">II", data, at + 8)
            if not 0 < width * height <= _PNG_PIXELS:
                return None
        kinds.append(kind)
        at = end
        if kind == b"IEND":
            break
    if at != len(data) or not kinds or kinds[-1] != b"IEND" or b"IDAT" not in kinds:
        return None
    return base64.b64encode(data).decode()


class Outputs:
    """Collects a cell's outputs.

    Args:
        limit: bytes kept, of all outputs together; what comes after is cut, and a note says so.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[dict[str, object]] = []
        self._texts: list[list[str]] = []  # of a stream: its pieces; else empty
        self._display_ids: list[str] = []
        self._size = 0
        self._lost = False
        self._clear_first = False

    @property
    def full(self) -> bool:
        """Nothing more will be kept, unless the cell clears its outputs."""
        return self._size >= self._limit

    def add(self, kind: str, content: Mapping[str, object]) -> None:
        """Take what a message of type `kind` says; what is not an output is ignored."""
        if kind == "clear_output":
            if content.get("wait") is True:
                self._clear_first = True
            else:
                self._clear()
        elif kind == "stream":
            name, text = content.get("name"), content.get("text")
            if name in ("stdout", "stderr") and isinstance(text, str):
                self._stream(str(name), text)
        elif kind == "error":
            self._error(content)
        elif kind in ("display_data", "execute_result", "update_display_data"):
            self._display(kind, content)

    def add_head(self, kind: str, start: str) -> None:
        """Take the beginning of a message that was too large to be read: a stream's text."""
        text, name = _TEXT_OF.search(start), _NAME_OF.search(start)
        if kind == "stream" and text:
            self._stream(name[1] if name else "stdout", _unescaped(start[text.end() :]))
        self._lost = True

    def result(self) -> tuple[dict[str, object], ...]:
        """The outputs as dicts of nbformat 4."""
        for output, pieces in zip(self._kept, self._texts, strict=True):
            if pieces:
                output["text"] = "".join(pieces)
        outputs = list(self._kept)
        if self._lost:
            note = f"\n[outputs beyond {self._limit} bytes were cut]\n"
            outputs.append({"output_type": "stream", "name": "stderr", "text": note})
        return tuple(outputs)

    def _clear(self) -> None:
        self._kept, self._texts, self._display_ids = [], [], []
        self._size, self._lost, self._clear_first = 0, False, False

    def _append(self, output: dict[str, object], size: int, display_id: str = "") -> bool:
        """Keep an output of `size` bytes, if there is room."""
        if self._clear_first:
            self._clear()
        if self._size + size + _ENTRY > self._limit:
            self._lost = True
            self._size = self._limit
            return False
        self._size += size + _ENTRY
        self._kept.append(output)
        self._texts.append([])
        self._display_ids.append(display_id)
        return True

    def _stream(self, name: str, text: str) -> None:
        if self._clear_first:
            self._clear()
        room = self._limit - self._size - _ENTRY
        if room <= 0:
            self._lost = True
            return
        data = clean(text[:room]).encode()
        if len(data) > room or len(text) > room:
            self._lost = True
        data = data[:room]
        last = self._kept[-1] if self._kept else {}
        if last.get("output_type") == "stream" and last.get("name") == name:
            self._size += len(data) + 8  # a piece is an object of its own
        elif not self._append({"output_type": "stream", "name": name, "text": ""}, len(data)):
            return
        self._texts[-1].append(data.decode(errors="ignore"))

    def _error(self, content: Mapping[str, object]) -> None:
        lines = content.get("traceback")
        traceback = [plain(line) for line in lines[:100]] if isinstance(lines, list) else []
        output: dict[str, object] = {
            "output_type": "error",
            "ename": plain(content.get("ename"), 200),
            "evalue": plain(content.get("evalue"), 2**12),
            "traceback": traceback,
        }
        self._append(output, 2**8 + sum(len(line.encode()) for line in traceback))

    def _display(self, kind: str, content: Mapping[str, object]) -> None:
        claimed = content.get("data")
        claimed = claimed if isinstance(claimed, dict) else {}
        data: dict[str, object] = {}
        if isinstance(text := claimed.get("text/plain"), str):
            data["text/plain"] = clean(text[: self._limit])
        if png := checked_png(claimed.get("image/png")):
            data["image/png"] = png
        if not data:
            return
        transient = content.get("transient")
        display_id = plain(transient.get("display_id"), 100) if isinstance(transient, dict) else ""
        size = sum(len(str(value).encode()) for value in data.values())
        if kind == "update_display_data":
            self._update(display_id, data, size)
            return
        output: dict[str, object] = {"output_type": kind, "data": data, "metadata": {}}
        if kind == "execute_result":
            count = content.get("execution_count")
            known = isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**31
            output["execution_count"] = count if known else None
        self._append(output, size, display_id)

    def _update(self, display_id: str, data: dict[str, object], size: int) -> None:
        """Replace what the displays of this name show; the room they had is not given back."""
        if not display_id or display_id not in self._display_ids:
            return
        if self._size + size > self._limit:
            self._lost = True
            return
        self._size += size
        for output, known in zip(self._kept, self._display_ids, strict=True):
            if known == display_id:
                output["data"] = data


def _unescaped(start: str) -> str:
    """The text that a JSON string of unknown end begins with; `start` follows its quote."""
    pieces: list[str] = []
    escapes = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", '"': '"', "\\": "\\", "/": "/"}
    for match in re.finditer(r'[^"\\]+|\\(?:u([0-9a-fA-F]{4})|([^u]))|"', start):
        if match[0] == '"':
            break
        if match[1]:
            pieces.append(chr(int(match[1], 16)))
        else:
            pieces.append(escapes.get(match[2], "") if match[2] else match[0])
    return "".join(pieces)

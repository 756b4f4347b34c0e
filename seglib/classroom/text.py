"""Text that students wrote, made fit for a terminal, a database and a page."""

from __future__ import annotations

import re

# Control characters (but newline and tab) could rewrite a terminal's lines, lone surrogates fit no
# encoding, and bidirectional overrides show other text than there is.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]"
)


def clean(text: str) -> str:
    """`text` with \\n as its line ends, and with U+FFFD for what can't be shown or stored."""
    return _UNFIT.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def shorten(text: str, length: int = 60) -> str:
    """`text` on one line, cleaned, of at most `length` characters."""
    line = " ".join(clean(text[: 20 * length]).split())
    return line if len(line) <= length else line[: length - 1] + "…"

"""Files that students handed in, from a folder or a zip file, neither of which is trusted.

Nothing is unpacked to disk: an entry's name only says whose it is.
"""

from __future__ import annotations

import lzma
import os
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nbgrader.utils import parse_utc

from seglib.classroom.text import clean

MAX_FILE = 50 * 2**20  # bytes
MAX_TOTAL = 2 * 2**30  # bytes, unpacked
MAX_ENTRIES = 20_000
TIMESTAMP = "timestamp.txt"
_SYSTEM = {"__MACOSX", ".ipynb_checkpoints", ".DS_Store", "Thumbs.db", "desktop.ini", TIMESTAMP}
# What archives without Unicode may have meant; cp437 is the standard's.
_ENCODINGS = ("utf-8", "cp437", "gb18030", "shift_jis", "big5", "euc_kr", "cp1251", "cp1252")
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, OSError)
_UNREADABLE = (*_DAMAGE, RuntimeError, ValueError, NotImplementedError, MemoryError)


@dataclass(frozen=True)
class Entry:
    """A file; `read` gives its bytes, or raises ValueError with what is wrong.

    Attributes:
        names: its path with /, as it may be meant: more than one where the encoding is unknown.
        time: when it was last changed, UTC.
        problem: why it can't be taken at all.
    """

    names: tuple[str, ...]
    time: datetime | None
    read: Callable[[], bytes]
    problem: str = ""


class _Budget:
    """Bytes that may still be unpacked; a file counts once, however often it is read."""

    def __init__(self) -> None:
        self._taken: set[object] = set()
        self._left = MAX_TOTAL

    def check(self, key: object, size: int) -> None:
        if size > MAX_FILE:
            raise ValueError("is larger than 50 MB; not taken")
        if key not in self._taken and size > self._left:
            raise ValueError("is beyond 2 GB of files altogether; not taken")

    def take(self, key: object, content: bytes) -> bytes:
        self.check(key, len(content))
        if key not in self._taken:
            self._taken.add(key)
            self._left -= len(content)
        return content


@contextmanager
def open_entries(origin: Path) -> Iterator[list[Entry]]:
    """The files below a folder, or in a zip file; what systems leave there is left out.

    Raises:
        ValueError: if `origin` is neither.
    """
    if origin.is_dir():
        yield _list_folder(origin)
        return
    try:
        archive = zipfile.ZipFile(origin)
    except FileNotFoundError:
        raise ValueError(f"{origin} does not exist") from None
    except (*_DAMAGE, ValueError, NotImplementedError) as error:
        raise ValueError(f"{origin} is neither a folder nor a whole zip file") from error
    with archive:
        if len(archive.infolist()) > MAX_ENTRIES:
            raise ValueError(f"{origin} holds more than {MAX_ENTRIES} files; split it")
        yield _list_zip(archive)


def _is_system(name: str) -> bool:
    parts = name.split("/")
    return bool(_SYSTEM & set(parts)) or parts[-1].startswith("._")


def _list_folder(origin: Path) -> list[Entry]:
    budget, entries = _Budget(), []
    for folder, folders, names in os.walk(origin):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*names, *links]):
            path = Path(folder, name)
            shown = unicodedata.normalize("NFC", path.relative_to(origin).as_posix())
            if not _is_system(shown):
                entries.append(_file_entry(path, clean(shown), budget))
    if len(entries) > MAX_ENTRIES:
        raise ValueError(f"{origin} holds more than {MAX_ENTRIES} files; name another folder")
    return entries


def _file_entry(path: Path, name: str, budget: _Budget) -> Entry:
    about = path.lstat()

    def read() -> bytes:
        budget.check(path, about.st_size)
        try:
            with path.open("rb") as file:
                return budget.take(path, file.read(MAX_FILE + 1))
        except OSError as error:
            raise ValueError(f"can't be read ({error.strerror})") from error

    time = read_time(path.with_name(TIMESTAMP))
    time = time or datetime.fromtimestamp(about.st_mtime, UTC)
    problem = "" if stat.S_ISREG(about.st_mode) else "is a link or no usual file; not taken"
    return Entry((name,), time, read, problem)


def read_time(path: Path) -> datetime | None:
    """The time in nbgrader's timestamp.txt, if there is one."""
    try:
        time: datetime = parse_utc(path.read_text(encoding="utf-8")[:100].strip())
    except (OSError, ValueError, OverflowError):
        return None
    return time.replace(tzinfo=UTC)


def _list_zip(archive: zipfile.ZipFile) -> list[Entry]:
    budget = _Budget()
    entries = []
    for info in archive.infolist():
        names = tuple(dict.fromkeys(map(_tidy, _possible_names(info))))
        if not info.is_dir() and not _is_system(names[0]):
            entries.append(_zip_entry(archive, info, names, budget))
    return entries


def _tidy(name: str) -> str:
    parts = clean(unicodedata.normalize("NFC", name)).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def _possible_names(info: zipfile.ZipInfo) -> list[str]:
    """The name as the archive declares it; where it declares nothing, in all likely encodings."""
    if info.flag_bits & 0x800:  # declared to be UTF-8
        return [info.filename]
    try:
        raw = info.orig_filename.encode("cp437")
    except UnicodeEncodeError:
        return [info.filename]
    if raw.isascii():
        return [info.filename]
    found = []
    for kind, field in _extra_fields(info.extra):  # Info-ZIP's Unicode path
        if kind == 0x7075 and field[1:5] == struct.pack("<I", zlib.crc32(raw)):
            found.append(field[5:].decode("utf-8", "replace"))
    for encoding in _ENCODINGS:
        try:
            found.append(raw.decode(encoding))
        except UnicodeDecodeError:
            continue
    return found or [info.filename]


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        yield kind, extra[4 : 4 + size]
        extra = extra[4 + size :]


def _zip_entry(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, names: tuple[str, ...], budget: _Budget
) -> Entry:
    def read() -> bytes:
        budget.check(info.header_offset, info.file_size)
        try:
            with archive.open(info) as file:
                content = file.read(MAX_FILE + 1)
        except _UNREADABLE as error:
            raise ValueError("is damaged in the archive; ask for the file again") from error
        return budget.take(info.header_offset, content)

    mode = info.external_attr >> 16
    problem = ""
    if info.flag_bits & 0x1:
        problem = "is encrypted; ask for it without a password"
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        problem = "is a link or no usual file; not taken"
    return Entry(names, _zip_time(info), read, problem)


def _zip_time(info: zipfile.ZipInfo) -> datetime | None:
    """An entry's time: UTC where it is noted, else the local time that zip files have."""
    for kind, field in _extra_fields(info.extra):
        if kind == 0x5455 and len(field) >= 5 and field[0] & 1:
            return datetime.fromtimestamp(struct.unpack_from("<i", field, 1)[0], UTC)
    try:
        return datetime(*info.date_time).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None

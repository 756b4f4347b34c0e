"""Collecting: folders and archives as learning management systems write them, and hostile ones."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from class_course import ASSIGNMENT, NOTEBOOK, by_id, solved, write_notebook

from seglib.classroom import archives
from seglib.classroom.collected import read_lines
from seglib.classroom.collecting import UNCLEAR, WORSE, Collected, collect
from seglib.classroom.roster import Student

CLASS = [
    Student("ann", "Ann", "Lee", "ann@example.org", "117"),
    Student("bob", "Bob", "O'Neil", "", "118"),
    Student("li", "明", "李", "", "119"),
    Student("zoe", "Zoë", "Müller-Łuk", "", "120"),
    Student("kim1", "Kim", "Park", "", "121"),
    Student("kim2", "Kim", "Park", "", "122"),
]
TIME = (2026, 11, 20, 8, 15, 0)
Files = Mapping[str, bytes]


@pytest.fixture(scope="module")
def answer(released_course: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole notebook of the assignment."""
    path = tmp_path_factory.mktemp("answer") / NOTEBOOK
    return write_notebook(path, solved(released_course)).read_bytes()


@pytest.fixture
def other(released_course: Path, tmp_path: Path) -> bytes:
    """Another one."""
    cells = solved(released_course)
    by_id(cells, "why")["source"] = "Another answer."
    return write_notebook(tmp_path / "other" / NOTEBOOK, cells).read_bytes()


@pytest.fixture
def course(released_course: Path, tmp_path: Path) -> Path:
    """A course's folder with a release; no gradebook is needed."""
    shutil.copytree(released_course / "release", tmp_path / "course" / "release")
    return tmp_path / "course"


def write_folder(folder: Path, files: Files, time: float = 1.7e9) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (time, time))
    return folder


class RawName(zipfile.ZipInfo):
    """An entry whose name is bytes of an encoding that the archive does not tell."""

    raw = b""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.raw, 0


def write_zip(path: Path, files: Files, encoding: str | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, TIME) if encoding is None else RawName(name, TIME)
            if encoding is not None and isinstance(info, RawName):
                info.raw = name.encode(encoding)
            archive.writestr(info, content)
    return path


def placed(course: Path) -> dict[str, bytes]:
    found = (course / "submitted").glob(f"*/{ASSIGNMENT}/{NOTEBOOK}")
    return {path.parent.parent.name: path.read_bytes() for path in found}


def problems(found: list[Collected]) -> list[tuple[str, str, str]]:
    return [(one.student, one.source, one.problem) for one in found if one.problem]


@pytest.mark.parametrize(
    "name",
    [
        "ann/01_rule.ipynb",
        "ann/mine.ipynb",
        "ANN/01_rule/01_rule.ipynb",
        "01_rule/ann/01_rule.ipynb",
        "export/01_rule/ann/01_rule.ipynb",
        "Ann Lee/01_rule.ipynb",
        "Lee, Ann/01_rule.ipynb",
        "ann.ipynb",
        "ann_final version.ipynb",
        "ann-01_rule.ipynb",
        "01_rule_ann.ipynb",
        "ann.ipynb.txt",
        "ann_01_rule.ipynb.json",
        "Ann Lee_1234_assignsubmission_file_/x.ipynb",
        "Ann Lee_1234_assignsubmission_file_x.ipynb",
        "leeann_117_67890_x.ipynb",
        "leeann_LATE_117_67890_01_rule-1.ipynb",
        "renamed_117_67890_bob.ipynb",
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_usual_name_is_understood(
    course: Path, tmp_path: Path, answer: bytes, name: str, packed: bool
) -> None:
    files = {name: answer}
    if packed:
        origin = write_zip(tmp_path / "all.zip", files)
    else:
        origin = write_folder(tmp_path / "all", files)
    assert collect(ASSIGNMENT, origin, course, CLASS) == [Collected("ann", name)]
    assert placed(course) == {"ann": answer}
    time = (course / "submitted" / "ann" / ASSIGNMENT / "timestamp.txt").read_text()
    if not packed:
        assert time == "2023-11-14 22:13:20 UTC\n"
    assert collect(ASSIGNMENT, origin, course, CLASS) == [Collected("ann", name)]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("packed", [False, True])
def test_names_in_any_form(
    course: Path, tmp_path: Path, answer: bytes, form: str, packed: bool
) -> None:
    names = ["Zoë Müller-Łuk_5_assignsubmission_file_", "李明_6_assignsubmission_file_"]
    names = [unicodedata.normalize(form, name) for name in names]  # type: ignore[arg-type]
    files = {f"{name}/01_rule.ipynb": answer for name in names}
    if packed:
        origin = write_zip(tmp_path / "all.zip", files)
    else:
        origin = write_folder(tmp_path / "all", files)
    assert problems(collect(ASSIGNMENT, origin, course, CLASS)) == []
    assert set(placed(course)) == {"zoe", "li"}


@pytest.mark.parametrize(
    "encoding, name, student",
    [
        ("utf-8", "李明", "li"),
        ("gb18030", "李明", "li"),
        ("shift_jis", "李明", "li"),
        ("cp437", "Zoë Müller-Luk", "zoe"),
        ("cp1252", "Zoë Müller-Luk", "zoe"),
    ],
)
def test_archives_that_don_t_tell_their_encoding(
    course: Path, tmp_path: Path, answer: bytes, encoding: str, name: str, student: str
) -> None:
    students = [Student("zoe", "Zoë", "Müller-Luk"), Student("li", "明", "李")]
    files = {f"{name}_5_assignsubmission_file_/x.ipynb": answer}
    origin = write_zip(tmp_path / "all.zip", files, encoding)
    assert problems(collect(ASSIGNMENT, origin, course, students)) == []
    assert set(placed(course)) == {student}


def test_a_name_of_its_own_field_is_read(course: Path, tmp_path: Path, answer: bytes) -> None:
    info = zipfile.ZipInfo("caf\xe9.ipynb", TIME)
    raw = RawName("caf\xe9.ipynb", TIME)
    raw.raw = b"caf\xff.ipynb"
    told = b"li.ipynb"
    field = struct.pack("<BI", 1, zlib.crc32(raw.raw)) + told
    raw.extra = struct.pack("<HH", 0x7075, len(field)) + field
    assert info.filename
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr(raw, answer)
    collect(ASSIGNMENT, tmp_path / "all.zip", course, CLASS)
    assert set(placed(course)) == {"li"}


def test_two_students_of_one_name_are_not_guessed(
    course: Path, tmp_path: Path, answer: bytes
) -> None:
    files = {
        "Kim Park_1_assignsubmission_file_/a.ipynb": answer,
        "Kim Park_2_assignsubmission_file_/a.ipynb": answer,
        "parkkim_122_9_a.ipynb": answer,
    }
    found = collect(ASSIGNMENT, write_zip(tmp_path / "all.zip", files), course, CLASS)
    why = "could be of kim1 or kim2: they have this name; nothing is guessed"
    assert problems(found) == [("", name, why) for name in list(files)[:2]]
    assert set(placed(course)) == {"kim2"}


def test_what_fits_nobody_gets_a_line(course: Path, tmp_path: Path, answer: bytes) -> None:
    files = {
        "ann/01_rule.ipynb": answer,
        "ann/notes.pdf": b"%PDF",
        "zed/01_rule.ipynb": answer,
        "zed/bob/01_rule.ipynb": answer,
        "Zed X_9_assignsubmission_file_/ann/01_rule.ipynb": answer,
        "xan_999_5_ann.ipynb": answer,
        "annabel_1.ipynb": answer,
        "readme.txt": b"",
    }
    found = collect(ASSIGNMENT, write_folder(tmp_path / "all", files), course, CLASS)
    assert problems(found) == [
        ("", "Zed X_9_assignsubmission_file_/ann/01_rule.ipynb", "fits no student"),
        ("", "annabel_1.ipynb", "fits no student"),
        ("", "readme.txt", "fits no student"),
        ("", "xan_999_5_ann.ipynb", "fits no student"),
        ("", "zed/01_rule.ipynb", "fits no student"),
        ("", "zed/bob/01_rule.ipynb", "fits no student"),
        ("ann", "ann/notes.pdf", "is no notebook; not taken"),
    ]
    assert set(placed(course)) == {"ann"}
    lines = read_lines(course, ASSIGNMENT)
    assert lines[1] == "annabel_1.ipynb: fits no student"
    assert lines[-1] == "ann: ann/notes.pdf: is no notebook; not taken"


def test_ids_that_begin_alike_are_not_guessed(course: Path, tmp_path: Path, answer: bytes) -> None:
    students = [Student("s1"), Student("s1_2")]
    files = {"s1_2_x.ipynb": answer, "s1.ipynb": answer, "s1_2_01_rule.ipynb": answer}
    found = collect(ASSIGNMENT, write_folder(tmp_path / "all", files), course, students)
    assert problems(found) == [("", "s1_2_x.ipynb", "could be of s1 or s1_2; nothing is guessed")]
    assert set(placed(course)) == {"s1", "s1_2"}


def test_other_assignments_are_left_alone(course: Path, tmp_path: Path, answer: bytes) -> None:
    (course / "release" / "02_other").mkdir()
    files = {
        "ann/01_rule/01_rule.ipynb": answer,
        "ann/02_other/02_other.ipynb": answer,
        "bob/02_other.ipynb": answer,
    }
    found = collect(ASSIGNMENT, write_folder(tmp_path / "all", files), course, CLASS)
    assert problems(found) == [("", "2 files of 02_other", "another assignment; not taken")]
    assert set(placed(course)) == {"ann"}


def notebook(*texts: str) -> bytes:
    cells = [{"cell_type": "code", "source": text, "metadata": {}} for text in texts]
    return json.dumps({"cells": cells}).encode()


def test_of_several_notebooks_the_assignment_s_counts(
    course: Path, tmp_path: Path, answer: bytes
) -> None:
    files = {
        "ann/01_rule.ipynb": notebook("mine"),
        "ann/01_rule-Copy1.ipynb": notebook("a copy"),
        "ann/scratch.ipynb": notebook("a = 1"),
        "bob/scratch.ipynb": notebook("a = 1"),
        "bob/finished.ipynb": answer,
        "li/only.ipynb": notebook("all my own"),
        "zoe/a.ipynb": notebook("a"),
        "zoe/b.ipynb": notebook("b"),
    }
    found = collect(ASSIGNMENT, write_folder(tmp_path / "all", files), course, CLASS)
    assert placed(course) == {
        "ann": files["ann/01_rule.ipynb"],
        "bob": answer,
        "li": files["li/only.ipynb"],
    }
    assert problems(found) == [
        ("ann", "ann/01_rule-Copy1.ipynb", WORSE),
        ("ann", "ann/scratch.ipynb", WORSE),
        ("bob", "bob/scratch.ipynb", WORSE),
        ("zoe", "zoe/a.ipynb", UNCLEAR),
        ("zoe", "zoe/b.ipynb", UNCLEAR),
    ]


def test_the_newest_of_a_student_counts(
    course: Path, tmp_path: Path, answer: bytes, other: bytes
) -> None:
    origin = write_folder(tmp_path / "all", {"ann_v1.ipynb": answer}, 1.7e9)
    write_folder(origin, {"ann_v2.ipynb": other}, 1.8e9)
    write_folder(origin, {"ann.ipynb": other}, 1.6e9)
    found = collect(ASSIGNMENT, origin, course, CLASS)
    assert placed(course) == {"ann": other}
    assert problems(found) == [
        ("ann", "ann.ipynb", "the same as ann_v2.ipynb"),
        ("ann", "ann_v1.ipynb", "older than ann_v2.ipynb: does not count"),
    ]


def test_canvas_numbers_tell_the_newest(
    course: Path, tmp_path: Path, answer: bytes, other: bytes
) -> None:
    files = {"leeann_117_10_a-1.ipynb": other, "leeann_117_9_a.ipynb": answer}
    collect(ASSIGNMENT, write_zip(tmp_path / "all.zip", files), course, CLASS)
    assert placed(course) == {"ann": other}


def test_of_two_at_the_same_time_none_is_guessed(
    course: Path, tmp_path: Path, answer: bytes, other: bytes
) -> None:
    files = {"ann_1.ipynb": answer, "ann_2.ipynb": other}
    found = collect(ASSIGNMENT, write_folder(tmp_path / "all", files), course, CLASS)
    assert problems(found) == [(x.split("_")[0], x, UNCLEAR) for x in files]
    assert placed(course) == {}


def snapshot(course: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(course)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in course.rglob("*")
        if path.is_file() and "collected" not in path.parts
    }


def test_collecting_again(course: Path, tmp_path: Path, answer: bytes, other: bytes) -> None:
    first = write_folder(tmp_path / "first", {"ann.ipynb": answer}, 1.7e9)
    collect(ASSIGNMENT, first, course, CLASS)
    before = snapshot(course)
    collect(ASSIGNMENT, first, course, CLASS)
    later = write_folder(tmp_path / "downloaded again", {"ann.ipynb": answer}, 1.75e9)
    collect(ASSIGNMENT, later, course, CLASS)
    assert snapshot(course) == before
    newer = write_folder(tmp_path / "newer", {"ann.ipynb": other}, 1.8e9)
    found = collect(ASSIGNMENT, newer, course, CLASS)
    why = "replaces what was collected before, of 2023-11-14 22:13:20 UTC"
    assert found == [Collected("ann", "ann.ipynb"), Collected("ann", "ann.ipynb", why)]
    assert placed(course) == {"ann": other}
    found = collect(ASSIGNMENT, first, course, CLASS)
    why = "older than what was collected before, of 2027-01-15 08:00:00 UTC: not taken"
    assert problems(found) == [("ann", "ann.ipynb", why)]
    assert placed(course) == {"ann": other}


def test_nbgrader_s_own_times_are_read(course: Path, tmp_path: Path, answer: bytes) -> None:
    files = {"ann/01_rule/01_rule.ipynb": answer}
    files["ann/01_rule/timestamp.txt"] = b"2026-11-20 09:15:00.123456 Europe/Berlin\n"
    collect(ASSIGNMENT, write_folder(tmp_path / "all", files), course, CLASS)
    path = course / "submitted" / "ann" / ASSIGNMENT / "timestamp.txt"
    assert path.read_text() == "2026-11-20 08:15:00 UTC\n"


def test_what_systems_leave_is_left_out(course: Path, tmp_path: Path, answer: bytes) -> None:
    files = {
        "ann/01_rule.ipynb": answer,
        "ann/.ipynb_checkpoints/01_rule-checkpoint.ipynb": b"x",
        "__MACOSX/ann/._01_rule.ipynb": b"x",
        "ann/._01_rule.ipynb": b"x",
        ".DS_Store": b"x",
    }
    origin = write_zip(tmp_path / "all.zip", files)
    assert collect(ASSIGNMENT, origin, course, CLASS) == [Collected("ann", "ann/01_rule.ipynb")]


@pytest.mark.parametrize(
    "name",
    [
        "../../ann.ipynb",
        "/etc/ann.ipynb",
        "ann/../../../../x.ipynb",
        "C:\\ann.ipynb",
        "..\\..\\ann.ipynb",
        "ann\x00.ipynb",
        "../course/release/01_rule/01_rule.ipynb",
        "ann/" + "x" * 60_000 + ".ipynb",
        "\x1b[2Jann.ipynb",
        "a\nb.ipynb",
    ],
)
def test_no_name_leads_out_of_the_folder(
    course: Path, tmp_path: Path, answer: bytes, name: str
) -> None:
    info = zipfile.ZipInfo("x", TIME)
    info.filename = name
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr(info, answer)
    before = {path for path in tmp_path.rglob("*") if "submitted" not in path.parts}
    found = collect(ASSIGNMENT, tmp_path / "all.zip", course, CLASS)
    after = {path for path in tmp_path.rglob("*") if "submitted" not in path.parts}
    new = {path.relative_to(tmp_path).as_posix() for path in after - before}
    assert new <= {"course/collected", "course/collected/01_rule.json"}
    assert set(placed(course)) <= {"ann"}
    assert len(found) == 1
    assert "\x1b" not in found[0].source
    assert len(found[0].source) <= 150


def test_links_are_not_followed(course: Path, tmp_path: Path, answer: bytes) -> None:
    secret = tmp_path / "secret.ipynb"
    secret.write_bytes(answer)
    origin = write_folder(tmp_path / "all", {"bob/01_rule.ipynb": answer})
    (origin / "ann").mkdir()
    (origin / "ann" / NOTEBOOK).symlink_to(secret)
    (origin / "li").symlink_to(origin / "bob")
    os.mkfifo(origin / "zoe.ipynb")
    link = zipfile.ZipInfo("ann.ipynb", TIME)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr(link, str(secret))
    found = collect(ASSIGNMENT, origin, course, CLASS)
    found += collect(ASSIGNMENT, tmp_path / "all.zip", course, CLASS)
    assert {one.source for one in found if "is a link" in one.problem} == {
        "ann/01_rule.ipynb",
        "li",
        "zoe.ipynb",
        "ann.ipynb",
    }
    assert set(placed(course)) == {"bob"}


def test_sizes_are_limited(
    course: Path, tmp_path: Path, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_FILE", 100_000)
    monkeypatch.setattr(archives, "MAX_TOTAL", 2 * len(answer))
    files = {
        "ann.ipynb": b" " * 10**8,
        "bob.ipynb": answer,
        "li.ipynb": answer,
        "zoe.ipynb": answer,
    }
    found = collect(ASSIGNMENT, write_zip(tmp_path / "all.zip", files), course, CLASS)
    assert problems(found) == [
        ("ann", "ann.ipynb", "is larger than 50 MB; not taken"),
        ("zoe", "zoe.ipynb", "is beyond 2 GB of files altogether; not taken"),
    ]
    assert set(placed(course)) == {"bob", "li"}


def test_a_size_that_lies_is_noticed(
    course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_FILE", 100_000)
    path = write_zip(tmp_path / "all.zip", {"ann.ipynb": b"a" * 3_000_000})
    small = struct.pack("<I", 10)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 3_000_000), small))
    found = collect(ASSIGNMENT, path, course, CLASS)
    assert len(problems(found)) == 1
    assert placed(course) == {}


def test_damaged_and_encrypted_entries_get_a_line(
    course: Path, tmp_path: Path, answer: bytes
) -> None:
    path = write_zip(tmp_path / "all.zip", {"ann.ipynb": answer, "bob.ipynb": answer})
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("ann.ipynb")
    content[entry.header_offset + 60] ^= 0xFF
    path.write_bytes(content)
    found = collect(ASSIGNMENT, path, course, CLASS)
    assert problems(found) == [
        ("ann", "ann.ipynb", "is damaged in the archive; ask for the file again")
    ]
    assert set(placed(course)) == {"bob"}
    content = bytearray(write_zip(path, {"li.ipynb": answer}).read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert problems(collect(ASSIGNMENT, path, course, CLASS)) == [
        ("li", "li.ipynb", "is encrypted; ask for it without a password")
    ]


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + b"\0" * 100, b"\x89PNG"])
def test_what_is_no_archive_is_told(course: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "all.zip").write_bytes(content)
    with pytest.raises(ValueError, match="neither a folder nor a whole zip file"):
        collect(ASSIGNMENT, tmp_path / "all.zip", course, CLASS)


def test_half_an_archive_is_told(course: Path, tmp_path: Path, answer: bytes) -> None:
    path = write_zip(tmp_path / "all.zip", {"ann.ipynb": answer})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="neither a folder nor a whole zip file"):
        collect(ASSIGNMENT, path, course, CLASS)


def test_no_origin_and_no_release_are_told(course: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        collect(ASSIGNMENT, tmp_path / "none.zip", course, CLASS)
    with pytest.raises(ValueError, match="09_none is not released"):
        collect("09_none", tmp_path, course, CLASS)


def test_an_archive_of_many_files_is_refused(
    course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_ENTRIES", 2)
    path = write_zip(tmp_path / "all.zip", dict.fromkeys("abc", b""))
    with pytest.raises(ValueError, match="more than 2 files"):
        collect(ASSIGNMENT, path, course, CLASS)


def test_broken_notebooks_are_collected_as_they_are(course: Path, tmp_path: Path) -> None:
    files = {"ann/01_rule.ipynb": b"", "bob.ipynb": b'{"cells": [', "li/x.ipynb": b"\xff\xfe\x00"}
    found = collect(ASSIGNMENT, write_zip(tmp_path / "all.zip", files), course, CLASS)
    assert problems(found) == []
    assert placed(course) == {"ann": b"", "bob": b'{"cells": [', "li": b"\xff\xfe\x00"}


def test_an_archive_inside_is_not_opened(course: Path, tmp_path: Path, answer: bytes) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("01_rule.ipynb", answer)
    files = {"ann/01_rule.zip": inner.getvalue(), "bob/01_rule.ipynb": answer}
    found = collect(ASSIGNMENT, write_zip(tmp_path / "all.zip", files), course, CLASS)
    assert problems(found) == [("ann", "ann/01_rule.zip", "is no notebook; not taken")]

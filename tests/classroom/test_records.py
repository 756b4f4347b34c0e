"""Records: written whole, read back with validation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from seglib.classroom.records import (
    ItemRecord,
    PartRecord,
    Record,
    read_record,
    read_records,
    record_path,
    write_record,
)

ITEM = ItemRecord(
    "round_down", 4, 2.5, "rounds-up", "It rounds up.", (PartRecord("edges", 1, 0.5),)
)
RECORD = Record("01_rule", "ann", "graded", (ITEM,), ("a line", "作業"), "f" * 64, 1.25, "Because.")


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    before = record_path(tmp_path, "01_rule", "ann").read_bytes()
    assert read_record(tmp_path, "01_rule", "ann") == RECORD
    write_record(tmp_path, RECORD)
    assert record_path(tmp_path, "01_rule", "ann").read_bytes() == before


def test_records_come_by_student(tmp_path: Path) -> None:
    for student in ("zoë", "李明", "ann"):
        write_record(tmp_path, replace(RECORD, student=student))
    assert [r.student for r in read_records(tmp_path, "01_rule")] == ["ann", "zoë", "李明"]
    assert read_records(tmp_path, "02_other") == []
    assert read_record(tmp_path, "01_rule", "nobody") is None


def test_text_that_no_file_can_hold_is_cleaned(tmp_path: Path) -> None:
    write_record(tmp_path, replace(RECORD, lines=("a\x1b[2Jb\ud800",), written="x\u202ey\r\nz"))
    record = read_record(tmp_path, "01_rule", "ann")
    assert record is not None
    assert record.lines == ("a�[2Jb�",)
    assert record.written == "x�y\nz"


@pytest.mark.parametrize(
    "change, what",
    [
        ({"status": "perfect"}, "status is 'perfect'"),
        ({"student": "bob"}, "it is of 01_rule, bob"),
        ({"seconds": -1}, "seconds is -1"),
        ({"seconds": True}, "seconds is no number"),
        ({"lines": [1]}, "a line is no text"),
        ({"lines": None}, "lines is NoneType, not list"),
        ({"items": [{"name": "a", "points": 1, "score": 2}]}, "a: 2.0 of 1.0 points"),
        ({"items": ["a"]}, "a mapping is missing, got str"),
    ],
)
def test_a_damaged_record_is_told(tmp_path: Path, change: dict[str, object], what: str) -> None:
    write_record(tmp_path, RECORD)
    path = record_path(tmp_path, "01_rule", "ann")
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), encoding="utf-8")
    with pytest.raises(ValueError, match="is damaged") as caught:
        read_records(tmp_path, "01_rule")
    assert what in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe\x00", b"NaN", b"[]"])
def test_no_record_at_all_is_told(tmp_path: Path, content: bytes) -> None:
    write_record(tmp_path, RECORD)
    record_path(tmp_path, "01_rule", "ann").write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        read_record(tmp_path, "01_rule", "ann")


def test_the_same_item_twice_is_told(tmp_path: Path) -> None:
    write_record(tmp_path, replace(RECORD, items=(ITEM, ITEM)))
    with pytest.raises(ValueError, match="an item occurs twice"):
        read_record(tmp_path, "01_rule", "ann")

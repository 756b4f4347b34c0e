"""The class list as spreadsheets and learning management systems write it."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from seglib.classroom.roster import Student, read_roster

ANN = Student("ann", "Ann", "Lee", "ann@example.org", "17")
LI = Student("li", "明", "李", "", "")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_spreadsheets_write_it_in_many_ways(
    tmp_path: Path, separator: str, encoding: str, end: str
) -> None:
    lines = [
        "id,first_name,last_name,email,lms_user_id",
        "ann,Ann,Lee,ann@example.org,17",
        "",
        "li,明,李,,",
    ]
    text = end.join(lines).replace(",", separator) + end
    (tmp_path / "roster.csv").write_bytes(text.encode(encoding))
    assert read_roster(tmp_path / "roster.csv") == [ANN, LI]


def roster(path: Path, text: str) -> list[Student]:
    (path / "roster.csv").write_text(text, encoding="utf-8")
    return read_roster(path / "roster.csv")


def test_columns_come_in_any_order_and_others_are_left_out(tmp_path: Path) -> None:
    text = 'Email,group,ID,"Last Name",First_name,lms_user_id\n'
    assert roster(tmp_path, text + "ann@example.org,7,ann,Lee,Ann,17\n") == [ANN]
    assert roster(tmp_path, "id\nann\nbob\n") == [Student("ann"), Student("bob")]
    assert roster(tmp_path, "id,email\nann\n") == [Student("ann")]


def test_names_may_hold_separators_and_are_composed(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Zoë")
    text = f'id,first_name,last_name\nz,{decomposed},"Müller, jr."\n'
    assert roster(tmp_path, text) == [Student("z", "Zoë", "Müller, jr.")]


@pytest.mark.parametrize(
    "text, what",
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("name,email\nann,x\n", "has no column id"),
        ("id,id\nann,x\n", "names id twice"),
        ("id\n", "names no students"),
        ("id,email\n,a@b\n", "row 2: id is '', must not be empty"),
        ("id\nann\nann\n", "row 3: id 'ann' is there already"),
        ("id\nann\nAnn\n", "row 3: id 'Ann' is there already, as 'ann'"),
        ("id,lms_user_id\na,1\nb,1\n", "row 3: lms_user_id '1' is there already"),
        ("id\n../ann\n", "must not begin with"),
        ("id\na/b\n", "must not contain /"),
        ("id\na\\b\n", "must not contain \\"),
        ("id\n..\n", "must not begin with"),
        ("id\n.ann\n", "must not begin with"),
        ("id\n-rf\n", "must not begin with"),
        ("id\na+b\n", "must not contain +"),
        ("id\na*\n", "must not contain *"),
        ("id\na\x00b\n", "invisible"),
        ("id\na\u202eb\n", "invisible"),
        (f"id\n{'ü' * 120}\n", "must not be longer than 200 bytes"),
        ("id,email\nann,a,b\n", "row 2: more fields"),
        ('id\n"ann\n', "is no CSV"),
    ],
)
def test_what_names_no_students_is_told(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(ValueError) as caught:
        roster(tmp_path, text)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_told(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "roster.csv").write_bytes("id,first_name\nz,Zoë\n".encode(encoding))
    with pytest.raises(ValueError, match="is not in UTF-8"):
        read_roster(tmp_path / "roster.csv")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can't be read"):
        read_roster(tmp_path / "none.csv")

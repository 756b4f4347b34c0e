"""`seglib data`: reports, exit codes, pictures; every mistake told, none fatal."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_trees import labels_of, write_folder, write_image, write_mask
from PIL import Image

from seglib.cli import main

Check = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """`seglib data check`: (exit code, lines of stdout, stderr)."""

    def call(*arguments: str | Path) -> tuple[int, list[str], str]:
        code = main(["data", "check", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err

    return call


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "own")


def test_a_faultless_folder(check: Check, own: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    code, lines, err = check(own, "--out", picture)
    assert (code, err) == (0, "")
    assert lines[0] == "train: 4 images; 8×6 (4)"
    assert lines[2].split() == ["0", "background", "48", "33.33%", "4"]
    assert lines[5].split() == ["void", "48", "25.00%", "of", "all", "pixels"]
    assert "val: 1 image; 8×6 (1)" in lines
    assert lines[-3:] == ["not there: test", "no problems", f"{picture}: samples and frequencies"]
    with Image.open(picture) as drawn:
        assert drawn.width == 1200
        pixels = np.asarray(drawn.convert("RGB")).reshape(-1, 3)
    colors = {tuple(color) for color in np.unique(pixels, axis=0).tolist()}
    assert {(128, 0, 0), (0, 128, 0), (0, 0, 0)} <= colors  # the classes' bars


def test_every_problem_is_told(check: Check, own: Path, tmp_path: Path) -> None:
    write_image(own / "images" / "f.png")  # no mask
    write_mask(own / "masks" / "f_mask.png", labels_of((0,)))
    write_mask(own / "masks" / "a.png", labels_of((0, 7)))
    (own / "images" / "b.jpg").write_bytes(b"no image")
    write_mask(own / "masks" / "c.png", labels_of((0, 1), (8, 6)))
    (own / "masks" / "d.png").write_bytes((own / "masks" / "d.png").read_bytes()[:50])
    Image.fromarray(np.zeros((6, 8), dtype=np.uint16)).save(own / "masks" / "e.png")
    for name in "ghi":
        write_image(own / "images" / f"{name}.png")
        write_mask(own / "masks" / f"{name}.png", labels_of((0, 1, 2)))
    code, lines, err = check(own, "--out", tmp_path / "picture.png")
    problems = sorted(line for line in lines if line.startswith("problem: "))
    assert (code, err) == (1, "")
    assert len(problems) == 7, problems
    assert "7 problems" in lines
    for part in (
        f"image {own}/images/f.png is missing; rename f_mask.png, if that is it",
        f"mask {own}/masks/f_mask.png belongs to no image",
        "a.png holds label 7 (24 pixels, the first at row 0, column 1); allowed are 0 … 2, 255",
        "b.jpg is damaged or no image",
        "c.jpg is 8×6, ",
        "d.png is damaged",
        "e.png has mode I;16 (16 bits per pixel)",
    ):
        told = [
            line for line in problems if part in line or part.replace("image ", "of image ") in line
        ]
        assert len(told) == 1, (part, problems)
    assert (tmp_path / "picture.png").is_file()


@pytest.mark.parametrize("spoil", ["classes.yaml", "images", "masks"])
def test_what_is_missing_is_a_problem(check: Check, own: Path, spoil: str) -> None:
    (own / spoil).rename(own / "elsewhere")
    code, lines, err = check(own, "--out", own / "picture.png")
    assert (code, err) == (1, "")
    assert f"{own}/{spoil} is missing" in lines[0]
    assert lines[1:] == ["1 problem"]
    assert not (own / "picture.png").exists()


def test_an_empty_folder_of_another_kind(check: Check, tmp_path: Path) -> None:
    for name in ("camvid", "voc2012_aug", "cityscapes", "pets"):
        code, lines, _ = check(tmp_path, "--dataset", name)
        assert code == 1
        assert "is missing; get " in lines[0]


def test_images_in_two_splits(check: Check, own: Path) -> None:
    (own / "train.txt").write_text("a\nb.jpg\nc\n")
    (own / "val.txt").write_text("c\nd\nnowhere\n")
    code, lines, _ = check(own)
    assert code == 1
    problems = [line for line in lines if line.startswith("problem")]
    assert len(problems) == 2
    assert "val.txt names nowhere, which is not in" in problems[0]
    assert "c.jpg is in the splits train and val; take it out of one" in problems[1]


def test_notes_are_no_problems(check: Check, own: Path) -> None:
    for name in "abcde":
        write_mask(own / "masks" / f"{name}.png", labels_of((0, 1)))
    void = labels_of((255,))
    write_mask(own / "masks" / "a.png", void)
    swapped = [0, 0, 0, 0, 128, 0, 128, 0, 0]  # value 1 in the dog's colour
    write_mask(own / "masks" / "b.png", labels_of((0, 1)), palette=swapped)
    code, lines, _ = check(own)
    notes = [line for line in lines if line.startswith("note: ")]
    assert code == 0
    assert any(note == "note: no pixel of dog in train" for note in notes)
    assert any("void everywhere" in note and "a.png first" in note for note in notes)
    assert any(
        "b.png shows value 1 in the colour of dog, whose value is 2" in note for note in notes
    )


def test_file_names_of_any_kind(check: Check, own: Path) -> None:
    for name in ("two\nlines", "no\udcffunicode", "größe ✓"):
        write_image(own / "images" / f"{name}.png")
        write_mask(own / "masks" / f"{name}.png", labels_of((9,)))
    code, lines, err = check(own)
    assert (code, err) == (1, "")
    told = [line for line in lines if line.startswith("problem: ")]
    assert len(told) == 3
    assert any("two lines.png holds label 9" in line for line in told)
    assert any("no\\udcffunicode.png holds label 9" in line for line in told)


@pytest.mark.parametrize("seed", range(30))
def test_no_damage_stops_it(check: Check, own: Path, tmp_path: Path, seed: int) -> None:
    """Bytes changed, cut off and put in at random, in three files of any kind."""
    generator = np.random.default_rng(seed)
    files = sorted(path for path in own.rglob("*") if path.is_file())
    for file in generator.choice(np.array(files), 3, replace=False):
        content = bytearray(file.read_bytes())
        for place in generator.integers(0, len(content), 5).tolist():
            content[place] = int(generator.integers(256))
        cut = int(generator.integers(len(content)))
        content = [content[:cut], content[:cut] + b"\0\xff" + content[cut:], content][seed % 3]
        file.write_bytes(bytes(content))
    code, lines, err = check(own, "--out", tmp_path / "picture.png")
    assert code in (0, 1)
    assert err == ""
    assert (code == 1) == any(line.startswith("problem: ") for line in lines)


@pytest.mark.requires("camvid")
def test_the_real_camvid(check: Check, camvid_root: Path) -> None:
    code, lines, _ = check(camvid_root, "--dataset", "camvid")
    assert code == 0
    assert [line for line in lines if "images;" in line] == [
        "train: 367 images; 480×360 (367)",
        "val: 101 images; 480×360 (101)",
    ]


@pytest.mark.parametrize(
    "arguments, part",
    [
        (["nowhere"], "nowhere is no folder"),
        ([".", "--dataset", "coco"], "--dataset must be one of toystreet, camvid, voc, "),
        ([".", "--out", "picture.jpg"], "--out must end in .png, .pdf, .svg, got picture.jpg"),
        ([".", "--out", "nowhere/a.png"], "--out must be a file in a folder that exists"),
        ([], "DIR"),
    ],
)
def test_wrong_usage(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, lines, err = check(*arguments)
    assert (code, lines) == (2, [])
    assert err.startswith("seglib: error: ")
    assert err.count("\n") == 1
    assert part in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["data"], ["data", "camvid", "--out", "x"]])
def test_data_says_what_there_is(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 2
    assert "give toystreet, download or check" in capsys.readouterr().err

"""ToyStreet: the committed files, and the renderer that re-creates them."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib.datasets import build_dataset, toystreet
from seglib.datasets.camvid import CLASSES, PALETTE
from seglib.datasets.toystreet import SIZES, ToyStreet, render_scene, write_toystreet
from seglib.datasets.toystreet.canvas import CAR, HEIGHT, POLE, SKY, VOID, WIDTH, Camera, Canvas
from seglib.datasets.toystreet.develop import shrink_labels
from seglib.datasets.toystreet.dice import Dice

COMMITTED = Path(__file__).resolve().parents[2] / "data" / "toystreet"
SCENES = [(split, index) for split, count in SIZES.items() for index in range(count)]


def compare(split: str, index: int) -> None:
    image, mask = render_scene(split, index)
    name = f"{index:04d}.png"
    assert np.array_equal(image, np.array(Image.open(COMMITTED / split / name)))
    assert np.array_equal(mask, np.array(Image.open(COMMITTED / f"{split}annot" / name)))


@pytest.mark.parametrize(("split", "index"), SCENES[::28])
def test_the_committed_pixels_are_re_created(split: str, index: int) -> None:
    compare(split, index)


@pytest.mark.slow
@pytest.mark.parametrize("split", SIZES)
def test_all_committed_pixels_are_re_created(split: str) -> None:
    for index in range(SIZES[split]):
        compare(split, index)


def test_another_process_draws_the_same() -> None:
    """With another hash seed, another number of threads."""
    code = (
        "import hashlib; from seglib.datasets.toystreet import render_scene as r;"
        "arrays = [a.tobytes() for i in (5, 7) for a in r('val', i)];"
        "print(hashlib.sha256(b''.join(arrays)).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "3"}
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment, cwd=root, capture_output=True, text=True, check=True
    )
    here = b"".join(array.tobytes() for index in (5, 7) for array in render_scene("val", index))
    assert done.stdout.strip() == hashlib.sha256(here).hexdigest()


def test_scenes_do_not_depend_on_their_order() -> None:
    first = render_scene("test", 1)
    render_scene("train", 8)
    again = render_scene("test", 1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize(("split", "index"), [("valid", 0), ("val", 60), ("val", -1)])
def test_unknown_scenes(split: str, index: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        render_scene(split, index)


@pytest.mark.parametrize("split", SIZES)
def test_the_committed_split(split: str) -> None:
    """Sizes, labels, every class, and shares that make some classes rare."""
    data = build_dataset("toystreet", split, COMMITTED)
    assert len(data) == SIZES[split]
    counts = np.zeros(256, dtype=np.int64)
    images_with = np.zeros(256, dtype=np.int64)
    for index in range(len(data)):
        image, mask = data[index]
        assert (image.shape, mask.shape) == ((3, 120, 160), (120, 160))
        count = np.bincount(mask.numpy().ravel(), minlength=256)
        counts += count
        images_with += count > 0
    assert np.nonzero(counts)[0].tolist() == [*range(len(CLASSES)), 255]
    assert (images_with[: len(CLASSES)] >= len(data) // 4).all()
    share = dict(zip(CLASSES, counts / counts.sum(), strict=False))
    assert all(
        share[name] > 0.04 for name in ("sky", "building", "road", "pavement", "tree", "car")
    )
    assert all(share[name] < 0.05 for name in ("pole", "sign", "fence", "pedestrian", "bicyclist"))
    assert 0.005 < counts[255] / counts.sum() < 0.04


def test_no_scene_is_in_two_splits() -> None:
    digests = {hashlib.sha256(path.read_bytes()).digest() for path in COMMITTED.glob("t*/*.png")}
    digests |= {hashlib.sha256(path.read_bytes()).digest() for path in COMMITTED.glob("val/*.png")}
    masks = list(COMMITTED.glob("*annot/*.png"))
    assert len(masks) == len(SCENES)
    assert len(digests) == len(SCENES) + sum(SIZES[split] for split in ("train", "test"))


def test_the_folder_is_small() -> None:
    files = [path for path in COMMITTED.rglob("*") if path.is_file()]
    assert len(files) == 2 * len(SCENES)
    assert sum(path.stat().st_size for path in files) < 12_000_000


def test_masks_are_shown_in_the_palette() -> None:
    mask = Image.open(COMMITTED / "valannot" / "0000.png")
    assert mask.mode == "P"
    assert np.array(mask.getpalette()).reshape(-1, 3)[: len(PALETTE)].tolist() == [
        list(color) for color in PALETTE
    ]


def test_poles_are_one_to_three_pixels_wide() -> None:
    widths = []
    for path in sorted((COMMITTED / "valannot").glob("*.png")):
        row = np.array(Image.open(path))[45]
        edges = np.diff(np.pad((row == POLE).astype(int), 1))
        widths += list(np.nonzero(edges == -1)[0] - np.nonzero(edges == 1)[0])
    shares = np.bincount(widths, minlength=4) / len(widths)
    assert shares[1:4].sum() > 0.85  # the rest are arms and lanterns
    assert min(shares[1:3]) > 0.1


def test_write_refuses_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ValueError, match="out must be a new or empty folder"):
        write_toystreet(tmp_path)
    with pytest.raises(ValueError, match="out must be a new or empty folder"):
        write_toystreet(tmp_path / "precious.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_write_makes_camvids_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toystreet, "SIZES", {"train": 2, "val": 1, "test": 1})
    out = tmp_path / "new" / "town"
    write_toystreet(out)
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    folders = ("test", "testannot", "train", "trainannot", "val", "valannot")
    expected = [f"{folder}/0000.png" for folder in folders]
    assert found == sorted([*expected, "train/0001.png", "trainannot/0001.png"])
    assert [path.name for path in out.parent.iterdir()] == ["town"]
    assert out.stat().st_mode & 0o055 == (tmp_path / "new").stat().st_mode & 0o055
    _, mask = ToyStreet(out, "train")[1]
    assert np.array_equal(np.where(mask == 255, 255, mask), render_scene("train", 1)[1])


def test_an_empty_folder_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toystreet, "SIZES", {"train": 1, "val": 1, "test": 1})
    write_toystreet(tmp_path)
    assert len(list(tmp_path.iterdir())) == 6


def test_an_interrupted_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(split: str, index: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(toystreet, "render_scene", stop)
    with pytest.raises(KeyboardInterrupt):
        write_toystreet(tmp_path / "town")
    assert list(tmp_path.iterdir()) == []


def test_a_label_out_of_range_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toystreet, "SIZES", {"train": 1, "val": 1, "test": 1})
    write_toystreet(tmp_path)
    mask = np.full((120, 160), 11, dtype=np.uint8)
    Image.fromarray(mask).save(tmp_path / "valannot" / "0000.png")
    with pytest.raises(
        ValueError, match=r"valannot/0000.png holds label 11 .*seglib data toystreet"
    ):
        _ = ToyStreet(tmp_path, "val")[0]


def test_dice_are_pinned() -> None:
    """Numbers that must never change: every scene hangs on them."""
    dice = Dice(1, 2, 3)
    assert [dice.integer(0, 99) for _ in range(6)] == PINNED
    assert abs(Dice(0).noise(200, 200).mean()) < 5


PINNED = [16, 83, 71, 86, 63, 80]


def test_polygons_share_no_pixel_and_leave_none() -> None:
    """Two triangles that make a square cover each pixel once."""
    corners = (10, 10), (50, 13), (47, 60), (8, 55)
    for first, second in (((0, 1, 2), (0, 2, 3)), ((0, 1, 3), (1, 2, 3))):
        count = np.zeros((HEIGHT, WIDTH), dtype=int)
        for triangle in (first, second):
            canvas = Canvas()
            canvas.polygon([corners[corner] for corner in triangle], (1, 1, 1), CAR, 1)
            count += canvas.label == CAR
        whole = Canvas()
        whole.polygon(corners, (1, 1, 1), CAR, 1)
        assert np.array_equal(count, (whole.label == CAR).astype(int))


def test_drawing_beyond_the_canvas_is_cut() -> None:
    canvas = Canvas()
    canvas.polygon([(-900, -900), (900, -900), (900, 900), (-900, 900)], (1, 2, 3), CAR, 1)
    assert (canvas.label == CAR).all()
    canvas = Canvas()
    canvas.rectangle(-50, -50, -10, -10, (1, 2, 3), CAR, 1)
    canvas.ellipse(-50, 500, 20, 20, (1, 2, 3), CAR, 1)
    canvas.stroke((400, 10), (500, 10), 8, (1, 2, 3), CAR, 1)
    assert (canvas.label == SKY).all()


def test_a_wall_is_seen_where_its_corners_are() -> None:
    camera = Camera(focal=280, center=160, horizon=110, height=160, bend=0)
    part, z = camera.along(-500, 1000, 1600)
    assert part.start == pytest.approx(camera.project(-500, 0, 1000)[0], abs=1)
    assert part.stop == pytest.approx(camera.project(-500, 0, 1600)[0], abs=1)
    assert (np.diff(z) >= 0).all()
    part, x = camera.across(1000, -300, 200)
    assert (x.min(), x.max()) == (pytest.approx(-300, abs=4), pytest.approx(200, abs=4))
    assert part.start == pytest.approx(camera.project(-300, 0, 1000)[0], abs=1)


def test_shrinking_never_mixes_and_keeps_thin_things() -> None:
    label = np.full((HEIGHT, WIDTH), SKY, dtype=np.uint8)
    label[:, 100:102] = POLE  # one pixel of the finished image
    label[:, 201:203] = POLE  # astride two pixels
    label[100:140, 20:60] = CAR
    small = shrink_labels(label)
    assert set(np.unique(small)) == {SKY, POLE, CAR, VOID}
    assert (small[:, 50] == POLE).all()
    assert (small[:, 100:102] == POLE).all()
    assert (small[50:70, 10:30] == CAR).all()
    assert (small[52:68, [9, 30]] == VOID).all()
    assert (small[[49, 70], 12:28] == VOID).all()
    assert small[49, 9] == SKY  # not a corner


def test_the_readme_tells_the_truth() -> None:
    """The table of classes, colours and frequencies, and a picture of bounded size."""
    data = COMMITTED.parent
    text = (data / "README.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    table = {row[0]: row for row in rows if row[0].isdigit()}
    assert list(table) == [*map(str, range(len(CLASSES))), "255"]
    for place, split in enumerate(("train", "val", "test")):
        masks = [np.array(Image.open(path)) for path in COMMITTED.glob(f"{split}annot/*.png")]
        share = np.bincount(np.concatenate(masks).ravel(), minlength=256) / np.stack(masks).size
        for label, row in table.items():
            assert float(row[4 + place]) == pytest.approx(100 * share[int(label)], abs=0.051)
    for label, (name, color) in enumerate(zip(CLASSES, PALETTE, strict=True)):
        assert table[str(label)][1:3] == [name, "`#{:02x}{:02x}{:02x}`".format(*color)]
    assert "](contact_sheet.png)" in text
    assert (data / "contact_sheet.png").stat().st_size < 400_000

"""Anybody's own images and masks: layouts, kinds of masks, and the mistakes people make."""

import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from data_trees import CLASSES_YAML, SIZE, labels_of, write_folder, write_image, write_mask
from PIL import Image
from project_files import ROOT

from seglib.datasets import build_dataset

COLORS = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], dtype=np.uint8)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "own")


def stems(root: Path, split: str) -> list[str]:
    data = build_dataset("folder", split, root)
    for index in range(len(data)):
        image, mask = data.paths(index)
        assert image.stem == mask.stem
    return [data.paths(i)[0].stem for i in range(len(data))]


def test_items(own: Path) -> None:
    data = build_dataset("folder", "all", own)
    image, mask = data[0]
    assert (image.shape, mask.shape) == ((3, *SIZE), SIZE)
    assert mask.flatten().tolist() == labels_of((0, 1, 2, 255)).flatten().tolist()
    assert data.classes == ("background", "cat", "dog")
    assert data.palette.tolist() == COLORS.tolist()


def test_splits_drawn_from_names(own: Path) -> None:
    train, val = stems(own, "train"), stems(own, "val")
    assert (len(train), len(val)) == (4, 1)
    assert sorted(train + val) == stems(own, "all") == ["a", "b", "c", "d", "e"]
    many = write_folder(own.parent / "many", [f"{i:03d}" for i in range(50)])
    before = set(stems(many, "val"))
    assert len(before) == 10
    assert before != {f"{i:03d}" for i in range(10)}  # names in order are often frames in order
    for name in ("x", "y", "z"):
        write_image(many / "images" / f"{name}.png")
        write_mask(many / "masks" / f"{name}.png", labels_of((0,)))
    assert len(before & set(stems(many, "train"))) <= 3  # few images change sides
    with pytest.raises(FileNotFoundError, match=r"no images/test/ and no list test.txt"):
        build_dataset("folder", "test", own)


def test_splits_by_folders(own: Path) -> None:
    for split, names in {"train": "abc", "val": "de"}.items():
        for kind, suffix in (("images", "jpg"), ("masks", "png")):
            (own / kind / split).mkdir()
            for name in names:
                (own / kind / f"{name}.{suffix}").rename(own / kind / split / f"{name}.{suffix}")
    assert (stems(own, "train"), stems(own, "val")) == (["a", "b", "c"], ["d", "e"])
    assert stems(own, "all") == ["a", "b", "c", "d", "e"]
    with pytest.raises(FileNotFoundError, match=r"images/test is missing"):
        build_dataset("folder", "test", own)
    (own / "masks" / "val").rename(own / "masks" / "valid")
    with pytest.raises(FileNotFoundError, match=r"masks/val is missing"):
        build_dataset("folder", "val", own)
    (own / "train.txt").write_text("a")
    with pytest.raises(ValueError, match=r"both the folder images/train and the list train.txt"):
        build_dataset("folder", "train", own)


def test_splits_by_lists(own: Path) -> None:
    write_image(own / "images" / "my cat.v2.jpg")
    write_mask(own / "masks" / "my cat.v2.png", labels_of((0,)))
    (own / "train.txt").write_text("\ufeffb.jpg\n\n# a comment\nmy cat.v2\n a \n", encoding="utf-8")
    assert stems(own, "train") == ["b", "my cat.v2", "a"]
    with pytest.raises(FileNotFoundError, match=r"val.txt is missing"):
        build_dataset("folder", "val", own)
    (own / "val.txt").write_text("c\nc.jpg\n")
    with pytest.raises(ValueError, match=r"val.txt names c.jpg twice"):
        build_dataset("folder", "val", own)


@pytest.mark.parametrize("kind", ["grey", "palette", "RGB", "RGBA", "palette of 2 bits"])
def test_kinds_of_masks(own: Path, kind: str) -> None:
    labels = labels_of((0, 1, 2))
    path = own / "masks" / "a.png"
    if kind == "grey":
        write_mask(path, labels)
    elif kind.startswith("palette"):
        mask = Image.fromarray(labels)
        mask.putpalette(COLORS.flatten().tolist())
        mask.save(path, **({"bits": 2} if kind.endswith("bits") else {}))
    else:
        Image.fromarray(COLORS[labels]).convert(kind).save(path)
    assert build_dataset("folder", "all", own)[0][1].tolist() == labels.tolist()


def test_void_and_values(own: Path) -> None:
    (own / "classes.yaml").write_text(
        "classes:\n  road: {value: 10, color: '#010203'}\n  car: {value: 255, color: [9, 9, 9]}\n"
        "void: [7, 8]\nvoid_color: [0, 0, 0]\n"
    )
    write_mask(own / "masks" / "a.png", labels_of((10, 255, 7, 8)))
    colors = np.array([[1, 2, 3], [9, 9, 9], [0, 0, 0]], dtype=np.uint8)
    Image.fromarray(colors[labels_of((0, 1, 2))]).save(own / "masks" / "b.png")
    data = build_dataset("folder", "all", own)
    assert data[0][1].flatten().tolist() == labels_of((0, 1, 255, 255)).flatten().tolist()
    assert data[1][1].flatten().tolist() == labels_of((0, 1, 255)).flatten().tolist()
    with pytest.raises(ValueError, match=r"holds labels 0, 1, 2 .*; allowed are 10, 255, 7 \(void"):
        _ = data[2]


def test_one_bit(own: Path) -> None:
    Image.fromarray(labels_of((0, 1)) > 0).save(own / "masks" / "a.png")
    assert build_dataset("folder", "all", own)[0][1].unique().tolist() == [0, 1]


def test_colors_must_be_exact(own: Path) -> None:
    picture = COLORS[labels_of((0, 1, 2))]
    picture[2, 3] = (128, 0, 1)
    Image.fromarray(picture).save(own / "masks" / "a.png")
    message = (
        r"a.png holds colour \[128, 0, 1\] \(1 pixel, at row 2, column 3\); no class has it; "
        r"correct the mask, or add the colour to .*classes.yaml"
    )
    with pytest.raises(ValueError, match=message):
        _ = build_dataset("folder", "all", own)[0]
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(own / "masks" / "a.png")
    with pytest.raises(ValueError, match=r"other unknown colours .*export it again without smooth"):
        _ = build_dataset("folder", "all", own)[0]
    (own / "classes.yaml").write_text("classes: [background, cat, dog]")
    with pytest.raises(ValueError, match=r"a.png holds colours, but .*classes.yaml gives the clas"):
        _ = build_dataset("folder", "all", own)[0]


def test_classes_without_colors_get_some(own: Path) -> None:
    (own / "classes.yaml").write_text("classes: [background, cat, dog]")
    data = build_dataset("folder", "all", own)
    assert len({tuple(color) for color in data.palette.tolist()}) == 3
    assert data.decode(data[0][1]).shape == (3, *SIZE)


def spoil(own: Path, kind: str) -> None:
    image, mask = own / "images" / "a.jpg", own / "masks" / "a.png"
    if kind == "label":
        write_mask(mask, labels_of((0, 3)))
    elif kind == "jpeg":
        mask.unlink()
        write_mask(mask.with_suffix(".jpg"), labels_of((0, 1)))
    elif kind == "16 bits":
        Image.fromarray(np.zeros(SIZE, dtype=np.uint16)).save(mask)
    elif kind == "transparent":
        Image.fromarray(np.zeros((*SIZE, 4), dtype=np.uint8)).save(mask)
    elif kind == "size":
        write_mask(mask, labels_of((0,), (8, 7)))
    elif kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(image).save(image, exif=exif)
    elif kind == "damaged mask":
        mask.write_bytes(b"\x89PNG")
    elif kind == "damaged image":
        image.write_bytes(image.read_bytes()[:100])
    elif kind == "missing":
        mask.unlink()
    elif kind == "other name":
        mask.rename(mask.with_name("a_mask.png"))
    elif kind == "two images":
        write_image(image.with_suffix(".png"))
    elif kind == "two masks":
        write_mask(mask.with_suffix(".tif"), labels_of((0,)))
    elif kind == "no image":
        shutil.rmtree(image.parent)
        image.parent.mkdir()
    elif kind == "no folder":
        shutil.rmtree(mask.parent)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "label",
            r"masks/a.png holds label 3 \(24 pixels, .*allowed are 0 … 2, 255 \(void\); corr",
        ),
        ("jpeg", r"masks/a.jpg is a JPEG, whose compression changes labels; export it .* as PNG"),
        ("16 bits", r"masks/a.png has mode I;16 \(16 bits per pixel\), not labels; save it as"),
        ("transparent", r"masks/a.png is transparent in places; save it without an alpha"),
        ("size", r"images/a.jpg is 8×6, .*masks/a.png is 7×8; replace the wrong one"),
        ("turned", r"images/a.jpg is 6×8, .*masks/a.png is 8×6; the camera noted in .*EXIF"),
        ("damaged mask", r"masks/a.png is damaged or no image; get it again"),
        ("damaged image", r"images/a.jpg is damaged or no image; get it again"),
        ("missing", r"masks/a.png of image .*a.jpg is missing; add it, or remove the image"),
        ("other name", r"masks/a.png of image .* is missing; rename a_mask.png, if that is it"),
        ("two images", r"images .*a.jpg and a.png share mask .*; rename one"),
        ("two masks", r"masks .*a.png and a.tif have the same name; remove one"),
        ("no image", r"images holds no image \(.png, .*\); seglib data check --help shows how"),
        ("no folder", r"masks is missing; seglib data check --help shows how"),
    ],
)
def test_mistakes_name_file_and_remedy(own: Path, kind: str, message: str) -> None:
    spoil(own, kind)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        _ = build_dataset("folder", "all", own)[0]
    assert "\n" not in str(caught.value)


def test_thousands_of_files_take_no_time(tmp_path: Path) -> None:
    root = write_folder(tmp_path, ["a"])
    for i in range(3000):
        (root / "images" / f"{i}.jpg").touch()
    (root / "train.txt").write_text("\n".join(map(str, range(3000))))
    start = time.perf_counter()
    with pytest.raises(FileNotFoundError, match="2999 more like it"):
        build_dataset("folder", "train", root)
    assert time.perf_counter() - start < 5


def test_hidden_files_are_none(own: Path) -> None:
    (own / "images" / "._a.jpg").write_bytes(b"what macOS leaves")
    (own / "masks" / ".DS_Store").write_bytes(b"and this")
    assert stems(own, "all") == ["a", "b", "c", "d", "e"]


def test_no_root(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"folder .*nowhere is missing; seglib data check"):
        build_dataset("folder", "train", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have the key classes, such as: classes:"),
        ("[1, 2]", "must have the key classes"),
        ("classes: [a, b", r"classes.yaml, line 1 is no YAML: .*; correct it"),
        ("classes:\n\t- a", r"classes.yaml, line 2 is no YAML"),
        ("classes: !!python/object/apply:os.mkdir [exploded]", r"is no YAML: could not determine"),
        ("\0", "is no YAML"),
        ("classes: a", "classes must be a list or a mapping, got 'a'"),
        ("classes: []", "classes must be 1 to 255, got 0"),
        ("classes: {a: [0, 0, 0]}\ncolours: 3", "has the key 'colours'; allowed are classes, void"),
        ("classes: [no, yes]", "class 0 must have a name, got False; put quotes around names"),
        ("classes: [a, 7]", "class 1 must have a name, got 7"),
        ("classes: [{color: [0, 0, 0]}]", "class 0 must have a name, got None"),
        ("classes: [a, a]", "a and a have the same name, 'a'; change one"),
        ("classes:\n  a: [0, 0, 0]\n  a: [1, 1, 1]", "line 3: 'a' is there twice; remove one"),
        ("classes: [a]\nclasses: [b]", "line 2: 'classes' is there twice"),
        ("classes: {a: [0, 0, 0], b: '#000000'}", r"a and b have the same color, \(0, 0, 0\)"),
        ("classes: {a: [0, 0, 0], b: }", "class b has no color, others have; give it one"),
        ("classes: {a: , b: [0, 0, 0]}", "class a has no color, others have; give it one"),
        ("classes: {a: [0, 0]}", r"class a must have \[red, green, blue\]"),
        ("classes: {a: [0, 0, 256]}", r"class a must have \[red, .*got \[0, 0, 256\]"),
        ("classes: {a: '#12345g'}", "class a must have .*got '#12345g'"),
        ("classes: {a: red}", "class a must have .*got 'red'"),
        (
            "classes: {a: {value: 256}}",
            "class a must have a whole number 0 … 255 as value, got 256",
        ),
        ("classes: {a: {value: yes}}", "class a must have a whole number .*got True"),
        ("classes: {a: {values: 3}}", "class a may have value and color, got {'values': 3}"),
        ("classes: {a: {value: 1}, b: }", "a and b have the same value, 1; change one"),
        ("classes: [a, b]\nvoid: 1", "b and void have the same value, 1; change one"),
        ("classes: [a, b]\nvoid: none", "void must have a whole number .*got 'none'"),
        ("classes: {a: [1, 1, 1]}\nvoid_color: [1, 1, 1]", "a and void have the same color"),
        ("classes: {2000-99-99: [1, 1, 1]}", "can't be read"),
    ],
)
def test_wrong_class_files(own: Path, text: str, message: str) -> None:
    (own / "classes.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        build_dataset("folder", "all", own)
    assert str(own / "classes.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(own))


def test_a_class_file_can_t_blow_up(own: Path) -> None:
    """The well-known file of references to references, a few lines that mean a billion."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (own / "classes.yaml").write_text("\n".join(["classes: {a: *a9}", *lines][::-1]))
    with pytest.raises(ValueError):
        build_dataset("folder", "all", own)


@pytest.mark.parametrize(
    "text",
    [
        "classes: [a, b, c]\nvoid: null",
        "classes: {a: , b: , c: }",
        "classes: [a, {name: b, value: 1}, {name: c}]",
        "classes: [{name: a, color: '#FF0000'}, {name: b, color: [9, 9, 9]},"
        " {name: c, color: [0, 0, 0]}]",
        CLASSES_YAML,
    ],
)
def test_right_class_files(own: Path, text: str) -> None:
    (own / "classes.yaml").write_text(text)
    write_mask(own / "masks" / "a.png", labels_of((0, 1, 2)))
    assert len(build_dataset("folder", "all", own).classes) == 3
    write_mask(own / "masks" / "a.png", labels_of((0, 255)))
    data = build_dataset("folder", "all", own)
    if "null" in text:
        with pytest.raises(ValueError, match="holds label 255"):
            _ = data[0]
    else:
        assert data[0][1].unique().tolist() == [0, 255]


def test_the_documented_class_file_is_right(own: Path) -> None:
    (text,) = re.findall(r"(?s)```yaml\n(.*?)```", (ROOT / "data" / "README.md").read_text("utf-8"))
    (own / "classes.yaml").write_text(text, encoding="utf-8")
    data = build_dataset("folder", "all", own)
    assert data.classes == ("background", "cat", "dog")
    assert data[0][1].unique().tolist() == [0, 1, 2, 255]


def test_it_travels_to_worker_processes(own: Path) -> None:
    from torch.utils.data import DataLoader

    data = build_dataset("folder", "all", own)
    loader = DataLoader(data, num_workers=1, multiprocessing_context="spawn")
    assert sum(1 for _ in loader) == 5

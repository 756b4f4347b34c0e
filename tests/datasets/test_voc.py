"""Pascal VOC's loader, on small trees of the published layout and against torchvision's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data_trees import SIZE, labels_of, write_mask, write_voc
from torch import Tensor
from torchvision.datasets import VOCSegmentation

from seglib.datasets import build_dataset
from seglib.datasets.statistics import count_pixels
from seglib.datasets.voc import CLASSES

LISTS = {"train": ["2007_000032", "2007_000039"], "val": ["2007_000033"]}
LISTS["trainval"] = [*LISTS["train"], *LISTS["val"]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_voc(tmp_path, "2012", LISTS)
    return tmp_path


def test_as_torchvision_reads_it(root: Path) -> None:
    for split, names in LISTS.items():
        data = build_dataset("voc", split, root)
        theirs = VOCSegmentation(root, "2012", split)
        assert len(data) == len(theirs) == len(names)
        for index, (image, mask) in enumerate(theirs):
            assert data.paths(index)[0].stem == names[index]
            assert data[index][0].permute(1, 2, 0).numpy().tolist() == np.array(image).tolist()
            assert data[index][1].tolist() == np.array(mask).tolist()


def test_the_border_is_void_and_no_background(root: Path) -> None:
    data = build_dataset("voc", "train", root)
    _, mask = data[0]
    assert mask.unique().tolist() == [0, 1, 20, 255]
    per_label = 2 * SIZE[0] * SIZE[1] // 4
    assert count_pixels(data)[[0, 1, 2, 20]].tolist() == [per_label, per_label, 0, per_label]


@pytest.mark.parametrize("year", range(2007, 2013))
def test_every_year(year: int, tmp_path: Path) -> None:
    prefix = "TrainVal" if year == 2011 else ""
    write_voc(tmp_path, str(year), LISTS, prefix)
    assert len(build_dataset(f"voc{year}", "train", tmp_path)) == 2
    with pytest.raises(FileNotFoundError, match="seglib data download voc"):
        build_dataset("voc2008" if year == 2007 else "voc2007", "train", tmp_path)


@pytest.mark.parametrize("inner", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_root_may_be_any_of_the_folders(root: Path, inner: str) -> None:
    assert len(build_dataset("voc2012", "val", root / inner)) == 1


def test_only_2007_has_a_test_split(tmp_path: Path) -> None:
    write_voc(tmp_path, "2007", {"test": ["000068"]})
    assert len(build_dataset("voc2007", "test", tmp_path)) == 1
    with pytest.raises(ValueError, match="split must be one of train, val, trainval, got 'test'"):
        build_dataset("voc2012", "test", tmp_path)


def test_names_and_colors() -> None:
    from seglib.datasets.voc import VOC

    assert (len(CLASSES), CLASSES[15], CLASSES[20]) == (21, "person", "tvmonitor")
    # Some of the colours that the development kit's documentation shows.
    known = {0: (0, 0, 0), 1: (128, 0, 0), 4: (0, 0, 128), 8: (64, 0, 0), 15: (192, 128, 128)}
    known |= {7: (128, 128, 128), 16: (0, 64, 0), 20: (0, 64, 128)}
    assert {label: VOC.colors[label] for label in known} == known
    assert len(set(VOC.colors)) == 21


def augment(root: Path, names: list[str]) -> Path:
    place = root / "VOCdevkit" / "VOC2012"
    for name in names:
        write_mask(place / "SegmentationClassAug" / f"{name}.png", labels_of((0, 5)))
        source = place / "JPEGImages" / "2007_000032.jpg"
        (place / "JPEGImages" / f"{name}.jpg").write_bytes(source.read_bytes())
    return place


@pytest.mark.parametrize("listed", [None, "", "VOCdevkit/VOC2012/ImageSets/Segmentation"])
def test_the_labels_of_sbd(root: Path, listed: str | None) -> None:
    names = ["2007_000032", "2007_000039", "2008_000002"]
    augment(root, [*names, "2007_000033"])  # as published: val's masks lie there, too
    if listed is not None:
        (root / listed / "train_aug.txt").write_text("\n".join(names))
    data = build_dataset("voc2012_aug", "train", root)
    assert [data.paths(i)[0].stem for i in range(len(data))] == names
    assert {data.paths(i)[1].parent.name for i in range(3)} == {"SegmentationClassAug"}
    assert data[2][1].unique().tolist() == [0, 5]
    val = build_dataset("voc2012_aug", "val", root)
    assert (len(val), val.paths(0)[1].parent.name) == (1, "SegmentationClass")


def test_a_list_that_shares_images_with_val_is_refused(root: Path) -> None:
    augment(root, ["2007_000032"])
    (root / "train_aug.txt").write_text("2007_000032\n2007_000033\n")
    with pytest.raises(ValueError, match=r"train_aug.txt names 1 images of the val split, 2007_00"):
        build_dataset("voc2012_aug", "train", root)


def test_a_list_does_without_val_s(root: Path) -> None:
    place = augment(root, ["2007_000032"])
    (place / "ImageSets" / "Segmentation" / "val.txt").unlink()
    (root / "train_aug.txt").write_text("2007_000032\n")
    assert len(build_dataset("voc2012_aug", "train", root)) == 1


def test_what_is_missing_is_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"SegmentationClassAug is missing; get VOC with"):
        build_dataset("voc2012_aug", "train", root)
    place = root / "VOCdevkit" / "VOC2012"
    (place / "JPEGImages" / "2007_000032.jpg").unlink()
    (place / "SegmentationClass" / "2007_000039.png").unlink()
    message = r"^image .*2007_000032.jpg is missing; get it with: .*; 1 more like it$"
    with pytest.raises(FileNotFoundError, match=message):
        build_dataset("voc", "train", root)
    (place / "ImageSets" / "Segmentation" / "val.txt").write_text("\n# nothing\n")
    with pytest.raises(FileNotFoundError, match=r"val.txt names no image; get it with"):
        build_dataset("voc", "val", root)
    (place / "ImageSets" / "Segmentation" / "val.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ValueError, match=r"val.txt is no text in UTF-8"):
        build_dataset("voc", "val", root)


def test_a_label_out_of_range(root: Path) -> None:
    path = root / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "2007_000033.png"
    write_mask(path, labels_of((0, 21, 254)))
    with pytest.raises(
        ValueError, match=r"000033.png holds labels 21, 254 \(32 pixels, .*0 … 20 and 255 \(void\)"
    ):
        _ = build_dataset("voc", "val", root)[0]


def test_decode_shows_the_palette(root: Path) -> None:
    data = build_dataset("voc", "train", root)
    colored = data.decode(torch.tensor([[20, 255]]))
    assert isinstance(colored, Tensor)
    assert colored[:, 0].T.tolist() == [[0, 64, 128], [0, 0, 0]]

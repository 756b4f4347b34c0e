"""Cityscapes: the loader on a small tree, the table of labels against torchvision's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data_trees import labels_of, write_cityscapes, write_mask
from PIL import Image
from torchvision.datasets import Cityscapes as Theirs

from seglib.datasets import build_dataset
from seglib.datasets.cityscapes import LABELS, Cityscapes, save_result, to_label_ids, to_train_ids

SIZE = (6, 8)
LABEL_IDS = labels_of(range(34), SIZE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_cityscapes(tmp_path, LABEL_IDS)


def test_the_table_is_torchvision_s() -> None:
    theirs = {
        (c.name, c.id, c.train_id if 0 <= c.train_id < 19 else 255, c.color) for c in Theirs.classes
    }
    assert set(LABELS) == theirs
    assert len(LABELS) == 35


def test_items(root: Path) -> None:
    data = build_dataset("cityscapes", "train", root)
    assert [data.paths(i)[0].parent.name for i in range(len(data))] == ["aachen", "ulm"]
    image, mask = data[1]
    assert (image.shape, mask.shape) == ((3, *SIZE), SIZE)
    expected = {label.id: label.train_id for label in LABELS}
    assert mask.flatten().tolist() == [expected[i] for i in LABEL_IDS.flatten().tolist()]
    expected = {label.id: label.id if label.train_id != 255 else 0 for label in LABELS}
    assert isinstance(data, Cityscapes)
    back = data.encode(mask)
    assert back.flatten().tolist() == [expected[i] for i in LABEL_IDS.flatten().tolist()]
    assert (len(data.classes), data.classes[0], data.classes[18]) == (19, "road", "bicycle")
    assert data.palette[13].tolist() == [0, 0, 142]
    assert [len(build_dataset("cityscapes", split, root)) for split in ("val", "test")] == [1, 1]


def test_ids_go_both_ways() -> None:
    classes = torch.arange(19)
    assert torch.equal(to_train_ids(to_label_ids(classes)), classes)
    assert to_label_ids(torch.tensor([0, 18, 255])).tolist() == [7, 33, 0]
    assert to_train_ids(torch.tensor([[-1, 0], [7, 33]])).tolist() == [[255, 255], [0, 18]]
    assert to_train_ids(torch.tensor([26], dtype=torch.uint8)).tolist() == [13]
    for label in LABELS:
        back = int(to_label_ids(to_train_ids(torch.tensor(label.id))))
        assert back == (label.id if label.train_id != 255 else 0)


@pytest.mark.parametrize("value", [34, -2, 255])
def test_no_label_id(value: int) -> None:
    with pytest.raises(ValueError, match=f"label_ids must be -1 … 33, got {value}"):
        to_train_ids(torch.tensor([7, value]))


@pytest.mark.parametrize("value", [19, -1, 254])
def test_no_class(value: int) -> None:
    with pytest.raises(ValueError, match=f"train_ids must be 0 … 18 or 255, got {value}"):
        to_label_ids(torch.tensor([7, value]))


def test_results_are_label_ids(tmp_path: Path) -> None:
    mask = torch.tensor([[0, 13], [255, 18]])
    save_result(tmp_path / "berlin_000000_000019_pred.png", mask)
    with Image.open(tmp_path / "berlin_000000_000019_pred.png") as result:
        assert result.mode == "L"
        assert np.array(result).tolist() == [[7, 26], [0, 33]]
    with pytest.raises(ValueError, match=r"path must end in .png"):
        save_result(tmp_path / "a.jpg", mask)
    with pytest.raises(ValueError, match=r"shape \(H, W\), got torch.float32"):
        save_result(tmp_path / "a.png", mask.float())
    with pytest.raises(ValueError, match="train_ids must be"):
        save_result(tmp_path / "a.png", mask + 1)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("value", [34, 255])
def test_train_ids_on_disk_are_suspected(root: Path, value: int) -> None:
    folder = root / "gtFine" / "val" / "munster"
    write_mask(folder / "munster_000000_000019_gtFine_labelIds.png", labels_of((0, 18, value)))
    with pytest.raises(
        ValueError,
        match=rf"label {value} \(16 pixels.*label ids 0 … 33; is it a file of train ids\?",
    ):
        _ = build_dataset("cityscapes", "val", root)[0]


def test_what_is_missing_is_named(root: Path) -> None:
    (root / "gtFine" / "train" / "ulm" / "ulm_000000_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"ulm_.*labelIds.png of image .*www.cityscapes"):
        build_dataset("cityscapes", "train", root)
    (root / "gtFine" / "test").rename(root / "gtFine" / "other")
    with pytest.raises(FileNotFoundError, match=r"gtFine/test is missing; get leftImg8bit"):
        build_dataset("cityscapes", "test", root)
    for path in (root / "leftImg8bit" / "val").rglob("*.png"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"leftImg8bit/val holds no \*/\*_leftImg8bit.png"):
        build_dataset("cityscapes", "val", root)

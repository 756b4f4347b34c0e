"""CamVid's loader: on a small tree with every kind of damage, and on the real one where it is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from seglib.datasets import build_dataset
from seglib.datasets.camvid import CLASSES
from seglib.datasets.transforms import eval_transform

LABELS = np.arange(12, dtype=np.uint8).reshape(3, 4)
COLORS = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two val images, named so that their order in the folder may differ from the sorted one."""
    for folder in ("val", "valannot"):
        (tmp_path / folder).mkdir()
    for name in ("0002.png", "0001.png"):
        Image.fromarray(COLORS).save(tmp_path / "val" / name)
        Image.fromarray(LABELS).save(tmp_path / "valannot" / name)
    (tmp_path / "val" / "Thumbs.db").write_bytes(b"no image")
    return tmp_path


def test_items(tree: Path) -> None:
    data = build_dataset("camvid", "val", tree)
    assert len(data) == 2
    assert data.paths(0) == (tree / "val" / "0001.png", tree / "valannot" / "0001.png")
    image, mask = data[0]
    assert isinstance(image, tv_tensors.Image)
    assert isinstance(mask, tv_tensors.Mask)
    assert (image.dtype, mask.dtype) == (torch.uint8, torch.int64)
    assert image.permute(1, 2, 0).numpy().tolist() == COLORS.tolist()
    assert mask.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 255]]


def test_root_may_be_a_string(tree: Path) -> None:
    assert len(build_dataset("camvid", "val", str(tree))) == 2


def test_the_transform_gets_image_and_mask(tree: Path) -> None:
    image, mask = build_dataset("camvid", "val", tree, eval_transform())[1]
    assert (image.dtype, mask.dtype) == (torch.float32, torch.int64)
    assert mask.unique().tolist() == [*range(11), 255]


def test_indices_end(tree: Path) -> None:
    with pytest.raises(IndexError):
        build_dataset("camvid", "val", tree)[2]


@pytest.mark.parametrize("label", [12, 30, 255])
def test_a_label_out_of_range_names_file_label_and_remedy(tree: Path, label: int) -> None:
    wrong = LABELS.copy()
    wrong[1, 1] = label
    Image.fromarray(wrong).save(tree / "valannot" / "0002.png")
    data = build_dataset("camvid", "val", tree)
    _ = data[0]
    with pytest.raises(
        ValueError,
        match=rf"0002.png holds label {label} \(1 pixel, at row 1, column 1\);"
        r" allowed are 0 … 10 and 11 \(void\); get CamVid",
    ):
        _ = data[1]


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA"])
def test_images_of_any_mode_become_rgb(tree: Path, mode: str) -> None:
    Image.fromarray(COLORS).convert(mode).save(tree / "val" / "0001.png")
    image, _ = build_dataset("camvid", "val", tree)[0]
    expected = np.array(Image.open(tree / "val" / "0001.png").convert("RGB"))
    assert image.permute(1, 2, 0).numpy().tolist() == expected.tolist()


def test_a_palette_mask_gives_its_indices(tree: Path) -> None:
    mask = Image.fromarray(LABELS)
    mask.putpalette(list(range(255, -1, -1)) * 3)
    mask.save(tree / "valannot" / "0001.png")
    _, labels = build_dataset("camvid", "val", tree)[0]
    assert labels.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 255]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "1", "I;16"])
def test_a_mask_of_colours_is_refused(tree: Path, mode: str) -> None:
    source = Image.fromarray(LABELS)
    mask = source.convert("I").convert(mode) if mode == "I;16" else source.convert(mode)
    mask.save(tree / "valannot" / "0001.png")
    with pytest.raises(ValueError, match=r"valannot/0001.png has mode .* not labels; save it as"):
        _ = build_dataset("camvid", "val", tree)[0]


def test_sizes_must_agree(tree: Path) -> None:
    Image.fromarray(LABELS.T.copy()).save(tree / "valannot" / "0001.png")
    with pytest.raises(ValueError, match=r"val/0001.png is 4×3, .*valannot/0001.png is 3×4"):
        _ = build_dataset("camvid", "val", tree)[0]


@pytest.mark.parametrize("folder", ["val", "valannot"])
@pytest.mark.parametrize("keep", [0, 20, -30])
def test_a_damaged_file_is_named(tree: Path, folder: str, keep: int) -> None:
    file = tree / folder / "0001.png"
    noise = np.random.default_rng(0).integers(0, 12, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=f"{folder}/0001.png is damaged"):
        _ = build_dataset("camvid", "val", tree)[0]


def test_a_missing_mask_is_named_at_once(tree: Path) -> None:
    (tree / "valannot" / "0002.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"valannot/0002.png of image .* is missing"):
        build_dataset("camvid", "val", tree)


def test_a_mask_that_vanishes_later_is_named(tree: Path) -> None:
    data = build_dataset("camvid", "val", tree)
    (tree / "valannot" / "0002.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"valannot/0002.png does not exist"):
        _ = data[1]


def test_missing_and_empty_folders_are_named(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"folder .*train is missing; get CamVid"):
        build_dataset("camvid", "train", tree)
    (tree / "test").mkdir()
    (tree / "testannot").mkdir()
    with pytest.raises(FileNotFoundError, match=r"test holds no image; get CamVid"):
        build_dataset("camvid", "test", tree)


@pytest.mark.requires("camvid")
def test_the_real_one(camvid_root: Path) -> None:
    sizes = {"train": 367, "val": 101}
    for split, count in sizes.items():
        data = build_dataset("camvid", split, camvid_root)
        assert len(data) == count
        seen = torch.zeros(256, dtype=torch.int64)
        for index in range(0, count, 5):
            image, mask = data[index]
            assert (image.shape, mask.shape) == ((3, 360, 480), (360, 480))
            seen += mask.as_subclass(torch.Tensor).flatten().bincount(minlength=256)
        assert seen.nonzero().flatten().tolist() == [*range(len(CLASSES)), 255]
        share = seen / seen.sum()
        # sky, building and road cover most of a street, poles and bicyclists very little
        assert share[[0, 1, 3]].sum() > 0.55
        assert share[[2, 10]].max() < 0.03

"""Cityscapes: streets of 50 cities, 2048×1024, 19 classes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from seglib.datasets.base import IGNORE_INDEX, Pair, SegmentationDataset, SplitMissingError
from seglib.datasets.masks import Labels, check_labels
from seglib.files import atomic_path


class Label(NamedTuple):
    """One of Cityscapes' labels: its number in files, and its class (255: none)."""

    name: str
    id: int
    train_id: int
    color: tuple[int, int, int]


# Source: Cordts et al., CVPR 2016; the numbers are those of github.com/mcordts/cityscapesScripts.
LABELS = tuple(
    Label(*row)
    for row in (
        # name, id, train_id, color
        ("unlabeled", 0, 255, (0, 0, 0)),
        ("ego vehicle", 1, 255, (0, 0, 0)),
        ("rectification border", 2, 255, (0, 0, 0)),
        ("out of roi", 3, 255, (0, 0, 0)),
        ("static", 4, 255, (0, 0, 0)),
        ("dynamic", 5, 255, (111, 74, 0)),
        ("ground", 6, 255, (81, 0, 81)),
        ("road", 7, 0, (128, 64, 128)),
        ("sidewalk", 8, 1, (244, 35, 232)),
        ("parking", 9, 255, (250, 170, 160)),
        ("rail track", 10, 255, (230, 150, 140)),
        ("building", 11, 2, (70, 70, 70)),
        ("wall", 12, 3, (102, 102, 156)),
        ("fence", 13, 4, (190, 153, 153)),
        ("guard rail", 14, 255, (180, 165, 180)),
        ("bridge", 15, 255, (150, 100, 100)),
        ("tunnel", 16, 255, (150, 120, 90)),
        ("pole", 17, 5, (153, 153, 153)),
        ("polegroup", 18, 255, (153, 153, 153)),
        ("traffic light", 19, 6, (250, 170, 30)),
        ("traffic sign", 20, 7, (220, 220, 0)),
        ("vegetation", 21, 8, (107, 142, 35)),
        ("terrain", 22, 9, (152, 251, 152)),
        ("sky", 23, 10, (70, 130, 180)),
        ("person", 24, 11, (220, 20, 60)),
        ("rider", 25, 12, (255, 0, 0)),
        ("car", 26, 13, (0, 0, 142)),
        ("truck", 27, 14, (0, 0, 70)),
        ("bus", 28, 15, (0, 60, 100)),
        ("caravan", 29, 255, (0, 0, 90)),
        ("trailer", 30, 255, (0, 0, 110)),
        ("train", 31, 16, (0, 80, 100)),
        ("motorcycle", 32, 17, (0, 0, 230)),
        ("bicycle", 33, 18, (119, 11, 32)),
        ("license plate", -1, 255, (0, 0, 142)),
    )
)
_CLASSES = sorted((label for label in LABELS if label.train_id != IGNORE_INDEX), key=lambda x: x[2])
_NO_ID = 256  # in the tables below: not a label
_TO_TRAIN_ID = torch.full((256,), _NO_ID)
_TO_LABEL_ID = torch.full((256,), _NO_ID)
for _label in LABELS:
    _TO_TRAIN_ID[_label.id] = _label.train_id  # id -1 is the last entry, as in a file of 8 bits
for _label in _CLASSES:
    _TO_LABEL_ID[_label.train_id] = _label.id
_TO_LABEL_ID[IGNORE_INDEX] = 0  # unlabeled


def to_train_ids(label_ids: Tensor) -> Tensor:
    """Label ids, as files hold them, to the 19 classes: integers of any shape, -1 … 33 → int64 of
    the same shape, 0 … 18 and 255.

    Raises:
        ValueError: if a number is no label id.
    """
    ids = label_ids.as_subclass(Tensor).long()
    known = (ids >= -1) & (ids <= 33)
    if not bool(known.all()):
        raise ValueError(f"label_ids must be -1 … 33, got {int(ids[~known].flatten()[0])}")
    return _TO_TRAIN_ID.to(ids.device)[ids]


def to_label_ids(train_ids: Tensor) -> Tensor:
    """The 19 classes to label ids: integers of any shape, 0 … 18 and 255 → int64; 255 becomes 0,
    unlabeled. What several label ids share as void can't come back.

    Raises:
        ValueError: if a number is no class.
    """
    ids = train_ids.as_subclass(Tensor).long()
    known = ((ids >= 0) & (ids < len(_CLASSES))) | (ids == IGNORE_INDEX)
    if not bool(known.all()):
        raise ValueError(f"train_ids must be 0 … 18 or 255, got {int(ids[~known].flatten()[0])}")
    return _TO_LABEL_ID.to(ids.device)[ids]


def save_result(path: str | Path, mask: Tensor) -> None:
    """Write a prediction as the benchmark's server wants it: a grey PNG of label ids.

    Args:
        path: ends in .png; the server finds an image's result by the beginning of its name,
            `<city>_<sequence>_<frame>`.
        mask: classes (H, W), 0 … 18 or 255.
    Raises:
        ValueError: if the path does not end in .png, or `mask` is no mask.
        FileNotFoundError: if the folder does not exist.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"path must end in .png, which keeps labels exactly, got {path}")
    if mask.ndim != 2 or mask.is_floating_point():
        raise ValueError(
            f"mask must be integer labels of shape (H, W), got {mask.dtype} {tuple(mask.shape)}"
        )
    label_ids = to_label_ids(mask).to("cpu", torch.uint8)
    with atomic_path(path) as temporary:
        Image.fromarray(label_ids.numpy()).save(temporary, format="PNG")


class Cityscapes(SegmentationDataset):
    """Cityscapes with fine labels: 2975 images to train on, 500 to validate, 1525 to test.

    `root` holds `leftImg8bit/<split>/<city>/*_leftImg8bit.png` and
    `gtFine/<split>/<city>/*_gtFine_labelIds.png`. Masks hold label ids on disk, classes (train
    ids) as items. The labels of the test split are secret: its masks are void.
    """

    name: ClassVar[str] = "cityscapes"
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    classes: tuple[str, ...] = tuple(label.name for label in _CLASSES)
    colors: tuple[tuple[int, int, int], ...] = tuple(label.color for label in _CLASSES)
    remedy: ClassVar[str] = (
        "get leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from "
        "www.cityscapes-dataset.com, unpack both into one folder and name it as root"
    )

    def encode(self, mask: Tensor) -> Tensor:
        """A mask of classes as files hold it, in label ids: `to_label_ids`."""
        return to_label_ids(mask)

    def _find_pairs(self) -> list[Pair]:
        images, masks = self._folders()
        if not images.is_dir():
            raise SplitMissingError(f"folder {images} is missing; {self.remedy}")
        if not masks.is_dir():
            raise FileNotFoundError(f"folder {masks} is missing; {self.remedy}")
        suffix = "_leftImg8bit.png"
        found = sorted(path for path in images.glob(f"*/*{suffix}") if path.name[0] != ".")
        if not found:
            raise FileNotFoundError(f"folder {images} holds no */*{suffix}; {self.remedy}")
        return [
            (path, masks / path.parent.name / f"{path.name[: -len(suffix)]}_gtFine_labelIds.png")
            for path in found
        ]

    def _folders(self) -> tuple[Path, Path]:
        return self.root / "leftImg8bit" / self.split, self.root / "gtFine" / self.split

    def _to_labels(self, values: Labels, path: Path) -> Labels:
        remedy = f"is it a file of train ids? {self.remedy}"
        check_labels(values, np.arange(256) <= 33, path, "the label ids 0 … 33", remedy)
        return _TO_TRAIN_ID.to(torch.uint8).numpy()[values]

    def stray_masks(self) -> list[Path]:
        used = {mask for _, mask in self._pairs}
        found = self._folders()[1].glob("*/*_gtFine_labelIds.png")
        return sorted(mask for mask in found if mask not in used and mask.name[0] != ".")

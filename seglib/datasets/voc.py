"""Pascal VOC's segmentation task, 2007 to 2012, and 2012 with the labels of SBD."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from seglib.datasets.base import (
    IGNORE_INDEX,
    Pair,
    SegmentationDataset,
    SplitMissingError,
    list_files,
    read_list,
)
from seglib.datasets.masks import Labels, check_labels

CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
AUG_MASKS = "SegmentationClassAug"
AUG_LISTS = ("train_aug.txt", "trainaug.txt")


def voc_color(label: int) -> tuple[int, int, int]:
    """The colour of a label in VOC's palette: the label's bits, dealt in turn to red, green and
    blue from their highest bit down. Source: `VOClabelcolormap` of the VOC development kit.
    """
    red, green, blue = (
        sum((label >> (3 * place + channel) & 1) << (7 - place) for place in range(3))
        for channel in range(3)
    )
    return red, green, blue


class VOC(SegmentationDataset):
    """Pascal VOC 2012: 20 kinds of things and background; the border around things (255) is void.

    `root` holds `VOCdevkit/VOC<year>/`, or is that folder. Splits are the lists in
    `ImageSets/Segmentation/`. (Some courses turn the void border into background, and so teach the
    network that things have a frame of background.)

    Source: Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2010 and 2015.
    """

    name: ClassVar[str] = "voc"
    folder: ClassVar[str] = "voc"
    year: ClassVar[str] = "2012"
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "trainval")
    parts: ClassVar[tuple[str, ...]] = ("train", "val")
    classes: tuple[str, ...] = CLASSES
    colors: tuple[tuple[int, int, int], ...] = tuple(map(voc_color, range(len(CLASSES))))
    remedy: ClassVar[str] = "get it with: seglib data download voc2012"

    def _find_pairs(self) -> list[Pair]:
        place = self._place()
        names = read_list(place / "ImageSets" / "Segmentation" / f"{self.split}.txt", self.remedy)
        return self._pairs_of(place, names, "SegmentationClass")

    def _pairs_of(self, place: Path, names: list[str], masks: str) -> list[Pair]:
        return [
            (place / "JPEGImages" / f"{name}.jpg", place / masks / f"{name}.png") for name in names
        ]

    def _place(self) -> Path:
        """The year's folder, wherever below `root` it lies (2011's archive has one more level)."""
        name = f"VOC{self.year}"
        places = [
            self.root / "VOCdevkit" / name,
            self.root / "TrainVal" / "VOCdevkit" / name,
            self.root / name,
        ]
        if self.root.name == name:
            places.append(self.root)
        for place in places:
            if place.is_dir():
                return place
        raise SplitMissingError(f"folder {places[0]} is missing; {self.remedy}")

    def _to_labels(self, values: Labels, path: Path) -> Labels:
        allowed = np.arange(256) < len(CLASSES)
        allowed[IGNORE_INDEX] = True
        check_labels(values, allowed, path, "0 … 20 and 255 (void)", self.remedy)
        return values


class VOC2007(VOC):
    """VOC 2007: 209 training and 213 validation masks; also its test split, which was published."""

    name: ClassVar[str] = "voc2007"
    year: ClassVar[str] = "2007"
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "trainval", "test")
    parts: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    remedy: ClassVar[str] = "get it with: seglib data download voc2007"


class VOC2008(VOC):
    """VOC 2008: 511 training and 512 validation masks."""

    name: ClassVar[str] = "voc2008"
    year: ClassVar[str] = "2008"
    remedy: ClassVar[str] = "get it with: seglib data download voc2008"


class VOC2009(VOC):
    """VOC 2009: 749 training and 750 validation masks."""

    name: ClassVar[str] = "voc2009"
    year: ClassVar[str] = "2009"
    remedy: ClassVar[str] = "get it with: seglib data download voc2009"


class VOC2010(VOC):
    """VOC 2010: 964 training and 964 validation masks."""

    name: ClassVar[str] = "voc2010"
    year: ClassVar[str] = "2010"
    remedy: ClassVar[str] = "get it with: seglib data download voc2010"


class VOC2011(VOC):
    """VOC 2011: 1112 training and 1111 validation masks."""

    name: ClassVar[str] = "voc2011"
    year: ClassVar[str] = "2011"
    remedy: ClassVar[str] = "get it with: seglib data download voc2011"


class VOC2012(VOC):
    """VOC 2012, under its full name: 1464 training and 1449 validation masks."""

    name: ClassVar[str] = "voc2012"


class VOC2012Aug(VOC):
    """VOC 2012 with SBD's labels: 10582 images to train on, and VOC's own 1449 to validate.

    Masks of the train split lie in `VOC2012/SegmentationClassAug/`. Its list is `train_aug.txt`
    (or `trainaug.txt`) in `root`, `VOC2012/` or `VOC2012/ImageSets/Segmentation/`; without one it
    is every mask of that folder that val does not hold, which is the same 10582 images.

    Raises:
        ValueError: if an image of the list is in val, too. (SBD's own train list has such images.)
    Source: Hariharan et al., "Semantic contours from inverse detectors", ICCV 2011.
    """

    name: ClassVar[str] = "voc2012_aug"
    splits: ClassVar[tuple[str, ...]] = ("train", "val")
    remedy: ClassVar[str] = (
        f"get VOC with: seglib data download voc2012, and put {AUG_MASKS}/ (see data/README.md) "
        f"into VOC2012/"
    )

    def _find_pairs(self) -> list[Pair]:
        if self.split == "val":
            return super()._find_pairs()
        place = self._place()
        lists = place / "ImageSets" / "Segmentation"
        found = [
            path
            for folder in (self.root, place, lists)
            for path in (folder / name for name in AUG_LISTS)
            if path.is_file()
        ]
        val: set[str] = set()
        if not found or (lists / "val.txt").is_file():
            val = set(read_list(lists / "val.txt", self.remedy))
        if not found:
            masks = list_files(place / AUG_MASKS, (".png",), self.remedy)
            return self._pairs_of(place, [m.stem for m in masks if m.stem not in val], AUG_MASKS)
        names = read_list(found[0], self.remedy)
        shared = [name for name in names if name in val]
        if shared:
            self.mistakes.append(
                ValueError(
                    f"list {found[0]} names {len(shared)} images of the val split, {shared[0]} "
                    f"first; take them out of it, or validation means nothing"
                )
            )
        return self._pairs_of(place, names, AUG_MASKS)

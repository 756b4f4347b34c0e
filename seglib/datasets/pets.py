"""Oxford-IIIT Pet: cats and dogs of 37 breeds, each cut out from its background."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from seglib.datasets.base import IGNORE_INDEX, Pair, SegmentationDataset, read_list
from seglib.datasets.masks import Labels, check_labels

FOREGROUND, BACKGROUND, UNDECIDED = 1, 2, 3  # a trimap's values
VAL_EVERY = 5  # the first of each five images of trainval.txt is for validation


class Pets(SegmentationDataset):
    """Oxford-IIIT Pet, 37 breeds with about 200 photographs each: background (0) and pet (1).

    The trimaps' third value, a strip of a few pixels between the two that the authors call "not
    classified", becomes 255 and counts nowhere. (Where it is made a third class, a network is
    praised for drawing outlines.)

    `root` holds `images/*.jpg` and `annotations/`, with `trainval.txt`, `test.txt` and
    `trimaps/*.png`, or the folder `oxford-iiit-pet` that does. trainval has 3680 images, test 3669.
    As there is no list for validation, `val` is the first of each five images of trainval.txt,
    which is sorted by breed, and `train` the others.

    Source: Parkhi, Vedaldi, Zisserman, Jawahar, "Cats and Dogs", CVPR 2012.
    """

    name: ClassVar[str] = "pets"
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "trainval", "test")
    parts: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    classes: tuple[str, ...] = ("background", "pet")
    colors: tuple[tuple[int, int, int], ...] = ((230, 159, 0), (0, 114, 178))
    remedy: ClassVar[str] = "get it with: seglib data download pets"

    def _find_pairs(self) -> list[Pair]:
        inner = self.root / "oxford-iiit-pet"  # where torchvision puts it
        place = inner if inner.is_dir() else self.root
        annotations = place / "annotations"
        listed = "test" if self.split == "test" else "trainval"
        lines = read_list(annotations / f"{listed}.txt", self.remedy)
        names = [line.split()[0] for line in lines]  # then: breed, species, number in the species
        if self.split == "val":
            names = names[::VAL_EVERY]
        elif self.split == "train":
            names = [name for i, name in enumerate(names) if i % VAL_EVERY]
        if not names:
            raise FileNotFoundError(
                f"{annotations / 'trainval.txt'} leaves train no image; {self.remedy}"
            )
        return [
            (place / "images" / f"{name}.jpg", annotations / "trimaps" / f"{name}.png")
            for name in names
        ]

    def _to_labels(self, values: Labels, path: Path) -> Labels:
        table = np.full(256, IGNORE_INDEX, dtype=np.uint8)
        table[BACKGROUND], table[FOREGROUND] = 0, 1
        allowed = np.isin(np.arange(256), (FOREGROUND, BACKGROUND, UNDECIDED))
        meaning = "1 (pet), 2 (background) and 3 (undecided)"
        check_labels(values, allowed, path, meaning, self.remedy)
        return table[values]

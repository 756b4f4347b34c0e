"""Anybody's own images and masks."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from seglib.datasets.base import (
    IGNORE_INDEX,
    IMAGE_SUFFIXES,
    JointTransform,
    Pair,
    SegmentationDataset,
    SplitMissingError,
    list_files,
    read_list,
)
from seglib.datasets.class_file import Color, read_class_file
from seglib.datasets.masks import Labels, check_labels, places, read_any_mask

SUFFIXES = (*IMAGE_SUFFIXES, ".bmp", ".tif", ".tiff", ".webp")
VAL_SHARE = 5  # one image of five
HINTS = 100  # of mistakes about missing masks: each reads the folder again
SMOOTHED = 16  # more unknown colours than this in one mask come from smoothed edges


class Folder(SegmentationDataset):
    """Images with masks of the same names, and `classes.yaml` (`seglib.datasets.class_file`).

    ```
    root/classes.yaml
    root/images/a.jpg
    root/masks/a.png     a grey or palette PNG of labels, or the classes' exact colours
    ```

    Splits are sub-folders (`images/train/`, `masks/train/`, `images/val/`, …) or lists of names
    (`root/train.txt`, …, a name per line). With neither, `val` is a fifth of the images and `train`
    the others, by a hash of their names: adding images moves few of the old ones. `all` is every
    image.

    Raises:
        ValueError: also if `classes.yaml` is wrong, images share a name, or a list is wrong.
    """

    name: ClassVar[str] = "folder"
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test", "all")
    parts: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    remedy: ClassVar[str] = "seglib data check --help shows how the folder must look"

    def __init__(
        self,
        root: str | Path,
        split: str,
        transform: JointTransform | None = None,
        *,
        check_files: bool = True,
    ) -> None:
        root = Path(root)
        if not root.is_dir():
            raise FileNotFoundError(f"folder {root} is missing; {self.remedy}")
        self._file = root / "classes.yaml"
        described = read_class_file(self._file)
        self._described = described
        self.classes = described.names
        self.colors = described.colors or _made_up(len(described.names))
        self._table = np.full(256, IGNORE_INDEX, dtype=np.uint8)
        self._table[list(described.values)] = np.arange(len(described.names))
        self._allowed = np.isin(np.arange(256), (*described.values, *described.void))
        super().__init__(root, split, transform, check_files=check_files)

    def _find_pairs(self) -> list[Pair]:
        images, masks = self.root / "images", self.root / "masks"
        for folder in (images, masks):
            if not folder.is_dir():
                raise FileNotFoundError(f"folder {folder} is missing; {self.remedy}")
        folders = [split for split in self.parts if (images / split).is_dir()]
        lists = [split for split in self.parts if (self.root / f"{split}.txt").is_file()]
        if folders and lists:
            raise ValueError(
                f"{self.root} has both the folder images/{folders[0]} and the list {lists[0]}.txt; "
                f"remove one, so that it is clear which of them makes the split"
            )
        if folders:
            wanted = folders if self.split == "all" else [self.split]
            if self.split not in (*folders, "all"):
                raise SplitMissingError(f"folder {images / self.split} is missing; {self.remedy}")
            return [pair for split in wanted for pair in self._pair(images / split, masks / split)]
        pairs = self._pair(images, masks)
        if self.split == "all":
            return pairs
        if lists:
            return self._listed(pairs)
        return self._drawn(pairs)

    def _pair(self, images: Path, masks: Path) -> list[Pair]:
        found: dict[str, Path] = {}
        for mask in list_files(masks, SUFFIXES, self.remedy):
            other = found.setdefault(mask.stem, mask)
            if other != mask:
                self._doubt(f"masks {other} and {mask.name} have the same name; remove one")
        pairs: dict[str, Pair] = {}
        for image in list_files(images, SUFFIXES, self.remedy):
            mask = found.get(image.stem, masks / f"{image.stem}.png")
            other = pairs.setdefault(image.stem, (image, mask))[0]
            if other != image:
                self._doubt(f"images {other} and {image.name} share mask {mask}; rename one")
        if not pairs:
            raise FileNotFoundError(
                f"folder {images} holds no image ({', '.join(SUFFIXES)}); {self.remedy}"
            )
        return list(pairs.values())

    def _listed(self, pairs: list[Pair]) -> list[Pair]:
        path = self.root / f"{self.split}.txt"
        by_name = {pair[0].stem: pair for pair in pairs} | {pair[0].name: pair for pair in pairs}
        chosen: dict[str, Pair] = {}
        for name in read_list(path, self.remedy):
            if name not in by_name:
                text = f"list {path} names {name}, which is not in {self.root / 'images'}"
                self.mistakes.append(FileNotFoundError(f"{text}; correct the list"))
            elif by_name[name][0].name in chosen:
                self._doubt(f"list {path} names {name} twice; remove one")
            else:
                chosen[by_name[name][0].name] = by_name[name]
        return list(chosen.values())

    def _drawn(self, pairs: list[Pair]) -> list[Pair]:
        order = sorted(pairs, key=lambda pair: zlib.crc32(os.fsencode(pair[0].stem)))
        count = min(max(1, len(order) // VAL_SHARE), len(order) - 1)
        chosen = {"train": order[count:], "val": order[:count], "test": []}[self.split]
        if not chosen:
            raise SplitMissingError(
                f"{self.root} has no images/{self.split}/ and no list {self.split}.txt, and too "
                f"few images to draw one; make it, or add images"
            )
        return sorted(chosen)

    def _doubt(self, text: str) -> None:
        self.mistakes.append(ValueError(text))

    def _remedy_for(self, mask: Path) -> str:
        near: list[str] = []
        if mask.parent.is_dir() and len(self.mistakes) < HINTS:
            stem = mask.stem.lower()
            near = [f.name for f in mask.parent.iterdir() if f.stem.lower().startswith(stem)]
        return f"rename {min(near)}, if that is it" if near else "add it, or remove the image"

    def _read_mask(self, path: Path) -> Labels:
        return read_any_mask(path)

    def _to_labels(self, values: Labels, path: Path) -> Labels:
        if values.ndim == 3:
            return self._from_colors(values, path)
        described = self._described
        meaning = ", ".join(
            [*_ranges(described.values), *(f"{value} (void)" for value in described.void)]
        )
        remedy = f"correct the mask, or name the value in {self._file}, as a class's or as void"
        check_labels(values, self._allowed, path, meaning, remedy)
        return self._table[values]

    def _from_colors(self, values: Labels, path: Path) -> Labels:
        described = self._described
        if not described.colors:
            raise ValueError(
                f"mask {path} holds colours, but {self._file} gives the classes none; add them "
                f"there"
            )
        colors = [*described.colors, *([described.void_color] if described.void_color else [])]
        labels = np.full(values.shape[:2], IGNORE_INDEX, dtype=np.uint8)
        codes = _codes(values)
        known = np.zeros(codes.shape, dtype=bool)
        for label, color in enumerate(colors):
            here = codes == _codes(np.array(color, dtype=np.uint8))
            known |= here
            if label < len(self.classes):
                labels[here] = label
        if not known.all():
            self._refuse_colors(codes, ~known, path)
        return labels

    def _refuse_colors(
        self, codes: npt.NDArray[np.int32], wrong: npt.NDArray[np.bool_], path: Path
    ) -> None:
        row, column = np.argwhere(wrong)[0]
        code = int(codes[row, column])
        color = [code >> 16, code >> 8 & 255, code & 255]
        kinds = len(np.unique(codes[wrong]))
        remedy = (
            f"correct the mask, or add the colour to {self._file}, as a class's or as void_color"
        )
        if kinds > SMOOTHED:
            remedy = "its edges are smoothed: export it again without smoothing (antialiasing)"
        others = f" and {kinds - 1} other unknown colours" if kinds > 1 else ""
        raise ValueError(
            f"mask {path} holds colour {color}{others} ({places(wrong)}); no class has it; {remedy}"
        )

    def doubts(self, index: int) -> list[str]:
        """A palette whose colours are the classes', but in another order: an image editor drew it
        in colours, and numbered them as it liked.
        """
        path = self.paths(index)[1]
        with Image.open(path) as mask:
            if mask.mode != "P" or not self._described.colors:
                return []
            palette = np.array(mask.getpalette("RGB")).reshape(-1, 3).tolist()
            used = np.unique(np.array(mask)).tolist()
        owners = dict(zip(self._described.colors, self._described.values, strict=True))
        for value in used:
            owner = owners.get(tuple(palette[value])) if value < len(palette) else None
            if owner not in (None, value):
                name = self.classes[self._described.values.index(owner)]
                return [
                    f"mask {path} shows value {value} in the colour of {name}, whose value is "
                    f"{owner}; if the colours are right, save it as RGB"
                ]
        return []

    def stray_masks(self) -> list[Path]:
        images, masks = self.root / "images", self.root / "masks"
        if self.split != "all" and (images / self.split).is_dir():
            images, masks = images / self.split, masks / self.split
        stems = {path.stem for path in list_files(images, SUFFIXES, self.remedy)}
        return [path for path in list_files(masks, SUFFIXES, self.remedy) if path.stem not in stems]


def _codes(colors: Labels) -> npt.NDArray[np.int32]:
    """One number for each colour (…, 3)."""
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    codes: npt.NDArray[np.int32] = red << 16 | green << 8 | blue
    return codes


def _made_up(num_classes: int) -> tuple[Color, ...]:
    from seglib.visualize import make_palette  # brings matplotlib along

    return tuple((red, green, blue) for red, green, blue in make_palette(num_classes).tolist())


def _ranges(values: Sequence[int]) -> list[str]:
    """1, 2, 3, 7 → "1 … 3", "7"."""
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return [f"{run[0]} … {run[-1]}" if run[2:] else ", ".join(map(str, run)) for run in runs]

"""Read a whole data set and tell what is in it, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from seglib.datasets import dataset_class
from seglib.datasets.base import (
    SegmentationDataset,
    SplitMissingError,
    check_sizes,
    one_line,
    size_text,
)
from seglib.images import read_image

SIZES_SHOWN = 4


@dataclass
class SplitReport:
    """What one split holds. Pixels are counted over the items without a problem."""

    dataset: SegmentationDataset
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # (H, W) of images
    pixels: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    images: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    void: int = 0  # pixels
    usable: dict[int, Tensor] = field(default_factory=dict)  # faultless items: classes they hold
    doubts: list[str] = field(default_factory=list)

    @property
    def void_share(self) -> float:
        """Share of the pixels without a class, 0 … 1."""
        total = int(self.pixels.sum()) + self.void
        return self.void / total if total else 0.0

    def table(self) -> str:
        """The images' sizes, and a line for each class; shares are of the pixels with a class."""
        data = self.dataset
        found = self.sizes.most_common()
        sizes = ", ".join(f"{size_text(size)} ({n})" for size, n in found[:SIZES_SHOWN])
        more = f" and {len(found) - SIZES_SHOWN} other sizes" if found[SIZES_SHOWN:] else ""
        width = max(len("class"), *map(len, data.classes))
        lines = [
            f"{data.split}: {len(data)} image{'s'[: len(data) != 1]}; {sizes or 'no size'}{more}",
            f"  label  {'class':<{width}}         pixels   share  images",
        ]
        total = max(1, int(self.pixels.sum()))
        for label, name in enumerate(data.classes):
            pixels = int(self.pixels[label])
            lines.append(
                f"  {label:>5}  {name:<{width}}  {pixels:>13}  {pixels / total:>6.2%}"
                f"  {int(self.images[label]):>6}"
            )
        void = f"{self.void:>13}  {self.void_share:>6.2%} of all pixels"
        lines.append(f"  {'':>5}  {'void':<{width}}  {void}")
        return "\n".join(lines)


@dataclass
class Inspection:
    """What `inspect_dataset` found."""

    splits: list[SplitReport]  # those that are there
    missing: list[str]  # names of splits that are not there, which is no problem
    problems: list[str]  # one line each, with file and remedy
    notes: list[str]  # what is no mistake, but may not be meant

    def report(self) -> str:
        """All of it as text."""
        parts = [split.table() for split in self.splits]
        if self.splits and self.missing:
            parts.append(f"not there: {', '.join(self.missing)}")
        parts += [f"note: {note}" for note in self.notes]
        parts += [f"problem: {problem}" for problem in self.problems]
        parts.append(f"{len(self.problems) or 'no'} problem{'s'[: len(self.problems) != 1]}")
        text = "\n".join(parts)
        # File names need not be Unicode; printing must not stop at one.
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def inspect_dataset(
    name: str, root: str | Path, progress: Callable[[int, int], None] | None = None
) -> Inspection:
    """Read every image and mask of a data set; nothing in it stops the reading.

    Args:
        name: one of `available_datasets()`.
        root: the data set's own folder.
        progress: called as `progress(done, total)` after each pair of files.
    Raises:
        ValueError: if `name` is unknown.
        FileNotFoundError: if `root` is no folder.
    """
    kind = dataset_class(name)
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder; give the path of a data set of kind {name}")
    splits: list[SplitReport] = []
    absent: dict[str, str] = {}
    problems: list[str] = []
    for split in kind.parts or kind.splits:
        try:
            data = kind(root, split, check_files=False)
        except SplitMissingError as error:
            absent[split] = str(error)
        except (ValueError, OSError) as error:
            problems.append(one_line(error))
        else:
            splits.append(SplitReport(data))
            problems += map(one_line, data.mistakes)
            problems += [
                f"mask {mask} belongs to no image; add the image, or remove it"
                for mask in data.stray_masks()
            ]
    if not splits and not problems:
        problems += absent.values()
    problems += _shared(splits)
    total = sum(len(split.dataset) for split in splits)
    done = 0
    for part in splits:
        for found in _read_all(part):
            problems += found
            done += 1
            if progress is not None:
                progress(done, total)
    return Inspection(splits, list(absent), list(dict.fromkeys(problems)), _notes(splits))


def _read_all(split: SplitReport) -> Iterator[list[str]]:
    """Fill `split` in, item by item; yields the problems of each."""
    num_classes = len(split.dataset.classes)
    split.pixels = torch.zeros(num_classes, dtype=torch.int64)
    split.images = torch.zeros(num_classes, dtype=torch.int64)
    pool = ThreadPoolExecutor()  # decoding runs outside Python's lock
    try:
        for index, item in enumerate(pool.map(partial(_read, split.dataset), _items(split))):
            if item.size is not None:
                split.sizes[item.size] += 1
            if item.counts is not None and not item.problems:
                pixels = item.counts[:num_classes]
                split.pixels += pixels
                split.images += pixels > 0
                split.void += int(item.counts[split.dataset.ignore_index])
                split.usable[index] = pixels > 0
            split.doubts += item.doubts
            yield item.problems
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt need not wait for all the rest


def _items(split: SplitReport) -> range:
    return range(len(split.dataset))


@dataclass
class _Item:
    size: tuple[int, int] | None = None
    counts: Tensor | None = None  # of the labels 0 … 255
    problems: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def _read(dataset: SegmentationDataset, index: int) -> _Item:
    item = _Item()
    image, mask = dataset.paths(index)
    mask_size = None
    if image.is_file():  # a missing file is one of the data set's mistakes already
        try:
            height, width = read_image(image).shape[1:]
            item.size = (height, width)
        except (ValueError, OSError) as error:
            item.problems.append(one_line(error))
    if mask.is_file():
        try:
            labels = dataset.labels(index)
            mask_size = labels.shape
            item.counts = labels.flatten().bincount(minlength=256)
            item.doubts += dataset.doubts(index)
        except (ValueError, OSError) as error:
            item.problems.append(one_line(error))
    if item.size is not None and mask_size is not None:
        try:
            check_sizes(image, item.size, mask, mask_size)
        except ValueError as error:
            item.problems.append(one_line(error))
    return item


def _shared(splits: Sequence[SplitReport]) -> list[str]:
    """Images of more than one split: what is trained on proves nothing in validation."""
    owners: dict[Path, str] = {}
    found = []
    for split in splits:
        for index in _items(split):
            image = split.dataset.paths(index)[0]
            owner = owners.setdefault(image, split.dataset.split)
            if owner != split.dataset.split:
                found.append(
                    f"image {image} is in the splits {owner} and {split.dataset.split}; "
                    f"take it out of one"
                )
    return found


def _notes(splits: Sequence[SplitReport]) -> list[str]:
    notes = []
    for split in splits:
        name, classes = split.dataset.split, split.dataset.classes
        absent = [classes[i] for i in (split.images == 0).nonzero().flatten().tolist()]
        if split.usable and absent:
            more = f" and {len(absent) - 5} more" if absent[5:] else ""
            notes.append(f"no pixel of {', '.join(absent[:5])}{more} in {name}")
        blank = [index for index, holds in split.usable.items() if not bool(holds.any())]
        if blank:
            first = split.dataset.paths(blank[0])[1]
            notes.append(f"{len(blank)} masks of {name} are void everywhere, {first} first")
        if split.doubts:
            more = f" (and {len(split.doubts) - 1} more)" if split.doubts[1:] else ""
            notes.append(f"{split.doubts[0]}{more}")
    return notes

"""Data sets: pairs of an image and a mask of labels, under one interface."""

from __future__ import annotations

import os
from pathlib import Path

from seglib.datasets.base import JointTransform, SegmentationDataset
from seglib.datasets.camvid import CamVid
from seglib.datasets.cityscapes import Cityscapes
from seglib.datasets.folder import Folder
from seglib.datasets.pets import Pets
from seglib.datasets.toystreet import ToyStreet, cached_toystreet
from seglib.datasets.voc import (
    VOC,
    VOC2007,
    VOC2008,
    VOC2009,
    VOC2010,
    VOC2011,
    VOC2012,
    VOC2012Aug,
)

__all__ = ["SegmentationDataset", "available_datasets", "build_dataset", "dataset_class"]

_DATASETS: dict[str, type[SegmentationDataset]] = {
    dataset.name: dataset
    for dataset in (
        *(ToyStreet, CamVid, VOC),
        *(VOC2007, VOC2008, VOC2009, VOC2010, VOC2011, VOC2012, VOC2012Aug),
        *(Cityscapes, Pets, Folder),
    )
}


def available_datasets() -> tuple[str, ...]:
    """The names that `build_dataset` knows."""
    return tuple(_DATASETS)


def dataset_class(name: str) -> type[SegmentationDataset]:
    """The class behind a name.

    Raises:
        ValueError: if `name` is unknown.
    """
    if name not in _DATASETS:
        raise ValueError(f"name must be one of {', '.join(_DATASETS)}, got {name!r}")
    return _DATASETS[name]


def build_dataset(
    name: str,
    split: str,
    root: str | Path | None = None,
    transform: JointTransform | None = None,
) -> SegmentationDataset:
    """Open one split of a data set.

    Args:
        name: one of `available_datasets()`.
        split: one of the data set's splits, usually `train`, `val` or `test`.
        root: the data set's own folder. Default: `$SEGLIB_DATA/<name>`, else the checkout's
            `data/<name>`, else (ToyStreet only) a copy rendered once into the user's cache.
        transform: called as `transform(image, mask)`; see `seglib.datasets.transforms`.
    Returns:
        The data set; items are uint8 (3, H, W) and int64 (H, W), before the transform.
    Raises:
        ValueError: if `name` or `split` is unknown.
        FileNotFoundError: if the data are not there; says how to get them.
    """
    dataset = dataset_class(name)
    if split not in dataset.splits:  # before a missing folder hides it
        raise ValueError(f"split must be one of {', '.join(dataset.splits)}, got {split!r}")
    folder = Path(root).expanduser() if root is not None else _default_root(dataset)
    return dataset(folder, split, transform)


def places(dataset: type[SegmentationDataset]) -> list[Path]:
    """Where a data set is looked for: below `$SEGLIB_DATA` and the checkout's `data/`, if any."""
    parents: list[Path] = []
    if os.environ.get("SEGLIB_DATA"):
        parents.append(Path(os.environ["SEGLIB_DATA"]).expanduser())
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        parents.append(checkout / "data")
    return [parent / (dataset.folder or dataset.name) for parent in parents]


def _default_root(dataset: type[SegmentationDataset]) -> Path:
    candidates = places(dataset)
    for place in candidates:
        if place.is_dir():
            return place
    if dataset is ToyStreet:
        return cached_toystreet()
    looked = " or ".join(map(str, candidates)) or "$SEGLIB_DATA, which is not set"
    raise FileNotFoundError(f"data set {dataset.name} is not in {looked}; {dataset.remedy}")

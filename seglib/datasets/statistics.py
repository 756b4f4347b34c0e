"""What a data set holds: pixels of each class."""

from __future__ import annotations

from collections.abc import Sized
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from seglib.datasets.base import SegmentationDataset


def count_pixels(dataset: Dataset[tuple[Tensor, Tensor]], num_classes: int | None = None) -> Tensor:
    """Count the pixels of each class over a data set, one mask after the other.

    A `SegmentationDataset`, or a `Subset` of one, is counted as it lies on disk: without its
    transform, without reading an image. Of another data set the items are taken.

    Args:
        dataset: its items are `(image, mask)`, masks of integer labels, (H, W).
        num_classes: labels 0 … num_classes - 1 are counted; others, such as 255, are not. Default:
            that of `dataset.classes`.
    Returns:
        int64 (num_classes,); exact.
    Raises:
        ValueError: if `num_classes` is missing or below 1, or a mask is damaged.
        FileNotFoundError: if a mask is missing.
    """
    indices = list(range(len(cast(Sized, dataset))))
    while isinstance(dataset, Subset):
        indices = [dataset.indices[i] for i in indices]
        dataset = dataset.dataset
    if num_classes is None:
        if not isinstance(dataset, SegmentationDataset):
            raise ValueError("num_classes must be given for a data set without classes, got None")
        num_classes = len(dataset.classes)
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    total = torch.zeros(num_classes, dtype=torch.int64)
    for index in indices:
        if isinstance(dataset, SegmentationDataset):
            mask = dataset.labels(index)
        else:
            mask = dataset[index][1].as_subclass(Tensor)
        labels = mask[(mask >= 0) & (mask < num_classes)]
        total += labels.flatten().bincount(minlength=num_classes).to("cpu", torch.int64)
    return total

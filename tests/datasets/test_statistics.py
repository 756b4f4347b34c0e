"""Counting pixels: against NumPy, on data sets, parts of them, and plain pairs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset

from seglib.datasets import build_dataset
from seglib.datasets.statistics import count_pixels
from seglib.datasets.transforms import train_transform


def counted(files: list[Path]) -> list[int]:
    values = np.concatenate([np.array(Image.open(file)).ravel() for file in files])
    return np.bincount(values[values != 255], minlength=11).tolist()


def test_every_pixel_is_counted_once_and_void_is_not() -> None:
    data = build_dataset("toystreet", "val", transform=train_transform((32, 32)))
    counts = count_pixels(data)
    assert (counts.dtype, counts.shape) == (torch.int64, (11,))
    assert counts.tolist() == counted([data.paths(i)[1] for i in range(60)])


def test_a_subset_of_a_subset() -> None:
    data = build_dataset("toystreet", "val")
    part = Subset(Subset(data, [5, 7, 9]), [2, 0])
    assert count_pixels(part).tolist() == counted([data.paths(i)[1] for i in (9, 5)])


def test_pairs_without_classes_need_a_number() -> None:
    masks = torch.tensor([[[0, 2], [255, -1]], [[2, 2], [1, 7]]])
    pairs: Dataset[tuple[Tensor, Tensor]] = TensorDataset(torch.zeros(2, 3, 2, 2), masks)  # type: ignore[assignment]
    assert count_pixels(pairs, 3).tolist() == [1, 1, 3]
    with pytest.raises(ValueError, match=r"num_classes must be given .*got None"):
        count_pixels(pairs)
    with pytest.raises(ValueError, match=r"num_classes must be at least 1, got 0"):
        count_pixels(pairs, 0)

"""Single objects in a mask: connected areas, and how much of each one is found."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def components(masks: Tensor) -> Tensor:
    """Number the connected areas of each mask: pixels that touch, also at a corner.

    Every pixel begins with a number of its own, and takes the largest one among its neighbours
    until nothing changes any more.

    Args:
        masks: bool (N, H, W).
    Returns:
        int64 (N, H, W): 0 outside; inside 1, 2, 3 …, one number for each area of all the masks.
    Raises:
        ValueError: if `masks` is not boolean, or not (N, H, W).
    """
    if masks.dtype != torch.bool or masks.ndim != 3:
        raise ValueError(f"masks must be bool (N, H, W), got {masks.dtype} {tuple(masks.shape)}")
    if not masks.any():
        return torch.zeros(masks.shape, dtype=torch.int64)
    exact = torch.float32 if masks.numel() < 2**24 else torch.float64
    inside = masks[:, None].to(exact)
    numbers = torch.arange(1, masks.numel() + 1, dtype=exact).view(inside.shape) * inside
    while True:
        spread = F.max_pool2d(numbers, kernel_size=3, stride=1, padding=1) * inside
        if torch.equal(spread, numbers):
            break
        numbers = spread
    _, order = numbers[inside > 0].unique(return_inverse=True)
    result = torch.zeros(masks.shape, dtype=torch.int64)
    result[masks] = order + 1
    return result


def shares(numbers: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The size of each numbered area, and the mean of `values` over it.

    Args:
        numbers: from `components`.
        values: of the same shape; where it is boolean, the mean is the share that is true.
    Returns:
        Two double vectors, (areas,): pixels and means.
    Raises:
        ValueError: if the shapes differ.
    """
    if numbers.shape != values.shape:
        raise ValueError(f"values must be {tuple(numbers.shape)}, got {tuple(values.shape)}")
    pixels = torch.bincount(numbers.flatten()).double()
    sums = torch.bincount(numbers.flatten(), values.flatten().double())
    return pixels[1:], sums[1:] / pixels[1:]

"""An exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of `model` whose weights follow the model's: average ← d · average + (1 − d) · weight
    at each call of its `update_parameters(model)`; the first call copies.

    After n updates d = min(decay, (1 + n) / (10 + n)), so that a short run does not average in the
    random weights of its start. BatchNorm's running statistics are averaged like the weights that
    they belong to, and its counters copied: torch's own averaging copies the statistics of the
    newest weights beside the average of older ones, or with `use_buffers` averages the counters
    too, as truncated integers.

    Args:
        model: on the device, and in the memory format, that the average shall have.
        decay: 0 < decay < 1; 0.999 averages over about a thousand steps.
    Raises:
        ValueError: if `decay` is out of its range.
    Source: TensorFlow's ExponentialMovingAverage (`num_updates`); Polyak, Juditsky 1992.
    """
    if not 0 < decay < 1:
        raise ValueError(f"ema must be a decay between 0 and 1, such as 0.999, got {decay}")

    def update(averages: Sequence[Tensor], values: Sequence[Tensor], updates: Tensor | int) -> None:
        share = 1 - min(decay, (1 + int(updates)) / (10 + int(updates)))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(list(averages), list(values), share)
        else:
            for average, value in zip(averages, values, strict=True):
                average.copy_(value)

    average = AveragedModel(model, multi_avg_fn=update, use_buffers=True)
    average.requires_grad_(False)
    return average

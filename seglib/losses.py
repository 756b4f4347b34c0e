"""Losses for segmentation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(
    logits: Tensor,
    mask: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean of −log softmax(logits)[label] over the pixels that have a label.

    Equal to `torch.nn.functional.cross_entropy`, except that a batch without any label gives 0 with
    a gradient of 0 (there: nan, which one step of the optimiser spreads over all weights), that a
    label out of range is an error that names it (there: an assertion inside a GPU kernel), and that
    half-precision logits are summed in float32.

    Args:
        logits: (N, C, H, W), floating point.
        mask: (N, H, W), integers: 0 … C − 1, or `ignore_index`.
        weight: (C,), each class's weight; the mean is then the weighted one.
        ignore_index: the label of pixels that do not count.
        label_smoothing: share of the target spread evenly over all classes, in [0, 1].
    Returns:
        A scalar; float64 for float64 logits, else float32.
    Raises:
        ValueError: if shapes or types do not fit, or a label is out of range.
    """
    if logits.ndim != 4 or not logits.is_floating_point():
        raise ValueError(
            "logits must be floating point of shape (N, C, H, W),"
            f" got {logits.dtype} {tuple(logits.shape)}"
        )
    batch, num_classes, height, width = logits.shape
    if tuple(mask.shape) != (batch, height, width):
        raise ValueError(
            f"mask must have the shape {(batch, height, width)} to fit the logits"
            f" {tuple(logits.shape)}, got {tuple(mask.shape)}"
        )
    if mask.is_floating_point() or mask.is_complex() or mask.dtype == torch.bool:
        raise ValueError(f"mask must hold integers, got {mask.dtype}")
    if weight is not None and tuple(weight.shape) != (num_classes,):
        raise ValueError(f"weight must have the shape ({num_classes},), got {tuple(weight.shape)}")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")

    mask = mask.to(torch.int64)
    valid = mask != ignore_index
    out_of_range = valid & ((mask < 0) | (mask >= num_classes))
    if bool(out_of_range.any()):  # the one point where a GPU has to be waited for
        label = int(mask[out_of_range][0])
        raise ValueError(
            f"mask holds label {label}, allowed is 0 to {num_classes - 1} or {ignore_index}"
            f" (ignored); raise num_classes (now {num_classes}) or map the label"
        )

    logits = logits if logits.dtype == torch.float64 else logits.float()
    weight = None if weight is None else weight.to(logits)
    total = F.cross_entropy(
        logits,
        mask,
        weight=weight,
        ignore_index=ignore_index,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    if weight is None:
        count = valid.sum().to(logits.dtype)
    else:
        count = (weight[torch.where(valid, mask, 0)] * valid).sum()
    # Without a label the total is 0 and so is its gradient: any divisor but 0 keeps both.
    return total / torch.where(count > 0, count, 1.0)

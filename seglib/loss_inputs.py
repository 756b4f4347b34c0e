"""What the losses share: checked arguments, each pixel's weight, and the quotient at the end."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

Reduction = Literal["mean", "sum_and_count"]


def checked(
    logits: Tensor, mask: Tensor, weight: Tensor | None, ignore_index: int, reduction: str
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The arguments that all losses share, in the types to compute with: logits and weight in
    float32 or float64, the mask in int64. Raises what `cross_entropy` says.
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
    if reduction not in ("mean", "sum_and_count"):
        raise ValueError(f"reduction must be 'mean' or 'sum_and_count', got {reduction!r}")

    mask = mask.to(torch.int64)
    out_of_range = (mask != ignore_index) & ((mask < 0) | (mask >= num_classes))
    if bool(out_of_range.any()):  # the one point where a GPU has to be waited for
        label = int(mask[out_of_range][0])
        raise ValueError(
            f"mask holds label {label}, allowed is 0 to {num_classes - 1} or {ignore_index}"
            f" (ignored); raise num_classes (now {num_classes}) or map the label"
        )
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if weight is not None:
        if not bool((weight.isfinite() & (weight >= 0)).all()):
            raise ValueError(f"weight must be finite and >= 0, got {weight.tolist()}")
        weight = weight.to(logits)
    return logits, mask, weight


def pixel_weights(logits: Tensor, mask: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    """What each pixel counts, (N, H, W): its class's weight, or 1; 0 where it is ignored."""
    valid = mask != ignore_index
    if weight is None:
        return valid.to(logits.dtype)
    return weight[torch.where(valid, mask, 0)] * valid


@overload
def reduced(total: Tensor, count: Tensor, reduction: Literal["mean"]) -> Tensor: ...
@overload
def reduced(
    total: Tensor, count: Tensor, reduction: Reduction
) -> Tensor | tuple[Tensor, Tensor]: ...
def reduced(total: Tensor, count: Tensor, reduction: Reduction) -> Tensor | tuple[Tensor, Tensor]:
    """`total / count`, or both. Without a label the total is 0 and so is its gradient: any divisor
    but 0 keeps both.
    """
    if reduction == "sum_and_count":
        return total, count
    return total / torch.where(count > 0, count, 1.0)

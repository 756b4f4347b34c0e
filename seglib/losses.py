"""Losses for segmentation: logits (N, C, H, W) and a mask (N, H, W) of labels give one number.

All leave out the pixels of label `ignore_index`, from the sum and from the count, and sum
half-precision logits in float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Protocol, overload

import torch
import torch.nn.functional as F
from torch import Tensor

from seglib.loss_inputs import Reduction, checked, pixel_weights, reduced


@overload
def cross_entropy(
    logits: Tensor,
    mask: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    label_smoothing: float = 0.0,
    reduction: Literal["mean"] = "mean",
) -> Tensor: ...
@overload
def cross_entropy(
    logits: Tensor,
    mask: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    label_smoothing: float = 0.0,
    reduction: Literal["sum_and_count"],
) -> tuple[Tensor, Tensor]: ...
def cross_entropy(
    logits: Tensor,
    mask: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor | tuple[Tensor, Tensor]:
    """Mean of −log softmax(logits)[label] over the pixels that have a label.

    Equal to `torch.nn.functional.cross_entropy`, except that a batch without any label gives 0 with
    a gradient of 0 (there: nan, which one step of the optimiser spreads over all weights), that a
    label out of range is an error that names it (there: an assertion inside a GPU kernel), and that
    half-precision logits are summed in float32.

    Args:
        logits: (N, C, H, W), floating point.
        mask: (N, H, W), integers: 0 … C − 1, or `ignore_index`.
        weight: (C,), each class's weight, ≥ 0; the mean is then the weighted one.
        ignore_index: the label of pixels that do not count.
        label_smoothing: share of the target spread evenly over all classes, in [0, 1].
        reduction: "mean", or "sum_and_count" for the two numbers of which it is the quotient, so
            that several processes can add up each and divide once.
    Returns:
        A scalar, or two; float64 for float64 logits, else float32.
    Raises:
        ValueError: if shapes or types do not fit, or a label is out of range.
    """
    logits, mask, weight = checked(logits, mask, weight, ignore_index, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")
    loss = F.cross_entropy(
        logits,
        mask,
        weight=weight,
        ignore_index=ignore_index,
        reduction="none",
        label_smoothing=label_smoothing,
    )  # (N, H, W), 0 where ignored
    counts = pixel_weights(logits, mask, weight, ignore_index)
    return reduced(loss.sum(), counts.sum(), reduction)


@overload
def focal(
    logits: Tensor,
    mask: Tensor,
    *,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    reduction: Literal["mean"] = "mean",
) -> Tensor: ...
@overload
def focal(
    logits: Tensor,
    mask: Tensor,
    *,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    reduction: Literal["sum_and_count"],
) -> tuple[Tensor, Tensor]: ...
def focal(
    logits: Tensor,
    mask: Tensor,
    *,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    reduction: Reduction = "mean",
) -> Tensor | tuple[Tensor, Tensor]:
    """Mean of −(1 − p)^gamma · log p over the pixels that have a label, p the label's probability.

    What the network is sure of weighs less. With `gamma` 0 it is `cross_entropy`. (Other code
    divides by the ignored pixels too, and for gamma < 1 has a gradient of nan where p is 1.)

    Args:
        logits, mask, weight, ignore_index, reduction: as for `cross_entropy`.
        gamma: ≥ 0.
    Returns:
        A scalar, or two; float64 for float64 logits, else float32.
    Raises:
        ValueError: if `gamma` is negative or not finite; else as `cross_entropy`.
    Source: Lin et al., Focal Loss, §3.2 (arXiv 1708.02002); its α is `weight`, and it divides by
        the number of objects, which segmentation does not have.
    """
    logits, mask, weight = checked(logits, mask, weight, ignore_index, reduction)
    if not (gamma >= 0 and math.isfinite(gamma)):
        raise ValueError(f"gamma must be a finite number >= 0, got {gamma}")
    loss = F.cross_entropy(logits, mask, ignore_index=ignore_index, reduction="none")
    # 1 − p, but never 0: there a power below 1 has an infinite slope, and 0 · ∞ is nan.
    doubt = (1 - torch.exp(-loss)).clamp_min(torch.finfo(loss.dtype).tiny)
    counts = pixel_weights(logits, mask, weight, ignore_index)
    return reduced((counts * doubt**gamma * loss).sum(), counts.sum(), reduction)


def dice(
    logits: Tensor,
    mask: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    reduction: Reduction = "mean",
) -> Tensor:
    """1 − D, D the mean over the classes that occur in the mask of the soft Dice coefficient

        D[c] = 2 Σ p g / (Σ p² + Σ g²),

    with p the softmax probability of class c, g its indicator (1 where the label is c), and sums
    over all pixels of the batch that have a label.

    A class that occurs has Σ g² ≥ 1, so that nothing has to be added to keep the quotient finite.
    (Other code counts absent classes as 0 or, with a smoothing term, as 1; or takes D image by
    image.) A batch without any label gives 0 with a gradient of 0.

    Args:
        logits, mask, ignore_index: as for `cross_entropy`.
        weight: (C,), each class's weight in the mean, ≥ 0.
        reduction: "mean"; D is no quotient of sums over pixels, so that processes can't share it.
    Returns:
        A scalar in [0, 1]; float64 for float64 logits, else float32.
    Raises:
        ValueError: as `cross_entropy`, or if `reduction` is "sum_and_count".
    Source: Milletari et al., V-Net, §3 (arXiv 1606.04797).
    """
    logits, mask, weight = checked(logits, mask, weight, ignore_index, reduction)
    if reduction != "mean":
        raise ValueError(f"reduction must be 'mean' for the Dice loss, got {reduction!r}")
    label = mask.masked_fill(mask == ignore_index, -1)[:, None]  # (N, 1, H, W)
    classes = torch.arange(logits.shape[1], device=logits.device)
    target = label == classes[:, None, None]  # (N, C, H, W), False where ignored
    probability = logits.softmax(1) * (label >= 0)
    pixels = target.sum((0, 2, 3))  # (C,)
    overlap = (probability * target).sum((0, 2, 3))
    size = probability.square().sum((0, 2, 3)) + pixels
    present = pixels > 0
    coefficient = 2 * overlap / torch.where(present, size, 1.0)
    share = present.to(logits.dtype) if weight is None else present * weight
    return reduced((share * (1 - coefficient)).sum(), share.sum(), "mean")


def cross_entropy_dice(
    logits: Tensor,
    mask: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    reduction: Reduction = "mean",
) -> Tensor:
    """`cross_entropy` + `dice`: the first has a gradient for every pixel, the second weighs each
    class alike. Arguments and errors as for `dice`.
    """
    overlap = dice(logits, mask, weight=weight, ignore_index=ignore_index, reduction=reduction)
    return overlap + cross_entropy(logits, mask, weight=weight, ignore_index=ignore_index)


Balance = Literal["median_frequency", "inverse_log"]


def class_weights(counts: Tensor, method: Balance = "median_frequency") -> Tensor:
    """A weight for each class, larger for rare ones, for the losses' `weight`.

    - `median_frequency`: m / f[c], f[c] the share of class c in the images where it occurs, m the
      median of f. The class in the middle gets 1.
    - `inverse_log`: 1 / ln(1.02 + p[c]), p[c] the share of class c in all pixels: from 1.4 for a
      class that is everywhere to 50 for one that is nearly nowhere.

    A class that never occurs gets 0: there is nothing to learn it from. (A plain inverse is
    infinite there.)

    Args:
        counts: pixels of each class, ≥ 0: (C,) over the whole data set, or (images, C) image by
            image. The former counts as one image, in which median frequency is m / counts[c].
        method: "median_frequency" or "inverse_log".
    Returns:
        float32 (C,).
    Raises:
        ValueError: if an argument is out of its range, or no class has a pixel.
    Source: Eigen, Fergus (arXiv 1411.4734); ENet (arXiv 1606.02147).
    """
    if counts.ndim not in (1, 2) or counts.is_complex() or not bool((counts >= 0).all()):
        raise ValueError(
            "counts must be numbers >= 0 of shape (C,) or (images, C),"
            f" got {counts.dtype} {tuple(counts.shape)}"
        )
    images = counts.double().reshape(-1, counts.shape[-1])
    pixels = images.sum(0)  # (C,)
    present = pixels > 0
    if not (bool(present.any()) and bool(pixels.isfinite().all())):
        raise ValueError(f"counts must hold a pixel of one class at least, got {pixels.tolist()}")
    if method == "median_frequency":
        where_it_occurs = ((images > 0) * images.sum(1, keepdim=True)).sum(0)
        frequency = pixels / where_it_occurs
        weight = frequency[present].quantile(0.5) / frequency
    elif method == "inverse_log":
        weight = 1 / (1.02 + pixels / pixels.sum()).log()
    else:
        raise ValueError(f"method must be 'median_frequency' or 'inverse_log', got {method!r}")
    return torch.where(present, weight, 0.0).float()


class Loss(Protocol):
    """What all losses have in common."""

    def __call__(
        self,
        logits: Tensor,
        mask: Tensor,
        *,
        weight: Tensor | None = None,
        ignore_index: int = 255,
    ) -> Tensor: ...


class PixelLoss(Protocol):
    """A loss that is a quotient of two sums over pixels: processes add up each and divide once."""

    @overload
    def __call__(
        self,
        logits: Tensor,
        mask: Tensor,
        *,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        reduction: Literal["mean"] = "mean",
    ) -> Tensor: ...
    @overload
    def __call__(
        self,
        logits: Tensor,
        mask: Tensor,
        *,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        reduction: Literal["sum_and_count"],
    ) -> tuple[Tensor, Tensor]: ...


PIXEL_LOSSES: Mapping[str, PixelLoss] = {"cross_entropy": cross_entropy, "focal": focal}
LOSSES: Mapping[str, Loss] = {
    **PIXEL_LOSSES,
    "dice": dice,
    "cross_entropy+dice": cross_entropy_dice,
}

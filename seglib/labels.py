"""Labels and predictions as they come, as int64 tensors that were looked at."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Labels = Tensor | NDArray[np.generic]  # a tensor on any device, or an array


def checked_pair(
    prediction: Labels, mask: Labels, num_classes: int, ignore_index: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction and mask on the prediction's device, and where the mask holds a label.

    Args:
        prediction: integers, of the mask's shape, or floating-point logits (N, num_classes, H, W)
            for a mask (N, H, W) (also (num_classes, H, W) for (H, W)), of which the largest wins.
        mask: integers (…, H, W), the labels.
        num_classes: labels and predictions are 0 … num_classes − 1.
        ignore_index: the label of pixels whose prediction is never looked at.
    Returns:
        Predicted classes and labels, int64, and where they count, bool, each of the mask's shape.
    Raises:
        ValueError: if shapes or types do not fit, or if a label, a prediction or a logit that
            counts is not in 0 … num_classes − 1, or is not a number.
    """
    label = _integers("mask", _tensor("mask", mask))
    scores = _tensor("prediction", prediction)
    counted = label != ignore_index
    if scores.is_floating_point():
        predicted = _largest(scores, label, counted.to(scores.device), num_classes)
    else:
        predicted = _integers("prediction", scores)
    if predicted.shape != label.shape:
        raise ValueError(
            f"prediction has shape {tuple(scores.shape)}, the mask {tuple(label.shape)};"
            " they must be equal"
        )
    counted, label = counted.to(predicted.device), label.to(predicted.device)
    _check_range("mask", "label", label[counted], num_classes)
    _check_range("prediction", "class", predicted[counted], num_classes)
    return predicted, label, counted


def check_num_classes(num_classes: int) -> None:
    """Raises ValueError if it is not a positive integer."""
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes must be an integer >= 1, got {num_classes!r}")


def _largest(logits: Tensor, label: Tensor, counted: Tensor, num_classes: int) -> Tensor:
    """(N, C, H, W) → (N, H, W), refusing what argmax would hide: other channel counts, nan."""
    expected = (*label.shape[:-2], num_classes, *label.shape[-2:])
    if label.ndim not in (2, 3) or tuple(logits.shape) != expected:
        raise ValueError(
            f"prediction has shape {tuple(logits.shape)}, floating-point logits for a mask"
            f" {tuple(label.shape)} and num_classes={num_classes} must be {expected}"
        )
    largest, predicted = logits.detach().max(dim=-3)  # max hands a nan on
    if bool((largest.isnan() & counted).any()):
        raise ValueError(
            "prediction holds nan where the mask holds a label: the network has diverged"
        )
    return predicted


def _tensor(name: str, values: Labels) -> Tensor:
    if isinstance(values, Tensor):
        return values
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        # A copy of a type that torch knows: arrays may be read-only, reversed, 16-bit or
        # big-endian.
        wide = np.int64 if values.dtype.kind in "iu" else np.float64
        return torch.from_numpy(values.astype(wide, order="C"))
    kind = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
    raise ValueError(f"{name} must be a tensor or an array of numbers, got {kind}")


def _integers(name: str, values: Tensor) -> Tensor:
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise ValueError(f"{name} must hold integers, got {values.dtype}")
    if values.ndim < 2:
        raise ValueError(f"{name} must have the shape (..., H, W), got {tuple(values.shape)}")
    return values.to(torch.int64)


def _check_range(name: str, what: str, values: Tensor, num_classes: int) -> None:
    if values.numel() == 0:
        return
    low, high = (int(bound) for bound in torch.aminmax(values))
    if low < 0 or high >= num_classes:
        worst = low if low < 0 else high
        raise ValueError(
            f"{name} holds {what} {worst}, allowed is 0 to {num_classes - 1}"
            f" (num_classes={num_classes})"
        )

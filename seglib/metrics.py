"""Segmentation scores from one confusion matrix, counted image by image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Labels = Tensor | NDArray[np.generic]  # what `update` takes: a tensor on any device, or an array


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says, as fractions of 1; nan where there is nothing to divide by.

    With n[i, j] pixels of label i predicted as j, t[i] = Σ_j n[i, j] of label i, p[j] = Σ_i n[i, j]
    predicted as j:

    Attributes:
        overall_accuracy: Σ n[i, i] / Σ t[i].
        mean_accuracy: mean of n[i, i] / t[i] over the classes that occur as a label.
        frequency_weighted_iou: Σ t[i] · IoU[i] / Σ t[i].
        mean_iou: mean of IoU over the classes that occur as a label or as a prediction.
        class_iou: IoU[i] = n[i, i] / (t[i] + p[i] − n[i, i]), one per class; nan for a class that
            occurs in neither.
        class_accuracy: n[i, i] / t[i], one per class; nan for a class without a label.
        num_pixels: pixels counted, the ignored ones left out.
    Source: Long et al., Fully Convolutional Networks, §5 (arXiv 1411.4038).
    """

    overall_accuracy: float
    mean_accuracy: float
    frequency_weighted_iou: float
    mean_iou: float
    class_iou: tuple[float, ...]
    class_accuracy: tuple[float, ...]
    num_pixels: int

    @property
    def frequency_weighted_accuracy(self) -> float:
        """Another name for `frequency_weighted_iou`, the one under which much public code prints it
        ("FreqW Acc").

        Weighting the accuracies themselves by frequency would give back `overall_accuracy`: t[i]
        cancels.
        """
        return self.frequency_weighted_iou

    def as_dict(self) -> dict[str, float | int | list[float | None] | None]:
        """All figures by name, ready for JSON, which has no nan: None stands for it."""
        return {
            "overall_accuracy": _none_for_nan(self.overall_accuracy),
            "mean_accuracy": _none_for_nan(self.mean_accuracy),
            "frequency_weighted_accuracy": _none_for_nan(self.frequency_weighted_accuracy),
            "frequency_weighted_iou": _none_for_nan(self.frequency_weighted_iou),
            "mean_iou": _none_for_nan(self.mean_iou),
            "class_iou": [_none_for_nan(iou) for iou in self.class_iou],
            "class_accuracy": [_none_for_nan(accuracy) for accuracy in self.class_accuracy],
            "num_pixels": self.num_pixels,
        }

    def table(self, classes: Sequence[str] | None = None) -> str:
        """The scores as lines of text: one row per class, then the means.

        Args:
            classes: the names, one per class; default "class 0", "class 1", …
        Raises:
            ValueError: if the number of names is not the number of classes.
        """
        names = [f"class {i}" for i in range(len(self.class_iou))] if classes is None else classes
        if len(names) != len(self.class_iou):
            raise ValueError(
                f"classes has {len(names)} names, the scores are of {len(self.class_iou)} classes"
            )
        means = {
            "mean IoU": self.mean_iou,
            "overall accuracy": self.overall_accuracy,
            "mean accuracy": self.mean_accuracy,
            "frequency-weighted accuracy (IoU)": self.frequency_weighted_iou,
        }
        width = max(len(name) for name in [*names, *means])
        lines = [f"{'class':<{width}}      IoU  accuracy"]
        for name, iou, accuracy in zip(names, self.class_iou, self.class_accuracy, strict=True):
            lines.append(f"{name:<{width}}  {_figure(iou):>7}  {_figure(accuracy):>8}")
        lines.append("")
        lines += [f"{name:<{width}}  {_figure(value):>7}" for name, value in means.items()]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


class ConfusionMatrix:
    """Counts pixels by label and prediction, exactly, over as many images as you like.

    Args:
        num_classes: ≥ 1; labels and predictions are 0 … num_classes − 1.
        ignore_index: the label of pixels that are not counted. Their prediction is never looked at.
    Attributes:
        matrix: int64 (num_classes, num_classes) on the CPU; row: label, column: prediction.
    Raises:
        ValueError: if `num_classes` is not a positive integer. (Public code that adds up `n · label
            + prediction` without a check counts a prediction of −1 or n in a neighbouring cell.)
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
            raise ValueError(f"num_classes must be an integer >= 1, got {num_classes!r}")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)

    def reset(self) -> None:
        """Forget everything counted so far."""
        self.matrix = torch.zeros_like(self.matrix)

    def update(self, prediction: Labels, mask: Labels) -> None:
        """Count the pixels of one image or one batch; if it raises, nothing was counted.

        Args:
            prediction: integers, of the mask's shape, or floating-point logits (N, num_classes, H,
                W) for a mask (N, H, W) (also (num_classes, H, W) for (H, W)), of which the largest
                wins.
            mask: integers (…, H, W), the labels.
        Raises:
            ValueError: if shapes or types do not fit, or if a label, a prediction or a logit that
                counts is not in 0 … num_classes − 1, or is not a number.
        """
        label = _integers("mask", _tensor("mask", mask))
        scores = _tensor("prediction", prediction)
        counted = label != self.ignore_index
        if scores.is_floating_point():
            predicted = self._largest(scores, label, counted.to(scores.device))
        else:
            predicted = _integers("prediction", scores)
        if predicted.shape != label.shape:
            raise ValueError(
                f"prediction has shape {tuple(scores.shape)}, the mask {tuple(label.shape)};"
                " they must be equal"
            )
        counted, label = counted.to(predicted.device), label.to(predicted.device)
        row, column = label[counted], predicted[counted]
        _check_range("mask", "label", row, self.num_classes)
        _check_range("prediction", "class", column, self.num_classes)
        cells = torch.bincount(row * self.num_classes + column, minlength=self.num_classes**2)
        # A new tensor, so that a matrix someone holds does not change under their hands.
        self.matrix = self.matrix + cells.reshape(self.matrix.shape).cpu()

    def _largest(self, logits: Tensor, label: Tensor, counted: Tensor) -> Tensor:
        """(N, C, H, W) → (N, H, W), refusing what argmax would hide: other channel counts, nan."""
        expected = (*label.shape[:-2], self.num_classes, *label.shape[-2:])
        if label.ndim not in (2, 3) or tuple(logits.shape) != expected:
            raise ValueError(
                f"prediction has shape {tuple(logits.shape)}, floating-point logits for a mask"
                f" {tuple(label.shape)} and num_classes={self.num_classes} must be {expected}"
            )
        largest, predicted = logits.detach().max(dim=-3)  # max hands a nan on
        if bool((largest.isnan() & counted).any()):
            raise ValueError(
                "prediction holds nan where the mask holds a label: the network has diverged"
            )
        return predicted

    def merge(self, other: ConfusionMatrix) -> None:
        """Add what `other` has counted, another process's share of the data, say.

        Raises:
            ValueError: if the two differ in `num_classes` or `ignore_index`.
        """
        for name in ("num_classes", "ignore_index"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise ValueError(f"other has {name}={theirs}, it must be {mine} as here")
        self.matrix = self.matrix + other.matrix

    def compute(self) -> Scores:
        """The scores of everything counted so far, in double precision."""
        matrix = self.matrix.double()
        hit, label, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
        iou = hit / (label + predicted - hit)  # 0 / 0 is nan: the class is absent
        accuracy = hit / label
        weighted = torch.where(label > 0, label * iou, 0.0)
        return Scores(
            overall_accuracy=(hit.sum() / label.sum()).item(),
            mean_accuracy=accuracy.nanmean().item(),
            frequency_weighted_iou=(weighted.sum() / label.sum()).item(),
            mean_iou=iou.nanmean().item(),
            class_iou=tuple(iou.tolist()),
            class_accuracy=tuple(accuracy.tolist()),
            num_pixels=int(self.matrix.sum()),
        )


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


def _none_for_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"

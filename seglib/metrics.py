"""Segmentation scores from one confusion matrix, counted image by image; averages of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seglib.distributed import sum_of_counts, world_size
from seglib.labels import Labels, check_num_classes, checked_pair


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
            "overall_accuracy": none_for_nan(self.overall_accuracy),
            "mean_accuracy": none_for_nan(self.mean_accuracy),
            "frequency_weighted_accuracy": none_for_nan(self.frequency_weighted_accuracy),
            "frequency_weighted_iou": none_for_nan(self.frequency_weighted_iou),
            "mean_iou": none_for_nan(self.mean_iou),
            "class_iou": [none_for_nan(iou) for iou in self.class_iou],
            "class_accuracy": [none_for_nan(accuracy) for accuracy in self.class_accuracy],
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
        check_num_classes(num_classes)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.reset()

    def reset(self) -> None:
        """Forget everything counted so far."""
        self.matrix = torch.zeros(self.num_classes, self.num_classes, dtype=torch.int64)
        self._gathered = torch.zeros_like(self.matrix)  # what other processes have counted

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
        predicted, label, counted = checked_pair(
            prediction, mask, self.num_classes, self.ignore_index
        )
        row, column = label[counted], predicted[counted]
        cells = torch.bincount(row * self.num_classes + column, minlength=self.num_classes**2)
        # A new tensor, so that a matrix someone holds does not change under their hands.
        self.matrix = self.matrix + cells.reshape(self.matrix.shape).cpu()

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

    def gather(self) -> None:
        """Add what all other processes have counted; afterwards each holds the sum over all.

        Every process of torch's default group has to call it, also one that counted nothing.
        Without such a group (one process) nothing happens. More images may be counted afterwards
        and gathered again: no pixel is added twice.
        """
        if world_size() > 1:
            own = self.matrix - self._gathered
            self.matrix = sum_of_counts(own)
            self._gathered = self.matrix - own

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


class RunningAverage:
    """The mean of numbers as they come: a loss over the steps since the last line printed, say.

    It starts as nan, the mean of nothing.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything averaged so far."""
        self._own = torch.zeros(2, dtype=torch.float64)  # Σ value · count, Σ count
        self._gathered = torch.zeros_like(self._own)  # the same, of all other processes

    def update(self, value: float | Tensor, count: float = 1) -> None:
        """Add a value that stands for `count` others: a batch's mean, and how many images it has.

        Args:
            value: a number, or a tensor of one element; its graph is not kept.
            count: its weight, finite and ≥ 0. (Public code counts every batch alike, also the last
                and smaller one.)
        Raises:
            ValueError: if `value` is no single number or `count` is out of its range.
        """
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise ValueError(f"value must be one number, got a tensor {tuple(value.shape)}")
            value = value.item()
        if not (count >= 0 and math.isfinite(count)):
            raise ValueError(f"count must be a finite number >= 0, got {count}")
        if count:  # 0 · nan is nan: what counts nothing is not looked at
            self._own += torch.tensor((value * count, count), dtype=torch.float64)

    def merge(self, other: RunningAverage) -> None:
        """Add what `other` has averaged."""
        self._own += other._own + other._gathered

    def gather(self) -> None:
        """Add what all other processes have averaged; see `ConfusionMatrix.gather`."""
        if world_size() > 1:
            self._gathered = sum_of_counts(self._own) - self._own

    @property
    def count(self) -> float:
        """Σ count of everything so far."""
        return (self._own + self._gathered)[1].item()

    def compute(self) -> float:
        """The mean of everything so far."""
        total, count = self._own + self._gathered
        return (total / count).item()


def none_for_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"

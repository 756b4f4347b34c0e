"""Scores of how well outlines fit: boundary IoU and boundary F-score, counted image by image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from seglib.distributed import sum_of_counts, world_size
from seglib.labels import Labels, check_num_classes, checked_pair
from seglib.metrics import none_for_nan


@dataclass(frozen=True)
class BoundaryResult:
    """What `BoundaryScores` has counted says, as fractions of 1; nan where there is nothing to
    divide by.

    Attributes:
        class_iou: boundary IoU, one per class; nan for a class that occurs neither as a label nor
            as a prediction.
        class_f_score: 2 · precision · recall / (precision + recall), one per class; 0 where nothing
            matches, nan for a class that has no contour in any mask or prediction.
        class_precision: share of the predicted contour's pixels that match the label's contour.
        class_recall: share of the label's contour pixels that match the predicted contour.
        mean_iou, mean_f_score: means over the classes that are not nan.
    """

    class_iou: tuple[float, ...]
    class_f_score: tuple[float, ...]
    class_precision: tuple[float, ...]
    class_recall: tuple[float, ...]
    mean_iou: float
    mean_f_score: float

    def as_dict(self) -> dict[str, float | list[float | None] | None]:
        """All figures by name, ready for JSON, which has no nan: None stands for it."""
        return {
            "boundary_iou": none_for_nan(self.mean_iou),
            "boundary_f_score": none_for_nan(self.mean_f_score),
            "class_boundary_iou": [none_for_nan(value) for value in self.class_iou],
            "class_boundary_f_score": [none_for_nan(value) for value in self.class_f_score],
            "class_boundary_precision": [none_for_nan(value) for value in self.class_precision],
            "class_boundary_recall": [none_for_nan(value) for value in self.class_recall],
        }


class BoundaryScores:
    """Counts, class by class, how the outlines in predictions and masks fit, over as many images as
    you like.

    Boundary IoU is the IoU of two bands: the pixels of a class no further than `width` from a pixel
    of another class or from outside the image, in the mask and in the prediction, distance the
    larger of |Δx| and |Δy|. The boundary F-score compares contours: a class's pixels with another
    class among their eight neighbours (the image's own border is no contour); a contour pixel
    matches where the other contour has a pixel of the same class no further than `tolerance`, in a
    straight line. Both divide sums over all images. (Public code averages over images or objects
    instead; DAVIS draws its contours half a pixel off, on the upper left side of an edge.)

    Pixels of label `ignore_index` are in no band and on no contour, and what lies beside them does
    not make one: neither their label nor their prediction is of another class. Where a strip of
    them parts all objects, as in VOC, few contours are left.

    Args:
        num_classes: ≥ 1; labels and predictions are 0 … num_classes − 1.
        width: of the bands: whole pixels (an int ≥ 1), or a share of the image's diagonal (a float
            in (0, 1)), rounded to pixels, at least 1. The paper has 0.02, for Cityscapes 0.005.
        tolerance: of the contours, likewise, but 0 pixels are allowed: contours must then coincide.
        ignore_index: the label of pixels that are not counted.
    Attributes:
        counts: int64 (num_classes, 6) on the CPU; columns: both bands, either band, predicted
            contour, of it matched, label contour, of it matched (pixels).
    Raises:
        ValueError: if an argument is out of its range.
    Source: Cheng et al., Boundary IoU (arXiv 2103.16562) and its authors' code; Csurka et al.,
        BMVC 2013; Perazzi et al., DAVIS, CVPR 2016, whose tolerance is 0.008.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: int | float = 0.02,
        tolerance: int | float = 0.0075,
        ignore_index: int = 255,
    ) -> None:
        check_num_classes(num_classes)
        _check_distance("width", width, 1)
        _check_distance("tolerance", tolerance, 0)
        self.num_classes = num_classes
        self.width = width
        self.tolerance = tolerance
        self.ignore_index = ignore_index
        self.reset()

    def reset(self) -> None:
        """Forget everything counted so far."""
        self.counts = torch.zeros(self.num_classes, 6, dtype=torch.int64)
        self._gathered = torch.zeros_like(self.counts)  # what other processes have counted

    def update(self, prediction: Labels, mask: Labels) -> None:
        """Count one image or one batch; if it raises, nothing was counted.

        Args:
            prediction, mask: as for `ConfusionMatrix.update`.
        Raises:
            ValueError: as `ConfusionMatrix.update`.
        """
        predicted, label, counted = checked_pair(
            prediction, mask, self.num_classes, self.ignore_index
        )
        predicted = predicted.masked_fill(~counted, -1)
        label = label.masked_fill(~counted, -1)
        images = (math.prod(label.shape[:-2]), *label.shape[-2:])
        # A new tensor, so that counts someone holds do not change under their hands.
        added = torch.zeros_like(self.counts)
        for pair in zip(predicted.reshape(images), label.reshape(images), strict=True):
            added += self._count(*pair).cpu()
        self.counts = self.counts + added

    def _count(self, predicted: Tensor, label: Tensor) -> Tensor:
        """The six counts of one image (H, W) whose pixels are −1 where they do not count."""
        height, width = label.shape
        if label.numel() == 0:
            return torch.zeros_like(self.counts)
        diagonal = math.hypot(height, width)
        radius = _pixels(self.width, diagonal)
        bands = [near_other_class(labels, radius, outside=True) for labels in (predicted, label)]
        band_p, band_l = self._sizes(predicted, bands[0]), self._sizes(label, bands[1])
        both = self._sizes(label, bands[0] & bands[1] & (predicted == label))

        radius = _pixels(self.tolerance, diagonal)
        contours = [near_other_class(labels, 1, outside=False) for labels in (predicted, label)]
        found, there = predicted.where(contours[0], -1), label.where(contours[1], -1)
        columns = [
            both,
            band_p + band_l - both,
            self._sizes(predicted, contours[0]),
            self._sizes(predicted, near_same_class(found, there, radius)),
            self._sizes(label, contours[1]),
            self._sizes(label, near_same_class(there, found, radius)),
        ]
        return torch.stack(columns, dim=1)

    def _sizes(self, labels: Tensor, where: Tensor) -> Tensor:
        return torch.bincount(labels[where], minlength=self.num_classes)

    def merge(self, other: BoundaryScores) -> None:
        """Add what `other` has counted, another process's share of the data, say.

        Raises:
            ValueError: if the two differ in an argument they were made with.
        """
        for name in ("num_classes", "width", "tolerance", "ignore_index"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs or type(mine) is not type(theirs):
                raise ValueError(f"other has {name}={theirs}, it must be {mine} as here")
        self.counts = self.counts + other.counts

    def gather(self) -> None:
        """Add what all other processes have counted; see `ConfusionMatrix.gather`."""
        if world_size() > 1:
            own = self.counts - self._gathered
            self.counts = sum_of_counts(own)
            self._gathered = self.counts - own

    def compute(self) -> BoundaryResult:
        """The scores of everything counted so far, in double precision."""
        both, either, found, found_right, there, there_right = self.counts.double().unbind(1)
        iou = both / either  # 0 / 0 is nan: the class is absent
        precision, recall = found_right / found, there_right / there
        f_score = 2 * precision * recall / (precision + recall)
        nothing_matches = (found_right + there_right == 0) & (found + there > 0)
        f_score = torch.where(nothing_matches, 0.0, f_score)
        return BoundaryResult(
            class_iou=tuple(iou.tolist()),
            class_f_score=tuple(f_score.tolist()),
            class_precision=tuple(precision.tolist()),
            class_recall=tuple(recall.tolist()),
            mean_iou=iou.nanmean().item(),
            mean_f_score=f_score.nanmean().item(),
        )


def near_other_class(labels: Tensor, radius: int, *, outside: bool) -> Tensor:
    """Pixels that have a pixel of another class in the square of 2 · radius + 1 around them.

    Args:
        labels: (H, W), integers; −1 where there is none: such pixels are never near, nor another
            class.
        radius: in pixels, ≥ 1.
        outside: whether what lies beyond the image is another class.
    Returns:
        bool (H, W).
    """
    labels = labels.int()
    none = labels < 0
    # A window holds another class than mine where its largest or its smallest label is not mine:
    # two filters serve all classes. −1 never is the largest; for the smallest it is out of reach.
    largest = _filtered(labels, radius, torch.maximum, -1)
    above = torch.iinfo(labels.dtype).max
    smallest = _filtered(labels.masked_fill(none, above), radius, torch.minimum, above)
    near = (largest != labels) | (smallest != labels)
    if outside:
        near[:radius], near[-radius:], near[:, :radius], near[:, -radius:] = (True,) * 4
    return near & ~none


def near_same_class(points: Tensor, others: Tensor, radius: int) -> Tensor:
    """Points that have one of `others` of the same class no further than `radius` pixels away.

    Args:
        points, others: (H, W), integers; −1 where there is no point.
        radius: in pixels, ≥ 0; the distance is the Euclidean one.
    Returns:
        bool (H, W).
    """
    height, width = points.shape
    row = width + radius  # a window may reach into the next row, but not to its first point
    image = (height + radius) * row

    def keys(labels: Tensor) -> Tensor:
        """Each point as one number: class by class, row by row."""
        y, x = (labels >= 0).nonzero(as_tuple=True)
        return labels[y, x] * image + (y + radius) * row + x + radius

    here, there = keys(points), keys(others).sort().values
    near = torch.zeros_like(points, dtype=torch.bool)
    if len(there) == 0:
        return near
    matched = torch.zeros_like(here, dtype=torch.bool)
    for dy in range(-radius, radius + 1):
        reach = math.isqrt(radius * radius - dy * dy)
        first = here + dy * row - reach
        index = torch.searchsorted(there, first).clamp_max(len(there) - 1)
        matched |= (there[index] >= first) & (there[index] <= first + 2 * reach)
    near[points >= 0] = matched
    return near


def _filtered(
    labels: Tensor, radius: int, extreme: Callable[[Tensor, Tensor], Tensor], neutral: int
) -> Tensor:
    """The extreme of each pixel's square window; beyond the image all is `neutral`."""
    padded = torch.nn.functional.pad(labels, (radius,) * 4, value=neutral)
    for dim in (0, 1):
        covered = 1
        while covered < 2 * radius + 1:  # windows of 1, 2, 4 … pixels, then what is left
            step = min(covered, 2 * radius + 1 - covered)
            length = padded.shape[dim] - step
            padded = extreme(padded.narrow(dim, 0, length), padded.narrow(dim, step, length))
            covered += step
    return padded


def _check_distance(name: str, value: int | float, least: int) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
    share = isinstance(value, float) and 0 < value < 1
    if not (whole or share):
        raise ValueError(
            f"{name} must be pixels (an integer >= {least}) or a share of the image's diagonal"
            f" (a float between 0 and 1), got {value!r}"
        )


def _pixels(distance: int | float, diagonal: float) -> int:
    """A share of the diagonal is one pixel at least."""
    return distance if isinstance(distance, int) else max(1, round(distance * diagonal))

"""Class scores of images in bounded memory: windows that overlap, flips, scales, strip by strip."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglib.datasets.transforms import normalize
from seglib.layers import resize

MIN_SIZE = 32  # pixels: the networks' coarsest map is 1/32 of the image
# Pixels that go through the network at once, in one image or several: Cityscapes' whole image.
MAX_PIXELS = 2048 * 1024
AUTO_WINDOW = 1024  # pixels, side of the windows of an image that is larger
SCALES = (0.1, 10.0)  # smallest and largest factor


@dataclass(frozen=True)
class Views:
    """How an image is looked at.

    Args:
        window: (height, width) of the windows, in pixels of the image, each ≥ 32. None takes the
            whole image, and windows of 1024×1024 pixels (less, if `scales` enlarge it) where it has
            more than 2048·1024.
        overlap: share of a window that its neighbour covers too, at least, in [0, 1).
        flip: look at the mirrored image, too.
        scales: sizes at which to look, as factors, 0.1 to 10.
    Raises:
        ValueError: if one is out of its range.
    """

    window: tuple[int, int] | None = None
    overlap: float = 0.25
    flip: bool = False
    scales: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        window, scales = self.window, self.scales
        if window is not None and not (
            isinstance(window, Sequence)
            and len(window) == 2
            and all(type(side) is int and side >= MIN_SIZE for side in window)
        ):
            raise ValueError(
                f"window must be None or (height, width), integers >= {MIN_SIZE}, got {window!r}"
            )
        if not (_is_number(self.overlap) and 0 <= self.overlap < 1):
            raise ValueError(f"overlap must be at least 0 and below 1, got {self.overlap!r}")
        if not isinstance(self.flip, bool):
            raise ValueError(f"flip must be True or False, got {self.flip!r}")
        low, high = SCALES
        if not (
            isinstance(scales, Sequence)
            and scales
            and all(_is_number(scale) and low <= scale <= high for scale in scales)
        ):
            raise ValueError(
                f"scales must be one or more numbers from {low:g} to {high:g}, got {scales!r}"
            )

    @property
    def single(self) -> bool:
        """Whether the image is looked at once, as it is."""
        return not self.flip and list(self.scales) == [1]

    def window_for(self, height: int, width: int) -> tuple[int, int]:
        """The window's size for an image: its own where that is smaller."""
        window = self.window
        if window is None:
            enlarged = max(1.0, *self.scales)
            side = max(MIN_SIZE, int(AUTO_WINDOW / enlarged))
            fits = height * width * enlarged**2 <= MAX_PIXELS
            window = (height, width) if fits else (side, side)
        return min(window[0], height), min(window[1], width)

    def pixels(self, height: int, width: int) -> float:
        """Pixels of the largest view of a window."""
        return height * width * max(1.0, *self.scales) ** 2


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """First pixels of the fewest windows that cover `size` pixels and overlap enough, evenly
    spread; the last window ends with the image.
    """
    step = max(1, math.floor(window * (1 - overlap)))
    steps = math.ceil((size - window) / step)
    return [round(i * (size - window) / steps) for i in range(steps + 1)] if steps else [0]


def window_weight(height: int, width: int) -> Tensor:
    """What a window's pixels count where windows overlap: (height, width), in (0, 1].

    A raised cosine along each side, high in the middle and low at the border, where the network
    sees least of what is around. Its slope is 0 at both ends: no seam is left.
    """
    rows, columns = (
        torch.sin((torch.arange(size, dtype=torch.float64) + 0.5) * (math.pi / size)) ** 2
        for size in (height, width)
    )
    return (rows[:, None] * columns).float()


def view_scores(model: nn.Module, images: Tensor, views: Views) -> Tensor:
    """Scores of images (or windows) of one size, seen in every way: uint8 (N, 3, H, W) →
    (N, num_classes, H, W) float32.

    Logits if there is a single view; else the mean of the views' probabilities.
    """
    like = next(model.parameters(), torch.empty(0))
    dtype: torch.dtype = getattr(model, "input_dtype", like.dtype)
    x = normalize(images.to(like.device))  # (N, 3, H, W)
    if views.single:
        return _logits(model, x.to(dtype)).float()
    height, width = x.shape[-2:]
    total = x.new_zeros(())
    for scale in views.scales:
        size = max(1, round(height * scale)), max(1, round(width * scale))
        scaled = x
        if size != (height, width):
            scaled = F.interpolate(x, size=size, mode="bilinear", antialias=True)
        for mirrored in (False, True) if views.flip else (False,):
            seen = scaled.flip(-1) if mirrored else scaled
            logits = _logits(model, seen.to(dtype)).float()
            logits = resize(logits, (height, width)) if size != (height, width) else logits
            total = total + (logits.flip(-1) if mirrored else logits).softmax(dim=1)
    return total / (len(views.scales) * (1 + views.flip))


def _logits(model: nn.Module, x: Tensor) -> Tensor:
    """As `model(x)`; an image below 32 pixels is continued by its border pixels, for the model."""
    height, width = x.shape[-2:]
    missing = (0, max(0, MIN_SIZE - width), 0, max(0, MIN_SIZE - height))
    x = F.pad(x, missing, mode="replicate") if any(missing) else x  # (N, 3, ≥ 32, ≥ 32)
    with _evaluating(model), torch.no_grad():
        logits = model(x)
    if not isinstance(logits, Tensor) or logits.ndim != 4 or logits.shape[-2:] != x.shape[-2:]:
        raise ValueError("model must return logits (N, num_classes, H, W) of the image's size")
    return logits[:, :, :height, :width]


def window_strips(
    model: nn.Module, image: Tensor, views: Views, batch_size: int
) -> Iterator[Tensor]:
    """Class probabilities of one image from windows: uint8 (3, H, W) → strips
    (num_classes, rows, W) float32, which together have all rows, from the top.

    No more than the rows of one window are held: a strip is given away once the windows below
    begin, and is to be used before the next is asked for. Where windows overlap, their
    probabilities are blended, see `window_weight`.
    """
    height, width = image.shape[-2:]
    window = views.window_for(height, width)
    tops = window_starts(height, window[0], views.overlap)
    lefts = window_starts(width, window[1], views.overlap)
    at_once = max(1, min(batch_size, int(AUTO_WINDOW**2 / views.pixels(*window))))
    weight = window_weight(*window)
    total, weights = torch.empty(0), torch.empty(0)
    for top, next_top in zip(tops, [*tops[1:], height], strict=True):
        for first in range(0, len(lefts), at_once):
            columns = lefts[first : first + at_once]
            crops = [image[:, top : top + window[0], x : x + window[1]] for x in columns]
            scores = view_scores(model, torch.stack(crops), views)  # (n, num_classes, *window)
            scores = scores.softmax(dim=1) if views.single else scores
            if total.numel() == 0:
                total = scores.new_zeros(scores.shape[1], window[0], width)
                weights = scores.new_zeros(window[0], width)
                weight = weight.to(scores.device)
            for left, score in zip(columns, scores, strict=True):
                total[:, :, left : left + window[1]].addcmul_(score, weight)
                weights[:, left : left + window[1]] += weight
        done = next_top - top
        yield total[:, :done].div_(weights[:done])
        total, weights = (_shift_up(rows, done) for rows in (total, weights))


def _shift_up(rows: Tensor, count: int) -> Tensor:
    """Drop the first `count` rows of (…, rows, W), in place; as many rows of zeros follow."""
    kept = rows.shape[-2] - count
    for start in range(0, kept, count):  # pieces that do not overlap with their goal
        stop = min(start + count, kept)
        rows[..., start:stop, :] = rows[..., start + count : stop + count, :]
    rows[..., kept:, :] = 0
    return rows


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; after it every module in the mode it was in, frozen ones too."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

"""Prediction: images of any size and origin in, labels or probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seglib.exporting import export
from seglib.images import Picture, to_image
from seglib.optimisation import optimise
from seglib.sliding import MAX_PIXELS, Views, view_scores, window_strips

__all__ = ["export", "optimise", "predict", "predict_proba", "predict_strips"]

Join = Callable[[list[Tensor]], Tensor | list[Tensor]]


def predict(
    model: nn.Module,
    image: Picture | Sequence[Picture],
    *,
    batch_size: int = 8,
    device: str | torch.device | None = None,
    window: tuple[int, int] | None = None,
    overlap: float = 0.25,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
) -> Tensor | list[Tensor]:
    """The most likely class of every pixel.

    Images are normalised with ImageNet's mean and deviation, as for training. One that is smaller
    than 32 pixels is continued by its border pixels and the prediction cropped. The model computes
    in eval mode and is then as it was, every module's train mode included.

    No more than 2048·1024 pixels go through the model at once: a larger image is seen through
    windows of 1024×1024, and batches are made smaller. With MobileNetV2 that takes below 1 GB,
    however large the image. A `window` as large as the image takes it whole, whatever its size.

    Args:
        model: images (N, 3, H, W) → logits (N, num_classes, H, W), as `build_model` makes them.
        image: one picture: a path, a Pillow image, a uint8 array (H, W, 3) or tensor (3, H, W); or
            many: a list of those, of any sizes, or one uint8 tensor (N, 3, H, W) or array
            (N, H, W, 3). Float images are refused: whether they are normalised can't be seen.
        batch_size: images, or windows of an image, of equal size that go through the network at
            once, ≥ 1.
        device: where to compute; the model moves there and stays. Default: where it is.
        window: (height, width) of windows that move over the image, in pixels, each ≥ 32. Where
            they overlap, probabilities are blended, the middle of a window counting most.
        overlap: share of a window that its neighbour covers too, at least, in [0, 1).
        flip: look at the mirrored image, too.
        scales: sizes at which to look, as factors, 0.1 to 10. Of several views, `flip` and
            `scales`, the mean of the probabilities decides.
    Returns:
        int64 labels on the CPU: (H, W) for one picture, (N, H, W) for a tensor or an array of many,
        a list of (H, W) for a list.
    Raises:
        ValueError: if an argument is out of its range, or an image is damaged or of another type.
        FileNotFoundError: if a file is missing.
    """
    views = Views(window, overlap, flip, scales)
    pictures, join = _as_list(image)
    _prepare(model, batch_size, device)
    return join([scores.labels() for scores in _score_all(model, pictures, views, batch_size)])


def predict_proba(
    model: nn.Module,
    image: Picture | Sequence[Picture],
    *,
    batch_size: int = 8,
    device: str | torch.device | None = None,
    window: tuple[int, int] | None = None,
    overlap: float = 0.25,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
) -> Tensor | list[Tensor]:
    """The probability of every class at every pixel; their sum is 1.

    The arguments are those of `predict`, whose labels are the largest ones' classes.

    Returns:
        float32 on the CPU: (num_classes, H, W) for one picture, (N, num_classes, H, W) for a tensor
        or an array of many, a list of (num_classes, H, W) for a list. For images too large for
        that take `predict_strips`.
    Raises:
        ValueError, FileNotFoundError: as `predict`.
    """
    views = Views(window, overlap, flip, scales)
    pictures, join = _as_list(image)
    _prepare(model, batch_size, device)
    every = _score_all(model, pictures, views, batch_size)
    return join([scores.probabilities() for scores in every])


def predict_strips(
    model: nn.Module,
    image: Picture,
    *,
    batch_size: int = 8,
    device: str | torch.device | None = None,
    window: tuple[int, int] | None = None,
    overlap: float = 0.25,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
) -> Iterator[tuple[Tensor, Tensor]]:
    """Labels and probabilities of one picture, strip by strip from the top, in bounded memory.

    The arguments are those of `predict`. Windows give as many strips as there are windows in a
    column, a picture that is taken whole gives one.

    Returns:
        An iterator over int64 labels (rows, W) and float32 probabilities (num_classes, rows, W), on
        the CPU.
    Raises:
        ValueError, FileNotFoundError: as `predict`.
    """
    views = Views(window, overlap, flip, scales)
    if isinstance(image, list | tuple):
        raise ValueError(f"image must be one picture, got a {type(image).__name__}")
    loaded = to_image(image)
    _prepare(model, batch_size, device)
    scores = next(_score_all(model, [loaded], views, batch_size))
    return (  # the next strip is made in the place of this one
        (strip.argmax(dim=0).cpu(), scores.as_probabilities(strip).clone().cpu())
        for strip in scores.strips
    )


class Scores(NamedTuple):
    """Scores of one image's classes: strips (num_classes, rows, W) which together have `height`
    rows, from the top.
    """

    strips: Iterable[Tensor]
    are_logits: bool
    height: int

    def labels(self) -> Tensor:
        """int64 (H, W)."""
        return torch.cat([strip.argmax(dim=0).cpu() for strip in self.strips])

    def probabilities(self) -> Tensor:
        """float32 (num_classes, H, W)."""
        result, top = torch.empty(0), 0
        for strip in self.strips:  # not joined at the end: that would hold everything twice
            if top == 0:
                result = torch.empty(strip.shape[0], self.height, strip.shape[2])
            result[:, top : top + strip.shape[1]] = self.as_probabilities(strip)
            top += strip.shape[1]
        return result

    def as_probabilities(self, strip: Tensor) -> Tensor:
        return strip.softmax(dim=0) if self.are_logits else strip


def _prepare(model: nn.Module, batch_size: int, device: str | torch.device | None) -> None:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be an integer >= 1, got {batch_size!r}")
    if device is not None:
        model.to(device)


def _as_list(image: Picture | Sequence[Picture]) -> tuple[Sequence[Picture], Join]:
    """The pictures, and how to return what was made of each in the form they came in."""
    if isinstance(image, Tensor | np.ndarray) and image.ndim == 4:
        if len(image) == 0:
            raise ValueError(f"image must hold at least one image, got shape {tuple(image.shape)}")
        return list(image), torch.stack
    if isinstance(image, list | tuple):
        return image, list
    return [image], lambda results: results[0]  # type: ignore[list-item]


def _score_all(
    model: nn.Module, pictures: Sequence[Picture], views: Views, batch_size: int
) -> Iterator[Scores]:
    """Scores of each picture, in order; use one before the next is asked for.

    Neighbours of equal size that are taken whole share a batch; only one batch is in memory.
    """
    batch: list[Tensor] = []
    limit = batch_size
    for index, picture in enumerate(pictures):
        name = "image" if len(pictures) == 1 else f"image {index}"
        loaded = to_image(picture, name)
        height, width = loaded.shape[-2:]
        if batch and (len(batch) >= limit or loaded.shape != batch[0].shape):
            yield from _score_whole(model, batch, views)
            batch = []
        if views.window_for(height, width) == (height, width):
            batch.append(loaded)
            limit = min(batch_size, int(MAX_PIXELS / views.pixels(height, width)))
        else:
            yield Scores(window_strips(model, loaded, views, batch_size), False, height)
    if batch:
        yield from _score_whole(model, batch, views)


def _score_whole(model: nn.Module, batch: list[Tensor], views: Views) -> Iterator[Scores]:
    for scores in view_scores(model, torch.stack(batch), views):
        yield Scores([scores], views.single, scores.shape[1])

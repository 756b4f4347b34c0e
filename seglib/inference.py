"""Prediction: images of any size and origin in, labels out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglib.datasets.transforms import normalize
from seglib.images import Picture, to_image

MIN_SIZE = 32  # pixels: the networks' coarsest map is 1/32 of the image


def predict(
    model: nn.Module,
    image: Picture | Sequence[Picture],
    *,
    batch_size: int = 8,
    device: str | torch.device | None = None,
) -> Tensor | list[Tensor]:
    """The most likely class of every pixel.

    Images are normalised with ImageNet's mean and deviation, as for training. One that is smaller
    than 32 pixels is continued by its border pixels and the prediction cropped. The model computes
    in eval mode and is then as it was, every module's train mode included.

    Args:
        model: images (N, 3, H, W) → logits (N, num_classes, H, W), as `build_model` makes them.
        image: one picture: a path, a Pillow image, a uint8 array (H, W, 3) or tensor (3, H, W); or
            many: a list of those, of any sizes, or one uint8 tensor (N, 3, H, W) or array
            (N, H, W, 3). Float images are refused: whether they are normalised can't be seen.
        batch_size: images of equal size that go through the network at once, ≥ 1.
        device: where to compute; the model moves there and stays. Default: where it is.
    Returns:
        int64 labels on the CPU: (H, W) for one picture, (N, H, W) for a tensor or an array of many,
        a list of (H, W) for a list.
    Raises:
        ValueError: if an argument is out of its range, or an image is damaged or of another type.
        FileNotFoundError: if a file is missing.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be an integer >= 1, got {batch_size!r}")
    if device is not None:
        model.to(device)
    if isinstance(image, Tensor | np.ndarray) and image.ndim == 4:
        if len(image) == 0:
            raise ValueError(f"image must hold at least one image, got shape {tuple(image.shape)}")
        return torch.stack(list(_predict_all(model, list(image), batch_size)))
    if isinstance(image, list | tuple):
        return list(_predict_all(model, image, batch_size))
    return next(_predict_all(model, [image], 1))  # type: ignore[list-item]


def _predict_all(
    model: nn.Module, pictures: Sequence[Picture], batch_size: int
) -> Iterator[Tensor]:
    """Labels in order; neighbours of equal size share a batch, only one batch is in memory."""
    batch: list[Tensor] = []
    for index, picture in enumerate(pictures):
        name = "image" if len(pictures) == 1 else f"image {index}"
        loaded = to_image(picture, name)
        if batch and (len(batch) == batch_size or loaded.shape != batch[0].shape):
            yield from _labels(model, batch)
            batch = []
        batch.append(loaded)
    if batch:
        yield from _labels(model, batch)


def _labels(model: nn.Module, batch: list[Tensor]) -> Tensor:
    """uint8 images (3, H, W) of one size → labels (N, H, W)."""
    like = next(model.parameters(), torch.empty(0))
    height, width = batch[0].shape[-2:]
    x = normalize(torch.stack([image.to(like.device) for image in batch])).to(like.dtype)
    missing = (0, max(0, MIN_SIZE - width), 0, max(0, MIN_SIZE - height))
    x = F.pad(x, missing, mode="replicate")  # (N, 3, ≥ 32, ≥ 32)
    with _evaluating(model), torch.no_grad():
        logits = model(x)
    if not isinstance(logits, Tensor) or logits.ndim != 4 or logits.shape[-2:] != x.shape[-2:]:
        raise ValueError("model must return logits (N, num_classes, H, W) of the image's size")
    return logits[:, :, :height, :width].argmax(dim=1).cpu()


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

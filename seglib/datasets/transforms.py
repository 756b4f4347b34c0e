"""Joint transforms of image and mask, on torchvision's v2 transforms.

Every random choice comes from torch's generator, so `torch.manual_seed` repeats it. Masks are never
interpolated.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional

from seglib.datasets.base import IGNORE_INDEX

MEAN = (0.485, 0.456, 0.406)  # ImageNet's, of RGB in 0 … 1
STD = (0.229, 0.224, 0.225)


class RandomScale(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Resize image and mask by one factor, drawn log-uniformly: halving is as likely as doubling.

    The image is resized bilinearly, the mask by its nearest pixel centre: torchvision's own resize
    of masks takes the nearest corner, which shifts them by up to half a pixel.
    """

    def __init__(self, scale: tuple[float, float]) -> None:
        super().__init__()
        self.scale = scale

    def make_params(self, flat_inputs: list[object]) -> dict[str, float]:
        low, high = torch.tensor(self.scale, dtype=torch.float64).log().tolist()
        return {"factor": float(torch.empty((), dtype=torch.float64).uniform_(low, high).exp())}

    def transform(self, inpt: Tensor, params: dict[str, float]) -> Tensor:
        height, width = functional.get_size(inpt)
        size = [max(1, round(height * params["factor"])), max(1, round(width * params["factor"]))]
        if not isinstance(inpt, tv_tensors.Mask):
            scaled: Tensor = functional.resize(inpt, size, antialias=True)
            return scaled
        values = inpt.as_subclass(Tensor)[None]  # (1, H, W)
        resized = functional.resize_image(values, size, InterpolationMode.NEAREST_EXACT)
        return tv_tensors.Mask(resized[0])


def train_transform(
    crop_size: tuple[int, int],
    *,
    scale: tuple[float, float] = (0.5, 2.0),
    hflip: float = 0.5,
    color_jitter: float = 0.25,
) -> v2.Transform:
    """Augmentation for training: colours, size, place and side change; what a pixel is does not.

    Args:
        crop_size: (height, width) of the result, in pixels. Where the scaled image is smaller, the
            image is padded with ImageNet's mean colour (0 once normalised) and the mask with 255.
        scale: smallest and largest factor of the random resize, 0 < smallest ≤ largest.
        hflip: probability of mirroring left and right, 0 … 1.
        color_jitter: largest relative change of brightness, contrast and saturation, 0 ≤ value < 1.
    Returns:
        A callable `(image, mask) -> (image, mask)`: float32 (3, height, width), normalised, and
        int64 (height, width).
    Raises:
        ValueError: if an argument is out of its range.
    """
    if len(crop_size) != 2 or min(crop_size) < 1:
        raise ValueError(
            f"crop_size must be two positive integers (height, width), got {crop_size}"
        )
    if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
        raise ValueError(
            f"scale must be (smallest, largest) with 0 < smallest ≤ largest, got {scale}"
        )
    if not 0 <= hflip <= 1:
        raise ValueError(f"hflip must be a probability between 0 and 1, got {hflip}")
    if not 0 <= color_jitter < 1:
        raise ValueError(f"color_jitter must be at least 0 and below 1, got {color_jitter}")
    mean_color = [round(255 * value) for value in MEAN]
    fill = {tv_tensors.Image: mean_color, tv_tensors.Mask: IGNORE_INDEX}
    return v2.Compose(
        [
            v2.ColorJitter(color_jitter, color_jitter, color_jitter),
            RandomScale(scale),
            v2.RandomCrop(crop_size, pad_if_needed=True, fill=fill),
            v2.RandomHorizontalFlip(hflip),
            *_to_network_input(),
        ]
    )


def eval_transform() -> v2.Transform:
    """What the network needs, no more: `(image, mask)` → normalised float32 image, same mask."""
    return v2.Compose(_to_network_input())


def normalize(image: Tensor) -> Tensor:
    """Scale RGB (…, 3, H, W), uint8 or float in 0 … 1, by ImageNet's mean and deviation."""
    scaled = functional.to_dtype(image, torch.float32, scale=True)
    normalized: Tensor = functional.normalize(scaled, list(MEAN), list(STD))
    return normalized


def denormalize(image: Tensor) -> Tensor:
    """Undo `normalize`: (…, 3, H, W) → float32 in 0 … 1, for showing."""
    mean = image.new_tensor(MEAN).view(3, 1, 1)
    std = image.new_tensor(STD).view(3, 1, 1)
    return (image * std + mean).clamp(0, 1)


def _to_network_input() -> list[v2.Transform]:
    return [
        v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
        v2.Normalize(list(MEAN), list(STD)),
        v2.ToPureTensor(),
    ]

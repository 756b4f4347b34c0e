"""Joint transforms of image and mask, on torchvision's v2 transforms.

Every random choice comes from torch's generator, so `torch.manual_seed` repeats it. Masks are
`tv_tensors.Mask`: never interpolated, never recoloured, padded with 255.

| to do                | take                                                               |
|----------------------|--------------------------------------------------------------------|
| one after the other  | `v2.Compose([…])`                                                  |
| flip                 | `v2.RandomHorizontalFlip(p)`, `v2.RandomVerticalFlip(p)`           |
| resize to a size     | `Resize((height, width))`, `Resize(shorter_side)`                  |
| resize by a factor   | `Scale(factor)`, `RandomScale((low, high))`                        |
| crop                 | `v2.RandomCrop(size, pad_if_needed=True, fill=FILL)`               |
| crop the middle      | `CenterCrop((height, width))`                                      |
| rotate               | `v2.RandomRotation(degrees, interpolation=BILINEAR, fill=FILL)`    |
| pad                  | `v2.Pad((left, top, right, bottom), fill=FILL)`, `PadToMultiple()` |
| change colours       | `v2.ColorJitter(brightness, contrast, saturation, hue)`            |
| your own function    | `v2.Lambda(function, tv_tensors.Image)`; name the type, or the     |
|                      | mask goes through it, too                                          |
| to a float tensor    | `v2.ToDtype({Image: torch.float32, "others": None}, scale=True)`   |
| normalise            | `v2.Normalize(MEAN, STD)`; on tensors `normalize`, `denormalize`   |

Without `fill=FILL`, v2 pads masks with 0, which is a class. `FILL` is for images of uint8: what
moves pixels comes before what makes them floats. `v2.Resize` and `v2.CenterCrop` are wrong for
masks (see `seglib.datasets.resizing`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from seglib.datasets.resizing import (
    FILL,
    MEAN,
    STD,
    CenterCrop,
    PadToMultiple,
    RandomScale,
    Resize,
    Scale,
)

__all__ = [
    "FILL",
    "MEAN",
    "STD",
    "TRAIN",
    "Augmentation",
    "CenterCrop",
    "PadToMultiple",
    "RandomScale",
    "Resize",
    "Scale",
    "denormalize",
    "eval_preset",
    "eval_transform",
    "normalize",
    "train_preset",
    "train_transform",
]


@dataclass(frozen=True)
class Augmentation:
    """How a data set's images are varied in training; the arguments of `train_transform`."""

    crop_size: tuple[int, int]  # (height, width), pixels
    scale: tuple[float, float]
    hflip: float
    color_jitter: float


_VOC = Augmentation((513, 513), (0.5, 2.0), 0.5, 0.0)
# voc: Chen et al., DeepLabV3 (arXiv 1706.05587), §4. cityscapes: VainF's DeepLabV3Plus-Pytorch. The
# others are seglib's: crops for which a laptop suffices.
TRAIN: Mapping[str, Augmentation] = MappingProxyType(
    {
        # data set:                crop_size, scale, hflip, color_jitter
        "toystreet": Augmentation((120, 160), (0.5, 2.0), 0.5, 0.25),
        "camvid": Augmentation((192, 256), (0.5, 2.0), 0.5, 0.25),
        "voc": _VOC,
        **{f"voc{year}": _VOC for year in range(2007, 2013)},
        "voc2012_aug": _VOC,
        "cityscapes": Augmentation((768, 768), (1.0, 1.0), 0.5, 0.5),
        "pets": Augmentation((256, 256), (0.5, 2.0), 0.5, 0.25),
        "folder": Augmentation((256, 256), (0.5, 2.0), 0.5, 0.25),
    }
)


def train_preset(name: str, crop_size: tuple[int, int] | None = None) -> v2.Transform:
    """`train_transform` as `TRAIN` has it for a data set.

    Args:
        name: the data set's, as `build_dataset` knows it.
        crop_size: (height, width) in pixels, instead of the table's.
    Raises:
        ValueError: if the name is unknown, or the crop out of its range.
    """
    preset = _preset(name)
    return train_transform(
        preset.crop_size if crop_size is None else crop_size,
        scale=preset.scale,
        hflip=preset.hflip,
        color_jitter=preset.color_jitter,
    )


def eval_preset(name: str, crop: bool = False) -> v2.Transform:
    """`eval_transform` for a data set: the whole image, as scores are published; or its middle.

    Args:
        name: the data set's, as `build_dataset` knows it.
        crop: cut out the middle in the size of the training's crop, so that images of different
            sizes go into one batch. The scores are then those of the crops.
    Raises:
        ValueError: if the name is unknown.
    """
    preset = _preset(name)
    return eval_transform(preset.crop_size if crop else None)


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
    _check_crop_size(crop_size)
    if not 0 <= hflip <= 1:
        raise ValueError(f"hflip must be a probability between 0 and 1, got {hflip}")
    if not 0 <= color_jitter < 1:
        raise ValueError(f"color_jitter must be at least 0 and below 1, got {color_jitter}")
    return v2.Compose(
        [
            v2.ColorJitter(color_jitter, color_jitter, color_jitter),
            RandomScale(scale),
            v2.RandomCrop(crop_size, pad_if_needed=True, fill=FILL),
            v2.RandomHorizontalFlip(hflip),
            *_to_network_input(),
        ]
    )


def eval_transform(crop_size: tuple[int, int] | None = None) -> v2.Transform:
    """What the network needs, no more: `(image, mask)` → normalised float32 image, same mask.

    Args:
        crop_size: (height, width) in pixels: make the image's shorter side as long as the longer
            one of these, and cut out the middle. Default: the whole image as it is.
    Raises:
        ValueError: if `crop_size` is out of its range.
    """
    if crop_size is None:
        return v2.Compose(_to_network_input())
    _check_crop_size(crop_size)
    return v2.Compose([Resize(max(crop_size)), CenterCrop(crop_size), *_to_network_input()])


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


def _preset(name: str) -> Augmentation:
    if name not in TRAIN:
        raise ValueError(f"name must be one of {', '.join(TRAIN)}, got {name!r}")
    return TRAIN[name]


def _check_crop_size(crop_size: tuple[int, int]) -> None:
    if len(crop_size) != 2 or min(crop_size) < 1:
        raise ValueError(
            f"crop_size must be two positive integers (height, width), got {crop_size}"
        )


def _to_network_input() -> list[v2.Transform]:
    return [
        v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
        v2.Normalize(list(MEAN), list(STD)),
        v2.ToPureTensor(),
    ]

"""The network and the data that chapter 14, the checkpoint and the quality benchmark share."""

from __future__ import annotations

import torch

from seglib.datasets import SegmentationDataset, build_dataset
from seglib.datasets.transforms import train_transform
from seglib.models import SegmentationModel, build_model

SIZE = (120, 160)  # of ToyStreet's images, in pixels
BATCH_SIZE = 8
LR = 0.02  # of AdamW; from scratch, with BatchNorm everywhere, it bears more than fine-tuning does
WEIGHT_DECAY = 1e-3


def network(seed: int, *, small: bool = False) -> SegmentationModel:
    """A DeepLabV3+-MobileNetV2 with fresh weights, the same for the same seed.

    ASPP's rates are half the usual ones: the map of a 160×120 image is 10×8, and a rate of 12 or 18
    would read little but padding.

    Args:
        seed: of the weights.
        small: chapter 14's, 531,099 parameters, quicker; else the checkpoint's, 623,947, better.
    """
    width_mult = 0.35 if small else 0.5
    head = {"aspp_channels": 64, "low_level_channels": 24}
    if not small:
        head = {"aspp_channels": 96, "low_level_channels": 32, "separable": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(
            "deeplabv3plus_mobilenetv2",
            num_classes=11,
            backbone_options={"width_mult": width_mult},
            head_options={**head, "aspp_rates": (3, 6, 9)},
        )


def train_split(crop_size: tuple[int, int] = SIZE) -> SegmentationDataset:
    """ToyStreet's training images, gently augmented: short runs gain little from more."""
    transform = train_transform(crop_size, scale=(0.8, 1.4), color_jitter=0.15)
    return build_dataset("toystreet", "train", transform=transform)

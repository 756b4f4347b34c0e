"""The network and the data that chapter 14, the checkpoint and the quality benchmark share."""

from __future__ import annotations

import torch

from seglib.datasets import SegmentationDataset, build_dataset
from seglib.datasets.transforms import train_transform
from seglib.models import SegmentationModel, build_model

SIZE = (120, 160)  # of ToyStreet's images, in pixels
LR = 0.015  # of AdamW; from scratch, with BatchNorm everywhere, it bears more than fine-tuning


def network(seed: int) -> SegmentationModel:
    """A small DeepLabV3+-MobileNetV2 with fresh weights, the same for the same seed.

    ASPP's rates are half the usual ones: the map of a 160×120 image is 10×8, and a rate of 12 or 18
    would read little but padding.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(
            "deeplabv3plus_mobilenetv2",
            num_classes=11,
            backbone_options={"width_mult": 0.5},
            head_options={
                "aspp_channels": 96,
                "low_level_channels": 32,
                "separable": True,
                "aspp_rates": (3, 6, 9),
            },
        )


def train_split(
    *, scale: tuple[float, float] = (1.0, 1.0), jitter: float = 0.1
) -> SegmentationDataset:
    """ToyStreet's training images, augmented gently: only long runs gain from more."""
    transform = train_transform(SIZE, scale=scale, color_jitter=jitter)
    return build_dataset("toystreet", "train", transform=transform)

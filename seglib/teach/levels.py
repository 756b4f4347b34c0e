"""What is each level of a feature pyramid good for? Small heads on frozen maps of ToyStreet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.datasets import build_dataset
from seglib.datasets.transforms import normalize
from seglib.heads import FPN, FPNHead
from seglib.layers import ConvNormAct, resize
from seglib.metrics import ConfusionMatrix
from seglib.models import SegmentationModel
from seglib.teach.objects import components, shares

OBJECTS = ("car", "pedestrian", "bicyclist", "sign")
EDGES = (4, 8, 16, 1000)  # √pixels: small from 4 on, middle from 8, large from 16
NUM_CLASSES = 11
CHANNELS = 64
BATCH_SIZE = 8
LR = 0.005  # of AdamW at the first step; falls linearly
Kind = Literal["sum", "separate", "finest"]


@dataclass(frozen=True)
class Streets:
    """A split of ToyStreet as a frozen backbone sees it.

    Attributes:
        maps: high resolution first, each (N, C, H, W).
        labels: int64 (N, H, W), 255 where a pixel does not count.
    """

    maps: list[Tensor]
    labels: Tensor


class FinestLevel(nn.Module):
    """A pyramid of which only the finest result is read: 3×3 convolution, GroupNorm, ReLU, 1×1."""

    def __init__(self, widths: Sequence[int], num_classes: int, channels: int) -> None:
        super().__init__()
        self.fpn = FPN(widths, channels)
        self.branch = ConvNormAct(channels, channels, norm_layer=partial(nn.GroupNorm, 32))
        self.classifier = nn.Conv2d(channels, num_classes, kernel_size=1)

    def forward(self, features: list[Tensor]) -> Tensor:
        logits: Tensor = self.classifier(self.branch(self.fpn(features)[0]))
        return logits


class WithoutTopDown(FPN):
    """Every level on its own: lateral convolution and smoothing, no sum of levels."""

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        blocks = zip(self.inner_blocks, self.layer_blocks, features, strict=True)
        return [smooth(lateral(x)) for lateral, smooth, x in blocks]


def frozen_streets(model: SegmentationModel, split: str) -> Streets:
    """Run the backbone of `model` once, in eval mode, over a split of ToyStreet."""
    data = build_dataset("toystreet", split)
    images = torch.stack([normalize(data[index][0]) for index in range(len(data))])
    labels = torch.stack([data.labels(index) for index in range(len(data))]).long()
    model.eval()
    with torch.no_grad():
        parts = [model.backbone(part) for part in images.split(20)]
    return Streets([torch.cat(level) for level in zip(*parts, strict=True)], labels)


def number_objects(labels: Tensor) -> Tensor:
    """Number the objects from 1 on: connected areas of one of `OBJECTS`; 0 elsewhere."""
    classes = build_dataset("toystreet", "val").classes
    numbers = torch.zeros_like(labels)
    for name in OBJECTS:
        found = components(labels == classes.index(name))
        numbers = torch.where(found > 0, found + numbers.max(), numbers)
    return numbers


def make_head(kind: Kind, widths: Sequence[int], seed: int, channels: int = CHANNELS) -> nn.Module:
    """A small head with fresh weights; "sum" and "separate" begin with the same ones.

    Args:
        kind: "sum" is Panoptic FPN's, "separate" the same without the top-down path, "finest" reads
            the finest result alone.
        widths: channels of the maps.
        seed: of the weights.
        channels: of the pyramid and of the branches, a multiple of 32.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "finest":
            return FinestLevel(widths, NUM_CLASSES, channels)
        head = FPNHead(widths, NUM_CLASSES, fpn_channels=channels, head_channels=channels)
        if kind == "separate":
            apart = WithoutTopDown(widths, channels)
            apart.load_state_dict(head.fpn.state_dict())
            head.fpn = apart
    return head


def train_head(
    streets: Streets,
    kind: Kind,
    levels: Sequence[int],
    seed: int,
    steps: int,
    channels: int = CHANNELS,
) -> nn.Module:
    """Train a head on some of the frozen maps, and return it in eval mode."""
    maps = [streets.maps[level] for level in levels]
    head = make_head(kind, [x.shape[1] for x in maps], seed, channels)
    optimizer = torch.optim.AdamW(head.parameters(), lr=LR)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LR * (1 - step / steps)
        batch = torch.randint(len(streets.labels), (BATCH_SIZE,), generator=generator)
        labels = streets.labels[batch, ::2, ::2]  # every second pixel: faster, and enough
        logits = resize(head([x[batch] for x in maps]), labels.shape[1:])
        loss = F.cross_entropy(logits, labels, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return head.eval()


@torch.no_grad()
def predict(head: nn.Module, streets: Streets, levels: Sequence[int]) -> Tensor:
    """Logits of every pixel of a split: (N, num_classes, H, W)."""
    logits = head([streets.maps[level] for level in levels])
    return resize(logits, streets.labels.shape[1:])


@torch.no_grad()
def votes(head: FPNHead, streets: Streets) -> list[Tensor]:
    """What each level adds to the logits, bias left out: as `predict`, one for each level.

    The head classifies a sum by one linear layer, so its logits are the sum of these and the bias.
    """
    last = [list(branch.children())[-1] for branch in head.branches]
    bias = head.classifier.bias
    assert bias is not None
    found = []
    for level in range(len(last)):
        others = [stage for place, stage in enumerate(last) if place != level]
        handles = [stage.register_forward_hook(_nothing) for stage in others]
        logits = predict(head, streets, range(len(last)))
        found.append(logits - bias[:, None, None])
        for handle in handles:
            handle.remove()
    return found


def _nothing(module: nn.Module, args: object, output: Tensor) -> Tensor:
    return torch.zeros_like(output)


def by_size(numbers: Tensor, values: Tensor) -> list[float]:
    """The mean of `values` over each object, averaged over small, middle and large objects.

    Args:
        numbers: from `number_objects`.
        values: of the same shape; boolean for "right or wrong".
    """
    pixels, means = shares(numbers, values)
    side = pixels.sqrt()
    return [means[(side >= low) & (side < high)].mean().item() for low, high in pairwise(EDGES)]


def mean_iou(logits: Tensor, labels: Tensor) -> float:
    """Mean IoU over the classes."""
    confusion = ConfusionMatrix(NUM_CLASSES)
    confusion.update(logits, labels)
    return confusion.compute().mean_iou

"""Chapter 09's experiment: does ASPP find objects of all sizes better than a plain head?

    python -m benchmarks.context

Five heads with equally many parameters stand on the same short trunk, whose pixels see little of
the image, and learn ToyStreet from fresh weights: ASPP; ASPP with all rates at 1; ASPP with a 1×1
branch in place of image pooling; one 3×3; one 1×1. What is written to
benchmarks/results/09_aspp.json is the val mean IoU; the share of an object's pixels that is named
rightly, by the object's size; and the share of a decision's gradient that comes from outside the
trunk's view. Then image pooling itself ("pooling" in the file): ASPP trained with that branch
silenced, and with that branch but without its BatchNorm; and the trained ASPP with one and the same
pooled vector for all images. About nine minutes on one core.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import recipe
from seglib.backbones.mobilenetv2 import MobileNetV2
from seglib.datasets import build_dataset
from seglib.datasets.transforms import normalize
from seglib.heads import ASPP
from seglib.initialization import kaiming_init
from seglib.layers import ConvNormAct
from seglib.metrics import ConfusionMatrix
from seglib.models import SegmentationModel
from seglib.teach.objects import components, shares
from seglib.training import evaluate, fit

OUT = Path(__file__).parent / "results" / "09_aspp.json"
OBJECTS = ("car", "pedestrian", "bicyclist", "sign", "tree")
EDGES = (4, 12, 24, 1000)  # of the groups, in √pixels
BLOCKS, VIEW = 6, 59  # of MobileNetV2; a pixel of their map, at stride 8, sees 59×59 pixels
CHANNELS = 32  # of each of ASPP's branches
RATES = (3, 6, 9)
SEEDS = (0, 1, 2)
STEPS, SHORT_STEPS, BATCH_SIZE = 400, 40, 6
ARMS = ("ASPP", "rates 1, 1, 1", "no pooling", "3×3", "1×1")
POOLING = ("silenced", "without BatchNorm")  # ASPP, but for what stands in image pooling's place


class Head(nn.Module):
    """A context module and a classifier on the last map."""

    def __init__(self, context: nn.Module, channels: int, num_classes: int) -> None:
        super().__init__()
        self.context = context
        self.classifier = nn.Conv2d(channels, num_classes, kernel_size=1)

    def forward(self, features: list[Tensor]) -> Tensor:
        x: Tensor = self.context(features[-1])
        x = self.classifier(x)
        return x


class Silenced(nn.Module):
    """Zeros in place of image pooling."""

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), CHANNELS, *x.shape[-2:])


class PoolingWithoutNorm(nn.Module):
    """Image pooling without its BatchNorm: mean, 1×1 convolution with a bias, ReLU."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, CHANNELS, kernel_size=1)
        kaiming_init(self)

    def forward(self, x: Tensor) -> Tensor:
        vector = F.relu(self.conv(x.mean(dim=(2, 3), keepdim=True)))
        return vector.expand(-1, -1, *x.shape[-2:])


def context(arm: str, in_channels: int) -> nn.Module:
    """The part that differs: (N, in_channels, H, W) → (N, CHANNELS, H, W)."""
    if arm in POOLING:
        aspp = ASPP(in_channels, RATES, CHANNELS, dropout=0.0)
        aspp.convs[-1] = Silenced() if arm == "silenced" else PoolingWithoutNorm(in_channels)
        return aspp
    if arm in ("ASPP", "rates 1, 1, 1", "no pooling"):
        aspp = ASPP(in_channels, (1, 1, 1) if "1" in arm else RATES, CHANNELS, dropout=0.0)
        if arm == "no pooling":
            aspp.convs[-1] = ConvNormAct(in_channels, CHANNELS, kernel_size=1)
            kaiming_init(aspp.convs[-1])
        return aspp
    kernel_size = 3 if arm == "3×3" else 1
    return plain(in_channels, kernel_size, width(in_channels, kernel_size))


def plain(in_channels: int, kernel_size: int, hidden: int) -> nn.Sequential:
    """One convolution that looks, and a 1×1 that mixes."""
    return nn.Sequential(
        ConvNormAct(in_channels, hidden, kernel_size),
        ConvNormAct(hidden, CHANNELS, kernel_size=1),
    )


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def width(in_channels: int, kernel_size: int) -> int:
    """Hidden channels that give a plain head as many parameters as ASPP has, or a few less."""
    goal = count(ASPP(in_channels, RATES, CHANNELS))
    one, two = (count(plain(in_channels, kernel_size, hidden)) for hidden in (1, 2))
    return (goal - one) // (two - one) + 1


def network(arm: str, seed: int) -> SegmentationModel:
    """Trunk and head with fresh weights; the trunk's are the same for all arms."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = MobileNetV2(output_stride=8, out_blocks=[BLOCKS], width_mult=0.5)
        trunk.features = trunk.features[: BLOCKS + 1]
        torch.manual_seed(seed)
        return SegmentationModel(trunk, Head(context(arm, trunk.channels[-1]), CHANNELS, 11))


def train(arm: str, seed: int, steps: int) -> SegmentationModel:
    model = network(arm, seed)
    fit(
        model,
        recipe.train_split(),
        steps=steps,
        batch_size=BATCH_SIZE,
        optimizer="adamw",
        lr=recipe.LR,
        seed=seed,
    )
    return model


def streets() -> tuple[Tensor, Tensor, Tensor]:
    """Val images, normalised, masks, and the objects in them, numbered."""
    data = build_dataset("toystreet", "val")
    images, masks = zip(*(data[index] for index in range(len(data))), strict=True)
    labels = torch.stack(masks)
    numbers = torch.zeros(labels.shape, dtype=torch.int64)
    for name in OBJECTS:
        found = components(labels == data.classes.index(name))
        numbers = torch.where(found > 0, found + numbers.max(), numbers)
    return torch.stack([normalize(image) for image in images]), labels, numbers


def found_by_size(
    model: SegmentationModel, images: Tensor, labels: Tensor, numbers: Tensor
) -> list[float]:
    """For each group of sizes: the mean share of an object's pixels that get its class."""
    model.eval()
    with torch.inference_mode():
        guess = torch.cat([model(part).argmax(dim=1) for part in images.split(20)])
    values, dense = numbers.unique(return_inverse=True)
    assert int(values[0]) == 0
    pixels, share = shares(dense, guess == labels)
    side = pixels.sqrt()
    groups = [(side >= a) & (side < b) for a, b in pairwise(EDGES)]
    return [round(share[group].mean().item(), 4) for group in groups]


def from_afar(model: SegmentationModel, images: Tensor) -> float:
    """The share of |gradient| of a pixel's best logit that lies outside the trunk's view.

    The pixel is (7, 9) of the map; with padding 1 everywhere, its view's centre is (56, 72).
    """
    x = images[:10].clone().requires_grad_()
    model.eval()
    logits = model.head(model.backbone(x))  # (10, classes, 15, 20)
    logits[:, :, 7, 9].amax(dim=1).sum().backward()
    assert x.grad is not None
    size = x.grad.abs().sum(dim=1)  # (10, 120, 160)
    row, column, half = 7 * 8, 9 * 8, VIEW // 2
    inside = size[:, row - half : row + half + 1, column - half : column + half + 1]
    return round(1 - (inside.sum((1, 2)) / size.sum((1, 2))).mean().item(), 4)


@torch.no_grad()
def with_one_vector(model: SegmentationModel, images: Tensor, labels: Tensor) -> float:
    """Mean IoU of an ASPP whose pooled vector is the images' average, for every image."""
    model.eval()
    pooling = model.head.get_submodule("context.convs.4")
    vectors = torch.cat(
        [pooling(model.backbone(part)[-1])[:, :, :1, :1] for part in images.split(20)]
    )
    average = vectors.mean(dim=0, keepdim=True)
    handle = pooling.register_forward_hook(lambda module, args, out: average.expand_as(out))
    confusion = ConfusionMatrix(11)
    for part, truth in zip(images.split(20), labels.split(20), strict=True):
        confusion.update(model(part), truth)
    handle.remove()
    return confusion.compute().mean_iou


def main() -> None:
    val = build_dataset("toystreet", "val")
    images, labels, numbers = streets()
    runs, pooling = [], []
    for seed in SEEDS:
        for arm, steps in [*((arm, STEPS) for arm in ARMS), ("ASPP", SHORT_STEPS)]:
            model = train(arm, seed, steps)
            row = {
                "arm": arm,
                "seed": seed,
                "steps": steps,
                "mean_iou": round(evaluate(model, val, batch_size=20).mean_iou, 4),
                "found": found_by_size(model, images, labels, numbers),
                "from_afar": from_afar(model, images),
            }
            print(row, flush=True)
            runs.append(row)
            if (arm, steps) == ("ASPP", STEPS):
                score = with_one_vector(model, images, labels)
                pooling.append({"arm": "one vector", "seed": seed, "mean_iou": round(score, 4)})
        for arm in POOLING:
            score = evaluate(train(arm, seed, STEPS), val, batch_size=20).mean_iou
            pooling.append({"arm": arm, "seed": seed, "mean_iou": round(score, 4)})
            print(pooling[-1], flush=True)
    about = {
        "rates": RATES,
        "objects": OBJECTS,
        "edges": EDGES,
        "parameters": {arm: count(network(arm, 0).head) for arm in ARMS},
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(
        json.dumps({**about, "runs": runs, "pooling": pooling}, indent=2) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()

"""Chapter 14's gallery of failures: a healthy run of forty steps, and changes that spoil it.

`benchmarks.gallery` runs every change at eight seeds; the chapter reads what it found, and runs one
of them again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from seglib.datasets.base import SegmentationDataset
from seglib.datasets.transforms import normalize
from seglib.losses import cross_entropy
from seglib.metrics import ConfusionMatrix

STEPS = 40
SKY = 0  # the label


def half_size(data: SegmentationDataset, count: int) -> tuple[Tensor, Tensor]:
    """The first `count` pictures, every second pixel: (count, 3, H/2, W/2), (count, H/2, W/2)."""
    images, masks = zip(*(data[i] for i in range(count)), strict=True)
    return torch.stack(images)[..., ::2, ::2], torch.stack(masks)[..., ::2, ::2]


@dataclass(frozen=True)
class Change:
    """What a run does differently; the defaults are the healthy run's."""

    lr: float = 0.01
    batch_size: int = 4
    steps: int = STEPS
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
    prepare: Callable[[Tensor], Tensor] = normalize
    disturb: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    clear_gradient: bool = True


def softmax_twice(logits: Tensor, mask: Tensor) -> Tensor:
    """The network ends in a softmax, and cross-entropy applies another."""
    return cross_entropy(logits.softmax(dim=1), mask)


def mirrored(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Every other batch is mirrored; its masks are forgotten."""
    return (images.flip(-1) if torch.rand(()) < 0.5 else images), masks


def shifted(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Shifted to the right by 10 to 39 pixels; what is new gets label 0, and not 255."""
    d, width = int(torch.randint(10, 40, ())), images.shape[-1]
    images, masks = functional.pad(images, (d, 0)), functional.pad(masks, (d, 0), value=SKY)
    return images[..., :width], masks[..., :width]


CHANGES = {
    "healthy": Change(),
    "rate × 100": Change(lr=1.0),
    "rate / 100": Change(lr=1e-4),
    "softmax twice": Change(loss=softmax_twice),
    "gradient not cleared": Change(clear_gradient=False),
    "padding labelled 0": Change(disturb=shifted),
    "raw pixels": Change(prepare=Tensor.float),
    "image mirrored, mask not": Change(disturb=mirrored),
    "batch of 2": Change(batch_size=2),
    "batch of 2, twice the steps": Change(batch_size=2, steps=2 * STEPS),
}


def short_run(
    model: nn.Module, images: Tensor, masks: Tensor, change: Change, *, seed: int
) -> list[float]:
    """Train `model` in place on batches of uint8 images and their masks; the loss of each step."""
    optimizer, losses = torch.optim.AdamW(model.train().parameters(), change.lr), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for chosen in torch.randint(len(images), (change.steps, change.batch_size)):
            x, y = change.prepare(images[chosen]), masks[chosen]
            if change.disturb is not None:
                x, y = change.disturb(x, y)
            if change.clear_gradient:
                optimizer.zero_grad()
            loss = change.loss(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def end(losses: list[float]) -> float:
    """Mean loss of the last eight steps."""
    return sum(losses[-8:]) / 8


@torch.no_grad()
def judge(model: nn.Module, images: Tensor, masks: Tensor) -> tuple[float, float]:
    """Mean IoU on normalised images, and the share of pixels that are taken for sky and aren't."""
    guess, confusion = model.eval()(normalize(images)).argmax(dim=1), ConfusionMatrix(11)
    confusion.update(guess, masks)
    false_sky = (guess == SKY) & (masks != SKY) & (masks != 255)
    return confusion.compute().mean_iou, false_sky.float().mean().item()

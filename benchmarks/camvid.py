"""How good is a network after ten minutes on CamVid? Val mean IoU, from scratch, beside
segmentation-models-pytorch.

    python -m benchmarks.camvid --data-root DIR [--minutes 10] [--seeds 2] [--threads 2]

Both train on the train split and are measured on val with their last weights (seglib's: a moving
average of them): images at 192×256, masks scored at 360×480. The clock covers all of training;
decoding the images beforehand, once for both, and the measurement are outside. Nothing else should
run meanwhile.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from benchmarks import report
from benchmarks.agreement import agreement
from benchmarks.machine import machine
from benchmarks.pairs import smp_deeplab
from seglib import build_dataset, build_model
from seglib.datasets.camvid import CLASSES
from seglib.datasets.transforms import Resize, eval_transform, normalize, train_transform
from seglib.losses import cross_entropy_dice
from seglib.metrics import Scores
from seglib.run import Logger
from seglib.schedules import poly
from seglib.training import Data, evaluate, fit

SIZE = (192, 256)  # of the networks' input, in pixels
BATCH_SIZE = 8
POINTS = 6  # of the curve of quality against time
TRIAL, MARGIN = 12, 0.95  # steps timed beforehand, and the share of the time that is planned for


class InMemory(Dataset[tuple[Tensor, Tensor]]):
    """A split decoded once; each item goes through the transform anew."""

    def __init__(self, pairs: list[tuple[Tensor, Tensor]], transform: nn.Module) -> None:
        self.pairs, self.transform = pairs, transform

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.transform(*self.pairs[index])


class AtSize(nn.Module):
    """Images of any size → logits of that size, computed at `SIZE`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        small = functional.interpolate(x, SIZE, mode="bilinear", antialias=True)
        logits = self.network(small)
        return functional.interpolate(logits, x.shape[-2:], mode="bilinear")


def seglib_network(seed: int) -> nn.Module:
    """DeepLabV3+ on a ResNet-18 of half the width that does not pool: its maps lie at strides 2 to
    16. At 192×256 a pole is one pixel wide, and gone at stride 4.
    """
    torch.manual_seed(seed)
    model = build_model(
        "deeplabv3plus_resnet18",
        num_classes=11,
        output_stride=32,
        backbone_options={"base_channels": 32},
        head_options={"aspp_channels": 64},
    )
    model.backbone.maxpool = nn.Identity()
    return model


class Curve:
    """Val mean IoU against the clock of training, which stands while it is measured.

    Attributes:
        points: (seconds of training, val mean IoU).
        scores: the last measurement.
    """

    def __init__(self, val: Data) -> None:
        self.val = val
        self.points: list[tuple[float, float]] = []
        self.scores: Scores | None = None
        self.start, self.paused = time.perf_counter(), 0.0

    def seconds(self) -> float:
        return time.perf_counter() - self.start - self.paused

    def measure(self, model: nn.Module) -> Scores:
        at = self.seconds()
        begun = time.perf_counter()
        self.scores = evaluate(AtSize(model), self.val)
        self.points.append((round(at, 1), self.scores.mean_iou))
        self.paused += time.perf_counter() - begun
        return self.scores

    def on_step(self, step: int, loss: float, lr: float) -> None:
        """Nothing: `fit` tells of each step."""

    def on_validation(self, step: int, scores: Scores, model: nn.Module) -> None:
        """`fit` gives the average of the weights."""
        self.measure(model)


def train_seglib(
    pairs: list[tuple[Tensor, Tensor]], seconds: float, seed: int, curve: Curve
) -> nn.Module:
    """AdamW, poly with warm-up, cross-entropy + Dice, bfloat16, scales and colours varied, a moving
    average kept.
    """
    data = InMemory(pairs, train_transform(SIZE, scale=(0.4, 0.93), color_jitter=0.2))
    one_image = InMemory(pairs[:1], eval_transform(SIZE))  # `fit` validates on it, quickly

    def steps(count: int, loggers: Sequence[Logger] = ()) -> nn.Module:
        model = seglib_network(seed)
        fit(
            model,
            data,
            one_image if loggers else None,
            val_every=count // POINTS + 1,
            loggers=loggers,
            steps=count,
            batch_size=BATCH_SIZE,
            loss=cross_entropy_dice,
            optimizer="adamw",
            lr=2e-3,
            weight_decay=0.05,
            warmup_steps=min(50, count // 4),
            precision="bf16",
            ema=0.99,
            seed=seed,
            progress=False,
        )
        return model

    steps(2)
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        steps(TRIAL)
        times.append(time.perf_counter() - begun)
    left = seconds - curve.seconds()
    return steps(int(MARGIN * left / (median(times) / TRIAL)), [curve])


def train_smp(
    pairs: list[tuple[Tensor, Tensor]], seconds: float, seed: int, curve: Curve
) -> nn.Module:
    """Its DeepLabV3Plus-MobileNetV2 as shipped, SGD 0.05, poly, batch 8, flips."""
    torch.manual_seed(seed)
    model = smp_deeplab(classes=11).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
    small = [Resize(SIZE)(image, mask) for image, mask in pairs]

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for chosen in torch.randperm(len(small)).split(BATCH_SIZE)[:-1]:
                flips = [torch.rand(()) < 0.5 for _ in chosen]
                items = [small[i] for i in chosen.tolist()]
                turned = [
                    tuple(x.as_subclass(Tensor).flip(-1) if f else x.as_subclass(Tensor) for x in p)
                    for p, f in zip(items, flips, strict=True)
                ]
                images, masks = zip(*turned, strict=True)
                yield normalize(torch.stack(images)), torch.stack(masks)

    for images, masks in batches():
        share = curve.seconds() / seconds
        if share >= 1:
            return model
        if share >= (len(curve.points) + 1) / POINTS:
            curve.measure(model)
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * poly(int(1000 * share), 1000)
        optimizer.zero_grad()
        functional.cross_entropy(model(images), masks, ignore_index=255).backward()
        optimizer.step()
    raise AssertionError("the batches never end")


def main() -> None:
    parser = argparse.ArgumentParser(description="Val mean IoU on CamVid after a fixed time.")
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train = build_dataset("camvid", "train", options.data_root)
    pairs = [train[i] for i in range(len(train))]
    val = build_dataset("camvid", "val", options.data_root, eval_transform())
    rows: list[report.CamVidRow] = []
    for seed in range(options.seeds):
        for name, run in (("seglib", train_seglib), ("smp", train_smp)):
            curve = Curve(val)
            model = run(pairs, 60 * options.minutes, seed, curve)
            used = curve.seconds()
            if curve.scores is None or curve.points[-1][0] < used - 5:
                curve.measure(model)
            scores = cast(Scores, curve.scores)
            same = agreement(model, val, AtSize) if name == "seglib" else None
            rows.append(
                {
                    "library": name,
                    "seed": seed,
                    "seconds": used,
                    "mean_iou": scores.mean_iou,
                    "class_iou": scores.class_iou,
                    "curve": curve.points,
                    "optimised_agreement": same,
                }
            )
            print(
                f"{name:8} seed {seed}: {used:4.0f} s, val mean IoU {scores.mean_iou:.4f}",
                flush=True,
            )
    result: report.CamVid = {
        **machine(options.threads),
        "minutes": options.minutes,
        "classes": CLASSES,
        "rows": rows,
    }
    report.keep("camvid", result)
    report.write()


if __name__ == "__main__":
    main()

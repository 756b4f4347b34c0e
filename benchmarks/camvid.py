"""How good is a network after ten minutes on CamVid, from scratch: on streets next door, and on
streets never seen? Beside segmentation-models-pytorch (smp), under its usual recipe and seglib's.

    python -m benchmarks.camvid --data-root DIR [--minutes 10] [--seed 0] [--only TEXT]

CamVid was filmed on a few drives, which the names of its frames begin with. Two protocols:

- **val**: train split → val split, as everybody reports it. All of val is from drive 0016E5, its
  frames lying between training frames of that drive.
- **leave one drive out**: train and val together; all frames of one drive are held out, and the
  network is trained on the others.

Measured are the last weights (seglib's recipe: a moving average of them): images at 192×256, masks
scored at 360×480. The clock covers all of training; decoding the images beforehand and the
measurements are outside. Nothing else should run meanwhile. Each run is kept when it ends: `--only`
repeats those whose name contains TEXT, and leaves the others as they are stored.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple, cast

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
from seglib.optimisation import has_bfloat16
from seglib.run import Logger
from seglib.schedules import poly
from seglib.training import Data, evaluate, fit

Pairs = list[tuple[Tensor, Tensor]]

SIZE = (192, 256)  # of the networks' input, in pixels
BATCH_SIZE = 8
POINTS = 6  # of the curve of quality against time
TRIAL, MARGIN = 6, 0.95  # steps timed beforehand, and the share of the time that is planned for


class InMemory(Dataset[tuple[Tensor, Tensor]]):
    """A split decoded once; each item goes through the transform anew."""

    def __init__(self, pairs: Pairs, transform: nn.Module) -> None:
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


class Run(NamedTuple):
    """One training: whose network, under whose recipe, measured on what."""

    network: str
    recipe: str
    measured_on: str  # "val", or the drive that is held out

    def __str__(self) -> str:
        return f"{self.network}, {self.recipe}'s recipe, {self.measured_on}"


RUNS = (
    Run("seglib", "seglib", "val"),
    Run("smp", "seglib", "val"),
    Run("smp", "smp", "val"),
    Run("seglib", "seglib", "0006R0"),
    Run("smp", "seglib", "0006R0"),
    Run("smp", "smp", "0006R0"),
    Run("seglib", "seglib", "0001TP"),
    Run("seglib", "seglib", "0016E5"),
)


class WithBackbone(nn.Module):
    """smp's network with the part `backbone` that `fit` asks for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.backbone = network, network.encoder

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.network(x))


def smp_network(seed: int) -> nn.Module:
    """Its DeepLabV3Plus-MobileNetV2 as shipped."""
    torch.manual_seed(seed)
    return WithBackbone(smp_deeplab(classes=11))


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


def seglib_recipe(network: str, pairs: Pairs, seconds: float, seed: int, curve: Curve) -> nn.Module:
    """AdamW, poly with warm-up, cross-entropy + Dice, scales and colours varied, a moving average
    kept; bfloat16 where the processor has instructions for it.
    """
    make = {"seglib": seglib_network, "smp": smp_network}[network]
    precision = "bf16" if has_bfloat16(torch.device("cpu")) else "fp32"
    data = InMemory(pairs, train_transform(SIZE, scale=(0.4, 0.93), color_jitter=0.2))
    one_image = InMemory(pairs[:1], eval_transform(SIZE))  # `fit` validates on it, quickly

    def steps(count: int, loggers: Sequence[Logger] = ()) -> nn.Module:
        model = make(seed)
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
            precision=precision,
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


def smp_recipe(network: str, pairs: Pairs, seconds: float, seed: int, curve: Curve) -> nn.Module:
    """SGD 0.05, poly, batch 8, flips."""
    assert network == "smp"
    model = smp_network(seed).train()
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


RECIPES = {"seglib": seglib_recipe, "smp": smp_recipe}


def drive(path: Path) -> str:
    """Where a frame was filmed: its name's first part, `0001TP_006690.png` → 0001TP."""
    return path.name.partition("_")[0]


def split(root: str, measured_on: str) -> tuple[Pairs, Data]:
    """Training pairs, and what is measured: see the module's text."""
    train, val = (build_dataset("camvid", name, root) for name in ("train", "val"))
    if measured_on == "val":
        return [train[i] for i in range(len(train))], build_dataset(
            "camvid", "val", root, eval_transform()
        )
    kept: Pairs = []
    held_out: Pairs = []
    for data in (train, val):
        for i in range(len(data)):
            here = held_out if drive(data.paths(i)[0]) == measured_on else kept
            here.append(data[i])
    return kept, InMemory(held_out, eval_transform())


def measure(run: Run, root: str, minutes: float, seed: int) -> report.CamVidRow:
    """Train, and measure the end."""
    pairs, held_out = split(root, run.measured_on)
    curve = Curve(held_out)
    model = RECIPES[run.recipe](run.network, pairs, 60 * minutes, seed, curve)
    used = curve.seconds()
    if curve.scores is None or curve.points[-1][0] < used - 5:
        curve.measure(model)
    scores = cast(Scores, curve.scores)
    ours = run.network == "seglib" and run.measured_on == "val"
    return {
        **machine(torch.get_num_threads()),
        **run._asdict(),
        "minutes": minutes,
        "seed": seed,
        "images": len(pairs),
        "measured_images": len(held_out),  # type: ignore[arg-type]
        "seconds": used,
        "mean_iou": scores.mean_iou,
        "class_iou": scores.class_iou,
        "curve": curve.points,
        "optimised_agreement": agreement(model, held_out, AtSize) if ours else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", default="", help="runs whose name contains this")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for run in (run for run in RUNS if options.only in str(run)):
        row = measure(run, options.data_root, options.minutes, options.seed)
        print(f"{run}: {row['seconds']:.0f} s, mean IoU {row['mean_iou']:.4f}", flush=True)
        report.keep("camvid", report.with_row(report.stored("camvid"), row, CLASSES))
        report.write()


if __name__ == "__main__":
    main()

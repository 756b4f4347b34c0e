"""Chapter 05's experiments: a stride traded for dilation after training, the place of the stride,
a start as shortcuts, and the time that activation checkpointing takes.

    python -m benchmarks.residual

Trains a narrow ResNet-50 with a 1×1 classifier at output stride 32, at three seeds and equal
length, in style pytorch, in style caffe, and with zero_init_residual. Each trained network is then
used, as it is, at output strides 32, 16 and 8, with its dilations placed rightly and wrongly.
Writes val mean IoU to benchmarks/results/05_residual.json. About five minutes on one core.

Images are cropped to 97×129 pixels, one more than a multiple of 32, and logits resized with
`align_corners`: so pixels of the map stand in the same places at every output stride.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from seglib import build_dataset
from seglib.backbones.resnet import ResNet
from seglib.datasets.transforms import train_transform
from seglib.layers import resize
from seglib.training import evaluate, fit

OUT = Path(__file__).parent / "results" / "05_residual.json"
STEPS, BATCH_SIZE, LR, SEEDS = 200, 4, 0.01, (0, 1, 2)
CROP = (97, 129)
ARMS: dict[str, dict[str, object]] = {
    "pytorch": {},
    "caffe": {"style": "caffe"},
    "zero_init": {"zero_init_residual": True},
}
# How the trained weights are used: what output stride, and which 3×3 convolutions are dilated.
PLANS: dict[str, dict[str, object]] = {
    "32": {},
    "16": {"output_stride": 16},
    "16, all dilated": {"strides": (1, 2, 2, 1), "dilations": (1, 1, 1, 2)},
    "16, none dilated": {"strides": (1, 2, 2, 1)},
    "8": {"output_stride": 8},
    "8, all dilated": {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)},
    "8, none dilated": {"strides": (1, 2, 1, 1)},
}


class Network(nn.Module):
    """A narrow ResNet-50 and a 1×1 classifier: (N, 3, H, W) → logits (N, 11, H, W)."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.backbone = ResNet(50, base_channels=16, **options)  # type: ignore[arg-type]
        self.classifier = nn.Conv2d(self.backbone.channels[-1], 11, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.classifier(self.backbone(x)[-1])  # (N, 11, H/OS, W/OS)
        return resize(logits, x.shape[-2:], True)


class Middle(Dataset[tuple[Tensor, Tensor]]):
    """ToyStreet's validation images, cut to `CROP` in the middle."""

    def __init__(self) -> None:
        self.data = build_dataset("toystreet", "val")

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = self.data[index]
        top, left = (mask.shape[0] - CROP[0]) // 2, (mask.shape[1] - CROP[1]) // 2
        rows, columns = slice(top, top + CROP[0]), slice(left, left + CROP[1])
        return image[:, rows, columns], mask[rows, columns]


def trained(seed: int, steps: int, **options: object) -> Network:
    """A network after `steps` at output stride 32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Network(**options)
    transform = train_transform(CROP, scale=(1.0, 1.0), color_jitter=0.1)
    fit(
        model,
        build_dataset("toystreet", "train", transform=transform),
        steps=steps,
        batch_size=BATCH_SIZE,
        optimizer="adamw",
        lr=LR,
        seed=seed,
    )
    return model


def mean_iou(model: Network, data: Middle, plan: str, **options: object) -> float:
    """Of the model's weights, used as `PLANS` says."""
    other = Network(**options, **PLANS[plan])
    other.load_state_dict(model.state_dict())
    return evaluate(other, data, batch_size=20).mean_iou


def checkpointing(size: tuple[int, int] = (129, 161), repeats: int = 9) -> dict[str, object]:
    """Seconds of a forward and backward pass of ResNet-50, without and with checkpointing."""
    nets = {"plain": ResNet(50), "checkpointed": ResNet(50, with_cp=True)}
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    seconds: dict[str, list[float]] = {name: [] for name in nets}
    for repeat in range(repeats + 1):
        for name, net in nets.items():
            start = time.perf_counter()
            net(x)[-1].square().mean().backward()
            if repeat:  # the first pass warms up
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = medians["checkpointed"] / medians["plain"]
    shown = {name: round(value, 3) for name, value in medians.items()}
    return {"images": 2, "size": size, "seconds": shown, "ratio": round(ratio, 2)}


def main() -> None:
    torch.set_num_threads(1)
    data = Middle()
    runs = []
    for seed in SEEDS:
        for arm, options in ARMS.items():
            model = trained(seed, STEPS, **options)
            scores = {plan: round(mean_iou(model, data, plan, **options), 4) for plan in PLANS}
            runs.append({"seed": seed, "arm": arm, "mean_iou": scores})
            print(runs[-1], flush=True)
    about = {"steps": STEPS, "batch_size": BATCH_SIZE, "lr": LR, "crop": CROP}
    result = {**about, "runs": runs, "checkpointing": checkpointing()}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

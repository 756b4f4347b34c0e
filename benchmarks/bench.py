"""Speed beside other libraries, in one run: `make bench`.

Each pair is measured in turn (A B A B …), so that a drift of the machine's speed meets both; the
ratio is taken pair by pair. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from seglib import build_model
from seglib.backbones import classifier

Factory = Callable[[], nn.Module]
Task = Callable[[nn.Module, int, tuple[int, int]], Callable[[], object]]
RESULTS = Path(__file__).parent / "results" / "bench.json"


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def logits_of(output: Tensor | dict[str, Tensor]) -> Tensor:
    """torchvision's segmentation networks return a dictionary."""
    return output["out"] if isinstance(output, dict) else output


def forward(model: nn.Module, batch: int, size: tuple[int, int]) -> Callable[[], object]:
    """Images through the network in eval mode, channels last."""
    model = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(batch, 3, *size).to(memory_format=torch.channels_last)

    def run() -> Tensor:
        with torch.inference_mode():
            return logits_of(model(x))

    return run


def train_step(model: nn.Module, batch: int, size: tuple[int, int]) -> Callable[[], object]:
    """Forward, loss, backward and one step of SGD on random data, channels last."""
    model = model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    x = torch.randn(batch, 3, *size).to(memory_format=torch.channels_last)
    shape = logits_of(model(x)).shape  # (N, classes) or (N, classes, H, W)
    target = torch.randint(0, shape[1], (batch, *shape[2:]))

    def run() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(logits_of(model(x)), target).backward()
        optimizer.step()

    return run


def smp_deeplab() -> nn.Module:
    return smp.DeepLabV3Plus("mobilenet_v2", encoder_weights=None, classes=21)


def torchvision_deeplab() -> nn.Module:
    return models.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None)


PLUS = "deeplabv3plus_mobilenetv2"
PLUS_LIGHT = partial(build_model, PLUS, head_options={"separable": True})
V3 = partial(build_model, "deeplabv3_resnet50", output_stride=8, head_options={"aspp_dropout": 0.5})
MOBILENET = partial(classifier, "mobilenetv2")
PAIRS: tuple[tuple[str, Task, Factory, Factory, int, tuple[int, int]], ...] = (
    # what, how, seglib's network, the other's, images, their height and width
    ("MobileNetV2, torchvision", forward, MOBILENET, models.mobilenet_v2, 8, (224, 224)),
    ("MobileNetV2, torchvision", train_step, MOBILENET, models.mobilenet_v2, 8, (224, 224)),
    ("DeepLabV3-ResNet50, torchvision", forward, V3, torchvision_deeplab, 1, (257, 257)),
    ("DeepLabV3-ResNet50, torchvision", train_step, V3, torchvision_deeplab, 2, (129, 129)),
    ("DeepLabV3+, smp", forward, partial(build_model, PLUS), smp_deeplab, 1, (512, 512)),
    ("DeepLabV3+, smp", train_step, partial(build_model, PLUS), smp_deeplab, 8, (192, 256)),
    ("DeepLabV3+ separable, smp", forward, PLUS_LIGHT, smp_deeplab, 1, (512, 512)),
    ("DeepLabV3+ separable, smp", train_step, PLUS_LIGHT, smp_deeplab, 8, (192, 256)),
)


def compare(a: Callable[[], object], b: Callable[[], object], runs: int) -> dict[str, float]:
    """Median seconds of both, and the median and spread of the ratio a / b, pair by pair."""
    a(), b()
    pairs = [(timed(a), timed(b)) for _ in range(runs)]
    ratios = sorted(x / y for x, y in pairs)
    return {
        "seglib_seconds": statistics.median(x for x, _ in pairs),
        "other_seconds": statistics.median(y for _, y in pairs),
        "ratio": statistics.median(ratios),
        "ratio_min": ratios[0],
        "ratio_max": ratios[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="pairs for each row (default 15)")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--threads", type=int, help="default: torch's choice")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    rows = {}
    print(f"{'':58}{'seglib s':>10}{'other s':>10}{'ratio':>8}  (min to max)")
    for what, task, ours, theirs, batch, size in PAIRS:
        name = f"{what}: {task.__name__.replace('_', ' ')} {batch}×{size[0]}×{size[1]}"
        if arguments.only not in name:
            continue
        row = compare(task(ours(), batch, size), task(theirs(), batch, size), arguments.runs)
        rows[name] = row
        figures = f"{row['seglib_seconds']:10.3f}{row['other_seconds']:10.3f}{row['ratio']:8.3f}"
        spread = f"({row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
        print(f"{name:58}{figures}  {spread}", flush=True)
    if arguments.only:
        return
    RESULTS.parent.mkdir(exist_ok=True)
    report = {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "runs": arguments.runs,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

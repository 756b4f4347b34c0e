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
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
import torchvision
from torch import Tensor, nn

from seglib import build_model
from seglib.backbones import classifier
from seglib.losses import cross_entropy

RESULTS = Path(__file__).parent / "results" / "bench.json"


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def forward(model: nn.Module, size: tuple[int, int]) -> Callable[[], object]:
    """One image through the network in eval mode, channels last."""
    model = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(1, 3, *size).to(memory_format=torch.channels_last)

    def run() -> Tensor:
        with torch.inference_mode():
            return model(x)

    return run


def train_step(model: nn.Module, batch: int, size: tuple[int, int]) -> Callable[[], object]:
    """Forward, loss, backward and one step of SGD on random data, channels last."""
    model = model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    x = torch.randn(batch, 3, *size).to(memory_format=torch.channels_last)
    mask = torch.randint(0, 21, (batch, *size))

    def run() -> None:
        optimizer.zero_grad()
        cross_entropy(model(x), mask).backward()
        optimizer.step()

    return run


def smp_deeplab() -> nn.Module:
    return smp.DeepLabV3Plus("mobilenet_v2", encoder_weights=None, classes=21)


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
    parser.add_argument("--runs", type=int, default=11)
    runs = parser.parse_args().runs
    deeplab, mobilenet = "deeplabv3plus_mobilenetv2", "mobilenetv2"
    light = {"separable": True}
    rows = {
        "MobileNetV2, forward 224×224, beside torchvision": compare(
            forward(classifier(mobilenet), (224, 224)),
            forward(torchvision.models.mobilenet_v2(), (224, 224)),
            runs,
        ),
        "DeepLabV3+, forward 512×512, beside smp": compare(
            forward(build_model(deeplab), (512, 512)), forward(smp_deeplab(), (512, 512)), runs
        ),
        "DeepLabV3+ separable, forward 512×512, beside smp": compare(
            forward(build_model(deeplab, head_options=light), (512, 512)),
            forward(smp_deeplab(), (512, 512)),
            runs,
        ),
        "DeepLabV3+, train step 8×192×256, beside smp": compare(
            train_step(build_model(deeplab), 8, (192, 256)),
            train_step(smp_deeplab(), 8, (192, 256)),
            runs,
        ),
        "DeepLabV3+ separable, train step 8×192×256, beside smp": compare(
            train_step(build_model(deeplab, head_options=light), 8, (192, 256)),
            train_step(smp_deeplab(), 8, (192, 256)),
            runs,
        ),
    }
    print(f"{'':58}{'seglib s':>10}{'other s':>10}{'ratio':>8}  (min to max)")
    for name, row in rows.items():
        figures = f"{row['seglib_seconds']:10.3f}{row['other_seconds']:10.3f}{row['ratio']:8.2f}"
        print(f"{name:58}{figures}  ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})")
    RESULTS.parent.mkdir(exist_ok=True)
    report = {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "runs": runs,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

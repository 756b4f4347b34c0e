"""What is measured: networks of seglib beside those of other libraries, and what they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from seglib import build_model
from seglib.backbones import classifier
from seglib.inference import optimise

Factory = Callable[[], nn.Module]
Call = Callable[[], object]

# DeepLabV3+ on a narrow ResNet-18 at output stride 32: dense 3×3 convolutions use a CPU's vector
# units better than depthwise ones, so that it is faster than MobileNetV2 at equal multiply-adds.
EQUAL = {
    "name": "deeplabv3plus_resnet18",
    "output_stride": 32,
    "backbone_options": {"base_channels": 32},
    "head_options": {"aspp_channels": 128},
}


@dataclass(frozen=True)
class Pair:
    """Two networks, and the inputs to measure them on."""

    name: str
    ours: Factory
    other: Factory
    forward: tuple[int, int, int]  # images, height, width
    train: tuple[int, int, int]


def smp_deeplab(classes: int = 21) -> nn.Module:
    """segmentation-models-pytorch's DeepLabV3Plus on MobileNetV2 as shipped, fresh weights."""
    model: nn.Module = smp.DeepLabV3Plus("mobilenet_v2", encoder_weights=None, classes=classes)
    return model


def _torchvision_deeplab() -> nn.Module:
    return models.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None)


_V3 = {"output_stride": 8, "head_options": {"aspp_dropout": 0.5}}  # torchvision's
_PLUS = "deeplabv3plus_mobilenetv2"
PAIRS = (
    Pair(
        "MobileNetV2, torchvision",
        partial(classifier, "mobilenetv2"),
        models.mobilenet_v2,
        (8, 224, 224),
        (8, 224, 224),
    ),
    Pair(
        "DeepLabV3-ResNet50, torchvision",
        partial(build_model, "deeplabv3_resnet50", **_V3),  # type: ignore[arg-type]
        _torchvision_deeplab,
        (1, 257, 257),
        (2, 129, 129),
    ),
    Pair(
        "DeepLabV3+-MobileNetV2, smp",
        partial(build_model, _PLUS, head_options={"separable": True}),
        smp_deeplab,
        (1, 512, 512),
        (8, 192, 256),
    ),
    Pair(
        "Equal multiply-adds, smp",
        partial(build_model, **EQUAL),  # type: ignore[arg-type]
        smp_deeplab,
        (1, 512, 512),
        (8, 192, 256),
    ),
)


def multiply_adds(model: nn.Module, size: tuple[int, int, int]) -> float:
    """Of one image's forward pass, in units of 10⁹."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.to("meta").eval()(torch.empty(1, 3, *size[1:], device="meta"))
    return float(counter.get_total_flops()) / 2e9


def logits_of(output: Tensor | dict[str, Tensor]) -> Tensor:
    """torchvision's segmentation networks return a dictionary."""
    return output["out"] if isinstance(output, dict) else output


def forward(model: nn.Module, size: tuple[int, int, int], channels_last: bool = True) -> Call:
    """Images through the network in eval mode."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = model.eval().to(memory_format=layout)  # type: ignore[call-overload]
    x = torch.randn(size[0], 3, *size[1:]).to(memory_format=layout)

    def run() -> Tensor:
        with torch.inference_mode():
            return logits_of(model(x))

    return run


def train_step(model: nn.Module, size: tuple[int, int, int]) -> Call:
    """Forward, loss, backward and one step of SGD on random data, channels last."""
    model = model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    x = torch.randn(size[0], 3, *size[1:]).to(memory_format=torch.channels_last)
    shape = logits_of(model(x)).shape  # (N, classes) or (N, classes, H, W)
    target = torch.randint(0, shape[1], (size[0], *shape[2:]))

    def run() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(logits_of(model(x)), target).backward()
        optimizer.step()

    return run


# What is done → how each of the two does it.
TASKS: dict[str, Callable[[Pair], tuple[Callable[[], Call], Callable[[], Call]]]] = {
    "forward": lambda pair: (
        lambda: forward(pair.ours(), pair.forward),
        lambda: forward(pair.other(), pair.forward),
    ),
    "optimised forward": lambda pair: (
        lambda: forward(optimise(pair.ours()), pair.forward),
        lambda: forward(pair.other(), pair.forward, channels_last=False),
    ),
    "train step": lambda pair: (
        lambda: train_step(pair.ours(), pair.train),
        lambda: train_step(pair.other(), pair.train),
    ),
}


def size_of(pair: Pair, task: str) -> tuple[int, int, int]:
    return pair.train if task == "train step" else pair.forward

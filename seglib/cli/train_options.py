"""The options of `seglib train`: type, check and help of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from seglib.cli.common import at_least, not_negative, output_stride, positive

LOSSES = ("cross_entropy", "focal", "dice", "cross_entropy+dice")
WHOLE_LOSSES = ("dice", "cross_entropy+dice")  # no sums over pixels, see seglib.losses
SCHEDULES = ("poly", "step")
BALANCES = ("median_frequency", "inverse_log")
PRECISIONS = ("fp32", "bf16", "fp16")
MIN_CROP = 32  # pixels, see seglib.backbones


def one_of(*allowed: str) -> Callable[[str | None], str | None]:
    def check(value: str | None) -> str | None:
        if value is not None and value not in allowed:
            raise typer.BadParameter(f"must be one of {', '.join(allowed)}, got {value!r}")
        return value

    return check


def share(low: float = 0.0, closed: bool = False) -> Callable[[float | None], float | None]:
    """Above `low` (or at it, if `closed`) and at most 1."""

    def check(value: float | None) -> float | None:
        if value is not None and not (low < value <= 1 or (closed and value == low)):
            begin = "from 0" if closed else f"above {low:g}"
            raise typer.BadParameter(f"must be {begin} to 1, got {value}")
        return value

    return check


def crop(text: str | None) -> str | None:
    if text is not None:
        height, _, width = text.lower().partition("x")
        numbers = height.isdecimal() and width.isdecimal()
        if not numbers or min(int(height), int(width)) < MIN_CROP:
            raise typer.BadParameter(
                f"must be HxW, such as 192x256, each >= {MIN_CROP}, got {text!r}"
            )
    return text


def decay(value: float | None) -> float | None:
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter(f"must be between 0 and 1, such as 0.999, got {value}")
    return value


Count = Callable[[int | None], int | None]
ONE: Count = at_least(1)

Dataset = Annotated[str, typer.Option(help="toystreet, camvid, voc2012_aug, cityscapes, …")]
Model = Annotated[str, typer.Option(help="See seglib models.")]
OutputStride = Annotated[
    int, typer.Option("--output-stride", callback=output_stride, help="8, 16 or 32.")
]
WidthMult = Annotated[
    float | None, typer.Option(callback=positive, help="Width of the backbone. [default: 1]")
]
Separable = Annotated[
    bool | None,
    typer.Option("--separable/--no-separable", help="Depthwise separable head. [default: no]"),
]
AsppChannels = Annotated[
    int | None, typer.Option(callback=ONE, help="Channels of ASPP. [default: 256]")
]
LowLevelChannels = Annotated[
    int | None, typer.Option(callback=ONE, help="Of the decoder's fine map. [default: 48]")
]
DecoderConvs = Annotated[
    int | None, typer.Option(callback=ONE, help="3×3 convolutions of the decoder. [default: 1]")
]
StartWeights = Annotated[
    str | None,
    typer.Option(metavar="FILE|imagenet", help="Weights to start from, of the same network."),
]
Epochs = Annotated[
    int | None, typer.Option(callback=ONE, help="Passes over the data. [default: 10]")
]
Steps = Annotated[int | None, typer.Option(callback=ONE, help="Optimiser steps, instead.")]
BatchSize = Annotated[
    int, typer.Option(callback=at_least(2), help="Images per step, of all processes together.")
]
Accumulate = Annotated[
    int, typer.Option(callback=ONE, help="Parts of a batch, one after the other, to save memory.")
]
CropSize = Annotated[
    str | None,
    typer.Option(callback=crop, metavar="HxW", help="Pixels. [default: the data set's]"),
]
Loss = Annotated[str, typer.Option(callback=one_of(*LOSSES), help=" | ".join(LOSSES))]
FocalGamma = Annotated[
    float | None, typer.Option(callback=not_negative, help="Of the focal loss. [default: 2]")
]
LabelSmoothing = Annotated[
    float | None, typer.Option(callback=share(closed=True), help="Of cross_entropy. [default: 0]")
]
ClassWeights = Annotated[
    str | None,
    typer.Option(
        callback=one_of(*BALANCES), help=f"{' | '.join(BALANCES)}: rare classes weigh more."
    ),
]
Optimizer = Annotated[str, typer.Option(help="sgd or adamw.")]
LR = Annotated[float, typer.Option(callback=positive, help="Learning rate at first.")]
BackboneLR = Annotated[
    float | None, typer.Option(callback=positive, help="The backbone's. [default: --lr]")
]
Momentum = Annotated[float, typer.Option(callback=not_negative, help="Of sgd.")]
WeightDecay = Annotated[float, typer.Option(callback=not_negative, help="Of all parameters.")]
Schedule = Annotated[str, typer.Option(callback=one_of(*SCHEDULES), help="poly or step.")]
Power = Annotated[float | None, typer.Option(callback=positive, help="Of poly. [default: 0.9]")]
WarmupSteps = Annotated[
    int | None, typer.Option(callback=at_least(0), help="Of poly: the rate rises. [default: 0]")
]
StepSize = Annotated[
    int | None, typer.Option(callback=ONE, help="Of step: steps between falls. [default: 10000]")
]
Gamma = Annotated[
    float | None, typer.Option(callback=share(), help="Of step: what is left. [default: 0.1]")
]
Precision = Annotated[
    str, typer.Option(callback=one_of(*PRECISIONS), help="fp32, bf16, or on a GPU fp16.")
]
Ema = Annotated[
    float | None,
    typer.Option(callback=decay, help="Decay of an average of the weights, such as 0.999."),
]
BNMomentum = Annotated[
    float | None,
    typer.Option("--bn-momentum", callback=share(), help="Of BatchNorm. [default: 0.1]"),
]
FreezeBN = Annotated[bool, typer.Option("--freeze-bn", help="Keep BatchNorm as it is.")]
SyncBN = Annotated[bool, typer.Option("--sync-bn", help="BatchNorm over all GPUs' images.")]
Seed = Annotated[
    int, typer.Option(callback=at_least(0), help="Of weights, order and augmentation.")
]
Workers = Annotated[int, typer.Option(callback=at_least(0), help="Processes that load images.")]
ValEvery = Annotated[
    int | None, typer.Option(callback=ONE, help="Steps between validations. [default: an epoch]")
]
ValBatchSize = Annotated[
    int, typer.Option(callback=ONE, help="Images at once, of one size, in validation.")
]
CropVal = Annotated[
    bool, typer.Option("--crop-val", help="Validate on the middle of each image, in crop size.")
]
PrintEvery = Annotated[int, typer.Option(callback=ONE, help="Steps between two lines of losses.")]
Tensorboard = Annotated[
    bool, typer.Option("--tensorboard", help="Write curves and samples to DIR/tensorboard.")
]
Samples = Annotated[
    int, typer.Option(callback=at_least(0), help="Sample predictions in TensorBoard.")
]
SaveResults = Annotated[
    bool, typer.Option("--save-results", help="Write the val predictions to DIR/results.")
]
TestOnly = Annotated[
    bool,
    typer.Option("--test-only", help="Measure --weights, or DIR/best.safetensors, and leave."),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The run's folder. [default: runs/DATASET-MODEL]"),
]
Check = Annotated[bool, typer.Option(help="Read every image and mask once before the start.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in DIR, with the same options.")
]

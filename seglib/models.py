"""Whole segmentation networks: a backbone, a head, and logits at the image's size."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from seglib.backbones import BACKBONES, build_backbone
from seglib.backbones.common import Backbone, options_of, reject_foreign_options
from seglib.checks import check_whole
from seglib.heads import FPN, DeepLabV3Head, DeepLabV3PlusHead, FPNHead, LastLevelMaxPool
from seglib.layers import resize
from seglib.published import download
from seglib.weights import load_weights

HEADS: dict[str, type[nn.Module]] = {
    "deeplabv3": DeepLabV3Head,
    "deeplabv3plus": DeepLabV3PlusHead,
    "fpn": FPNHead,
}
ALIASES = {"mobilenet": "mobilenetv2"}
# DeepLabV3 §4.1: the rates double with the map's resolution, so that they span the same part of
# the image; HRNet's maps, at stride 4, keep those of stride 8.
ASPP_RATES = {32: (3, 6, 9), 16: (6, 12, 18), 8: (12, 24, 36), 4: (12, 24, 36)}
LOW_LEVEL_STRIDE = 4  # of the map that sharpens DeepLabV3+'s logits


class SegmentationModel(nn.Module):
    """A class score for every pixel: image (N, C, H, W) → logits (N, num_classes, H, W).

    Args:
        backbone, head: parts that fit together, as `build_model` makes them.
        levels: which of the backbone's maps the head takes, by index; default all.
        align_corners: how the head's logits are enlarged to the image, see `resize`.
        config: the arguments of `build_model` that make this network again; kept in saved files.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module,
        levels: Sequence[int] | None = None,
        align_corners: bool = False,
        config: Mapping[str, object] = {},
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.levels = list(range(len(backbone.channels)) if levels is None else levels)
        self.align_corners = align_corners
        self.config = dict(config)

    def forward(self, x: Tensor) -> Tensor:
        in_channels = self.config.get("in_channels", x.shape[1] if x.ndim == 4 else None)
        if x.ndim != 4 or x.shape[1] != in_channels:
            raise ValueError(f"x must be (N, {in_channels or 'C'}, H, W), got {tuple(x.shape)}")
        maps = self.backbone(x)  # at strides 4 … output_stride
        logits = self.head(
            [maps[i] for i in self.levels]
        )  # (N, num_classes, H/4, W/4), or /output_stride
        return resize(logits, x.shape[-2:], self.align_corners)  # (N, num_classes, H, W)


def available_models() -> list[str]:
    """Every name that `build_model` takes, `<head>_<backbone>`, without the aliases."""
    return [
        f"{head}_{backbone}"
        for head in HEADS
        for backbone in BACKBONES
        if not (head == "fpn" and backbone.startswith("hrnet"))  # it has no pyramid of sizes
    ]


def choose_levels(head_name: str, strides: Sequence[int]) -> list[int]:
    """The maps that a head takes, by index: DeepLabV3 the last, DeepLabV3+ also one at stride 4.

    Raises:
        ValueError: if DeepLabV3+ finds no map at stride 4 above the last.
    """
    last = len(strides) - 1
    if head_name == "deeplabv3":
        return [last]
    if head_name == "fpn":
        return list(range(len(strides)))
    low_level = [i for i in range(last) if strides[i] == LOW_LEVEL_STRIDE]
    if not low_level:
        raise ValueError(
            f"deeplabv3plus needs a map at stride {LOW_LEVEL_STRIDE} and a later one; with"
            f" backbone_options the strides are {list(strides)}"
        )
    return [low_level[-1], last]


def build_model(
    name: str,
    *,
    num_classes: int = 21,
    output_stride: int = 16,
    in_channels: int = 3,
    backbone_options: Mapping[str, object] = {},
    head_options: Mapping[str, object] = {},
    weights: str | Path | Mapping[str, Tensor] | None = None,
) -> SegmentationModel:
    """Build a segmentation network by its name.

    Args:
        name: one of `available_models()`, `<head>_<backbone>`; "mobilenet" stands for
            "mobilenetv2".
        num_classes: classes, ≥ 1.
        output_stride: input pixels per pixel of the backbone's last map: 8, 16 or 32. ASPP's rates
            follow it: 12, 24, 36; 6, 12, 18; 3, 6, 9.
        in_channels: channels of the image, ≥ 1.
        backbone_options: further arguments of the backbone's class.
        head_options: `aspp_rates`, `aspp_channels`, `aspp_dropout`, `separable`, `align_corners`
            (the final resize too); DeepLabV3+ also `low_level_channels`, `decoder_convs`; FPN
            `fpn_channels`, `head_channels`, `align_corners`.
        weights: None for fresh ones, "imagenet" for the backbone's published ones, or what
            `load_weights` takes.
    Raises:
        ValueError: for an unknown name or option, a value out of its range, or weights that do not
            fit.
    """
    head_name, _, backbone_name = name.partition("_")
    backbone_name = ALIASES.get(backbone_name, backbone_name)
    if head_name == "fpn" and backbone_name.startswith("hrnet"):
        raise ValueError(
            f"name={name!r}: FPN joins maps of several sizes, and HRNet's all have one; use"
            f" deeplabv3_{backbone_name} or deeplabv3plus_{backbone_name}"
        )
    if f"{head_name}_{backbone_name}" not in available_models():
        raise ValueError(
            f"name must be <head>_<backbone> with head {', '.join(HEADS)} and backbone"
            f" {', '.join(BACKBONES)}; got {name!r}"
        )
    check_whole("num_classes", num_classes)
    fixed = {"name", "output_stride", "in_channels"} & backbone_options.keys()
    if fixed:
        raise ValueError(
            f"backbone_options holds {fixed.pop()!r}, an argument of build_model itself"
        )

    backbone = build_backbone(
        backbone_name,
        output_stride=output_stride,
        in_channels=in_channels,
        **backbone_options,  # type: ignore[arg-type]
    )
    levels = choose_levels(head_name, backbone.strides)
    head_class = HEADS[head_name]
    options = dict(head_options)
    align_corners = bool(options.pop("align_corners", False))
    if "align_corners" in options_of(head_class):
        options["align_corners"] = align_corners
    if "aspp_rates" in options_of(head_class) and options.get("aspp_rates") is None:
        if backbone.strides[-1] not in ASPP_RATES:
            raise ValueError(f"give head_options['aspp_rates'] at stride {backbone.strides[-1]}")
        options["aspp_rates"] = ASPP_RATES[backbone.strides[-1]]
    reject_foreign_options(f"head {head_name}", head_class, options)
    head = head_class([backbone.channels[i] for i in levels], num_classes, **options)

    config = {
        "name": f"{head_name}_{backbone_name}",
        "num_classes": num_classes,
        "output_stride": output_stride,
        "in_channels": in_channels,
        "backbone_options": dict(backbone_options),
        "head_options": dict(head_options),
    }
    model = SegmentationModel(backbone, head, levels, align_corners, config)
    if isinstance(weights, str) and weights == "imagenet":
        load_weights(backbone, download(backbone_name), origin="torchvision")
    elif weights is not None:
        load_weights(model, weights)
    return model


def resnet_fpn(
    depth: int = 50,
    *,
    out_channels: int = 256,
    in_channels: int = 3,
    backbone_options: Mapping[str, object] = {},
) -> nn.Sequential:
    """ResNet and FPN as detectors take them, R-50-FPN and so on: image (N, C, H, W) → five maps at
    strides 4, 8, 16, 32, 64 with `out_channels` channels.

    The parts are `body` and `fpn`. As in maskrcnn-benchmark, ResNet strides in its 1×1
    convolutions, the stem and the first stage are frozen, and BatchNorms keep their statistics.

    Args:
        depth: 50, 101 or 152; also 18 or 34, whose blocks stride in a 3×3 convolution.
        out_channels: channels of every map, ≥ 1.
        in_channels: channels of the image, ≥ 1.
        backbone_options: further arguments of `ResNet`, also in place of those above.
    Raises:
        ValueError: for an unknown depth or option, or a value out of its range.
    Source: R-50-FPN, R-101-FPN, R-152-FPN of maskrcnn-benchmark; §4 (arXiv 1612.03144).
        torchvision's `resnet_fpn_backbone` strides in the 3×3 convolutions:
        `{"style": "pytorch"}`.
    """
    style = "caffe" if depth in (50, 101, 152) else "pytorch"
    options = {"style": style, "frozen_stages": 1, "norm_eval": True, **backbone_options}
    body = build_backbone(f"resnet{depth}", in_channels=in_channels, **options)  # type: ignore[arg-type]
    fpn = FPN(body.channels, out_channels, LastLevelMaxPool())
    return nn.Sequential(OrderedDict(body=body, fpn=fpn))

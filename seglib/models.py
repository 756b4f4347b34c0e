"""Whole segmentation networks: a backbone, a head, and logits at the image's size."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from seglib.backbones import BACKBONES, build_backbone
from seglib.backbones.common import Backbone, reject_foreign_options
from seglib.heads import DeepLabV3Head, DeepLabV3PlusHead
from seglib.layers import resize
from seglib.weights import load_published, load_weights

HEADS: dict[str, type[nn.Module]] = {
    "deeplabv3": DeepLabV3Head,
    "deeplabv3plus": DeepLabV3PlusHead,
}
ALIASES = {"mobilenet": "mobilenetv2"}
# DeepLabV3 §4.1: the rates double with the map's resolution, so that they span the same part of
# the image.
ASPP_RATES = {32: (3, 6, 9), 16: (6, 12, 18), 8: (12, 24, 36)}


class SegmentationModel(nn.Module):
    """A class score for every pixel: image (N, C, H, W) → logits (N, num_classes, H, W).

    Args:
        backbone, head: parts that fit together, as `build_model` makes them.
        align_corners: how the head's logits are enlarged to the image, see `resize`.
        config: the arguments of `build_model` that make this network again; kept in saved files.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module,
        align_corners: bool = False,
        config: Mapping[str, object] = {},
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.align_corners = align_corners
        self.config = dict(config)

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(x)  # maps at strides 4 … output_stride
        logits = self.head(features)  # (N, num_classes, H/4, W/4), or /output_stride
        return resize(logits, x.shape[-2:], self.align_corners)  # (N, num_classes, H, W)


def available_models() -> list[str]:
    """Every name that `build_model` takes, `<head>_<backbone>`, without the aliases."""
    return [f"{head}_{backbone}" for head in HEADS for backbone in BACKBONES]


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
            (the final resize too); DeepLabV3+ also `low_level_channels`, `decoder_convs`.
        weights: None for fresh ones, "imagenet" for the backbone's published ones, or what
            `load_weights` takes.
    Raises:
        ValueError: for an unknown name or option, a value out of its range, or weights that do not
            fit.
    """
    head_name, _, backbone_name = name.partition("_")
    backbone_name = ALIASES.get(backbone_name, backbone_name)
    if f"{head_name}_{backbone_name}" not in available_models():
        raise ValueError(f"name must be one of {', '.join(available_models())}; got {name!r}")
    for argument, value in (("num_classes", num_classes), ("in_channels", in_channels)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{argument} must be a whole number >= 1, got {value!r}")
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
    options = {"aspp_rates": ASPP_RATES[output_stride], **head_options}
    if options["aspp_rates"] is None:
        options["aspp_rates"] = ASPP_RATES[output_stride]
    align_corners = bool(options.pop("align_corners", False))
    if head_name == "deeplabv3plus":
        options["align_corners"] = align_corners
    head_class = HEADS[head_name]
    reject_foreign_options(f"head {head_name}", head_class, options)
    head = head_class(backbone.channels, num_classes, **options)

    config = {
        "name": f"{head_name}_{backbone_name}",
        "num_classes": num_classes,
        "output_stride": output_stride,
        "in_channels": in_channels,
        "backbone_options": dict(backbone_options),
        "head_options": dict(head_options),
    }
    model = SegmentationModel(backbone, head, align_corners, config)
    if isinstance(weights, str) and weights == "imagenet":
        load_published(model.backbone, backbone_name)
    elif weights is not None:
        load_weights(model, weights)
    return model

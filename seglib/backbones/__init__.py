"""Backbones: an image in, a list of feature maps out, high resolution first."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from seglib.backbones.common import Backbone, reject_foreign_options
from seglib.backbones.ghostnet import GhostNet, GhostNetClassifier
from seglib.backbones.hrnet import HRNet, HRNetClassifier
from seglib.backbones.mobilenetv2 import MobileNetV2, MobileNetV2Classifier
from seglib.backbones.mobilenetv3 import MobileNetV3, MobileNetV3Classifier
from seglib.backbones.resnet import RESNETS, ResNet, ResNetClassifier
from seglib.backbones.xception import Xception, XceptionClassifier
from seglib.checks import check_whole

BACKBONES: dict[str, Callable[..., Backbone]] = {
    "mobilenetv2": MobileNetV2,
    "mobilenetv3_large": partial(MobileNetV3, "large"),
    "mobilenetv3_small": partial(MobileNetV3, "small"),
    "ghostnet": GhostNet,
    **{
        name: partial(ResNet, depth, groups=groups, width_per_group=width)
        for name, (depth, groups, width) in RESNETS.items()
    },
    "xception": Xception,
    "hrnetv2_32": partial(HRNet, 32),
    "hrnetv2_48": partial(HRNet, 48),
}
CLASSIFIERS: dict[str, Callable[[int], nn.Module]] = {
    "mobilenetv2": MobileNetV2Classifier,
    "mobilenetv3_large": partial(MobileNetV3Classifier, "large"),
    "mobilenetv3_small": partial(MobileNetV3Classifier, "small"),
    "ghostnet": GhostNetClassifier,
    **{
        name: partial(ResNetClassifier, depth, groups=groups, width_per_group=width)
        for name, (depth, groups, width) in RESNETS.items()
    },
    "xception": XceptionClassifier,
    "hrnetv2_32": partial(HRNetClassifier, 32),
    "hrnetv2_48": partial(HRNetClassifier, 48),
}


def build_backbone(
    name: str,
    *,
    output_stride: int = 32,
    in_channels: int = 3,
    out_indices: Sequence[int] | None = None,
    **options: object,
) -> Backbone:
    """Build a backbone by its name.

    Args:
        name: a key of `BACKBONES`.
        output_stride: 8, 16 or 32, input pixels per pixel of the last map; strides past it become
            dilation.
        in_channels: channels of the image, ≥ 1.
        out_indices: which maps to return, ascending; default all (strides 4, 8, 16, 32).
        options: further arguments of that backbone's class.
    Returns:
        A module: (N, in_channels, H, W) → list of maps, with `.channels` and `.strides` of each.
    Raises:
        ValueError: for an unknown name or option, or a value out of its range.
    """
    if name not in BACKBONES:
        raise ValueError(f"name must be one of {', '.join(BACKBONES)}; got {name!r}")
    check_whole("in_channels", in_channels)
    backbone = BACKBONES[name]
    reject_foreign_options(name, backbone, options)
    return backbone(
        output_stride=output_stride, in_channels=in_channels, out_indices=out_indices, **options
    )


def classifier(name: str, num_classes: int = 1000) -> nn.Module:
    """The published ImageNet network with this backbone: (N, 3, H, W) → logits (N, num_classes).

    Raises:
        ValueError: for an unknown name, or a number of classes below 1.
    """
    if name not in CLASSIFIERS:
        raise ValueError(f"name must be one of {', '.join(CLASSIFIERS)}; got {name!r}")
    check_whole("num_classes", num_classes)
    return CLASSIFIERS[name](num_classes)

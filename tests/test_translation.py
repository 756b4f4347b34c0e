"""Weights of timm's and torchvision's networks, renamed, give those networks' outputs."""

from functools import partial

import pytest
import timm
import torch
import torchvision
from support import random_state, relative, shapes_of, without_dropout
from torch import nn
from torchvision.models import segmentation

from seglib import build_backbone, build_model, load_weights
from seglib.backbones import classifier
from seglib.backbones.mobilenetv3 import MobileNetV3Classifier
from seglib.translation import DIALECTS, ORIGINS, find_dialect

SIZE = (65, 97)


def image() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, *SIZE, dtype=torch.float64, generator=generator)


def prepared(theirs: nn.Module) -> nn.Module:
    theirs.load_state_dict(random_state(shapes_of(theirs), seed=6))
    theirs.drop_rate = 0.0  # timm's own, for F.dropout
    return without_dropout(theirs.double())


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("ghostnet_100", partial(classifier, "ghostnet")),
        ("mobilenetv2_100", partial(classifier, "mobilenetv2")),
        ("mobilenetv3_large_100", partial(MobileNetV3Classifier, "large", norm_eps=1e-5)),
        ("mobilenetv3_small_100", partial(MobileNetV3Classifier, "small", norm_eps=1e-5)),
        ("legacy_xception", partial(classifier, "xception")),
        ("resnet18", partial(classifier, "resnet18")),
        ("resnext50_32x4d", partial(classifier, "resnext50_32x4d")),
    ],
)
@pytest.mark.parametrize("origin", ["auto", "timm"])
def test_timm_classifiers(name: str, ours: partial[nn.Module], origin: str) -> None:
    theirs = prepared(timm.create_model(name))
    model = without_dropout(ours().double())
    report = load_weights(model, theirs.state_dict(), origin=origin)
    assert (report.kept, report.unused) == ((), ())
    x = image()
    with torch.no_grad():
        for mode in (False, True):
            assert relative(model.train(mode)(x), theirs.train(mode)(x)) < 1e-9


NORM_EPS = {"norm_eps": 1e-5}
MOBILENET_END = {"features", "classifier"}
HRNET_END = {"incre_modules", "downsamp_modules", "final_layer", "classifier"}


@pytest.mark.parametrize(
    ("theirs", "name", "options", "origin", "unused"),
    [
        ("ghostnet_100", "ghostnet", {}, "timm", {"blocks", "conv_head", "classifier"}),
        ("mobilenetv2_100", "mobilenetv2", {}, "timm", MOBILENET_END),
        ("mobilenetv3_large_100", "mobilenetv3_large", NORM_EPS, "timm", MOBILENET_END),
        ("mobilenetv3_small_100", "mobilenetv3_small", NORM_EPS, "timm", MOBILENET_END),
        ("resnet50d", "resnet50", {"deep_stem": True, "avg_down": True}, "torchvision", {"fc"}),
        ("resnet34", "resnet34", {}, "torchvision", {"fc"}),
        ("legacy_xception", "xception", {}, "vainf", {"last_linear"}),
        pytest.param(
            *("legacy_xception", "xception", {"legacy_tail": True}, "vainf"),
            {"last_linear", "bn4"},
            marks=pytest.mark.slow,
        ),
        pytest.param("hrnet_w32", "hrnetv2_32", {}, "timm", HRNET_END, marks=pytest.mark.slow),
    ],
)
def test_timm_fills_backbones_and_models(
    theirs: str, name: str, options: dict[str, object], origin: str, unused: set[str]
) -> None:
    """Names that several projects share count as the likeliest one's."""
    state = random_state(shapes_of(timm.create_model(theirs)), seed=6)
    backbone = build_backbone(name, **options)  # type: ignore[arg-type]
    model = build_model(f"deeplabv3_{name}", backbone_options=options)
    for target in (backbone, model):
        report = load_weights(target, state)
        assert report.origin == origin
        assert {part.split(".")[0] for part in report.unused} == unused
        assert all(part.startswith("head.") for part in report.kept)
    for part, tensor in backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[part], tensor)


@pytest.mark.parametrize(
    ("theirs", "name", "options"),
    [
        (segmentation.deeplabv3_resnet50, "deeplabv3_resnet50", {"output_stride": 8}),
        (
            segmentation.deeplabv3_mobilenet_v3_large,
            "deeplabv3_mobilenetv3_large",
            {
                "backbone_options": {"out_blocks": (16,), "legacy_dilation": True},
                "head_options": {"aspp_rates": (12, 24, 36)},
            },
        ),
    ],
)
def test_torchvision_segmentation_gives_its_outputs(
    theirs: type[nn.Module], name: str, options: dict[str, object]
) -> None:
    reference = prepared(
        theirs(weights=None, weights_backbone=None, num_classes=5, aux_loss=True)  # type: ignore[call-arg]
    )
    model = without_dropout(build_model(name, num_classes=5, **options).double())  # type: ignore[arg-type]
    report = load_weights(model, reference.state_dict())
    assert (report.origin, report.kept) == ("torchvision", ())
    assert all(part.startswith("aux_classifier.") for part in report.unused)
    x = image()
    with torch.no_grad():
        for mode in (False, True):
            out, expected = model.train(mode)(x), reference.train(mode)(x)["out"]
            assert relative(out, expected) < 1e-9


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({}, "'legacy_dilation': True"),
        ({}, r"'out_blocks': \(16,\), .*'aspp_rates': \(12, 24, 36\)"),
        (
            {"backbone_options": {"legacy_dilation": True, "out_blocks": (16,)}},
            r"with head_options={'aspp_rates': \(12, 24, 36\)}$",
        ),
        (
            {
                "backbone_options": {"legacy_dilation": True},
                "head_options": {"aspp_rates": (12, 24, 36)},
            },
            r"'out_blocks': \(16,\)",
        ),
        ({"name": "deeplabv3_resnet50"}, "the backbone mobilenetv3_large"),
    ],
)
def test_every_option_of_torchvisions_mobilenet_is_named(
    options: dict[str, object], remedy: str
) -> None:
    state = segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None)
    arguments = {"name": "deeplabv3_mobilenetv3_large", **options}
    with pytest.raises(ValueError, match=remedy):
        load_weights(build_model(**arguments), state.state_dict())  # type: ignore[arg-type]


def test_timm_mobilenetv3_needs_its_epsilon() -> None:
    state = random_state(shapes_of(timm.create_model("mobilenetv3_small_100")), seed=6)
    with pytest.raises(ValueError, match="'norm_eps': 1e-05"):
        load_weights(build_backbone("mobilenetv3_small"), state)


def test_another_depth_is_named() -> None:
    state = torchvision.models.resnet34().state_dict()
    with pytest.raises(ValueError, match="the backbone resnet34"):
        load_weights(build_model("deeplabv3_resnet18"), state)


def test_origin_must_know_the_names() -> None:
    state = torchvision.models.resnet18().state_dict()
    assert find_dialect(state, "auto").origins[0] == "torchvision"
    with pytest.raises(
        ValueError, match="origin='jfzhang95' has no network with names like 'conv1"
    ):
        find_dialect(state, "jfzhang95")
    with pytest.raises(ValueError, match="origin='auto' knows no project"):
        load_weights(
            build_model("deeplabv3_resnet18"),
            segmentation.fcn_resnet50(weights=None, weights_backbone=None).state_dict(),
        )


def test_the_table_of_dialects() -> None:
    assert {origin for dialect in DIALECTS for origin in dialect.origins} == set(ORIGINS)


def test_current_revision_of_jfzhang95() -> None:
    """Its last revision keeps the parts apart (aspp, decoder) and has dropout in the decoder."""
    model = build_model(
        "deeplabv3plus_resnet101",
        backbone_options={"multi_grid": (1, 2, 4)},
        head_options={"decoder_convs": 2, "align_corners": True},
    )
    renamed, expected = {}, random_state(shapes_of(model), seed=6)
    for name, tensor in expected.items():
        pieces = name.split(".")
        if pieces[:3] == ["head", "aspp", "convs"] and pieces[3] == "4":
            pieces = ["aspp", "global_avg_pool", *pieces[4:]]
        elif pieces[:3] == ["head", "aspp", "convs"]:
            part = "bn" if pieces[4] == "1" else "atrous_conv"
            pieces = ["aspp", f"aspp{int(pieces[3]) + 1}", part, *pieces[5:]]
        elif pieces[:3] == ["head", "aspp", "project"]:
            pieces = ["aspp", {"0": "conv1", "1": "bn1"}[pieces[3]], *pieces[4:]]
        elif pieces[:2] == ["head", "project"]:
            pieces = ["decoder", {"0": "conv1", "1": "bn1"}[pieces[2]], *pieces[3:]]
        elif pieces[:2] == ["head", "classifier"]:
            place = {"0": "0", "1": "1", "3": "4", "4": "5", "6": "8"}[pieces[2]]
            pieces = ["decoder", "last_conv", place, *pieces[3:]]
            if name == "head.classifier.0.weight":  # its decoder has the low-level map last
                tensor = torch.cat([tensor[:, 48:], tensor[:, :48]], dim=1)
        renamed[".".join(pieces)] = tensor
    report = load_weights(model.double(), {"state_dict": renamed, "epoch": 3})
    assert (report.origin, report.kept, report.unused) == ("jfzhang95", (), ())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name

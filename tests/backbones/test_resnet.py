"""ResNet beside torchvision and timm: outputs, statistics, gradients, dilations."""

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from support import multiply_adds, random_state, relative, shapes_of
from torch import Tensor, nn

from seglib.backbones import BACKBONES, build_backbone, classifier
from seglib.backbones.resnet import RESNETS, ResNet, ResNetClassifier, block_table
from seglib.weights import load_weights

LIGHT = ("resnet18", "resnet34", "resnet50", "resnext50_32x4d")
HEAVY = ("resnet101", "resnet152", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2")
NAMES = [*LIGHT, *(pytest.param(name, marks=pytest.mark.slow) for name in HEAVY)]
PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
}
STRIDE_TO_DILATION = {32: (False, False, False), 16: (False, False, True), 8: (False, True, True)}


def image(size: tuple[int, int], batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, *size, dtype=torch.float64, generator=generator)


def maps_of(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The four maps of torchvision's or timm's classification network."""
    activation = model.relu if hasattr(model, "relu") else model.act1
    x = model.maxpool(activation(model.bn1(model.conv1(x))))
    maps = []
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        x = stage(x)
        maps.append(x)
    return maps


def assert_equal_steps(
    ours: nn.Module, theirs: nn.Module, outputs: list[Tensor], expected: list[Tensor]
) -> None:
    """Outputs, BatchNorm statistics and parameter gradients."""
    for a, b in zip(outputs, expected, strict=True):
        assert relative(a, b) < 1e-9
    for name, buffer in ours.named_buffers():
        assert torch.allclose(buffer, theirs.get_buffer(name), rtol=1e-10, atol=1e-12), name
    for model, maps in ((ours, outputs), (theirs, expected)):
        gradients = [torch.cos(torch.arange(x.numel(), dtype=x.dtype)).view_as(x) for x in maps]
        model.zero_grad()
        torch.autograd.backward(maps, gradients)
    for name, parameter in ours.named_parameters():
        wanted = theirs.get_parameter(name).grad
        # A shift right before another BatchNorm has no gradient in train mode, only rounding.
        scale = max(float(wanted.abs().max()), 1e-3)
        assert float((parameter.grad - wanted).abs().max()) < 1e-9 * scale, name


def pair(ours: nn.Module, theirs: nn.Module, train: bool) -> None:
    """The same weights and statistics for both."""
    state = random_state(shapes_of(theirs), seed=3)
    for model in (ours, theirs):
        model.double().train(train)
    theirs.load_state_dict(state)
    own = ours.state_dict().keys()
    ours.load_state_dict({name: t for name, t in state.items() if name in own}, strict=True)


@pytest.mark.parametrize("name", PARAMETERS)
def test_classifier_has_torchvisions_layers(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = classifier(name), torchvision.models.get_model(name)
        x = torch.zeros(1, 3, 224, 224)
    assert shapes_of(ours) == shapes_of(theirs)
    for layer, module in theirs.named_modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.ReLU)):
            assert repr(ours.get_submodule(layer)) == repr(module)
    published = torchvision.models.get_model_weights(name).DEFAULT.meta
    assert sum(p.numel() for p in ours.parameters()) == PARAMETERS[name] == published["num_params"]
    assert multiply_adds(ours, x) == pytest.approx(published["_ops"] * 1e9, rel=0.01)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_classifier_equals_torchvision(name: str, train: bool) -> None:
    ours, theirs = classifier(name), torchvision.models.get_model(name)
    pair(ours, theirs, train)
    x = image((33, 47))
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    assert_equal_steps(ours, theirs, [ours(a)], [theirs(b)])
    assert relative(a.grad, b.grad) < 1e-9


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_maps_equal_torchvision(output_stride: int, train: bool) -> None:
    ours = build_backbone("resnet50", output_stride=output_stride)
    dilate = STRIDE_TO_DILATION[output_stride]
    theirs = torchvision.models.resnet50(replace_stride_with_dilation=dilate)
    pair(ours, theirs, train)
    x = image((65, 97))
    assert_equal_steps(ours, theirs, ours(x), maps_of(theirs, x))


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", PARAMETERS)
def test_dilations_equal_torchvision_and_timm(name: str, output_stride: int) -> None:
    with torch.device("meta"):
        ours = build_backbone(name, output_stride=output_stride)
        if RESNETS[name][0] < 50:  # torchvision's BasicBlock cannot be dilated
            theirs = timm.create_model(name, output_stride=output_stride)
        else:
            dilate = STRIDE_TO_DILATION[output_stride]
            theirs = torchvision.models.get_model(name, replace_stride_with_dilation=dilate)
    convolutions = [n for n, m in ours.named_modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) > 15
    for layer in convolutions:
        assert repr(ours.get_submodule(layer)) == repr(theirs.get_submodule(layer))


@pytest.mark.parametrize(
    ("reference", "depth", "options", "output_stride"),
    [
        ("resnet18", 18, {}, 8),
        ("resnet18", 18, {}, 16),
        ("resnext50_32x4d", 50, {"groups": 32, "width_per_group": 4}, 16),
        ("resnet18d", 18, {"deep_stem": True, "avg_down": True}, 32),
        ("resnet50c", 50, {"deep_stem": True}, 8),
        ("resnet50d", 50, {"deep_stem": True, "avg_down": True}, 32),
    ],
)
@pytest.mark.parametrize("train", [False, True])
def test_maps_equal_timm(
    reference: str, depth: int, options: dict[str, int], output_stride: int, train: bool
) -> None:
    ours = ResNet(depth, output_stride=output_stride, **options)
    theirs = timm.create_model(reference, output_stride=output_stride)
    pair(ours, theirs, train)
    x = image((33, 47) if depth == 50 else (65, 97))
    assert_equal_steps(ours, theirs, ours(x), maps_of(theirs, x))


def test_classifier_takes_timms_resnet50d() -> None:
    ours = ResNetClassifier(50, deep_stem=True, avg_down=True)
    theirs = timm.create_model("resnet50d")
    pair(ours, theirs, train=False)
    x = image((65, 97))
    assert relative(ours(x), theirs(x)) < 1e-9


def test_block_table() -> None:
    def dilations(**options: object) -> list[list[int]]:
        return [[row.dilation for row in rows] for rows in block_table((3, 4, 6, 3), **options)]

    assert dilations() == [[1] * 3, [1] * 4, [1] * 6, [1] * 3]
    assert dilations(output_stride=16)[2:] == [[1] * 6, [1, 2, 2]]
    assert dilations(output_stride=8)[2:] == [[1, 2, 2, 2, 2, 2], [2, 4, 4]]
    assert dilations(dilations=(1, 1, 2, 4))[2:] == [[2] * 6, [4] * 3]
    strides = [rows[0].stride for rows in block_table((3, 4, 6, 3), output_stride=16)]
    assert strides == [1, 2, 2, 1]
    assert {row.stride for rows in block_table((3, 4, 6, 3)) for row in rows[1:]} == {1}


@pytest.mark.parametrize(
    ("output_stride", "expected"), [(32, [1, 2, 4]), (16, [2, 4, 8]), (8, [4, 8, 16])]
)
def test_multi_grid_multiplies_every_block(output_stride: int, expected: list[int]) -> None:
    backbone = ResNet(50, base_channels=4, output_stride=output_stride, multi_grid=(1, 2, 4))
    found = [block.conv2.dilation[0] for block in backbone.layer4]
    assert found == [block.conv2.padding[0] for block in backbone.layer4] == expected


@settings(max_examples=12, deadline=None)
@given(
    depth=st.sampled_from([18, 50]),
    height=st.integers(32, 97),
    width=st.integers(32, 97),
    options=st.sampled_from(
        [{}, {"deep_stem": True}, {"groups": 2, "width_per_group": 32}, {"style": "pytorch"}]
    ),
)
def test_dilation_computes_the_strided_maps_at_more_places(
    depth: int, height: int, width: int, options: dict[str, object]
) -> None:
    if depth == 18:
        options = {name: v for name, v in options.items() if name == "deep_stem"}
    strided = ResNet(depth, base_channels=4, **options)
    dense = ResNet(depth, base_channels=4, output_stride=8, **options)
    state = random_state(shapes_of(strided), seed=5)
    x = image((height, width), batch=1)
    for model in (strided, dense):
        model.double().eval().load_state_dict(state)
    for a, b, stride in zip(dense(x), strided(x), strided.strides, strict=True):
        step = max(1, stride // 8)
        assert relative(a[:, :, ::step, ::step], b) < 1e-9


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from([n for n in RESNETS if "101" not in n and "152" not in n]),
    output_stride=st.sampled_from([8, 16, 32]),
    in_channels=st.integers(1, 5),
    base_channels=st.sampled_from([16, 24, 64]),
    size=st.tuples(st.integers(32, 600), st.integers(32, 600)),
    flags=st.tuples(st.booleans(), st.booleans()),
)
def test_maps_have_the_promised_shapes(
    name: str,
    output_stride: int,
    in_channels: int,
    base_channels: int,
    size: tuple[int, int],
    flags: tuple[bool, bool],
) -> None:
    with torch.device("meta"):
        backbone = build_backbone(
            name,
            output_stride=output_stride,
            in_channels=in_channels,
            base_channels=base_channels,
            deep_stem=flags[0],
            avg_down=flags[1],
        )
        maps = backbone(torch.zeros(2, in_channels, *size))
    assert backbone.strides == [min(s, output_stride) for s in (4, 8, 16, 32)]
    for x, channels, stride in zip(maps, backbone.channels, backbone.strides, strict=True):
        assert x.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))


@pytest.mark.parametrize(
    ("depth", "options"),
    [
        (18, {}),
        (50, {"deep_stem": True, "output_stride": 8, "with_cp": True, "frozen_stages": 1}),
        (50, {"dcn": {"modulated": True}, "stage_with_dcn": (False, True, True, True)}),
    ],
)
def test_export_with_dynamic_size(depth: int, options: dict[str, object]) -> None:
    backbone = ResNet(depth, base_channels=8, **options).double()
    backbone.load_state_dict(random_state(shapes_of(backbone), seed=6))
    backbone.eval()
    # torch.export does not let a dynamic side shrink to one pixel, as 32 would at stride 32.
    size = {2: torch.export.Dim("height", min=33), 3: torch.export.Dim("width", min=33)}
    exported = torch.export.export(
        backbone, (image((64, 96), batch=1),), dynamic_shapes=(size,)
    ).module()
    for x in (image((64, 96), batch=1), image((65, 131), batch=1)):
        for a, b in zip(exported(x), backbone(x), strict=True):
            assert relative(a, b) < 1e-9


def test_a_backbone_takes_the_classification_file() -> None:
    theirs = torchvision.models.resnet18()
    state = random_state(shapes_of(theirs), seed=4)
    backbone = build_backbone("resnet18", output_stride=32).double()
    report = load_weights(backbone, state)
    assert len(report.loaded) == len(backbone.state_dict())
    assert report.kept == ()
    x = image((64, 96))
    theirs.double().eval().load_state_dict(state)
    for a, b in zip(backbone.eval()(x), maps_of(theirs, x), strict=True):
        assert relative(a, b) < 1e-12


def test_registry() -> None:
    assert set(PARAMETERS) == set(RESNETS) < set(BACKBONES)
    with pytest.raises(ValueError, match="'depth' is no option of resnet50"):
        build_backbone("resnet50", depth=18)
    assert classifier("resnet18", 7).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 7)

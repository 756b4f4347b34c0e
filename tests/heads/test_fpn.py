from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import random_state, relative, shapes_of
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops import feature_pyramid_network as reference

from seglib.backbones import build_backbone
from seglib.heads import FPN, FPNHead, LastLevelMaxPool, LastLevelP6P7
from seglib.models import SegmentationModel

CHANNELS = [6, 10, 14, 18]
HALVED = [(65, 97), (33, 49), (17, 25), (9, 13)]  # stride 2, rounded up
EVEN = [(64, 96), (32, 48), (16, 24), (8, 12)]
HELD = [(33, 47), (17, 24), (17, 24), (17, 24)]  # a backbone dilated from its third level on
ODD = [(100, 31), (33, 30), (7, 5), (1, 1)]


def random_maps(
    sizes: list[tuple[int, int]], channels: list[int] = CHANNELS, batch: int = 2, seed: int = 0
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, c, *size, dtype=torch.float64, generator=generator)
        for c, size in zip(channels, sizes, strict=True)
    ]


def fill(ours: nn.Module, theirs: nn.Module, seed: int = 5) -> None:
    """The same random weights in both, by name."""
    state = random_state(shapes_of(theirs), seed)
    theirs.double().load_state_dict(state)
    ours.double().load_state_dict(theirs.state_dict(), strict=True)


TOP_BLOCKS = {
    "none": (None, None),
    "pool": (LastLevelMaxPool(), reference.LastLevelMaxPool()),
    "from C5": (LastLevelP6P7(18, 8), reference.LastLevelP6P7(18, 8)),
    "from P5": (LastLevelP6P7(8, 8), reference.LastLevelP6P7(8, 8)),
}


@pytest.mark.parametrize("top", TOP_BLOCKS)
@pytest.mark.parametrize("sizes", [HALVED, EVEN, HELD, ODD])
def test_equals_torchvision(sizes: list[tuple[int, int]], top: str) -> None:
    our_top, their_top = TOP_BLOCKS[top]
    ours, theirs = FPN(CHANNELS, 8, our_top), FeaturePyramidNetwork(CHANNELS, 8, their_top)
    fill(ours, theirs)
    maps = random_maps(sizes)
    a = [x.clone().requires_grad_() for x in maps]
    b = [x.clone().requires_grad_() for x in maps]
    out = ours(a)
    expected = list(theirs(OrderedDict((str(i), x) for i, x in enumerate(b))).values())
    assert [x.shape for x in out] == [x.shape for x in expected]
    assert [x.shape[-2:] for x in out[:4]] == [torch.Size(size) for size in sizes]
    for ours_, theirs_ in zip(out, expected, strict=True):
        assert relative(ours_, theirs_) < 1e-12
    sum((x.square().sum() for x in out), torch.zeros(())).backward()
    sum((x.square().sum() for x in expected), torch.zeros(())).backward()
    for ours_, theirs_ in zip(a, b, strict=True):
        assert relative(ours_.grad, theirs_.grad) < 1e-10
    for name, parameter in theirs.named_parameters():
        assert relative(ours.get_parameter(name).grad, parameter.grad) < 1e-10, name


def test_equals_the_seed_at_even_sizes() -> None:
    """maskrcnn-benchmark's, with its factor of 2 for the enlargement, written out."""
    fpn = FPN(CHANNELS, 8, LastLevelMaxPool()).double()
    fpn.load_state_dict(random_state(shapes_of(fpn), seed=1))
    maps = random_maps(EVEN)
    expected: list[Tensor] = []
    top_down = torch.zeros((), dtype=torch.float64)
    for i in (3, 2, 1, 0):
        inner, layer = fpn.inner_blocks[i][0], fpn.layer_blocks[i][0]
        top_down = top_down + F.conv2d(maps[i], inner.weight, inner.bias)
        expected.insert(0, F.conv2d(top_down, layer.weight, layer.bias, padding=1))
        top_down = top_down.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected.append(expected[-1][:, :, ::2, ::2])
    for ours, theirs in zip(fpn(maps), expected, strict=True):
        assert relative(ours, theirs) < 1e-12


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50", "resnet101", "resnet152"])
def test_is_a_neck_on_a_backbone(name: str) -> None:
    """The seed 004's networks: the backbone, 256 channels at every level, one pooled level more."""
    with torch.device("meta"):
        body = build_backbone(name)
        network = nn.Sequential(body, FPN(body.channels, 256, LastLevelMaxPool()))
        maps = network(torch.zeros(2, 3, 513, 100))
    sizes = [(129, 25), (65, 13), (33, 7), (17, 4), (9, 2)]
    assert [tuple(x.shape) for x in maps] == [(2, 256, *size) for size in sizes]
    if name.startswith("resnet"):
        assert body.channels == [256, 512, 1024, 2048]
        laterals, smoothing = sum(body.channels) * 256 + 4 * 256, 4 * (256 * 256 * 9 + 256)
        assert sum(p.numel() for p in network[1].parameters()) == laterals + smoothing == 3_344_384


def test_fresh_weights() -> None:
    fpn = FPN([64, 256], 64, LastLevelP6P7(256, 64))
    for name, parameter in fpn.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
            continue
        bound = (3 / parameter[0].numel()) ** 0.5
        assert 0.98 * bound < parameter.abs().max() <= bound, name
        assert float(parameter.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.03), name


def test_one_map_and_unchanged_input() -> None:
    maps = random_maps([(5, 7)], [6])
    features = list(maps)
    fpn = FPN([6], 4, LastLevelMaxPool()).double()
    assert [tuple(x.shape) for x in fpn(features)] == [(2, 4, 5, 7), (2, 4, 3, 4)]
    assert len(features) == 1
    assert features[0] is maps[0]


@given(
    sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=4),
    out_channels=st.integers(1, 5),
)
@settings(max_examples=25, deadline=None)
def test_any_sizes_equal_torchvision(sizes: list[tuple[int, int]], out_channels: int) -> None:
    sizes = sorted(sizes, reverse=True)
    channels = CHANNELS[: len(sizes)]
    ours, theirs = FPN(channels, out_channels), FeaturePyramidNetwork(channels, out_channels)
    fill(ours, theirs)
    maps = random_maps(sizes, channels, batch=1)
    expected = theirs(OrderedDict((str(i), x) for i, x in enumerate(maps)))
    for a, b in zip(ours(maps), expected.values(), strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 8), r"in_channels_list must tell of 1 or more maps, got \[\]"),
        (([8, 0], 8), r"in_channels_list\[1\] must be a whole number >= 1, got 0"),
        (([8, 2.5], 8), r"in_channels_list\[1\] must be a whole number >= 1, got 2.5"),
        (([8], 0), "out_channels must be a whole number >= 1, got 0"),
    ],
)
def test_refuses(arguments: tuple[list[int], int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FPN(*arguments)


def test_refuses_a_wrong_number_of_maps() -> None:
    for count in (0, 3, 5):
        with pytest.raises(ValueError, match=f"features must be 4 maps, got {count}"):
            FPN(CHANNELS, 8)([torch.zeros(1, 6, 4, 4)] * count)
        with pytest.raises(ValueError, match=f"features must be 4 maps, got {count}"):
            FPNHead(CHANNELS, 3)([torch.zeros(1, 6, 4, 4)] * count)


@pytest.mark.parametrize(("arguments", "named"), [((0, 8), "in_channels"), ((8, -1), "out_chan")])
def test_top_block_refuses(arguments: tuple[int, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        LastLevelP6P7(*arguments)


def semantic_branch(head: FPNHead, maps: list[Tensor]) -> Tensor:
    """Panoptic FPN's §3.1, independently: functions only, enlargement as two matrices."""

    def matrix(size: int, out: int) -> Tensor:
        """(out, size): linear interpolation between pixel centres, held at the ends."""
        weights = torch.zeros(out, size, dtype=torch.float64)
        for i in range(out):
            if head.align_corners:
                place = i * (size - 1) / (out - 1) if out > 1 else 0.0
            else:
                place = min(max((i + 0.5) * size / out - 0.5, 0.0), size - 1.0)
            left = min(int(place), max(size - 2, 0))
            weights[i, left] += 1 - (place - left)
            if size > 1:
                weights[i, left + 1] += place - left
        return weights

    def enlarge(x: Tensor, size: torch.Size) -> Tensor:
        return matrix(x.shape[2], size[0]) @ x @ matrix(x.shape[3], size[1]).T

    total = torch.zeros((), dtype=torch.float64)
    for level, x in enumerate(head.fpn(maps)):
        state = head.branches[level].state_dict()
        for step in range(max(1, level)):
            x = F.conv2d(x, state[f"{step}.0.weight"], padding=1)
            groups = x.unflatten(1, (32, -1))
            mean = groups.mean((2, 3, 4), keepdim=True)
            variance = groups.var((2, 3, 4), unbiased=False, keepdim=True)
            x = ((groups - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
            x = x * state[f"{step}.1.weight"][:, None, None]
            x = (x + state[f"{step}.1.bias"][:, None, None]).clamp(min=0)
            if level:
                x = enlarge(x, maps[level - 1 - step].shape[-2:])
        total = total + x
    return F.conv2d(total, head.classifier.weight, head.classifier.bias)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("sizes", [HALVED, EVEN, HELD])
def test_head_equals_the_paper(
    sizes: list[tuple[int, int]], train: bool, align_corners: bool
) -> None:
    head = FPNHead(CHANNELS, 5, fpn_channels=16, head_channels=64, align_corners=align_corners)
    head.double().train(train).load_state_dict(random_state(shapes_of(head), seed=2))
    maps = random_maps(sizes)
    out = head(maps)
    assert out.shape == (2, 5, *sizes[0])
    assert relative(out, semantic_branch(head, maps)) < 1e-11


def test_head_gradients() -> None:
    head = FPNHead(CHANNELS, 2, fpn_channels=4, head_channels=32).double()
    maps = [x.requires_grad_() for x in random_maps([(7, 9), (4, 5), (3, 3), (3, 3)])]
    ours = torch.autograd.grad(head(maps).square().sum(), [*maps, *head.fpn.parameters()])
    expected = semantic_branch(head, maps).square().sum()
    theirs = torch.autograd.grad(expected, [*maps, *head.fpn.parameters()])
    for a, b in zip(ours, theirs, strict=True):
        assert relative(a, b) < 1e-9
    head(maps).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("levels", [1, 2, 3, 5])
def test_head_takes_any_number_of_levels(levels: int) -> None:
    channels, sizes = [*CHANNELS, 22][:levels], [(21, 30), (11, 15), (6, 8), (3, 4), (2, 2)]
    head = FPNHead(channels, 3, fpn_channels=8, head_channels=32).double()
    head.load_state_dict(random_state(shapes_of(head), seed=4))
    assert [len(branch) for branch in head.branches] == [1, 1, 2, 3, 4][:levels]
    maps = random_maps(sizes[:levels], channels)
    assert relative(head(maps), semantic_branch(head, maps)) < 1e-11


def test_parameters_of_panoptic_fpn_r50() -> None:
    with torch.device("meta"):
        head = FPNHead([256, 512, 1024, 2048], 54)
    first, further = 4 * 256 * 128 * 9, (0 + 0 + 1 + 2) * 128 * 128 * 9
    norms = (1 + 1 + 2 + 3) * 2 * 128
    assert sum(p.numel() for p in head.branches.parameters()) == first + further + norms
    total = first + further + norms + 128 * 54 + 54 + 3_344_384
    assert sum(p.numel() for p in head.parameters()) == total == 4_975_158


def test_head_fresh_weights() -> None:
    head = FPNHead([32, 64], 3)
    assert float(head.branches[0][0][0].weight.detach().std()) == pytest.approx(
        (2 / (9 * 128)) ** 0.5, rel=0.02
    )
    assert not head.classifier.bias.any()
    weight = head.fpn.layer_blocks[0][0].weight
    assert weight.abs().max() <= (3 / (9 * 256)) ** 0.5  # uniform


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head_channels": 48}, "head_channels must be a multiple of 32, got 48"),
        ({"head_channels": 0}, "head_channels must be a whole number >= 1, got 0"),
        ({"fpn_channels": 0}, "fpn_channels must be a whole number >= 1, got 0"),
        ({"num_classes": 0}, "num_classes must be a whole number >= 1, got 0"),
        ({"num_classes": True}, "num_classes must be a whole number >= 1, got True"),
        ({"in_channels_list": []}, "in_channels_list must tell of 1 or more maps"),
    ],
)
def test_head_refuses(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FPNHead(**{"in_channels_list": [8], "num_classes": 3, **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize("output_stride", [8, 32])
def test_exports_with_dynamic_sizes(output_stride: int) -> None:
    body = build_backbone("mobilenetv2", output_stride=output_stride, width_mult=0.35)
    head = FPNHead(body.channels, 3, fpn_channels=8, head_channels=32)
    model = SegmentationModel(body, head).eval()
    # torch's convolution treats a map of one pixel apart, so that 32 would be an export of its own.
    size = {2: torch.export.Dim("height", min=33), 3: torch.export.Dim("width", min=33)}
    program = torch.export.export(model, (torch.zeros(2, 3, 65, 97),), dynamic_shapes=(size,))
    x = torch.randn(2, 3, 80, 51)
    assert torch.allclose(program.module()(x), model(x), atol=1e-5)
    assert model(x).shape == (2, 3, 80, 51)

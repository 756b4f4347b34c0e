"""ResNet's options, against the published behaviour of mmdetection and mmsegmentation (their
test_resnet.py, rewritten) and without the errors of popular copies.
"""

import copy
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from support import random_state, relative, shapes_of
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from seglib.backbones import build_backbone
from seglib.backbones.resnet import ResNet
from seglib.backbones.resnet_blocks import BasicBlock, BlockOptions, Bottleneck
from seglib.layers import DeformableConv2d

Narrow = partial(ResNet, base_channels=4)


def image(*size: int) -> Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def shapes(backbone: ResNet, side: int) -> list[tuple[int, ...]]:
    return [tuple(x.shape) for x in backbone(torch.zeros(1, 3, side, side))]


def stages_of(backbone: ResNet) -> list[nn.Sequential]:
    return [backbone.get_submodule(name) for name in backbone.stages]


def blocks_of(backbone: ResNet, *stages: int) -> list[Bottleneck]:
    return [block for i in stages for block in backbone.get_submodule(f"layer{i}")]


def with_random_state(backbone: ResNet) -> ResNet:
    backbone.double().load_state_dict(random_state(shapes_of(backbone), seed=1))
    return backbone


class Scale(nn.Module):
    """A plugin: x · weight + shift; it tells its channels, and weight lets a test see its order."""

    def __init__(self, channels: int, factor: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.channels = channels
        self.factor = nn.Parameter(torch.tensor(factor))
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor + self.shift


# Blocks


@pytest.mark.parametrize(("block", "channels"), [(BasicBlock, 16), (Bottleneck, 4)])
@pytest.mark.parametrize("with_cp", [False, True])
def test_a_block_keeps_the_shape(
    block: Callable[..., nn.Module], channels: int, with_cp: bool
) -> None:
    made = block(16, channels, options=BlockOptions(with_cp=with_cp))
    assert made.with_cp is with_cp
    assert made.downsample is None
    assert made(torch.zeros(1, 16, 14, 14)).shape == (1, 16, 14, 14)


def test_basic_block_layers() -> None:
    block = BasicBlock(8, 16, 2, 2)
    assert (block.conv1.in_channels, block.conv1.out_channels) == (8, 16)
    assert (block.conv2.in_channels, block.conv2.out_channels) == (16, 16)
    assert block.conv1.kernel_size == block.conv2.kernel_size == (3, 3)
    assert (block.conv1.stride, block.conv2.stride) == ((2, 2), (1, 1))
    assert (block.conv1.dilation, block.conv2.dilation) == ((2, 2), (1, 1))
    assert (block.conv1.padding, block.conv2.padding) == ((2, 2), (1, 1))


@pytest.mark.parametrize(("style", "strides"), [("pytorch", (1, 2)), ("caffe", (2, 1))])
def test_style_chooses_the_convolution_that_strides(style: str, strides: tuple[int, int]) -> None:
    block = Bottleneck(64, 64, stride=2, options=BlockOptions(style=style))
    assert (block.conv1.stride[0], block.conv2.stride[0]) == strides
    for i, layers in enumerate(stages_of(Narrow(50, style=style))):
        first = layers[0]
        assert (first.conv1.stride[0], first.conv2.stride[0]) == (strides if i else (1, 1))
        assert first.downsample[0].stride[0] == (2 if i else 1)


# Stages


def test_shortcuts() -> None:
    for block in (b for layers in stages_of(ResNet(50)) for b in layers[1:]):
        assert block.downsample is None
        assert block.conv1.stride == block.conv2.stride == (1, 1)
    firsts = [layers[0].downsample for layers in stages_of(ResNet(50))]
    assert [d[0].out_channels for d in firsts] == [256, 512, 1024, 2048]
    assert [d[0].stride[0] for d in firsts] == [1, 2, 2, 2]
    assert ResNet(18).layer1[0].downsample is None
    assert Narrow(50, stem_channels=16).layer1[0].downsample is None


def test_avg_down() -> None:
    firsts = [layers[0].downsample for layers in stages_of(ResNet(50, avg_down=True))]
    assert isinstance(firsts[0][0], nn.Identity)
    for pool, conv, _ in firsts[1:]:
        assert isinstance(pool, nn.AvgPool2d)
        assert (pool.kernel_size, pool.stride) == (2, 2)
        assert (pool.ceil_mode, pool.count_include_pad) == (True, False)
        assert conv.stride == (1, 1)
    assert [conv.out_channels for _, conv, _ in firsts] == [256, 512, 1024, 2048]
    assert shapes(Narrow(50, avg_down=True), 65)[-1] == (1, 128, 3, 3)


def test_avg_down_does_not_pool_where_dilation_replaces_stride() -> None:
    backbone = Narrow(50, avg_down=True, output_stride=8)
    pools = [type(layers[0].downsample[0]) for layers in stages_of(backbone)]
    assert pools == [nn.Identity, nn.AvgPool2d, nn.Identity, nn.Identity]


@pytest.mark.parametrize("depth", [18, 50])
def test_dilations_by_hand_apply_to_the_first_block_too(depth: int) -> None:
    backbone = Narrow(depth, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
    assert backbone.strides == [4, 8, 8, 8]
    for stage, dilation in ((3, 2), (4, 4)):
        for block in blocks_of(backbone, stage):
            dilated = block.conv1 if depth == 18 else block.conv2
            assert dilated.dilation == dilated.padding == (dilation, dilation)
            if depth == 18:  # as in mmdetection
                assert block.conv2.dilation == block.conv2.padding == (1, 1)
    assert [s[2:] for s in shapes(backbone, 64)] == [(16, 16), (8, 8), (8, 8), (8, 8)]


def test_dilations_by_hand_fit_weights_in_caffes_style() -> None:
    strided = with_random_state(Narrow(50, style="caffe")).eval()
    dense = Narrow(50, style="caffe", strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2))
    dense = with_random_state(dense).eval()
    x = image(1, 3, 65, 97)
    assert relative(dense(x)[-1][:, :, ::2, ::2], strided(x)[-1]) < 1e-12


def test_multi_grid_with_dilations_by_hand() -> None:
    backbone = Narrow(50, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), multi_grid=(1, 2, 4))
    assert [b.conv2.dilation[0] for b in blocks_of(backbone, 4)] == [2, 4, 8]
    assert {b.conv2.dilation[0] for b in blocks_of(backbone, 1, 2, 3)} == {1}
    basic = Narrow(18, output_stride=16, multi_grid=(1, 2))
    assert [b.conv1.dilation[0] for b in blocks_of(basic, 4)] == [2, 4]
    last = Narrow(50, num_stages=3, multi_grid=(1, 1, 1, 1, 1, 3))
    assert [b.conv2.dilation[0] for b in blocks_of(last, 3)] == [1, 1, 1, 1, 1, 3]


# Stem, widths, stages that are returned


@pytest.mark.parametrize(
    ("options", "stem_channels"),
    [
        ({}, 64),
        ({"base_channels": 3}, 3),
        ({"stem_channels": 3}, 3),
        ({"stem_channels": 3, "base_channels": 2}, 3),
    ],
)
def test_stem_channels(options: dict[str, int], stem_channels: int) -> None:
    backbone = ResNet(50, **options)
    assert backbone.conv1.out_channels == stem_channels
    assert backbone.bn1.num_features == stem_channels
    assert backbone.layer1[0].conv1.in_channels == stem_channels
    assert backbone.layer1[0].conv1.out_channels == options.get("base_channels", 64)


def test_a_groups_width_is_rounded_down_as_in_torchvision() -> None:
    backbone = ResNet(50, base_channels=24, groups=32, width_per_group=4)
    widths = [layers[0].conv2.out_channels // 32 for layers in stages_of(backbone)]
    assert widths == [int(24 * 2**i * (4 / 64)) for i in range(4)] == [1, 3, 6, 12]
    assert {layers[0].conv2.groups for layers in stages_of(backbone)} == {32}


def test_deep_stem() -> None:
    backbone = Narrow(50, stem_channels=6, deep_stem=True, in_channels=5)
    layers = [*backbone.conv1, backbone.bn1]
    assert [type(layer) for layer in layers] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2 + [
        nn.Conv2d,
        nn.BatchNorm2d,
    ]
    assert [c.in_channels for c in layers[::3]] == [5, 3, 3]
    assert [c.out_channels for c in layers[::3]] == [3, 3, 6]
    assert [c.stride[0] for c in layers[::3]] == [2, 1, 1]
    assert [n.num_features for n in layers[1::3]] == [3, 3, 6]
    assert backbone.layer1[0].conv1.in_channels == 6


@pytest.mark.parametrize(
    ("depth", "options", "channels"),
    [
        (18, {}, [64, 128, 256, 512]),
        (18, {"with_cp": True}, [64, 128, 256, 512]),
        (18, {"deep_stem": True, "avg_down": True}, [64, 128, 256, 512]),
        (18, {"norm_layer": partial(nn.GroupNorm, 32)}, [64, 128, 256, 512]),
        (18, {"zero_init_residual": True}, [64, 128, 256, 512]),
        (50, {"base_channels": 1}, [4, 8, 16, 32]),
        (50, {"base_channels": 1, "with_cp": True}, [4, 8, 16, 32]),
        (50, {"base_channels": 4, "norm_layer": partial(nn.GroupNorm, 2)}, [16, 32, 64, 128]),
        (
            50,
            {
                "base_channels": 4,
                "norm_layer": partial(nn.GroupNorm, 2),
                "deep_stem": True,
                "avg_down": True,
            },
            [16, 32, 64, 128],
        ),
        (50, {"base_channels": 2, "deep_stem": True, "avg_down": True}, [8, 16, 32, 64]),
    ],
)
@pytest.mark.parametrize("side", [32, 64])
def test_forward(depth: int, options: dict[str, object], channels: list[int], side: int) -> None:
    backbone = ResNet(depth, **options)
    maps = backbone(torch.zeros(2, 3, side, side))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (c, side // s, side // s) for c, s in zip(channels, (4, 8, 16, 32), strict=True)
    ]
    if "norm_layer" in options:
        assert not any(isinstance(m, _BatchNorm) for m in backbone.modules())
        assert any(isinstance(m, nn.GroupNorm) for m in backbone.modules())


def test_out_indices_and_num_stages() -> None:
    backbone = Narrow(50, out_indices=(0, 1, 2))
    assert shapes(backbone.eval(), 32) == [(1, 16, 8, 8), (1, 32, 4, 4), (1, 64, 2, 2)]
    backbone = Narrow(50, num_stages=2)
    assert not hasattr(backbone, "layer3")
    assert (backbone.channels, backbone.strides) == ([16, 32], [4, 8])
    assert shapes(backbone, 32) == [(1, 16, 8, 8), (1, 32, 4, 4)]
    backbone = Narrow(50, num_stages=3, out_indices=(2,), strides=(1, 1, 1), dilations=(1, 2, 4))
    assert (backbone.channels, backbone.strides) == ([64], [4])
    assert shapes(backbone, 32) == [(1, 64, 8, 8)]


# Freezing


def frozen_parts(backbone: ResNet, stages: int) -> list[nn.Module]:
    return [backbone.conv1, backbone.bn1, *stages_of(backbone)[:stages]]


@pytest.mark.parametrize("frozen_stages", [0, 1, 3, 4])
@pytest.mark.parametrize(("depth", "deep_stem"), [(18, False), (50, True)])
def test_frozen_stages_stay_frozen(depth: int, deep_stem: bool, frozen_stages: int) -> None:
    backbone = Narrow(depth, frozen_stages=frozen_stages, deep_stem=deep_stem)
    network = nn.Sequential(backbone)
    frozen = frozen_parts(backbone, frozen_stages)
    free = stages_of(backbone)[frozen_stages:]
    for _ in range(2):
        for part in frozen:
            assert not any(module.training for module in part.modules())
            assert not any(p.requires_grad for p in part.parameters())
        for part in free:
            assert all(module.training for module in part.modules())
            assert all(p.requires_grad for p in part.parameters())
        network.eval()
        assert network.train() is network  # reaches the backbone as a child
        assert backbone.train() is backbone


def test_nothing_is_frozen_by_default() -> None:
    backbone = Narrow(18)
    assert all(module.training for module in backbone.modules())
    assert all(p.requires_grad for p in backbone.parameters())


def train_an_epoch(backbone: ResNet) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The state before and after some steps with momentum and weight decay."""
    before = copy.deepcopy(backbone.state_dict())
    optimizer = torch.optim.SGD(backbone.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)
    for step in range(4):
        backbone.eval()
        backbone.train()  # as after a validation
        optimizer.zero_grad()
        x = image(2, 3, 33, 47) + step
        sum(m.square().mean() for m in backbone(x)).backward()
        optimizer.step()
    return before, backbone.state_dict()


@pytest.mark.parametrize("deep_stem", [False, True])
@pytest.mark.parametrize("depth", [18, 50])
def test_frozen_parts_are_bit_equal_after_an_epoch(depth: int, deep_stem: bool) -> None:
    backbone = with_random_state(Narrow(depth, frozen_stages=2, deep_stem=deep_stem))
    before, after = train_an_epoch(backbone)
    for name, tensor in after.items():
        frozen = name.split(".")[0] in ("conv1", "bn1", "layer1", "layer2")
        assert torch.equal(tensor, before[name]) == frozen, name


@pytest.mark.parametrize("depth", [18, 50])
def test_norm_eval_keeps_statistics_and_trains_the_rest(depth: int) -> None:
    backbone = with_random_state(Narrow(depth, norm_eval=True))
    assert not any(m.training for m in backbone.modules() if isinstance(m, _BatchNorm))
    before, after = train_an_epoch(backbone)
    for name, tensor in after.items():
        statistic = "running" in name or "num_batches" in name
        assert torch.equal(tensor, before[name]) == statistic, name
    assert backbone.training
    assert not any(m.training for m in backbone.modules() if isinstance(m, _BatchNorm))


def test_freezing_survives_a_copy() -> None:
    backbone = copy.deepcopy(Narrow(50, frozen_stages=1, norm_eval=True)).train()
    assert not any(p.requires_grad for p in backbone.layer1.parameters())
    assert not any(m.training for m in backbone.modules() if isinstance(m, _BatchNorm))


# Activation checkpointing


def with_extras(**options: object) -> ResNet:
    plugins = [
        {"module": lambda c: nn.Sequential(nn.Conv2d(c, c, 1), nn.BatchNorm2d(c)), "position": p}
        for p in ("after_conv1", "after_conv2", "after_conv3")
    ]
    plugins.append({"module": lambda c: nn.Dropout(0.3), "position": "after_conv2"})
    plugins.append({"module": lambda c: nn.Sigmoid(), "position": "after_conv3"})
    return Narrow(
        50,
        plugins=plugins,
        dcn={"modulated": True},
        stage_with_dcn=(False, True, True, True),
        **options,
    )


def tracked(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)


@pytest.mark.parametrize(
    "make",
    [
        partial(Narrow, 18),
        partial(Narrow, 50, deep_stem=True, avg_down=True),
        partial(Narrow, 50, frozen_stages=1),
        partial(Narrow, 18, norm_eval=True),
        partial(Narrow, 18, norm_layer=partial(nn.BatchNorm2d, momentum=None)),
        partial(Narrow, 18, norm_layer=tracked),
        with_extras,
    ],
)
@pytest.mark.parametrize("input_gradient", [False, True])
def test_checkpointing_changes_nothing_but_memory(
    make: Callable[..., ResNet], input_gradient: bool
) -> None:
    plain = with_random_state(make())
    saving = make(with_cp=True).double()
    saving.load_state_dict(plain.state_dict())
    assert all(b.with_cp for b in blocks_of(saving, 1, 2, 3, 4))
    optimizers = [torch.optim.SGD(m.parameters(), lr=1e-3) for m in (plain, saving)]
    for step in range(3):
        inputs = [(image(2, 3, 33, 47) + step).requires_grad_(input_gradient) for _ in range(2)]
        for model, optimizer, x in zip((plain, saving), optimizers, inputs, strict=True):
            optimizer.zero_grad()
            torch.manual_seed(step)
            maps = model(x)
            torch.stack([m.square().mean() for m in maps]).sum().backward()
            optimizer.step()
        for name, parameter in plain.named_parameters():
            other = saving.get_parameter(name)
            assert torch.equal(parameter, other), name
            assert (parameter.grad is None) == (other.grad is None)
            assert parameter.grad is None or torch.equal(parameter.grad, other.grad), name
        for name, buffer in plain.named_buffers():
            assert torch.equal(buffer, saving.get_buffer(name)), name
        if input_gradient:
            assert torch.equal(inputs[0].grad, inputs[1].grad)
    counts = {int(b) for name, b in saving.named_buffers() if "num_batches" in name}
    assert counts <= {0, 3}


def test_checkpointing_saves_activations_only_where_it_should() -> None:
    def saved(backbone: ResNet) -> int:
        count = 0

        def pack(x: Tensor) -> Tensor:
            nonlocal count
            count += x.numel()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            backbone(torch.zeros(2, 3, 64, 64))
        return count

    plain, saving = Narrow(50), Narrow(50, with_cp=True)
    assert saved(saving) < 0.4 * saved(plain)
    assert saved(saving.eval()) == saved(plain.eval())
    with torch.no_grad():
        assert saved(saving.train()) == 0


def test_a_checkpointed_graph_can_run_backward_twice() -> None:
    plain, saving = with_random_state(Narrow(18)), with_random_state(Narrow(18, with_cp=True))
    for model in (plain, saving):
        loss = torch.stack([m.square().mean() for m in model(image(2, 3, 33, 47))]).sum()
        loss.backward(retain_graph=True)
        loss.backward()
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter.grad, saving.get_parameter(name).grad)
    for name, buffer in plain.named_buffers():
        assert torch.equal(buffer, saving.get_buffer(name))


# Deformable convolution


def sample(x: Tensor, row: float, column: float) -> Tensor:
    """Bilinear value of every channel of one image, 0 outside."""
    top, left = math.floor(row), math.floor(column)
    total = torch.zeros_like(x[:, 0, 0])
    for r in (top, top + 1):
        for c in (left, left + 1):
            if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]:
                total = total + x[:, r, c] * (1 - abs(row - r)) * (1 - abs(column - c))
    return total


def deformed(conv: DeformableConv2d, x: Tensor, deform_groups: int) -> Tensor:
    """Deformable convolution by its formula, one output pixel and one tap at a time."""
    offset = conv.conv_offset(x)
    taps, (stride, _), (dilation, _) = deform_groups * 9, conv.stride, conv.dilation
    share = x.shape[1] // deform_groups
    out = torch.zeros(len(x), conv.out_channels, *offset.shape[2:], dtype=x.dtype)
    per_group = conv.out_channels // conv.groups
    for n in range(len(x)):
        for r in range(out.shape[2]):
            for c in range(out.shape[3]):
                column = torch.zeros(x.shape[1], 9, dtype=x.dtype)
                for group in range(deform_groups):
                    for tap in range(9):
                        i = 2 * (9 * group + tap)
                        row = r * stride - dilation + tap // 3 * dilation + offset[n, i, r, c]
                        col = c * stride - dilation + tap % 3 * dilation + offset[n, i + 1, r, c]
                        channels = slice(group * share, (group + 1) * share)
                        value = sample(x[n, channels], row.item(), col.item())
                        if conv.modulated:
                            value = value * offset[n, 2 * taps + 9 * group + tap, r, c].sigmoid()
                        column[channels, tap] = value
                for o in range(conv.out_channels):
                    first = o // per_group * conv.weight.shape[1]
                    inputs = column[first : first + conv.weight.shape[1]]
                    out[n, o, r, c] = (inputs * conv.weight[o].flatten(1)).sum()
    return out


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize(
    ("deform_groups", "groups", "stride", "dilation"), [(1, 1, 1, 1), (2, 2, 2, 1), (4, 1, 1, 2)]
)
def test_deformable_convolution_by_its_formula(
    deform_groups: int, groups: int, stride: int, dilation: int, modulated: bool
) -> None:
    options = BlockOptions(
        dcn={"deform_groups": deform_groups, "modulated": modulated},
        groups=groups,
        width_per_group=64 // groups,
    )
    conv = Bottleneck(4, 4, stride, dilation, options=options).conv2.double()
    assert isinstance(conv, DeformableConv2d)
    state = random_state(shapes_of(conv), seed=2)
    state["weight"] *= 2
    conv.load_state_dict(state)
    x = image(1, 4, 6, 5)
    assert conv.conv_offset(x).abs().max() > 1
    assert relative(conv(x), deformed(conv, x, deform_groups)) < 1e-12


def deformable(backbone: ResNet, stage: int) -> list[bool]:
    return [isinstance(b.conv2, DeformableConv2d) for b in blocks_of(backbone, stage)]


def test_dcn_per_stage() -> None:
    backbone = Narrow(50, dcn={"deform_groups": 2}, stage_with_dcn=(False, True, False, True))
    assert [all(deformable(backbone, i)) for i in (1, 2, 3, 4)] == [False, True, False, True]
    assert [any(deformable(backbone, i)) for i in (1, 2, 3, 4)] == [False, True, False, True]
    conv = backbone.layer2[0].conv2
    assert (conv.stride, conv.padding, conv.dilation) == ((2, 2), (1, 1), (1, 1))
    assert conv.conv_offset.out_channels == 2 * 2 * 9
    assert conv.conv_offset.stride == (2, 2)
    modulated = Narrow(50, dcn={"modulated": True}, stage_with_dcn=(True,) * 4)
    assert modulated.layer4[2].conv2.conv_offset.out_channels == 3 * 9
    dilated = Narrow(50, dcn={}, stage_with_dcn=(True,) * 4, output_stride=8)
    assert [b.conv2.dilation[0] for b in blocks_of(dilated, 4)] == [2, 4, 4]
    assert [b.conv2.conv_offset.dilation[0] for b in blocks_of(dilated, 4)] == [2, 4, 4]
    assert shapes(dilated.eval(), 33)[-1] == (1, 128, 5, 5)
    assert not any(deformable(Narrow(50, dcn={}), 2))  # stage_with_dcn is False by default


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("style", ["pytorch", "caffe"])
def test_fallback_on_stride_is_the_same_in_every_stage(style: str, fallback: bool) -> None:
    dcn = {"deform_groups": 1, "fallback_on_stride": fallback}
    backbone = Narrow(50, dcn=dcn, stage_with_dcn=(True,) * 4, style=style)
    assert dcn == {"deform_groups": 1, "fallback_on_stride": fallback}
    falls_back = fallback and style == "pytorch"  # "caffe" strides in the first 1×1
    for stage, n in ((2, 4), (3, 6), (4, 3)):
        assert deformable(backbone, stage) == [not falls_back] + [True] * (n - 1)
    assert deformable(backbone, 1) == [True] * 3  # no stride there
    again = Narrow(50, dcn=dcn, stage_with_dcn=(True,) * 4, style=style)
    assert [deformable(again, i) for i in (1, 2, 3, 4)] == [
        deformable(backbone, i) for i in (1, 2, 3, 4)
    ]


def test_a_fresh_deformable_network_computes_the_common_one() -> None:
    backbone = Narrow(50, dcn={}, stage_with_dcn=(True,) * 4).double()
    common = Narrow(50).double()
    state = {n: t for n, t in backbone.state_dict().items() if "conv_offset" not in n}
    common.load_state_dict(state)
    x = image(2, 3, 33, 47)
    for a, b in zip(backbone(x), common(x), strict=True):
        assert relative(a, b) < 1e-9
    for block in blocks_of(backbone, 1, 2, 3, 4):
        assert not any(p.any() for p in block.conv2.conv_offset.parameters())
        n = block.conv2.weight[0, 0].numel() * block.conv2.out_channels
        assert block.conv2.weight.std().item() == pytest.approx((2 / n) ** 0.5, rel=0.3)


def test_dcn_works_in_resnext() -> None:
    backbone = build_backbone(
        "resnext50_32x4d", dcn={"deform_groups": 4}, stage_with_dcn=(False, False, False, True)
    )
    conv = backbone.layer4[0].conv2
    assert (conv.groups, conv.weight.shape) == (32, (1024, 32, 3, 3))
    sum(x.mean() for x in backbone(torch.randn(2, 3, 64, 64))).backward()
    assert conv.conv_offset.weight.grad.any()


# Plugins


def test_plugins_stand_where_they_are_told() -> None:
    three = [
        {"module": Scale, "position": "after_conv2", "stages": (False, True, True, True)},
        {"module": Scale, "position": "after_conv2"},
        {"module": Scale, "position": "after_conv3", "stages": (False, True, True, False)},
    ]
    given = copy.copy(three)
    backbone = ResNet(50, base_channels=8, plugins=three)
    assert three == given
    assert [sorted(plugin) for plugin in three][1] == ["module", "position"]
    for stage, (after_conv2, after_conv3) in enumerate([(1, 0), (2, 1), (2, 1), (2, 0)], start=1):
        for block in blocks_of(backbone, stage):
            assert len(block.after_conv1) == 0
            assert [p.channels for p in block.after_conv2] == [4 * 2**stage] * after_conv2
            assert [p.channels for p in block.after_conv3] == [16 * 2**stage] * after_conv3
    assert [s[1] for s in shapes(backbone.eval(), 32)] == [32, 64, 128, 256]


def test_one_plugin_twice_in_one_place() -> None:
    stages = (False, True, True, False)
    plugins = [{"module": Scale, "position": "after_conv3", "stages": stages}] * 2
    backbone = Narrow(50, plugins=plugins)
    for stage, count in ((1, 0), (2, 2), (3, 2), (4, 0)):
        for block in blocks_of(backbone, stage):
            assert len(block.after_conv3) == count
    first, second = backbone.layer2[0].after_conv3
    assert first is not second


def test_plugins_of_one_position_are_chained() -> None:
    plugins = [
        {"module": partial(Scale, factor=3.0), "position": "after_conv3"},
        {"module": partial(Scale, shift=5.0), "position": "after_conv3"},
    ]
    block = Bottleneck(16, 4, options=BlockOptions(plugins=tuple(plugins))).double()
    plain = Bottleneck(16, 4).double()
    plain.load_state_dict(block.state_dict(), strict=False)
    x = image(2, 16, 7, 7).relu()
    assert torch.allclose(block(x), torch.relu(3 * plain.residual(x) + 5 + x))


@pytest.mark.parametrize("position", ["after_conv1", "after_conv2", "after_conv3"])
def test_a_plugin_works_behind_norm_and_relu(position: str) -> None:
    seen = []

    class Spy(nn.Identity):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.clone())
            return x

    spy = {"module": lambda channels: Spy(), "position": position}
    block = Bottleneck(16, 4, options=BlockOptions(plugins=(spy,))).double()
    x = image(2, 16, 7, 7)
    block(x)
    expected = block.relu(block.bn1(block.conv1(x)))
    if position != "after_conv1":
        expected = block.relu(block.bn2(block.conv2(expected)))
    if position == "after_conv3":
        expected = block.bn3(block.conv3(expected))
    assert torch.allclose(seen[0], expected)


@pytest.mark.parametrize("position", ["after_conv1", "after_conv2", "after_conv3"])
@pytest.mark.parametrize("make", [nn.Sigmoid, nn.Identity, nn.Tanh])
def test_a_plugin_may_need_its_output_for_its_gradient(
    position: str, make: type[nn.Module]
) -> None:
    plugin = {"module": lambda channels: make(), "position": position}
    block = Bottleneck(8, 2, options=BlockOptions(plugins=(plugin,))).double().eval()
    x = image(1, 8, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(block, x)


def test_plugins_keep_their_weights() -> None:
    def zeros(channels: int) -> nn.Module:
        conv = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(conv.weight)
        return conv

    backbone = Narrow(50, plugins=[{"module": zeros, "position": "after_conv1"}])
    assert not any(b.after_conv1[0].weight.any() for b in blocks_of(backbone, 1, 2, 3, 4))


# First weights


@pytest.mark.parametrize("norm_layer", [nn.BatchNorm2d, partial(nn.GroupNorm, 2)])
@pytest.mark.parametrize("depth", [18, 50])
def test_zero_init_residual(depth: int, norm_layer: Callable[[int], nn.Module]) -> None:
    backbone = Narrow(depth, zero_init_residual=True, norm_layer=norm_layer)
    for block in blocks_of(backbone, 1, 2, 3, 4):
        last = block.bn2 if depth == 18 else block.bn3
        assert not any(p.any() for p in last.parameters())
        assert block.bn1.weight.all()
        assert not block.residual(torch.randn(2, block.conv1.in_channels, 8, 8)).any()
    assert Narrow(depth).layer1[0].bn2.weight.all()
    assert Narrow(depth, zero_init_residual=True, norm_layer=lambda c: nn.Identity())


def test_first_weights_follow_he() -> None:
    for layer in ResNet(18, deep_stem=True).modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.out_channels * layer.kernel_size[0] ** 2
            assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)


# Refusals

PLUGIN = {"module": Scale, "position": "after_conv3"}


@pytest.mark.parametrize(
    ("depth", "options", "message"),
    [
        (20, {}, "depth must be one of 18, 34, 50, 101, 152; got 20"),
        (50, {"num_stages": 0}, "num_stages must be one of 1, 2, 3, 4; got 0"),
        (50, {"num_stages": 5}, "num_stages"),
        (50, {"dcn": {}, "stage_with_dcn": (True,)}, "stage_with_dcn must hold 4"),
        (50, {"plugins": [{**PLUGIN, "stages": (False, True, True)}]}, "stages must hold 4"),
        (50, {"strides": (1,), "dilations": (1, 1), "num_stages": 3}, "strides must hold 3"),
        (50, {"dilations": (1, 1), "num_stages": 3}, "dilations must hold 3"),
        (50, {"strides": (1, 2, 2, 0)}, "strides and dilations must be >= 1"),
        (50, {"dilations": (1, 1, 1, 0)}, "strides and dilations must be >= 1"),
        (50, {"style": "tensorflow"}, "style must be one of pytorch, caffe; got 'tensorflow'"),
        (18, {"style": "tensorflow"}, "style must be one of pytorch, caffe"),
        (18, {"style": "caffe"}, "style must be 'pytorch' at depth 18 and 34, got 'caffe'"),
        (34, {"dcn": {}, "stage_with_dcn": (True,) * 4}, "dcn must be None at depth 18"),
        (18, {"plugins": [PLUGIN]}, "plugins must be"),
        (18, {"groups": 2}, "groups must be 1"),
        (18, {"width_per_group": 128}, "width_per_group must be 64"),
        (50, {"plugins": [{**PLUGIN, "position": "after_conv4"}]}, "position must be one of after"),
        (50, {"plugins": [{"module": Scale}]}, "position must be one of after.*got None"),
        (50, {"plugins": [{"position": "after_conv1"}]}, "module must be callable, got None"),
        (50, {"plugins": [{**PLUGIN, "cfg": 1}]}, "plugins' key must be one of.*got 'cfg'"),
        (50, {"dcn": {"type": "DCN"}}, "dcn's key must be one of deform_groups.*got 'type'"),
        (50, {"dcn": {"deform_groups": 3}, "stage_with_dcn": (True,) * 4}, "deform_groups"),
        (50, {"frozen_stages": 5}, "frozen_stages must be one of -1, 0, 1, 2, 3, 4; got 5"),
        (50, {"frozen_stages": -2}, "frozen_stages"),
        (50, {"num_stages": 2, "frozen_stages": 3}, "frozen_stages"),
        (50, {"num_stages": 2, "out_indices": (2,)}, "out_indices"),
        (50, {"multi_grid": (1, 2)}, "multi_grid must hold 3 factors >= 1"),
        (101, {"multi_grid": (1, 2, 4, 8)}, "multi_grid must hold 3"),
        (50, {"multi_grid": (1, 2, 0)}, "multi_grid"),
        (50, {"multi_grid": ()}, "multi_grid"),
        (50, {"output_stride": 4}, "output_stride must be 8, 16 or 32"),
        (50, {"output_stride": 16, "strides": (1, 2, 2, 2)}, "output_stride must be 32 with"),
        (50, {"output_stride": 8, "dilations": (1, 1, 1, 2)}, "output_stride must be 32 with"),
        (50, {"base_channels": 0}, "base_channels must be >= 1"),
        (50, {"stem_channels": 0}, "stem_channels >= 1"),
        (50, {"stem_channels": 1, "deep_stem": True}, "stem_channels >= 2"),
        (50, {"base_channels": 1, "width_per_group": 4}, "width_per_group=4"),
    ],
)
def test_refuses(depth: int, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResNet(depth, **options)

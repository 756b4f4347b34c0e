import re
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import multiply_adds, random_state, relative, shapes_of, stored_shapes
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.backbones import build_backbone, classifier
from seglib.backbones.hrnet import Fusion, HRNet, HRNetClassifier, StageModule

# VainF's DeepLabV3Plus-Pytorch, network/backbone/hrnetv2.py: hrnetv2_32 and hrnetv2_48 with 10
# classes. `logits` is what they return; `low` and `out` are the maps of layer1 and stage4 that its
# IntermediateLayerGetter (hrnet_flag=True) hands to DeepLab. In double precision; weights:
# support.random_state over the state_dict's names and shapes (kept beside), seed 7; input x:
# default_rng(1).standard_normal((2, 3, 64, 96)). Kept, in eval and (width 32) train mode: the
# logits; `low` of each 32nd and `out` of each width-th channel, each 4th row and column; the
# gradient of mean(low²) + mean(out²) with respect to x at each 8th row and column.
REFERENCE = np.load(Path(__file__).parents[1] / "data" / "vainf_hrnetv2.npz")
MODES = [(32, "eval"), (32, "train"), (48, "eval")]
HEAD = "bn_classifier."


def image(*size: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, *size, dtype=torch.float64, generator=generator)


def vainf_state(width: int) -> dict[str, Tensor]:
    return random_state(stored_shapes(str(REFERENCE[f"{width}/names"])), seed=7)


def vainf_image() -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).standard_normal((2, 3, 64, 96)))


def stored(width: int, mode: str, name: str) -> Tensor:
    return torch.from_numpy(REFERENCE[f"{width}/{mode}/{name}"])


@pytest.mark.parametrize(("width", "mode"), MODES)
def test_classifier_equals_vainf(width: int, mode: str) -> None:
    model = classifier(f"hrnetv2_{width}", 10).double()
    model.load_state_dict(vainf_state(width), strict=True)
    with torch.no_grad():
        logits = model.train(mode == "train")(vainf_image())
    assert relative(logits, stored(width, mode, "logits")) < 1e-9


@pytest.mark.parametrize(("width", "mode"), MODES)
def test_legacy_stem_equals_vainf(width: int, mode: str) -> None:
    """Its getter runs the network's children in order, so that the first ReLU is left out."""
    backbone = build_backbone(f"hrnetv2_{width}", legacy_stem=True).double()
    state = {n: t for n, t in vainf_state(width).items() if not n.startswith(HEAD)}
    backbone.load_state_dict(state, strict=True)
    x = vainf_image().requires_grad_()
    low, out = backbone.train(mode == "train")(x)
    (low.square().mean() + out.square().mean()).backward()
    assert relative(low[:, ::32, ::4, ::4], stored(width, mode, "low")) < 1e-9
    assert relative(out[:, ::width, ::4, ::4], stored(width, mode, "out")) < 1e-9
    assert relative(x.grad[:, :, ::8, ::8], stored(width, mode, "grad")) < 1e-9


def their_maps(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """layer1's map and the concatenated last stage of timm's network."""
    low: list[Tensor] = []
    hook = network.layer1.register_forward_hook(lambda module, args, out: low.append(out))
    x = network.act1(network.bn1(network.conv1(x)))
    branches = network.stages(network.act2(network.bn2(network.conv2(x))))
    hook.remove()
    size = branches[0].shape[-2:]
    enlarged = [F.interpolate(branch, size=size, mode="bilinear") for branch in branches]
    return low[0], torch.cat(enlarged, dim=1)


def our_name(name: str) -> str:
    """timm keeps one module per branch, of which only that of the new branch does anything."""
    return re.sub(r"^transition(2\.2|3\.3)\.0\.", lambda m: f"transition{m[1][0]}.", name)


TIMM_HEAD = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")


@pytest.mark.parametrize("train", [False, True])
def test_equals_timm(train: bool) -> None:
    theirs = timm.create_model("hrnet_w32").double().train(train)
    state = random_state(shapes_of(theirs), seed=3)
    theirs.load_state_dict(state)
    renamed = {n: our_name(n) for n in state if not n.startswith(TIMM_HEAD)}
    ours = build_backbone("hrnetv2_32").double().train(train)
    ours.load_state_dict({renamed[n]: state[n] for n in renamed}, strict=True)

    a, b = image(64, 96).requires_grad_(), image(64, 96).requires_grad_()
    maps, expected = ours(a), their_maps(theirs, b)
    for x, y in zip(maps, expected, strict=True):
        assert relative(x, y) < 1e-12
    buffers, their_buffers = dict(ours.named_buffers()), dict(theirs.named_buffers())
    assert buffers.keys() == {renamed[n] for n in their_buffers if n in renamed}
    for name in their_buffers.keys() & renamed.keys():
        expected_buffer = their_buffers[name]
        assert torch.allclose(buffers[renamed[name]], expected_buffer, rtol=1e-11, atol=1e-11)

    sum(x.square().mean() for x in maps).backward()
    sum(x.square().mean() for x in expected).backward()
    assert relative(a.grad, b.grad) < 1e-9
    for name, parameter in theirs.named_parameters():
        if name not in renamed:
            continue
        # A shift right before another BatchNorm has no gradient in train mode, only rounding.
        scale = max(float(parameter.grad.abs().max()), 1e-6 * float(b.grad.abs().max()))
        difference = (ours.get_parameter(renamed[name]).grad - parameter.grad).abs().max()
        assert difference < 1e-8 * scale + 1e-10, name


def test_published_figures() -> None:
    with torch.device("meta"):
        for width, parameters, classifier_parameters in (
            (32, 29_305_536, 37_044_376),
            (48, 65_325_120, 76_976_080),
        ):
            backbone = build_backbone(f"hrnetv2_{width}")
            assert sum(p.numel() for p in backbone.parameters()) == parameters
            model = classifier(f"hrnetv2_{width}")  # as VainF's
            assert sum(p.numel() for p in model.parameters()) == classifier_parameters
        # The authors' Cityscapes network adds a 1×1 convolution with BatchNorm, and a classifier
        # of 19 classes: 65.8 M parameters.
        head = 720 * 720 + 720 + 2 * 720 + 720 * 19 + 19
        assert (parameters + head) / 1e6 == pytest.approx(65.8, abs=0.1)


@pytest.mark.parametrize("width", [32, 48])
def test_multiply_adds_equal_timm(width: int) -> None:
    class Maps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = timm.create_model(f"hrnet_w{width}")

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return their_maps(self.network, x)

    with torch.device("meta"):
        x = torch.zeros(1, 3, 224, 224)
        assert multiply_adds(HRNet(width), x) == multiply_adds(Maps(), x)


@given(
    height=st.integers(32, 140),
    width=st.integers(32, 140),
    channels=st.integers(1, 6),
    output_stride=st.sampled_from([8, 16, 32]),
    indices=st.sampled_from([None, (0,), (1,), (0, 1)]),
    in_channels=st.integers(1, 5),
)
@settings(max_examples=8, deadline=None)
def test_both_maps_stay_at_stride_4(
    height: int,
    width: int,
    channels: int,
    output_stride: int,
    indices: tuple[int, ...] | None,
    in_channels: int,
) -> None:
    with torch.device("meta"):
        backbone = HRNet(
            channels, output_stride=output_stride, in_channels=in_channels, out_indices=indices
        )
        maps = backbone(torch.zeros(2, in_channels, height, width))
    assert backbone.channels == [(256, 15 * channels)[i] for i in indices or (0, 1)]
    assert backbone.strides == [4] * len(maps)
    for x, count in zip(maps, backbone.channels, strict=True):
        assert x.shape == (2, count, -(-height // 4), -(-width // 4))


@pytest.mark.parametrize("name", ["hrnetv2_32", "hrnetv2_48"])
def test_takes_513_where_factors_fail(name: str) -> None:
    with torch.device("meta"):
        maps = build_backbone(name)(torch.zeros(2, 3, 513, 513))
        assert [x.shape[2:] for x in maps] == [(129, 129)] * 2
        with pytest.raises(RuntimeError, match="129"):
            their_maps(timm.create_model("hrnet_w18_small"), torch.zeros(2, 3, 513, 513))


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    target=st.integers(0, 3),
    num_branches=st.integers(2, 4),
)
@settings(max_examples=25, deadline=None)
def test_fusion_sums_all_branches(height: int, width: int, target: int, num_branches: int) -> None:
    target %= num_branches
    fusion = Fusion(target, num_branches, width=2).double().eval()
    fusion.load_state_dict(random_state(shapes_of(fusion), seed=num_branches))
    sizes = [(-(-height // 2**i), -(-width // 2**i)) for i in range(num_branches)]
    maps = [torch.randn(2, 2 * 2**i, *size).double() for i, size in enumerate(sizes)]
    rows, columns = sizes[target]
    expected = torch.zeros(2, 2 * 2**target, rows, columns).double()
    for source, x in enumerate(maps):
        part = fusion[source](x)  # compared with VainF's and timm's above
        h, w = part.shape[2:]
        down, across = torch.arange(rows) * h // rows, torch.arange(columns) * w // columns
        expected += part[:, :, down][:, :, :, across]
    out = fusion(maps)
    assert relative(out + 1, expected.relu() + 1) < 1e-12


def test_stage_keeps_shapes_and_inputs() -> None:
    stage = StageModule(3, width=4).train()
    maps = [torch.randn(2, 4 * 2**i, -(-17 // 2**i), -(-23 // 2**i)) for i in range(3)]
    before = [x.clone() for x in maps]
    fused = stage(maps)
    assert [x.shape for x in fused] == [x.shape for x in maps]
    assert all(torch.equal(x, y) for x, y in zip(maps, before, strict=True))
    assert all(x.min() >= 0 for x in fused)


@pytest.mark.parametrize("size", [(65, 97), (33, 47), (32, 32)])
def test_returned_maps_are_final_and_train(size: tuple[int, int]) -> None:
    backbone = HRNet(8)
    low: list[Tensor] = []
    backbone.layer1.register_forward_hook(lambda module, args, out: low.append(out.clone()))
    maps = backbone.train()(image(*size).float())
    assert torch.equal(low[0], maps[0])
    sum(x.square().mean() for x in maps).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


def test_names_are_those_of_the_public_files() -> None:
    for width in (32, 48):
        published = dict(stored_shapes(str(REFERENCE[f"{width}/names"])))
        with torch.device("meta"):
            assert dict(shapes_of(HRNetClassifier(width, 10))) == published
            backbone = dict(shapes_of(HRNet(width)))
        assert backbone == {n: s for n, s in published.items() if not n.startswith(HEAD)}


@pytest.mark.slow
def test_exports_with_dynamic_size() -> None:
    backbone = HRNet(8).double().eval()
    backbone.load_state_dict(random_state(shapes_of(backbone), seed=2))
    height, width = (torch.export.Dim(side, min=64, max=512) for side in ("height", "width"))
    first, second = image(65, 97, batch=1), image(96, 150, batch=1)
    program = torch.export.export(
        backbone, (first,), dynamic_shapes=({2: height, 3: width},), strict=False
    ).module()
    for x in (first, second):
        for ours, expected in zip(program(x), backbone(x), strict=True):
            assert relative(ours, expected) < 1e-12


def test_copies() -> None:
    backbone = HRNet(8).eval()
    again = deepcopy(backbone)
    x = image(33, 47, batch=1).float()
    assert all(torch.equal(a, b) for a, b in zip(again(x), backbone(x), strict=True))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"output_stride": 4}, "output_stride must be 8, 16 or 32, got 4"),
        ({"out_indices": (0, 2)}, "out_indices"),
        ({"out_indices": (1, 0)}, "out_indices"),
        ({"width": 18}, "'width' is no option of hrnetv2_32"),
        ({"legacy_tail": True}, "'legacy_tail' is no option of hrnetv2_32"),
    ],
)
def test_refuses(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build_backbone("hrnetv2_32", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [0, -1, 32.0])
def test_refuses_a_width_below_1(width: int) -> None:
    with pytest.raises(ValueError, match=f"width must be a whole number >= 1, got {width}"):
        HRNet(width)

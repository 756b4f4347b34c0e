import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import random_state, relative, shapes_of, without_dropout
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation import deeplabv3 as reference

from seglib.heads import ASPP, DeepLabV3Head, DeepLabV3PlusHead, to_separable
from seglib.layers import DeformableConv2d, SeparableConv2d


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("rates", [(6, 12, 18), (1, 2), (3, 6, 9, 12)])
def test_aspp_equals_torchvision(train: bool, rates: tuple[int, ...]) -> None:
    theirs = without_dropout(reference.ASPP(24, list(rates), 16).double())
    ours = ASPP(24, rates, 16, dropout=0.0).double()
    state = random_state(shapes_of(theirs), seed=2)
    theirs.load_state_dict(state)
    ours.load_state_dict(state, strict=True)
    x = torch.randn(2, 24, 13, 9, dtype=torch.float64)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, expected = ours.train(train)(a), theirs.train(train)(b)
    assert relative(out, expected) < 1e-12
    out.square().sum().backward()
    expected.square().sum().backward()
    assert relative(a.grad, b.grad) < 1e-9


@pytest.mark.parametrize("train", [False, True])
def test_deeplabv3_head_equals_torchvision(train: bool) -> None:
    theirs = without_dropout(reference.DeepLabHead(24, 5).double())
    ours = without_dropout(DeepLabV3Head([8, 24], 5, aspp_rates=(12, 24, 36)).double())
    theirs.load_state_dict(random_state(shapes_of(theirs), seed=2))
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(2, 24, 13, 9, dtype=torch.float64)
    assert relative(ours.train(train)([x[:, :8], x]), theirs.train(train)(x)) < 1e-12


def test_heads_return_logits_at_their_finest_input() -> None:
    maps = [torch.randn(2, 24, 17, 25), torch.randn(2, 320, 5, 7)]
    assert DeepLabV3Head([24, 320], 3)(maps).shape == (2, 3, 5, 7)
    assert DeepLabV3PlusHead([24, 320], 3)(maps).shape == (2, 3, 17, 25)


def test_separable_head_has_no_wide_dense_convolution() -> None:
    head = DeepLabV3PlusHead([24, 320], 3, separable=True, decoder_convs=2)
    for part in head.modules():
        if isinstance(part, nn.Conv2d) and part.groups == 1:
            assert part.kernel_size == (1, 1)
    assert sum(isinstance(part, SeparableConv2d) for part in head.modules()) == 5


State = dict[str, Tensor]


def norm_relu(x: Tensor, state: State, name: str, train: bool) -> Tensor:
    """BatchNorm and ReLU by their formula; the statistics of the batch in train mode."""
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    if train:
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    x = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
    return (
        x * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]
    ).relu()


def conv(x: Tensor, state: State, name: str, rate: int = 1) -> Tensor:
    """A convolution that keeps the size; separable if `state` says so."""
    if f"{name}.weight" not in state:
        x = F.conv2d(x, state[f"{name}.conv1.weight"], None, 1, rate, rate, groups=x.shape[1])
        return F.conv2d(x, state[f"{name}.pointwise.weight"])
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state.get(f"{name}.bias"), 1, rate * (weight.shape[2] // 2), rate)


def aspp(x: Tensor, state: State, prefix: str, rates: tuple[int, ...], train: bool) -> Tensor:
    branches = []
    for i, rate in enumerate((1, *rates)):
        name = f"{prefix}convs.{i}"
        branches.append(norm_relu(conv(x, state, f"{name}.0", rate), state, f"{name}.1", train))
    name = f"{prefix}convs.{len(rates) + 1}"
    pooled = conv(x.mean((2, 3), keepdim=True), state, f"{name}.1")
    branches.append(norm_relu(pooled, state, f"{name}.2", train) + torch.zeros_like(branches[0]))
    joined = conv(torch.cat(branches, 1), state, f"{prefix}project.0")
    return norm_relu(joined, state, f"{prefix}project.1", train)


def decoder(
    maps: list[Tensor], state: State, rates: tuple[int, ...], convs: int, align: bool, train: bool
) -> Tensor:
    """DeepLabV3+'s head from the paper's figure 2: VainF's with one convolution, the seed 003's
    with two and `align_corners`.
    """
    low_level = norm_relu(conv(maps[0], state, "project.0"), state, "project.1", train)
    x = aspp(maps[-1], state, "aspp.", rates, train)
    x = F.interpolate(x, low_level.shape[2:], mode="bilinear", align_corners=align)
    x = torch.cat([low_level, x], 1)
    for i in range(convs):
        x = conv(x, state, f"classifier.{3 * i}")
        x = norm_relu(x, state, f"classifier.{3 * i + 1}", train)
    return conv(x, state, f"classifier.{3 * convs}")


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize(("convs", "align"), [(1, False), (2, True), (3, False)])
@pytest.mark.parametrize("sizes", [((17, 25), (5, 7)), ((16, 24), (16, 24))])
def test_decoder_equals_the_paper(
    sizes: tuple[tuple[int, int], ...], convs: int, align: bool, separable: bool, train: bool
) -> None:
    rates = (1, 2, 3, 12)
    head = DeepLabV3PlusHead(
        [6, 10],
        3,
        aspp_rates=rates,
        aspp_channels=8,
        aspp_dropout=0.0,
        low_level_channels=5,
        decoder_convs=convs,
        separable=separable,
        align_corners=align,
    ).double()
    state = random_state(shapes_of(head), seed=6)
    head.load_state_dict(state)
    generator = torch.Generator().manual_seed(1)
    maps = [
        torch.randn(2, c, *size, dtype=torch.float64, generator=generator).requires_grad_()
        for c, size in zip((6, 10), sizes, strict=True)
    ]
    leaves = {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in head.named_parameters()
    }
    out = head.train(train)(maps)
    expected = decoder(maps, state | leaves, rates, convs, align, train)
    assert relative(out, expected) < 1e-11
    parameters = dict(head.named_parameters())
    ours = torch.autograd.grad(out.square().sum(), [*maps, *parameters.values()])
    theirs = torch.autograd.grad(expected.square().sum(), [*maps, *leaves.values()])
    for name, a, b in zip(["low", "high", *parameters], ours, theirs, strict=True):
        assert relative(a, b) < 1e-8, name


def test_decoder_of_the_seed_003() -> None:
    """ResNet-101's maps: 1280 → 256, 256 → 48, 304 → 256 → 256 → classes."""
    head = DeepLabV3PlusHead([256, 512, 1024, 2048], 21, decoder_convs=2, align_corners=True)
    shapes = {n: tuple(t.shape) for n, t in head.state_dict().items() if t.ndim == 4}
    assert shapes["project.0.weight"] == (48, 256, 1, 1)
    assert shapes["aspp.project.0.weight"] == (256, 1280, 1, 1)
    assert [shapes[f"classifier.{i}.weight"] for i in (0, 3, 6)] == [
        (256, 304, 3, 3),
        (256, 256, 3, 3),
        (21, 256, 1, 1),
    ]
    assert head.classifier[6].bias is not None
    aspp_parameters = 2048 * 256 * (1 + 3 * 9 + 1) + 1280 * 256 + 6 * 512
    others = 256 * 48 + 2 * 48 + (304 + 256) * 256 * 9 + 2 * 512 + 256 * 21 + 21
    assert sum(p.numel() for p in head.parameters()) == aspp_parameters + others


@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    rates=st.lists(st.integers(1, 40), min_size=1, max_size=5).map(tuple),
    widths=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    separable=st.booleans(),
    train=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_aspp_at_any_size_rate_and_width(
    size: tuple[int, int],
    rates: tuple[int, ...],
    widths: tuple[int, int],
    separable: bool,
    train: bool,
) -> None:
    ours = ASPP(widths[0], rates, widths[1], dropout=0.0, separable=separable).double()
    state = random_state(shapes_of(ours), seed=3)
    ours.load_state_dict(state)
    x = torch.randn(3, widths[0], *size, dtype=torch.float64)
    out, expected = ours.train(train)(x), aspp(x, state, "", rates, train)
    assert out.shape == (3, widths[1], *size)
    assert torch.allclose(out, expected, rtol=1e-9, atol=1e-9)


def test_buffers_after_a_train_step_equal_torchvision() -> None:
    theirs, ours = reference.ASPP(8, [2, 3], 6).double(), ASPP(8, (2, 3), 6).double()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 8, 5, 5, dtype=torch.float64)
    for model in (theirs, ours):
        model.train()(x)
    for name, buffer in theirs.named_buffers():
        assert torch.allclose(ours.get_buffer(name), buffer, rtol=1e-12, atol=1e-12), name


def test_dropout_is_where_and_what_was_asked() -> None:
    head = DeepLabV3Head([8], 3, aspp_dropout=0.4)
    assert [m.p for m in head.modules() if isinstance(m, nn.Dropout)] == [0.4]
    assert isinstance(head.aspp.project[-1], nn.Dropout)
    assert ASPP(8).project[-1].p == 0.1


def test_fresh_weights() -> None:
    head = DeepLabV3PlusHead([64, 128], 21, separable=True)
    weight = head.aspp.convs[0][0].weight.detach()
    assert float(weight.std()) == pytest.approx((2 / 128) ** 0.5, rel=0.03)
    depthwise = head.aspp.convs[1][0].conv1.weight.detach()
    assert float(depthwise.std()) == pytest.approx((2 / 9) ** 0.5, rel=0.1)
    assert not head.classifier[-1].bias.any()


def composed(x: Tensor, old: nn.Conv2d, new: SeparableConv2d) -> Tensor:
    """Depthwise with the geometry of `old`, then 1×1, with the weights of `new`."""
    if old.padding_mode != "zeros":
        assert not isinstance(old.padding, str)
        vertical, horizontal = old.padding
        x = F.pad(x, (horizontal, horizontal, vertical, vertical), mode=old.padding_mode)
    padding = old.padding if old.padding_mode == "zeros" else 0
    x = F.conv2d(x, new.conv1.weight, new.conv1.bias, old.stride, padding, old.dilation, x.shape[1])
    return F.conv2d(x, new.pointwise.weight, new.pointwise.bias)


@pytest.mark.parametrize(
    "old",
    [
        nn.Conv2d(3, 6, 3, stride=2, padding=2, dilation=2),
        nn.Conv2d(3, 6, (1, 5), stride=(2, 1), padding=(0, 2), bias=False),
        nn.Conv2d(3, 6, (3, 2), padding=(2, 0), dilation=(2, 3)),
        nn.Conv2d(3, 6, 3, padding="same", dilation=3),
        nn.Conv2d(3, 6, 3, padding=(2, 1), padding_mode="reflect"),
        nn.Conv2d(3, 6, 3, padding=1, padding_mode="circular", bias=False),
        nn.Conv2d(1, 6, 3),
    ],
)
def test_to_separable_keeps_geometry_and_bias(old: nn.Conv2d) -> None:
    old = copy.deepcopy(old).double().eval()
    new = to_separable(old)
    assert isinstance(new, SeparableConv2d)
    has_bias = [part.bias is not None for part in (old, new.conv1, new.pointwise)]
    assert len(set(has_bias)) == 1
    assert not new.training
    assert not new.conv1.training
    x = torch.randn(2, old.in_channels, 15, 14, dtype=torch.float64)
    assert new(x).shape == old(x).shape
    for name, parameter in new.named_parameters():
        assert parameter.dtype == torch.float64
        if name.endswith("bias"):
            assert not parameter.any()
            nn.init.normal_(parameter)
    assert relative(new(x), composed(x, old, new)) < 1e-12


def test_to_separable_works_in_place_and_leaves_the_others() -> None:
    kept = [
        nn.Conv2d(6, 6, 3, groups=6),
        nn.Conv2d(6, 6, 1),
        nn.ConvTranspose2d(6, 6, 3),
        DeformableConv2d(6, 6),
        SeparableConv2d(1, 6),
    ]
    shared = nn.Conv2d(6, 6, 3)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ModuleDict({"a": shared, "b": shared}), *kept)
    before = [dict(part.named_parameters()) for part in kept]
    assert to_separable(net) is net
    assert isinstance(net[0], SeparableConv2d)
    assert isinstance(net[1]["a"], SeparableConv2d)
    assert net[1]["a"] is net[1]["b"]
    for part, parameters in zip(net[2:], before, strict=True):
        now = dict(part.named_parameters())
        assert now.keys() == parameters.keys()
        assert all(now[name] is parameters[name] for name in now)
    again = list(net.modules())
    assert list(to_separable(net).modules()) == again  # nothing is left to convert
    assert to_separable(kept[1]) is kept[1]


def test_to_separable_on_another_device() -> None:
    with torch.device("meta"):
        net = nn.Sequential(nn.Conv2d(3, 6, 3)).half()
    to_separable(net)
    assert {(p.device.type, p.dtype) for p in net.parameters()} == {("meta", torch.float16)}


def test_to_separable_refuses_a_subclass_before_it_changes_anything() -> None:
    class Standardised(nn.Conv2d):
        pass

    net = nn.Sequential(nn.Conv2d(3, 6, 3), Standardised(6, 6, 3))
    parts = list(net)
    with pytest.raises(ValueError, match=r"no subclass of nn\.Conv2d .* got Standardised"):
        to_separable(net)
    assert list(net) == parts


@pytest.mark.parametrize("head", [ASPP(8), DeepLabV3Head([8], 3), DeepLabV3PlusHead([8, 8], 3)])
def test_one_image_in_train_mode(head: nn.Module) -> None:
    x = torch.randn(1, 8, 4, 4)
    given = x if isinstance(head, ASPP) else [x, x]
    with pytest.raises(ValueError, match="x must hold 2 or more images in train mode, got 1,"):
        head.train()(given)
    assert head.eval()(given).isfinite().all()
    head.train()
    for part in head.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()
    assert head(given).isfinite().all()  # frozen statistics


def test_exports_with_dynamic_sizes() -> None:
    head = DeepLabV3PlusHead([8, 8], 3, aspp_channels=8).eval()
    auto = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    maps = [torch.randn(2, 8, 17, 25), torch.randn(2, 8, 5, 7)]
    program = torch.export.export(head, (maps,), dynamic_shapes=([auto, auto],))
    maps = [torch.randn(2, 8, 33, 9), torch.randn(2, 8, 6, 4)]
    assert torch.allclose(program.module()(maps), head(maps), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rates": ()}, "rates must be one or more dilations"),
        ({"rates": (6, 0)}, r"rates\[1\] must be a whole number >= 1, got 0"),
        ({"rates": (1.5,)}, r"rates\[0\] must be a whole number >= 1, got 1.5"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"dropout": -0.1}, "dropout"),
        ({"dropout": float("nan")}, "dropout"),
        ({"in_channels": 0}, "in_channels must be a whole number >= 1, got 0"),
        ({"out_channels": 0}, "out_channels must be a whole number >= 1, got 0"),
    ],
)
def test_aspp_refuses(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ASPP(**{"in_channels": 8, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("head", [DeepLabV3Head, DeepLabV3PlusHead])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_channels_list": []}, r"in_channels_list must tell of . or more maps, got \[\]"),
        ({"in_channels_list": [8, 0]}, r"in_channels_list\[1\] .* got 0"),
        ({"num_classes": 0}, "num_classes must be a whole number >= 1, got 0"),
        ({"aspp_channels": 0}, "out_channels must be a whole number >= 1, got 0"),
        ({"aspp_rates": (0,)}, "rates"),
        ({"aspp_dropout": 2.0}, "dropout"),
    ],
)
def test_heads_refuse(head: type[nn.Module], options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        head(**{"in_channels_list": [8, 8], "num_classes": 3, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder_convs": 0}, "decoder_convs must be a whole number >= 1, got 0"),
        ({"low_level_channels": 0}, "low_level_channels must be a whole number >= 1, got 0"),
        ({"in_channels_list": [8]}, r"in_channels_list must tell of 2 or more maps, got \[8\]"),
    ],
)
def test_plus_head_refuses(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeepLabV3PlusHead(**{"in_channels_list": [8, 8], "num_classes": 3, **options})  # type: ignore[arg-type]


def test_heads_refuse_too_few_maps() -> None:
    with pytest.raises(ValueError, match="features must be a low-level and a high map, got 1"):
        DeepLabV3PlusHead([8, 8], 3)([torch.zeros(2, 8, 4, 4)])
    with pytest.raises(ValueError, match="features must be one or more maps, got none"):
        DeepLabV3Head([8], 3)([])

import pytest
import torch
from support import random_state, relative, shapes_of, without_dropout
from torch import nn
from torchvision.models.segmentation import deeplabv3 as reference

from seglib.heads import ASPP, DeepLabV3Head, DeepLabV3PlusHead
from seglib.heads.aspp import to_separable
from seglib.layers import SeparableConv2d


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


def test_to_separable_keeps_geometry_and_bias() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=2, dilation=2), nn.Conv2d(6, 6, 3, groups=6)
    )
    x = torch.randn(1, 3, 15, 15)
    before = net(x).shape
    to_separable(net)
    assert isinstance(net[0], SeparableConv2d)
    assert net[0].conv1.bias is not None
    assert net[0].pointwise.bias is not None
    assert isinstance(net[1], nn.Conv2d)
    assert net(x).shape == before


def test_pooling_branch_needs_two_images_in_train_mode() -> None:
    with pytest.raises(ValueError, match="Expected more than 1 value"):
        ASPP(8)(torch.randn(1, 8, 4, 4))


@pytest.mark.parametrize(
    ("options", "named"),
    [({"rates": ()}, "rates"), ({"rates": (0,)}, "rates"), ({"dropout": 1.0}, "dropout")],
)
def test_aspp_refuses(options: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ASPP(8, **options)  # type: ignore[arg-type]


def test_decoder_convs_refused() -> None:
    with pytest.raises(ValueError, match="decoder_convs must be >= 1, got 0"):
        DeepLabV3PlusHead([8, 8], 3, decoder_convs=0)

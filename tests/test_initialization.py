"""Every test draws enough numbers for its tolerance, from a fixed seed."""

import math

import pytest
import torch
from torch import Tensor, nn

from seglib.initialization import kaiming_init, kaiming_uniform_init


def network() -> nn.Sequential:
    """Every kind of layer, all parameters far from any fresh value."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(64, 128, 3),
        nn.BatchNorm2d(128),
        nn.Sequential(nn.Conv2d(128, 64, (1, 5), groups=4), nn.GroupNorm(4, 64)),
        nn.Conv2d(64, 512, 1, bias=False),
        nn.Linear(512, 100),
    )
    for parameter in layers.parameters():
        nn.init.constant_(parameter, 7.0)
    return layers


def kurtosis(weight: Tensor) -> float:
    """The fourth standardised moment: 3 for a normal distribution, 1.8 for a uniform one."""
    return float((weight / weight.std()).detach().pow(4).mean())


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_kaiming_init(mode: str) -> None:
    layers = network()
    kaiming_init(layers, mode)  # type: ignore[arg-type]
    fans = {
        "fan_in": (64 * 9, 128 // 4 * 5, 64),  # VainF's
        "fan_out": (128 * 9, 64 * 5, 512),  # the seed 003's: √(2 / (k² · C_out))
    }[mode]
    for conv, fan in zip((layers[0], layers[2][0], layers[3]), fans, strict=True):
        assert float(conv.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan), rel=0.03)
        assert abs(float(conv.weight.detach().mean())) < 0.02 * math.sqrt(2 / fan)
        assert kurtosis(conv.weight) == pytest.approx(3, abs=0.15)
        assert conv.bias is None or not conv.bias.any()
    for norm in (layers[1], layers[2][1]):
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()
    assert float(layers[4].weight.detach().std()) == pytest.approx(0.01, rel=0.02)
    assert not layers[4].bias.any()


def test_grouped_fan_out_is_that_of_torch() -> None:
    """k²·C_out, not divided by groups: torch takes it from the weight's shape."""
    conv = nn.Conv2d(256, 256, 3, groups=256)
    torch.manual_seed(0)
    kaiming_init(conv, "fan_out")
    assert float(conv.weight.detach().std()) == pytest.approx(math.sqrt(2 / (9 * 256)), rel=0.05)


def test_kaiming_uniform_init() -> None:
    layers = network()
    kaiming_uniform_init(layers)
    for conv, fan_in in ((layers[0], 64 * 9), (layers[2][0], 32 * 5), (layers[3], 64)):
        bound = math.sqrt(3 / fan_in)
        assert 0.99 * bound < float(conv.weight.detach().abs().max()) <= bound
        assert kurtosis(conv.weight) == pytest.approx(1.8, abs=0.05)
        assert conv.bias is None or not conv.bias.any()
    for untouched in (layers[1], layers[2][1], layers[4]):
        assert all((p == 7).all() for p in untouched.parameters())


def test_norms_without_parameters_and_one_layer_alone() -> None:
    kaiming_init(nn.Conv2d(3, 4, 1))
    kaiming_uniform_init(nn.Conv2d(3, 4, 1, bias=False))

"""The moving average of the weights against one computed by hand."""

import pytest
import torch
from squares import Squares, network, same, train
from torch import nn

from seglib.averaging import moving_average


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_it_is_the_average_by_hand(decay: float) -> None:
    model = small()
    average = moving_average(model, decay)
    expected: dict[str, torch.Tensor] = {}
    for step in range(6):
        model(torch.randn(2, 3, 4, 4))  # moves BatchNorm's statistics
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn_like(parameter)
        average.update_parameters(model)
        d = 0.0 if step == 0 else min(decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                before = expected.get(name, torch.zeros_like(value).double())
                expected[name] = d * before + (1 - d) * value.double()
            else:
                expected[name] = value.clone()
    found = average.module.state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(found[name].double(), value.double(), rtol=1e-5, atol=1e-6), name
    assert int(found["1.num_batches_tracked"]) == 6
    assert not any(parameter.requires_grad for parameter in average.parameters())


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1, float("nan")])
def test_a_decay_out_of_range(decay: float) -> None:
    with pytest.raises(ValueError, match="ema must be a decay between 0 and 1"):
        moving_average(small(), decay)


def test_fit_validates_and_leaves_the_average() -> None:
    """With a decay of almost 0 it is the model itself; with a larger one another network."""
    plain, close, far = network(), network(), network()
    options = {"steps": 5, "val_data": Squares(3), "val_every": 5}
    expected = train(plain, **options)
    found = train(close, ema=1e-12, **options)
    assert found.loss == expected.loss
    assert found.val == expected.val
    for a, b in zip(close.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert train(far, ema=0.9, **options).loss == expected.loss
    assert not same(far, plain)

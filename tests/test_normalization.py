"""BatchNorm that stays frozen, whoever calls train(), and its momentum."""

import copy
import pickle

import pytest
import torch
from squares import Squares, network, train
from torch import nn

from seglib.normalization import freeze_batchnorm, set_batchnorm_momentum


def norms(model: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {n: m for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}


def test_freezing_lasts() -> None:
    model = network()
    expected = model.eval()(torch.ones(1, 3, 32, 32))
    freeze_batchnorm(model)
    assert all(not norm.training for norm in norms(model.train()).values())
    assert all(not norm.training for norm in norms(copy.deepcopy(model).train()).values())
    assert all(not norm.training for norm in norms(pickle.loads(pickle.dumps(model))).values())
    assert model.training
    assert model.state_dict().keys() == network().state_dict().keys()
    assert torch.equal(model.eval()(torch.ones(1, 3, 32, 32)), expected)
    freeze_batchnorm(model)  # twice is once


@pytest.mark.parametrize("validate", [False, True])
def test_fit_freezes_through_validations(validate: bool) -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    data = Squares(2) if validate else None
    train(model, val_data=data, freeze_bn=True, val_every=1, weight_decay=0.1)
    after = model.state_dict()
    frozen = {f"{norm}.{part}" for norm in norms(model) for part in norm_state()}
    assert len(frozen) > 200
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert all(not torch.equal(before[n], after[n]) for n in before.keys() - frozen)
    assert all(not norm.training for norm in norms(model.train()).values())


def norm_state() -> list[str]:
    return list(nn.BatchNorm2d(1).state_dict())


def test_affine_may_stay_trainable() -> None:
    model = network()
    freeze_batchnorm(model, affine=False)
    assert all(norm.weight.requires_grad for norm in norms(model).values())
    freeze_batchnorm(model)
    assert not any(norm.weight.requires_grad for norm in norms(model).values())


def test_another_batchnorm_is_named() -> None:
    model = nn.Sequential(nn.Conv1d(1, 1, 1), nn.BatchNorm1d(1))
    with pytest.raises(ValueError, match="got BatchNorm1d at '1'"):
        freeze_batchnorm(model)


def test_momentum() -> None:
    model = network()
    train(model, steps=1, bn_momentum=0.25)
    assert {norm.momentum for norm in norms(model).values()} == {0.25}
    first = next(iter(norms(network())))
    slow, fast = network(), network()
    train(slow, steps=1, bn_momentum=0.1)
    train(fast, steps=1, bn_momentum=0.2)
    means = [norms(model)[first].running_mean for model in (slow, fast)]
    assert torch.allclose(2 * means[0], means[1], atol=1e-6)
    for value in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="bn_momentum must be above 0 and at most 1"):
            set_batchnorm_momentum(model, value)

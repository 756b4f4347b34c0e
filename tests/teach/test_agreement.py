"""Parity reports: what agrees, what doesn't, and what they show."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.mobilenetv2 import InvertedResidual as Torchvisions

from seglib.backbones.mobilenetv2 import InvertedResidual
from seglib.teach import parity, randomize


def test_agreement_with_torchvision() -> None:
    ours, theirs = InvertedResidual(4, 4), Torchvisions(4, 4, 1, 6)
    before = [copy.deepcopy(module.state_dict()) for module in (ours, theirs)]
    report = parity(ours, theirs, (2, 4, 9, 7))
    assert report.passed
    assert report
    assert report.max_delta < 1e-12
    assert [(row.mode, row.what) for row in report.rows] == [
        ("eval", "output"),
        ("eval", "gradient by input"),
        ("eval", "gradient by parameters"),
        ("train", "output"),
        ("train", "gradient by input"),
        ("train", "gradient by parameters"),
        ("train", "running statistics"),
    ]
    assert {row.verdict for row in report.rows} == {"exact"}
    for module, state in zip((ours, theirs), before, strict=True):
        assert module.training
        assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
        assert all(parameter.grad is None for parameter in module.parameters())


def test_what_is_shown_is_no_measurement() -> None:
    ours, theirs = InvertedResidual(4, 4), Torchvisions(4, 4, 1, 6)
    report = parity(ours, theirs, (2, 4, 9, 7))
    assert "exact  < 1e-12" in repr(report)
    assert "InvertedResidual and InvertedResidual: agree" in repr(report)
    assert repr(report) == repr(parity(ours, theirs, (2, 4, 9, 7)))
    assert report._repr_html_() == parity(ours, theirs, (2, 4, 9, 7))._repr_html_()


def test_the_border_error_shows_only_with_random_statistics() -> None:
    report = parity(
        InvertedResidual(4, 4, legacy_padding=True), InvertedResidual(4, 4), (2, 4, 9, 7)
    )
    assert not report.passed
    assert report.rows[0].verdict == "no"
    assert report.max_delta > 1e-2
    assert "> 1e-0" in report.rows[0].shown
    assert "✗" in repr(report)


class Slow(nn.Module):
    """BatchNorm with another momentum: only the running statistics differ."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3, momentum=0.2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x)
        return out


def test_running_statistics_are_compared() -> None:
    report = parity(Slow(), nn.BatchNorm2d(3), (2, 3, 4, 4))
    assert [row.what for row in report.rows if row.verdict == "no"] == ["running statistics"]
    assert "order and shape (5 tensors" in report.mapping
    assert "order and shape" in repr(report)
    renamed = parity(Slow(), nn.BatchNorm2d(3), (2, 3, 4, 4), rename=lambda name: name[5:])
    assert "renaming" in renamed.mapping
    assert not renamed.passed


def test_gradients_are_compared() -> None:
    report = parity(lambda x: F.relu6(x), lambda x: F.relu6(x).detach() + 0 * x, (3, 50))
    assert [row.verdict for row in report.rows] == ["exact", "no"]
    assert {row.mode for row in report.rows} == {"–"}


def test_functions_close_and_shapes() -> None:
    assert parity(torch.sin, torch.sin, torch.linspace(0, 1, 5)).rows[0].bitwise
    close = parity(torch.sin, lambda x: torch.sin(x) + 1e-10, (5,))
    assert close.rows[0].verdict == "close"
    assert close.rows[0].shown == "< 1e-09"
    wide = parity(torch.sin, lambda x: torch.sin(x)[:2], (5,))
    assert wide.rows[0].verdict == "no"
    assert "(5,) and shapes" not in wide.rows[0].shown
    assert "(2,)" in wide.rows[0].shown
    nan = parity(torch.sin, lambda x: torch.sin(x) / 0, (5,))
    assert nan.rows[0].shown == "not finite"
    assert parity(F.hardswish, nn.Hardswish(), (7, 9)).passed


def test_dropout_draws_the_same() -> None:
    one = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Dropout(0.5))
    state = torch.get_rng_state()
    assert parity(one, copy.deepcopy(one), (2, 2, 5, 5)).passed
    assert torch.equal(state, torch.get_rng_state())


def test_many_outputs() -> None:
    def levels(x: Tensor) -> dict[str, object]:
        return {"a": [x, x * 2], "b": (x.sum(),)}

    assert parity(levels, levels, (2, 3)).passed
    wrong = parity(levels, lambda x: {"a": [x, x * 2], "b": (x.mean(),)}, (2, 3))
    assert not wrong.passed


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="inputs is empty"):
        parity(torch.sin, torch.sin)
    with pytest.raises(ValueError, match="a has 2 tensors in its state, b has 5"):
        parity(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), (1, 3, 2, 2))
    with pytest.raises(ValueError, match="have shapes"):
        parity(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 1), (1, 3, 2, 2))
    with pytest.raises(ValueError, match="train is empty"):
        parity(torch.sin, torch.sin, (1,), train=())


def test_randomize() -> None:
    first, second = (randomize(InvertedResidual(4, 4), seed=3) for _ in range(2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
        if name.endswith("running_var"):
            assert 0.5 <= value.min() < value.max() <= 1.5
        elif value.is_floating_point():
            assert value.std() > 0
    other = randomize(InvertedResidual(4, 4), seed=4)
    assert not torch.equal(first.conv[0][0].weight, other.conv[0][0].weight)

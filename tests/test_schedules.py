"""The poly schedule against PyTorch's, and past its end."""

import copy
import io
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import PolynomialLR

from seglib.schedules import PolySchedule, poly


@given(st.integers(0, 500), st.integers(1, 300), st.floats(0.1, 3.0))
def test_poly_falls_from_one_to_exactly_zero(step: int, total_steps: int, power: float) -> None:
    factor = poly(step, total_steps, power)
    assert isinstance(factor, float)
    assert 0.0 <= factor <= 1.0
    assert poly(0, total_steps, power) == 1.0
    assert factor >= poly(step + 1, total_steps, power)
    assert (factor == 0.0) == (step >= total_steps)


def test_poly_halfway() -> None:
    assert poly(50, 100) == pytest.approx(0.5**0.9)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((-1, 10), "step"),
        ((math.nan, 10), "step"),
        ((0, 0), "total_steps"),
        ((0, -5), "total_steps"),
        ((0, 2.5), "total_steps"),
        ((0, 10, 0.0), "power"),
        ((0, 10, -1.0), "power"),
        ((0, 10, math.nan), "power"),
        ((0, 10, math.inf), "power"),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        poly(*arguments)


def two_groups() -> torch.optim.SGD:
    first, second = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    return torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": [second], "lr": 0.01}])


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def advance(optimizer: torch.optim.Optimizer, schedule: PolySchedule | PolynomialLR) -> list[float]:
    now = rates(optimizer)
    optimizer.step()
    schedule.step()
    return now


def test_agrees_with_pytorch_and_stays_at_zero() -> None:
    ours, theirs = two_groups(), two_groups()
    schedule = PolySchedule(ours, 20)
    reference = PolynomialLR(theirs, total_iters=20, power=0.9)
    for _ in range(25):
        expected = advance(theirs, reference)
        assert advance(ours, schedule) == pytest.approx(expected, rel=1e-12, abs=1e-18)
        assert schedule.get_last_lr() == rates(ours)
    assert rates(ours) == [0.0, 0.0]


def test_a_resumed_schedule_has_the_same_rates_to_the_last_bit() -> None:
    optimizer = two_groups()
    schedule = PolySchedule(optimizer, 20)
    for _ in range(7):
        advance(optimizer, schedule)
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), schedule.state_dict()], file)
    file.seek(0)
    optimizer_state, schedule_state = torch.load(file, weights_only=True)

    resumed = two_groups()
    resumed_schedule = PolySchedule(resumed, 20)
    resumed.load_state_dict(copy.deepcopy(optimizer_state))
    resumed_schedule.load_state_dict(schedule_state)
    for _ in range(15):
        assert advance(resumed, resumed_schedule) == advance(optimizer, schedule)


@pytest.mark.parametrize("total_steps, power", [(0, 0.9), (10, -1.0)])
def test_a_schedule_checks_its_arguments(total_steps: int, power: float) -> None:
    with pytest.raises(ValueError):
        PolySchedule(two_groups(), total_steps, power)

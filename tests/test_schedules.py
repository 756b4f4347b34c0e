"""The schedules against PyTorch's, past their end, and resumed."""

import copy
import io
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import LinearLR, LRScheduler, PolynomialLR, SequentialLR, StepLR

from seglib.schedules import PolySchedule, StepSchedule, poly, step_decay


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


@settings(deadline=None)
@given(st.integers(2, 300), st.data())
def test_a_warm_up_climbs_in_equal_parts_then_poly_falls(total: int, data: st.DataObject) -> None:
    warmup = data.draw(st.integers(1, total - 1))
    factors = [poly(step, total, 0.9, warmup) for step in range(total + 3)]
    climb, fall = factors[:warmup], factors[warmup:]
    assert climb[0] == 1 / warmup
    assert climb[-1] == fall[0] == 1.0
    parts = [after - before for before, after in itertools.pairwise(climb)]
    assert parts == pytest.approx([1 / warmup] * (warmup - 1))
    assert fall == [poly(step, total - warmup, 0.9) for step in range(total + 3 - warmup)]
    assert fall[-4] > 0.0
    assert fall[-3:] == [0.0] * 3


@given(st.integers(0, 500), st.integers(1, 100), st.floats(0.01, 1.0))
def test_step_decay_falls_at_multiples_only(step: int, step_size: int, gamma: float) -> None:
    factor = step_decay(step, step_size, gamma)
    assert isinstance(factor, float)
    assert 0.0 <= factor <= 1.0
    assert step_decay(step - step % step_size, step_size, gamma) == factor
    assert step_decay(step + step_size, step_size, gamma) == pytest.approx(
        gamma * factor, rel=1e-12, abs=1e-300
    )


def test_step_decay_known_values() -> None:
    assert [step_decay(step, 3) for step in (0, 2, 3, 5, 6)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01]
    )
    assert step_decay(100, 7, 1.0) == 1.0


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
        ((0, 10, 0.9, -1), "warmup_steps must be an integer from 0 to 9, less than total_steps=10"),
        ((0, 10, 0.9, 10), "warmup_steps"),
        ((0, 10, 0.9, 2.0), "warmup_steps"),
        ((0, 10, 0.9, True), "warmup_steps"),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        poly(*arguments)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((-1, 10), "step must"),
        ((math.nan, 10), "step must"),
        ((0, 0), "step_size"),
        ((0, 2.5), "step_size"),
        ((0, 10, 0.0), r"gamma must be in \(0, 1\], got 0.0"),
        ((0, 10, 1.5), "gamma"),
        ((0, 10, math.nan), "gamma"),
    ],
)
def test_wrong_arguments_of_step_decay_are_named(
    arguments: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        step_decay(*arguments)


def two_groups() -> torch.optim.SGD:
    first, second = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    return torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": [second], "lr": 0.01}])


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def advance(optimizer: torch.optim.Optimizer, schedule: LRScheduler) -> list[float]:
    now = rates(optimizer)
    optimizer.step()
    schedule.step()
    return now


def warm_poly(optimizer: torch.optim.Optimizer) -> SequentialLR:
    """What torch has for a warm-up of 5 steps in 20: the first at 1/5, the fifth and sixth at 1."""
    climb = LinearLR(optimizer, start_factor=1 / 5, total_iters=4)
    return SequentialLR(optimizer, [climb, PolynomialLR(optimizer, 15, 0.9)], [5])


Make = Callable[[torch.optim.Optimizer], LRScheduler]
OURS: dict[str, Make] = {
    "poly": lambda optimizer: PolySchedule(optimizer, 20),
    "poly with a warm-up": lambda optimizer: PolySchedule(optimizer, 20, warmup_steps=5),
    "step": lambda optimizer: StepSchedule(optimizer, 6, 0.3),
}
THEIRS: dict[str, Make] = {
    "poly": lambda optimizer: PolynomialLR(optimizer, total_iters=20, power=0.9),
    "poly with a warm-up": warm_poly,
    "step": lambda optimizer: StepLR(optimizer, 6, 0.3),
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.filterwarnings("ignore:The epoch parameter")  # SequentialLR's own call
def test_agrees_with_pytorch(name: str) -> None:
    ours, theirs = two_groups(), two_groups()
    schedule, reference = OURS[name](ours), THEIRS[name](theirs)
    for _ in range(25):
        expected = advance(theirs, reference)
        assert advance(ours, schedule) == pytest.approx(expected, rel=1e-12, abs=1e-17)
        assert schedule.get_last_lr() == rates(ours)
    if "poly" in name:
        assert rates(ours) == [0.0, 0.0]


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("taken", [0, 3, 7, 22])
def test_a_resumed_schedule_has_the_same_rates_to_the_last_bit(name: str, taken: int) -> None:
    optimizer = two_groups()
    schedule = OURS[name](optimizer)
    for _ in range(taken):
        advance(optimizer, schedule)
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), schedule.state_dict()], file)
    file.seek(0)
    optimizer_state, schedule_state = torch.load(file, weights_only=True)

    resumed = two_groups()
    resumed_schedule = OURS[name](resumed)
    resumed.load_state_dict(copy.deepcopy(optimizer_state))
    resumed_schedule.load_state_dict(schedule_state)
    for _ in range(15):
        assert advance(resumed, resumed_schedule) == advance(optimizer, schedule)


def test_a_schedule_can_start_at_any_step() -> None:
    optimizer, resumed = two_groups(), two_groups()
    schedule = PolySchedule(optimizer, 20, warmup_steps=5)
    for _ in range(8):
        advance(optimizer, schedule)
    for group in resumed.param_groups:
        group["initial_lr"] = group["lr"]
    PolySchedule(resumed, 20, warmup_steps=5, last_epoch=7)
    assert rates(resumed) == rates(optimizer)


@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: PolySchedule(optimizer, 0),
        lambda optimizer: PolySchedule(optimizer, 10, -1.0),
        lambda optimizer: PolySchedule(optimizer, 10, warmup_steps=10),
        lambda optimizer: StepSchedule(optimizer, 0),
        lambda optimizer: StepSchedule(optimizer, 10, 2.0),
    ],
)
def test_a_schedule_checks_its_arguments_before_it_touches_the_rates(make: Make) -> None:
    optimizer = two_groups()
    with pytest.raises(ValueError):
        make(optimizer)
    assert rates(optimizer) == [0.1, 0.01]
    assert "initial_lr" not in optimizer.param_groups[0]

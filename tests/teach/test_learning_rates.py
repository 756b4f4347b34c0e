"""The explorer of learning rates: its numbers against the schedules and against a simulation."""

import math

import pytest
import torch
from torch import nn

from seglib.schedules import PolySchedule, StepSchedule
from seglib.teach import rate_explorer
from seglib.teach.learning_rates import CURVATURES, START, Kind, learning_rates, valley

KINDS: tuple[Kind, Kind] = ("poly", "constant")


def stepped(schedule: PolySchedule | StepSchedule, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(float(schedule.optimizer.param_groups[0]["lr"]))
        schedule.optimizer.step()
        schedule.step()
    return found


def optimizer() -> torch.optim.SGD:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)


@pytest.mark.parametrize("power, warmup", [(0.9, 0), (2.0, 7), (1.0, 39)])
def test_poly_is_what_an_optimiser_gets(power: float, warmup: int) -> None:
    facts = learning_rates("poly", 40, 0.3, power, warmup)
    assert facts.rates == pytest.approx(stepped(PolySchedule(optimizer(), 40, power, warmup), 40))


def test_step_and_constant() -> None:
    facts = learning_rates("step", 40, 0.3, step_size=15, gamma=0.5)
    assert facts.rates == pytest.approx(stepped(StepSchedule(optimizer(), 15, 0.5), 40))
    assert facts.half_step == 15
    assert learning_rates("constant", 9, 0.3).rates == (0.3,) * 9
    assert learning_rates("constant", 9, 0.3).half_step is None
    rising = learning_rates("constant", 9, 0.4, warmup_steps=4)
    assert rising.rates == pytest.approx((0.1, 0.2, 0.3, *[0.4] * 6))


@pytest.mark.parametrize("power", [0.5, 0.9, 3.0])
def test_the_mean_factor_nears_its_limit(power: float) -> None:
    assert learning_rates("poly", 5000, power=power).mean_factor == pytest.approx(
        1 / (1 + power), abs=2e-4
    )


def test_the_valley_is_what_many_walkers_find() -> None:
    generator = torch.Generator().manual_seed(0)
    curvature = torch.tensor(CURVATURES, dtype=torch.float64)
    rates = learning_rates("poly", 30, 0.7).rates
    x = torch.full((40_000, 2), START, dtype=torch.float64)
    walk = valley(rates)
    for step, rate in enumerate(rates):
        noise = torch.randn(x.shape, dtype=torch.float64, generator=generator)
        x = x - rate * (curvature * x + noise)
        loss = (curvature / 2 * x.square()).sum(1).mean().item()
        assert loss == pytest.approx(walk.loss[step], rel=0.05)


def test_what_the_explorer_teaches() -> None:
    poly, constant = learning_rates("poly"), learning_rates("constant")
    assert constant.walk.way[-1] < poly.walk.way[-1]  # it gets further
    assert poly.walk.jitter[-1] < constant.walk.jitter[-1] / 4  # and never comes to rest
    assert poly.walk.loss[-1] < constant.walk.loss[-1]
    assert learning_rates("constant", lr=2.1).walk.loss[-1] > 1e6  # runs away
    short = [learning_rates(kind, 20, 0.1).walk.loss[-1] for kind in KINDS]
    assert short[0] > short[1]  # a short run is better off without


def test_facts_show_themselves() -> None:
    facts = learning_rates("poly", 300, 0.5, 0.9, 20)
    assert "poly: power 0.9 after 20 steps of warm-up, rate 0.5, 300 steps" in repr(facts)
    html = facts._repr_html_()
    assert 'aria-label="Over 300 steps' in html
    assert html.count("<polyline") == 4
    assert "nan" not in html
    assert "over a million" in repr(learning_rates("constant", lr=2.2))
    assert "nan" not in learning_rates("constant", lr=2.2, steps=5000)._repr_html_()
    assert learning_rates("poly", 1)._repr_html_()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"lr": 0.0}, "lr must be"),
        ({"lr": math.inf}, "lr must be"),
        ({"schedule": "cosine"}, "schedule must be 'poly', 'step' or 'constant', got 'cosine'"),
        ({"schedule": "constant", "steps": 0}, "steps must be >= 1"),
        ({"steps": 10, "warmup_steps": 10}, "warmup_steps"),
        ({"schedule": "step", "warmup_steps": 3}, "warmup_steps must be 0 for 'step'"),
        ({"schedule": "step", "gamma": 0.0}, "gamma"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learning_rates(**arguments)  # type: ignore[arg-type]


def test_the_explorer_reacts(monkeypatch: pytest.MonkeyPatch) -> None:
    import ipywidgets

    shown: list[dict[str, str]] = []
    monkeypatch.setattr(rate_explorer, "put", shown.append)
    made: list[ipywidgets.Widget] = []
    ipywidgets.Widget.on_widget_constructed(made.append)
    try:
        rate_explorer.learning_rate_explorer()
    finally:
        ipywidgets.Widget.on_widget_constructed(None)
    live, still = shown
    assert "application/vnd.jupyter.widget-view+json" in live
    assert "<svg" in still["text/html"]
    assert still["text/plain"].startswith("poly: power 0.9, rate 0.5, 300 steps")
    (page,) = (widget for widget in made if isinstance(widget, ipywidgets.HTML))
    by_name = {widget.description: widget for widget in made if hasattr(widget, "description")}
    by_name["warmup_steps"].value = 50
    assert "after 50 steps of warm-up" in page.value
    by_name["schedule"].value = "step"
    assert "step: × 0.1 every 100 steps" in page.value
    by_name["schedule"].value = "constant"
    by_name["lr"].value = 2.1
    assert "over a million" in page.value

"""What a learning-rate schedule does: its rates, and how far they bring a walker in a valley."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from seglib.schedules import poly, step_decay
from seglib.teach._html import block, escape, table

Kind = Literal["poly", "step", "constant"]
# The valley: steep across, flat along; a walker starts this far from its lowest point in each
# direction, and each step's slope is measured with noise of this standard deviation.
CURVATURES = (1.0, 0.02)
START = 10.0
NOISE = 1.0
_WIDTH, _HEIGHT, _LEFT, _TOP = 330, 150, 64, 22  # of a panel, in pixels
_BLUE, _VERMILION, _ORANGE, _GREEN = "#0072b2", "#d55e00", "#e69f00", "#009e73"
_HIGHEST = 1e6  # a loss beyond it is drawn at this height
_FAR = 1e100  # no walker is further away: squares stay finite


@dataclass(frozen=True)
class Walk:
    """The loss that is expected after each step, and its two parts.

    Attributes:
        way: what is left of the way to the lowest point.
        jitter: what the noise of the last steps adds.
    """

    way: tuple[float, ...]
    jitter: tuple[float, ...]

    @property
    def loss(self) -> tuple[float, ...]:
        """Both together."""
        return tuple(a + b for a, b in zip(self.way, self.jitter, strict=True))


@dataclass(frozen=True, repr=False)
class RateFacts:
    """A schedule, step by step; shows itself as two curves and a table.

    Attributes:
        title: the schedule in words.
        lr: the rate that a factor of 1 stands for.
        rates: the learning rate of each step.
        walk: where they lead in the valley.
    """

    title: str
    lr: float
    rates: tuple[float, ...]
    walk: Walk

    @property
    def mean_factor(self) -> float:
        """The rates' mean, as a share of `lr`: how much of a constant rate's way is gone."""
        return sum(self.rates) / len(self.rates) / self.lr

    @property
    def half_step(self) -> int | None:
        """The first step after the highest rate that has half of it or less; None if none has."""
        peak = max(self.rates)
        first = self.rates.index(peak)
        after = (n for n, rate in enumerate(self.rates) if n > first and rate <= peak / 2)
        return next(after, None)

    def _rows(self) -> list[tuple[str, str]]:
        half = self.half_step
        way, jitter = self.walk.way[-1], self.walk.jitter[-1]
        return [
            ("first rate", _short(self.rates[0])),
            ("last rate", _short(self.rates[-1])),
            ("half of the highest rate at step", "–" if half is None else str(half)),
            ("mean rate, share of a constant one", f"{self.mean_factor:.2f}"),
            ("loss at the end", _short(way + jitter)),
            ("… of it: way not gone", _short(way)),
            ("… of it: jitter", _short(jitter)),
        ]

    def __repr__(self) -> str:
        return "\n".join([self.title, *(f"  {name:<36} {value}" for name, value in self._rows())])

    def _repr_html_(self) -> str:
        last, walk = len(self.rates), self.walk
        way, jitter, both = (
            [math.log10(min(max(value, 1e-6), _HIGHEST)) for value in part]
            for part in (walk.way, walk.jitter, walk.loss)
        )
        low, high = min(-2, math.floor(min(both))), max(1, math.ceil(max(both)))
        rate = _panel(
            "learning rate", (0, self.lr), ("0", _short(self.lr)), last,
            [(self.rates, "", _VERMILION)],
        )  # fmt: skip
        loss = _panel(
            "loss: — all  - - way  ··· jitter", (low, high), (f"{10**low:g}", f"{10**high:,}"),
            last, [(way, "7 4", _ORANGE), (jitter, "2 3", _GREEN), (both, "", _BLUE)],
        )  # fmt: skip
        text = f"Over {last} steps: the learning rate, and the loss in two parts. {self.title}."
        drawing = (
            f'<svg viewBox="0 0 {2 * _WIDTH} {_HEIGHT}" role="img" aria-label="{escape(text)}" '
            f'style="width:100%;max-width:{2 * _WIDTH}px;height:auto;display:block">'
            f'{rate}<g transform="translate({_WIDTH} 0)">{loss}</g></svg>'
        )
        rows = [(escape(name), escape(value)) for name, value in self._rows()]
        content = (
            f'<p style="margin:0 0 4px 0"><strong>{escape(self.title)}</strong></p>{drawing}'
            f"{table(('of the schedule', ''), rows, label='The schedule in numbers', numeric=(1,))}"
        )
        return block(content, label=self.title)


def learning_rates(
    schedule: Kind = "poly",
    steps: int = 300,
    lr: float = 0.5,
    power: float = 0.9,
    warmup_steps: int = 0,
    step_size: int = 100,
    gamma: float = 0.1,
) -> RateFacts:
    """The rate of each step, from the library's schedules, and the walk that follows from it.

    Args:
        schedule: "poly" (with `power`), "step" (with `step_size` and `gamma`), or "constant"; the
            warm-up goes before "poly" and "constant".
        steps: how many, ≥ 1.
        lr: the highest rate, > 0.
        power, warmup_steps, step_size, gamma: as in `seglib.schedules`.
    Raises:
        ValueError: if an argument is out of its range.
    """
    if not (lr > 0 and math.isfinite(lr)):
        raise ValueError(f"lr must be a finite number > 0, got {lr}")
    if schedule not in ("poly", "step", "constant"):
        raise ValueError(f"schedule must be 'poly', 'step' or 'constant', got {schedule!r}")
    if schedule == "step":
        if warmup_steps:
            raise ValueError(f"warmup_steps must be 0 for 'step', got {warmup_steps}")
        factors = [step_decay(step, step_size, gamma) for step in range(steps)]
        words = f"step: × {gamma:g} every {step_size} steps"
    elif schedule == "poly":
        factors = [poly(step, steps, power, warmup_steps) for step in range(steps)]
        words = f"poly: power {power:g}"
    else:
        climbing = [poly(step, steps, power, warmup_steps) for step in range(warmup_steps)]
        factors = climbing + [1.0] * (steps - len(climbing))
        words = "constant"
    if not factors:
        raise ValueError(f"steps must be >= 1, got {steps}")
    after = f" after {warmup_steps} steps of warm-up" if warmup_steps else ""
    rates = tuple(lr * factor for factor in factors)
    return RateFacts(f"{words}{after}, rate {lr:g}, {steps} steps", lr, rates, valley(rates))


def valley(rates: Sequence[float]) -> Walk:
    """The loss ½ Σ h · x² that is expected after each step x ← x − η · (h · x + noise).

    Exact, without a random number: with mean m and variance v of x, a step makes (1 − η h) m of the
    mean and (1 − η h)² v + η² σ² of the variance. Directions with η h > 2 run away.

    Args:
        rates: η of each step.
    """
    means, variances = [START] * len(CURVATURES), [0.0] * len(CURVATURES)
    way, jitter = [], []
    for rate in rates:
        for place, curvature in enumerate(CURVATURES):
            kept = 1 - rate * curvature
            means[place] = min(abs(kept) * means[place], _FAR)
            variances[place] = min(kept**2 * variances[place] + (rate * NOISE) ** 2, _FAR)
        weights = [curvature / 2 for curvature in CURVATURES]
        way.append(sum(w * mean**2 for w, mean in zip(weights, means, strict=True)))
        jitter.append(sum(w * v for w, v in zip(weights, variances, strict=True)))
    return Walk(tuple(way), tuple(jitter))


def _panel(
    title: str,
    limits: tuple[float, float],
    names: tuple[str, str],
    steps: int,
    curves: Sequence[tuple[Sequence[float], str, str]],
) -> str:
    """Curves (values, dashes, colour) and the ends of their scale, as SVG; letters inherit the
    page's colour.
    """
    low, high = limits
    right, bottom = _WIDTH - 14, _HEIGHT - 18

    def x(step: int) -> str:
        return f"{_LEFT + (right - _LEFT) * step / max(1, steps - 1):.1f}"

    def y(value: float) -> str:
        return f"{bottom - (bottom - _TOP) * (max(value, low) - low) / (high - low):.1f}"

    letters = 'font-size="11" fill="currentColor"'
    drawn = []
    for values, dashes, color in curves:
        points = " ".join(f"{x(step)},{y(value)}" for step, value in enumerate(values))
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"{dashed}/>'
        )
    return (
        f'<text x="{_LEFT}" y="13" {letters} font-weight="bold">{escape(title)}</text>'
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="currentColor" '
        'stroke-opacity="0.5"/>'
        f'<text x="{_LEFT - 5}" y="{_TOP + 8}" text-anchor="end" {letters}>{names[1]}</text>'
        f'<text x="{_LEFT - 5}" y="{bottom}" text-anchor="end" {letters}>{names[0]}</text>'
        f'<text x="{right}" y="{_HEIGHT - 4}" text-anchor="end" {letters}>step {steps}</text>'
        f"{''.join(drawn)}"
    )


def _short(value: float) -> str:
    return "over a million" if not value < _HIGHEST else f"{value:.3g}"

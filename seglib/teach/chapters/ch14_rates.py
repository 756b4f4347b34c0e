"""Chapter 14's warm-up and first implementation: the poly schedule's rates and its factor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from seglib.teach.answers import Calls, function_answer, judge_values, real_number
from seglib.teach.probing import explain
from seglib.teach.tasks import NotAttempted, Wrong

# The warm-up: rates of the poly schedule.

_RATE, _TOTAL, _POWER = 0.01, 1000, 0.9
_STEPS = (0, 500, 1000, 1200)


def _prediction() -> tuple[dict[int, object], dict[int, dict[object, str]]]:
    right: dict[int, object] = {step: _RATE * poly(step, _TOTAL, _POWER) for step in _STEPS}
    half = _STEPS[1]
    wrong: dict[int, dict[object, str]] = {step: {} for step in _STEPS}
    wrong[0] = {
        0.0: "rises-instead-of-falls",
        1.0: "factor-instead-of-rate",
        _RATE * _POWER: "power-as-factor",
        _RATE**_POWER: "power-on-the-rate",
        _RATE * (1 - 1 / _TOTAL) ** _POWER: "one-step-off",
    }
    wrong[half] = {
        _RATE * 0.5: "linear-decay",
        _RATE * (1 - 0.5**_POWER): "power-on-progress",
        0.5**_POWER: "factor-instead-of-rate",
        0.5: "factor-instead-of-rate",
        _RATE: "constant-rate",
        _RATE * _POWER: "power-as-factor",
        _RATE * _POWER * 0.5: "power-as-factor",
        (_RATE * 0.5) ** _POWER: "power-on-the-rate",
        _RATE * 0.1: "other-schedule",
        _RATE * (1 - half / (_TOTAL - 1)) ** _POWER: "one-step-off",
        _RATE * (1 - half / (_TOTAL + 1)) ** _POWER: "one-step-off",
        0.0054: "rounded-too-far",
        0.00535: "rounded-too-far",
        0.0053: "rounded-too-far",
    }
    wrong[1000] = {
        _RATE: "constant-rate",
        _RATE * (1 / 1000) ** _POWER: "never-reaches-zero",
        _RATE * _POWER: "power-as-factor",
        _RATE * 0.01: "other-schedule",
    }
    wrong[1200] = {
        _RATE * -0.2: "negative-past-the-end",
        _RATE * -(0.2**_POWER): "negative-past-the-end",
        _RATE * 0.2**_POWER: "rises-past-the-end",
        _RATE * 0.2: "rises-past-the-end",
        _RATE * 0.8**_POWER: "rises-past-the-end",
        _RATE * (1 / 1000) ** _POWER: "never-reaches-zero",
        _RATE: "constant-rate",
    }
    return right, wrong


def judge_prediction(answer: object) -> Iterator[str]:
    """The stages of `14.predict_lr`."""

    def convert(step: int, value: object) -> float:
        past = isinstance(step, int) and step > _TOTAL
        if past and (
            isinstance(value, complex) or (isinstance(value, float) and math.isnan(value))
        ):
            raise Wrong("complex-past-the-end", f"Look at {step} again.")
        return real_number(value)

    def equal(value: object, known: object) -> bool:
        assert isinstance(value, float)
        assert isinstance(known, float)
        return abs(value - known) <= 0.0004 * abs(known) + 1e-12  # 0.00536 is 0.0002 off

    yield from judge_values(answer, *_prediction(), convert=convert, equal=equal)


# Implement: the poly factor.


def poly(step: int, total: int, power: float = 0.9) -> float:
    """(1 − step / total)^power, 0 past the end."""
    return float(max(0.0, 1 - step / total) ** power)


def _left(step: int, total: int) -> float:
    return max(0.0, 1 - step / total)


# What known mistakes give up to the end; past it they may do anything, and are then told by that.
_UNTIL_THE_END: tuple[tuple[str, Callable[[int, int, float], float]], ...] = (
    ("never-reaches-zero", lambda s, t, p: (1 - s / (t + 1)) ** p),
    ("zero-one-step-early", lambda s, t, p: _left(s + 1, t) ** p),
    ("zero-one-step-early", lambda s, t, p: _left(s, t - 1) ** p),
    ("linear-decay", lambda s, t, p: 1 - s / t),
    ("power-on-progress", lambda s, t, p: 1 - (s / t) ** p),
    ("power-inverted", lambda s, t, p: (1 - s / t) ** (1 / p)),
    ("power-as-factor", lambda s, t, p: (1 - s / t) * p),
    ("power-as-factor", lambda s, t, p: 1 - p * s / t),
    ("power-ignored", lambda s, t, p: (1 - s / t) ** 0.9),
    ("rises-instead-of-falls", lambda s, t, p: (s / t) ** p),
    ("integer-division", lambda s, t, p: (1 - s // t) ** p),
    ("never-falls", lambda s, t, p: 1.0),
    ("never-falls", lambda s, t, p: 0.0),
    ("other-schedule", lambda s, t, p: (1 + math.cos(math.pi * s / t)) / 2),
    ("other-schedule", lambda s, t, p: ((1 + math.cos(math.pi * s / t)) / 2) ** p),
    ("other-schedule", lambda s, t, p: p**s),
    ("other-schedule", lambda s, t, p: math.exp(-p * s / t)),
)

_QUESTIONS = [
    (step, total, power)
    for total in (10, 90, 400)
    for power in (0.9, 2.0, 1.0)
    for step in (0, 1, total // 3, total - 1, total, total + 1, 2 * total)
]


def judge_factor(answer: object) -> Iterator[str]:
    """The stages of `14.poly_factor`."""
    yield "shape"
    function = function_answer(answer, 3)
    calls = Calls()
    found = [_ask(calls, function, *question) for question in _QUESTIONS]
    if all(value is None for value in found):
        raise Wrong("wrong-type", "It returns None: is there a return?")
    yield "dtype"
    numbers = [
        _number(value, step > total)
        for value, (step, total, _) in zip(found, _QUESTIONS, strict=True)
    ]
    yield "values"
    _judge_range(numbers)
    _judge_past_the_end(numbers)
    for total in (0, -3):
        try:
            with calls.watch():
                function(2, total, 0.9)
        except ValueError:
            continue
        except (Wrong, NotAttempted):
            raise
        except Exception as error:
            raise Wrong("wrong-exception", explain(error)) from None
        raise Wrong("accepts-no-steps")
    for step in (0, 1):
        try:
            with calls.watch():
                shortest = function(step, 1, 0.9)
        except ValueError as error:
            raise Wrong("refuses-one-step", explain(error)) from None
        except (Wrong, NotAttempted):
            raise
        except Exception as error:
            raise Wrong("raised-exception", f"At step {step} of 1: {explain(error)}") from None
        if not _equal(_number(shortest, False), 1.0 - step):
            raise Wrong("wrong-values", f"Look at step {step} of 1 with power 0.9.")


def _ask(
    calls: Calls, function: Callable[..., object], step: int, total: int, power: float
) -> object:
    """The answer's value; what Python raises at a negative base is the mistake, not an accident."""
    try:
        with calls.watch():
            return function(step, total, power)
    except (Wrong, NotAttempted):
        raise
    except NotImplementedError:
        raise NotAttempted from None
    except Exception as error:
        text = explain(error)
        where = f"At step {step} of {total}: {text}"
        if step > total and ("complex" in text or "math domain" in text or "nonnegative" in text):
            raise Wrong("complex-past-the-end", where) from None
        if step >= total:
            raise Wrong("refuses-past-the-end", where) from None
        if step == 0 and isinstance(error, ZeroDivisionError):
            raise Wrong("step-and-total-swapped", where) from None
        raise Wrong("raised-exception", where) from None


def _number(value: object, past: bool) -> float | None:
    """`value` as a float; None for what a negative base with a fractional power gives."""
    if past and isinstance(value, complex):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        return real_number(value)  # says what is wrong with it
    return None if past and math.isnan(number) else real_number(value)


def _equal(a: float | None, b: float) -> bool:
    """Equal up to single precision; a 0 is exact."""
    return a is not None and abs(a - b) <= (1e-6 if b else 1e-12)


def _judge_range(numbers: list[float | None]) -> None:
    """Up to and including the end."""
    inside = [
        (number, question)
        for number, question in zip(numbers, _QUESTIONS, strict=True)
        if question[0] <= question[1]
    ]
    wrong = [question for number, question in inside if not _equal(number, poly(*question))]
    if not wrong:
        return
    for slug, formula in _UNTIL_THE_END:
        if all(_equal(number, formula(*question)) for number, question in inside):
            raise Wrong(slug)
    if all(step == total for step, total, _ in wrong):
        raise Wrong("never-reaches-zero", f"Look at step {wrong[0][0]} of {wrong[0][1]}.")
    for digits in range(1, 6):
        if all(_equal(number, round(poly(*question), digits)) for number, question in inside):
            raise Wrong("rounded")
    step, total, power = wrong[0]
    raise Wrong("wrong-values", f"Look at step {step} of {total} with power {power}.")


def _judge_past_the_end(numbers: list[float | None]) -> None:
    past = [
        (number, question)
        for number, question in zip(numbers, _QUESTIONS, strict=True)
        if question[0] > question[1] and not _equal(number, 0.0)
    ]
    if not past:
        return
    if any(number is None for number, _ in past):
        raise Wrong("complex-past-the-end")
    number, (step, total, power) = past[0]
    where = f"It is {number:.3g} at step {step} of {total} with power {power}."
    negative = any(number is not None and number < 0 for number, _ in past)
    raise Wrong("negative-past-the-end" if negative else "rises-past-the-end", where)

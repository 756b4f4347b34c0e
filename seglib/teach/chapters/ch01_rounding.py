"""Chapter 01's rounding: how it goes right, how it goes wrong, and the judge of an own one."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from itertools import combinations
from types import FrameType

from seglib.teach.answers import Calls, accepts, function_answer
from seglib.teach.ownership import LIBRARIES, own_work
from seglib.teach.probing import explain
from seglib.teach.tasks import Wrong

Question = tuple[float, int, int | None]

# What can go wrong with the multiple, the rule and the rest, in the order in which two mistakes at
# once are named.
_PARTS = (
    (
        "divisor-hard-coded",
        "divisor-hard-coded later",
        "divisor-hard-coded half",
        "not-multiplied-back",
        "floor-instead-of-nearest",
        "ceil-instead-of-nearest",
        "rounds-half-to-even",
        "half-rounds-down",
        "half-divisor-truncated",
    ),
    (
        "rule-forgotten",
        "rule-compares-backwards",
        "rule-compares-backwards flipped",
        "rule-on-gains",
        "rule-on-truncated-value",
        "rule-on-truncated-value everywhere",
        "rule-on-truncated-value to nearest",
        "rule-on-truncated-value upwards",
        "rule-includes-the-limit",
        *(f"rule-at-another-limit {limit}" for limit in (700, 800, 950)),
        "rule-at-another-limit divisor",
    ),
    (
        "doubled-instead-of-added",
        "rule-subtracts",
        "rule-adds-one",
        "rule-adds-eight",
        "rule-adds-min-value",
    ),
    (
        "min-value-ignored",
        "min-instead-of-max",
        "divisor-hard-coded minimum",
        "divisor-hard-coded minimum last",
    ),
)
_LIMITS = (909, *range(500, 1000, 5))  # thousandths, other than 900


def rounded(
    value: float, divisor: int = 8, min_value: int | None = None, mistakes: Sequence[str] = ()
) -> int:
    """The channel count for `value`; with `mistakes`, as those give it."""
    if "divisor-hard-coded" in mistakes:
        divisor = 8
    usual = 8 if "divisor-hard-coded minimum" in mistakes else divisor
    least = usual if min_value is None else min_value
    if "divisor-hard-coded later" in mistakes:
        divisor = 8
    if "rule-on-truncated-value everywhere" in mistakes:
        value = int(value)
    if "rule-on-truncated-value to nearest" in mistakes:
        value = round(value)
    result = multiple(value, divisor, mistakes)
    if "min-instead-of-max" in mistakes:
        result = min(least, result)
    elif "min-value-ignored" not in mistakes:
        result = max(least, result)
    if _too_small(result, value, divisor, mistakes):
        if "doubled-instead-of-added" in mistakes:
            result *= 2
        elif "rule-subtracts" in mistakes:
            result -= divisor
        elif "rule-adds-one" in mistakes:
            result += 1
        elif "rule-adds-eight" in mistakes:
            result += 8
        else:
            result += least if "rule-adds-min-value" in mistakes else divisor
    if "divisor-hard-coded minimum last" in mistakes and min_value is None:
        result = max(8, result)
    return result // divisor if "not-multiplied-back" in mistakes else result


def multiple(value: float, divisor: int, mistakes: Sequence[str] = ()) -> int:
    """The nearest multiple of `divisor`, a half upwards, or as a mistake takes it."""
    if "floor-instead-of-nearest" in mistakes:
        return math.floor(value / divisor) * divisor
    if "ceil-instead-of-nearest" in mistakes:
        return math.ceil(value / divisor) * divisor
    if "rounds-half-to-even" in mistakes:
        return round(value / divisor) * divisor
    if "half-rounds-down" in mistakes:
        return math.ceil(value / divisor - 0.5) * divisor
    half = divisor // 2 if "half-divisor-truncated" in mistakes else divisor / 2
    half = 4 if "divisor-hard-coded half" in mistakes else half
    return int(value + half) // divisor * divisor


def _too_small(result: int, value: float, divisor: int, mistakes: Sequence[str]) -> bool:
    if "rule-forgotten" in mistakes:
        return False
    if "rule-compares-backwards" in mistakes:
        return value < 0.9 * result
    if "rule-compares-backwards flipped" in mistakes:
        return result > 0.9 * value
    if "rule-on-gains" in mistakes:
        return abs(result - value) > 0.1 * value
    if "rule-on-truncated-value" in mistakes:
        value = int(value)
    if "rule-on-truncated-value upwards" in mistakes:
        value = math.ceil(value)
    if "rule-at-another-limit divisor" in mistakes:
        return value - result > 0.1 * divisor
    if "rule-includes-the-limit" in mistakes:
        return result <= 0.9 * value
    limit = 0.9
    for mistake in mistakes:
        if mistake.startswith("rule-at-another-limit "):
            limit = int(mistake.split()[1]) / 1000
    return result < limit * value


@cache
def questions() -> tuple[Question, ...]:
    """(value, divisor, min_value): where every mistake shows, away from the edges of rounding."""
    plain = [*range(1, 90), 100, 117, 140, 180, 233, 300, 500, 1000, 1001, 1280]
    widths = [
        c * percent / 100
        for c in (16, 24, 32, 64, 96, 160, 320)
        for percent in (10, 25, 35, 50, 56, 75, 130, 140)
    ]
    found: list[Question] = [(value, 8, None) for value in (*plain, *widths)]
    others = (0.4, 1.7, 3, 7, 9, 12.5, 13, 18.2, 22, 26.9, 30, 37.6, 43, 52, 71, 86.4, 150)
    found += [(value, divisor, None) for value in others for divisor in (4, 16, 10)]
    found += [(value, 5, None) for value in (1, 2.5, 7.5, 27.5, 33, 47.5, 102.5)]
    found += [(10, 3, None), (10, 9, None), (20, 9, None)]  # exactly 90 % is left
    found += [(101, 90, None), (1001, 900, None)]  # a little less
    found += [
        (value, divisor, least)
        for value in (3, 9, 11, 18.2, 19, 27, 30, 45, 100)
        for divisor, least in ((8, 8), (8, 16), (8, 32), (4, 16), (16, 48))
    ]
    return tuple(found)


@cache
def _behaviours() -> tuple[tuple[str, tuple[int, ...]], ...]:
    """(slug, results) of every mistake, and of every two at once."""
    singles = [(mistake,) for part in _PARTS for mistake in part]
    singles += [(f"rule-at-another-limit {limit}",) for limit in _LIMITS if limit != 900]
    pairs = [(a, b) for one, other in combinations(_PARTS, 2) for a in one for b in other]
    right = tuple(rounded(*question) for question in questions())
    found = []
    for mistakes in (*singles, *pairs):
        results = tuple(rounded(*question, mistakes) for question in questions())
        zero = {"rule-forgotten", "min-value-ignored"} == set(mistakes)
        if results != right:  # a limit of 0.905 shows in none of the questions
            found.append(("zero-channels" if zero else mistakes[0].split()[0], results))
    return tuple(found)


class OwnCalls(Calls):
    """As `Calls`; and here a library's make_divisible is the answer itself, not a small helper."""

    def watch(self) -> AbstractContextManager[None]:
        return _own_rounding()


@contextmanager
def _own_rounding() -> Iterator[None]:
    seen: list[str] = []
    with own_work():
        before = sys.getprofile()

        def profile(frame: FrameType, event: str, argument: object) -> None:
            code = frame.f_code
            if event == "call" and code.co_name.endswith("make_divisible"):
                root = str(frame.f_globals.get("__name__", "")).split(".")[0]
                seen.extend([code.co_name] if root in LIBRARIES else [])
            if before is not None and code.co_filename != __file__:
                before(frame, event, argument)  # type: ignore[arg-type]

        sys.setprofile(profile)
        try:
            yield
        finally:
            sys.setprofile(before)
    if seen:
        raise Wrong("not-your-own")


def judge(answer: object) -> Iterator[str]:
    """The stages of `01.make_divisible`."""
    yield "shape"
    function = function_answer(answer, 3)
    calls = OwnCalls()
    found = [calls(function, *question) for question in questions()]
    if all(value is None for value in found):
        raise Wrong("wrong-type", "It returns None: is there a return?")
    yield "dtype"
    numbers = tuple(_channels(value) for value in found)
    yield "values"
    right = tuple(rounded(*question) for question in questions())
    if numbers != right:
        raise Wrong(_name(numbers), _example(numbers, right))
    _judge_defaults(function, calls)
    _judge_refusal(function, calls)


def _channels(value: object) -> int:
    if isinstance(value, bool):
        raise Wrong("wrong-dtype", "A channel count is asked for, got a bool.")
    if isinstance(value, float):
        raise Wrong("float-instead-of-int" if value.is_integer() else "not-a-multiple")
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        kind = type(value).__name__
        raise Wrong("wrong-dtype", f"A channel count is asked for, got {kind}.") from None


def _name(numbers: tuple[int, ...]) -> str:
    """The slug of the first mistake that gives these numbers, else of what is wrong with them."""
    for slug, results in _behaviours():
        if numbers == results:
            return slug
    asked = tuple(zip(numbers, questions(), strict=True))
    if any(number % divisor for number, (_, divisor, _) in asked if divisor == 8):
        return "not-a-multiple"
    if any(number <= 0 for number, _ in asked):
        return "zero-channels"
    if any(number % divisor for number, (_, divisor, _) in asked):
        return "not-a-multiple"
    if any(least is not None and number < least for number, (_, _, least) in asked):
        return "min-value-ignored"
    if any(number < 0.9 * value - 1e-9 for number, (value, _, _) in asked):
        return "rule-forgotten"
    return "wrong-values"


def _example(numbers: tuple[int, ...], right: tuple[int, ...]) -> str:
    place = next(place for place, pair in enumerate(zip(numbers, right, strict=True))
                 if pair[0] != pair[1])  # fmt: skip
    value, divisor, least = questions()[place]
    return f"With ({value:g}, {divisor}, {least}): expected {right[place]}, got {numbers[place]}."


def _judge_defaults(function: Callable[..., object], calls: Calls) -> None:
    for given in ((3, 4), (12, 5), (3,), (12,), (52,)):
        if not accepts(function, given, {}):
            continue  # the exercise's signature has defaults, but they are no part of the rounding
        try:
            number = calls(function, *given)
        except Wrong as wrong:
            raise Wrong("wrong-default", wrong.detail) from None
        if number != rounded(*given):
            raise Wrong("wrong-default", f"With {given}: expected {rounded(*given)}, got {number}.")


def _judge_refusal(function: Callable[..., object], calls: Calls) -> None:
    for question in ((5, 4, 12), (7, 5, 15)):  # multiples of the divisor, but not of 8
        try:
            fits = calls(function, *question) == question[2]
        except Wrong as wrong:
            raise Wrong("divisor-hard-coded", wrong.detail) from None
        if not fits:
            raise Wrong("wrong-values", "With ({}, {}, {}).".format(*question))
    for question in ((5, 8, 31), (50, 8, 31), (5, 8, 12), (5, 8, 4), (5, 16, 24), (3, 5, 8)):
        try:
            with calls.watch():
                function(*question)
        except ValueError:
            continue
        except Wrong:
            raise
        except Exception as error:
            raise Wrong("wrong-exception", explain(error)) from None
        raise Wrong("accepts-odd-minimum", "With ({}, {}, {}).".format(*question))

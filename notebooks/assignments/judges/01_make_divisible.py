"""Judge of assignment 01: a rounding rule, a network's widths, a table of measured times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

from seglib.classroom import Call, Draw, Item, Mistake, Part, telling

SOME_WIDTHS = (16, 24, 40, 48, 64, 96, 112, 160, 192, 320)
Make = Callable[..., Callable[..., object]]


def parameters(draw: Draw) -> dict[str, object]:
    divisor = draw.integer(5, 14)
    keep = draw.choice([share / 1000 for share in range(821, 930) if not 896 < share < 904])
    given = SimpleNamespace(
        divisor=divisor,
        keep=keep,
        smallest=divisor * draw.integer(2, 3),
        stem_divisor=draw.choice([own for own in range(3, 10) if own != divisor]),
        wide_from=draw.decimal(1.05, 1.60),
        head=draw.integer(90, 200) * divisor + draw.integer(1, divisor - 1),
        slack=draw.decimal(3, 30, digits=1),
        step=draw.integer(5, 12),
    )
    usual = next(v for v in range(6 * divisor, 30 * divisor) if _steps_up(given, v) is False)
    rescued = next(v for v in range(given.smallest + 1, 9999) if _steps_up(given, v))
    given.usual, given.usual_result = usual + 0.5, round_channels(given)(usual + 0.5)
    given.rescued, given.rescued_result = rescued, round_channels(given)(rescued)
    given.few_widths = draw.sample(SOME_WIDTHS, 3)
    given.few_result = network_widths(given)(given.few_widths, 0.75)
    return vars(given)


def _steps_up(given: SimpleNamespace, value: int) -> bool | None:
    """Whether the rule gives up on rounding down; None at a multiple."""
    low = value // given.divisor * given.divisor
    return None if low == value else low < given.keep * value


def round_channels(given: SimpleNamespace, *, mistake: str = "") -> Callable[[float], int]:
    """The rule: down to a multiple, up again below a share, never below the smallest."""

    def rule(value: float) -> int:
        if value <= 0 and mistake != "accepts-nonpositive":
            raise ValueError(f"value is {value}, must be above 0")
        low = int(value // given.divisor) * given.divisor
        if mistake == "rounds-to-nearest":
            low = int(value / given.divisor + 0.5) * given.divisor
        elif mistake == "rounds-up":
            low = -int(-value // given.divisor) * given.divisor
        elif mistake == "truncates-first":
            value = int(value)
        share = 0.9 if mistake == "share-of-the-library" else given.keep
        if mistake != "share-forgotten" and low < share * value:
            low += given.divisor
        if mistake == "smallest-forgotten":
            return max(low, given.divisor)
        if mistake == "smallest-added":
            return low if low >= given.smallest else low + given.smallest
        return max(low, given.smallest)

    return rule


def network_widths(
    given: SimpleNamespace, *, mistake: str = ""
) -> Callable[[Sequence[int], float], list[int]]:
    """Widths of a network: the first by a divisor of its own, the head only ever grows."""

    def rule(value: float) -> int:
        count = value / given.divisor
        return max(1, int(count if mistake == "cuts-down" else count + 0.5)) * given.divisor

    def widths(base: Sequence[int], width_mult: float) -> list[int]:
        own = given.divisor if mistake == "stem-by-the-same-rule" else given.stem_divisor
        first = max(own, int(base[0] * width_mult // own) * own)
        if mistake == "stem-not-scaled":
            first = base[0]
        scaled = [c * width_mult for c in base[1:]]
        rest = [rule(value) for value in scaled]
        grows = width_mult > given.wide_from
        if mistake == "head-grows-from-one":
            grows = width_mult > 1
        elif mistake == "head-always-scaled":
            grows = True
        elif mistake == "head-at-the-threshold":
            grows = width_mult >= given.wide_from
        head = rule(given.head * width_mult) if grows else given.head
        if mistake == "smallest-forgotten":
            rest = [
                0 if c < given.divisor / 2 else width for c, width in zip(scaled, rest, strict=True)
            ]
        if mistake == "head-forgotten":
            return [first, *rest]
        if mistake == "rounds-the-fixed-head" and not grows:
            head = rule(given.head)
        return [first, *rest, head]

    return widths


def widest_within(
    given: SimpleNamespace, *, mistake: str = ""
) -> Callable[[int, Mapping[int, float]], int]:
    """The widest multiple of `step` that costs little more than the width that was asked for."""

    def choose(wanted: int, times: Mapping[int, float]) -> int:
        slack = 1 + given.slack / (1 if mistake == "percent-as-share" else 100)
        limit = times[wanted] * slack
        candidates = [
            width
            for width in times
            if (width % given.step == 0 or mistake == "any-width")
            and (width >= wanted or mistake == "narrower-too")
            and (times[width] < limit if mistake == "limit-excluded" else times[width] <= limit)
        ]
        if mistake == "first-past-the-limit":  # stops where a width is too slow
            candidates = []
            for width in sorted(w for w in times if w >= wanted and w % given.step == 0):
                if times[width] > limit:
                    break
                candidates.append(width)
        if mistake == "fastest" and candidates:
            return min(candidates, key=lambda width: times[width])
        if mistake == "narrowest" and candidates:
            return min(candidates)
        if not candidates and mistake == "fails-without-a-candidate":
            raise ValueError("no width")
        return max(candidates, default=wanted)

    return choose


def _width(given: SimpleNamespace, draw: Draw) -> float:
    """A width, often a small one, where the share turns the rule."""
    count = given.smallest // given.divisor + draw.choice([0, 0, 1, draw.integer(3, 60)])
    if draw.choice([True, False]):  # just past the turn
        return round(count * given.divisor / given.keep + draw.decimal(0.01, 0.5), 3)
    return count * given.divisor + draw.decimal(0, given.divisor - 1)


def _timing(given: SimpleNamespace, draw: Draw) -> tuple[int, dict[int, float]]:
    """A width, and measured milliseconds in random order, neither even nor rising."""
    widths = list(range(given.step * 4, given.step * 14))
    times = {width: round(1 + 0.002 * width + 0.4 * draw.decimal(0, 1), 4) for width in widths}
    wanted = draw.choice(widths[: len(widths) // 2])
    return wanted, {width: times[width] for width in draw.sample(widths, len(widths))}


def _network(draw: Draw) -> tuple[list[int], float]:
    factor = draw.choice([0.5, 0.75, 1.0, draw.decimal(1.01, 1.04), draw.decimal(1.7, 2.5)])
    return draw.sample(range(8, 320), draw.integer(2, 6)), factor


def _known(make: Make, hints: Mapping[str, str], given: SimpleNamespace) -> dict[str, Mistake]:
    return {slug: Mistake(hint, make(given, mistake=slug)) for slug, hint in hints.items()}


def items(given: SimpleNamespace, draw: Draw) -> list[Item]:
    small = [
        1,
        0.3,
        given.divisor,
        given.smallest - 0.5,
        given.smallest,
        given.divisor * 40,
        1e6,
    ]
    limits = [
        ([40, 56, 9], given.wide_from),
        ([8, 6], 0.3),
        ([24, 7], given.wide_from + 0.01),
    ]
    edge = given.smallest / given.keep
    small += [round(edge - 0.01, 3), round(edge + 0.01, 3)]
    exact = {given.step * k: 1.0 + given.slack / 100 * (k >= 9) for k in range(4, 10)}
    exact[given.step * 10] = exact[given.step * 9] + 0.0005
    alone = {given.step * 4 + 1: 1.0, given.step * 5: 9.0, given.step * 4: 0.5}
    ends = [(given.step * 4, exact), (given.step * 4 + 1, alone)]

    def width() -> Call:
        return Call((_width(given, draw),))

    def network() -> Call:
        return Call(_network(draw))

    def timing() -> Call:
        return Call(_timing(given, draw))

    rounding = Item(
        "round_channels",
        round_channels(given),
        (
            Part("ordinary widths", 2, tuple(width() for _ in range(12))),
            Part("small and exact widths", 1, tuple(Call((value,)) for value in small)),
            Part("widths that can't be", 1, (Call((0,)), Call((-3,)), Call((-0.5,)))),
        ),
        _known(round_channels, ROUNDING, given),
    )
    scaling = Item(
        "network_widths",
        network_widths(given),
        (
            Part("ordinary multipliers", 2, tuple(network() for _ in range(6))),
            Part("the head's threshold, tiny networks", 1, tuple(map(Call, limits))),
        ),
        _known(network_widths, WIDTHS, given),
    )
    choosing = Item(
        "widest_within",
        widest_within(given),
        (
            Part("measured times", 2, tuple(timing() for _ in range(6))),
            Part("a time at the limit, and nothing to choose", 1, tuple(map(Call, ends))),
        ),
        _known(widest_within, CHOOSING, given),
    )
    return [
        telling(rounding, width),
        telling(scaling, network),
        telling(choosing, timing),
    ]


ROUNDING = {
    "rounds-to-nearest": "It rounds to the nearest multiple; this rule rounds down first.",
    "rounds-up": "It rounds up; this rule rounds down, and steps up only below the share.",
    "truncates-first": "It cuts the value to an integer before the share is compared.",
    "share-of-the-library": "It keeps 90 %, as the chapter's rule does; the share here differs.",
    "share-forgotten": "It never steps up: widths just below a multiple lose more than allowed.",
    "smallest-forgotten": "Small widths fall below the smallest one that is allowed.",
    "smallest-added": "Small widths get the smallest added; they should become the smallest.",
    "accepts-nonpositive": "A width of 0 or below must be a ValueError.",
}
WIDTHS = {
    "stem-by-the-same-rule": "The first width has a divisor of its own.",
    "stem-not-scaled": "The first width is scaled, too.",
    "cuts-down": "The other widths go to the nearest multiple; these are cut down.",
    "smallest-forgotten": "A width may not vanish: one multiple is the least.",
    "head-grows-from-one": "The head grows from the threshold in the text on, not from 1.",
    "head-always-scaled": "The head keeps its width below the threshold.",
    "head-at-the-threshold": "At the threshold itself the head keeps its width.",
    "head-forgotten": "The head's width is missing at the end.",
    "rounds-the-fixed-head": "Where the head is not scaled, it is not rounded either.",
}
CHOOSING = {
    "percent-as-share": "The slack is in percent.",
    "any-width": "Widths that are no multiple of the step come out.",
    "narrower-too": "It may give a width below the one that was wanted.",
    "limit-excluded": "A time equal to the limit is still within it.",
    "first-past-the-limit": "It stops at the first width that is too slow; wider ones may be fast.",
    "fastest": "It chooses the fastest; the widest that is fast enough is asked for.",
    "narrowest": "It chooses the narrowest that fits.",
    "fails-without-a-candidate": "Where nothing fits, the wanted width itself is the answer.",
}

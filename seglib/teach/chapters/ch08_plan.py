"""Chapter 08's extension: the stages of Panoptic FPN's branches, for maps of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from seglib.teach.answers import Calls, function_answer, whole_number
from seglib.teach.tasks import MISTAKES_OF, Wrong

Size = tuple[int, int]
Stage = tuple[int, int, Size, Size]
Plan = list[list[Stage]]

QUESTIONS: tuple[tuple[tuple[Size, ...], int, int], ...] = (
    (((25, 17), (13, 9), (7, 5), (4, 3)), 64, 32),
    (((32, 48), (16, 24), (8, 12), (4, 6)), 256, 128),
    (((33, 47), (17, 24), (17, 24), (17, 24)), 48, 96),  # held at output stride 8
    (((40, 9), (11, 5), (6, 5)), 16, 64),
    (((7, 8),), 32, 64),
    (((65, 65), (33, 33), (17, 17), (9, 9), (5, 5)), 20, 32),
)
_MISTAKES = tuple(MISTAKES_OF["08.branch_plan"])


def plan(sizes: Sequence[Size], fpn_channels: int, head_channels: int, mistake: str = "") -> Plan:
    """The stages of every branch; with `mistake`, as that mistake gives them."""
    branches: Plan = []
    for level in range(len(sizes)):
        path = [sizes[level], *reversed(sizes[:level])]  # from the level up to the first
        if level == 0:
            path = [sizes[0], sizes[0]]
        if mistake == "first-branch-empty" and level == 0:
            path = path[:1]
        elif mistake == "first-branch-climbs" and level == 0:
            path = [sizes[0], (2 * sizes[0][0], 2 * sizes[0][1])]
        elif mistake == "one-stage-too-many" and level:
            path.insert(0, sizes[level])
        elif mistake == "one-leap":
            path = [path[0], path[-1]]
        elif mistake == "stops-one-level-short" and level:
            path = path[:-1]
        elif mistake == "held-level-skipped" and level:
            path = [path[0], *(b for a, b in pairwise(path) if a != b)]
        elif mistake == "fixed-factor" and level:
            height, width = sizes[level]
            path = [(height << step, width << step) for step in range(level + 1)]
        stages: list[Stage] = []
        for step, (before, after) in enumerate(pairwise(path)):
            last = step == len(path) - 2
            first_in = step == 0 or mistake in ("in-channels-not-updated", "reduced-at-the-end")
            late = mistake == "reduced-at-the-end" and not last
            stages.append(
                (
                    fpn_channels if first_in else head_channels,
                    fpn_channels if late else head_channels,
                    after if mistake == "enlarged-before-convolution" else before,
                    after,
                )
            )
        branches.append(stages)
    return branches[::-1] if mistake == "reversed-list" else branches


def judge(answer: object) -> Iterator[str]:
    """The stages of `08.branch_plan`."""
    yield "shape"
    function = function_answer(answer, 3)
    calls = Calls()
    found: list[list[list[Sequence[object]]]] = []
    for sizes, fpn_channels, head_channels in QUESTIONS:
        given = list(sizes)
        branches = calls(function, given, fpn_channels, head_channels)
        if given != list(sizes):
            raise Wrong("changes-sizes")
        found.append(_lists(branches, len(sizes), len(set(sizes))))
    yield "dtype"
    given_plans = [
        [[_stage(stage) for stage in branch] for branch in branches] for branches in found
    ]
    yield "values"
    right = [plan(*question) for question in QUESTIONS]
    if given_plans == right:
        return
    for slug in _MISTAKES:
        flawed = [plan(*question, mistake=slug) for question in QUESTIONS]
        if given_plans == flawed != right:
            raise Wrong(slug)
    if _shuffled(given_plans) == _shuffled(right):
        raise Wrong("wrong-order")
    wrong = [place for place, one in enumerate(right) if given_plans[place] != one]
    lengths = [[len(branch) for branch in branches] for branches in given_plans]
    expected = [[len(branch) for branch in branches] for branches in right]
    if lengths == expected and wrong == [place for place in range(len(right)) if _uneven(place)]:
        raise Wrong("fixed-factor")
    if lengths == [[level + 1 for level in range(len(one))] for one in expected]:
        raise Wrong("one-stage-too-many")
    if lengths != expected and all(_held(place) for place in wrong):
        raise Wrong("held-level-skipped")
    raise _first_difference(given_plans, right)


def _uneven(place: int) -> bool:
    """Whether some map of a question is not twice as large as the next."""
    sizes = QUESTIONS[place][0]
    return any(a != (2 * b[0], 2 * b[1]) for a, b in pairwise(sizes))


def _held(place: int) -> bool:
    """Whether two maps of a question are equally large."""
    return any(a == b for a, b in pairwise(QUESTIONS[place][0]))


def _lists(branches: object, count: int, distinct: int) -> list[list[Sequence[object]]]:
    if not isinstance(branches, (list, tuple)):
        raise Wrong("wrong-type", f"A list of lists is asked for, got {type(branches).__name__}.")
    if len(branches) != count and len(branches) == distinct:
        raise Wrong("held-level-skipped")
    if len(branches) != count:
        raise Wrong("wrong-shape", f"With {count} levels: {count} branches, got {len(branches)}.")
    for branch in branches:
        if not isinstance(branch, (list, tuple)):
            raise Wrong("wrong-type", f"A branch is a list, got {type(branch).__name__}.")
        for stage in branch:
            if not isinstance(stage, (list, tuple)) or len(stage) != 4:
                raise Wrong("wrong-shape", f"A stage is a tuple of four, got {stage!r}.")
    return [list(branch) for branch in branches]


def _stage(stage: Sequence[object]) -> tuple[object, ...]:
    return tuple(
        _pair(item) if isinstance(item, Sequence) else whole_number(item) for item in stage
    )


def _pair(size: Sequence[object]) -> Size:
    if isinstance(size, (str, bytes)) or len(size) != 2:
        raise Wrong("wrong-dtype", f"A size is (height, width), got {size!r}.")
    return whole_number(size[0]), whole_number(size[1])


def _shuffled(plans: Sequence[Sequence[Sequence[Sequence[object]]]]) -> list[object]:
    return [
        [[sorted(map(str, stage)) for stage in branch] for branch in branches] for branches in plans
    ]


def _first_difference(
    found: Sequence[Sequence[Sequence[object]]], right: Sequence[Sequence[Sequence[object]]]
) -> Wrong:
    place = next(place for place, one in enumerate(right) if found[place] != one)
    level = next(level for level, one in enumerate(right[place]) if found[place][level] != one)
    sizes = list(QUESTIONS[place][0])
    return Wrong(
        "wrong-values",
        f"With sizes {sizes}, level {level}: expected {right[place][level]}, "
        f"got {found[place][level]}.",
    )

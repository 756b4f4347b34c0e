"""Chapter 05's extension: stride and dilation of every block of a ResNet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from seglib.teach.answers import Calls, function_answer, plain, whole_number
from seglib.teach.interrupting import TimeLimit
from seglib.teach.probing import explain
from seglib.teach.tasks import MISTAKES_OF, NotAttempted, Wrong

Plan = list[list[tuple[int, int]]]
Question = tuple[tuple[int, ...], int, tuple[int, ...] | None]


def stage_plan(
    blocks: Sequence[int], output_stride: int, multi_grid: Sequence[int] | None, mistake: str = ""
) -> Plan:
    """(stride, dilation) of every block; with `mistake`, as that mistake gives them."""
    if multi_grid is not None and len(multi_grid) != blocks[-1]:
        raise ValueError(f"multi_grid must hold {blocks[-1]} factors, got {len(multi_grid)}")
    current = {"stem-stride-forgotten": 1, "pooling-forgotten": 2}.get(mistake, 4)
    dilation, stages = 1, []
    for index, n in enumerate(blocks):
        s = 1 if index == 0 else 2
        if mistake == "first-stage-strided":
            s = 2
        if mistake == "stride-inverted":
            s = 2 if index == 0 else 1
        stride, first = s, dilation
        past = current * s > output_stride
        if mistake == "off-by-one-stage":
            past = current * s >= output_stride and s > 1
        if past:
            stride = s if mistake == "stride-kept" else 1
            grown = {
                "dilation-forgotten": dilation,
                "dilation-not-accumulated": s,
                "dilation-added": dilation + s,
            }
            dilation = grown.get(mistake, dilation * s)
        current *= stride
        if mistake == "first-block-dilated":
            first = dilation
        rest = stride if mistake == "repeats-strided" else 1
        rows = [(stride, first)] + [(rest, dilation)] * (n - 1)
        last = index == len(blocks) - 1
        if multi_grid is not None and (last or mistake == "multi-grid-everywhere"):
            rows = _multi_grid(rows, dilation, multi_grid, mistake)
        stages.append(rows)
    if mistake == "wrong-order":
        return [[(dilation, stride) for stride, dilation in rows] for rows in stages]
    return stages


def _multi_grid(
    rows: list[tuple[int, int]], dilation: int, factors: Sequence[int], mistake: str
) -> list[tuple[int, int]]:
    found, product = [], 1
    for index, (stride, own) in enumerate(rows):
        factor = factors[index % len(factors)]
        product *= factor
        found.append(
            (
                stride,
                {
                    "multi-grid-ignored": own,
                    "multi-grid-replaces": factor,
                    "multi-grid-on-old-dilation": own * factor,
                    "multi-grid-skips-first": own if index == 0 else dilation * factor,
                    "multi-grid-accumulated": dilation * product,
                    "multi-grid-added": dilation + factor,
                }.get(mistake, dilation * factor),
            )
        )
    return found


_PLAN_MISTAKES = (*MISTAKES_OF["05.stage_plan"], "pooling-forgotten")
_PLANS: tuple[Question, ...] = (
    *(((3, 4, 6, 3), stride, grid) for grid in (None, (1, 2, 4)) for stride in (32, 16, 8)),
    ((3, 4, 23, 3), 8, (2, 1, 3)),
    ((2, 1, 2, 2, 4), 64, None),
    ((2, 1, 2, 2, 4), 16, (1, 2, 1, 3)),
    ((2, 2, 2, 2), 4, (3, 1)),
    ((3, 4, 6, 3), 16, (1, 1, 1)),
)
_WRONG_LENGTHS: tuple[Question, ...] = (
    ((3, 4, 23, 7), 16, (1, 2, 4)),
    ((2, 2, 2, 2), 8, (1, 2, 4)),
    ((3, 4, 6, 3), 16, ()),
)


def judge_plan(answer: object) -> Iterator[str]:
    """The stages of `05.stage_plan`."""
    yield "shape"
    function = function_answer(answer, 3)
    calls = Calls()
    found = [_ask(lambda *args: calls(function, *args), question) for question in _PLANS]
    for (blocks, _, _), stages in zip(_PLANS, found, strict=True):
        if [len(rows) for rows in stages] != list(blocks):
            lengths = f"expected {list(blocks)} blocks, got {[len(rows) for rows in stages]}"
            raise Wrong("wrong-shape", f"One list for each stage: {lengths}.")
        if not all(isinstance(row, Sequence) and len(row) == 2 for rows in stages for row in rows):
            raise Wrong("wrong-shape", "Each row is (stride, dilation), two numbers.")
    yield "dtype"
    numbers = [
        [[(whole_number(a), whole_number(b)) for a, b in rows] for rows in stages]
        for stages in found
    ]
    yield "values"
    right = [stage_plan(*question) for question in _PLANS]
    if numbers != right:
        raise _plan_mistake(numbers, right)
    for question in _WRONG_LENGTHS:
        try:
            with calls.watch():
                function(*question)
        except ValueError:
            continue
        except (Wrong, NotAttempted, TimeLimit):
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            raise Wrong("wrong-exception", explain(error)) from None
        raise Wrong("accepts-wrong-length", f"It shows with {question[2]} for {question[0]}.")


def _ask(call: Callable[..., object], question: Question) -> list[list[tuple[object, object]]]:
    """A plan as lists, if it is one."""
    blocks, output_stride, multi_grid = question
    given = list(blocks), None if multi_grid is None else list(multi_grid)
    plan = plain(call(given[0], output_stride, given[1]))
    if given[0] != list(blocks) or (multi_grid is not None and given[1] != list(multi_grid)):
        raise Wrong("changes-arguments")
    if isinstance(plan, (str, bytes)) or not isinstance(plan, Sequence):
        raise Wrong("wrong-type", f"A list of lists is asked for, got {type(plan).__name__}.")
    return [_stage(rows) for rows in plan]


def _stage(rows: object) -> list[tuple[object, object]]:
    rows = plain(rows)
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Sequence):
        raise Wrong("wrong-shape", "One list for each stage is asked for.")
    return [plain(row) for row in rows]  # type: ignore[misc]


def _plan_mistake(numbers: list[Plan], right: list[Plan]) -> Wrong:
    for mistake in _PLAN_MISTAKES:
        flawed = [stage_plan(*question, mistake=mistake) for question in _PLANS]
        if numbers == flawed != right:
            slug = "stem-stride-forgotten" if mistake == "pooling-forgotten" else mistake
            return Wrong(slug)
    place = next(i for i, plan in enumerate(right) if numbers[i] != plan)
    stage = next(i for i, rows in enumerate(right[place]) if numbers[place][i] != rows)
    _, output_stride, multi_grid = _PLANS[place]
    return Wrong(
        "wrong-values",
        f"At output_stride {output_stride}, multi_grid {multi_grid}, stage {stage + 1}: "
        f"expected {right[place][stage]}, got {numbers[place][stage]}.",
    )

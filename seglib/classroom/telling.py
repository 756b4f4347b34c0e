"""Hidden cases that tell the right answer from every known mistake, and the mistakes apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations

from seglib.classroom import harness
from seglib.classroom.items import Answer, Case, Item
from seglib.classroom.judging import asked, difference
from seglib.teach.interrupting import undisturbed


def telling(item: Item, case: Callable[[], Case], tries: int = 300) -> Item:
    """Add cases to an item's first part until its cases tell all known answers apart.

    Args:
        item: with its reference and its known mistakes.
        case: draws one more case.
        tries: cases to draw at most; those that tell nothing new are dropped.
    Returns:
        The item; as it was, if its own cases are enough.
    Raises:
        ValueError: if two answers are still alike after `tries` cases; it names them.
    """
    answers = {"the right answer": item.answer}
    answers.update({slug: mistake.answer for slug, mistake in item.mistakes.items()})
    alike = set(combinations(answers, 2))

    def told(drawn: Case) -> set[tuple[str, str]]:
        found = _results(answers, item.answer, drawn)
        return {
            (one, other)
            for one, other in alike
            if difference(found[one], found[other], item.tolerance)
        }

    def more() -> Iterator[Case]:
        for _ in range(tries):
            if alike:
                yield case()

    for present in item.cases:
        alike -= told(present)
    added = []
    for drawn in more():
        new = told(drawn)
        if new:
            added.append(drawn)
            alike -= new
    if alike:
        one, other = sorted(alike)[0]
        raise ValueError(f"{item.name}: no case tells {one!r} from {other!r}")
    first = replace(item.parts[0], cases=(*item.parts[0].cases, *added))
    return replace(item, parts=(first, *item.parts[1:]))


def _results(
    answers: Mapping[str, Answer], reference: Answer, case: Case
) -> dict[str, dict[str, object]]:
    plain = harness.encode(asked(reference, case))
    found = {}
    with undisturbed():
        for name, answer in answers.items():
            request = harness.decode(plain)  # afresh: an answer may change what it is given
            result = harness.evaluate(answer, request if isinstance(request, dict) else {})
            if "value" in result:
                result = {"value": harness.decode(result["value"])}
            found[name] = result
    return found

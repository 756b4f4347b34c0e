"""Judge a module that takes a list of maps stage by stage, and say what was seen of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from torch import nn

from seglib.teach.map_probing import NAMES, Make, MapsProbe
from seglib.teach.probing import Crashed, Fact, explain, same
from seglib.teach.tasks import STAGES, Wrong

Variants = Callable[[], Iterator[tuple[str, Callable[[int], MapsProbe]]]]


def judge_maps(
    answer: Make,
    right: Sequence[MapsProbe],
    variants: Variants,
    watch: Callable[[], AbstractContextManager[object]],
    inspect: Callable[[nn.Module], None],
    positional: bool,
    recognize: Callable[[list[int]], str | None] = lambda wrong: None,
) -> Iterator[str]:
    """Yield each stage as it begins; raise `Wrong` at the first one that fails.

    Args:
        answer: the learner's class.
        right: probes of the reference, one for each case.
        variants: gives (slug, its probe of the n-th case): behaviours of known mistakes.
        watch: context in which the learner's code runs.
        inspect: called with each module that the answer makes.
        positional: whether the constructor takes its arguments by position.
        recognize: names a mistake by the cases that fail, where no variant fits.
    """
    make = answer if positional else lambda *args: answer(**dict(zip(NAMES, args, strict=True)))
    probes = [MapsProbe(make, probe.case, watch, inspect) for probe in right]
    for index, stage in enumerate(STAGES):
        yield stage
        wrong = [
            place
            for place, (probe, other) in enumerate(zip(probes, right, strict=True))
            if not same(probe.facts(stage), other.facts(stage))
        ]
        if not wrong:
            continue
        place = wrong[0]
        seen = _seen(stage, probes[place], right[place])
        found = [
            (slug, flawed)
            for slug, flawed in variants()
            if all(
                same(probe.facts(one), flawed(case).facts(one))
                for one in STAGES[: index + 1]
                for case, probe in enumerate(probes)
            )
        ]
        for slug, flawed in found:  # several can have as many parameters: then the values tell
            pairs = (
                (probe.facts("values"), flawed(case).facts("values"))
                for case, probe in enumerate(probes)
            )
            if len(found) == 1 or all(same(a, b) for a, b in pairs):
                raise Wrong(slug, seen)
        if found:
            raise Wrong(found[0][0], seen)
        name = recognize(wrong)
        if name:
            raise Wrong(name, seen)
        raise _unknown(stage, probes[place], right[place])


def _unknown(stage: str, probe: MapsProbe, right: MapsProbe) -> Wrong:
    try:
        found = probe.found(stage)
    except Crashed as crash:
        return Wrong("raised-exception", f"{explain(crash.error)} With {probe.case.describe()}.")
    if stage == "values" and found[-1] != "kept":
        slug = "changes-features" if found[-1] == "list changed" else "modifies-input"
        return Wrong(slug, _seen(stage, probe, right))
    slug = {"parameter count": "wrong-parameter-count", "train/eval": "wrong-train-eval"}.get(
        stage, f"wrong-{stage}"
    )
    return Wrong(slug, _seen(stage, probe, right))


def _seen(stage: str, probe: MapsProbe, right: MapsProbe) -> str:
    """One sentence on what was seen; the same on any machine."""
    where = f"With {probe.case.describe()}"
    found, expected = probe.facts(stage), right.facts(stage)
    if found and found[0] == "error":
        return f"{where}: your code raised {found[1]}."
    if stage == "shape":
        return f"{where}: expected {_plain(expected)}; got {_plain(found)}."
    if stage == "parameter count":
        return f"{where}: expected {expected[0]} parameters, got {found[0]}."
    if stage == "values":
        count = len(probe.case.sizes)
        wrong = [str(level) for level in range(count) if not same(found[level], expected[level])]
        if wrong:
            return f"{where}: of the results 0 … {count - 1} these differ: {', '.join(wrong)}."
    return f"{where}."


def _plain(fact: Fact) -> str:
    return ", ".join(str(shape) for shape in fact) if fact else "nothing"

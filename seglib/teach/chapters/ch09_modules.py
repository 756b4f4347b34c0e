"""Chapter 09's modules, ASPP and image pooling: judged by behaviour, in whatever order they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import cast

from torch import nn

from seglib.teach.answers import Calls, attempted_class
from seglib.teach.chapters import ch09_variants as variants
from seglib.teach.ownership import refuse_modules
from seglib.teach.probing import Case, Probe, judge_module
from seglib.teach.sightings import ConvCall, Sightings, by_position, look
from seglib.teach.tasks import Wrong

Rates = tuple[int, ...]
_NAMES = ("in_channels", "rates", "out_channels")
_POOL_NAMES = ("in_channels", "out_channels")


def _case(in_channels: int, rates: Rates, out_channels: int, shape: tuple[int, ...]) -> Case:
    arguments = dict(zip(_NAMES, (in_channels, rates, out_channels), strict=True))
    # A tuple among the arguments is passed on as any number is.
    return Case(cast("Mapping[str, float]", arguments), shape)


CASES = (
    _case(5, (2, 3, 4), 4, (3, 5, 9, 11)),
    _case(4, (1,), 6, (3, 4, 7, 6)),
    _case(4, (5, 2), 4, (2, 4, 8, 7)),
    _case(3, (1, 2, 3, 6), 2, (3, 3, 8, 9)),
)
POOL_CASES = tuple(
    Case(dict(zip(_POOL_NAMES, channels, strict=True)), shape)
    for channels, shape in (
        ((5, 4), (3, 5, 9, 11)),
        ((3, 6), (2, 3, 33, 33)),
        ((4, 4), (3, 4, 40, 37)),
        ((4, 3), (1, 4, 33, 33)),
        ((2, 3), (2, 2, 6, 6)),
    )
)


def _branch(call: ConvCall) -> str:
    if not call.is_pointwise:
        return "rates"
    return "pool" if call.reads_one_vector else "one"


def _branches(seen: Sightings) -> list[str]:
    """The branches in the order in which they are computed."""
    return list(dict.fromkeys(_branch(call) for call in seen.convs[:-1]))  # then the projection


def _order(seen: Sightings) -> variants.Order:
    """In which order the branches are computed; the usual one where that can't be told."""
    found = tuple(_branches(seen))
    return found if not seen.crashed and found in variants.ORDERS else variants.RIGHT_ORDER


def _why(seen: Sightings, case: Case) -> str | None:
    """The mistake behind an exception, as far as the calls before it show."""
    size = tuple(case.shape[-2:])
    rates = cast("Rates", case.arguments["rates"])
    for dim, shapes in seen.joins:
        sizes = [shape[-2:] for shape in shapes if len(shape) == 4]
        if any(found == (1, 1) for found in sizes):
            return "pooling-not-enlarged"
        wrong = [found for found in sizes if found != size]
        if wrong:
            if not any(call.dilation in rates and call.dilation > 1 for call in seen.convs):
                return "dilation-ignored"
            lost = (size[0] - 2 * max(rates), size[1] - 2 * max(rates))
            return "missing-padding" if lost in wrong else "padding-ignores-dilation"
        if dim not in (1, -3):
            return "concatenated-along-wrong-axis"
    if seen.joins and seen.convs:
        wanted, got = seen.convs[-1].weight_shape[1], seen.convs[-1].x.shape[1]
        if wanted != got and wanted % int(case.arguments["out_channels"]) == 0:
            return "branches-hard-coded"
    return None


@cache
def _probe(index: int, order: variants.Order, place: int) -> Probe:
    recipe = variants.RECIPES[index][1]
    return Probe(partial(variants.FlawedASPP, recipe, order), CASES[place])


def _variants(order: variants.Order) -> Iterator[tuple[str, Callable[[int], Probe]]]:
    for index, (slug, _) in enumerate(variants.RECIPES):
        yield slug, partial(_probe, index, order)


def library_aspp(in_channels: int, rates: Rates, out_channels: int) -> nn.Module:
    """The library's ASPP without dropout."""
    from seglib.heads import ASPP

    return ASPP(in_channels, rates, out_channels, dropout=0.0)


def judge_aspp(answer: object) -> Iterator[str]:
    """Judge a class of ASPP."""
    yield "shape"
    positional = attempted_class(answer, _NAMES)
    assert callable(answer)
    make = by_position(answer) if positional else answer
    watch = Calls().watch
    seen = [look(Probe(make, case, watch, refuse_modules)) for case in CASES]
    for one, case in zip(seen, CASES, strict=True):
        slug = _why(one, case) if one.crashed else None
        if slug is not None:
            raise Wrong(slug, f"With {case.describe()}.")
    order = _order(seen[0])
    right: Callable[..., object] = library_aspp
    if order != variants.RIGHT_ORDER:
        right = partial(variants.FlawedASPP, variants.Recipe(), order)
    try:
        yield from judge_module(
            answer, right, CASES, partial(_variants, order), watch, refuse_modules, positional
        )
    except Wrong as wrong:
        raise _refined(wrong, seen[0]) from None


def _refined(wrong: Wrong, seen: Sightings) -> Wrong:
    """The same mistake, or the one that looks like it in the numbers alone."""
    branches = _branches(seen)
    if wrong.name == "missing-pooling" and "pool" in branches and "one" not in branches:
        return Wrong("missing-1x1-branch", wrong.detail)
    if wrong.name == "pooling-without-norm" and any(seen.norms):
        return Wrong("missing-batchnorm", wrong.detail)
    if wrong.name == "wrong-train-eval" and seen.dropout:
        return Wrong("has-dropout", wrong.detail)
    return wrong


# Image pooling.


@cache
def _pool_probe(index: int, place: int) -> Probe:
    recipe = variants.POOL_RECIPES[index][1]
    return Probe(partial(variants.FlawedPooling, recipe), POOL_CASES[place])


def _pool_variants() -> Iterator[tuple[str, Callable[[int], Probe]]]:
    for index, (slug, _) in enumerate(variants.POOL_RECIPES):
        yield slug, partial(_pool_probe, index)


def judge_pooling(answer: object) -> Iterator[str]:
    """Judge a class of image pooling."""
    from seglib.heads.aspp import ImagePooling

    yield "shape"
    positional = attempted_class(answer, _POOL_NAMES)
    assert callable(answer)
    watch = Calls().watch
    try:
        yield from judge_module(
            answer, ImagePooling, POOL_CASES, _pool_variants, watch, refuse_modules, positional
        )
    except Wrong as wrong:
        make = by_position(answer) if positional else answer
        alone = next(case for case in POOL_CASES if case.shape[0] == 1)
        train = "train/eval"
        if (
            wrong.name == "wrong-train-eval"
            and Probe(make, alone, watch).facts(train)[0] != "error"
        ):
            raise Wrong("guesses-at-batch-1", wrong.detail) from None
        raise

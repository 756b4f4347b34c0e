"""Chapter 09's modules, ASPP and image pooling: judged by behaviour, in whatever order they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import cast

from torch import Tensor, nn

from seglib.teach.answers import Calls, attempted_class
from seglib.teach.chapters import ch09_pooling
from seglib.teach.chapters import ch09_variants as variants
from seglib.teach.ownership import refuse_modules
from seglib.teach.probing import Case, Probe, judge_module, same
from seglib.teach.remembering import Watch, call, remembers
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


def _rates(case: Case) -> Rates:
    return cast("Rates", case.arguments["rates"])


def _branch(call: ConvCall, seen: Sightings) -> str:
    if not call.is_pointwise:
        return "rates"
    pooled = call.reads_one_vector or call.x.numel() != seen.values
    return "pool" if pooled else "one"


def _branches(seen: Sightings) -> list[str]:
    """The branches in the order in which they are computed."""
    calls = seen.convs[:-1]  # the last is the projection
    return list(dict.fromkeys(_branch(call, seen) for call in calls))


def _order(seen: Sightings) -> variants.Order:
    """In which order the branches are computed; the usual one where that can't be told."""
    found = tuple(_branches(seen))
    return found if not seen.crashed and found in variants.ORDERS else variants.RIGHT_ORDER


def _why(seen: Sightings, case: Case) -> str | None:
    """The mistake behind an exception, as far as the calls before it show."""
    size = tuple(case.shape[-2:])
    rates = _rates(case)
    for dim, parts in seen.joins:
        maps = [part for part in parts if len(part.shape) == 4]
        if any(part.shape[-2:] == (1, 1) for part in maps):
            return "pooling-not-enlarged"
        wrong = [part.shape[-2:] for part in maps if part.shape[-2:] != size]
        if wrong and all(part.one_vector for part in maps if part.shape[-2:] != size):
            return "pooling-of-wrong-size"
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
        if wrong.name == "raised-exception" and _has_instance_norm(make(**CASES[0].arguments)):
            raise Wrong("other-norm", wrong.detail) from None
        raise _refined(wrong, seen[0]) from None
    _judge_again(make, CASES[0], watch)
    _judge_alone(make, CASES[0], watch)


def _has_instance_norm(module: object) -> bool:
    """Whether a part of it can't normalise one pixel."""
    parts = nn.Module.modules(module) if isinstance(module, nn.Module) else ()
    return any("InstanceNorm" in type(part).__name__ for part in parts)


def _judge_again(make: Callable[..., object], case: Case, watch: Watch) -> None:
    """Judge a module that is right in every case: is it at its second call, on another size?"""
    probe = Probe(make, case, watch)
    height, width = probe.x.shape[2] + 4, probe.x.shape[3] + 1
    larger = probe.x[:, :, :1, :1].repeat(1, 1, height, width).cumsum(dim=2)
    if remembers(probe.module, probe.x.clone, larger.clone, watch):
        shapes = [tuple(x.shape) for x in (probe.x, larger)]
        raise Wrong("size-remembered", f"First a {shapes[0]} input, then a {shapes[1]} one.")


def _judge_alone(make: Callable[..., object], case: Case, watch: Watch) -> None:
    """The same for one image in eval mode."""
    probe = Probe(make, case, watch)
    nn.Module.double(probe.module)
    probe.set_mode(False)
    together = call(probe.module, probe.x.clone(), watch)
    alone = call(probe.module, probe.x[:1].clone(), watch)
    if not isinstance(together, Tensor) or not same(alone, together[:1]):
        raise Wrong("one-image-differs", f"The first image of a {tuple(probe.x.shape)} input.")


def _refined(wrong: Wrong, seen: Sightings) -> Wrong:
    """The same mistake, or the one that looks like it in the numbers alone."""
    branches = _branches(seen)
    if wrong.name == "missing-pooling" and "pool" in branches and "one" not in branches:
        return Wrong("missing-1x1-branch", wrong.detail)
    if wrong.name == "pooling-without-norm" and any(seen.norms):
        return Wrong("missing-batchnorm", wrong.detail)
    if wrong.name in ("wrong-train-eval", "wrong-values") and seen.dropout:
        return Wrong("has-dropout", wrong.detail)
    rates = sorted(call.dilation for call in seen.convs if not call.is_pointwise)
    if wrong.name == "wrong-values" and rates != sorted(_rates(CASES[0])):
        return Wrong("rates-changed", wrong.detail)
    return wrong


# Image pooling.


@cache
def _pool_probe(index: int, place: int) -> Probe:
    recipe = ch09_pooling.POOL_RECIPES[index][1]
    return Probe(partial(ch09_pooling.FlawedPooling, recipe), POOL_CASES[place])


def _pool_variants() -> Iterator[tuple[str, Callable[[int], Probe]]]:
    for index, (slug, _) in enumerate(ch09_pooling.POOL_RECIPES):
        yield slug, partial(_pool_probe, index)


def judge_pooling(answer: object) -> Iterator[str]:
    """Judge a class of image pooling."""
    from seglib.heads.aspp import ImagePooling

    yield "shape"
    positional = attempted_class(answer, _POOL_NAMES)
    assert callable(answer)
    watch = Calls().watch
    make = by_position(answer) if positional else answer
    try:
        yield from judge_module(
            answer, ImagePooling, POOL_CASES, _pool_variants, watch, refuse_modules, positional
        )
    except Wrong as wrong:
        first = Probe(make, POOL_CASES[0], watch).facts("values")
        if wrong.name == "ignores-eval-mode" and same(first, _pool_right().facts("values")):
            raise Wrong("refuses-one-image", wrong.detail) from None
        if wrong.name == "wrong-values" and _is_a_grid(first[0]):
            raise Wrong("pools-to-a-grid", wrong.detail) from None
        if wrong.name in ("wrong-train-eval", "raised-exception"):
            alone = Probe(make, next(c for c in POOL_CASES if c.shape[0] == 1), watch)
            found = alone.facts("train/eval")
            if found[0] != "error":
                raise Wrong("guesses-at-batch-1", wrong.detail) from None
            if found[1] != "ValueError" and alone.facts("values")[0] != "error":
                raise Wrong("other-exception-at-batch-1", wrong.detail) from None
        raise
    _judge_again(make, POOL_CASES[0], watch)


@cache
def _pool_right() -> Probe:
    from seglib.heads.aspp import ImagePooling

    return Probe(ImagePooling, POOL_CASES[0])


def _is_a_grid(out: object) -> bool:
    """Whether the pixels of one image and channel hold different values."""
    return isinstance(out, Tensor) and bool((out.amax((2, 3)) - out.amin((2, 3))).max() > 1e-9)

"""Chapter 10's extension: a function that counts multiply-adds layer by layer, and its judge."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import cache

import torch
from torch import Tensor, nn

from seglib.teach.answers import Calls, function_answer, whole_number
from seglib.teach.probing import same
from seglib.teach.tasks import MISTAKES_OF, Wrong

Call = tuple[str, nn.Module, tuple[int, ...], tuple[int, ...]]  # name, layer, shapes in and out
BOTH = (nn.Conv2d, nn.Linear)

# How a count goes wrong, most particular first.
MISTAKES = tuple(
    slug
    for slug in MISTAKES_OF["10.multiply_adds"]
    if not slug.startswith(("leaves", "changes", "names"))
)


@cache
def questions() -> tuple[tuple[nn.Module, Tensor], ...]:
    """Networks and inputs that tell one way of counting from another."""
    shared = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    frozen = nn.BatchNorm2d(8)
    network = nn.Sequential(
        OrderedDict(
            backbone=nn.Sequential(
                nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False),
            ),
            head=nn.Sequential(frozen, nn.Dropout(0.5), nn.Conv2d(8, 6, 1)),
        )
    )  # fmt: skip
    network.train()
    frozen.eval()
    network.get_submodule("backbone.0").requires_grad_(False)
    return (
        (network, torch.ones(2, 3, 9, 13)),
        (nn.Sequential(shared, nn.MaxPool2d(2), shared), torch.ones(3, 4, 10, 12)),
        (
            nn.Sequential(nn.Conv2d(4, 6, (1, 5), stride=(2, 1), groups=2), nn.ReLU()).eval(),
            torch.ones(1, 4, 7, 9),
        ),
        (
            nn.Sequential(
                nn.Linear(11, 5), nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                nn.Linear(2, 7),
            ),
            torch.ones(2, 3, 8, 11),
        ),
    )  # fmt: skip


def calls(model: nn.Module, x: Tensor) -> list[Call]:
    """Every call of a convolution or a linear layer, or another layer with weights, in order."""
    model, found = copy.deepcopy(model).eval(), []
    for name, layer in model.named_modules():
        if next(layer.parameters(recurse=False), None) is not None:

            def note(
                layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, name: str = name
            ) -> None:
                found.append((name, layer, tuple(inputs[0].shape), tuple(output.shape)))

            layer.register_forward_hook(note)
    with torch.no_grad():
        model(x)
    return found


def _one(layer: nn.Module, before: tuple[int, ...], after: tuple[int, ...], mistake: str) -> int:
    """Multiply-adds of one call."""
    images = after[0] if mistake == "batch-counted" else 1
    if mistake == "frozen-forgotten" and not next(layer.parameters()).requires_grad:
        return 0
    if isinstance(layer, nn.BatchNorm2d):
        pixels = after[2] * after[3]
        return after[1] * pixels * images if mistake == "norms-counted" else 0
    if isinstance(layer, nn.Linear):
        forgotten = mistake in ("pixels-forgotten", "linear-places-forgotten")
        places = 1 if forgotten else math.prod(after[1:-1])
        bias = layer.out_features if mistake == "bias-counted" else 0
        work = (layer.weight.numel() + bias) * places
        return 0 if mistake == "linear-missing" else work * images
    assert isinstance(layer, nn.Conv2d)
    shape = before if mistake == "pixels-of-the-input" else after
    pixels = 1 if mistake == "pixels-forgotten" else shape[2] * shape[3]
    weights = layer.weight.numel()
    if mistake == "groups-forgotten":
        weights *= layer.groups
    if mistake == "kernel-forgotten":
        weights //= layer.kernel_size[0] * layer.kernel_size[1]
    if mistake == "square-kernel":
        weights = weights // layer.kernel_size[1] * layer.kernel_size[0]
    if mistake == "bias-counted" and layer.bias is not None:
        weights += layer.out_channels
    return weights * pixels * images


def count(
    model: nn.Module, x: Tensor, mistake: str = "", kinds: tuple[type[nn.Module], ...] = BOTH
) -> dict[str, int]:
    """Multiply-adds for one image, by the layer's name; with `mistake` at the layers of `kinds`."""
    result: dict[str, int] = {}
    for name, layer, before, after in calls(model, x):
        own = mistake if isinstance(layer, kinds) or not isinstance(layer, BOTH) else ""
        work = _one(layer, before, after, own) * (2 if own == "counted-twice" else 1)
        if mistake == "nested-layers-missing" and "." in name:
            continue
        if name in result and mistake == "reuse-forgotten":
            result[name] = work
        elif name not in result or mistake != "first-call-only":
            result[name] = result.get(name, 0) + work
    return {name: work for name, work in result.items() if work}


def _traces(model: nn.Module) -> dict[str, tuple[object, ...]]:
    """What a count must not change, by the slug that says so."""
    parts = list(model.modules())
    return {
        "leaves-hooks": tuple(
            len(hooks) for one in parts for hooks in (one._forward_hooks, one._forward_pre_hooks)
        ),
        "leaves-attributes": tuple(
            name for one in parts for names in (vars(one), one._buffers) for name in names
        ),
        "changes-mode": tuple(one.training for one in parts),
        "changes-weights": tuple(
            (name, one.requires_grad, one.grad is None, one.detach().clone())
            for name, one in model.named_parameters()
        ),
        "changes-statistics": tuple(one.clone() for one in model.buffers()),
    }


def judge(answer: object) -> Iterator[str]:
    yield "shape"
    function, run = function_answer(answer, 2), Calls()
    found: list[Mapping[object, object]] = []
    side_effects: list[str] = []
    for model, x in questions():
        given, image = copy.deepcopy(model), x.clone()
        before = _traces(given)
        counts = run(function, given, image)
        if not isinstance(counts, Mapping):
            raise Wrong("wrong-type", f"A dict is asked for, got {type(counts).__name__}.")
        found.append(dict(counts))
        after = _traces(given)
        side_effects += [slug for slug in before if not same(before[slug], after[slug])]
        if not torch.equal(image, x):
            side_effects.append("modifies-input")
    right = [count(*question) for question in questions()]
    for counts, expected in zip(found, right, strict=True):
        if not all(isinstance(name, str) for name in counts):
            raise Wrong("names-differ", "The keys are strings.")
        if counts and not set(counts) & set(expected):
            raise Wrong("names-differ", f"Expected {', '.join(expected)}.")
    yield "dtype"
    numbers = [
        {name: work for name, value in counts.items() if (work := whole_number(value))}
        for counts in found
    ]
    yield "values"
    if numbers != right:
        for kinds in (BOTH, BOTH[:1], BOTH[1:]):
            for slug in MISTAKES:
                if numbers == [count(*question, slug, kinds) for question in questions()]:
                    raise Wrong(slug)
        raise Wrong("wrong-values", _difference(numbers, right))
    yield "train/eval"
    for slug in (*before, "modifies-input"):
        if slug in side_effects:
            raise Wrong(slug)


def _difference(numbers: list[dict[object, int]], right: list[dict[str, int]]) -> str:
    """The first layer whose count differs, in words."""
    for (model, x), counts, expected in zip(questions(), numbers, right, strict=True):
        for name in expected:
            if counts.get(name, 0) != expected[name]:
                layer = model.get_submodule(name)
                return (
                    f"{name} = {layer} in a network that gets {tuple(x.shape)}: expected "
                    f"{expected[name]}, got {counts.get(name, 0)}."
                )
    extra = next(name for counts, e in zip(numbers, right, strict=True) for name in counts
                 if name not in e)  # fmt: skip
    return f"{extra} is no convolution or linear layer that runs."

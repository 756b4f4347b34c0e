"""Chapter 14, training: the learning rate, the parameter groups, and the loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from seglib.teach.answers import Calls, function_answer, judge_values, real_number
from seglib.teach.chapters import ch14_loss
from seglib.teach.probing import explain
from seglib.teach.tasks import MISTAKES_OF, Exercise, Task, Wrong

# The warm-up: rates of the poly schedule.

_RATE, _TOTAL, _POWER = 0.01, 1000, 0.9
_STEPS = (0, 500, 1000, 1200)


def _prediction() -> tuple[dict[int, object], dict[int, dict[object, str]]]:
    right: dict[int, object] = {step: _RATE * poly(step, _TOTAL, _POWER) for step in _STEPS}
    half = _STEPS[1]
    wrong: dict[int, dict[object, str]] = {step: {} for step in _STEPS}
    wrong[0] = {0.0: "rises-instead-of-falls", 1.0: "factor-instead-of-rate"}
    wrong[half] = {
        _RATE * 0.5: "linear-decay",
        _RATE * (1 - 0.5**_POWER): "power-on-progress",
        0.5**_POWER: "factor-instead-of-rate",
        0.5: "factor-instead-of-rate",
        _RATE: "constant-rate",
        _RATE * _POWER: "power-as-factor",
        _RATE * _POWER * 0.5: "power-as-factor",
    }
    wrong[1000] = {_RATE: "constant-rate", _RATE * (1 / 1000) ** _POWER: "never-reaches-zero"}
    wrong[1200] = {
        _RATE * -0.2: "negative-past-the-end",
        _RATE * -(0.2**_POWER): "negative-past-the-end",
        _RATE * 0.2**_POWER: "rises-past-the-end",
        _RATE: "constant-rate",
    }
    return right, wrong


def _judge_prediction(answer: object) -> Iterator[str]:
    def equal(value: object, known: object) -> bool:
        assert isinstance(value, float)
        assert isinstance(known, float)
        return abs(value - known) <= 0.005 * abs(known) + 1e-12

    yield from judge_values(
        answer, *_prediction(), convert=lambda _, value: real_number(value), equal=equal
    )


# Implement: the poly factor.


def poly(step: int, total: int, power: float = 0.9, mistake: str = "") -> float | complex:
    """(1 − step / total)^power, 0 past the end; with `mistake`, as that mistake gives it."""
    if total <= 0 and mistake != "accepts-no-steps":
        raise ValueError(f"total must be >= 1, got {total}")
    if total <= 0:
        return 0.0
    left = 1 - step / total
    if mistake == "complex-past-the-end":
        return complex(left**power)
    if mistake == "rises-past-the-end":
        return float(abs(left) ** power)
    if mistake == "negative-past-the-end":
        return float(left**power if left >= 0 else -(abs(left) ** power))
    if mistake == "negative-without-power":
        return left
    if mistake == "never-reaches-zero":
        left = 1 - step / (total + 1)
    if mistake == "zero-one-step-early":
        left = 1 - (step + 1) / total
    left = max(0.0, left)
    if mistake == "linear-decay":
        return left
    if mistake == "power-on-progress":
        return float(1 - min(1.0, step / total) ** power)
    if mistake == "rises-instead-of-falls":
        return float(min(1.0, step / total) ** power)
    if mistake == "integer-division":
        return float(max(0, 1 - step // total) ** power)
    if mistake == "power-as-factor":
        return left * power
    if mistake == "power-ignored":
        return float(left**0.9)
    return float(left**power)


_POLY_MISTAKES = tuple(MISTAKES_OF["14.poly_factor"])

_QUESTIONS = [
    (step, total, power)
    for total in (10, 90, 400)
    for power in (0.9, 2.0, 1.0)
    for step in (0, 1, total // 3, total - 1, total, total + 1, 2 * total)
]


def _judge_poly(answer: object) -> Iterator[str]:
    yield "shape"
    function = function_answer(answer, 3)
    calls = Calls()
    found = [calls(function, *question) for question in _QUESTIONS]
    if all(value is None for value in found):
        raise Wrong("wrong-type", "It returns None: is there a return?")
    yield "dtype"
    right = [poly(*question) for question in _QUESTIONS]
    if any(isinstance(value, complex) for value in found):
        raise Wrong("complex-past-the-end")
    numbers = [real_number(value) for value in found]
    yield "values"
    if not _equal(numbers, right):
        for slug in _POLY_MISTAKES:
            if _equal(numbers, [poly(*question, mistake=slug) for question in _QUESTIONS]):
                raise Wrong(slug)
        if _equal(
            numbers, [poly(*question, mistake="negative-without-power") for question in _QUESTIONS]
        ):
            raise Wrong("linear-decay")
        step, total, power = next(
            question
            for question, a, b in zip(_QUESTIONS, numbers, right, strict=True)
            if not _equal([a], [b])
        )
        raise Wrong("wrong-values", f"Look at step {step} of {total} with power {power}.")
    for total in (0, -3):
        try:
            with calls.watch():
                function(2, total, 0.9)
        except ValueError:
            continue
        except Wrong:
            raise
        except Exception as error:
            raise Wrong("wrong-exception", explain(error)) from None
        raise Wrong("accepts-no-steps")


def _equal(a: Sequence[float | complex], b: Sequence[float | complex]) -> bool:
    return all(abs(x - y) <= 1e-9 for x, y in zip(a, b, strict=True))


# Debug: every parameter in exactly one group.


class _Toy(nn.Module):
    """A small network with real ones' traps: raw parameters, an auxiliary head, odd names."""

    def __init__(self, aux: bool, raw: bool, tied: bool) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.PReLU())
        self.backbone = nn.ModuleDict({"stem": stem, "block": nn.Conv2d(4, 4, 3)})
        head: dict[str, nn.Module] = {
            "backbone_projection": nn.Conv2d(4, 6, 1, bias=False),
            "norm": nn.GroupNorm(2, 6),
            "classifier": nn.Conv2d(6, 5, 1),
        }
        self.head = nn.ModuleDict(head)
        if aux:
            self.auxiliary = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        if raw:
            self.temperature = nn.Parameter(torch.ones(1))
            self.backbone.register_parameter("positions", nn.Parameter(torch.zeros(4, 1, 1)))
        if tied:
            other = nn.Conv2d(4, 4, 3)
            block = self.backbone["block"]
            assert isinstance(block, nn.Conv2d)
            other.weight = block.weight
            self.head["shared"] = other


def _judge_groups(answer: object) -> Iterator[str]:
    yield "shape"
    function = function_answer(answer, 1)
    calls = Calls()
    settings = [
        (False, False, False),
        (True, False, False),
        (True, True, False),
        (True, True, True),
    ]
    models = [_Toy(*setting) for setting in settings]
    found = []
    for model in models:
        groups = calls(function, model)
        if not isinstance(groups, (list, tuple)) or len(groups) != 2:
            raise Wrong(
                "wrong-shape", "Two lists are asked for: the backbone's parameters, and the rest."
            )
        for group in groups:
            if isinstance(group, Iterator):
                raise Wrong("generator-instead-of-list")
            if not isinstance(group, (list, tuple)):
                raise Wrong("wrong-type", f"Each group is a list, got {type(group).__name__}.")
        found.append(groups)
    yield "dtype"
    for groups in found:
        for item in (*groups[0], *groups[1]):
            if isinstance(item, str) or (
                isinstance(item, tuple) and item and isinstance(item[0], str)
            ):
                raise Wrong("names-instead-of-parameters")
            if not isinstance(item, Tensor):
                raise Wrong(
                    "wrong-dtype", f"A list of parameters is asked for, got {type(item).__name__}."
                )
    yield "parameter count"
    for model, groups in zip(models, found, strict=True):
        _count(model, [*groups[0], *groups[1]])
    yield "values"
    for model, groups in zip(models, found, strict=True):
        _places(model, groups)


def _count(model: _Toy, given: list[Tensor]) -> None:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    keys = [id(item) for item in given]
    if any(key not in names for key in keys):
        raise Wrong("copies-instead-of-parameters")
    missing = [name for key, name in names.items() if key not in keys]
    if missing:
        owners = {name: model.get_submodule(name.rpartition(".")[0]) for name in missing}
        norms = (nn.BatchNorm2d, nn.GroupNorm)
        if all(isinstance(owner, norms) for owner in owners.values()):
            slug = "normalization-missing"
        elif all(
            not list(owner.parameters(recurse=False))
            or owner is model
            or isinstance(owner, nn.ModuleDict)
            for owner in owners.values()
        ):
            slug = "raw-parameter-missing"
        elif all(name.endswith(".bias") for name in missing):
            slug = "bias-missing"
        elif all(name.startswith(("auxiliary", "temperature")) for name in missing):
            slug = "module-missing"
        else:
            slug = "parameter-missing"
        raise Wrong(slug, f"Missing for example: {missing[0]}.")
    if len(set(keys)) != len(keys):
        raise Wrong("parameter-twice")


def _places(model: _Toy, groups: Sequence[Sequence[Tensor]]) -> None:
    backbone = {id(parameter) for parameter in model.backbone.parameters()}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    shared = {
        id(part.weight)
        for name, part in model.head.named_children()
        if name == "shared" and isinstance(part, nn.Conv2d)
    }
    first, rest = ({id(item) for item in group} - shared for group in groups)
    backbone -= shared  # a weight that both use may stand in either group
    if first == backbone:
        return
    if rest == backbone:
        raise Wrong("groups-swapped")
    stray = first - backbone
    if backbone <= first and all("backbone" in names[key] for key in stray):
        raise Wrong(
            "matches-by-name", f"For example {names[min(stray, key=lambda key: names[key])]}."
        )
    raise Wrong("wrong-group")


_SPECS = (
    (
        "predict_lr", "warm-up", 1, _judge_prediction,
        "dict {step: learning rate} at steps 0, 500, 1000, 1200: "
        "poly, power 0.9, 1000 steps, rate 0.01 at the start",
    ),
    ("poly_factor", "implement", 3, _judge_poly, "poly(step, total, power) -> float"),
    (
        "parameter_groups", "debug", 3, _judge_groups,
        "groups(model) -> [backbone's parameters, the rest], two lists",
    ),
    (
        "pixel_loss", "extend", 3, ch14_loss.judge,
        "pixel_loss(logits, mask, ignore_index=255) -> scalar tensor, by hand",
    ),
)  # fmt: skip
TASKS = tuple(
    Task(Exercise(f"14.{name}", 14, kind, signature, points), judge, MISTAKES_OF[f"14.{name}"])
    for name, kind, points, judge, signature in _SPECS
)

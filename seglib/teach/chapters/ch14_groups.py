"""Chapter 14's debugging exercise: every parameter in exactly one of two groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from seglib.teach.answers import Calls, function_answer
from seglib.teach.probing import same
from seglib.teach.tasks import Wrong


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
            self.backbone_scale = nn.Parameter(torch.ones(2))  # beside the backbone, not in it
            self.backbone.register_parameter("positions", nn.Parameter(torch.zeros(4, 1, 1)))
        if tied:
            other = nn.Conv2d(4, 4, 3)
            block = self.backbone["block"]
            assert isinstance(block, nn.Conv2d)
            other.weight = block.weight
            self.head["shared"] = other


# What torch says when `in` or == meets tensors of other shapes, or asks them for a truth value.
_COMPARED = ("size of tensor", "Boolean value of Tensor")


def judge(answer: object) -> Iterator[str]:
    """The stages of `14.parameter_groups`."""
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
        before = _state(model)
        try:
            groups = calls(function, model)
        except Wrong as wrong:
            if any(words in wrong.detail for words in _COMPARED):
                raise Wrong("compared-by-value") from None
            raise
        if not same(before, _state(model)):
            raise Wrong("changes-model")
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


def _state(model: _Toy) -> tuple[object, ...]:
    """What may not change: names, values, and what is trained."""
    return tuple(
        (name, id(one), one.requires_grad, one.detach().clone())
        for name, one in model.named_parameters()
    )


def _count(model: _Toy, given: list[Tensor]) -> None:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    keys = [id(item) for item in given]
    if any(key not in names for key in keys):
        raise Wrong("copies-instead-of-parameters")
    missing = [name for key, name in names.items() if key not in keys]
    if missing and _look_alike(model, missing, given):
        raise Wrong("compared-by-value", f"Missing for example: {missing[0]}.")
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
        elif all(name.startswith(("auxiliary", "temperature", "backbone_")) for name in missing):
            slug = "module-missing"
        else:
            slug = "parameter-missing"
        raise Wrong(slug, f"Missing for example: {missing[0]}.")
    twice = [names[key] for key in set(keys) if keys.count(key) > 1]
    if twice:
        inside = tuple(name for name in twice if name.startswith("backbone."))
        by_name = not inside and all("backbone" in name for name in twice)
        raise Wrong("matches-by-name" if by_name else "parameter-twice", f"Look at {min(twice)}.")


def _look_alike(model: _Toy, missing: Sequence[str], given: Sequence[Tensor]) -> bool:
    """Whether only such are missing as have the values of a given one, and not all of a kind."""
    for name in missing:
        parameter = model.get_parameter(name)
        if not any(torch.equal(parameter, other) for other in given):
            return False
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    kept = {names[id(other)] for other in given if other.ndim == 1}
    return any("norm" in name and name.endswith("bias") for name in kept)


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

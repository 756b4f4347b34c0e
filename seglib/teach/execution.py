"""The same random weights for differently written modules: by the order in which they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from seglib.teach.randomness import random_values

# The role of a parameter or buffer by its position in the call that uses it.
_ROLES: dict[Callable[..., object], dict[int | str, str]] = {
    F.batch_norm: {
        1: "mean", 2: "variance", 3: "scale", 4: "shift",
        "running_mean": "mean", "running_var": "variance", "weight": "scale", "bias": "shift",
    },
    torch.batch_norm: {1: "scale", 2: "shift", 3: "mean", 4: "variance"},
}  # fmt: skip
_WEIGHTED: dict[int | str, str] = {1: "weight", 2: "bias", "weight": "weight", "bias": "bias"}
for _function in (F.conv1d, F.conv2d, F.conv3d, F.conv_transpose2d, F.linear):
    _ROLES[_function] = _WEIGHTED
_KINDS = ("weight", "bias", "scale", "shift", "mean", "variance")


class Use(NamedTuple):
    """Where a forward pass uses a tensor first: in its n-th weighted step, and as what."""

    step: int
    role: str


class _Watch(TorchFunctionMode):
    def __init__(self, tensors: dict[int, tuple[str, str]]) -> None:
        super().__init__()
        self.tensors = tensors  # id → (owner, name)
        self.uses: dict[int, Use] = {}
        self.owners: dict[str, int] = {}
        self.steps = 0

    def __torch_function__(  # type: ignore[no-untyped-def]
        self, func, types, args=(), kwargs=None
    ):
        self.note(func, [*enumerate(args), *(kwargs or {}).items()])
        return func(*args, **(kwargs or {}))

    def note(
        self, function: Callable[..., object], arguments: list[tuple[int | str, object]]
    ) -> None:
        fresh = [
            (place, id(value))
            for place, value in arguments
            if id(value) in self.tensors and id(value) not in self.uses
        ]
        if (
            not fresh or getattr(function, "__name__", "") == "__get__"
        ):  # reading an attribute is no use
            return
        roles = _ROLES.get(function)
        if roles is not None:
            for place, key in fresh:
                self.uses[key] = Use(self.steps, roles.get(place, "weight"))
                self.owners[self.tensors[key][0]] = self.steps
            self.steps += 1
            return
        for _, key in fresh:
            self.by_name(key)

    def by_name(self, key: int) -> None:
        """For a tensor used in plain arithmetic: a step for each owner, the role from the name."""
        owner, name = self.tensors[key]
        if owner not in self.owners:
            self.owners[owner] = self.steps
            self.steps += 1
        siblings = {other for place, other in self.tensors.values() if place == owner}
        normalises = any("var" in other for other in siblings)
        if "var" in name or "mean" in name:
            role = "variance" if "var" in name else "mean"
        elif any(part in name for part in ("bias", "beta", "shift")):
            role = "shift" if normalises else "bias"
        else:
            role = "scale" if normalises else "weight"
        self.uses[key] = Use(self.owners[owner], role)


def _state(module: nn.Module) -> Iterator[tuple[str, str, Tensor]]:
    seen: set[int] = set()
    for path, owner in nn.Module.named_modules(module):
        for name, tensor in [*owner._parameters.items(), *owner._buffers.items()]:
            if tensor is not None and tensor.is_floating_point() and id(tensor) not in seen:
                seen.add(id(tensor))
                yield path, name, tensor


def uses(module: nn.Module, forward: Callable[[], object]) -> dict[Use, Tensor]:
    """Every floating-point parameter and buffer of `module`, by where `forward()` uses it first.

    Tensors that the pass does not use come last, in order of registration; of two that play the
    same part in the same step only the first is told apart by its use.
    """
    state = list(_state(module))
    watch = _Watch({id(tensor): (path, name) for path, name, tensor in state})
    with watch:
        forward()
    unused = [tensor for _, _, tensor in state if id(tensor) not in watch.uses]
    for tensor in unused:
        watch.by_name(id(tensor))
    found: dict[Use, Tensor] = {}
    for _, _, tensor in state:
        use = watch.uses[id(tensor)]
        while use in found:
            use = Use(use.step + 1000, use.role)
        found[use] = tensor
    return dict(sorted(found.items()))


def fill(found: dict[Use, Tensor], seed: int) -> None:
    """Random values for each tensor that depend on its use and size alone, not on its name."""
    with torch.no_grad():
        for use, tensor in found.items():
            generator = torch.Generator().manual_seed(
                seed + 10007 * use.step + 101 * _KINDS.index(use.role)
            )
            values = random_values(use.role, tensor.shape, generator)
            tensor.copy_(values)


def unregistered(module: nn.Module) -> bool:
    """Whether a part of the module keeps layers with parameters in a plain list, tuple or dict."""
    parts = list(nn.Module.modules(module))
    known = {id(part) for part in parts}
    held = [value for part in parts for name, value in vars(part).items() if name[:1] != "_"]
    shelves = [list(value.values()) if isinstance(value, dict) else value for value in held]
    return any(
        isinstance(item, nn.Module)
        and id(item) not in known
        and any(True for _ in nn.Module.parameters(item))
        for shelf in shelves
        if isinstance(shelf, (list, tuple))
        for item in shelf
    )

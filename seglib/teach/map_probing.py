"""Judge a module that takes a list of maps and returns one, as a feature pyramid does.

Its layers may be used in any order, so weights can't be matched by that, as in `probing`. They are
matched by what they do: by which of the results change with them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seglib.teach.caching import cached_property
from seglib.teach.interrupting import TimeLimit
from seglib.teach.probing import Crashed, Fact
from seglib.teach.randomness import random_values
from seglib.teach.tasks import Wrong

Make = Callable[..., object]
NAMES = ("in_channels_list", "out_channels")
Key = tuple[tuple[bool, ...], int, bool]  # results it changes, its size, whether it is a weight
_SEED = 8


@dataclass(frozen=True)
class MapsCase:
    """Channels of the maps, of the results, and the maps' sizes."""

    in_channels: tuple[int, ...]
    out_channels: int
    sizes: tuple[tuple[int, int], ...]

    def describe(self) -> str:
        sizes = ", ".join(f"{height}×{width}" for height, width in self.sizes)
        return f"in_channels_list={list(self.in_channels)} and maps of {sizes}"


class MapsProbe:
    """What one class does in one case; each stage's facts are found when first asked for."""

    def __init__(
        self,
        make: Make,
        case: MapsCase,
        watch: Callable[[], AbstractContextManager[object]] = nullcontext,
        inspect: Callable[[nn.Module], None] = lambda module: None,
    ) -> None:
        self.make, self.case, self.watch, self.inspect = make, case, watch, inspect
        generator = torch.Generator().manual_seed(_SEED)
        self.maps = [
            torch.randn(2, channels, *size, dtype=torch.float64, generator=generator)
            for channels, size in zip(case.in_channels, case.sizes, strict=True)
        ]

    def run(self, function: Callable[..., object], *args: object) -> object:
        try:
            with self.watch():
                return function(*args)
        except (Wrong, TimeLimit):
            raise
        except Exception as error:
            raise Crashed(error) from None
        except (SystemExit, KeyboardInterrupt) as error:
            raise Crashed(error) from None

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        results = self.run(self.module, maps)
        if not isinstance(results, (list, tuple)):
            raise Wrong(
                "wrong-type", f"forward returns {type(results).__name__}, asked for is a list."
            )
        for result in results:
            if not isinstance(result, Tensor):
                raise Wrong("wrong-type", f"The list holds {type(result).__name__}, not tensors.")
        return list(results)

    @cached_property
    def module(self) -> nn.Module:
        arguments = (list(self.case.in_channels), self.case.out_channels)
        module = self.run(self.make, *arguments)
        if not isinstance(module, nn.Module):
            raise Wrong(
                "wrong-type",
                f"Calling it gives {type(module).__name__}, asked for is an nn.Module.",
            )
        self.inspect(module)
        return module

    def facts(self, stage: str) -> Fact:
        """The facts of a stage; an exception in the code under test is a fact, too."""
        try:
            return self.found(stage)
        except Crashed as crash:
            return ("error", type(crash.error).__name__, *self.count)

    def found(self, stage: str) -> Fact:
        """The same; what the code under test raises is raised as `Crashed`."""
        name = {"parameter count": "count", "train/eval": "training"}.get(stage, stage)
        found: Fact = getattr(self, name)
        return found

    @cached_property
    def shape(self) -> Fact:
        self.set_mode(False)
        nn.Module.float(self.module)
        with torch.no_grad():
            results = self.forward([x.float() for x in self.maps])
        return tuple(tuple(result.shape) for result in results)

    @cached_property
    def dtype(self) -> Fact:
        self.set_mode(False)
        found: list[str] = []
        for dtype in (torch.float32, torch.float64):
            nn.Module.to(self.module, dtype)
            with torch.no_grad():
                results = self.forward([x.to(dtype, copy=True) for x in self.maps])
            found += [str(result.dtype) for result in results]
        return tuple(found)

    @cached_property
    def count(self) -> Fact:
        try:
            parameters = list(nn.Module.parameters(self.module))
        except Crashed:
            return (-1,)
        return (sum(parameter.numel() for parameter in parameters if parameter.requires_grad),)

    @cached_property
    def tensors(self) -> list[tuple[Key, Tensor]]:
        """Every parameter and buffer by what it does, in an order that names have no part in."""
        nn.Module.double(self.module)
        self.set_mode(False)
        state = [*nn.Module.named_parameters(self.module), *nn.Module.named_buffers(self.module)]
        tensors = [tensor for _, tensor in state if tensor.is_floating_point()]
        found = []
        with torch.no_grad():
            for place, tensor in enumerate(tensors):
                _fill(tensor, place)
            before = self.forward([x.clone() for x in self.maps])
            for tensor in tensors:
                kept = tensor.clone()
                tensor.add_(1.0)
                after = self.forward([x.clone() for x in self.maps])
                tensor.copy_(kept)
                pairs = zip(before, after, strict=False)
                changed = tuple(not torch.equal(a, b) for a, b in pairs)
                found.append(((changed, tensor.numel(), tensor.dim() > 1), tensor))
        return sorted(found, key=lambda item: item[0])

    def refill(self) -> None:
        with torch.no_grad():
            for key, tensor in self.tensors:
                _fill(tensor, zlib.crc32(repr(key).encode()))

    @cached_property
    def values(self) -> Fact:
        self.refill()
        self.set_mode(False)
        maps = [x.clone() for x in self.maps]
        given = list(maps)
        with torch.no_grad():
            results = [result.clone() for result in self.forward(given)]
        kept = all(torch.equal(a, b) for a, b in zip(maps, self.maps, strict=True))
        same_list = len(given) == len(maps) and all(
            a is b for a, b in zip(given, maps, strict=True)
        )
        state = "kept" if kept and same_list else "list changed" if kept else "map changed"
        return (*results, state)

    @cached_property
    def gradients(self) -> Fact:
        self.refill()
        self.set_mode(False)
        return self._backward()

    @cached_property
    def training(self) -> Fact:
        self.refill()
        self.set_mode(True)
        facts = self._backward()
        self.set_mode(False)
        return facts

    def _backward(self) -> Fact:
        leaves = [x.clone().requires_grad_() for x in self.maps]
        for _, tensor in self.tensors:
            tensor.grad = None
        results = self.forward([leaf.clone() for leaf in leaves])
        generator = torch.Generator().manual_seed(_SEED + 1)
        total = torch.zeros((), dtype=torch.float64)
        for result in results:
            direction = torch.randn(result.shape, dtype=torch.float64, generator=generator)
            total = total + (result * direction).sum()
        if total.requires_grad:
            self.run(total.backward)
        sums: dict[Key, Tensor | str] = {}  # of those that can't be told apart
        for key, tensor in self.tensors:
            before = sums.get(key)
            if tensor.grad is None:
                sums.setdefault(key, "none")
            else:
                flat = tensor.grad.flatten().clone()
                sums[key] = before + flat if isinstance(before, Tensor) else flat
        gradients = ["none" if leaf.grad is None else leaf.grad for leaf in leaves]
        return (*(result.detach().clone() for result in results), *gradients, *sums.values())

    def set_mode(self, training: bool) -> None:
        self.run(self.module.train, training)


def _fill(tensor: Tensor, seed: int) -> None:
    """Random values that depend on the size alone: (8, 4) and (8, 4, 1, 1) get the same."""
    generator = torch.Generator().manual_seed(_SEED + seed)
    role = "weight" if tensor.dim() > 1 else "bias"
    tensor.copy_(random_values(role, tensor.shape, generator))

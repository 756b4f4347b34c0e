"""Watch which convolutions a module calls, and what it concatenates: tell parts by their use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seglib.teach.probing import Crashed, Probe


class ConvCall(NamedTuple):
    """One call of a convolution, or of a linear layer in the place of a 1×1 convolution."""

    x: Tensor
    weight_shape: tuple[int, ...]
    dilation: int

    @property
    def is_pointwise(self) -> bool:
        """Whether it looks at one pixel at a time."""
        return len(self.weight_shape) == 2 or max(self.weight_shape[2:]) == 1

    @property
    def reads_one_vector(self) -> bool:
        """Whether all pixels of each image that it reads hold the same vector."""
        if len(self.weight_shape) == 2:
            return _is_one_vector(self.x.reshape(len(self.x), -1, self.x.shape[-1]).mT)
        return _is_one_vector(self.x.flatten(2))


class Part(NamedTuple):
    """One of the tensors that are concatenated."""

    shape: tuple[int, ...]
    one_vector: bool  # whether all pixels of each image hold the same vector


def _is_one_vector(x: Tensor) -> bool:
    """Of (N, C, pixels)."""
    return x.numel() > 0 and bool((x.amax(-1) - x.amin(-1)).max() < 1e-9)


@dataclass
class Sightings:
    """What one forward pass was seen to do, up to its end or to an exception.

    Attributes:
        values: how many values the input holds.
        convs: calls of convolutions, in order.
        joins: (dimension, parts) of each concatenation.
        norms: for each BatchNorm, whether it read one vector for each image.
        dropout: whether dropout was called.
        crashed: whether the pass raised.
    """

    values: int
    convs: list[ConvCall] = field(default_factory=list)
    joins: list[tuple[int, list[Part]]] = field(default_factory=list)
    norms: list[bool] = field(default_factory=list)
    dropout: bool = False
    crashed: bool = False

    def note(self, name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        """Note a call of the torch function `name`, before it runs."""

        def argument(place: int, key: str, default: object) -> object:
            return args[place] if len(args) > place else kwargs.get(key, default)

        if name == "dropout":
            self.dropout |= bool(argument(1, "p", 0.5))
        if name == "batch_norm":
            x = argument(0, "input", None)
            if isinstance(x, Tensor):
                self.norms.append(_is_one_vector(x.reshape(*x.shape[:2], -1)))
        if name in ("cat", "concat", "concatenate"):
            parts = argument(0, "tensors", ())
            if isinstance(parts, (tuple, list)):
                found = [
                    Part(tuple(part.shape), part.ndim > 2 and _is_one_vector(part.flatten(2)))
                    for part in parts
                    if isinstance(part, Tensor)
                ]
                self.joins.append((cast("int", argument(1, "dim", 0)), found))
        if name in ("conv2d", "linear"):
            x, weight = argument(0, "input", None), argument(1, "weight", None)
            if isinstance(x, Tensor) and isinstance(weight, Tensor):
                rate = argument(5, "dilation", 1) if name == "conv2d" else 1
                rate = rate[0] if isinstance(rate, (tuple, list)) else rate
                call = ConvCall(x.detach(), tuple(weight.shape), cast("int", rate))
                self.convs.append(call)


class _Watch(TorchFunctionMode):
    def __init__(self, seen: Sightings) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(  # type: ignore[no-untyped-def]
        self, func, types, args=(), kwargs=None
    ):
        self.seen.note(getattr(func, "__name__", ""), args, kwargs or {})
        return func(*args, **(kwargs or {}))


def look(probe: Probe) -> Sightings:
    """One forward pass of the probe's module in eval mode and double precision, watched."""
    seen = Sightings(probe.x.numel())
    try:
        probe.set_mode(False)
        nn.Module.double(probe.module)
        with torch.no_grad(), _Watch(seen):
            probe.forward(probe.x.clone())
    except Crashed:
        seen.crashed = True
    return seen


def by_position(make: Callable[..., object]) -> Callable[..., object]:
    """`make`, called by keywords, as it takes its arguments: by position."""
    return lambda **arguments: make(*arguments.values())

"""Judge a module that reads two maps with a probe that holds one tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from seglib.teach.tasks import Wrong

Size = tuple[int, int]


class TwoMaps(nn.Module):
    """Calls `inner(first, second)` with two maps cut out of one tensor: (N, C, H, W) → its result.

    Args:
        inner: reads two maps.
        channels: how many of the tensor's channels are the first map's; the others are the
            second's.
        sizes: {(height, width) of the tensor: (height, width) of the second map}.
    Raises:
        Wrong: "modifies-input", if `inner` changes one of the maps.
    """

    def __init__(self, inner: nn.Module, channels: int, sizes: Mapping[Size, Size]) -> None:
        super().__init__()
        self.inner, self.channels, self.sizes = inner, channels, sizes

    def forward(self, x: Tensor) -> object:
        height, width = self.sizes[x.shape[2], x.shape[3]]
        maps = (x[:, : self.channels], x[:, self.channels :, :height, :width])
        given = [part.clone(memory_format=torch.contiguous_format) for part in maps]
        out: object = self.inner(*given)
        if not all(torch.equal(a, b) for a, b in zip(maps, given, strict=True)):
            raise Wrong("modifies-input")
        return out


class MakesTwoMaps:
    """Makes `TwoMaps` around the modules of a class.

    Args:
        make: the class; its first argument is the number of channels of the first map.
        sizes: as `TwoMaps` takes them.
        positional: the class takes its arguments by position.
    """

    def __init__(
        self,
        make: Callable[..., object],
        sizes: Mapping[Size, Size],
        positional: bool = False,
    ) -> None:
        self.make, self.sizes, self.positional = make, sizes, positional

    def __call__(self, **arguments: int) -> object:
        values = tuple(arguments.values())
        inner = self.make(*values) if self.positional else self.make(**arguments)
        return TwoMaps(inner, values[0], self.sizes) if isinstance(inner, nn.Module) else inner

"""What all backbones share: their interface, the check of `output_stride` and the choice of
maps.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor, nn


class Backbone(nn.Module):
    """(N, C, H, W) → a list of maps, high resolution first; `channels` and `strides` tell of each
    map.
    """

    channels: list[int]
    strides: list[int]

    def forward(self, x: Tensor) -> list[Tensor]:
        raise NotImplementedError


def check_output_stride(output_stride: int) -> None:
    """Raise ValueError unless `output_stride` (input pixels per pixel of the last map) is 8, 16 or
    32.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32, got {output_stride}")


def pick(name: str, indices: Sequence[int] | None, count: int) -> list[int]:
    """The wanted ones of `count` indices, default all; ValueError unless in range and ascending."""
    if indices is None:
        return list(range(count))
    chosen = list(indices)
    if not chosen or chosen != sorted(set(chosen)) or chosen[0] < 0 or chosen[-1] >= count:
        raise ValueError(f"{name} must be ascending indices from 0 to {count - 1}, got {chosen}")
    return chosen


def options_of(constructor: Callable[..., object]) -> list[str]:
    """Its keyword-only arguments: what a user may pass as an option."""
    parameters = inspect.signature(constructor).parameters.values()
    return [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]


def reject_foreign_options(
    owner: str, constructor: Callable[..., object], options: Iterable[str]
) -> None:
    """Raise ValueError for the first of `options` that is none of `options_of(constructor)`."""
    known = options_of(constructor)
    for option in options:
        if option not in known:
            raise ValueError(f"{option!r} is no option of {owner}, which takes {', '.join(known)}")

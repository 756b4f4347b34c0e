"""The checks that all heads share."""

from collections.abc import Sequence


def check_whole(name: str, value: int) -> None:
    """Raise ValueError unless `value` is a whole number ≥ 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number >= 1, got {value!r}")


def check_channels(in_channels_list: Sequence[int], levels: int = 1) -> None:
    """Raise ValueError unless it tells the channels, each ≥ 1, of `levels` or more maps."""
    if len(in_channels_list) < levels:
        raise ValueError(
            f"in_channels_list must tell of {levels} or more maps, got {list(in_channels_list)}"
        )
    for i, channels in enumerate(in_channels_list):
        check_whole(f"in_channels_list[{i}]", channels)

"""The checks that all heads share."""

from collections.abc import Sequence

from seglib.checks import check_whole


def check_channels(in_channels_list: Sequence[int], levels: int = 1) -> None:
    """Raise ValueError unless it tells the channels, each ≥ 1, of `levels` or more maps."""
    if len(in_channels_list) < levels:
        raise ValueError(
            f"in_channels_list must tell of {levels} or more maps, got {list(in_channels_list)}"
        )
    for i, channels in enumerate(in_channels_list):
        check_whole(f"in_channels_list[{i}]", channels)

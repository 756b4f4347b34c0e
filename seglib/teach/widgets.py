"""Explorers: thin shells of sliders around pure functions."""

from __future__ import annotations

from seglib.teach._html import put
from seglib.teach.facts import BlockFacts, inverted_residual_facts

__all__ = ["BlockFacts", "inverted_residual_explorer", "inverted_residual_facts"]


def inverted_residual_explorer(
    in_channels: int = 24, out_channels: int = 24, height: int = 65, width: int = 97
) -> None:
    """Show sliders for expansion ratio, stride and dilation, and what they do to shapes and costs.

    Without a running kernel the sliders are dead; the table for the first setting stands on the
    page, too.

    Args:
        in_channels, out_channels: channels of the block.
        height, width: of the input, in pixels.
    Raises:
        ValueError: if an argument is out of its range.
    """
    import ipywidgets

    def facts(expand_ratio: int = 6, stride: int = 1, dilation: int = 1) -> BlockFacts:
        return inverted_residual_facts(
            in_channels, out_channels, expand_ratio, stride, dilation, height, width
        )

    first = facts()
    wide = {"description_width": "8em"}
    ranges = {"expand_ratio": (1, 10, 6), "stride": (1, 2, 1), "dilation": (1, 8, 1)}
    sliders = {
        name: ipywidgets.IntSlider(
            value, low, high, description=name, style=wide, layout={"width": "28em"}
        )
        for name, (low, high, value) in ranges.items()
    }
    page = ipywidgets.HTML(first._repr_html_())

    def update(_: object) -> None:
        page.value = facts(**{name: slider.value for name, slider in sliders.items()})._repr_html_()

    for slider in sliders.values():
        slider.observe(update, names="value")
    bundle = ipywidgets.VBox([*sliders.values(), page])._repr_mimebundle_()
    bundle["text/plain"] = "Sliders: expand_ratio 1–10, stride 1–2, dilation 1–8."
    put(bundle)
    still = (
        '<details style="margin-top:8px"><summary>Without a kernel: the first setting</summary>'
        f"{first._repr_html_()}</details>"
    )
    put({"text/html": still, "text/plain": repr(first)})

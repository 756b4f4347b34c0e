"""The explorer of a feature pyramid's levels: a thin shell of sliders around `pyramid_facts`."""

from __future__ import annotations

from seglib.teach._html import put
from seglib.teach.pyramid import TOPS, PyramidFacts, backbone_levels, pyramid_facts

BACKBONES = ("resnet50", "resnet18", "mobilenetv2")


def explored(
    backbone: str = "resnet50",
    height: int = 513,
    width: int = 513,
    output_stride: int = 32,
    levels: tuple[int, int] = (2, 5),
    out_channels: int = 256,
    top: str = "none",
) -> PyramidFacts:
    """The facts of a pyramid on some of a backbone's levels.

    Args:
        backbone: a name that `build_backbone` takes, with four levels.
        height, width: of the image, in pixels, ≥ 1.
        output_stride: of the backbone, 8, 16 or 32.
        levels: the finest and the coarsest level that is used, each from 2 to 5.
        out_channels: channels of every result.
        top: one of `TOPS`.
    Raises:
        ValueError: if an argument is out of its range.
    """
    first, last = levels
    if not 2 <= first <= last <= 5:
        raise ValueError(f"levels must be (finest, coarsest) within 2 … 5, got {levels}")
    channels, strides = backbone_levels(backbone, output_stride)
    chosen = slice(first - 2, last - 1)
    return pyramid_facts(channels[chosen], strides[chosen], out_channels, height, width, top)


def pyramid_explorer() -> None:
    """Show sliders for image, backbone and levels, and what they do to sizes and costs.

    Without a running kernel the sliders are dead; the table for the first setting stands on the
    page, too.
    """
    import ipywidgets

    style, layout = {"description_width": "8em"}, {"width": "30em"}
    common = {"style": style, "layout": layout}
    controls = {
        "backbone": ipywidgets.Dropdown(options=BACKBONES, description="backbone", **common),
        "height": ipywidgets.IntSlider(513, 33, 1025, description="height", **common),
        "width": ipywidgets.IntSlider(513, 33, 1025, description="width", **common),
        "output_stride": ipywidgets.Dropdown(
            options=(32, 16, 8), description="output stride", **common
        ),
        "levels": ipywidgets.IntRangeSlider(
            value=(2, 5), min=2, max=5, description="levels P", **common
        ),
        "out_channels": ipywidgets.Dropdown(
            options=(256, 128, 64), description="out_channels", **common
        ),
        "top": ipywidgets.Dropdown(options=TOPS, description="further levels", **common),
    }
    first = explored()
    page = ipywidgets.HTML(first._repr_html_())

    def update(_: object) -> None:
        chosen = {name: control.value for name, control in controls.items()}
        page.value = explored(**chosen)._repr_html_()

    for control in controls.values():
        control.observe(update, names="value")
    bundle = ipywidgets.VBox([*controls.values(), page])._repr_mimebundle_()
    bundle["text/plain"] = f"Controls: {', '.join(controls)}."
    put(bundle)
    still = (
        '<details style="margin-top:8px"><summary>Without a kernel: the first setting</summary>'
        f"{first._repr_html_()}</details>"
    )
    put({"text/html": still, "text/plain": repr(first)})

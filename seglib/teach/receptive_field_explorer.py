"""The explorer of ASPP's rates: a picture of `AsppView`, and a thin shell of sliders around it."""

from __future__ import annotations

import base64
import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from seglib.teach import figures
from seglib.teach._html import escape, put
from seglib.teach.receptive_field import AsppView, Place, aspp_view

_COLORS = (figures.BLUE, figures.ORANGE, figures.GREEN, figures.PURPLE)
_RATES = ((1, 2, 3), (3, 6, 9), (6, 12, 18), (12, 24, 36), (6, 12, 24))
_STRIDES = (8, 16, 32)
_PLACES: tuple[Place, ...] = ("centre", "edge", "corner")


def draw(view: AsppView) -> Figure:
    """Where the taps of each branch fall, and how many of nine read the map.

    Returns:
        A figure of 8 × 3.5 inches; `figures.show` puts it on a page, with `describe(view)` as its
        alt text.
    """
    figure = Figure(figsize=(figures.WIDTH, 3.5), facecolor=figures.CARD, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    for axes in (left, right):
        axes.set_facecolor(figures.CARD)
    _draw_map(left, view)
    _draw_bars(right, view)
    return figure


def describe(view: AsppView) -> str:
    """Alt text for `draw(view)`."""
    taps = ", ".join(f"rate {one.rate}: {one.taps} of 9" for one in view.branches)
    means = ", ".join(f"{one.mean_taps:.1f}" for one in view.branches)
    return (
        f"A map of {view.map_size}×{view.map_size} pixels and the taps of a pixel at its "
        f"{view.place[0]}; inside the map are {taps}. Bars of the map's mean: {means} of 9."
    )


def _draw_map(axes: Axes, view: AsppView) -> None:
    size, (_, row, column) = view.map_size, view.place
    reach = max(one.rate for one in view.branches)
    frame = {"facecolor": "#ffffff", "edgecolor": figures.INK, "linewidth": 1.4, "zorder": 1}
    axes.add_patch(Rectangle((-0.5, -0.5), size, size, **frame))  # type: ignore[arg-type]
    for one, color in zip(view.branches, _COLORS * len(view.branches), strict=False):
        steps = [(i * one.rate, j * one.rate) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        points = [(column + j, row + i) for i, j in steps if (i, j) != (0, 0)]
        inside = [0 <= x < size and 0 <= y < size for x, y in points]
        for marker, kept in (("o", True), ("x", False)):
            chosen = [point for point, is_in in zip(points, inside, strict=True) if is_in == kept]
            x, y = [point[0] for point in chosen], [point[1] for point in chosen]
            axes.scatter(x, y, s=34, marker=marker, color=color, zorder=3, clip_on=False)
    axes.scatter([column], [row], s=46, marker="s", color=figures.INK, zorder=4)
    margin = 0.06 * max(size, 2 * reach)
    low = min(-0.5, min(row, column) - reach) - margin
    high = max(size - 0.5, max(row, column) + reach) + margin
    axes.set(xlim=(low, high), ylim=(high, low), xticks=(), yticks=())
    axes.set_aspect("equal")
    for spine in axes.spines.values():
        spine.set_visible(False)
    words = f"{size}×{size} map; dots read it, crosses read padding"
    axes.set_title(words, fontsize=9.5, color=figures.INK)


def _draw_bars(axes: Axes, view: AsppView) -> None:
    names = [f"rate {one.rate}" for one in view.branches]
    places = list(range(len(names)))
    means = [one.mean_taps for one in view.branches]
    colors = [_COLORS[place % len(_COLORS)] for place in places]
    axes.barh(places, [9] * len(names), color="#e9ebee", height=0.6)
    axes.barh(places, means, color=colors, height=0.6)
    axes.axvline(1, color=figures.VERMILION, linewidth=1.4, linestyle=(0, (4, 2)))
    for place, mean in zip(places, means, strict=True):
        axes.text(mean + 0.15, place, f"{mean:.2f}", va="center", fontsize=9, color=figures.INK)
    axes.set(xlim=(0, 9), ylim=(len(names) - 0.4, -0.6), xlabel="taps inside the map, mean of 9")
    axes.set_yticks(places, names)
    axes.set_xticks([1, 3, 6, 9], ["1\nas a 1×1", "3", "6", "9"])
    axes.spines[["top", "right"]].set_visible(False)


def aspp_explorer(rates: tuple[int, ...] = (6, 12, 18), input_size: int = 513) -> None:
    """Show controls for rates, output stride, image size and pixel, and what ASPP then reads.

    Without a running kernel the controls are dead; picture and table of the first setting stand on
    the page, too.

    Args:
        rates: the first choice, one of those offered.
        input_size: side of the image at the start, in pixels, 64 … 1025.
    Raises:
        ValueError: if an argument is out of its range.
    """
    import ipywidgets

    if rates not in _RATES:
        raise ValueError(f"rates must be one of {_RATES}, got {rates}")
    if not 64 <= input_size <= 1025:
        raise ValueError(f"input_size must be 64 … 1025, got {input_size}")
    first = aspp_view(rates, input_size=input_size)
    look = {"style": {"description_width": "8em"}, "layout": {"width": "28em"}}
    names = [(", ".join(map(str, choice)), choice) for choice in _RATES]
    controls = {
        "rates": ipywidgets.Dropdown(options=names, value=rates, description="rates", **look),
        "output_stride": ipywidgets.SelectionSlider(
            options=_STRIDES, value=first.output_stride, description="output stride", **look
        ),
        "input_size": ipywidgets.IntSlider(
            input_size, 64, 1025, description="image size", continuous_update=False, **look
        ),
        "place": ipywidgets.Dropdown(options=_PLACES, description="pixel", **look),
    }
    page = ipywidgets.HTML(_page(first))

    def update(_: object) -> None:
        page.value = _page(aspp_view(**{name: one.value for name, one in controls.items()}))

    for control in controls.values():
        control.observe(update, names="value")
    bundle = ipywidgets.VBox([*controls.values(), page])._repr_mimebundle_()
    bundle["text/plain"] = "Controls: rates, output stride 8–32, image size 64–1025, pixel."
    put(bundle)
    summary = "Without a kernel: the first setting"
    put({"text/html": f"<p><em>{summary}</em></p>", "text/plain": summary})
    figures.show(draw(first), describe(first))
    put({"text/html": first._repr_html_(), "text/plain": repr(first)})


def _page(view: AsppView) -> str:
    """Picture and table as HTML."""
    buffer = io.BytesIO()
    figure = draw(view)
    figure.savefig(buffer, format="png", dpi=120, facecolor=figure.get_facecolor())
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    picture = (
        f'<img src="data:image/png;base64,{data}" alt="{escape(describe(view))}" '
        'style="width:768px;max-width:100%">'
    )
    return f"{picture}{view._repr_html_()}"

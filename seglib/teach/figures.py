"""Pictures of the course: the map of DeepLabV3+, and how a figure is put on a page."""

from __future__ import annotations

import io
from dataclasses import dataclass

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from seglib.teach._html import escape, put

# Okabe and Ito's palette: told apart with any kind of colour vision.
BLACK, ORANGE, SKY, GREEN = "#000000", "#e69f00", "#56b4e9", "#009e73"
YELLOW, BLUE, VERMILION, PURPLE = "#f0e442", "#0072b2", "#d55e00", "#cc79a7"
COLORS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW, BLACK)
CARD, INK, FAINT = "#fbfbf9", "#22272e", "#c3c8ce"  # a light card reads on light and dark pages
WIDTH = 8.0  # inches; 768 pixels on the page
_CSS_PIXELS_PER_INCH = 96
_DOTS_PER_INCH = 2 * _CSS_PIXELS_PER_INCH


@dataclass(frozen=True)
class Box:
    """A part of the map: its place in inches, its words and its colour."""

    name: str
    x: float
    y: float
    width: float
    height: float
    text: str
    color: str


_BOXES = (
    Box("image", 0.12, 1.35, 0.74, 0.62, "image\n3 × H × W", INK),
    Box("stem", 1.02, 1.35, 0.55, 0.62, "stem\n/2", BLUE),
    Box("stage4", 1.72, 1.35, 0.62, 0.62, "stage\n/4", BLUE),
    Box("stage8", 2.49, 1.35, 0.62, 0.62, "stage\n/8", BLUE),
    Box("stage16", 3.26, 1.35, 0.68, 0.62, "stages\n/16", BLUE),
    Box("aspp", 4.22, 1.35, 0.98, 0.62, "ASPP\nrates 6 12 18", VERMILION),
    Box("low_level", 2.49, 0.38, 1.45, 0.42, "low level: 1×1, 48", GREEN),
    Box("decoder", 5.42, 0.72, 0.95, 1.25, "decoder\n\nupsample,\nconcatenate,\n3×3 conv", GREEN),
    Box("logits", 6.62, 1.35, 0.58, 0.62, "logits\n/4", PURPLE),
    Box("mask", 7.40, 1.35, 0.50, 0.62, "mask\nH × W", INK),
    Box("training", 5.42, 0.16, 2.48, 0.36, "labels → loss → gradient → step", ORANGE),
)
# (from, to) and the path in inches.
_ARROWS: tuple[tuple[str, str, tuple[tuple[float, float], ...]], ...] = (
    ("image", "stem", ((0.86, 1.66), (1.02, 1.66))),
    ("stem", "stage4", ((1.57, 1.66), (1.72, 1.66))),
    ("stage4", "stage8", ((2.34, 1.66), (2.49, 1.66))),
    ("stage8", "stage16", ((3.11, 1.66), (3.26, 1.66))),
    ("stage16", "aspp", ((3.94, 1.66), (4.22, 1.66))),
    ("aspp", "decoder", ((5.20, 1.66), (5.42, 1.66))),
    ("stage4", "low_level", ((2.03, 1.35), (2.03, 0.59), (2.49, 0.59))),
    ("low_level", "decoder", ((3.94, 0.59), (4.73, 0.59), (4.73, 0.95), (5.42, 0.95))),
    ("decoder", "logits", ((6.37, 1.66), (6.62, 1.66))),
    ("logits", "mask", ((7.20, 1.66), (7.40, 1.66))),
    ("logits", "training", ((6.91, 1.35), (6.91, 0.52))),
)
_STAGES = ("stage4", "stage8", "stage16")
_BACKBONE = ("stem", *_STAGES)
_NETWORK = (*_BACKBONE, "aspp", "low_level", "decoder", "logits")

# What each chapter lights, and in how many words.
_PARTS: dict[str, tuple[tuple[str, ...], str]] = {
    "make_divisible": (_BACKBONE, "channel counts of every stage: multiples of 8"),
    "inverted_residual": (_STAGES, "MobileNetV2: stages of inverted residuals"),
    "se_hswish": (_STAGES, "MobileNetV3: squeeze-and-excite, h-swish"),
    "ghost_module": (_STAGES, "GhostNet: cheap maps in the stages"),
    "bottleneck": (_BACKBONE, "ResNet: another backbone, stages of bottlenecks"),
    "xception": (_BACKBONE, "Xception: another backbone, of separable convolutions"),
    "hrnet": (_BACKBONE, "HRNet: another backbone, all resolutions side by side"),
    "fpn": (("aspp", "low_level", "decoder"), "FPN: another head, top-down over all levels"),
    "aspp": (("aspp",), "one map at several rates"),
    "decoder": (("low_level", "decoder", "logits"), "sharp borders from the low level"),
    "data": (("image", "training"), "images and labels, transformed together"),
    "metrics": (("mask",), "how right is the mask?"),
    "losses": (("logits", "training"), "logits and labels give one number"),
    "training": ((*_NETWORK, "training"), "every weight, step by step"),
    "prediction": (("image", *_NETWORK, "mask"), "from any picture to its mask"),
}  # fmt: skip
PARTS: tuple[str, ...] = tuple(_PARTS)


def where(part: str | None = None) -> Figure:
    """The map of DeepLabV3+ with one part lit.

    Args:
        part: one of `PARTS`, or None for the whole.
    Returns:
        A figure of 8 × 2.5 inches; `show` puts it on a page, with `describe(part)` as its alt text.
    Raises:
        ValueError: for an unknown part.
    """
    lit, words = _lookup(part)
    figure = Figure(figsize=(WIDTH, 2.5), dpi=_CSS_PIXELS_PER_INCH, facecolor=CARD)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, 2.5))
    axes.axis("off")
    for start, end, path in _ARROWS:
        bright = start in lit and end in lit
        color = INK if bright else FAINT
        x, y = [point[0] for point in path], [point[1] for point in path]
        axes.plot(x[:-1] + x[-1:], y, color=color, linewidth=1.4, solid_joinstyle="round", zorder=1)
        axes.annotate(
            "",
            xy=path[-1],
            xytext=path[-2],
            arrowprops={
                "arrowstyle": "-|>",
                "color": color,
                "linewidth": 1.4,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )
    for box in _BOXES:
        bright = box.name in lit
        axes.add_patch(
            FancyBboxPatch(
                (box.x, box.y), box.width, box.height, boxstyle="round,pad=0,rounding_size=0.07",
                facecolor=_tint(box.color, 0.22) if bright else CARD,
                edgecolor=box.color if bright else FAINT,
                linewidth=2.2 if bright else 1.0, zorder=2,
            )
        )  # fmt: skip
        axes.text(
            box.x + box.width / 2, box.y + box.height / 2, box.text, ha="center", va="center",
            fontsize=7.6, color=INK if bright else "#6b737c", linespacing=1.25, zorder=3,
            fontweight="bold" if bright else "normal",
        )  # fmt: skip
    axes.plot((1.02, 3.94), (2.08, 2.08), color=FAINT, linewidth=1.0)
    axes.text(2.48, 2.13, "backbone", ha="center", va="bottom", fontsize=7.6, color="#5b636c")
    axes.plot((4.22, 7.20), (2.08, 2.08), color=FAINT, linewidth=1.0)
    axes.text(5.71, 2.13, "head", ha="center", va="bottom", fontsize=7.6, color="#5b636c")
    axes.text(0.12, 0.16, words, fontsize=8.6, color=INK, va="bottom", fontweight="bold")
    return figure


def describe(part: str | None = None) -> str:
    """Alt text for `where(part)`: what is lit, in words."""
    lit, words = _lookup(part)
    titles = [_title(box) for box in _BOXES if box.name in lit]
    chain = "image, stem, three stages, ASPP, decoder with a low-level shortcut, logits, mask"
    return f"Map of DeepLabV3+: {chain}. Lit: {', '.join(titles)} ({words})."


def _title(box: Box) -> str:
    first, *more = box.text.split("\n")
    return f"{first} {more[0]}" if more and more[0].startswith("/") else first


def _lookup(part: str | None) -> tuple[tuple[str, ...], str]:
    if part is None:
        return tuple(box.name for box in _BOXES), "DeepLabV3+"
    if part not in _PARTS:
        raise ValueError(f"part must be None or one of {', '.join(PARTS)}, got {part!r}")
    return _PARTS[part]


def _tint(color: str, amount: float) -> tuple[float, float, float]:
    """`color` mixed into the card's colour."""
    mixed = []
    for index in (1, 3, 5):
        over, under = int(color[index : index + 2], 16), int(CARD[index : index + 2], 16)
        mixed.append((amount * over + (1 - amount) * under) / 255)
    return mixed[0], mixed[1], mixed[2]


def show(figure: Figure, alt: str, fingerprint: str | None = None) -> None:
    """Put a figure on the page, at double resolution and 96 pixels an inch, and let go of it.

    The alt text goes into the output's metadata and plain text; and, because neither JupyterLab 4.6
    nor nbconvert's lab template reads it there, under the picture as a description to open.

    Args:
        figure: at most 9.3 inches (900 pixels) wide.
        alt: what the picture shows, in words.
        fingerprint: a line to print that changes when the picture would.
    Raises:
        ValueError: if `alt` is empty or the figure is too wide.
    """
    width = float(figure.get_size_inches()[0])
    if not alt.strip():
        raise ValueError("alt is empty, must say what the picture shows")
    if width > 9.4:
        raise ValueError(f"figure is {width:g} inches wide, must be at most 9.3")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, facecolor=figure.get_facecolor())
    metadata = {"image/png": {"alt": alt, "width": round(width * _CSS_PIXELS_PER_INCH)}}
    picture = {"image/png": buffer.getvalue(), "text/plain": alt}
    put(picture, metadata)
    words = f'<details style="font-size:85%"><summary>Description</summary>{escape(alt)}</details>'
    put({"text/html": words, "text/plain": f"Description: {alt}"})
    if fingerprint is not None:
        print(fingerprint)
    _close(figure)


def _close(figure: Figure) -> None:
    """Forget the figure, if pyplot made it: else the notebook would draw it once more."""
    import sys

    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(figure)

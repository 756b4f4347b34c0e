"""The contact sheet of `data/README.md`: scenes, some of their masks, and the legend.

python -m seglib.datasets.toystreet.sheet data/contact_sheet.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seglib.datasets.camvid import CLASSES, PALETTE
from seglib.datasets.toystreet import render_scene
from seglib.datasets.toystreet.canvas import VOID

SCENES = (1, 4, 27, 18, 14, 22, 20, 24, 41, 43, 52, 2)  # of train; the last four with their masks
COLUMNS, SCALE, GAP, LEGEND = 4, 2, 8, 64
WIDTH, HEIGHT = 160 * SCALE, 120 * SCALE


def contact_sheet() -> Image.Image:
    """Three rows of scenes, a row of masks below the last, and the legend."""
    rows = len(SCENES) // COLUMNS + 1
    size = (COLUMNS * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP + LEGEND)
    sheet = Image.new("RGB", size, (250, 250, 248))
    for place, index in enumerate(SCENES):
        picture, mask = render_scene("train", index)
        _paste(sheet, Image.fromarray(picture), place)
        if place >= len(SCENES) - COLUMNS:
            colors = np.zeros((256, 3), dtype=np.uint8)
            colors[: len(PALETTE)] = PALETTE
            _paste(sheet, Image.fromarray(colors[mask]), place + COLUMNS)
    _write_legend(sheet, rows * (HEIGHT + GAP) + GAP)
    return sheet


def _paste(sheet: Image.Image, picture: Image.Image, place: int) -> None:
    corner = GAP + place % COLUMNS * (WIDTH + GAP), GAP + place // COLUMNS * (HEIGHT + GAP)
    sheet.paste(picture.resize((WIDTH, HEIGHT), Image.Resampling.NEAREST), corner)


def _write_legend(sheet: Image.Image, top: int) -> None:
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    names = [f"{label} {name}" for label, name in enumerate(CLASSES)] + [f"{VOID} void"]
    step = (sheet.width - 2 * GAP) // 6
    for place, (name, color) in enumerate(zip(names, (*PALETTE, (0, 0, 0)), strict=True)):
        x, y = GAP + place % 6 * step, top + place // 6 * 28
        draw.rectangle((x, y, x + 26, y + 18), fill=color)
        draw.text((x + 34, y), name, fill=(40, 40, 40), font=font)


if __name__ == "__main__":
    contact_sheet().save(Path(sys.argv[1]), optimize=True)

"""Colours, overlays and figures: the right pixels, and errors for labels without a colour."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from seglib.visualize import (
    colorize,
    curves,
    make_palette,
    overlay,
    save_mask,
    show_prediction,
)

PALETTE = torch.tensor([[10, 20, 30], [200, 100, 0], [0, 0, 255]], dtype=torch.uint8)
CLASSES = ("sky", "road", "car")
MASK = torch.tensor([[0, 0, 1], [2, 255, 1]])
IMAGE = torch.arange(18, dtype=torch.uint8).reshape(3, 2, 3) * 10


def test_colorize() -> None:
    colors = colorize(MASK, PALETTE)
    assert colors.shape == (3, 2, 3)
    assert colors.dtype == torch.uint8
    assert colors[:, 0, 2].tolist() == [200, 100, 0]
    assert colors[:, 1, 1].tolist() == [0, 0, 0]
    assert torch.equal(colorize(MASK.to(torch.uint8), PALETTE.numpy()), colors)
    assert torch.equal(colorize(MASK, PALETTE.tolist()), colors)


def test_overlay() -> None:
    mixed = overlay(IMAGE, MASK, PALETTE)
    expected = (IMAGE.float() + colorize(MASK, PALETTE).float()) / 2
    assert (mixed - expected).abs()[:, MASK != 255].max() <= 0.5
    assert torch.equal(mixed[:, 1, 1], IMAGE[:, 1, 1])  # ignored: the image alone
    assert torch.equal(overlay(IMAGE, MASK, PALETTE, alpha=0.0), IMAGE)
    solid = overlay(IMAGE, MASK, PALETTE, alpha=1.0)
    assert torch.equal(solid[:, MASK != 255], colorize(MASK, PALETTE)[:, MASK != 255])
    array = IMAGE.permute(1, 2, 0).numpy()
    assert torch.equal(overlay(Image.fromarray(array), MASK, PALETTE), mixed)


def test_the_figure_draws_the_borders_between_classes() -> None:
    mask = torch.zeros(4, 6, dtype=torch.int64)
    mask[:, 3:] = 1
    mask[3] = 1
    figure = show_prediction(torch.zeros(3, 4, 6, dtype=torch.uint8), mask, CLASSES, PALETTE)
    (lines,) = figure.axes[1].collections
    assert len(lines.get_segments()) == 3 + 3  # pixel edges upright and level
    assert {tuple(point) for point in lines.get_segments()[0]} == {(2.5, -0.5), (2.5, 0.5)}


@pytest.mark.parametrize(
    "mask, message",
    [
        (MASK + 1, "label 3, allowed is 0 to 2 or 255"),
        (MASK - 1, "label -1"),
        (MASK.float(), "integer labels"),
        (MASK[None], r"\(H, W\)"),
        (MASK == 1, "integer labels"),
    ],
)
def test_a_label_without_a_colour_is_named(mask: torch.Tensor, message: str) -> None:
    for draw in (
        lambda: colorize(mask, PALETTE),
        lambda: overlay(IMAGE, mask, PALETTE),
        lambda: show_prediction(IMAGE, mask, CLASSES, PALETTE),
    ):
        with pytest.raises(ValueError, match=message):
            draw()


def test_other_wrong_arguments() -> None:
    with pytest.raises(ValueError, match=r"the image's size \(2, 3\), got \(1, 3\)"):
        overlay(IMAGE, MASK[:1], PALETTE)
    with pytest.raises(ValueError, match="alpha"):
        overlay(IMAGE, MASK, PALETTE, alpha=1.1)
    with pytest.raises(ValueError, match="alpha"):
        overlay(IMAGE, MASK, PALETTE, alpha=float("nan"))
    with pytest.raises(ValueError, match="palette"):
        colorize(MASK, PALETTE.float() / 255)
    with pytest.raises(ValueError, match="palette"):
        colorize(MASK, PALETTE[:, :2])
    with pytest.raises(ValueError, match="2 names for 3 colours"):
        show_prediction(IMAGE, MASK, CLASSES[:2], PALETTE)
    with pytest.raises(ValueError, match="series"):
        curves({})


def texts(figure: Figure) -> list[str]:
    found = figure.axes[-1].get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def pixels(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer))


def test_the_figure_names_the_classes_that_occur() -> None:
    figure = show_prediction(IMAGE, torch.where(MASK == 2, 0, MASK), CLASSES, PALETTE)
    assert texts(figure) == ["0 sky", "1 road"]
    assert [axes.get_title() for axes in figure.axes] == ["image", "prediction"]
    figure = show_prediction(IMAGE, torch.zeros_like(MASK), CLASSES, PALETTE, truth=MASK)
    assert texts(figure) == ["0 sky", "1 road", "2 car"]
    assert len(figure.axes) == 3
    numbers = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert numbers == {"0", "1", "2"}


def test_the_figure_has_a_fixed_size_whatever_the_image() -> None:
    for size in ((2, 3), (120, 160), (50, 300)):
        image = torch.zeros(3, *size, dtype=torch.uint8)
        mask = torch.zeros(size, dtype=torch.int64)
        mask[:, 1:] = 2
        drawn = pixels(show_prediction(image, mask, CLASSES, PALETTE))
        assert drawn.shape[:2] == (260, 740)
    again = show_prediction(image, mask, CLASSES, PALETTE)
    np.testing.assert_array_equal(pixels(again), drawn)


def test_curves() -> None:
    figure = curves({"loss": [(0, 2.0), (10, 1.0)], "mean IoU": [(10, 0.3)]})
    assert [axes.get_title() for axes in figure.axes] == ["loss", "mean IoU"]
    assert pixels(figure).shape[:2] == (240, 680)


def test_a_saved_mask_holds_the_labels_and_shows_the_colours(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    save_mask(path, MASK, PALETTE)
    with Image.open(path) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), MASK.numpy())
        colors = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(colors, colorize(MASK, PALETTE).permute(1, 2, 0))
    assert [file.name for file in tmp_path.iterdir()] == ["mask.png"]


def test_a_mask_that_can_not_be_saved_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.png"):
        save_mask(tmp_path / "mask.jpg", MASK, PALETTE)
    with pytest.raises(ValueError, match="label 3"):
        save_mask(tmp_path / "mask.png", MASK + 1, PALETTE)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        save_mask(tmp_path / "nowhere" / "mask.png", MASK, PALETTE)
    assert list(tmp_path.iterdir()) == []


def test_a_made_palette_has_a_colour_for_each_class() -> None:
    for num_classes in (1, 11, 255):
        palette = make_palette(num_classes)
        assert palette.dtype == torch.uint8
        assert len({tuple(color) for color in palette.tolist()}) == num_classes
        assert palette.sum(dim=1).min() > 0  # black is for ignored pixels
    for num_classes in (0, 256):
        with pytest.raises(ValueError, match="num_classes"):
            make_palette(num_classes)

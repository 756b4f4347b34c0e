"""The map and the explorer: what is lit, what is put on a page."""

import subprocess
import sys

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from seglib.teach import figures, widgets
from seglib.teach._html import put


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, object], object]]:
    bundles: list[tuple[dict[str, object], object]] = []

    def keep(bundle: dict[str, object], metadata: object = None) -> None:
        bundles.append((bundle, metadata))

    monkeypatch.setattr(figures, "put", keep)
    monkeypatch.setattr(widgets, "put", keep)
    return bundles


def lit(figure: Figure) -> int:
    return sum(patch.get_linewidth() > 2 for patch in figure.axes[0].patches)


def test_every_part_lights_something_else() -> None:
    whole = lit(figures.where())
    for part in figures.PARTS:
        assert 1 <= lit(figures.where(part)) <= whole
        assert figures.describe(part).startswith("Map of DeepLabV3+")
    assert lit(figures.where("inverted_residual")) == 3
    assert lit(figures.where("aspp")) == 1
    assert len({figures.describe(part) for part in figures.PARTS}) == len(figures.PARTS)
    assert set(figures.PARTS) == {
        "make_divisible", "inverted_residual", "se_hswish", "ghost_module", "bottleneck",
        "xception", "hrnet", "fpn", "aspp", "decoder", "data", "metrics", "losses", "training",
        "prediction",
    }  # fmt: skip


def test_unknown_part() -> None:
    with pytest.raises(ValueError, match=r"one of make_divisible.*got 'stem'"):
        figures.where("stem")


def test_words_stay_in_their_boxes() -> None:
    figure = figures.where()
    figure.canvas.draw()
    axes = figure.axes[0]
    for box, text in zip(figures._BOXES, axes.texts[-14:], strict=False):
        found = next(item for item in axes.texts if item.get_text() == box.text)
        extent = found.get_window_extent().transformed(axes.transData.inverted())
        assert box.x < extent.x0 < extent.x1 < box.x + box.width, (box.name, text)


def test_show(shown: list, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[type-arg]
    figure = plt.figure(figsize=(4, 2))
    figures.show(figure, "two <lines>", "sum 3")
    (picture, metadata), (words, _) = shown
    assert picture["image/png"][:4] == b"\x89PNG"
    assert picture["text/plain"] == "two <lines>"
    assert metadata == {"image/png": {"alt": "two <lines>", "width": 384}}
    assert "two &lt;lines&gt;" in words["text/html"]
    assert capsys.readouterr().out == "sum 3\n"
    assert not plt.get_fignums()
    with pytest.raises(ValueError, match="alt is empty"):
        figures.show(figures.where(), " ")
    with pytest.raises(ValueError, match="12 inches wide"):
        figures.show(Figure(figsize=(12, 2)), "wide")


def test_explorer_has_a_still_table(shown: list) -> None:  # type: ignore[type-arg]
    widgets.inverted_residual_explorer()
    (live, _), (still, _) = shown
    assert "application/vnd.jupyter.widget-view+json" in live
    assert live["text/plain"].startswith("Sliders")
    assert "1×1 expansion" in still["text/html"]
    assert "51 751 440" in still["text/plain"]
    first = [bundle["text/html"] for bundle, _ in shown if "text/html" in bundle]
    shown.clear()
    widgets.inverted_residual_explorer()
    assert first == [bundle["text/html"] for bundle, _ in shown if "text/html" in bundle]


def test_explorer_reacts(shown: list) -> None:  # type: ignore[type-arg]
    import ipywidgets

    made: list[ipywidgets.Widget] = []
    ipywidgets.Widget.on_widget_constructed(made.append)
    try:
        widgets.inverted_residual_explorer()
    finally:
        ipywidgets.Widget.on_widget_constructed(None)
    sliders = [widget for widget in made if isinstance(widget, ipywidgets.IntSlider)]
    pages = [widget for widget in made if isinstance(widget, ipywidgets.HTML)]
    assert [slider.description for slider in sliders] == ["expand_ratio", "stride", "dilation"]
    next(slider for slider in sliders if slider.description == "stride").value = 2
    assert "33 × 49" in pages[0].value
    assert "no shortcut" in pages[0].value


def test_put_outside_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    put({"text/plain": "words"})
    assert "words" in capsys.readouterr().out


def test_import_is_light() -> None:
    code = (
        "import sys, seglib; before = set(sys.modules); import seglib.teach;"
        "late = {'matplotlib', 'ipywidgets', 'IPython', 'timm'} & (set(sys.modules) - before);"
        "assert not late, late"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

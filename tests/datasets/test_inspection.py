"""Inspecting data sets: counts against count_pixels, pictures of odd data sets."""

from pathlib import Path

import pytest
from data_trees import labels_of, write_folder, write_image, write_mask

from seglib.datasets import build_dataset
from seglib.datasets.inspection import inspect_dataset
from seglib.datasets.inspection_picture import SAMPLES, _choose, draw_inspection
from seglib.datasets.statistics import count_pixels


def test_counts_agree(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    found = inspect_dataset(
        "toystreet",
        build_dataset("toystreet", "val").root,
        lambda done, total: calls.append((done, total)),
    )
    assert calls == [(i, 420) for i in range(1, 421)]
    assert found.problems == found.missing == found.notes == []
    for split, size in zip(found.splits, (300, 60, 60), strict=True):
        assert split.pixels.tolist() == count_pixels(split.dataset).tolist()
        assert int(split.pixels.sum()) + split.void == size * 120 * 160
        assert split.sizes == {(120, 160): size}
    chosen = _choose(found.splits[0])
    assert len(chosen) == SAMPLES
    assert sum(found.splits[0].usable[i] for i in chosen).bool().all()  # every class is shown


@pytest.mark.parametrize("kind", ["void", "one", "many classes"])
def test_odd_data_sets_can_be_drawn(tmp_path: Path, kind: str) -> None:
    if kind == "one":
        write_folder(tmp_path, ["a"])
    else:
        write_folder(tmp_path)
    if kind == "void":
        for name in "abcde":
            write_mask(tmp_path / "masks" / f"{name}.png", labels_of((255,)))
    if kind == "many classes":
        names = ", ".join(f"class number {i}" for i in range(255))
        (tmp_path / "classes.yaml").write_text(f"classes: [{names}]")
        write_image(tmp_path / "images" / "a.jpg", (400, 700))
        write_mask(tmp_path / "masks" / "a.png", labels_of(range(255), (400, 700)))
    figure = draw_inspection(inspect_dataset("folder", tmp_path))
    figure.savefig(tmp_path / "picture.png")
    assert max(figure.get_size_inches()) <= 16


def test_nothing_can_t_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no picture to draw: no image could be read"):
        draw_inspection(inspect_dataset("folder", tmp_path))

"""Numbers on a mask: deep in their areas, and never on one another."""

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import Tensor

from seglib import build_dataset
from seglib.placement import depth, place_numbers
from seglib.visualize import show_prediction


def striped(width: int, count: int) -> Tensor:
    """Stripes one pixel wide in the middle of a field of zeros."""
    mask = torch.zeros(60, width, dtype=torch.int64)
    for label in range(1, count + 1):
        mask[20:40, 30 + label] = label
    return mask


def test_depth_counts_to_the_border() -> None:
    area = torch.zeros(7, 9, dtype=torch.bool)
    area[1:6, 2:7] = True
    assert depth(area)[3].tolist() == [0, 0, 1, 2, 3, 2, 1, 0, 0]
    assert depth(torch.ones(3, 3, dtype=torch.bool)).tolist() == [[1, 1, 1], [1, 2, 1], [1, 1, 1]]


def test_with_room_a_number_stands_deepest_in_its_area() -> None:
    mask = torch.zeros(60, 80, dtype=torch.int64)
    mask[:, 40:] = 1
    left, right = sorted(place_numbers(mask, [0, 1]), key=lambda place: place.label)
    assert left.pixel == left.target
    assert 15 <= left.pixel[1] <= 24
    assert 55 <= right.pixel[1] <= 64


def test_narrow_neighbours_do_not_collide() -> None:
    places = place_numbers(striped(80, 3), [0, 1, 2, 3])
    assert {place.label for place in places} == {0, 1, 2, 3}
    for place in places:
        others = [other.pixel for other in places if other is not place]
        assert all(abs(place.pixel[0] - y) >= 5 or abs(place.pixel[1] - x) >= 5 for y, x in others)
        assert place.target == place.pixel or place.label > 0


def test_a_number_without_room_leads_to_its_area() -> None:
    mask = torch.zeros(60, 80, dtype=torch.int64)
    mask[30, 40], mask[31, 41] = 1, 2
    places = {place.label: place for place in place_numbers(mask, [0, 1, 2])}
    assert mask[places[1].target] == 1
    assert mask[places[2].target] == 2
    assert places[1].pixel == places[1].target  # the first of equals chooses first
    assert places[2].pixel != places[2].target


def test_a_tiny_picture_has_places_too() -> None:
    mask = torch.arange(6).reshape(2, 3)
    assert len(place_numbers(mask, [*range(6)])) == 6


@pytest.mark.parametrize("index", [0, 7, 12, 23, 41])
def test_numbers_of_streets_do_not_overlap(index: int) -> None:
    streets = build_dataset("toystreet", "test")
    image, truth = streets[index]
    guess = truth.roll(9, dims=1)  # another mask, as crowded
    figure = show_prediction(image, guess, streets.classes, streets.palette, truth=truth)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes[1:3]:
        boxes = [text.get_window_extent(renderer) for text in axes.texts]
        assert len(boxes) >= 6
        assert axes.get_xlim() == (-0.5, 159.5)
        for place, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:place])

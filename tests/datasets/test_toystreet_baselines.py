"""The pixel classifiers that a network has to beat stay as weak as the design says."""

import numpy as np
import pytest

from benchmarks.toystreet_baselines import (
    colour_only,
    colour_position_patch,
    mean_iou,
    patch_and_place,
)

TRAINED = 0.57  # val mean IoU of a small DeepLabV3+ after 90 s on two cores; see data/README.md


def test_mean_iou_of_known_answers() -> None:
    target = np.array([0, 0, 1, 1, 2, 2])
    assert mean_iou(target, target, 3) == 1
    predicted = np.array([0, 1, 1, 1, 2, 0])
    assert mean_iou(predicted, target, 3) == pytest.approx((1 / 3 + 2 / 3 + 1 / 2) / 3)


def test_patches_hold_what_they_say() -> None:
    image = np.random.default_rng(0).random((6, 7, 3)).astype(np.float32)
    features = patch_and_place(image)
    assert features.shape == (42, 86)
    row, column = 3, 2
    pixel = features[row * 7 + column]
    assert np.array_equal(pixel[:75].reshape(5, 5, 3), image[1:6, 0:5])
    assert pixel[75:78] == pytest.approx(image[1:6, 0:5].mean((0, 1)), abs=1e-6)
    assert pixel[-2:].tolist() == [row, column]


@pytest.mark.slow
def test_colour_alone_is_not_enough() -> None:
    assert 0.15 < colour_only() < 0.35


@pytest.mark.slow
def test_colour_position_and_patches_are_not_enough() -> None:
    assert 0.3 < colour_position_patch() < TRAINED - 0.15

"""Boundary scores against scipy, class by class, and where outlines are missing or cut off."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from seglib.boundary import BoundaryResult, BoundaryScores

Array = NDArray[np.int64]
SQUARE = np.ones((3, 3), dtype=bool)


def scores_of(
    prediction: torch.Tensor | Array,
    mask: torch.Tensor | Array,
    num_classes: int = 2,
    *,
    width: int | float = 1,
    tolerance: int | float = 1,
) -> BoundaryResult:
    scores = BoundaryScores(num_classes, width=width, tolerance=tolerance)
    scores.update(prediction, mask)
    return scores.compute()


def scene(seed: int, num_classes: int, height: int, width: int) -> tuple[Array, Array]:
    """A mask of overlapping rectangles, a prediction that is moved and disturbed, some void."""
    random = np.random.default_rng(seed)
    mask = np.zeros((height, width), dtype=np.int64)
    for _ in range(random.integers(0, 7)):
        top, left = random.integers(-2, height), random.integers(-2, width)
        tall, wide = random.integers(1, 9, 2)
        box = slice(max(top, 0), max(top + tall, 0)), slice(max(left, 0), max(left + wide, 0))
        mask[box] = random.integers(0, num_classes)
    prediction = np.roll(mask, random.integers(-2, 3, 2), axis=(0, 1))
    noise = random.random(mask.shape) < random.choice([0.0, 0.05])
    prediction[noise] = random.integers(0, num_classes, noise.sum())
    if seed % 2:
        void = ndimage.binary_dilation(random.random(mask.shape) < 0.01, SQUARE, iterations=2)
        mask[void] = 255
        prediction[void] = random.integers(-5, 300, void.sum())
    return prediction, mask


def reference(
    prediction: Array, mask: Array, num_classes: int, width: int, tolerance: int
) -> list[list[int]]:
    """The six counts of each class, by distance transforms of scipy's."""
    valid = mask != 255

    def near(where: NDArray[np.bool_], radius: int, metric: str) -> NDArray[np.bool_]:
        if not where.any():
            return np.zeros_like(where)
        if metric == "chessboard":
            return ndimage.distance_transform_cdt(~where, "chessboard") <= radius
        return ndimage.distance_transform_edt(~where) <= radius

    rows = []
    for c in range(num_classes):
        bands, contours = [], []
        for labels in (prediction, mask):
            member, other = valid & (labels == c), valid & (labels != c)
            around = np.pad(other, 1, constant_values=True)
            bands.append(member & near(around, width, "chessboard")[1:-1, 1:-1])
            contours.append(member & ndimage.binary_dilation(other, SQUARE))
        found, there = contours
        rows.append(
            [
                (bands[0] & bands[1]).sum(),
                (bands[0] | bands[1]).sum(),
                found.sum(),
                (found & near(there, tolerance, "euclidean")).sum(),
                there.sum(),
                (there & near(found, tolerance, "euclidean")).sum(),
            ]
        )
    return rows


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    num_classes=st.integers(1, 5),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    width=st.integers(1, 9),
    tolerance=st.integers(0, 9),
)
def test_counts_are_scipys(
    seed: int, num_classes: int, size: tuple[int, int], width: int, tolerance: int
) -> None:
    prediction, mask = scene(seed, num_classes, *size)
    scores = BoundaryScores(num_classes, width=width, tolerance=tolerance)
    scores.update(prediction, mask)
    assert scores.counts.tolist() == reference(prediction, mask, num_classes, width, tolerance)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 100_000).map(lambda n: 2 * n), share=st.floats(0.005, 0.2))
def test_boundary_iou_is_the_authors_without_void(seed: int, share: float) -> None:
    """They erode each mask by a 3×3 square, again and again, with nothing outside the image."""
    prediction, mask = scene(seed, 3, 23, 31)
    d = max(1, round(share * math.sqrt(23**2 + 31**2)))
    bands = [
        [m & ~ndimage.binary_erosion(m, SQUARE, iterations=d, border_value=0) for m in masks]
        for masks in zip(*((prediction == c, mask == c) for c in range(3)), strict=True)
    ]
    ours = scores_of(prediction, mask, 3, width=share).class_iou
    for iou, found, there in zip(ours, *bands, strict=True):
        either = (found | there).sum()
        expected = (found & there).sum() / either if either else math.nan
        assert iou == pytest.approx(expected, nan_ok=True)


@pytest.mark.requires("camvid")
def test_real_street_scenes(camvid_root: Path) -> None:
    """CamVid's masks, each predicted as the one of the next frame; thin objects and real void."""
    paths = sorted((camvid_root / "valannot").glob("*.png"))[:4]
    frames = [np.asarray(Image.open(path)).astype(np.int64) for path in paths]
    scores = BoundaryScores(11, ignore_index=11)
    expected = np.zeros((11, 6), dtype=np.int64)
    for mask, following in itertools.pairwise(frames):
        prediction = np.where(following == 11, 0, following)
        scores.update(prediction, mask)
        mask = np.where(mask == 11, 255, mask)  # 12 pixels and 4.5 → 4 of a diagonal of 600
        expected += np.array(reference(prediction, mask, 11, 12, 4))
    assert scores.counts.tolist() == expected.tolist()
    result = scores.compute()
    assert 0.0 < result.mean_iou < 1.0
    assert result.class_iou[3] > result.class_iou[2]  # road, pole


def disc(center: tuple[float, float], radius: float, size: int = 40) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return ((y - center[0]) ** 2 + (x - center[1]) ** 2 <= radius**2).long()


def test_what_fits_gets_1_and_what_is_elsewhere_0() -> None:
    same = scores_of(disc((20, 20), 9), disc((20, 20), 9))
    assert same.class_iou == same.class_f_score == (1.0, 1.0)
    assert same.mean_iou == same.mean_f_score == 1.0
    apart = scores_of(disc((8, 8), 5), disc((30, 30), 5), width=2, tolerance=2)
    assert apart.class_iou[1] == apart.class_f_score[1] == 0.0


@pytest.mark.parametrize("shift", [1, 2, 3, 4])
def test_a_shift_within_the_tolerance_is_forgiven(shift: int) -> None:
    mask, moved = disc((20, 18), 9), disc((20, 18 + shift), 9)
    within = scores_of(moved, mask, tolerance=shift)
    assert within.class_f_score == (1.0, 1.0)
    beyond = scores_of(moved, mask, tolerance=shift - 1)
    assert beyond.class_f_score[1] < 1.0
    ious = [scores_of(moved, mask, width=width).class_iou[1] for width in (1, 2, 4, 8)]
    assert ious == sorted(ious)  # a wider band forgives more
    whole = (mask & moved).sum() / (mask | moved).sum()
    assert scores_of(moved, mask, width=40).class_iou[1] == pytest.approx(whole.item())


def test_the_tolerance_is_a_straight_line() -> None:
    mask, prediction = torch.zeros(2, 30, 30, dtype=torch.int64)
    mask[10, 10] = prediction[13, 14] = 1  # 5 pixels away
    assert scores_of(prediction, mask, tolerance=5).class_f_score[1] == 1.0
    assert scores_of(prediction, mask, tolerance=4).class_f_score[1] == 0.0


def test_by_hand() -> None:
    """A square of 4 × 4 of which a column is missed."""
    mask, prediction = torch.zeros(2, 9, 9, dtype=torch.int64)
    mask[2:6, 2:6] = 1
    prediction[2:6, 2:5] = 1
    scores = BoundaryScores(2, width=1, tolerance=0)
    scores.update(prediction, mask)
    # Bands: 12 of the label (its inner 2 × 2 is left out), 10 of the prediction (4 × 3 without
    # 2 × 1); in both: column 2 (4), columns 3 and 4 at the top and at the bottom (4).
    # Contours are the same pixels as bands, away from the image's border.
    assert scores.counts[1].tolist() == [8, 14, 10, 8, 12, 8]
    result = scores.compute()
    assert result.class_iou[1] == pytest.approx(8 / 14)
    assert result.class_precision[1] == pytest.approx(8 / 10)
    assert result.class_recall[1] == pytest.approx(8 / 12)
    assert result.class_f_score[1] == pytest.approx(2 * 0.8 * (2 / 3) / (0.8 + 2 / 3))


def test_a_class_that_is_nowhere_is_nan_and_left_out_of_the_means() -> None:
    result = scores_of(disc((20, 20), 9), disc((20, 20), 9), 4)
    for scores in (result.class_iou, result.class_f_score, result.class_recall):
        assert [math.isnan(score) for score in scores] == [False, False, True, True]
    assert result.mean_iou == result.mean_f_score == 1.0
    read = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert read["class_boundary_iou"] == [1.0, 1.0, None, None]
    assert read["boundary_f_score"] == 1.0


def test_a_class_in_one_of_the_two_gets_0() -> None:
    empty, full = torch.zeros(12, 12, dtype=torch.int64), disc((5, 5), 3, 12)
    for pair in ((empty, full), (full, empty)):
        result = scores_of(*pair)
        assert result.class_iou[1] == result.class_f_score[1] == 0.0
    assert math.isnan(scores_of(empty, full).class_precision[1])
    assert math.isnan(scores_of(full, empty).class_recall[1])


def test_a_class_that_fills_the_image_has_a_band_but_no_contour() -> None:
    full = torch.ones(12, 15, dtype=torch.int64)
    result = scores_of(full, full)
    assert result.class_iou[1] == 1.0
    assert math.isnan(result.class_f_score[1])
    scores = BoundaryScores(2, width=2)
    scores.update(full, full)
    assert scores.counts[1].tolist() == [12 * 15 - 8 * 11, 12 * 15 - 8 * 11, 0, 0, 0, 0]


def test_one_pixel_and_the_image_of_one_pixel() -> None:
    mask = torch.zeros(5, 7, dtype=torch.int64)
    mask[4, 6] = 1  # in the corner
    result = scores_of(mask, mask)
    assert result.class_iou == result.class_f_score == (1.0, 1.0)
    alone = scores_of(mask[4:, 6:], mask[4:, 6:])
    assert alone.class_iou[1] == 1.0
    assert math.isnan(alone.mean_f_score)


def test_an_object_cut_by_the_border_has_no_contour_there() -> None:
    mask = torch.zeros(10, 10, dtype=torch.int64)
    mask[:, :4] = 1
    scores = BoundaryScores(2, width=1, tolerance=1)
    scores.update(mask, mask)
    assert scores.counts[1].tolist() == [24, 24, 10, 10, 10, 10]


def test_void_makes_no_boundary_and_does_not_count() -> None:
    mask = torch.zeros(20, 20, dtype=torch.int64)
    mask[:, 8:12] = 255
    for garbage in (0, 1, -1, 999):
        prediction = mask.clone()
        prediction[:, 8:12] = garbage
        scores = BoundaryScores(2, width=2, tolerance=2)
        scores.update(prediction, mask)
        band = (20 * 20 - 16 * 16) - 2 * 2 * 4  # along the image's border, without the void
        assert scores.counts.tolist() == [[band, band, 0, 0, 0, 0], [0] * 6]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000).map(lambda n: 2 * n + 1))
def test_predictions_in_void_are_never_looked_at(seed: int) -> None:
    prediction, mask = scene(seed, 3, 20, 20)
    assume((mask == 255).any())
    other = np.where(mask == 255, 1, prediction)
    scores, again = BoundaryScores(3, width=3), BoundaryScores(3, width=3)
    scores.update(prediction, mask)
    again.update(other, mask)
    assert torch.equal(scores.counts, again.counts)


def test_void_between_two_classes_hides_the_contour_not_the_band() -> None:
    mask = torch.zeros(20, 20, dtype=torch.int64)
    mask[:, 9:11] = 255
    mask[:, 11:] = 1
    scores = BoundaryScores(2, width=3, tolerance=1)
    scores.update(mask, mask)
    assert scores.counts[1].tolist() == [20 * 9 - 14 * 5, 20 * 9 - 14 * 5, 0, 0, 0, 0]


def test_a_share_of_the_diagonal_is_rounded_and_at_least_a_pixel() -> None:
    prediction, mask = (torch.from_numpy(part) for part in scene(4, 3, 30, 40))  # diagonal 50
    for share, pixels in ((0.001, 1), (0.05, 2), (0.07, 4), (0.1, 5)):  # 2.5 goes to the even 2
        by_share = BoundaryScores(3, width=share, tolerance=share)
        in_pixels = BoundaryScores(3, width=pixels, tolerance=pixels)
        by_share.update(prediction, mask)
        in_pixels.update(prediction, mask)
        assert torch.equal(by_share.counts, in_pixels.counts)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 4))
def test_streaming_and_merging_equal_one_update(seed: int, cut: int) -> None:
    scenes = [scene(seed + i, 3, 12, 14) for i in range(4)]
    prediction, mask = (torch.from_numpy(np.stack(part)) for part in zip(*scenes, strict=True))
    whole, first, second = (BoundaryScores(3) for _ in range(3))
    whole.update(prediction, mask)
    first.update(prediction[:cut], mask[:cut])
    for pair in zip(prediction[cut:], mask[cut:], strict=True):
        second.update(*pair)
    held = first.counts
    before = held.clone()
    first.merge(second)
    assert torch.equal(first.counts, whole.counts)
    assert torch.equal(held, before)
    result = whole.compute()
    for score in (*result.class_iou, *result.class_f_score):
        assert 0 <= score <= 1 or math.isnan(score)
    first.reset()
    assert first.counts.sum() == 0
    assert math.isnan(first.compute().mean_iou)


def test_logits_count_as_their_argmax() -> None:
    logits = torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.randint(0, 3, (2, 9, 8))
    labels, scores = BoundaryScores(3), BoundaryScores(3)
    labels.update(logits.argmax(1), mask)
    scores.update(logits, mask)
    assert torch.equal(labels.counts, scores.counts)


def test_an_empty_batch_counts_nothing() -> None:
    scores = BoundaryScores(2)
    for shape in ((0, 5, 6), (1, 0, 6), (5, 0)):
        empty = torch.zeros(shape, dtype=torch.int64)
        scores.update(empty, empty)
    assert scores.counts.sum() == 0


ZERO = torch.zeros(2, 3, 3, dtype=torch.int64)


@pytest.mark.parametrize(
    "prediction, mask, message",
    [
        (ZERO - 1, ZERO, "prediction holds class -1"),
        (ZERO, ZERO + 3, "mask holds label 3"),
        (ZERO, ZERO.float(), "mask must hold integers"),
        (ZERO[:1], ZERO, "they must be equal"),
        (torch.cat([ZERO[:1], ZERO[:1] + 2]), ZERO, "class 2"),
    ],
)
def test_a_refused_update_counts_nothing(
    prediction: torch.Tensor, mask: torch.Tensor, message: str
) -> None:
    scores = BoundaryScores(2)
    with pytest.raises(ValueError, match=message) as caught:
        scores.update(prediction, mask)
    assert "\n" not in str(caught.value)
    assert scores.counts.sum() == 0


@pytest.mark.parametrize(
    "name, value",
    [
        ("num_classes", 0),
        ("width", 0),
        ("width", 1.0),
        ("width", 0.0),
        ("width", math.nan),
        ("width", True),
        ("tolerance", -1),
        ("tolerance", 2.5),
        ("tolerance", "3"),
    ],
)
def test_arguments_are_checked(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        BoundaryScores(**{"num_classes": 2, name: value})


@pytest.mark.parametrize(
    "options", [{"width": 2}, {"tolerance": 2}, {"ignore_index": 0}, {"num_classes": 3}]
)
def test_merging_needs_the_same_arguments(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        BoundaryScores(2).merge(BoundaryScores(**{"num_classes": 2, **options}))

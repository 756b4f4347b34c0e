"""Scores against torchmetrics and scikit-learn, and what must not be counted."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    jaccard_score,
    recall_score,
)
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassJaccardIndex,
)

from seglib.metrics import ConfusionMatrix, RunningAverage, Scores


def random_pair(
    seed: int, num_classes: int, shape: tuple[int, ...] = (3, 17, 23)
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.randint(0, num_classes, shape, generator=generator)
    prediction = torch.randint(0, num_classes, shape, generator=generator)
    prediction = torch.where(torch.rand(shape, generator=generator) < 0.6, mask, prediction)
    mask[torch.rand(shape, generator=generator) < 0.1] = 255
    return prediction, mask


def scores_of(prediction: torch.Tensor, mask: torch.Tensor, num_classes: int) -> Scores:
    matrix = ConfusionMatrix(num_classes)
    matrix.update(prediction, mask)
    return matrix.compute()


@pytest.mark.parametrize("num_classes", [2, 11, 21])
def test_agrees_with_scikit_learn_and_torchmetrics(num_classes: int) -> None:
    prediction, mask = random_pair(num_classes, num_classes)
    matrix = ConfusionMatrix(num_classes)
    matrix.update(prediction, mask)
    valid = mask != 255
    y_true, y_pred = mask[valid].numpy(), prediction[valid].numpy()
    labels = list(range(num_classes))
    scores = matrix.compute()

    np.testing.assert_array_equal(matrix.matrix, confusion_matrix(y_true, y_pred, labels=labels))
    theirs = MulticlassConfusionMatrix(num_classes, ignore_index=255)(prediction, mask)
    assert torch.equal(matrix.matrix, theirs)
    iou = jaccard_score(y_true, y_pred, labels=labels, average=None)
    np.testing.assert_allclose(scores.class_iou, iou, rtol=1e-14)
    assert scores.mean_iou == pytest.approx(iou.mean(), rel=1e-14)
    macro = MulticlassJaccardIndex(num_classes, ignore_index=255)(prediction, mask)
    assert scores.mean_iou == pytest.approx(macro.item(), rel=1e-6)
    assert scores.mean_accuracy == pytest.approx(balanced_accuracy_score(y_true, y_pred))
    weighted = jaccard_score(y_true, y_pred, labels=labels, average="weighted")
    assert scores.frequency_weighted_iou == pytest.approx(weighted, rel=1e-14)
    assert scores.frequency_weighted_accuracy == scores.frequency_weighted_iou
    assert scores.overall_accuracy == pytest.approx((y_true == y_pred).mean(), rel=1e-14)
    assert scores.num_pixels == valid.sum()


def test_a_class_that_occurs_nowhere_is_nan_and_left_out_of_the_means() -> None:
    mask = torch.tensor([[0, 0, 1, 255]])
    scores = scores_of(torch.tensor([[0, 2, 1, 3]]), mask, 5)
    assert scores.class_iou[:3] == (0.5, 1.0, 0.0)  # class 2 is predicted: it counts, with 0
    assert all(math.isnan(iou) for iou in scores.class_iou[3:])
    assert scores.mean_iou == 0.5
    assert scores.mean_accuracy == 0.75  # over the labels 0 and 1
    assert math.isnan(scores.class_accuracy[2])


def test_no_pixel_at_all_is_nan_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    for mask in (torch.full((2, 3), 255), torch.zeros((0, 2, 3), dtype=torch.int64)):
        scores = scores_of(torch.zeros_like(mask), mask, 3)
        means = (scores.overall_accuracy, scores.mean_accuracy, scores.mean_iou)
        assert all(math.isnan(mean) for mean in (*means, scores.frequency_weighted_iou))
        assert all(math.isnan(iou) for iou in scores.class_iou)
    assert not recwarn.list


def test_logits_count_as_their_argmax() -> None:
    logits = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    mask = torch.randint(0, 4, (2, 5, 6))
    expected, single, half = ConfusionMatrix(4), ConfusionMatrix(4), ConfusionMatrix(4)
    expected.update(logits.argmax(1), mask)
    for one, labels in zip(logits, mask, strict=True):
        single.update(one.requires_grad_(), labels)
    half.update(logits.bfloat16(), mask)
    assert torch.equal(expected.matrix, single.matrix)
    assert half.matrix.sum() == mask.numel()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", ">u2", "int32", "int64", "uint64"])
def test_arrays_of_any_integer_type(dtype: str) -> None:
    prediction, mask = (part.numpy() for part in random_pair(1, 4))
    expected, matrix = ConfusionMatrix(4), ConfusionMatrix(4)
    expected.update(prediction, mask)
    frozen = mask.astype(dtype)[:, ::-1]
    frozen.flags.writeable = False
    matrix.update(prediction.astype(dtype)[:, ::-1], frozen)
    assert torch.equal(matrix.matrix, expected.matrix)


def test_tensors_of_any_integer_type() -> None:
    prediction, mask = random_pair(2, 4)
    expected = ConfusionMatrix(4)
    expected.update(prediction, mask)
    for dtype in (torch.uint8, torch.int16, torch.uint16, torch.int32):
        matrix = ConfusionMatrix(4)
        matrix.update(prediction.to(dtype), mask.to(dtype))
        assert torch.equal(matrix.matrix, expected.matrix)
    matrix = ConfusionMatrix(4)
    matrix.update(prediction.numpy(), mask)
    assert torch.equal(matrix.matrix, expected.matrix)


def test_the_prediction_at_ignored_pixels_is_never_looked_at() -> None:
    mask = torch.tensor([[255, 1]])
    matrix = ConfusionMatrix(2)
    matrix.update(torch.tensor([[-1, 1]]), mask)
    matrix.update(torch.tensor([[[math.nan, 0.0]], [[0.0, 1.0]]]), mask)
    assert matrix.matrix.tolist() == [[0, 0], [0, 2]]


def test_another_ignore_index() -> None:
    matrix = ConfusionMatrix(2, ignore_index=-1)
    matrix.update(torch.tensor([[0, 1]], dtype=torch.int8), torch.tensor([[-1, 1]]))
    assert matrix.matrix.tolist() == [[0, 0], [0, 1]]
    with pytest.raises(ValueError, match="label 255"):
        matrix.update(torch.tensor([[0]]), torch.tensor([[255]], dtype=torch.uint8))


ZERO = torch.zeros(2, 2, dtype=torch.int64)


@pytest.mark.parametrize(
    "prediction, mask, message",
    [
        (ZERO - 1, ZERO, "prediction holds class -1"),
        (ZERO + 3, ZERO, r"prediction holds class 3, allowed is 0 to 2 \(num_classes=3\)"),
        (ZERO, ZERO + 30, "mask holds label 30"),
        (ZERO, ZERO - 2, "mask holds label -2"),
        (ZERO, ZERO.float(), "mask must hold integers, got torch.float32"),
        (ZERO, ZERO.bool(), "mask must hold integers, got torch.bool"),
        (ZERO.bool(), ZERO, "prediction must hold integers"),
        (ZERO.float(), ZERO, r"must be \(3, 2, 2\)"),
        (torch.zeros(1, 2, 2, 2), ZERO[None], r"must be \(1, 3, 2, 2\)"),
        (torch.full((3, 2, 2), math.nan), ZERO, "nan"),
        (ZERO[:1], ZERO, r"shape \(1, 2\)"),
        (ZERO[0], ZERO[0], "H, W"),
        ([[0]], ZERO, "prediction must be a tensor or an array of numbers, got list"),
        (ZERO, np.zeros((2, 2), dtype=object), "got object"),
    ],
)
def test_a_refused_update_counts_nothing(
    prediction: torch.Tensor, mask: torch.Tensor, message: str
) -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(ZERO, ZERO)
    with pytest.raises(ValueError, match=message) as caught:
        matrix.update(prediction, mask)
    assert "\n" not in str(caught.value)
    assert matrix.matrix.sum() == 4


@pytest.mark.parametrize("num_classes", [0, -1, 2.0, True, "3"])
def test_num_classes_is_checked(num_classes: int) -> None:
    with pytest.raises(ValueError, match="num_classes"):
        ConfusionMatrix(num_classes)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), num_classes=st.integers(1, 6), cut=st.integers(0, 4))
def test_streaming_and_merging_equal_one_update(seed: int, num_classes: int, cut: int) -> None:
    prediction, mask = random_pair(seed, num_classes, (4, 5, 3))
    whole, first, second = (ConfusionMatrix(num_classes) for _ in range(3))
    whole.update(prediction, mask)
    first.update(prediction[:cut], mask[:cut])
    second.update(prediction[cut:], mask[cut:])
    first.merge(second)
    assert torch.equal(first.matrix, whole.matrix)
    scores = whole.compute()
    assert 0 <= scores.mean_iou <= scores.mean_accuracy <= 1 or math.isnan(scores.mean_accuracy)
    perfect = scores_of(mask, mask, num_classes)
    assert perfect.mean_iou == perfect.overall_accuracy == 1.0
    first.reset()
    assert first.matrix.sum() == 0


def test_merging_needs_the_same_classes() -> None:
    with pytest.raises(ValueError, match="num_classes=3, it must be 2"):
        ConfusionMatrix(2).merge(ConfusionMatrix(3))
    with pytest.raises(ValueError, match="ignore_index"):
        ConfusionMatrix(2).merge(ConfusionMatrix(2, ignore_index=0))


def test_a_matrix_once_taken_does_not_change() -> None:
    matrix = ConfusionMatrix(3)
    before = matrix.matrix
    matrix.update(ZERO, ZERO)
    assert before.sum() == 0


def test_scores_as_json_and_as_text() -> None:
    scores = scores_of(torch.tensor([[0, 1]]), torch.tensor([[0, 0]]), 3)
    read = json.loads(json.dumps(scores.as_dict(), allow_nan=False))
    assert read["class_iou"] == [0.5, 0.0, None]
    assert read["num_pixels"] == 2
    table = scores.table(("sky", "road", "tree"))
    assert "sky" in table
    assert "0.5000" in table
    assert "nan" not in table
    assert "class 2" in str(scores)
    with pytest.raises(ValueError, match="2 names"):
        scores.table(("sky", "road"))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_classes=st.integers(2, 8),
    missing=st.integers(0, 7),
    ignore_index=st.sampled_from([255, -1, 0]),
)
def test_the_five_scores_on_random_data(
    seed: int, num_classes: int, missing: int, ignore_index: int
) -> None:
    """Also where a class is only predicted, only labelled, or neither."""
    prediction, mask = random_pair(seed, num_classes, (2, 9, 11))
    mask[mask == missing] = 255
    if seed % 2:
        prediction[prediction == (missing + seed) % num_classes] = 0
    mask[mask == 255] = ignore_index
    matrix = ConfusionMatrix(num_classes, ignore_index)
    matrix.update(prediction, mask)
    scores = matrix.compute()
    valid = mask != ignore_index
    assume(bool(valid.any()))
    y_true, y_pred = mask[valid].numpy(), prediction[valid].numpy()
    every = list(range(num_classes))
    seen, labelled = np.union1d(y_true, y_pred), np.unique(y_true)

    iou = np.full(num_classes, np.nan)
    iou[seen] = jaccard_score(y_true, y_pred, labels=seen, average=None, zero_division=0.0)
    np.testing.assert_allclose(scores.class_iou, iou, rtol=1e-14)
    recall = recall_score(y_true, y_pred, labels=every, average=None, zero_division=np.nan)
    np.testing.assert_allclose(scores.class_accuracy, recall, rtol=1e-14)
    assert scores.overall_accuracy == pytest.approx(accuracy_score(y_true, y_pred))
    assert scores.mean_iou == pytest.approx(
        jaccard_score(y_true, y_pred, labels=seen, average="macro")
    )
    assert scores.mean_accuracy == pytest.approx(
        recall_score(y_true, y_pred, labels=labelled, average="macro")
    )
    assert scores.frequency_weighted_iou == pytest.approx(
        jaccard_score(y_true, y_pred, labels=labelled, average="weighted")
    )

    options = {"num_classes": num_classes, "ignore_index": ignore_index}
    theirs = MulticlassConfusionMatrix(**options)(prediction, mask)
    assert torch.equal(matrix.matrix, theirs)
    micro = MulticlassAccuracy(average="micro", **options)(prediction, mask)
    assert scores.overall_accuracy == pytest.approx(micro.item(), rel=1e-6)
    if ignore_index not in every:  # theirs leaves the ignored class out of the mean
        macro = MulticlassJaccardIndex(average="macro", **options)(prediction, mask)
        assert scores.mean_iou == pytest.approx(macro.item(), rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 50)), max_size=8), st.integers(0, 8))
def test_a_running_average_is_the_weighted_mean(pairs: list[tuple[float, int]], cut: int) -> None:
    whole, first, second = RunningAverage(), RunningAverage(), RunningAverage()
    for number, (value, count) in enumerate(pairs):
        whole.update(value, count)
        (first if number < cut else second).update(
            torch.tensor([value], dtype=torch.float64), count
        )
    first.merge(second)
    counts = [count for _, count in pairs]
    assert whole.count == first.count == sum(counts)
    if sum(counts):
        expected = np.average([value for value, _ in pairs], weights=counts)
        assert whole.compute() == pytest.approx(expected, abs=1e-7)
        assert first.compute() == pytest.approx(expected, abs=1e-7)
    else:
        assert math.isnan(whole.compute())


def test_a_running_average_is_of_what_counts() -> None:
    average = RunningAverage()
    assert math.isnan(average.compute())
    average.update(2.0)
    average.update(torch.tensor(5.0, requires_grad=True), 2)
    average.update(math.nan, 0)
    assert average.compute() == 4.0
    average.reset()
    assert average.count == 0
    assert math.isnan(average.compute())
    average.update(math.nan)  # a lost run is seen
    assert math.isnan(average.compute())


@pytest.mark.parametrize(
    "value, count, message",
    [
        (torch.zeros(2), 1, r"value must be one number, got a tensor \(2,\)"),
        (1.0, -1, "count must be a finite number >= 0, got -1"),
        (1.0, math.nan, "count"),
        (1.0, math.inf, "count"),
    ],
)
def test_a_running_average_checks_its_arguments(
    value: float | torch.Tensor, count: float, message: str
) -> None:
    average = RunningAverage()
    with pytest.raises(ValueError, match=message):
        average.update(value, count)
    assert average.count == 0

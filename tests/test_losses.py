"""The losses against PyTorch's and torchvision's, and where those give nan or an assertion."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from seglib.losses import (
    LOSSES,
    PIXEL_LOSSES,
    Balance,
    Loss,
    PixelLoss,
    class_weights,
    cross_entropy,
    dice,
    focal,
)

WEIGHT = torch.tensor([0.5, 1.0, 2.0, 0.0, 3.0], dtype=torch.float64)
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
every_pixel_loss = pytest.mark.parametrize("loss", PIXEL_LOSSES.values(), ids=PIXEL_LOSSES)


def random_batch(seed: int, num_classes: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, num_classes, 7, 9, generator=generator, dtype=torch.float64)
    mask = torch.randint(0, num_classes, (2, 7, 9), generator=generator)
    mask[torch.rand(mask.shape, generator=generator) < 0.2] = 255
    return logits, mask


def value_and_gradient(
    loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, mask)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


# Cross-entropy


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    weighted=st.booleans(),
    label_smoothing=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_cross_entropy_agrees_with_pytorch(
    seed: int, weighted: bool, label_smoothing: float
) -> None:
    logits, mask = random_batch(seed)
    weight = WEIGHT if weighted else None
    theirs = logits.clone().requires_grad_()
    logits.requires_grad_()
    ours = cross_entropy(logits, mask, weight=weight, label_smoothing=label_smoothing)
    expected = F.cross_entropy(
        theirs, mask, weight=weight, ignore_index=255, label_smoothing=label_smoothing
    )
    torch.testing.assert_close(ours, expected, rtol=1e-13, atol=1e-13)
    ours.backward()
    expected.backward()
    torch.testing.assert_close(logits.grad, theirs.grad, rtol=1e-13, atol=1e-13)


# Focal loss


def test_focal_by_hand() -> None:
    # p = 0.9 and 0.5 for the label; the third pixel is ignored.
    odds = torch.tensor([9.0, 1.0, 5.0], dtype=torch.float64)
    logits = torch.stack([odds.log(), torch.zeros(3)])[None, :, None]  # (1, 2, 1, 3)
    mask = torch.tensor([[[0, 0, 255]]])
    expected = -(0.1**2 * math.log(0.9) + 0.5**2 * math.log(0.5)) / 2
    assert focal(logits, mask).item() == pytest.approx(expected, rel=1e-12)
    weighted = focal(logits, mask, weight=torch.tensor([7.0, 1.0]))
    assert weighted.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_focal_with_gamma_0_is_cross_entropy_to_the_last_bit(
    dtype: torch.dtype, weighted: bool
) -> None:
    for seed in range(20):
        logits, mask = random_batch(seed)
        logits = 3 * logits.to(dtype)
        weight = WEIGHT if weighted else None
        ours = value_and_gradient(
            lambda x, y, w=weight: focal(x, y, gamma=0.0, weight=w), logits, mask
        )
        theirs = value_and_gradient(
            lambda x, y, w=weight: cross_entropy(x, y, weight=w), logits, mask
        )
        assert torch.equal(ours[0], theirs[0])
        torch.testing.assert_close(ours[1], theirs[1], rtol=1e-6, atol=0)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    gamma=st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]),
    alpha=st.sampled_from([None, 0.25, 0.9]),
)
def test_two_classes_agree_with_torchvision(seed: int, gamma: float, alpha: float | None) -> None:
    """softmax of (0, z) is (1 − sigmoid(z), sigmoid(z)); α and 1 − α are the classes' weights."""
    logits, mask = random_batch(seed, 2)
    logits[:, 0] = 0.0
    valid = mask != 255
    weight = None if alpha is None else torch.tensor([1 - alpha, alpha], dtype=torch.float64)
    total, count = focal(logits, mask, gamma=gamma, weight=weight, reduction="sum_and_count")
    z, target = logits[:, 1][valid], mask[valid].double()
    expected = sigmoid_focal_loss(
        z, target, alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="sum"
    )
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-10)
    expected_count = valid.sum() if weight is None else weight[mask[valid]].sum()
    torch.testing.assert_close(count, expected_count.double())


@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.5, 1.0, 2.0, 5.0])
def test_focal_gradients_by_finite_differences(gamma: float) -> None:
    logits, mask = random_batch(3)
    logits, mask = logits[:1, :, :2, :3].clone().requires_grad_(), mask[:1, :2, :3]
    assert torch.autograd.gradcheck(
        lambda x: focal(x, mask, gamma=gamma, weight=WEIGHT), logits, atol=1e-7
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0.0, 1e-3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("size", [1e4, 80.0, 20.0, 0.0])
def test_focal_is_finite_where_the_network_is_sure(
    size: float, gamma: float, dtype: torch.dtype
) -> None:
    """p → 1, p → 0, and a pixel that is ignored; the gradient follows from the formula."""
    logits = torch.tensor([[size, -size, size], [-size, size, -size], [-size, -size, -size]])
    logits = logits.to(dtype).reshape(1, 3, 1, 3)
    mask = torch.tensor([[[0, 0, 255]]])
    value, gradient = value_and_gradient(lambda x, y: focal(x, y, gamma=gamma), logits, mask)
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert gradient[..., 2].abs().max() == 0.0  # the ignored pixel
    right, wrong = gradient[0, 0, 0, :2].double()
    if size >= 80:
        assert right == 0.0  # sure and right: nothing to learn
        assert wrong == pytest.approx(-0.5)  # sure and wrong: as cross-entropy, over 2 pixels
        assert value == pytest.approx(size, rel=1e-2)  # (0 + 2 · size) / 2
    assert right <= 0.0
    assert wrong < 0.0


def test_the_popular_formula_is_not_finite_there() -> None:
    """Why the library's differs: kept so that the difference is known to matter."""
    logits = torch.tensor([[200.0, -200.0]]).requires_grad_()
    loss = F.cross_entropy(logits, torch.tensor([0]), reduction="none")
    ((1 - torch.exp(-loss)) ** 0.5 * loss).mean().backward()
    assert logits.grad is not None
    assert logits.grad.isnan().any()


# Dice


def dice_by_hand(logits: Tensor, mask: Tensor) -> float:
    """Class by class, pixel by pixel."""
    probability = logits.softmax(1)
    valid = mask != 255
    coefficients = []
    for c in range(logits.shape[1]):
        p, g = probability[:, c][valid], (mask == c)[valid].double()
        if g.sum() > 0:
            coefficients.append((2 * (p * g).sum() / ((p**2).sum() + (g**2).sum())).item())
    return 1 - sum(coefficients) / len(coefficients)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), absent=st.integers(0, 4), ignored=st.sampled_from([255, 0, -7]))
def test_dice_is_the_formula(seed: int, absent: int, ignored: int) -> None:
    logits, mask = random_batch(seed)
    mask[mask == absent] = 255
    expected = dice_by_hand(logits, mask)
    if ignored == 0 and absent != 0:
        mask[mask == 0] = 255
        expected = dice_by_hand(logits, mask)
    renamed = mask.masked_fill(mask == 255, ignored)
    ours = dice(logits, renamed, ignore_index=ignored)
    assert ours.item() == pytest.approx(expected, rel=1e-12)
    assert 0.0 <= ours <= 1.0


def test_dice_of_a_perfect_and_of_a_wrong_prediction() -> None:
    mask = torch.tensor([[[0, 1, 1, 255]]])
    perfect = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0], [0.0] * 4])
    logits = 1e4 * (2 * perfect - 1).reshape(1, 3, 1, 4)
    assert dice(logits, mask).item() == 0.0
    assert dice(logits[:, [2, 0, 1]], mask).item() == 1.0
    one_of_two = torch.tensor([[[0, 0, 0, 255]]])  # D[0] = 2 · 1 / (1 + 3)
    assert dice(logits, one_of_two).item() == pytest.approx(0.5)


def test_dice_gradients_by_finite_differences() -> None:
    logits, mask = random_batch(5)
    logits, mask = logits[:, :, :2, :3].clone().requires_grad_(), mask[:, :2, :3]
    mask[mask == 1] = 255
    assert torch.autograd.gradcheck(lambda x: dice(x, mask), logits, atol=1e-7)
    assert torch.autograd.gradcheck(lambda x: dice(x, mask, weight=WEIGHT), logits, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("size", [0.0, 100.0, 1e4])
def test_dice_is_finite_where_the_network_is_sure(size: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([size, -size, -size, size]).to(dtype).reshape(1, 2, 1, 2)
    for labels in ([0, 0], [1, 1], [0, 1], [1, 0], [255, 1]):
        value, gradient = value_and_gradient(dice, logits, torch.tensor([[labels]]))
        assert value.isfinite()
        assert gradient.isfinite().all()


def test_dice_weighs_classes() -> None:
    logits, mask = random_batch(0)
    only = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0])
    alone = dice(logits, mask, weight=only)
    assert dice(logits, mask, weight=3 * only) == alone
    both = dice(logits, mask, weight=torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0]))
    other = dice(logits, mask, weight=torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(both, (alone + other) / 2)


def test_the_sum_of_two_losses() -> None:
    logits, mask = random_batch(1)
    both = LOSSES["cross_entropy+dice"](logits, mask, weight=WEIGHT)
    apart = [loss(logits, mask, weight=WEIGHT) for loss in (cross_entropy, dice)]
    torch.testing.assert_close(both, sum(apart), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["dice", "cross_entropy+dice"])
def test_dice_has_no_count(name: str) -> None:
    logits, mask = random_batch(1)
    with pytest.raises(ValueError, match="reduction must be 'mean' for the Dice loss"):
        LOSSES[name](logits, mask, reduction="sum_and_count")  # type: ignore[call-arg]


# What all have in common


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 6), weighted=st.booleans())
@pytest.mark.parametrize("name", PIXEL_LOSSES)
def test_sums_and_counts_of_shares_add_up(name: str, seed: int, cut: int, weighted: bool) -> None:
    """Two processes with unequal shares, one perhaps without a label."""
    loss: PixelLoss = PIXEL_LOSSES[name]
    logits, mask = random_batch(seed)
    if seed % 3 == 0:
        mask[:, :cut] = 255
    weight = WEIGHT if weighted else None
    whole, whole_gradient = value_and_gradient(lambda x, y: loss(x, y, weight=weight), logits, mask)
    logits.requires_grad_()
    shares = [
        loss(logits[:, :, part], mask[:, part], weight=weight, reduction="sum_and_count")
        for part in (slice(cut), slice(cut, None))
    ]
    total, count = (torch.stack(parts).sum() for parts in zip(*shares, strict=True))
    assert not count.requires_grad
    torch.testing.assert_close(total / count, whole, rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad(total / count, logits)
    torch.testing.assert_close(gradient, whole_gradient, rtol=1e-12, atol=1e-14)


@every_loss
@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_without_labels_gives_zero_and_no_gradient(loss: Loss, weighted: bool) -> None:
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    weight = torch.ones(3) if weighted else None
    value = loss(logits, torch.full((2, 4, 5), 255), weight=weight)
    value.backward()
    assert value.item() == 0.0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0.0


@every_loss
def test_labels_of_weight_0_only_give_zero(loss: Loss) -> None:
    logits, mask = random_batch(0)
    only_three = mask.masked_fill(mask != 3, 255)
    value, gradient = value_and_gradient(lambda x, y: loss(x, y, weight=WEIGHT), logits, only_three)
    assert value == 0.0
    assert gradient.abs().max() == 0.0


@every_loss
def test_ignored_pixels_change_nothing(loss: Loss) -> None:
    logits, mask = random_batch(4)
    other = torch.where((mask == 255)[:, None], 100 * torch.randn_like(logits), logits)
    value, gradient = value_and_gradient(loss, logits, mask)
    torch.testing.assert_close(loss(other, mask), value, rtol=1e-13, atol=0)
    assert gradient.movedim(1, -1)[mask == 255].abs().max() == 0.0


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(loss: Loss, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, 300, 300, generator=generator).to(dtype).requires_grad_()
    mask = torch.zeros(1, 300, 300, dtype=torch.int64)
    value = loss(logits, mask)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(logits.float(), mask), rtol=0, atol=0)
    value.backward()
    assert logits.grad is not None
    assert logits.grad.dtype == dtype


@every_loss
def test_autocast_changes_nothing(loss: Loss) -> None:
    logits, mask = random_batch(0)
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(logits.bfloat16(), mask)
    torch.testing.assert_close(inside, loss(logits.bfloat16(), mask), rtol=1e-6, atol=1e-6)


@every_loss
def test_double_stays_double_and_any_integer_mask_will_do(loss: Loss) -> None:
    logits, mask = random_batch(0)
    value = loss(logits, mask.to(torch.uint8))
    assert value.dtype == torch.float64
    assert value == loss(logits, mask)
    assert loss(logits.float(), mask).dtype == torch.float32
    before = logits.clone()
    loss(logits, mask, weight=WEIGHT.float())
    assert torch.equal(before, logits)


@every_pixel_loss
def test_one_class_is_always_right(loss: PixelLoss) -> None:
    value, gradient = value_and_gradient(
        loss, torch.randn(1, 1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64)
    )
    assert value == 0.0
    assert gradient.abs().max() == 0.0


LOGITS = torch.zeros(1, 3, 2, 2)
MASK = torch.zeros(1, 2, 2, dtype=torch.int64)


@every_loss
@pytest.mark.parametrize(
    "label, message",
    [
        (30, r"mask holds label 30, allowed is 0 to 2 or 255 \(ignored\); raise num_classes"),
        (3, "label 3"),
        (-1, "label -1"),
        (-100, "label -100"),
    ],
)
def test_a_label_out_of_range_is_named(loss: Loss, label: int, message: str) -> None:
    mask = MASK.clone()
    mask[0, 1, 1] = label
    with pytest.raises(ValueError, match=message):
        loss(LOGITS, mask)


@every_loss
def test_another_ignore_index(loss: Loss) -> None:
    mask = torch.tensor([[[-100, 1], [1, 1]]])
    assert loss(LOGITS, mask, ignore_index=-100).isfinite()
    with pytest.raises(ValueError, match="label 255"):
        loss(LOGITS, MASK + 255, ignore_index=-100)


@every_loss
@pytest.mark.parametrize(
    "logits, mask, options, message",
    [
        (LOGITS[0], MASK, {}, "logits must be"),
        (LOGITS.long(), MASK, {}, "logits must be floating point"),
        (LOGITS, MASK[:, None], {}, "mask must have the shape"),
        (LOGITS, MASK[:, :1], {}, "mask must have the shape"),
        (LOGITS, MASK.float(), {}, "integers"),
        (LOGITS, MASK.bool(), {}, "integers"),
        (LOGITS, MASK, {"weight": torch.ones(2)}, "weight must have the shape"),
        (LOGITS, MASK, {"weight": torch.tensor([1.0, -1.0, 1.0])}, "weight must be finite"),
        (LOGITS, MASK, {"weight": torch.tensor([1.0, math.inf, 1.0])}, "weight must be finite"),
        (LOGITS, MASK, {"weight": torch.tensor([1.0, math.nan, 1.0])}, "weight must be finite"),
        (LOGITS, MASK, {"reduction": "sum"}, "reduction must be 'mean' or 'sum_and_count'"),
    ],
)
def test_wrong_arguments_are_named(
    loss: Loss, logits: Tensor, mask: Tensor, options: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        loss(logits, mask, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("label_smoothing", [1.5, -0.1, math.nan])
def test_label_smoothing_is_checked(label_smoothing: float) -> None:
    with pytest.raises(ValueError, match="label_smoothing"):
        cross_entropy(LOGITS, MASK, label_smoothing=label_smoothing)


@pytest.mark.parametrize("gamma", [-0.5, math.nan, math.inf])
def test_gamma_is_checked(gamma: float) -> None:
    with pytest.raises(ValueError, match="gamma must be a finite number >= 0"):
        focal(LOGITS, MASK, gamma=gamma)


# Class weights


def test_median_frequency_by_hand() -> None:
    # Class 0 has 60 of the 200 pixels of the images where it occurs, class 1 50 / 100, 2 90 / 100.
    counts = torch.tensor([[50, 50, 0, 0], [10, 0, 90, 0]])
    torch.testing.assert_close(class_weights(counts), torch.tensor([5 / 3, 1, 5 / 9, 0]))
    # Over the whole data set only the ratios of the counts matter.
    torch.testing.assert_close(class_weights(counts.sum(0)), torch.tensor([1, 6 / 5, 2 / 3, 0]))
    # An even number of classes has two in the middle.
    torch.testing.assert_close(class_weights(torch.tensor([10, 30])), torch.tensor([2, 2 / 3]))


def test_inverse_log_by_hand() -> None:
    weights = class_weights(torch.tensor([75, 25, 0]), "inverse_log")
    expected = [1 / math.log(1.77), 1 / math.log(1.27), 0.0]
    torch.testing.assert_close(weights, torch.tensor(expected))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=12).filter(any),
    st.sampled_from(["median_frequency", "inverse_log"]),
    st.integers(1, 1000),
)
def test_class_weights_are_larger_for_rarer_classes(
    counts: list[int], method: Balance, times: int
) -> None:
    weights = class_weights(torch.tensor(counts), method)
    assert weights.dtype == torch.float32
    assert weights.isfinite().all()
    assert [count > 0 for count in counts] == (weights > 0).tolist()
    torch.testing.assert_close(class_weights(times * torch.tensor(counts), method), weights)
    present = sorted(
        (count, -weight) for count, weight in zip(counts, weights.tolist(), strict=True)
    )
    falling = [-weight for count, weight in present if count]
    assert falling == sorted(falling, reverse=True)


@every_loss
def test_losses_take_the_class_weights(loss: Loss) -> None:
    logits, mask = random_batch(0)
    mask[mask == 2] = 255
    weight = class_weights(torch.bincount(mask[mask != 255], minlength=5))
    assert weight[2] == 0.0
    assert loss(logits, mask, weight=weight).isfinite()


@pytest.mark.parametrize(
    "counts, method, message",
    [
        (torch.zeros(3), "median_frequency", "counts must hold a pixel of one class at least"),
        (torch.tensor([1, -1]), "median_frequency", "counts must be numbers >= 0"),
        (torch.tensor([1, math.nan]), "median_frequency", "counts must be numbers >= 0"),
        (torch.tensor([1, math.inf]), "inverse_log", "counts"),
        (torch.tensor(3), "median_frequency", "counts"),
        (torch.ones(3), "inverse", "method must be 'median_frequency' or 'inverse_log'"),
    ],
)
def test_class_weights_check_their_arguments(counts: Tensor, method: Balance, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_weights(counts, method)

"""The cross-entropy against PyTorch's, and where PyTorch's gives nan or an assertion."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.losses import cross_entropy


def random_batch(seed: int, num_classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, num_classes, 7, 9, generator=generator, dtype=torch.float64)
    mask = torch.randint(0, num_classes, (2, 7, 9), generator=generator)
    mask[torch.rand(mask.shape, generator=generator) < 0.2] = 255
    return logits, mask


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    weighted=st.booleans(),
    label_smoothing=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_agrees_with_pytorch(seed: int, weighted: bool, label_smoothing: float) -> None:
    logits, mask = random_batch(seed)
    weight = torch.tensor([0.5, 1.0, 2.0, 0.0, 3.0], dtype=torch.float64) if weighted else None
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


@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_without_labels_gives_zero_and_no_gradient(weighted: bool) -> None:
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    weight = torch.ones(3) if weighted else None
    loss = cross_entropy(logits, torch.full((2, 4, 5), 255), weight=weight)
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    logits = torch.randn(1, 3, 300, 300, generator=torch.Generator().manual_seed(0)).to(dtype)
    mask = torch.zeros(1, 300, 300, dtype=torch.int64)
    loss = cross_entropy(logits.requires_grad_(), mask)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, F.cross_entropy(logits.float(), mask))
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.dtype == dtype


def test_double_stays_double_and_any_integer_mask_will_do() -> None:
    logits, mask = random_batch(0)
    loss = cross_entropy(logits, mask.to(torch.uint8))
    assert loss.dtype == torch.float64
    assert loss == cross_entropy(logits, mask)
    assert cross_entropy(logits.float(), mask).dtype == torch.float32


LOGITS = torch.zeros(1, 3, 2, 2)
MASK = torch.zeros(1, 2, 2, dtype=torch.int64)


@pytest.mark.parametrize(
    "label, message",
    [
        (30, r"mask holds label 30, allowed is 0 to 2 or 255 \(ignored\); raise num_classes"),
        (3, "label 3"),
        (-1, "label -1"),
        (-100, "label -100"),
    ],
)
def test_a_label_out_of_range_is_named(label: int, message: str) -> None:
    mask = MASK.clone()
    mask[0, 1, 1] = label
    with pytest.raises(ValueError, match=message):
        cross_entropy(LOGITS, mask)


def test_another_ignore_index() -> None:
    mask = torch.tensor([[[-100, 1], [1, 1]]])
    assert cross_entropy(LOGITS, mask, ignore_index=-100).isfinite()
    with pytest.raises(ValueError, match="label 255"):
        cross_entropy(LOGITS, MASK + 255, ignore_index=-100)


@pytest.mark.parametrize(
    "logits, mask, options, message",
    [
        (LOGITS[0], MASK, {}, "logits must be"),
        (LOGITS.long(), MASK, {}, "logits must be floating point"),
        (LOGITS, MASK[:, None], {}, "mask must have the shape"),
        (LOGITS, MASK[:, :1], {}, "mask must have the shape"),
        (LOGITS, MASK.float(), {}, "integers"),
        (LOGITS, MASK, {"weight": torch.ones(2)}, "weight"),
        (LOGITS, MASK, {"label_smoothing": 1.5}, "label_smoothing"),
        (LOGITS, MASK, {"label_smoothing": float("nan")}, "label_smoothing"),
    ],
)
def test_wrong_arguments_are_named(
    logits: torch.Tensor, mask: torch.Tensor, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cross_entropy(logits, mask, **options)

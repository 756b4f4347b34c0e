"""Chapter 14's extension: cross-entropy by hand, averaged over the pixels that count."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from seglib.teach.answers import Calls, function_answer
from seglib.teach.probing import same
from seglib.teach.tasks import MISTAKES_OF, Wrong

_MISTAKES = tuple(MISTAKES_OF["14.pixel_loss"])


def pixel_loss(logits: Tensor, mask: Tensor, ignore_index: int = 255, mistake: str = "") -> Tensor:
    """Mean of −log softmax(logits)[label] over valid pixels; or as `mistake` gives it."""
    if mistake == "ignore-index-hard-coded":
        ignore_index = 255
    valid = mask != ignore_index
    if mistake == "ignored-as-class":
        valid = torch.ones_like(valid)
    if mistake in ("ignored-as-first-class", "ignored-as-last-class"):
        label_of_ignored = 0 if mistake == "ignored-as-first-class" else logits.shape[1] - 1
        valid, mask = torch.ones_like(valid), torch.where(valid, mask, label_of_ignored)
    dimension = 3 if mistake == "softmax-over-wrong-dimension" else 1
    label = torch.where(valid & (mask < logits.shape[1]), mask, 0).unsqueeze(1)
    pixel = -_log_probability(logits, mistake, dimension).gather(1, label).squeeze(1)
    if mistake == "sign-flipped":
        pixel = -pixel
    if mistake == "divided-by-classes":
        pixel = pixel / logits.shape[1]
    count = valid.sum()
    if mistake == "nan-when-all-ignored":
        return pixel[valid].mean()
    if mistake == "no-gradient-when-all-ignored" and int(count) == 0:
        return torch.zeros((), dtype=logits.dtype)
    total = torch.where(valid, pixel, 0.0)
    if mistake == "averaged-per-image":
        counts = valid.sum((1, 2)).clamp(min=1)
        return (total.sum((1, 2)) / counts).mean()
    if mistake == "averaged-over-ignored":
        return total.mean()
    if mistake == "sum-instead-of-mean":
        return total.sum()
    return total.sum() / count.clamp(min=1)


def _log_probability(logits: Tensor, mistake: str, dimension: int) -> Tensor:
    if mistake == "no-log-sum-exp":
        return logits.softmax(dimension).log()
    if mistake == "plain-exponential":
        return (logits.exp() / logits.exp().sum(dimension, keepdim=True)).log()
    if mistake == "log-of-sum":
        return logits - logits.exp().sum(dimension, keepdim=True).log()
    if mistake.startswith("epsilon-in-log"):
        return (logits.softmax(dimension) + float(mistake.partition(" ")[2] or "1e-8")).log()
    if mistake == "log-forgotten":
        return logits.softmax(dimension)
    if mistake == "softmax-twice":
        logits = logits.softmax(dimension)
    return logits - logits.logsumexp(dimension, keepdim=True)


# Other ways to make a mistake: what they are called, and how `pixel_loss` makes them.
_OTHER_FORMS = {
    "plain-exponential": "no-log-sum-exp",
    "log-of-sum": "no-log-sum-exp",
    "ignored-as-first-class": "ignored-as-class",
    "ignored-as-last-class": "ignored-as-class",
    **{f"epsilon-in-log 1e-{digits}": "epsilon-in-log" for digits in range(5, 17)},
}


def _questions() -> list[tuple[str, Tensor, Tensor, int]]:
    generator = torch.Generator().manual_seed(14)
    logits = torch.randn(2, 4, 5, 6, dtype=torch.float64, generator=generator) * 3
    mask = torch.randint(0, 4, (2, 5, 6), generator=generator)
    some = mask.clone()
    some[0, :2] = 255
    other = mask.clone()
    other[1, :, 2:] = 3
    return [
        ("no pixel ignored", logits, mask, 255),
        ("some pixels ignored", logits, some, 255),
        ("ignore_index=3", logits, other, 3),
        ("logits around 1000", logits * 400, some, 255),
        ("every pixel ignored", logits, torch.full_like(mask, 255), 255),
    ]


def _facts(
    call: Callable[..., object], question: tuple[str, Tensor, Tensor, int]
) -> tuple[Tensor, Tensor | str, bool]:
    """Value, gradient, and whether the inputs were kept."""
    _, logits, mask, ignore_index = question
    leaf, labels = logits.clone().requires_grad_(), mask.clone()
    given = leaf.clone()
    before = given.detach().clone()
    loss = call(given, labels, ignore_index)
    if not isinstance(loss, Tensor):
        raise Wrong(
            "wrong-type",
            f"A tensor is asked for, got {type(loss).__name__}: it must carry the gradient.",
        )
    if loss.shape == () and loss.requires_grad:
        loss.backward()
    gradient = "none" if leaf.grad is None else leaf.grad
    kept = torch.equal(before, given.detach()) and torch.equal(mask, labels)
    return loss.detach(), gradient, kept


def judge(answer: object) -> Iterator[str]:
    """The stages of `14.pixel_loss`."""
    yield "shape"
    function = function_answer(answer, 3)
    calls = Calls(("cross_entropy", "cross_entropy_loss", "nll_loss", "nll_loss_nd", "nll_loss2d"))
    questions = _questions()
    found = [_facts(lambda *args: calls(function, *args), question) for question in questions]
    for question, (loss, _, _) in zip(questions, found, strict=True):
        if loss.shape != ():
            raise Wrong(
                "wrong-shape",
                f"With {question[0]}: a scalar is asked for, got {tuple(loss.shape)}.",
            )
    yield "dtype"
    single = calls(function, questions[1][1].float(), questions[1][2].clone(), 255)
    for value, dtype in ((single, torch.float32), (found[1][0], torch.float64)):
        if not isinstance(value, Tensor) or value.dtype != dtype:
            raise Wrong(
                "wrong-dtype", f"The loss has the dtype of the logits, here {str(dtype)[6:]}."
            )
    for stage, part in (("values", 0), ("gradients", 1)):
        yield stage
        right = [_facts(pixel_loss, question) for question in questions]
        wrong = [
            place
            for place, (a, b) in enumerate(zip(found, right, strict=True))
            if not same(a[part], b[part])
        ]
        if wrong:
            raise Wrong(_name(found, questions, part), f"It shows with {questions[wrong[0]][0]}.")
        if stage == "values" and not all(kept for _, _, kept in found):
            raise Wrong("modifies-input")


def _name(
    found: list[tuple[Tensor, Tensor | str, bool]],
    questions: list[tuple[str, Tensor, Tensor, int]],
    part: int,
) -> str:
    for form in (*_MISTAKES, *_OTHER_FORMS):
        flawed = [
            _facts(lambda *args, form=form: pixel_loss(*args, mistake=form), question)  # type: ignore[misc]
            for question in questions
        ]
        if all(same(a[: part + 1], b[: part + 1]) for a, b in zip(found, flawed, strict=True)):
            return _OTHER_FORMS.get(form, form)
    # Two mistakes at once: the cases that go wrong still tell something.
    right = [_facts(pixel_loss, question) for question in questions]
    good = [same(a[part], b[part]) for a, b in zip(found, right, strict=True)]
    if part == 0 and not good[4] and all(good[:4]):
        return "nan-when-all-ignored"
    if part == 0 and not good[3] and all((*good[:3], good[4])):
        return "no-log-sum-exp"
    return "wrong-values" if part == 0 else "wrong-gradients"

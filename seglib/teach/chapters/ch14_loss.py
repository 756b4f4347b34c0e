"""Chapter 14's extension: cross-entropy by hand, averaged over the pixels that count."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

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
    label = torch.where(valid & (mask >= 0) & (mask < logits.shape[1]), mask, 0).unsqueeze(1)
    score = _log_probability(logits, mistake)
    if mistake.startswith("reshape"):
        chosen = score.reshape(-1, logits.shape[1]).gather(1, label.reshape(-1, 1))
        pixel = -chosen.reshape(mask.shape)
    else:
        pixel = -score.gather(1, label).squeeze(1)
    if mistake == "sign-flipped":
        pixel = -pixel
    if mistake == "divided-by-classes":
        pixel = pixel / logits.shape[1]
    if mistake in _BASES:
        pixel = pixel / math.log(_BASES[mistake])
    count = valid.sum()
    number = _number_in(mistake)
    if mistake == "averaged-per-class" and int(count):
        seen = [pixel[valid & (mask == one)] for one in mask[valid].unique()]
        return torch.stack([of_class.mean() for of_class in seen]).mean()
    if mistake == "ignored-in-sum":
        return pixel.sum() / count.clamp(min=1)
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
    if mistake == "averaged-over-classes-too":
        return total.mean() / logits.shape[1]
    if mistake == "divided-by-images":
        return total.sum() / len(logits)
    if mistake == "divided-by-images-again":
        return total.sum() / count.clamp(min=1) / len(logits)
    if mistake.startswith("count-plus"):
        return total.sum() / (count + (number if " " in mistake else 1))
    if mistake == "sum-instead-of-mean":
        return total.sum()
    return total.sum() / count.clamp(min=1)


def _number_in(mistake: str) -> float:
    return float(mistake.rpartition(" ")[2] if " " in mistake else "1e-8")


def _log_probability(logits: Tensor, mistake: str) -> Tensor:
    number = _number_in(mistake)
    if mistake == "no-log-sum-exp":
        return logits.softmax(1).log()
    if mistake == "plain-exponential":
        return (logits.exp() / logits.exp().sum(1, keepdim=True)).log()
    if mistake == "log-of-sum":
        return logits - logits.exp().sum(1, keepdim=True).log()
    if mistake.startswith("epsilon-in-log"):
        return (logits.softmax(1) + number).log()
    if mistake.startswith("clamp-in-log"):
        return logits.softmax(1).clamp(min=number).log()
    if mistake == "log-forgotten":
        return logits.softmax(1)
    if mistake == "softmax-forgotten":
        return logits
    if mistake == "sigmoid-instead-of-softmax":
        return functional.logsigmoid(logits)
    if mistake == "reshape-mixes-pixels":
        return logits.reshape(-1, logits.shape[1]).log_softmax(1)
    if mistake.startswith("softmax over"):
        return logits.log_softmax(int(number))
    if mistake == "softmax-over-wrong-dimension":
        return logits.flatten(1).log_softmax(1).view_as(logits)
    if mistake == "softmax-twice":
        logits = logits.softmax(1)
    return logits - logits.logsumexp(1, keepdim=True)


_BASES = {"other-logarithm": 2, "logarithm-to-base-10": 10}
# Other ways to make a mistake: what they are called, and how `pixel_loss` makes them.
_OTHER_FORMS = {
    "plain-exponential": "no-log-sum-exp",
    "log-of-sum": "no-log-sum-exp",
    "ignored-as-first-class": "ignored-as-class",
    "ignored-as-last-class": "ignored-as-class",
    "ignored-in-sum": "ignored-as-class",
    "averaged-over-classes-too": "divided-by-classes",
    "divided-by-images": "sum-instead-of-mean",
    "logarithm-to-base-10": "other-logarithm",
    "reshape-after-softmax": "reshape-mixes-pixels",
    **{f"count-plus 1e-{digits}": "count-plus-one" for digits in range(1, 9)},
    **{f"softmax over {dim}": "softmax-over-wrong-dimension" for dim in (0, 2, 3)},
    **{f"clamp-in-log 1e-{digits}": "epsilon-in-log" for digits in range(5, 17)},
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
        if not bool((mask != ignore_index).any()) and loss == 0:
            raise Wrong("no-gradient-when-all-ignored", "It must be a tensor, too.")
        raise Wrong(
            "wrong-type",
            f"A tensor is asked for, got {type(loss).__name__}: it must carry the gradient.",
        )
    if loss.shape == () and loss.requires_grad:
        loss.backward()
    gradient = "none" if leaf.grad is None else leaf.grad
    kept = torch.equal(before, given.detach()) and torch.equal(mask, labels)
    if leaf.grad is None:  # a fresh zero for want of labels: of whatever dtype
        loss = loss.to(logits.dtype)
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
        if stage == "values":
            _judge_negative_index(lambda *args: calls(function, *args), questions[1])


def _judge_negative_index(
    call: Callable[..., object], question: tuple[str, Tensor, Tensor, int]
) -> None:
    """Labels below 0 are ignored, too: torch's own ignore_index is -100."""
    _, logits, mask, ignore_index = question
    mask = torch.where(mask == ignore_index, -100, mask)
    below = ("ignore_index=-100", logits, mask, -100)
    if not same(_facts(call, below)[0], _facts(pixel_loss, below)[0]):
        raise Wrong("wrong-values", f"It shows with {below[0]}.")


def _name(
    found: list[tuple[Tensor, Tensor | str, bool]],
    questions: list[tuple[str, Tensor, Tensor, int]],
    part: int,
) -> str:
    right = [_facts(pixel_loss, question) for question in questions]
    good = [same(a[part], b[part]) for a, b in zip(found, right, strict=True)]
    # First a mistake that explains all that was seen, then one that explains it up to the first
    # question that shows it: beyond that another mistake may add to it.
    for length in (len(questions), good.index(False) + 1):
        for form in (*_MISTAKES, *_OTHER_FORMS):
            flawed = [
                _facts(lambda *args, form=form: pixel_loss(*args, mistake=form), question)  # type: ignore[misc]
                for question in questions[:length]
            ]
            if all(same(a[: part + 1], b[: part + 1]) for a, b in zip(found, flawed, strict=False)):
                return _OTHER_FORMS.get(form, form)
    # Two mistakes at once: the cases that go wrong still tell something.
    if part == 0 and not good[4] and all(good[:4]):
        return "nan-when-all-ignored"
    if part == 0 and not good[3] and all((*good[:3], good[4])):
        return "no-log-sum-exp"
    return "wrong-values" if part == 0 else "wrong-gradients"

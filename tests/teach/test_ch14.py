"""Chapter 14's exercises: right answers in several hands, wrong ones with the fitting slug."""

import math
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.losses import cross_entropy
from seglib.schedules import poly
from seglib.teach import check
from seglib.teach.chapters import ch14_loss, ch14_rates


def names(exercise: str, answer: object) -> list[str]:
    report = check(exercise, answer)
    assert report.attempted, report
    return [failure.name for failure in report.failures]


RATES = {0: 0.01, 500: 0.0053589, 1000: 0.0, 1200: 0.0}


def test_prediction() -> None:
    assert check("14.predict_lr", RATES).passed
    assert check("14.predict_lr", (0.01, 0.00536, 0, 0)).passed
    assert check("14.predict_lr", {0: torch.tensor(0.01), 500: 5.36e-3, 1000: 0, 1200: 0.0}).passed


@pytest.mark.parametrize(
    "changes, slug",
    [
        ({500: 0.005}, "linear-decay"),
        ({500: 0.01 * (1 - 0.5**0.9)}, "power-on-progress"),
        ({0: 1, 500: 0.53589}, "factor-instead-of-rate"),
        ({500: 0.009}, "power-as-factor"),
        ({500: 0.01, 1000: 0.01, 1200: 0.01}, "constant-rate"),
        ({1200: -0.002}, "negative-past-the-end"),
        ({1200: 0.01 * 0.2**0.9}, "rises-past-the-end"),
        ({1000: 0.01 * 0.001**0.9}, "never-reaches-zero"),
        ({0: 0.0}, "rises-instead-of-falls"),
        ({0: 0.009, 500: 0.0048}, "power-as-factor"),
        ({500: 0.005**0.9}, "power-on-the-rate"),
        ({500: 0.001}, "other-schedule"),
        ({500: 0.0054}, "rounded-too-far"),
        ({0: 0.00999, 500: 0.00535}, "one-step-off"),
        ({500: 0.0053537}, "one-step-off"),
        ({500: 0.00535}, "rounded-too-far"),
        ({1200: 0.01 * 0.8**0.9}, "rises-past-the-end"),
        ({1200: 0.01 * 0.001**0.9}, "never-reaches-zero"),
        ({0: 0.0009}, "wrong-values"),
        ({500: 0.0536}, "wrong-values"),
        ({1000: 1e-4, 1200: 1e-4}, "other-schedule"),
        ({1200: math.inf}, "wrong-values"),
        ({500: "0.00536"}, "wrong-dtype"),
        ({1000: False}, "wrong-dtype"),
        ({1200: (-0.2 + 0j) ** 0.9 * 0.01}, "complex-past-the-end"),
        ({1200: math.nan}, "complex-past-the-end"),
        ({0: 1, 500: 0.536, 1200: 0.2**0.9}, "factor-instead-of-rate"),
        ({500: 0.007}, "wrong-values"),
        ({500: 1j}, "wrong-dtype"),
        ({500: None}, "missing-value"),
    ],
)
def test_wrong_prediction(changes: dict[int, object], slug: str) -> None:
    assert names("14.predict_lr", {**RATES, **changes}) == [slug]


def test_poly_is_the_librarys() -> None:
    for step, total, power in ch14_rates._QUESTIONS:
        assert ch14_rates.poly(step, total, power) == pytest.approx(
            poly(step, total, power), abs=1e-12
        )


def plain_poly(step, total, power=0.9):  # type: ignore
    if total <= 0:
        raise ValueError(total)
    return max(0.0, 1 - step / total) ** power


def other_poly(n, of, exponent):  # type: ignore
    if of < 1:
        raise ValueError("at least one step")
    if n >= of:
        return 0
    return torch.tensor((of - n) / of, dtype=torch.float64).pow(exponent)


def single_precision(step, total, power):  # type: ignore
    if not total > 0:
        raise ValueError("no steps")
    return torch.clamp(torch.tensor(1 - step / total), min=0) ** power


@pytest.mark.parametrize("answer", [plain_poly, other_poly, single_precision])
def test_right_poly(answer: object) -> None:
    report = check("14.poly_factor", answer)
    assert report.passed, report


def raising(formula: Callable[[float, float, float], object]) -> Callable[..., object]:
    def answer(step, total, power):  # type: ignore
        if total <= 0:
            raise ValueError(total)
        return formula(step, total, power)

    return answer


@pytest.mark.parametrize(
    "answer, slug",
    [
        (raising(lambda s, t, p: (1 - s / t) ** p), "complex-past-the-end"),
        (raising(lambda s, t, p: abs(1 - s / t) ** p), "rises-past-the-end"),
        (
            raising(lambda s, t, p: (1 - s / t) ** p if s <= t else -((s / t - 1) ** p)),
            "negative-past-the-end",
        ),
        (raising(lambda s, t, p: max(0, 1 - s / t)), "linear-decay"),
        (raising(lambda s, t, p: 1 - s / t), "linear-decay"),
        (raising(lambda s, t, p: 1 - min(1, s / t) ** p), "power-on-progress"),
        (raising(lambda s, t, p: max(0, 1 - s / (t + 1)) ** p), "never-reaches-zero"),
        (raising(lambda s, t, p: max(0, 1 - (s + 1) / t) ** p), "zero-one-step-early"),
        (raising(lambda s, t, p: max(0, 1 - s // t) ** p), "integer-division"),
        (raising(lambda s, t, p: min(1, s / t) ** p), "rises-instead-of-falls"),
        (raising(lambda s, t, p: max(0, 1 - s / t) ** 0.9), "power-ignored"),
        (raising(lambda s, t, p: max(0, 1 - s / t) * p), "power-as-factor"),
        (raising(lambda s, t, p: p ** max(0, 1 - s / t)), "wrong-values"),
        (raising(lambda s, t, p: min(1, max(0, 1 - (s - 1) / t)) ** p), "wrong-values"),
        (raising(lambda s, t, p: max(0, 1 - s / 1000) ** p), "wrong-values"),
        (raising(lambda s, t, p: (1 - s % t / t) ** p), "never-reaches-zero"),
        (raising(lambda s, t, p: math.exp(p * math.log(1 - s / t))), "refuses-past-the-end"),
        (raising(lambda s, t, p: [max(0, 1 - s / t) ** p]), "wrong-dtype"),
        (raising(lambda s, t, p: int(max(0, 1 - s / t) ** p)), "wrong-values"),
        (lambda s, t, p: max(0, 1 - s / t) ** p if t > 0 else ValueError(t), "accepts-no-steps"),
        (lambda s, t, p: plain_poly(s, t if t != 1 else 0, p), "refuses-one-step"),
        (lambda s, t, p: plain_poly(s, t, p) if t != 1 else 1.0, "wrong-values"),
        (lambda *, step, total, power: plain_poly(step, total, power), "wrong-signature"),
        # What Python does with a negative base, in other hands.
        (raising(lambda s, t, p: max(0, (1 - s / t) ** p)), "complex-past-the-end"),
        (raising(lambda s, t, p: math.pow(1 - s / t, p)), "complex-past-the-end"),
        (raising(lambda s, t, p: torch.tensor(1 - s / t) ** p), "complex-past-the-end"),
        (raising(lambda s, t, p: torch.tensor(1 - s / t).pow(p)), "complex-past-the-end"),
        (raising(lambda s, t, p: np.float64(1 - s / t) ** p), "complex-past-the-end"),
        (raising(lambda s, t, p: min(1, 1 - s / t) ** p), "complex-past-the-end"),
        (raising(lambda s, t, p: complex((1 - s / t) ** p).real), "negative-past-the-end"),
        (raising(lambda s, t, p: abs((1 - s / t) ** p)), "rises-past-the-end"),
        (raising(lambda s, t, p: (1 - s / t) ** p if s <= t else 1 // 0), "refuses-past-the-end"),
        # A second mistake past the end does not hide the first.
        (raising(lambda s, t, p: 1 - (s / t) ** p), "power-on-progress"),
        (raising(lambda s, t, p: (s / t) ** p), "rises-instead-of-falls"),
        (raising(lambda s, t, p: (1 - s / t) * p), "power-as-factor"),
        (raising(lambda s, t, p: (1 - s // t) ** p), "integer-division"),
        (raising(lambda s, t, p: max(0, 1 - s / (t - 1)) ** p), "zero-one-step-early"),
        (raising(lambda s, t, p: (1 - min(s, t - 1) / t) ** p), "never-reaches-zero"),
        (raising(lambda s, t, p: max(1e-6, 1 - s / t) ** p), "never-reaches-zero"),
        (raising(lambda s, t, p: max(0, 1 - s / t) ** (1 / p)), "power-inverted"),
        (raising(lambda s, t, p: max(1, 1 - s / t) ** p), "never-falls"),
        (raising(lambda s, t, p: min(0.0, 1 - s / t)), "never-falls"),
        (raising(lambda s, t, p: (1 + math.cos(math.pi * min(1, s / t))) / 2), "other-schedule"),
        (raising(lambda s, t, p: round(max(0, 1 - s / t) ** p, 3)), "rounded"),
        (raising(lambda s, t, p: max(0, 1 - t / s) ** p), "step-and-total-swapped"),
        (raising(lambda s, t, p: max(0, 1 - s / t) ** q), "raised-exception"),  # type: ignore  # noqa: F821
        (raising(lambda s, t, p: 1.5), "wrong-values"),
        (lambda s, t, p: max(0.0, 1 - s / t) ** p if t else 0.0, "accepts-no-steps"),
        (lambda s, t, p: max(0.0, 1 - s / t) ** p, "wrong-exception"),
        (raising(lambda s, t, p: None), "wrong-type"),
        (raising(lambda s, t, p: "0.5"), "wrong-dtype"),
        (lambda s, t: 1.0, "wrong-signature"),
        (poly, "not-your-own"),
        (lambda s, t, p: poly(s, t, p), "not-your-own"),
    ],
)
def test_wrong_poly(answer: object, slug: str) -> None:
    assert names("14.poly_factor", answer) == [slug]


def by_identity(model):  # type: ignore
    backbone = list(model.backbone.parameters())
    known = {id(parameter) for parameter in backbone}
    return [backbone, [p for p in model.parameters() if id(p) not in known]]


def by_prefix(net):  # type: ignore
    groups = ([], [])  # type: ignore[var-annotated]
    for name, parameter in net.named_parameters():
        groups[0 if name.startswith("backbone.") else 1].append(parameter)
    return groups


@pytest.mark.parametrize("answer", [by_identity, by_prefix])
def test_right_groups(answer: object) -> None:
    report = check("14.parameter_groups", answer)
    assert report.passed, report


def _filtered(keep: Callable[[str, nn.Module], bool]) -> Callable[..., object]:
    """Groups by layer: only those that `keep` names are found."""

    def answer(model):  # type: ignore
        groups: list[list[Tensor]] = [[], []]
        seen: set[int] = set()
        for name, layer in model.named_modules():
            for kind, parameter in layer.named_parameters(recurse=False):
                if keep(kind, layer) and id(parameter) not in seen:
                    seen.add(id(parameter))
                    groups[0 if name.startswith("backbone") else 1].append(parameter)
        return groups

    return answer


_LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm, nn.PReLU)


@pytest.mark.parametrize(
    "answer, slug",
    [
        (
            _filtered(lambda _, layer: isinstance(layer, (nn.Conv2d, nn.PReLU))),
            "normalization-missing",
        ),
        (_filtered(lambda kind, _: kind != "bias"), "bias-missing"),
        (_filtered(lambda _, layer: isinstance(layer, _LAYERS)), "raw-parameter-missing"),
        (_filtered(lambda _, layer: isinstance(layer, nn.BatchNorm2d)), "parameter-missing"),
        (lambda m: [list(m.backbone.parameters()), list(m.head.parameters())], "module-missing"),
        (lambda m: [list(m.backbone.parameters()), list(m.parameters())], "parameter-twice"),
        (lambda m: by_identity(m)[::-1], "groups-swapped"),
        (lambda m: [list(m.parameters()), []], "wrong-group"),
        (
            lambda m: [
                [p for n, p in m.named_parameters() if "backbone" in n],
                [p for n, p in m.named_parameters() if "backbone" not in n],
            ],
            "matches-by-name",
        ),
        (
            lambda m: [[p.detach() for p in group] for group in by_identity(m)],
            "copies-instead-of-parameters",
        ),
        (lambda m: [[n for n, _ in m.named_parameters()], []], "names-instead-of-parameters"),
        (lambda m: [list(m.named_parameters()), []], "names-instead-of-parameters"),
        (
            lambda m: [
                [p for n, p in m.named_parameters() if n.startswith("backbone")],
                [p for n, p in m.named_parameters() if not n.startswith("backbone")],
            ],
            "matches-by-name",
        ),
        (
            lambda m: [
                [p for n, p in m.named_parameters() if "backbone" in n],
                list(m.head.parameters()),
            ],
            "matches-by-name",
        ),
        (
            lambda m: [
                list(m.backbone.parameters()),
                [p for p in m.parameters() if p not in list(m.backbone.parameters())],
            ],
            "compared-by-value",
        ),
        (
            lambda m: [
                list(m.backbone.parameters()),
                [
                    p
                    for p in m.parameters()
                    if not any(p is q or torch.equal(p, q) for q in m.backbone.parameters())
                ],
            ],
            "compared-by-value",
        ),
        (
            lambda m: [
                [p for p in m.parameters() if p.ndim > 1],
                [p for p in m.parameters() if p.ndim <= 1],
            ],
            "wrong-group",
        ),
        (
            lambda m: [list(m.backbone.parameters()) + list(m.backbone.buffers()), []],
            "copies-instead-of-parameters",
        ),
        (
            lambda m: [
                list(m.backbone.parameters()),
                [p for n, c in m.named_children() if n != "backbone" for p in c.parameters()],
            ],
            "raw-parameter-missing",
        ),
        (lambda m: [m.backbone.parameters(), m.head.parameters()], "generator-instead-of-list"),
        (lambda m: list(m.parameters()), "wrong-shape"),
        (lambda m: [{"params": g} for g in by_identity(m)], "wrong-type"),
        (lambda m: [[m.backbone], [m.head]], "wrong-dtype"),
        (lambda m: m.missing, "raised-exception"),
        (lambda m: by_identity(m.requires_grad_(False)), "changes-model"),
        (lambda m: by_identity(nn.Module.double(m)), "changes-model"),
        (lambda m: [[m.backbone.pop("block").weight], []], "changes-model"),
        (
            lambda m: [[p.clone() for p in g] for g in by_identity(m)],
            "copies-instead-of-parameters",
        ),
        (lambda m: [[p.data for p in g] for g in by_identity(m)], "copies-instead-of-parameters"),
        (lambda m: [*by_identity(m), []], "wrong-shape"),
        (lambda m: dict(zip("ab", by_identity(m), strict=True)), "wrong-shape"),
        (lambda m: [set(g) for g in by_identity(m)], "wrong-type"),
        (
            lambda m: [
                list(m.backbone.parameters()),
                [
                    p
                    for n, p in m.named_parameters(remove_duplicate=False)
                    if not n.startswith("backbone.")
                ],
            ],
            "parameter-twice",
        ),
        (
            lambda m: [
                list(m.backbone.parameters()),
                [p for c in m.head.modules() if isinstance(c, nn.Conv2d) for p in c.parameters()],
            ],
            "normalization-missing",
        ),
    ],
)
def test_wrong_groups(answer: object, slug: str) -> None:
    assert names("14.parameter_groups", answer) == [slug]


def test_pixel_loss_is_the_librarys() -> None:
    for _, logits, mask, ignore_index in ch14_loss._questions():
        ours = ch14_loss.pixel_loss(logits, mask, ignore_index)
        theirs = cross_entropy(logits, mask, ignore_index=ignore_index)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def gathered(logits, mask, ignore_index=255):  # type: ignore
    keep = mask != ignore_index
    labels = mask.masked_fill(~keep, 0)
    chosen = F.log_softmax(logits, 1).gather(1, labels[:, None])[:, 0]
    return -(chosen * keep).sum() / max(1, int(keep.sum()))


def flattened(logits, mask, ignore_index=255):  # type: ignore
    scores = logits.movedim(1, -1).reshape(-1, logits.shape[1])
    labels = mask.reshape(-1)
    scores, labels = scores[labels != ignore_index], labels[labels != ignore_index]
    if not len(labels):
        return 0 * logits.sum()
    hot = F.one_hot(labels, scores.shape[1]).to(scores)
    return torch.mean(scores.logsumexp(1) - (scores * hot).sum(1))


@pytest.mark.parametrize("answer", [gathered, flattened])
def test_right_pixel_loss(answer: object) -> None:
    report = check("14.pixel_loss", answer)
    assert report.passed, report


LOSS = """
def pixel_loss(logits, mask, ignore_index=255):
    keep = mask != ignore_index
    labels = torch.where(keep, mask, 0)
    logp = logits - torch.logsumexp(logits, 1, keepdim=True)
    pixel = -logp.gather(1, labels.unsqueeze(1)).squeeze(1)
    return torch.where(keep, pixel, 0).sum() / keep.sum().clamp(min=1)
"""
_LOGP = "logits - torch.logsumexp(logits, 1, keepdim=True)"
_MEAN = "torch.where(keep, pixel, 0).sum() / keep.sum().clamp(min=1)"


def loss(old: str, new: str) -> object:
    assert LOSS.count(old) == 1, old
    space: dict[str, object] = {"torch": torch, "F": F, "math": math}
    exec(LOSS.replace(old, new), space)
    return space["pixel_loss"]


@pytest.mark.parametrize(
    "slug, old, new",
    [
        ("averaged-over-ignored", _MEAN, "torch.where(keep, pixel, 0).mean()"),
        ("ignored-as-class", _MEAN, "pixel.mean()"),
        ("ignored-as-class", "keep = mask != ignore_index", "keep = mask >= 0; mask = mask % 255"),
        (
            "averaged-per-image",
            _MEAN,
            "((pixel * keep).sum((1, 2)) / keep.sum((1, 2)).clamp(min=1)).mean()",
        ),
        ("softmax-twice", _LOGP, "F.log_softmax(F.softmax(logits, 1), 1)"),
        ("no-log-sum-exp", _LOGP, "torch.log(F.softmax(logits, 1))"),
        ("no-log-sum-exp", _LOGP, "logits - torch.log(torch.exp(logits).sum(1, keepdim=True))"),
        ("epsilon-in-log", _LOGP, "torch.log(F.softmax(logits, 1) + 1e-8)"),
        ("epsilon-in-log", _LOGP, "torch.log(F.softmax(logits, 1) + 1e-12)"),
        ("sum-instead-of-mean", " / keep.sum().clamp(min=1)", ""),
        ("nan-when-all-ignored", ".clamp(min=1)", ""),
        ("nan-when-all-ignored", _MEAN, "pixel[keep].mean()"),
        (
            "no-gradient-when-all-ignored",
            _MEAN,
            _MEAN + " if keep.any() else torch.zeros((), dtype=logits.dtype)",
        ),
        ("sign-flipped", "-logp.gather", "logp.gather"),
        ("log-forgotten", _LOGP, "F.softmax(logits, 1)"),
        ("softmax-over-wrong-dimension", _LOGP, "F.log_softmax(logits, -1)"),
        ("ignore-index-hard-coded", "mask != ignore_index", "mask != 255"),
        ("divided-by-classes", _MEAN, _MEAN + " / logits.shape[1]"),
        ("divided-by-classes", _MEAN, "torch.where(keep, pixel, 0).mean() / logits.shape[1]"),
        ("sum-instead-of-mean", _MEAN, "torch.where(keep, pixel, 0).sum() / len(logits)"),
        ("ignored-as-class", _MEAN, "pixel.sum() / keep.sum().clamp(min=1)"),
        (
            "ignored-as-class",
            "keep = mask != ignore_index",
            "mask = mask.clamp(max=3); keep = mask >= 0",
        ),
        ("epsilon-in-log", _LOGP, "F.softmax(logits, 1).clamp(min=1e-8).log()"),
        ("other-logarithm", _LOGP, "F.log_softmax(logits, 1) / math.log(2)"),
        ("other-logarithm", _LOGP, "F.log_softmax(logits, 1) / math.log(10)"),
        ("softmax-forgotten", _LOGP, "logits"),
        ("sigmoid-instead-of-softmax", _LOGP, "F.logsigmoid(logits)"),
        ("softmax-over-wrong-dimension", _LOGP, "F.log_softmax(logits, 0)"),
        ("softmax-over-wrong-dimension", _LOGP, "F.log_softmax(logits, 2)"),
        (
            "softmax-over-wrong-dimension",
            _LOGP,
            "F.log_softmax(logits.flatten(1), 1).view_as(logits)",
        ),
        (
            "reshape-mixes-pixels",
            "-logp.gather(1, labels.unsqueeze(1)).squeeze(1)",
            "-logp.reshape(-1, 4).gather(1, labels.reshape(-1, 1)).reshape(mask.shape)",
        ),
        ("count-plus-one", "keep.sum().clamp(min=1)", "(keep.sum() + 1)"),
        ("count-plus-one", "keep.sum().clamp(min=1)", "(keep.sum() + 1e-6)"),
        ("divided-by-images-again", _MEAN, _MEAN + " / len(logits)"),
        (
            "no-gradient-when-all-ignored",
            _MEAN,
            _MEAN + " if keep.any() else torch.zeros((), requires_grad=True)",
        ),
        ("nan-when-all-ignored", _MEAN, _MEAN + " if keep.any() else 0 * logits.sum() + 1"),
        ("ignore-index-hard-coded", "mask != ignore_index", "mask < logits.shape[1]"),
        ("raised-exception", "torch.where(keep, mask, 0)", "mask.clamp(max=logits.shape[1] - 1)"),
        ("no-log-sum-exp", _LOGP, "logits.clamp(-80, 80).log_softmax(1)"),
        ("no-log-sum-exp", _LOGP, "(z := logits - logits.max()) - z.exp().sum(1, True).log()"),
        ("wrong-values", _MEAN, "pixel[keep].median() if keep.any() else 0 * logits.sum()"),
        ("wrong-values", _MEAN, _MEAN + " + (ignore_index < 0)"),
        ("wrong-shape", _MEAN, "(" + _MEAN + ")[None]"),
        ("wrong-type", _MEAN, "(" + _MEAN + ").item()"),
        ("wrong-dtype", _LOGP, "logits.double().log_softmax(1)"),
        ("wrong-gradients", _LOGP, "logits.detach().log_softmax(1)"),
        (
            "modifies-input",
            "    keep =",
            "    logits.data -= logits.amax(1, True).detach()\n    keep =",
        ),
        (
            "averaged-per-class",
            _MEAN,
            "torch.stack([pixel[keep & (mask == c)].mean() for c in mask[keep].unique()]).mean()"
            " if keep.any() else 0 * logits.sum()",
        ),
        ("no-gradient-when-all-ignored", _MEAN, "pixel[keep].mean() if keep.any() else 0.0"),
        (
            "no-gradient-when-all-ignored",
            _MEAN,
            "pixel[keep].mean() if keep.any() else torch.tensor(0.0)",
        ),
        ("wrong-values", _LOGP, "-((F.softmax(logits, 1) - 1) ** 2)"),
        ("wrong-shape", _MEAN, "torch.where(keep, pixel, 0)"),
        ("wrong-type", _MEAN, "float(pixel[keep].mean())"),
        ("wrong-dtype", _MEAN, "(" + _MEAN + ").float()"),
        ("wrong-gradients", "pixel = ", "logp = logp.detach() + 0 * logits; pixel = "),
        ("modifies-input", "    pixel", "    mask[~keep] = 0; pixel"),
        ("not-your-own", _MEAN, "F.cross_entropy(logits, mask, ignore_index=ignore_index)"),
        (
            "not-your-own",
            _MEAN,
            "torch.nn.CrossEntropyLoss(ignore_index=ignore_index)(logits, mask)",
        ),
        ("not-your-own", _MEAN, "F.nll_loss(logp, mask, ignore_index=ignore_index)"),
        ("raised-exception", "torch.where(keep, mask, 0)", "mask"),
        ("wrong-values", _MEAN, "2 * " + _MEAN),
    ],
)
def test_wrong_pixel_loss(slug: str, old: str, new: str) -> None:
    assert names("14.pixel_loss", loss(old, new)) == [slug]


def reshaped(logits, mask, ignore_index=255):  # type: ignore
    scores, labels = logits.reshape(-1, logits.shape[1]), mask.reshape(-1)
    scores, labels = scores[labels != ignore_index], labels[labels != ignore_index]
    if not len(labels):
        return 0 * logits.sum()
    return -F.log_softmax(scores, 1)[torch.arange(len(labels)), labels].mean()


def test_reshaped_without_permute() -> None:
    assert names("14.pixel_loss", reshaped) == ["reshape-mixes-pixels"]


def test_library_loss_is_refused() -> None:
    assert names("14.pixel_loss", cross_entropy) == ["not-your-own"]
    wrapped = lambda x, y, i=255: cross_entropy(x, y, ignore_index=i)  # noqa: E731
    assert names("14.pixel_loss", wrapped) == ["not-your-own"]


@pytest.mark.parametrize(
    "exercise, answer",
    [
        ("14.predict_lr", {**RATES, 500: 0.007}),
        ("14.poly_factor", raising(lambda s, t, p: 1.5)),
        ("14.parameter_groups", by_identity),
        ("14.pixel_loss", loss(_MEAN, "2 * " + _MEAN)),  # tried against every known mistake
    ],
)
def test_a_check_is_quick(exercise: str, answer: object) -> None:
    check(exercise, answer)
    times = []
    for _ in range(3):
        start = time.process_time()
        check(exercise, answer)
        times.append(time.process_time() - start)
    assert min(times) < 0.3

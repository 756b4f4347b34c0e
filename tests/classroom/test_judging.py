"""The verdict on replies: right, wrong, and forged ones."""

from __future__ import annotations

import json

import numpy
import pytest
import torch
from torch import nn

from seglib.classroom import Build, Call, Item, Mistake, Part, harness
from seglib.classroom.comparing import compare
from seglib.classroom.judging import Judge


def double(x: float) -> float:
    return 2 * x


class Scale(nn.Module):
    """A module with a weight, a normalisation and nothing else."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x) * self.scale.view(1, -1, 1, 1)


class Detached(Scale):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x).detach() * self.scale.view(1, -1, 1, 1)


class AlwaysEval(Scale):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.norm.eval()
        return super().forward(x)


class Renamed(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = Scale(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.inner(x)
        return out


class InPlace(Scale):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = super().forward(x)
        x.zero_()
        return out


def function_judge() -> Judge:
    parts = (Part("numbers", 2, (Call((3,)), Call((0.5,)))), Part("zero", 1, (Call((0,)),)))
    return Judge.of(Item("double", double, parts, {"squares": Mistake("no", lambda x: x * x)}))


def module_judge() -> Judge:
    x = numpy.random.RandomState(0).standard_normal((2, 3, 5, 7))
    case = Build({"channels": 3}, (x,), 1, ("eval", "gradients", "train"))
    return Judge.of(Item("Scale", Scale, (Part("all", 3, (case,)),)))


def said(judge: Judge, answer: object) -> tuple[float, str]:
    record = judge.verdict(harness.respond({judge.item.name: answer}, judge.request))
    return record.score, record.slug


def test_right_and_wrong_functions() -> None:
    judge = function_judge()
    assert said(judge, double) == (3, "")
    assert said(judge, lambda x: torch.tensor(2.0 * x, dtype=torch.float64)) == (3, "")
    assert said(judge, lambda x: x * x) == (0, "squares")
    assert said(judge, lambda x: 2 * x if x else 1) == (2, "wrong-values")
    assert said(judge, lambda x: [2 * x]) == (0, "wrong-type")
    assert said(judge, lambda x: object()) == (0, "wrong-type")
    assert said(judge, 7) == (0, "wrong-type")
    assert said(judge, lambda x: 1 / 0) == (0, "raised-exception")
    assert said(judge, None) == (0, "missing-answer")


def test_points_of_later_parts_need_the_first() -> None:
    assert said(function_judge(), lambda x: 0) == (0, "wrong-values")


def test_an_untouched_stub_is_not_attempted() -> None:
    def stub(x: float) -> float:
        raise NotImplementedError

    assert said(function_judge(), stub) == (0, "not-attempted")


@pytest.mark.parametrize(
    ("answer", "slug"),
    [
        (Scale, ""),
        (Detached, "wrong-gradients"),
        (AlwaysEval, "wrong-in-train-mode"),
        (Renamed, "wrong-names"),
        (InPlace, "changes-input"),
    ],
)
def test_modules(answer: type[nn.Module], slug: str) -> None:
    assert said(module_judge(), answer) == (0 if slug else 3, slug)


@pytest.mark.parametrize(
    "reply",
    [
        None,
        "",
        "[]",
        "nothing",
        "[" * 5000,
        '{"results": []}',
        '{"results": [1, 2, 3]}',
        '{"missing": false}',
        json.dumps({"results": [{"value": {"float": "0x1p+1"}}] * 3}),
        json.dumps({"results": [{"value": {"array": ["float64", [2**40], ""]}}] * 3}),
        json.dumps({"results": [{"value": {"array": ["object", [1], "AAAA"]}}] * 3}),
        json.dumps({"results": [{"value": {"dict": [[[], 1]]}}] * 3}),
        json.dumps({"results": [{"error": 7, "message": ""}] * 3}),
        json.dumps({"results": [{"score": 3}] * 3}),
    ],
)
def test_forged_replies_get_nothing_and_break_nothing(reply: str | None) -> None:
    record = function_judge().verdict(reply)
    assert record.score == 0
    assert record.slug == "unreadable-reply"


def test_the_request_holds_no_expected_value() -> None:
    judge = module_judge()
    value = judge.expected[0]["value"]
    assert isinstance(value, dict)
    output = harness.encode(value["eval"])
    assert isinstance(output, dict)
    assert output["array"][2][:40] not in judge.request


@pytest.mark.parametrize(
    ("right", "given", "kind"),
    [
        (8, 8.0, ""),
        (8, True, "wrong-type"),
        (True, 1, "wrong-type"),
        (10**400, 10**400 + 1, "wrong-values"),
        (1.0, float("nan"), "wrong-values"),
        (float("nan"), float("nan"), ""),
        ([1, 2], numpy.array([1, 2]), ""),
        ([1, 2], [1], "wrong-shape"),
        ({"a": 1}, {"b": 1}, "wrong-shape"),
        ("x", "y", "wrong-values"),
        (None, 0, "wrong-type"),
        (numpy.zeros((2, 2)), numpy.zeros((2, 3)), "wrong-shape"),
        (numpy.zeros(2), numpy.zeros(2, dtype="float32"), "wrong-dtype"),
        (numpy.zeros(2), [0.0, 0.0], "wrong-type"),
        (numpy.array([1e9, 1.0]), numpy.array([1e9, 1.0 + 1e-4]), ""),
    ],
)
def test_comparison(right: object, given: object, kind: str) -> None:
    assert compare(right, given, 1e-6) == kind


@pytest.mark.parametrize("value", [1, -2.5, float("inf"), "é", None, True, [1, [2]], {"a": [1]}])
def test_values_survive_the_way_to_the_kernel(value: object) -> None:
    assert harness.decode(json.loads(json.dumps(harness.encode(value)))) == value


@pytest.mark.parametrize("dtype", harness.DTYPES)
def test_arrays_survive_the_way_to_the_kernel(dtype: str) -> None:
    array = numpy.arange(6).reshape(2, 3).astype(dtype)
    found = harness.decode(json.loads(json.dumps(harness.encode(array))))
    assert isinstance(found, numpy.ndarray)
    assert found.dtype == array.dtype
    assert (found == array).all()

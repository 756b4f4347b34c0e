"""The check itself: whatever an answer does, a report comes back and the world is as before."""

import _thread
import copy
import functools
import random
import threading
import time

import numpy
import pytest
import torch
from torch import nn

from seglib.backbones.mobilenetv2 import InvertedResidual
from seglib.teach import MISTAKES, CheckReport, Exercise, check, exercises

BLOCK = "02.inverted_residual"


def names(report: CheckReport) -> list[str]:
    return [failure.name for failure in report.failures]


def module(forward, init=None):  # type: ignore
    """A class with this forward pass, and a layer so that it is no stub."""

    class Answer(nn.Module):
        def __init__(self, in_channels, out_channels, stride, dilation, expand_ratio):  # type: ignore
            super().__init__()
            self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
            if init is not None:
                init(self)

        def forward(self, x):  # type: ignore
            return forward(self, x)

    return Answer


def test_vocabulary() -> None:
    for exercise in exercises():
        assert isinstance(exercise, Exercise)
        assert exercise.id.startswith(f"{exercise.chapter:02d}.")
        assert exercise.kind in ("warm-up", "implement", "debug", "extend")
    assert len({exercise.id for exercise in exercises()}) == len(exercises()) >= 8
    for chapter in {exercise.chapter for exercise in exercises()}:
        assert sum(item.points for item in exercises() if item.chapter == chapter) == 10
    for slug, hint in MISTAKES.items():
        assert slug == slug.lower().strip()
        assert " " not in slug
        assert hint.endswith((".", "/."))


def test_unknown_exercise_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match=r"'02\.nothing'.*02\.predict"):
        check("02.nothing", None)
    with pytest.raises(ValueError, match="must be one of"):
        check(3, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seconds is 0"):
        check(BLOCK, None, seconds=0)


class EmptyBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride, dilation, expand_ratio):  # type: ignore
        super().__init__()
        raise NotImplementedError

    def forward(self, x):  # type: ignore
        raise NotImplementedError("write the forward pass")


class DottedBlock(nn.Module):
    """To be written."""

    def __init__(self, in_channels, out_channels, stride, dilation, expand_ratio): ...  # type: ignore

    def forward(self, x):  # type: ignore
        """(N, C, H, W)"""


class HalfEmptyBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride, dilation, expand_ratio):  # type: ignore
        super().__init__()
        # your code here

    def forward(self, x):  # type: ignore
        ...


class NoBlock(nn.Module):
    pass


def dots(*args): ...  # type: ignore


def docstring(settings, output_stride):  # type: ignore
    """Only words."""


def unwritten(*args):  # type: ignore
    # your code here
    raise NotImplementedError()


def late(*args):  # type: ignore
    result = list(args)
    if result:
        raise NotImplementedError
    return result


@pytest.mark.parametrize(
    "exercise, answer",
    [
        *((exercise.id, None) for exercise in exercises()),
        *((exercise.id, ...) for exercise in exercises()),
        *((exercise.id, dots) for exercise in exercises() if exercise.kind != "warm-up"),
        *((exercise.id, unwritten) for exercise in exercises() if exercise.kind != "warm-up"),
        (BLOCK, EmptyBlock),
        (BLOCK, DottedBlock),
        (BLOCK, HalfEmptyBlock),
        (BLOCK, NoBlock),
        ("02.border", EmptyBlock),
        ("02.dilated_stage", docstring),
        ("02.dilated_stage", late),
        ("02.predict", {}),
        ("02.predict", {"shape": None, "parameters": ...}),
        ("02.predict", (None, None, None, None)),
        ("14.predict_lr", {0: None, 500: None}),
    ],
)
def test_stubs_are_not_attempted(exercise: str, answer: object) -> None:
    report = check(exercise, answer)
    assert not report.attempted
    assert not report.passed
    assert report.failures == ()
    assert "not attempted" in repr(report)


def built(*args: int) -> nn.Module:
    return InvertedResidual(*args)


class Child(InvertedResidual):
    pass


class Wrapper(nn.Module):
    def __init__(self, in_channels, out_channels, stride, dilation, expand_ratio):  # type: ignore
        super().__init__()
        self.block = InvertedResidual(in_channels, out_channels, stride, dilation, expand_ratio)

    def forward(self, x):  # type: ignore
        return self.block(x)


class HiddenWrapper(nn.Module):
    """Keeps the library's block where `modules()` does not look."""

    def __init__(self, in_channels, out_channels, stride, dilation, expand_ratio):  # type: ignore
        super().__init__()
        self.blocks = [InvertedResidual(in_channels, out_channels, stride, dilation, expand_ratio)]
        self.conv = self.blocks[0].conv

    def forward(self, x):  # type: ignore
        return self.blocks[0](x)


class Torchvisions(nn.Module):
    def __init__(self, in_channels, out_channels, stride, dilation, expand_ratio):  # type: ignore
        super().__init__()
        from torchvision.models.mobilenetv2 import InvertedResidual as Theirs

        self.block = Theirs(in_channels, out_channels, stride, expand_ratio)

    def forward(self, x):  # type: ignore
        return self.block(x)


def from_timm(in_channels, out_channels, stride, dilation, expand_ratio):  # type: ignore
    timm = pytest.importorskip("timm")
    block = timm.models._efficientnet_blocks.InvertedResidual
    return block(in_channels, out_channels, 3, stride, dilation, exp_ratio=expand_ratio)


Renamed = type("Renamed", (InvertedResidual,), {"__module__": "__main__"})
Copied = type("Copied", InvertedResidual.__bases__, dict(vars(InvertedResidual)))
Disguised = type(
    "Disguised",
    (nn.Module,),
    {
        name: vars(InvertedResidual)[name]
        for name in ("__init__", "forward")
    } | {"__module__": "__main__"},
)  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        InvertedResidual,
        Child,
        Renamed,
        Copied,
        Disguised,
        Wrapper,
        HiddenWrapper,
        Torchvisions,
        from_timm,
        built,
        functools.partial(InvertedResidual),
        functools.partial(built),
        lambda *args: InvertedResidual(*args),
        lambda *args: nn.Sequential(InvertedResidual(*args)),
        lambda *args: copy.deepcopy(InvertedResidual(*args)),
        InvertedResidual(4, 4),
        nn.Sequential(InvertedResidual(4, 4)),
        InvertedResidual(4, 4).forward,
    ],
)
@pytest.mark.parametrize("exercise", [BLOCK, "02.border"])
def test_library_is_refused(exercise: str, answer: object) -> None:
    report = check(exercise, answer)
    assert names(report) == ["not-your-own"], report


def loop(*args):  # type: ignore
    while True:
        pass


def stubborn(*args):  # type: ignore
    while True:
        try:
            while True:
                pass
        except:  # noqa: E722
            pass


def very_stubborn(*args):  # type: ignore
    def inner():  # type: ignore
        while True:
            try:
                sum(range(10))
            except BaseException:
                continue
            finally:
                time.time()

    while True:
        try:
            inner()
        except BaseException:
            inner()


@pytest.mark.parametrize("forever", [loop, stubborn, very_stubborn])
@pytest.mark.parametrize("thread", [False, True])
def test_endless_loops_end(forever, thread: bool) -> None:  # type: ignore
    reports: list[CheckReport] = []
    before = _thread._count()
    begin = time.monotonic()

    def run() -> None:
        for exercise, answer in (
            (BLOCK, module(forever)),
            (BLOCK, module(None, init=forever)),
            ("02.dilated_stage", forever),
        ):
            reports.append(check(exercise, answer, seconds=0.3))

    if thread:
        worker = threading.Thread(target=run)
        worker.start()
        worker.join()
    else:
        run()
    assert [names(report) for report in reports] == [["timed-out"]] * 3
    time.sleep(0.1)
    assert _thread._count() == before  # they have ended, not just been left behind
    assert time.monotonic() - begin < 10


class EvilError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Evil:
    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


class EvilClass(type):
    def __getattribute__(cls, name: str) -> object:
        raise RuntimeError(name)


class EvilModule(nn.Module):
    def __init__(self, in_channels, out_channels, stride, dilation, expand_ratio):  # type: ignore
        self.started = True

    def forward(self, x):  # type: ignore
        return x


def throw(error: BaseException):  # type: ignore
    def forward(self, x):  # type: ignore
        raise error

    return module(forward)


def endless_recursion(self, x):  # type: ignore
    return self(x)


class Untrainable(nn.Module):
    def __init__(self, *args: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x):  # type: ignore
        return x

    def train(self, mode: bool = True):  # type: ignore
        raise SystemExit

    def modules(self):  # type: ignore
        raise KeyboardInterrupt


HOSTILE = [
    object(),
    3,
    "answer",
    b"answer",
    [],
    {},
    float("nan"),
    int,
    object,
    nn.Module,
    nn.Conv2d,
    nn.Identity(),
    Evil(),
    Evil,
    EvilClass("EvilClass", (), {}),
    EvilModule,
    Untrainable,
    print,
    len,
    torch,
    lambda: None,
    lambda *args: None,
    lambda *args: Evil(),
    lambda *args: args,
    lambda **kwargs: object(),
    module(lambda self, x: None),
    module(lambda self, x: [x]),
    module(lambda self, x: Evil()),
    module(lambda self, x: x.sum()),
    module(lambda self, x: x.detach().numpy()),
    module(endless_recursion),
    throw(SystemExit(3)),
    throw(KeyboardInterrupt()),
    throw(EvilError()),
    throw(GeneratorExit()),
    throw(StopIteration()),
    throw(MemoryError()),
    throw(BaseException("odd")),
    throw(RecursionError()),
    throw(AssertionError()),
    torch.zeros(3),
    numpy.zeros(3),
    {"shape": Evil()},
    (1, 2, 3, 4, 5, 6),
    {"shape": (1, "a", None, {}), "hidden_channels": [], "parameters": {}, "multiply_adds": 1j},
    {0: "a", 500: None, 1000: 1j, 1200: float("nan")},
    (Evil(),) * 4,
    iter([]),
    (x for x in ()),
]


@pytest.mark.parametrize("exercise", [exercise.id for exercise in exercises()])
def test_hostile_answers_fail(exercise: str) -> None:
    for place, answer in enumerate(HOSTILE):
        report = check(exercise, answer, seconds=5)
        assert not report.passed, place
        assert len(report.failures) == report.attempted, (place, report)
        for failure in report.failures:
            assert failure.name in MISTAKES
            assert failure.hint
            assert "0x" not in failure.hint
        assert repr(report)
        assert report._repr_html_()


def test_the_world_is_as_before(capfd: pytest.CaptureFixture[str]) -> None:
    def wild(self, x):  # type: ignore
        print("noise")
        torch.manual_seed(1)
        random.seed(1)
        numpy.random.seed(1)  # noqa: NPY002
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.use_deterministic_algorithms(True)
        return self.conv(x)

    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state()  # noqa: NPY002
    threads = torch.get_num_threads()
    with torch.no_grad():
        check(BLOCK, module(wild))
        check(BLOCK, module(loop), seconds=0.1)
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert numpy.array_equal(numpy.random.get_state()[1], states[2][1])  # noqa: NPY002
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert capfd.readouterr() == ("", "")


def test_report_shows_itself_the_same_way_twice() -> None:
    answer = module(lambda self, x: self.conv(x))
    first, second = check(BLOCK, answer), check(BLOCK, answer)
    assert names(first) == ["wrong-parameter-count"]
    assert repr(first) == repr(second)
    assert first._repr_html_() == second._repr_html_()
    assert [stage for stage, good in first.stages if not good] == ["parameter count"]
    assert "✗ parameter count" in repr(first)
    assert not first
    assert first.points == 0

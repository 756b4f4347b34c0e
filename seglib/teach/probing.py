"""Judge a module stage by stage, and recognise known mistakes by their behaviour."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seglib.teach.caching import cached_property
from seglib.teach.execution import Use, fill, unregistered, uses
from seglib.teach.interrupting import TimeLimit
from seglib.teach.tasks import STAGES, Wrong

Make = Callable[..., object]
Fact = tuple[object, ...]  # strings, numbers, tuples and tensors; what is compared
_SEED = 20


@dataclass(frozen=True)
class Case:
    """Arguments of the constructor, and the shape of an input."""

    arguments: Mapping[str, float]
    shape: tuple[int, ...]

    def describe(self) -> str:
        arguments = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"({arguments}) on a {self.shape} input"


class Crashed(Exception):
    """The code under test raised; holds the exception."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error = error


class Probe:
    """What one module class does in one case; each stage's facts are found when first asked for."""

    def __init__(
        self,
        make: Make,
        case: Case,
        watch: Callable[[], AbstractContextManager[object]] = nullcontext,
        inspect: Callable[[nn.Module], None] = lambda module: None,
    ) -> None:
        self.make, self.case, self.watch, self.inspect = make, case, watch, inspect
        generator = torch.Generator().manual_seed(_SEED)
        self.x = (
            torch.randn(case.shape, dtype=torch.float64, generator=generator) * 4
        )  # reaches past ReLU6's 6

    def run(self, module: Callable[..., object], *args: object, **kwargs: object) -> object:
        try:
            with self.watch():
                return module(*args, **kwargs)
        except (Wrong, TimeLimit):
            raise
        except Exception as error:
            raise Crashed(error) from None
        except (SystemExit, KeyboardInterrupt) as error:
            raise Crashed(error) from None

    def forward(self, x: Tensor) -> Tensor:
        out = self.run(self.module, x)
        if not isinstance(out, Tensor):
            raise Wrong(
                "wrong-type", f"forward returns {type(out).__name__}, asked for is a tensor."
            )
        return out

    @cached_property
    def module(self) -> nn.Module:
        module = self.run(self.make, **self.case.arguments)
        if not isinstance(module, nn.Module):
            raise Wrong(
                "wrong-type",
                f"Calling it gives {type(module).__name__}, asked for is an nn.Module.",
            )
        self.inspect(module)
        return module

    def facts(self, stage: str) -> Fact:
        """The facts of a stage; an exception in the code under test is a fact, too."""
        try:
            return self._facts(stage)
        except Crashed as crash:
            return ("error", type(crash.error).__name__)

    def _facts(self, stage: str) -> Fact:
        name = {"parameter count": "count", "train/eval": "training"}.get(stage, stage)
        found: Fact = getattr(self, name)
        return found

    @cached_property
    def shape(self) -> Fact:
        self.set_mode(False)
        nn.Module.float(self.module)
        with torch.no_grad():
            return (tuple(self.forward(self.x.to(torch.float32)).shape),)

    @cached_property
    def dtype(self) -> Fact:
        self.set_mode(False)
        found = []
        for dtype in (torch.float32, torch.float64):
            nn.Module.to(self.module, dtype)
            with torch.no_grad():
                found.append(str(self.forward(self.x.to(dtype, copy=True)).dtype))
        return tuple(found)

    @cached_property
    def count(self) -> Fact:
        parameters = nn.Module.parameters(self.module)
        return (sum(parameter.numel() for parameter in parameters if parameter.requires_grad),)

    @cached_property
    def tensors(self) -> dict[Use, Tensor]:
        self.facts("dtype")  # changes the dtype, which replaces buffers: it must not come later
        nn.Module.double(self.module)
        self.set_mode(False)
        with torch.no_grad():
            return uses(self.module, lambda: self.forward(self.x.clone()))

    def refill(self) -> None:
        fill(self.tensors, _SEED)

    @cached_property
    def values(self) -> Fact:
        self.refill()
        self.set_mode(False)
        x = self.x.clone()
        with torch.no_grad():
            out = self.forward(x)
        return (out.clone(), "kept" if torch.equal(x, self.x) else "changed")

    @cached_property
    def gradients(self) -> Fact:
        self.refill()
        self.set_mode(False)
        return self._backward()

    @cached_property
    def training(self) -> Fact:
        self.refill()
        self.set_mode(True)
        facts = self._backward()
        statistics = [
            tensor.detach().clone()
            for use, tensor in self.tensors.items()
            if use.role in ("mean", "variance")
        ]
        self.set_mode(False)
        return (*facts, *statistics)

    def _backward(self) -> Fact:
        leaf = self.x.clone().requires_grad_()
        parameters = [tensor for tensor in self.tensors.values() if tensor.requires_grad]
        for parameter in parameters:
            parameter.grad = None
        out = self.forward(leaf.clone())
        generator = torch.Generator().manual_seed(_SEED + 1)
        direction = torch.randn(out.shape, dtype=torch.float64, generator=generator)
        if out.requires_grad:
            self.run((out * direction).sum().backward)
        gradients = [leaf.grad, *(parameter.grad for parameter in parameters)]
        found = [
            "none" if gradient is None else gradient.detach().flatten() for gradient in gradients
        ]
        return (out.detach().clone(), *found)

    def set_mode(self, training: bool) -> None:
        self.run(self.module.train, training)


def same(a: object, b: object) -> bool:
    """Whether two facts are equal, tensors up to rounding."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        scale = max(1.0, float(b.abs().max())) if b.numel() else 1.0
        return torch.allclose(a, b, rtol=0, atol=1e-9 * scale, equal_nan=True)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and not isinstance(a, Tensor) and a == b


def judge_module(
    answer: Make,
    reference: Make,
    cases: Sequence[Case],
    variants: Callable[[], Iterator[tuple[str, Callable[[int], Probe]]]],
    watch: Callable[[], AbstractContextManager[object]],
    inspect: Callable[[nn.Module], None],
    positional: bool,
) -> Iterator[str]:
    """Yield each stage as it begins; raise `Wrong` at the first one that fails.

    Args:
        answer: the learner's class.
        reference: the library's.
        cases: constructor arguments and input shapes.
        variants: gives (slug, its probe of the n-th case): behaviours of known mistakes.
        watch: context in which the learner's code runs.
        inspect: called with each module that the answer makes.
        positional: whether the constructor takes its arguments by position.
    """
    make = (lambda **kwargs: answer(*kwargs.values())) if positional else answer
    probes = [Probe(make, case, watch, inspect) for case in cases]
    right = [Probe(reference, case) for case in cases]
    for index, stage in enumerate(STAGES):
        yield stage
        wrong = [
            place
            for place, (probe, other) in enumerate(zip(probes, right, strict=True))
            if not same(probe.facts(stage), other.facts(stage))
        ]
        if not wrong:
            continue
        for slug, flawed in variants():
            if all(
                same(probes[place].facts(one), flawed(place).facts(one))
                for place in (wrong[0], *range(len(probes)))  # first where most of them differ
                for one in STAGES[: index + 1]
            ):
                raise Wrong(slug, _seen(stage, probes[wrong[0]], right[wrong[0]]))
        place = wrong[0]
        raise _unknown(stage, probes[place], right[place])


def _unknown(stage: str, probe: Probe, right: Probe) -> Wrong:
    try:
        probe._facts(stage)
    except Crashed as crash:
        lost = "module" in vars(probe) and unregistered(probe.module)
        name = "layers-not-registered" if lost else "raised-exception"
        return Wrong(name, f"{explain(crash.error)} With {probe.case.describe()}.")
    if stage == "parameter count" and unregistered(probe.module):
        return Wrong("layers-not-registered", _seen(stage, probe, right))
    if stage == "values" and probe.values[1] == "changed":
        return Wrong("modifies-input", _seen(stage, probe, right))
    slug = {"parameter count": "wrong-parameter-count", "train/eval": "wrong-train-eval"}
    return Wrong(slug.get(stage, f"wrong-{stage}"), _seen(stage, probe, right))


def _seen(stage: str, probe: Probe, right: Probe) -> str:
    """One sentence on what was seen; the same on any machine."""
    where = f"With {probe.case.describe()}"
    found, expected = probe.facts(stage), right.facts(stage)
    if found[0] == "error":
        return f"{where}: your code raised {found[1]}."
    if stage in ("shape", "dtype", "parameter count"):
        return f"{where}: expected {_plain(expected)}, got {_plain(found)}."
    mine, other = found[0], expected[0]
    if (
        stage == "values"
        and isinstance(mine, Tensor)
        and isinstance(other, Tensor)
        and mine.shape == other.shape
    ):
        wrong = (mine - other).abs() > 1e-9
        if wrong.dim() == 4 and bool(wrong.any()) and not bool(wrong[:, :, 2:-2, 2:-2].any()):
            return f"{where}: only the border of the output differs."
    return f"{where}."


def _plain(fact: Fact) -> str:
    return " and ".join(str(item).replace("torch.", "") for item in fact)


def explain(error: BaseException) -> str:
    """An exception in one line, without addresses."""
    try:
        text = str(error).split("\n")[0][:160]
    except BaseException:  # an exception of the learner's own may fail even here
        text = ""
    words = ["…" if word.startswith(("0x", "/")) or "0x" in word else word for word in text.split()]
    sentence = " ".join(words).rstrip(".")
    return f"{type(error).__name__}: {sentence}." if sentence else f"{type(error).__name__}."


def close(a: float, b: float, tolerance: float = 1e-9) -> bool:
    """Whether two numbers agree, relative to the larger of 1 and the second."""
    return math.isfinite(a) and abs(a - b) <= tolerance * max(1.0, abs(b))

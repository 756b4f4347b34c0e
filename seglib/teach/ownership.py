"""Is it the learner's own work? Watches which code runs with an answer, and recognises stubs."""

from __future__ import annotations

import dis
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType

from torch import nn
from torch.overrides import TorchFunctionMode

from seglib.teach.tasks import Wrong

LIBRARIES = ("seglib", "torchvision", "timm", "segmentation_models_pytorch")
HELPERS = (
    "make_divisible",
    "fixed_padding",
)  # small functions of seglib.layers that an answer may use
_CHECKER = Path(__file__).parent


@cache
def _folders() -> tuple[str, ...]:
    specs = (importlib.util.find_spec(name) for name in LIBRARIES)
    return tuple(f"{Path(spec.origin).parent}/" for spec in specs if spec and spec.origin)


@cache
def _is_finished(code: CodeType) -> bool:
    """Whether `code` belongs to a library; the checker's own machinery does not count."""
    path = code.co_filename
    if not path.startswith(_folders()) or Path(path).parent == _CHECKER:
        return False
    return code.co_name not in HELPERS


class _Forbid(TorchFunctionMode):
    """Notes calls of torch functions that would be the answer themselves."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names
        self.seen: str | None = None

    def __torch_function__(  # type: ignore[no-untyped-def]
        self, func, types, args=(), kwargs=None
    ):
        name = getattr(func, "__name__", "")
        if name in self.names:
            self.seen = name
        return func(*args, **(kwargs or {}))


@contextmanager
def own_work(forbidden: tuple[str, ...] = ()) -> Iterator[None]:
    """Run the learner's code inside; raises `Wrong("not-your-own")` if a library did the work."""
    seen: list[str] = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and not seen and _is_finished(frame.f_code):
            seen.append(frame.f_code.co_name)

    watch = _Forbid(forbidden)
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        if forbidden:
            with watch:
                yield
        else:
            yield
    finally:
        sys.setprofile(before)
        if seen or watch.seen:
            raise Wrong("not-your-own")


def refuse_library(answer: object) -> None:
    """Raise `Wrong("not-your-own")` for a library's class, function, object, or a subclass."""
    while isinstance(answer, partial):
        answer = answer.func
    if isinstance(answer, nn.Module):
        refuse_modules(answer)
    classes = answer.__mro__ if isinstance(answer, type) else type(answer).__mro__
    code = getattr(answer, "__code__", None)
    if any(_of_library(one) for one in classes) or (
        isinstance(code, CodeType) and _is_finished(code)
    ):
        raise Wrong("not-your-own")


def refuse_modules(module: nn.Module) -> None:
    """Raise `Wrong("not-your-own")` if the module contains a library's module, at any depth."""
    for part in nn.Module.modules(module):
        if any(_of_library(one) for one in type(part).__mro__):
            raise Wrong("not-your-own")


def _of_library(one: type) -> bool:
    # Code tells more than the class's name, which can be changed.
    functions = (value for value in vars(one).values() if isinstance(value, FunctionType))
    root = str(vars(one).get("__module__", "")).split(".")[0]
    return root in LIBRARIES or any(_is_finished(function.__code__) for function in functions)


def is_stub(function: Callable[..., object]) -> bool:
    """Whether a body is empty: `...`, `pass`, a docstring, or `raise NotImplementedError`."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return False
    noise = (
        "RESUME",
        "NOP",
        "CACHE",
        "PUSH_NULL",
        "PRECALL",
        "COPY_FREE_VARS",
        "MAKE_CELL",
        "NOT_TAKEN",
    )
    steps = [step for step in dis.get_instructions(code) if step.opname not in noise]
    if all(step.opname.startswith(("LOAD_CONST", "RETURN")) for step in steps):
        returned = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
        return all(value is None for value in returned)
    loads = ("LOAD_GLOBAL", "LOAD_COMMON_CONSTANT")
    names = [step.argrepr for step in steps if step.opname in loads]
    kinds = {step.opname.split("_")[0] for step in steps}
    return any("NotImplementedError" in name for name in names[:1]) and kinds <= {
        "LOAD",
        "CALL",
        "RAISE",
        "KW",
    }


def is_stub_class(one: type) -> bool:
    """Whether a class has no function with a body of its own (`__init__` may call its parent's)."""
    functions = {
        name: value for name, value in vars(one).items() if isinstance(value, FunctionType)
    }
    if not functions:
        return not any(
            isinstance(value, FunctionType)
            for base in one.__mro__[1:-1]
            if not base.__module__.startswith("torch")
            for value in vars(base).values()
        )
    return all(
        is_stub(value) or (name == "__init__" and _only_calls_parent(value.__code__))
        for name, value in functions.items()
    )


def _only_calls_parent(code: CodeType) -> bool:
    names = set(code.co_names)
    return (
        names <= {"super", "__init__", "NotImplementedError", "nn", "Module"} and "super" in names
    )

"""What judges of all chapters do with an answer: call it, read numbers from it, tell a stub."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import numpy as np
from torch import Tensor, nn

from seglib.teach.ownership import is_stub, is_stub_class, own_work, refuse_library
from seglib.teach.probing import explain
from seglib.teach.tasks import NotAttempted, Wrong

Key = TypeVar("Key", str, int)  # the name of a value that is asked for


class Calls:
    """Calls the learner's functions, and refuses those that let a library do the work.

    Args:
        forbidden: names of torch functions that would be the answer themselves.
    """

    def __init__(self, forbidden: tuple[str, ...] = ()) -> None:
        self.forbidden = forbidden

    def watch(self) -> AbstractContextManager[None]:
        return own_work(self.forbidden)

    def __call__(self, function: Callable[..., object], *args: object) -> object:
        """The result, or `Wrong("raised-exception")`."""
        try:
            with self.watch():
                return function(*args)
        except (Wrong, NotAttempted):
            raise
        except NotImplementedError:
            raise NotAttempted from None
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            raise Wrong("raised-exception", explain(error)) from None


def function_answer(answer: object, arguments: int) -> Callable[..., object]:
    """The answer if it is a function of the learner's own that takes so many arguments."""
    refuse_library(answer)
    if isinstance(answer, type) or not callable(answer):
        raise Wrong("wrong-type", "A function is asked for.")
    if is_stub(answer):
        raise NotAttempted
    if not accepts(answer, [None] * arguments, {}):
        raise Wrong("wrong-signature", f"It is called with {arguments} arguments.")
    return answer


def attempted_class(answer: object, names: tuple[str, ...]) -> bool:
    """Check that `answer` makes modules and isn't a stub.

    Args:
        answer: what was handed in.
        names: the constructor's arguments.
    Returns:
        Whether the constructor must be called by position, because its arguments have other names.
    """
    refuse_library(answer)
    if isinstance(answer, nn.Module):
        raise Wrong("not-a-class")
    if not callable(answer):
        raise Wrong("wrong-type", "A class is asked for.")
    if isinstance(answer, type):
        if is_stub_class(answer):
            raise NotAttempted
        if not issubclass(answer, nn.Module):
            raise Wrong("wrong-type", "A subclass of nn.Module is asked for.")
    elif is_stub(answer):
        raise NotAttempted
    if accepts(answer, [], dict.fromkeys(names, 1)):
        return False
    if accepts(answer, [1] * len(names), {}):
        return True
    raise Wrong("wrong-signature", f"It takes ({', '.join(names)}).")


def accepts(
    function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
) -> bool:
    """Whether a function's signature takes these arguments; True if it has none to be found."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:  # no signature to be found: find out by calling
        return True
    return True


def whole_number(value: object) -> int:
    """`value` as an int, if it is one in any of the usual types."""
    if isinstance(value, bool):
        raise Wrong("wrong-dtype", "A whole number is asked for, got a bool.")
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return int(value)
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(
            "wrong-dtype", f"A whole number is asked for, got {type(value).__name__}."
        ) from None


def real_number(value: object) -> float:
    """`value` as a finite float, if it is a number."""
    if isinstance(value, complex):
        raise Wrong("wrong-dtype", "A real number is asked for, got a complex one.")
    if isinstance(value, (bool, str, bytes)) or (isinstance(value, Tensor) and value.numel() != 1):
        raise Wrong("wrong-dtype", f"A number is asked for, got {type(value).__name__}.")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise Wrong("wrong-dtype", f"A number is asked for, got {type(value).__name__}.") from None
    if not math.isfinite(number):
        raise Wrong("wrong-values", "A finite number is asked for.")
    return number


def plain(value: object) -> object:
    """`value`; as lists, if it is an array or a tensor with dimensions."""
    return value.tolist() if isinstance(value, (np.ndarray, Tensor)) and value.ndim else value


def shape_or_number(
    key: str, value: object, shapes: Collection[str] = frozenset({"shape"})
) -> object:
    """For `judge_values`: what is named in `shapes` as four whole numbers, all others as one."""
    if key not in shapes:
        return whole_number(value)
    value = plain(value)
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise Wrong("wrong-type", f"{key}: a tuple of four whole numbers is asked for.")
    numbers = tuple(whole_number(item) for item in value)
    if len(numbers) != 4:
        raise Wrong(
            "wrong-shape", f"{key}: (images, channels, height, width) is asked for, four numbers."
        )
    return numbers


def judge_values(
    answer: object,
    right: Mapping[Key, object],
    wrong: Mapping[Key, Mapping[object, str]],
    convert: Callable[[Key, object], object],
    equal: Callable[[object, object], bool] = operator.eq,
) -> Iterator[str]:
    """Judge a warm-up: some named values, as a dict or in order.

    Args:
        answer: {name: value}, or the values alone.
        right: the right values.
        wrong: for each name, what known mistakes give.
        convert: (name, value) → the value in the type that is compared; raises `Wrong`.
        equal: whether a given value equals an expected one.
    """
    yield "shape"
    names = list(right)
    answer = plain(answer)
    given: dict[Key, object]
    if isinstance(answer, Mapping):
        given = {name: answer[name] for name in names if name in answer}
    elif isinstance(answer, Sequence) and not isinstance(answer, (str, bytes)):
        given = dict(zip(names, answer, strict=False))
    else:
        raise Wrong("wrong-type", f"A dict is asked for, with {', '.join(map(str, names))}.")
    found = list(answer.values() if isinstance(answer, Mapping) else given.values())
    if all(value is None or value is ... for value in found):
        raise NotAttempted
    missing = [
        name for name in names if name not in given or given[name] is None or given[name] is ...
    ]
    if missing:
        raise Wrong("missing-value", f"Missing: {', '.join(map(str, missing))}.")
    yield "dtype"
    values = {name: convert(name, given[name]) for name in names}
    yield "values"
    failed: list[Wrong] = []
    for name, value in values.items():
        if not equal(value, right[name]):
            slugs = (slug for known, slug in wrong[name].items() if equal(value, known))
            failed.append(Wrong(next(slugs, "wrong-values"), f"Look at {name} again."))
    known = [one for one in failed if one.name != "wrong-values"]
    if failed:
        raise (known or failed)[0]

"""Does a right module stay right at its second call: another size, another number of images?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import nn

from seglib.teach.interrupting import TimeLimit
from seglib.teach.probing import same
from seglib.teach.tasks import Wrong

Watch = Callable[[], AbstractContextManager[object]]


def remembers(
    module: nn.Module, first: Callable[[], object], second: Callable[[], object], watch: Watch
) -> bool:
    """Whether the result for one input is another after a call with a different one.

    Args:
        module: as fresh as its class made it; in eval mode and double precision afterwards.
        first: makes the argument of the call before.
        second: makes the argument of the call that is looked at.
        watch: context in which the learner's code runs.
    """
    nn.Module.double(module).eval()
    try:
        fresh = copy.deepcopy(module)
    except Exception:  # not every module can be copied
        return False
    expected = call(fresh, second(), watch)
    call(module, first(), watch)
    return not same(call(module, second(), watch), expected)


def call(module: nn.Module, argument: object, watch: Watch) -> object:
    """What the module gives, or the name of the exception that it raises."""
    try:
        with watch(), torch.no_grad():
            return module(argument)
    except (Wrong, TimeLimit):
        raise
    except Exception as error:
        return type(error).__name__

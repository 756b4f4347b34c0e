"""Run someone else's code with a time limit, and put global state back afterwards."""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import io
import random
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from queue import Empty, SimpleQueue

import numpy
import torch

STACK_BYTES = 64 * 2**20  # runaway recursion must end in RecursionError, not in a crash
GRACE_SECONDS = 2.0

# Without a return value, so that it can stand as a class's __init__.
_raise_in_thread = ctypes.PYFUNCTYPE(None, ctypes.c_ulong, ctypes.py_object)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)


class TimeLimit(SystemExit):
    """Raised inside code that runs past its limit. (SystemExit ends a thread silently.)"""


def _relentless(thread: int) -> type[TimeLimit]:
    """An exception that, when it is caught, is raised once more at the next step.

    Code that catches everything in a loop survives any single exception. This one's constructor,
    which runs as it is caught, tells the interpreter to raise it again: the second one hits the
    handler, outside its `try`.
    """
    limit = type("TimeLimit", (TimeLimit,), {})
    again = partial(_raise_in_thread, ctypes.c_ulong(thread), ctypes.py_object(limit))
    limit.__init__ = staticmethod(again)  # type: ignore[misc]
    return limit


def run_limited(function: Callable[[], None], seconds: float) -> bool:
    """Run `function` in a thread of its own; interrupt it after `seconds`.

    Args:
        function: what to run; its exceptions end there.
        seconds: time limit.
    Returns:
        Whether it ended in time. Code that is stuck outside Python (a long sleep) is left behind,
        and interrupted as soon as it comes back.
    """
    ended: SimpleQueue[object] = SimpleQueue()

    def work(token: object) -> None:
        try:
            with contextlib.suppress(BaseException):
                function()
        finally:
            ended.put(None)

    # The thread alone holds the token: when it goes, so has the thread, even if `put` is cut short
    token = _Token()
    last_words = weakref.ref(token, ended.put)
    previous = _thread.stack_size(STACK_BYTES)
    try:
        thread = _thread.start_new_thread(work, (token,))
    finally:
        _thread.stack_size(previous)
    del token
    try:
        ended.get(timeout=seconds)
    except Empty:
        _interrupt(thread, ended)
        return False
    except BaseException:  # the reader's own Ctrl-C
        _interrupt(thread, ended)
        raise
    del last_words
    return True


class _Token:
    pass


def _interrupt(thread: int, ended: SimpleQueue[object]) -> None:
    limit = _relentless(thread)
    end = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < end:
        _raise_in_thread(thread, limit)
        with contextlib.suppress(Empty):
            ended.get(timeout=0.02)
            return


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Keep random states, dtype and threads; silence printing and warnings; use one thread."""
    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state()  # noqa: NPY002
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    recursion = sys.getrecursionlimit()
    try:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(1)
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.setrecursionlimit(recursion)
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        numpy.random.set_state(states[2])  # noqa: NPY002

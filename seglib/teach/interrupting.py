"""Run someone else's code with a time limit, and put global state back afterwards."""

from __future__ import annotations

import contextlib
import ctypes
import io
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator

import numpy
import torch

STACK_BYTES = 64 * 2**20  # runaway recursion must end in RecursionError, not in a crash
GRACE_SECONDS = 5.0


class TimeLimit(BaseException):
    """Raised inside code that runs past its limit; no `except Exception` stops it."""


def run_limited(function: Callable[[], None], seconds: float) -> bool:
    """Run `function` in a thread of its own; interrupt it after `seconds`.

    A thread, because code that catches everything in a loop must be interrupted again and again until one
    interruption lands outside its `try`, and none may land in the caller.

    Args:
        function: what to run; its exceptions end there.
        seconds: time limit.
    Returns:
        Whether it ended in time. Code that is stuck outside Python (a long sleep) is left behind in a daemon thread.
    """

    def work() -> None:
        with contextlib.suppress(BaseException):
            function()

    previous = threading.stack_size(STACK_BYTES)
    try:
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
    finally:
        threading.stack_size(previous)
    try:
        worker.join(seconds)
    except BaseException:  # the reader's own Ctrl-C
        _interrupt(worker)
        raise
    if not worker.is_alive():
        return True
    _interrupt(worker)
    return False


def _interrupt(worker: threading.Thread) -> None:
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    interval = sys.getswitchinterval()
    hook = threading.excepthook
    end = time.monotonic() + GRACE_SECONDS
    try:
        threading.excepthook = lambda _: None
        sys.setswitchinterval(1e-6)  # so that an interruption can land at any step
        while worker.is_alive() and time.monotonic() < end:
            raise_in(ctypes.c_ulong(worker.ident or 0), ctypes.py_object(TimeLimit))
            worker.join(1e-6)
    finally:
        sys.setswitchinterval(interval)
        threading.excepthook = hook


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Keep random states, dtype and thread settings; silence printing and warnings; use one thread."""
    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state()
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
        numpy.random.set_state(states[2])

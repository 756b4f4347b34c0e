"""Starts a session's process, looks at what it uses every 50 ms, and ends it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seglib.classroom.sandbox import HOME, Limits, SandboxError

Ending = Literal["timed-out", "died", "too-much-memory", "unreadable"]
_INTERVAL = 0.05  # s
_LAST_SECONDS = 2.0  # s; how long an end may take
_COUNTED = ("RssAnon", "RssShmem", "VmPTE", "VmSwap")


@dataclass(frozen=True)
class Verdict:
    """Why a session ended."""

    status: Ending
    message: str


@dataclass(frozen=True)
class Usage:
    """What a process uses: bytes, CPU seconds, threads."""

    memory: int
    cpu: float
    threads: int


def usage(pid: int) -> Usage | None:
    """What the process uses; None if it is gone, or where Linux's /proc is missing."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    pairs = (line.partition(":") for line in status.splitlines())
    fields = {name: value.split() for name, _, value in pairs}
    kibibytes = sum(int(fields[name][0]) for name in _COUNTED if name in fields)
    ticks = stat.rpartition(")")[2].split()[11:13]  # user, system
    cpu = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return Usage(1024 * kibibytes, cpu, int(fields["Threads"][0]))


class Supervised(threading.Thread):
    """A process with limits, as a thread that starts it, watches it, and reaps it.

    The thread starts the process itself: with `--die-with-parent` bubblewrap ends with the
    *thread* that started it, so this one must live as long as the session.

    Args:
        arguments: the command line.
        inherited: file descriptors for the process; closed here once it runs.
        variables: its environment.
        folder: its working directory; None: the command sets it.
        limits: what it may use.
        info: reading end of bubblewrap's --info-fd; None without a sandbox.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        inherited: Sequence[int],
        variables: Mapping[str, str],
        folder: Path | None,
        limits: Limits,
        info: int | None,
    ) -> None:
        super().__init__(name="seglib-watchdog", daemon=True)
        self._arguments, self._variables, self._folder = arguments, variables, folder
        self._inherited, self._limits, self._info = inherited, limits, info
        self._started = threading.Event()
        self._stop_now = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        self._lock = threading.Lock()
        self._pid = 0  # of the session's process itself, as seen from here
        self._handle: int | None = None  # its pidfd: a number that can't come to mean another
        self._disks: list[int] = []
        self.verdict: Verdict | None = None
        self.peak_memory = 0  # bytes
        self.complaints = b""  # the beginning of what it wrote to its standard error

    def run(self) -> None:
        try:
            self._process = subprocess.Popen(
                self._arguments,
                env=dict(self._variables),
                cwd=self._folder,
                pass_fds=self._inherited,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            self._failure = error
            return
        finally:
            for descriptor in self._inherited:
                os.close(descriptor)
            self._started.set()
        self._find_process()
        try:
            while not self._has_ended() and not self._stop_now.wait(_INTERVAL):
                self._listen()
                if (verdict := self._judge()) is not None:
                    self.end(verdict)
        finally:
            self._reap()

    def await_start(self) -> None:
        """Wait until the process runs. Raises SandboxError if it can't be started."""
        self._started.wait()
        if self._failure is not None:
            raise SandboxError(f"the session's process does not start: {self._failure}")

    def watch_disks(self) -> None:
        """Count the files in memory too; called when the sandbox is set up, before a submission.

        Raises SandboxError if the sandbox's folders can't be reached from outside.
        """
        if self._info is None:
            return
        try:
            for place in (HOME, "/tmp"):
                path = f"/proc/{self._pid}/root{place}"
                self._disks.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW))
        except OSError as error:
            raise SandboxError(f"the watchdog can't look into the sandbox: {error}") from error

    def end(self, verdict: Verdict | None = None) -> None:
        """Kill everything of the session; the first verdict stays."""
        with self._lock:
            self.verdict = self.verdict or verdict
            self._stop_now.set()
            self._kill()

    def wait(self, seconds: float = _LAST_SECONDS) -> bool:
        """Whether the process has ended, within some seconds."""
        self.join(seconds)
        return not self.is_alive()

    @property
    def running(self) -> bool:
        return self.is_alive() and not self._stop_now.is_set()

    @property
    def gone(self) -> bool:
        """The process has ended by itself and been reaped."""
        return not self.is_alive()

    def how_it_ended(self) -> Verdict:
        """Why the process is gone, after `wait`."""
        if self.verdict is not None:
            return self.verdict
        code = self._process.returncode if self._process is not None else None
        if code is None:
            return Verdict("died", "the kernel ended")
        number = -code if code < 0 else code - 128  # bubblewrap passes a signal on as 128 + number
        if number <= 0:
            return Verdict("died", f"the kernel ended itself (exit code {code})")
        name = signal.strsignal(number) if number < signal.NSIG else None
        return Verdict("died", f"the kernel was ended by signal {number} ({name or 'unknown'})")

    def _find_process(self) -> None:
        """Learn the number of the process inside the sandbox."""
        assert self._process is not None
        self._pid = self._process.pid
        if self._info is not None:
            text = b""
            while select.select([self._info], [], [], 10)[0]:
                piece = os.read(self._info, 4096)
                text += piece
                if not piece:
                    break
            with contextlib.suppress(ValueError, KeyError):
                self._pid = int(json.loads(text)["child-pid"])
        with contextlib.suppress(OSError, AttributeError):  # older Linux, macOS
            self._handle = os.pidfd_open(self._pid)

    def _has_ended(self) -> bool:
        """Whether the process has; it is not reaped, so that its group keeps its number."""
        assert self._process is not None
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, flags) is not None

    def _judge(self) -> Verdict | None:
        used = usage(self._pid)
        if used is None:
            return None
        memory = used.memory
        for disk in self._disks:
            state = os.fstatvfs(disk)
            memory += (state.f_blocks - state.f_bfree) * state.f_frsize
            if (files := state.f_files - state.f_ffree) > self._limits.files:
                return Verdict("died", f"stopped: it made {files} files")
        self.peak_memory = max(self.peak_memory, memory)
        if memory > self._limits.memory_bytes:
            return Verdict("too-much-memory", f"stopped: it used {memory / 2**20:.0f} MiB")
        if used.threads > self._limits.threads:
            return Verdict("died", f"stopped: it started {used.threads} threads")
        if used.cpu > self._limits.cpu_seconds:
            limit = self._limits.cpu_seconds
            return Verdict("timed-out", f"stopped: the whole notebook took over {limit} s of CPU")
        return None

    def _listen(self) -> None:
        """Empty the process's standard error, so that it never waits; keep the beginning."""
        assert self._process is not None
        assert self._process.stderr is not None
        stream = self._process.stderr.fileno()
        for _ in range(16):
            if not select.select([stream], [], [], 0)[0] or not (piece := os.read(stream, 2**16)):
                return
            self.complaints = (self.complaints + piece)[:4096]

    def _kill(self) -> None:
        """SIGKILL, with the lock held; in a sandbox the first process takes along all others."""
        process, handle = self._process, self._handle
        if process is None or process.returncode is not None:
            return
        if self._info is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        elif handle is not None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        else:
            process.kill()  # takes the sandbox along

    def _reap(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        with self._lock:
            self._kill()
        try:
            self._process.wait(_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listen()
        self._process.stderr.close()
        with self._lock:
            descriptors = [*self._disks, self._handle, self._info]
            self._disks, self._handle = [], None
        for descriptor in descriptors:
            if descriptor is not None:
                os.close(descriptor)

"""A submission's kernel: IPython's own, in a sandbox, driven from outside without any trust.

Nothing that comes back is believed to be what it claims: the caller compares arrays, and a forged
message costs its author the answer.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from seglib.classroom.launch import check_paths, launched
from seglib.classroom.messages import Envelope, Letters, field, is_reply, reply_text, unpacked
from seglib.classroom.outcome import Outcome, answer_of
from seglib.classroom.outputs import Outputs, plain
from seglib.classroom.sandbox import Limits, SandboxError, refuse_visible, require_sandbox
from seglib.classroom.watchdog import Verdict
from seglib.classroom.wire import (
    Channel,
    ConnectionEnded,
    WireError,
    connected_pair,
    private_folder,
)

__all__ = ["Limits", "Outcome", "SandboxError", "Session", "require_sandbox"]

_HEADERS = 2**16  # bytes of a message beside its content
_SETTLE = 1.0  # s; how long a cell's last outputs may come after its reply
_LOOK = 0.1  # s between two looks at the clock
_LAST_WORDS = 0.5  # s; for one channel after the other has ended


class Session:
    """One submission's kernel, as a context manager; torch is imported when the block begins.

    The process starts at once, the block waits for it: sessions made ahead start meanwhile. Use
    one session from one thread at a time; any number of sessions may run side by side.

    Args:
        files: relative path: content, for the submission's folder; gone with the session.
        limits: what it may use.
        sandboxed: False: no bubblewrap, only limits, a private folder and an empty environment.
        hidden: paths that the submission must not be able to read.
    Raises:
        SandboxError: if bubblewrap can't work here or a hidden path would be visible; also when
            the block begins, if the kernel does not come up in `limits.start_seconds`.
        ValueError: if a file's path leaves the submission's folder.
    """

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        sandboxed: bool = True,
        hidden: Sequence[Path] = (),
    ) -> None:
        check_paths(files)
        if sandboxed:
            require_sandbox()
            refuse_visible(hidden)
        self._limits = limits
        self._letters = Letters()
        self._deadline = time.monotonic() + limits.start_seconds
        self._cleanup = ExitStack()
        self._started = False
        shell, shell_listener = connected_pair()
        iopub, iopub_listener = connected_pair()
        self._shell = Channel(shell, "DEALER", limits.output_bytes + _HEADERS)
        self._iopub = Channel(iopub, "SUB", limits.output_bytes + _HEADERS)
        self._cleanup.callback(self._shell.close)
        self._cleanup.callback(self._iopub.close)
        folder = None if sandboxed else Path(self._cleanup.enter_context(private_folder()))
        sockets = {"shell": shell_listener.detach(), "iopub": iopub_listener.detach()}
        try:
            self._process = launched(files, limits, self._letters.key, sockets, folder)
        except BaseException:
            self._cleanup.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the kernel can run another cell."""
        return self._process.running

    @property
    def peak_memory(self) -> int:
        """The most that the watchdog has seen the session use, in bytes."""
        return self._process.peak_memory

    def __enter__(self) -> Session:
        try:
            self._process.await_start()
            self._await_kernel()
            self._process.watch_disks()
        except BaseException:
            self.close()
            raise
        self._started = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the kernel and everything that it left; for a session that never began its block."""
        self._process.end()
        self._process.wait()
        self._cleanup.close()

    def run(self, code: str, seconds: float | None = None) -> Outcome:
        """Run a cell of the submission for at most `seconds` (default: limits.cell_seconds).

        A session that had to be ended stays ended: every further cell has died.
        """
        return self._execute(code, seconds, None)

    def ask(self, code: str, seconds: float | None = None) -> tuple[Outcome, str | None]:
        """Run a harness, which publishes one text as `application/vnd.seglib.reply`.

        Returns:
            (what became of it, the text): None if none came, if it is longer than
            limits.reply_bytes, or if there were two.
        """
        replies: list[str | None] = []
        outcome = self._execute(code, seconds, replies)
        return outcome, replies[0] if len(replies) == 1 else None

    def _await_kernel(self) -> None:
        """Wait until the kernel answers and its outputs arrive. Raises SandboxError if not."""
        try:
            while not self._heard():
                pass
        except WireError as error:
            self._process.wait()
            raise SandboxError(self._why_not_up(str(error))) from error

    def _heard(self) -> bool:
        """Ask the kernel once; whether outputs came with its answer.

        They are lost where it does not yet know that we listen. Then it must be asked by another
        message: it takes the same one, repeated, for an attack.
        """
        request, parts = self._letters.request("kernel_info_request", {})
        self._shell.send(parts)
        answered = float("inf")
        for channel, _ in self._envelopes(request):
            now = time.monotonic()
            if channel is self._iopub:
                return True
            if channel is self._shell:
                answered = min(answered, now)
            if now > self._deadline:
                raise SandboxError(self._why_not_up("it is not up in time"))
            if now > answered + _LOOK:
                return False
        return False

    def _why_not_up(self, reason: str) -> str:
        self._process.end()
        self._process.wait()
        lines = self._process.complaints.decode(errors="replace").split("\n")
        said = [plain(line) for line in lines if line.strip()]
        return (
            f"the kernel did not start ({reason}; {said[-1] if said else 'it said nothing'}): "
            "check that `python -m ipykernel --version` and `python -c 'import torch'` work"
        )

    def _envelopes(self, request: str) -> Iterator[tuple[Channel | None, Envelope | None]]:
        """What answers the request, without end; (None, None) at least every 0.1 s.

        Raises WireError if the kernel's side ends or breaks the protocol.
        """
        open_channels = [self._shell, self._iopub]
        give_up = float("inf")
        while True:
            poller = select.poll()
            for channel in open_channels:
                sending = select.POLLOUT if channel.waiting_to_send else 0
                poller.register(channel, select.POLLIN | sending)
            ready = {number for number, _ in poller.poll(_LOOK * 1000)}
            for channel in list(open_channels):
                if channel.fileno() not in ready:
                    continue
                try:
                    channel.flush()
                    messages = channel.receive()
                except ConnectionEnded:
                    open_channels.remove(channel)
                    give_up = min(give_up, time.monotonic() + _LAST_WORDS)
                    continue
                for message in messages:
                    if envelope := self._letters.opened(message, request):
                        yield channel, envelope
            if not open_channels or time.monotonic() > give_up:
                raise ConnectionEnded("the kernel closed its connection")
            yield None, None

    def _execute(
        self, code: str, seconds: float | None, replies: list[str | None] | None
    ) -> Outcome:
        if not self._started:
            raise ValueError("session: cells run inside its `with` block, this one has not begun")
        if not self.alive:
            message = f"the session had ended: {self._process.how_it_ended().message}"
            return Outcome("died", (), message=message)
        limits = self._limits
        seconds = limits.cell_seconds if seconds is None else seconds
        deadline = time.monotonic() + seconds
        outputs = Outputs(limits.output_bytes)
        # JSON may double a text of quotes and line feeds.
        reply = 0 if replies is None else 2 * limits.reply_bytes
        self._iopub.largest = max(limits.output_bytes, reply) + _HEADERS
        request, parts = self._letters.execution(code)
        self._shell.send(parts)
        answer: Outcome | None = None
        idle = False
        try:
            for channel, envelope in self._envelopes(request):
                now = time.monotonic()
                if envelope is not None and channel is self._iopub:
                    idle = self._take(envelope, outputs, replies) or idle
                elif envelope is not None and envelope.kind in ("execute_reply", ""):
                    answer = answer or answer_of(envelope)
                    if answer is None:
                        verdict = Verdict("unreadable", "the kernel's reply can't be read")
                        return self._ended(verdict, outputs)
                    deadline = min(deadline, now + _SETTLE)
                if now > deadline or (idle and answer):
                    break
        except ConnectionEnded as error:
            self._process.wait()  # for the process's own reason
            if answer is None:
                return self._ended(Verdict("died", str(error)), outputs)
        except WireError as error:
            return self._ended(Verdict("unreadable", str(error)), outputs)
        if answer is None:
            return self._ended(Verdict("timed-out", f"stopped after {seconds:g} s"), outputs)
        return replace(answer, outputs=outputs.result())

    def _take(self, envelope: Envelope, outputs: Outputs, replies: list[str | None] | None) -> bool:
        """Keep an output or a reply; whether the message says that the cell is done."""
        kind, content = envelope.kind, envelope.content
        if kind == "status":
            return field(content, "execution_state") == "idle"
        if replies is not None and kind == "display_data" and is_reply(content):
            longest = 0 if envelope.left_out else self._limits.reply_bytes
            replies.append(reply_text(content, longest) if len(replies) < 2 else None)
        elif envelope.left_out:
            outputs.add_head(kind, content[: self._limits.output_bytes].decode(errors="ignore"))
        elif kind == "clear_output" or not outputs.full:
            outputs.add(kind, unpacked(content) or {})
        else:
            outputs.add_head(kind, "")
        return False

    def _ended(self, verdict: Verdict, outputs: Outputs) -> Outcome:
        """End the session; the verdict counts unless there is an earlier one."""
        process = self._process
        process.end(None if process.gone else verdict)
        process.wait()
        final = process.how_it_ended()
        return Outcome(final.status, outputs.result(), message=final.message)

"""A kernel's ZeroMQ sockets, read by a process that must not trust them.

A libzmq socket would keep every part of a message that never ends: its limits count whole messages
(RCVHWM) and single parts (MAXMSGSIZE). Here a message's size is limited as a whole, what is beyond
is read and forgotten, and whatever breaks the protocol is one exception. No thread and no second
connecting: the connection is made before the kernel starts, and handed to it.

Source: ZMTP 3.0 (rfc.zeromq.org/spec/23), mechanism NULL.
"""

from __future__ import annotations

import os
import socket
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_MORE, _LONG, _COMMAND = 1, 2, 4  # a frame's flags
_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_READ = 2**18  # bytes at once
_MOST_PARTS = 32  # of a message; Jupyter's have about seven
_LONGEST_COMMAND = 2**12


class WireError(Exception):
    """The kernel's side does not speak the protocol."""


class ConnectionEnded(WireError):
    """The kernel's side closed the connection."""


@dataclass
class Message:
    """The parts of a message that fit, and how many bytes did not; a part may have been cut."""

    parts: list[bytes] = field(default_factory=list)
    size: int = 0  # bytes kept
    left_out: int = 0  # bytes


def private_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder of one's own with a short path: a socket's has at most 107 bytes."""
    place = "/tmp" if os.access("/tmp", os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="seglib", dir=place, ignore_cleanup_errors=True)


def connected_pair() -> tuple[socket.socket, socket.socket]:
    """(connection, listener): a Unix socket and the listening one that it is already connected to.

    The listener can be inherited by a kernel, which only has to accept. Its name is gone, so that
    nobody else can connect, and nothing inside a sandbox can lead the connection elsewhere.
    """
    connection, listener = (socket.socket(socket.AF_UNIX) for _ in range(2))
    with private_folder() as folder:
        path = str(Path(folder) / "s")
        listener.bind(path)
        listener.listen(1)
        connection.connect(path)
    connection.setblocking(False)
    return connection, listener


def _frame(body: bytes, flags: int) -> bytes:
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | _LONG]) + struct.pack(">Q", len(body)) + body


def _ready(kind: bytes) -> bytes:
    names = {b"Socket-Type": kind, b"Identity": b""}
    pairs = [
        bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
        for name, value in names.items()
    ]
    return _frame(b"\x05READY" + b"".join(pairs), _COMMAND)


class Channel:
    """One connection to a kernel's socket.

    Args:
        connection: non-blocking; the channel closes it.
        kind: our socket's type, `DEALER` or `SUB` (which subscribes to everything).
        largest: bytes kept of one message; may be changed between messages.
    """

    def __init__(self, connection: socket.socket, kind: str, largest: int) -> None:
        self._connection = connection
        self.largest = largest
        self._incoming = bytearray()
        self._outgoing = bytearray(_GREETING + _ready(kind.encode()))
        # libzmq takes it ill if messages come before it has sent its own half of the handshake.
        self._held = bytearray(_frame(b"\x01", 0) if kind == "SUB" else b"")
        self._greeted = False
        self._message = Message()
        self._skip = 0  # bytes of the present frame still to come that nobody wants
        self._more = False  # the frame that is skipped is not the message's last
        self._ready = False  # the peer has finished its handshake

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()

    @property
    def waiting_to_send(self) -> bool:
        return bool(self._outgoing)

    def send(self, parts: Sequence[bytes]) -> None:
        """Queue a message; `flush` sends it."""
        queue = self._outgoing if self._ready else self._held
        for index, part in enumerate(parts):
            queue += _frame(part, _MORE if index < len(parts) - 1 else 0)

    def flush(self) -> None:
        """Send what the socket takes without waiting. Raises ConnectionEnded."""
        try:
            while self._outgoing:
                del self._outgoing[: self._connection.send(self._outgoing[:_READ])]
        except BlockingIOError:
            return
        except OSError as error:
            raise ConnectionEnded(f"the connection ended ({error.strerror})") from error

    def receive(self) -> list[Message]:
        """The messages that one reading completes: at most 256 KiB are read, without waiting."""
        try:
            data = self._connection.recv(_READ)
        except BlockingIOError:
            return []
        except OSError as error:
            raise ConnectionEnded(f"the connection ended ({error.strerror})") from error
        if not data:
            raise ConnectionEnded("the connection ended")
        self._incoming += data
        if not self._greeted and not self._greeting():
            return []
        return self._frames()

    def _greeting(self) -> bool:
        if len(self._incoming) < len(_GREETING):
            return False
        start = self._incoming[: len(_GREETING)]
        if (
            (start[0], start[9]) != (0xFF, 0x7F)
            or start[10] < 3
            or start[12:32] != _GREETING[12:32]
        ):
            raise WireError("the kernel's socket sends something else than a ZeroMQ greeting")
        del self._incoming[: len(_GREETING)]
        self._greeted = True
        return True

    def _frames(self) -> list[Message]:
        messages: list[Message] = []
        buffer, at = self._incoming, 0
        while True:
            if self._skip:
                taken = min(self._skip, len(buffer) - at)
                self._skip -= taken
                at += taken
                if self._skip:
                    break
                if not self._more:
                    self._finish(messages)
            if len(buffer) - at < 2:
                break
            flags = buffer[at]
            if flags > 7 or (flags & _COMMAND and flags & _MORE):
                raise WireError("the kernel's socket sends frames that ZeroMQ does not know")
            if flags & _LONG:
                if len(buffer) - at < 9:
                    break
                size, body = struct.unpack_from(">Q", buffer, at + 1)[0], at + 9
            else:
                size, body = buffer[at + 1], at + 2
            if flags & _COMMAND:
                if size > _LONGEST_COMMAND:
                    raise WireError(f"the kernel's socket sends a command of {size} bytes")
                if len(buffer) - body < size:
                    break
                self._shake_hands()
                at = body + size
                continue
            keep = self._room(size)
            if len(buffer) - body < keep:
                break
            if len(self._message.parts) < _MOST_PARTS:
                self._message.parts.append(bytes(buffer[body : body + keep]))
            self._message.size += keep
            self._message.left_out += size - keep
            at = body + keep
            self._skip, self._more = size - keep, bool(flags & _MORE)
            if not self._skip and not self._more:
                self._finish(messages)
        del buffer[:at]
        return messages

    def _shake_hands(self) -> None:
        if not self._ready:
            self._ready = True
            self._outgoing += self._held
            self._held.clear()

    def _room(self, size: int) -> int:
        """How many bytes of a part of `size` bytes are kept."""
        if len(self._message.parts) >= _MOST_PARTS:
            return 0
        return min(size, max(0, self.largest - self._message.size))

    def _finish(self, messages: list[Message]) -> None:
        messages.append(self._message)
        self._message = Message()

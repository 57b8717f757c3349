"""A model server that begins well and does not end: what it answers is cut, stalls, or is no prediction."""

from __future__ import annotations

import socketserver
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Thread

# HTTP/2: the frames' types and flags, https://www.rfc-editor.org/rfc/rfc9113#name-frame-definitions
PREFACE, FRAME_HEAD = 24, 9
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, ACK, END_HEADERS = 1, 1, 4
# HPACK: an entry of the static table, and a header by its full name.
STATUS_200, LITERAL = b"\x88", b"\x00"


@dataclass(frozen=True)
class RestAnswer:
    """What is written after a request, head included, and whether the connection stays open then."""

    content: bytes
    stalls: bool = False


@dataclass(frozen=True)
class GrpcAnswer:
    """What is written after a call: the body of the stream and, if any, the status in the trailers."""

    content: bytes
    status: str | None = "0"


@dataclass(frozen=True)
class Cutting:
    """Where it listens: over REST ``http://host:port``, over gRPC ``host:port``."""

    rest: str
    grpc: str


def with_length(content: bytes, written: int | None = None) -> bytes:
    """An HTTP answer that says how long it is, and of its body the first ``written`` bytes."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content[:written]


def in_one_chunk(content: bytes) -> bytes:
    """An HTTP answer in chunks, of which the last, the empty one, does not come."""
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + f"{len(content):x}\r\n".encode() + content + b"\r\n"


def message(content: bytes, length: int | None = None) -> bytes:
    """A gRPC message; by default its prefix says how long it really is."""
    return struct.pack(">BI", 0, len(content) if length is None else length) + content


@contextmanager
def running_cutting_server(rest: RestAnswer, grpc: GrpcAnswer) -> Iterator[Cutting]:
    """Answer so over both faces while the block runs."""
    with ExitStack() as running:
        ports = [running.enter_context(_listening(*face)) for face in ((_Rest, rest), (_Grpc, grpc))]
        yield Cutting(f"http://127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}")


@contextmanager
def _listening(handler: type[socketserver.StreamRequestHandler], answer: object) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.answer = answer  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class _Rest(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        length = 0
        while line := self.rfile.readline().strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        self.rfile.read(length)
        answer: RestAnswer = self.server.answer  # type: ignore[attr-defined]
        self.wfile.write(answer.content)
        if answer.stalls:
            self.rfile.read(1)  # until the other side gives up


class _Grpc(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.rfile.read(PREFACE)
        self._write(SETTINGS, 0, 0, b"")
        while head := self.rfile.read(FRAME_HEAD):
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            self.rfile.read(int.from_bytes(head[:3], "big"))
            if kind == SETTINGS and not flags & ACK:
                self._write(SETTINGS, ACK, 0, b"")
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                self._answer(stream)

    def _answer(self, stream: int) -> None:
        answer: GrpcAnswer = self.server.answer  # type: ignore[attr-defined]
        self._write(HEADERS, END_HEADERS, stream, STATUS_200 + _header("content-type", "application/grpc"))
        self._write(DATA, 0 if answer.status else END_STREAM, stream, answer.content)
        if answer.status:
            self._write(HEADERS, END_HEADERS | END_STREAM, stream, _header("grpc-status", answer.status))

    def _write(self, kind: int, flags: int, stream: int, content: bytes) -> None:
        head = len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
        self.wfile.write(head + content)


def _header(name: str, value: str) -> bytes:
    return LITERAL + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()

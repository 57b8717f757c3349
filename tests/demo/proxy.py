"""A network that a test can break: it leads connections to a server until it is told to lose them."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

HOST = "127.0.0.1"
PIECE = 65_536
START_SECONDS = END_SECONDS = 30


class Proxy:
    """Leads TCP connections to another port, both on 127.0.0.1, inside a ``with`` block.

    Args:
        port: where it listens.
        target: where it leads to.

    Attributes:
        refused: how many connections it has not let through.
        silenced: released once for each connection of which it has begun to lose the answers.
    """

    def __init__(self, port: int, target: int) -> None:
        self._port, self._target = port, target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {port}")
        self._connections: set[_Connection] = set()
        self._serving: set[asyncio.Task[Any]] = set()
        self._to_refuse = 0.0
        self._bytes_left = math.inf
        self.refused = 0
        self.silenced = threading.Semaphore(0)

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._serve, HOST, self._port)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(END_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self, refuse: float = math.inf) -> None:
        """Lose all connections, and refuse the next ``refuse``; the network mends itself after those."""
        self._loop.call_soon_threadsafe(self._lose_all, refuse)

    def mend(self) -> None:
        """Let new connections through again, and all that is sent over them."""
        self._loop.call_soon_threadsafe(self._let_through)

    def fall_silent(self) -> None:
        """Lose all that is sent over today's connections, without ending them; new ones work."""
        self._loop.call_soon_threadsafe(self._silence_all)

    def fall_silent_after(self, answered: int) -> None:
        """Let so many bytes of answers through, and lose all that follows until it is mended."""
        self._loop.call_soon_threadsafe(setattr, self, "_bytes_left", answered)

    @property
    def is_silent(self) -> bool:
        """Whether as much was answered as it was to let through."""
        return self._bytes_left <= 0

    def _let_through(self) -> None:
        self._to_refuse, self._bytes_left = 0, math.inf

    def _passes(self, answer: bytes) -> bool:
        if self.is_silent:
            self.silenced.release()
            return False
        self._bytes_left -= len(answer)
        return True

    def _lose_all(self, refuse: float) -> None:
        self._to_refuse = refuse
        for connection in self._connections:
            connection.close()

    def _silence_all(self) -> None:
        for connection in self._connections:
            connection.silent = True

    async def _end(self) -> None:
        self._server.close()
        self._lose_all(math.inf)
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        if self._to_refuse > 0:
            self._to_refuse -= 1
            self.refused += 1
            writer.transport.abort()
            return
        try:
            answers, asking = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(writer, asking)
        self._connections.add(connection)
        await asyncio.gather(
            connection.carry(reader, asking, lambda _: True), connection.carry(answers, writer, self._passes)
        )
        self._connections.discard(connection)


class _Connection:
    """One client's connection through the proxy."""

    def __init__(self, *ends: asyncio.StreamWriter) -> None:
        self._ends = ends
        self.silent = False

    async def carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, passes: Callable[[bytes], bool]
    ) -> None:
        """Hand on what comes, until one side ends it; then both have ended. After a loss all is lost."""
        with suppress(ConnectionError):
            while piece := await source.read(PIECE):
                self.silent = self.silent or not passes(piece)
                if not self.silent:
                    sink.write(piece)
                    await sink.drain()
        self.close()

    def close(self) -> None:
        """End it at once, on both sides."""
        for end in self._ends:
            end.transport.abort()

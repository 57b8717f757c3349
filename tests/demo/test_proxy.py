"""What becomes of connections through a network that is broken on purpose."""

from __future__ import annotations

import socket
import socketserver
from collections.abc import Iterator
from threading import Thread

import pytest

from tests.demo.ports import free_port
from tests.demo.proxy import Proxy

ANSWER_SECONDS = 60
pytestmark = pytest.mark.usefixtures("echo")


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says what it is told."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(echo: int) -> Iterator[tuple[Proxy, int]]:
    port = free_port()
    with Proxy(port, echo) as proxy:
        yield proxy, port


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)


def ask(connection: socket.socket) -> bytes:
    connection.sendall(b"hello\n")
    return connection.recv(6)


def is_lost(connection: socket.socket) -> bool:
    try:
        return ask(connection) == b""
    except ConnectionError:
        return True


def test_a_cut_loses_what_there_is_and_refuses_as_many_as_told(proxy: tuple[Proxy, int]) -> None:
    network, port = proxy
    with connect(port) as standing:
        assert ask(standing) == b"hello\n"

        network.cut(refuse=2)

        assert is_lost(standing)
    for _ in range(2):
        with connect(port) as refused:
            assert is_lost(refused)
    with connect(port) as mended:
        assert ask(mended) == b"hello\n"
    assert network.refused == 2


def test_a_cut_lasts_until_it_is_mended(proxy: tuple[Proxy, int]) -> None:
    network, port = proxy
    network.cut()
    for _ in range(5):
        with connect(port) as refused:
            assert is_lost(refused)

    network.mend()

    with connect(port) as mended:
        assert ask(mended) == b"hello\n"


def test_a_silent_connection_stands_and_a_new_one_works(proxy: tuple[Proxy, int]) -> None:
    network, port = proxy
    with connect(port) as standing, connect(port) as another:
        assert ask(standing) == ask(another) == b"hello\n"

        network.fall_silent()

        standing.settimeout(0.2)
        with pytest.raises(TimeoutError):
            ask(standing)
        with connect(port) as fresh:
            assert ask(fresh) == b"hello\n"


def test_a_network_falls_silent_after_so_many_bytes_of_answers_until_it_is_mended(
    proxy: tuple[Proxy, int],
) -> None:
    network, port = proxy
    network.fall_silent_after(12)
    with connect(port) as standing, connect(port) as another:
        assert ask(standing) == b"hello\n"
        assert not network.is_silent
        assert ask(another) == b"hello\n"
        assert network.is_silent
        for lost in (standing, another):
            lost.settimeout(0.2)
            with pytest.raises(TimeoutError):
                ask(lost)
            assert network.silenced.acquire(timeout=ANSWER_SECONDS)

        network.mend()

        with pytest.raises(TimeoutError):
            ask(standing)
        with connect(port) as fresh:
            assert ask(fresh) == b"hello\n"

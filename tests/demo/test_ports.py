from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.demo import ports
from tests.demo.ports import BLOCK, free_port, listens

GIVE_TWO_ROUNDS = f"""
import signal
from tests.demo.ports import free_port
print(*(free_port() for _ in range({2 * BLOCK})), flush=True)
signal.pause()
"""


@contextmanager
def another_process() -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process that lives through the block, and the ports that it was given."""
    with subprocess.Popen(
        [sys.executable, "-c", GIVE_TWO_ROUNDS], stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout
            yield other, [int(port) for port in other.stdout.readline().split()]
        finally:
            other.kill()


def test_no_two_processes_get_the_same_port():
    ours = {free_port() for _ in range(BLOCK)}
    with another_process() as (_, theirs), another_process() as (_, others):
        assert len(theirs) == len(others) == 2 * BLOCK
        assert ours.isdisjoint(theirs)
        assert ours.isdisjoint(others)
        assert set(theirs).isdisjoint(others)


def test_the_ports_of_a_killed_process_are_given_again(monkeypatch):
    with another_process() as (first, ports_of_first):
        block = min(ports_of_first) - (min(ports_of_first) - ports.FIRST) % BLOCK
        first.send_signal(signal.SIGKILL)
        first.wait()
        monkeypatch.setattr(ports, "FIRST", block)
        monkeypatch.setattr(ports, "END", block + BLOCK)
        own = ports._own_block.__wrapped__()
    with closing(own.claim):
        assert block <= next(own.ports) < block + BLOCK


def test_ports_lie_outside_what_the_kernel_gives_to_others():
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        assert not ports.FIRST <= other.getsockname()[1] < ports.END
    assert ports.FIRST <= free_port() < ports.END


def test_a_port_on_which_somebody_listens_is_passed_over():
    taken = free_port()
    with closing(socket.create_server(("127.0.0.1", taken))):
        assert listens(taken)
        assert taken not in {free_port() for _ in range(BLOCK)}
    assert not listens(taken)


def test_too_many_processes_are_told_to_end(monkeypatch):
    monkeypatch.setattr(ports, "END", ports.FIRST)
    with pytest.raises(RuntimeError, match="Stop those that are left over"):
        ports._own_block.__wrapped__()

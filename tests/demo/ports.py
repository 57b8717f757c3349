"""TCP ports for servers on 127.0.0.1, of which no two processes get the same."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache
from itertools import cycle, islice
from typing import NamedTuple

# Below what Linux gives to clients and to servers that ask for any port (net.ipv4.ip_local_port_range).
FIRST, END = 16_384, 32_768
BLOCK = 256


class _Block(NamedTuple):
    ports: Iterator[int]
    claim: socket.socket  # its name is free again when this process ends, however it does


def free_port() -> int:
    """A TCP port on 127.0.0.1 on which nobody listens, and which no other process gets from here.

    A server takes seconds from its start to its listening, so a port that the kernel names as free may be
    another's by then. Each process therefore draws from a block of its own for as long as it lives; a port
    comes round again after `BLOCK` others.

    Raises:
        RuntimeError: if every block has an owner, or somebody listens on each port of this process's own.
    """
    for port in islice(_own_block().ports, BLOCK):
        if _is_free(port):
            return port
    raise RuntimeError(f"no free port: somebody listens on each of the {BLOCK} that this process may give")


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts TCP connections there."""
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


@cache
def _own_block() -> _Block:
    for first in range(FIRST, END, BLOCK):
        claim = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            claim.bind(f"\0retraining-ports-{first}")
            return _Block(cycle(range(first, first + BLOCK)), claim)
        claim.close()
    raise RuntimeError(
        f"no free port: {(END - FIRST) // BLOCK} processes of the demo and the tests run already, "
        "expected fewer. Stop those that are left over."
    )


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False

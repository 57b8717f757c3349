"""What is known of processes, also of those that have just ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.integration.processes import children_of, command_of, descendants_of, processes_of

WORDS = f"a child of {os.getpid()}"
PARENT = """
import subprocess, sys
with subprocess.Popen([sys.executable, "-c", "input()", *sys.argv[1:]]) as child:
    print(child.pid, flush=True)
"""


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """A process and its child; both have the words in their command line."""
    argv = [sys.executable, "-c", PARENT, WORDS]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        yield parent.pid, int(parent.stdout.readline())


def test_a_process_is_found_by_its_command_and_by_its_parents(family: tuple[int, int]) -> None:
    parent, child = family

    assert set(processes_of(WORDS)) == {parent, child}
    assert children_of(parent) == [child]
    assert list(descendants_of(parent)) == [child]
    assert {parent, child} <= set(descendants_of(os.getpid()))


def test_of_a_process_that_has_ended_nothing_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as ended:
        ended.wait()

    assert (command_of(ended.pid), children_of(ended.pid)) == ("", [])

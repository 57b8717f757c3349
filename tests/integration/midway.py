"""A step that is stopped in its middle: in a process of its own, which waits there to be killed or let go."""

from __future__ import annotations

import itertools
import os
import pkgutil
import select
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

from ml.artifact import Window
from ml.pipelines import load_pipeline
from ml.walk import Walk
from tests.integration.forking import FORKSERVER, start_unset
from tests.integration.processes import descendants_of

END_SECONDS = 30


@dataclass(frozen=True)
class Moment:
    """A place in a step that it comes to in every walk: right before something is called.

    Attributes:
        step: the step.
        function: dotted name of what is called there.
        call: its how-manieth call.
    """

    step: str
    function: str
    call: int = 1


@dataclass(frozen=True)
class Held:
    """A process that waits in the middle of a step.

    Attributes:
        process: the process.
    """

    process: ForkServerProcess
    _line: Connection

    def let_go(self) -> None:
        """Let it go on."""
        self._line.send("go on")

    def came_of(self) -> Any:
        """What the step returned, once it has."""
        return self._line.recv()


@contextmanager
def held_at(moment: Moment, pipeline: str, day: date) -> Iterator[Held]:
    """Walk to a moment of a step in another process, and hold it there; it ends with the block."""
    here, there = FORKSERVER.Pipe()
    arguments = (moment, pipeline, day, dict(os.environ), there)
    process = FORKSERVER.Process(target=walk_and_wait, args=arguments)
    start_unset(process)
    there.close()
    try:
        here.recv()
        yield Held(process, here)
    finally:
        process.kill()
        process.join()


def kill_at(moment: Moment, pipeline: str, day: date) -> int:
    """Walk to a moment of a step in another process and kill it there.

    Returns:
        How many processes had been started by it. All of them have ended too.
    """
    with held_at(moment, pipeline, day) as held:
        family = list(_opened(descendants_of(held.process.pid or 0)))
    assert held.process.exitcode == -signal.SIGKILL
    for member in family:
        assert select.select([member], [], [], END_SECONDS)[0], f"an orphan of {moment.step} was left behind"
        os.close(member)
    return len(family)


def walk_and_wait(
    moment: Moment, pipeline: str, day: date, environment: Mapping[str, str], there: Connection
) -> None:
    """Walk to the moment, tell, and wait to be let go or killed."""
    os.environ.clear()
    os.environ.update(environment)

    def tell_and_wait() -> None:
        there.send(moment)
        there.recv()

    _stop_at(moment, tell_and_wait)
    walk = Walk(pipeline, Window.of_day(day, load_pipeline(pipeline).landing.time_zone))
    there.send(getattr(walk, moment.step))


def _stop_at(moment: Moment, wait: Any) -> None:
    owner, name = moment.function.rsplit(".", 1)
    holder = pkgutil.resolve_name(owner)
    function = getattr(holder, name)
    calls = itertools.count(1)

    def call_or_wait(*arguments: Any, **settings: Any) -> Any:
        if next(calls) == moment.call:
            wait()
        return function(*arguments, **settings)

    setattr(holder, name, call_or_wait)


def _opened(processes: Iterable[int]) -> Iterator[int]:
    """File descriptors of those processes that have not ended by themselves."""
    for process in processes:
        with suppress(ProcessLookupError):
            yield os.pidfd_open(process)

"""A step that is stopped in its middle: in a process of its own, which waits there to be killed."""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ml.artifact import Window
from ml.pipelines import load_pipeline
from ml.walk import Walk

SPAWN = multiprocessing.get_context("spawn")
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


def kill_at(moment: Moment, pipeline: str, day: date) -> int:
    """Walk to a moment of a step in another process and kill it there.

    Returns:
        How many processes had been started by it. All of them have ended too.
    """
    here, there = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=walk_and_wait, args=(moment, pipeline, day, there))
    process.start()
    there.close()
    here.recv()
    family = [os.pidfd_open(each) for each in _descendants(process.pid or 0)]
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    for member in family:
        assert select.select([member], [], [], END_SECONDS)[0], f"an orphan of {moment.step} was left behind"
        os.close(member)
    return len(family)


def walk_and_wait(moment: Moment, pipeline: str, day: date, there: Connection) -> None:
    """Walk to the moment, tell, and do nothing more."""

    def tell_and_wait() -> None:
        there.send(moment)
        while True:
            signal.pause()

    _stop_at(moment, tell_and_wait)
    getattr(Walk(pipeline, Window.of_day(day, load_pipeline(pipeline).landing.time_zone)), moment.step)


def _stop_at(moment: Moment, wait: Any) -> None:
    owner, name = moment.function.rsplit(".", 1)
    holder = pkgutil.resolve_name(owner)
    function = getattr(holder, name)
    remaining = iter(range(moment.call - 1))

    def call_or_wait(*arguments: Any, **settings: Any) -> Any:
        if next(remaining, None) is None:
            wait()
        return function(*arguments, **settings)

    setattr(holder, name, call_or_wait)


def _descendants(parent: int) -> Iterator[int]:
    for path in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            yield child
            yield from _descendants(child)

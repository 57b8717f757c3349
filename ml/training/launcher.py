"""Starting worker processes, all or none, and never leaving one behind.

Each worker is an interpreter of its own, so that this process loads no TensorFlow. When one is lost the
others are ended at once, because they would wait for it for ever, and all are started again from the
last checkpoint. The kernel ends them with this process, however it ends (see `ml.training.worker`).
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import BinaryIO

import ml
from ml.errors import Interrupted, Misconfigured
from ml.training.plan import Plan

log = logging.getLogger(__name__)

LOCALHOST = "127.0.0.1"
CHIEF = 0
TAIL_LINES = 25

Worker = subprocess.Popen[str]
Said = tuple[int, str | None]

_running: set[Worker] = set()
_stopped = Event()


@dataclass(frozen=True)
class Lost:
    """A worker that did not end well.

    Attributes:
        rank: which one; 0 is the chief.
        code: its exit code, or minus the number of the signal that killed it.
    """

    rank: int
    code: int

    def __str__(self) -> str:
        how = f"exit code {self.code}" if self.code > 0 else signal.Signals(-self.code).name
        return f"worker {self.rank} ended with {how}"


def run_workers(plan: Plan) -> int:
    """Train with as many processes as the plan says.

    Returns:
        How often all of them had to be started again.

    Raises:
        Interrupted: if workers were lost more than ``training.max_restarts`` times, or were stopped.
        Misconfigured: if a worker says that another try is in vain.
    """
    _stopped.clear()
    return _run_until_done(plan, "train", plan.training.workers)


def export_model(plan: Plan) -> None:
    """Write the SavedModel of what the workers have learnt.

    Raises:
        Interrupted: as `run_workers`.
    """
    _run_until_done(plan, "export", 1)


def stop_workers() -> None:
    """End every worker of this process at once; the training that they belong to is interrupted.

    May be called from a signal handler or another thread.
    """
    _stopped.set()
    for worker in list(_running):
        worker.kill()


def _run_until_done(plan: Plan, work: str, number: int) -> int:
    for restarts in count():
        lost = _run_once(plan, work, number)
        if lost is None:
            return restarts
        _check_restart(plan, lost, left=plan.training.max_restarts - restarts)
    raise AssertionError("unreachable: the loop above returns or raises")


def _check_restart(plan: Plan, lost: Lost, left: int) -> None:
    if _stopped.is_set():
        raise Interrupted("the training was stopped on request. Run the step again to start it anew.")
    if plan.failure.exists():
        raise Misconfigured(plan.failure.read_text())
    if not left:
        raise Interrupted(
            f"{lost}; expected it to finish. training.max_restarts is {plan.training.max_restarts}, and no "
            "restart is left. If memory ran out, lower training.batch_size or training.workers. Run the step "
            f"again to start anew. The worker's log ends with:\n{_tail(_log_of(plan, lost.rank))}"
        )
    log.warning("%s; starting all workers from the last checkpoint, %d restarts left", lost, left - 1)


def _run_once(plan: Plan, work: str, number: int) -> Lost | None:
    said: SimpleQueue[Said] = SimpleQueue()
    with _workers(plan, work, number, said) as workers:
        working = len(workers)
        while working:
            rank, line = said.get()
            if line is None:
                working -= 1
                if code := workers[rank].wait():
                    return Lost(rank, code)
            elif rank == CHIEF:
                log.info("%s", line)
    return None


@contextmanager
def _workers(plan: Plan, work: str, number: int, said: SimpleQueue[Said]) -> Iterator[list[Worker]]:
    command = [sys.executable, "-m", "ml.training.child", work, str(plan.path), str(os.getpid())]
    addresses = [f"{LOCALHOST}:{port}" for port in _free_ports(number)]
    with ExitStack() as started:
        workers = []
        for rank in range(number):
            errors = started.enter_context(_log_of(plan, rank).open("ab"))
            worker = _start(command, _environment(rank, addresses), errors)
            workers.append(started.enter_context(_heard(rank, worker, said)))
        yield workers


def _start(command: Sequence[str], environment: Mapping[str, str], errors: BinaryIO) -> Worker:
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)


@contextmanager
def _heard(rank: int, worker: Worker, said: SimpleQueue[Said]) -> Iterator[Worker]:
    listener = Thread(target=_listen, args=(rank, worker, said))
    with worker:
        _running.add(worker)
        listener.start()
        try:
            if _stopped.is_set():
                worker.kill()
            yield worker
        finally:
            worker.kill()
            listener.join()
            _running.discard(worker)


def _listen(rank: int, worker: Worker, said: SimpleQueue[Said]) -> None:
    for line in worker.stdout or ():
        said.put((rank, line.rstrip()))
    said.put((rank, None))


def _environment(rank: int, addresses: Sequence[str]) -> dict[str, str]:
    cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
    repository = str(Path(ml.__file__).parents[1])
    return {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "2",  # errors of the cluster go into the worker's log
        "TF_CONFIG": json.dumps(cluster),
        "PYTHONPATH": os.pathsep.join([repository, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }


def _free_ports(number: int) -> list[int]:
    with ExitStack() as sockets:
        taken = [sockets.enter_context(socket.socket()) for _ in range(number)]
        for free in taken:
            free.bind((LOCALHOST, 0))
        return [free.getsockname()[1] for free in taken]


def _log_of(plan: Plan, rank: int) -> Path:
    return plan.measured / f"worker-{rank}.log"


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-TAIL_LINES:])

"""Moves of the served version under constant load over REST and gRPC: what users saw, and how long it took.

    python -m benchmarks.serving [--rate 200] [--router]

The model server is the stand-in for TensorFlow Serving. For every move: requests asked, failed, answered by a
wrong version (neither the old nor the new one, or the old one after the move was reported done), seconds from
the command to the last answer of the old version, and seconds that the command took. Ends with 1 if a request
failed or was answered wrong, or if the last old answer of a roll-back came after its limit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ml.release.golden_version import set_golden
from ml.release.production import Records
from ml.release.wish import Wish
from ml.terminal import render_table
from tests.demo.router import INSTALL, is_router_installed, running_router
from tests.integration.moving import Seen, Users, asking
from tests.integration.publishing import Place
from tests.integration.release_world import command_line, running_world

ONE, TWO, THREE = 20261102001, 20261103001, 20261104001
MODELS = {ONE: "good", TWO: "better", THREE: "best"}
# Going back from the command line, with the version loaded.
LIMIT_SECONDS = 5.0
COLUMNS = ("move", "asked", "asked/s", "failed", "wrong", "last old", "command", "of limit")


@dataclass(frozen=True)
class Move:
    """One move of the label.

    Attributes:
        name: as the table calls it.
        old: the version that answers before.
        new: the one that answers afterwards.
        run: makes it.
        limit: seconds to the last answer of the old version; None if there is none.
    """

    name: str
    old: int
    new: int
    run: Callable[[], object]
    limit: float | None = None


def main() -> None:
    asked = read_arguments()
    with tempfile.TemporaryDirectory() as directory, running_world(Path(directory)) as world:
        home = Path(directory)
        place = Place(home / "store", "clicks", world.serving, world.mlflow, world.saved_models)
        place.night(2, MODELS[ONE])
        with running_users(home, place, asked.rate, asked.router) as users:
            print(f"{asked.rate:g} requests/s, REST and gRPC in turn, {os.cpu_count()} cores")
            seen = [(move, users.watch(move.old, move.new, move.run)) for move in moves(place)]
    print(render_table([row(*each) for each in seen], COLUMNS))
    for problem, count in Counter(problems(seen)).items():
        print(f"{count:,} x {problem}")
    sys.exit(any(seen.failed or seen.wrong or is_late(move, seen) for move, seen in seen))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=200, help="requests a second over both together")
    parser.add_argument("--router", action="store_true", help="ask through the router")
    return parser.parse_args()


def moves(place: Place) -> Iterator[Move]:
    """The moves, one after the other; what can be prepared is, before the next one begins."""
    prepared = place.prepare(3, MODELS[TWO])
    yield Move("push", ONE, TWO, lambda: place.push(3, **prepared))
    yield Move("back to previous", TWO, ONE, lambda: go_back(place, "previous"), LIMIT_SECONDS)
    trusted = Wish(str(ONE), "the benchmark's golden version", "benchmark")
    set_golden(trusted, Records(place.pipeline, place.store), place.serving, place.mlflow)
    newest = place.prepare(4, MODELS[THREE])
    yield Move("push again", ONE, THREE, lambda: place.push(4, **newest))
    yield Move("back to golden", THREE, ONE, lambda: go_back(place, "golden"), LIMIT_SECONDS)


def go_back(place: Place, to: str) -> None:
    """The operator's command, from the start of Python to its last word."""
    command = [sys.executable, "-m", "ml", "rollback", "--pipeline", "clicks"]
    subprocess.run(
        [*command, "--to", to, "--reason", "benchmark"],
        env=command_line(place),
        check=True,
        capture_output=True,
    )


@contextmanager
def running_users(home: Path, place: Place, rate: float, routed: bool) -> Iterator[Users]:
    """Have users ask the model server, or the router before it."""
    serving = place.serving
    if not routed:
        with asking(home / "users", place, MODELS, serving.rest, serving.grpc, rate) as users:
            yield users
        return
    if not is_router_installed():
        sys.exit(INSTALL)
    with (
        running_router(home / "router", serving.models_dir, serving) as router,
        asking(home / "users", place, MODELS, router.rest, router.grpc, rate) as users,
    ):
        yield users


def problems(seen: Iterable[tuple[Move, Seen]]) -> Iterator[str]:
    """What went wrong, in words, once for each request."""
    for move, each in seen:
        yield from (f"{move.name}: {answer.face} failed: {answer.error}" for answer in each.failed)
        yield from (
            f"{move.name}: {answer.face} answered {answer.score} (version {answer.version})"
            for answer in each.wrong
        )


def is_late(move: Move, seen: Seen) -> bool:
    return move.limit is not None and seen.last_old_seconds > move.limit


def row(move: Move, seen: Seen) -> dict[str, object]:
    """A line of the table."""
    return {
        "move": move.name,
        "asked": f"{seen.asked:,}",
        "asked/s": f"{seen.rate:.0f}",
        "failed": len(seen.failed),
        "wrong": len(seen.wrong),
        "last old": f"{seen.last_old_seconds:.1f} s",
        "command": f"{seen.seconds:.1f} s",
        "of limit": f"{seen.last_old_seconds / move.limit:.2f}" if move.limit else "",
    }


if __name__ == "__main__":
    main()

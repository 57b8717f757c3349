"""Moves of the served version under constant load over REST and gRPC: what users saw, and how long it took.

    python -m benchmarks.serving [--rate 200] [--router]

The model server is the stand-in for TensorFlow Serving. For every move: requests asked, failed, answered by a
wrong version (neither the old nor the new one of the user's track, or the old one after the move was reported
done), seconds from the command to the last answer of the old version, and seconds that the command took. With
the router a version is tried by half of the users first, on a second model server. Ends with 1 if a request
failed or was answered wrong, or if the last old answer of a command came after its limit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ml.release.golden_version import set_golden
from ml.release.production import Records
from ml.release.wish import Wish
from ml.terminal import render_table
from tests.demo.router import INSTALL, is_router_installed, running_router
from tests.integration.canaries import CanaryPlace, canary_command_line
from tests.integration.moving import Seen, Step, Trial, asking
from tests.integration.outgoing import keep_last_only, load
from tests.integration.publishing import Place
from tests.integration.release_world import World, command_line, running_serving, running_world

ONE, TWO, THREE, FOUR = (20261102001 + day * 1000 for day in range(4))
MODELS = {ONE: "good", TWO: "better", THREE: "best", FOUR: "last"}
# A move from the command line. A promotion loads the version on stable's server in that time too.
LIMIT_SECONDS = 5.0
SHARE = 0.5
COLUMNS = ("move", "asked", "asked/s", "failed", "wrong", "last old", "command", "of limit")


@dataclass(frozen=True)
class Move:
    """One move of the label.

    Attributes:
        name: as the table calls it.
        step: the versions that answer before and afterwards.
        run: makes it.
        limit: seconds to the last answer of the old version; None if there is none.
    """

    name: str
    step: Step
    run: Callable[[], object]
    limit: float | None = None


def main() -> None:
    asked = read_arguments()
    with tempfile.TemporaryDirectory() as directory, running_world(Path(directory)) as world:
        print(f"{asked.rate:g} requests/s, REST and gRPC in turn, {os.cpu_count()} cores")
        home = Path(directory)
        seen = list(routed(home, world, asked.rate) if asked.router else direct(home, world, asked.rate))
    print(render_table([row(*each) for each in seen], COLUMNS))
    for problem, count in Counter(problems(seen)).items():
        print(f"{count:,} x {problem}")
    load = ", ".join(f"{each:.0f}" for each in os.getloadavg())
    print(f"processes that wanted a core over the last 1, 5 and 15 minutes: {load}")
    sys.exit(any(seen.failed or seen.wrong or is_late(move, seen) for move, seen in seen))


def direct(home: Path, world: World, rate: float) -> Iterator[tuple[Move, Seen]]:
    """Watch pushes and ways back at the model server itself."""
    place = Place(home / "store", "clicks", world.serving, world.mlflow, world.saved_models)
    place.night(2, MODELS[ONE])
    with asking(home / "users", place, MODELS, world.serving.rest, world.serving.grpc, rate) as users:
        for move in pushes(place):
            yield move, users.watch(move.step, move.run)


def routed(home: Path, world: World, rate: float) -> Iterator[tuple[Move, Seen]]:
    """Watch canaries that come and go behind the router."""
    if not is_router_installed():
        sys.exit(INSTALL)
    with running_serving(home / "canary") as canary:
        plain = home / "store", "clicks", world.serving, world.mlflow, world.saved_models
        place = CanaryPlace(*plain, canary=canary)
        place.night(2, MODELS[ONE])
        with (
            running_router(home / "router", world.serving.models_dir, world.serving, canary) as router,
            asking(home / "users", place, MODELS, router.rest, router.grpc, rate) as users,
        ):
            for move in trials(place):
                yield move, users.watch(move.step, move.run)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=200, help="requests a second over both together")
    parser.add_argument("--router", action="store_true", help="ask through the router")
    return parser.parse_args()


def pushes(place: Place) -> Iterator[Move]:
    """The moves, one after the other; what can be prepared is, before the next one begins."""
    prepared = place.prepare(3, MODELS[TWO])
    yield Move("push", Step(ONE, TWO), lambda: place.push(3, **prepared))
    yield Move("back to previous", Step(TWO, ONE), lambda: go_back(place, "previous"), LIMIT_SECONDS)
    trusted = Wish(str(ONE), "the benchmark's golden version", "benchmark")
    set_golden(trusted, Records(place.pipeline, place.store), place.serving, place.mlflow)
    newer = place.prepare(4, MODELS[THREE])
    yield Move("push again", Step(ONE, THREE), lambda: place.push(4, **newer))
    yield Move("back to golden", Step(THREE, ONE), lambda: go_back(place, "golden"), LIMIT_SECONDS)
    newest = place.prepare(5, MODELS[FOUR])
    yield Move("a third push", Step(ONE, FOUR), lambda: place.push(5, **newest))
    load(place, TWO)
    yield Move("housekeeping unloads and deletes", Step(FOUR, FOUR), lambda: keep_last_only(place))


def trials(place: CanaryPlace) -> Iterator[Move]:
    """The same with a canary: one promoted and gone back from, one withdrawn, one more promoted."""
    two, three, four = (Trial(place.model, version, SHARE) for version in (TWO, THREE, FOUR))
    first = place.prepare(3, MODELS[TWO])
    yield Move("start a canary", Step(ONE, ONE, two, (ONE, TWO)), lambda: place.push(3, **first))
    yield Move("promote", Step(ONE, TWO, two, (TWO, TWO)), lambda: decide(place, "promote"), LIMIT_SECONDS)
    yield Move("back to previous", Step(TWO, ONE), lambda: go_back(place, "previous"), LIMIT_SECONDS)
    second = place.prepare(4, MODELS[THREE])
    yield Move("start another", Step(ONE, ONE, three, (ONE, THREE)), lambda: place.push(4, **second))
    yield Move(
        "withdraw", Step(ONE, ONE, three, (THREE, ONE)), lambda: decide(place, "withdraw"), LIMIT_SECONDS
    )
    third = place.prepare(5, MODELS[FOUR])
    yield Move("start a third", Step(ONE, ONE, four, (ONE, FOUR)), lambda: place.push(5, **third))
    yield Move(
        "promote it", Step(ONE, FOUR, four, (FOUR, FOUR)), lambda: decide(place, "promote"), LIMIT_SECONDS
    )
    load(place, TWO)
    yield Move("housekeeping unloads and deletes", Step(FOUR, FOUR), lambda: keep_last_only(place))


def go_back(place: Place, to: str) -> None:
    """The operator's command, from the start of Python to its last word."""
    _run(place, "rollback", "--pipeline", "clicks", "--to", to)


def decide(place: Place, decision: str) -> None:
    """The operator's word on the canary."""
    _run(place, "rollout", decision, "--pipeline", "clicks")


def _run(place: Place, *command: str) -> None:
    settings = canary_command_line(place) if isinstance(place, CanaryPlace) else command_line(place)
    subprocess.run(
        [sys.executable, "-m", "ml", *command, "--reason", "benchmark"],
        env=settings,
        check=True,
        capture_output=True,
    )


def problems(seen: Iterable[tuple[Move, Seen]]) -> Iterator[str]:
    """What went wrong, in words, once for each request."""
    for move, each in seen:
        yield from (f"{move.name}: {answer.face} failed: {answer.error}" for answer in each.failed)
        yield from (
            f"{move.name}: {answer.face} answered {answer.score} (version {answer.version})"
            for answer in each.wrong
        )


def is_late(move: Move, seen: Seen) -> bool:
    return bool(move.limit and seen.last_old_seconds and seen.last_old_seconds > move.limit)


def row(move: Move, seen: Seen) -> dict[str, object]:
    """A line of the table."""
    last_old = seen.last_old_seconds
    return {
        "move": move.name,
        "asked": f"{seen.asked:,}",
        "asked/s": f"{seen.rate:.0f}",
        "failed": len(seen.failed),
        "wrong": len(seen.wrong),
        "last old": "" if last_old is None else f"{last_old:.1f} s",
        "command": f"{seen.seconds:.1f} s",
        "of limit": f"{last_old / move.limit:.2f}" if last_old and move.limit else "",
    }


if __name__ == "__main__":
    main()

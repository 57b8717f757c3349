from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.artifact import Artifact, Window
from ml.errors import Misconfigured, StoreCorrupted
from ml.manifest import Identity
from ml.store import Draft, Store

FORK = multiprocessing.get_context("fork")


def identity(window: Window, **changed: object) -> Identity:
    content = {"kind": "examples", "pipeline": "clicks", "inputs": {}, "config": {"topic": "clicks"}}
    return Identity(window=window, **{**content, **changed})  # type: ignore[arg-type]


def write_numbers(draft: Draft) -> None:
    (draft.path / "numbers").write_text("1 2 3")
    draft.facts["count"] = 3


def test_what_was_written_is_read_back(store: Store, window: Window) -> None:
    artifact = store.produce(identity(window), write_numbers)

    assert (store.open(artifact) / "numbers").read_text() == "1 2 3"
    assert store.manifest(artifact).facts == {"count": 3}


def test_the_same_identity_is_written_once(store: Store, window: Window) -> None:
    first = store.produce(identity(window), write_numbers)

    assert store.produce(identity(window), lambda _: pytest.fail("written twice")) == first


def test_a_second_writing_elsewhere_has_the_same_digest(tmp_path: Path, window: Window) -> None:
    artifacts = [Store(tmp_path / name).produce(identity(window), write_numbers) for name in "ab"]

    assert artifacts[0] == artifacts[1]


def test_measurements_are_no_part_of_the_digest(tmp_path: Path, window: Window) -> None:
    def write_measured(draft: Draft) -> None:
        write_numbers(draft)
        draft.measurements["seconds"] = os.getpid()
        (draft.path / "measured").mkdir()
        (draft.path / "measured" / "log").write_bytes(os.urandom(8))

    artifacts = [Store(tmp_path / name).produce(identity(window), write_measured) for name in "ab"]

    assert artifacts[0] == artifacts[1]


@pytest.mark.parametrize("changed", [{"config": {"topic": "views"}}, {"revision": 2}, {"kind": "statistics"}])
def test_another_identity_is_another_place(store: Store, window: Window, changed: dict[str, object]) -> None:
    assert identity(window, **changed).uri != identity(window).uri


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Europe/Berlin", "Asia/Tokyo"])
def test_an_address_names_the_day_as_people_there_do(zone: str) -> None:
    window = Window.of_day(date(2026, 10, 25), zone)

    assert identity(window).uri.startswith("store:clicks/examples/2026-10-25-")


def test_the_digest_of_an_input_is_part_of_the_identity(store: Store, window: Window) -> None:
    inputs = [{"examples": Artifact(kind="examples", uri="store:x", digest=digest)} for digest in "ab"]

    assert identity(window, inputs=inputs[0]).key != identity(window, inputs=inputs[1]).key


def write_with_caveat(draft: Draft) -> None:
    write_numbers(draft)
    draft.caveats.append("2026-03-10: half of it is gone, accepted: outage")


def test_a_caveat_is_handed_on_to_everything_made_from_it(store: Store, window: Window) -> None:
    examples = store.produce(identity(window), write_with_caveat)
    statistics = store.produce(
        identity(window, kind="statistics", inputs={"examples": examples, "more": None}), write_numbers
    )
    both = {"examples": examples, "statistics": statistics}
    anomalies = store.produce(identity(window, kind="anomalies", inputs=both), write_numbers)

    assert store.manifest(anomalies).caveats == ["2026-03-10: half of it is gone, accepted: outage"]


def test_a_caveat_is_part_of_the_digest(tmp_path: Path, window: Window) -> None:
    digests = {
        Store(tmp_path / write.__name__).produce(identity(window), write)["digest"]
        for write in (write_numbers, write_with_caveat)
    }

    assert len(digests) == 2


def test_a_manifest_from_before_there_were_caveats_is_still_whole(store: Store, window: Window) -> None:
    artifact = store.produce(identity(window), write_numbers)
    path = store.open(artifact) / "manifest.json"
    content = json.loads(path.read_text())
    del content["caveats"]
    path.write_text(json.dumps(content))

    assert store.manifest(artifact).caveats == []


@pytest.mark.parametrize("damage", [b"1 2 4", b"1 2 3 4", None])
def test_changed_bytes_are_never_read(store: Store, window: Window, damage: bytes | None) -> None:
    artifact = store.produce(identity(window), write_numbers)
    path = store.open(artifact) / "numbers"
    path.unlink() if damage is None else path.write_bytes(damage)

    with pytest.raises(StoreCorrupted, match="numbers"):
        store.open(artifact)


def test_a_changed_manifest_is_never_read(store: Store, window: Window) -> None:
    artifact = store.produce(identity(window), write_numbers)
    path = store.open(artifact) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "facts": {"count": 4}}))

    with pytest.raises(StoreCorrupted, match="digest"):
        store.open(artifact)


def test_a_failed_writer_leaves_nothing_to_read(store: Store, window: Window) -> None:
    def fail(draft: Draft) -> None:
        write_numbers(draft)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        store.produce(identity(window), fail)
    assert store.find(identity(window)) is None


def test_a_killed_writer_is_followed_by_another_with_the_same_digest(tmp_path: Path, window: Window) -> None:
    store = Store(tmp_path / "killed")
    writing = FORK.Event()

    def write_and_hang(draft: Draft) -> None:
        (draft.path / "numbers").write_text("1 2")
        writing.set()
        signal.pause()

    writer = FORK.Process(target=store.produce, args=(identity(window), write_and_hang))
    writer.start()
    assert writing.wait(30)
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()

    again = store.produce(identity(window), write_numbers)
    assert again == Store(tmp_path / "undisturbed").produce(identity(window), write_numbers)


def test_a_writer_that_finds_no_room_leaves_none_taken(store: Store, window: Window) -> None:
    def fill_the_disk(draft: Draft) -> None:
        write_numbers(draft)
        raise OSError(errno.ENOSPC, "wrote 3 bytes of 5")

    with pytest.raises(OSError, match=r"no room for all of .* Make room there, and try again") as raised:
        store.produce(identity(window), fill_the_disk)

    assert raised.value.errno == errno.ENOSPC
    assert not list(store.root.rglob("*.partial"))


def test_two_writers_at_once_write_once(store: Store, window: Window) -> None:
    count = FORK.Value("i", 0)

    def write_counted(draft: Draft) -> None:
        with count.get_lock():
            count.value += 1
        write_numbers(draft)

    writers = [FORK.Process(target=store.produce, args=(identity(window), write_counted)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    assert count.value == 1


def test_an_address_that_is_none_says_so(store: Store) -> None:
    with pytest.raises(Misconfigured, match="store:"):
        store.open(Artifact(kind="examples", uri="/etc/passwd", digest=""))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.dictionaries(st.text("abc", min_size=1), st.binary(max_size=50), max_size=5))
def test_the_order_of_writing_does_not_matter(
    tmp_path: Path, window: Window, files: dict[str, bytes]
) -> None:
    def writer(names: list[str]) -> Store:
        def write(draft: Draft) -> None:
            for name in names:
                (draft.path / f"{name}.bin").write_bytes(files[name])

        store = Store(tmp_path / os.urandom(4).hex())
        artifacts.append(store.produce(identity(window), write))
        return store

    artifacts: list[Artifact] = []
    writer(sorted(files))
    writer(sorted(files, reverse=True))
    assert artifacts[0] == artifacts[1]

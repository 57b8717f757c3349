from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import StoreCorrupted
from ml.release.chain import GENESIS, Chain

LINES = 5


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    chain = Chain(tmp_path / "ledger.jsonl")
    for number in range(LINES):
        chain.append({"said": number})
    return chain


def lines_of(chain: Chain) -> list[bytes]:
    return chain.path.read_bytes().splitlines(keepends=True)


def rewrite(chain: Chain, lines: list[bytes]) -> None:
    chain.path.write_bytes(b"".join(lines))


def test_what_was_appended_is_read_in_order(chain: Chain):
    reading = chain.read()

    assert [line["said"] for line in reading.lines] == list(range(LINES))
    assert [line["line"] for line in reading.lines] == list(range(1, LINES + 1))
    assert [line["previous"] for line in reading.lines] == [GENESIS, *reading.digests[:-1]]
    assert reading.torn == b""


def test_a_file_that_is_not_there_has_no_lines(tmp_path: Path):
    assert Chain(tmp_path / "ledger.jsonl").read().lines == ()


def test_appending_leaves_what_is_there_untouched(chain: Chain):
    before = chain.path.read_bytes()
    chain.append({"said": LINES})

    assert chain.path.read_bytes().startswith(before)


@pytest.mark.parametrize("number", range(1, LINES + 1))
def test_an_edited_line_is_named(chain: Chain, number: int):
    lines = lines_of(chain)
    lines[number - 1] = lines[number - 1].replace(b'"said":', b'"said":1')
    rewrite(chain, lines)

    with pytest.raises(StoreCorrupted, match=rf"line {number} of .*ledger.jsonl is not the line that"):
        chain.read()


@pytest.mark.parametrize("number", range(1, LINES))
def test_a_removed_line_is_named(chain: Chain, number: int):
    lines = lines_of(chain)
    del lines[number - 1]
    rewrite(chain, lines)

    with pytest.raises(StoreCorrupted, match=rf"line {number} of .* says that it is line {number + 1}"):
        chain.read()


@pytest.mark.parametrize("kept", range(LINES))
def test_a_removed_end_is_named(chain: Chain, kept: int):
    rewrite(chain, lines_of(chain)[:kept])

    with pytest.raises(StoreCorrupted, match=rf"line {kept + 1} of .* is gone, up to line {LINES}"):
        chain.read()


def test_exchanged_lines_are_named(chain: Chain):
    lines = lines_of(chain)
    lines[1], lines[2] = lines[2], lines[1]
    rewrite(chain, lines)

    with pytest.raises(StoreCorrupted, match=r"line 2 of .* says that it is line 3"):
        chain.read()


def test_a_line_of_another_format_is_named(chain: Chain):
    rewrite(chain, [b'{"event":"moved","version":20261120001}\n', *lines_of(chain)[1:]])

    with pytest.raises(StoreCorrupted, match=r"line 1 of .* carries neither its number"):
        chain.read()


def test_a_lost_head_is_an_error(chain: Chain):
    chain.head_path.unlink()

    with pytest.raises(StoreCorrupted, match=r"ledger.head is gone"):
        chain.read()


def test_a_head_that_is_none_is_an_error(chain: Chain):
    chain.head_path.write_text("[]")

    with pytest.raises(StoreCorrupted, match=r"does not name the last line"):
        chain.read()


@given(data=st.data())
def test_no_change_of_a_byte_goes_unnoticed(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory):
    chain = Chain(tmp_path_factory.mktemp("chain") / "ledger.jsonl")
    for number in range(3):
        chain.append({"said": number})
    content = bytearray(chain.path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    chain.path.write_bytes(bytes(content))

    with pytest.raises(StoreCorrupted):
        chain.read()


@pytest.mark.parametrize("torn", [b"{", b'{"said": 5}', b"\0\0\0"])
def test_a_torn_tail_says_nothing_and_the_next_line_keeps_it_aside(chain: Chain, torn: bytes):
    with chain.path.open("ab") as file:
        file.write(torn)

    assert chain.read().torn == torn
    assert len(chain.read().lines) == LINES
    chain.append({"said": LINES})

    assert [line["said"] for line in chain.read().lines] == list(range(LINES + 1))
    (kept,) = chain.path.parent.glob(f"ledger.torn-{LINES + 1}-*")
    assert kept.read_bytes() == torn


APPEND_AND_DIE = """
import os, signal, sys
from pathlib import Path
from ml.release import chain

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(chain, sys.argv[2], die)
chain.Chain(Path(sys.argv[1])).append({"said": "killed"})
"""


@pytest.mark.parametrize("inside", ["sync", "write_atomically"])
def test_a_writer_that_is_killed_leaves_a_ledger_that_goes_on(chain: Chain, inside: str):
    command = [sys.executable, "-c", APPEND_AND_DIE, str(chain.path), inside]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL

    chain.append({"said": "after"})
    assert [line["said"] for line in chain.read().lines] == [*range(LINES), "killed", "after"]


def test_a_line_is_on_disk_before_append_returns(chain: Chain, monkeypatch: pytest.MonkeyPatch):
    synced = []
    fsync = os.fsync

    def remember(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", remember)
    chain.append({"said": LINES})

    assert synced[:2] == [str(chain.path), str(chain.path.parent)]
    assert json.loads(chain.head_path.read_bytes())["line"] == LINES + 1

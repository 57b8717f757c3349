"""A file of JSON lines that only grows, and in which nothing can be changed without being noticed.

Each line carries its number and the SHA-256 of the line before it. Beside the file lies ``<name>.head``: the
last line known to be on disk and its SHA-256, without which a removed end could not be told from an end that
was never written. A process that is lost while it writes leaves a *torn tail*, bytes without a newline. The
caller of `Chain.append` had not gone on yet, so a torn tail says nothing; it is named, and the next append
keeps it in a file of its own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.artifact import canonical_json
from ml.durable import sync, write_atomically
from ml.errors import StoreCorrupted

GENESIS = "0" * 64

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """What the file holds.

    Attributes:
        lines: the content of each whole line, checked.
        digests: the SHA-256 (hex) of each whole line, without its newline.
        torn: bytes after the last newline; empty if no writer was lost.
    """

    lines: tuple[dict[str, Any], ...]
    digests: tuple[str, ...]
    torn: bytes

    @property
    def head(self) -> str:
        """What the next line names as the one before it."""
        return self.digests[-1] if self.digests else GENESIS


class Chain:
    """One such file. Append to it under a lock; reading needs none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head_path = path.with_suffix(".head")

    def read(self) -> Reading:
        """Every line, after all of them have been checked.

        Raises:
            StoreCorrupted: naming the line that was changed, removed, added or moved.
        """
        # The head is read first: lines that are appended meanwhile lie beyond it.
        head = self._read_head()
        whole, newline, torn = (self.path.read_bytes() if self.path.exists() else b"").rpartition(b"\n")
        raw = whole.split(b"\n") if newline else []
        digests = tuple(hashlib.sha256(line).hexdigest() for line in raw)
        lines = tuple(self._parsed(number, line) for number, line in enumerate(raw, start=1))
        for number, line in enumerate(lines, start=1):
            self._check_place(number, line, digests[number - 2] if number > 1 else GENESIS)
        self._check_head(head, digests)
        return Reading(lines, digests, torn)

    def append(self, content: Mapping[str, Any]) -> None:
        """Add one line and put it on disk. A torn tail is kept in a file of its own first.

        Raises:
            StoreCorrupted: as in `read`. Nothing is added to a file that was tampered with.
        """
        reading = self.read()
        if reading.torn:
            self._set_aside(reading)
        number = len(reading.lines) + 1
        line = canonical_json({**content, "line": number, "previous": reading.head}).encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync(self.path.parent)
        self._write_head(number, hashlib.sha256(line).hexdigest())

    def _write_head(self, number: int, digest: str) -> None:
        write_atomically(self.head_path, canonical_json({"line": number, "sha256": digest}).encode())

    def _set_aside(self, reading: Reading) -> None:
        """Keep the torn tail and cut it off; a death in between only repeats both."""
        mark = hashlib.sha256(reading.torn).hexdigest()[:8]
        kept = self.path.with_suffix(f".torn-{len(reading.lines) + 1}-{mark}")
        write_atomically(kept, reading.torn)
        os.truncate(self.path, self.path.stat().st_size - len(reading.torn))
        log.warning(
            "%s ended in %d bytes of a line that was never finished; they are kept in %s",
            self.path,
            len(reading.torn),
            kept,
        )

    def _parsed(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            content = json.loads(line)
            if {"line", "previous"} <= content.keys():
                return dict(content)
        except (ValueError, AttributeError):
            raise self._corrupted(number, "is not a JSON object") from None
        raise self._corrupted(number, "carries neither its number nor the digest of the line before it")

    def _check_place(self, number: int, line: Mapping[str, Any], previous: str) -> None:
        if line["line"] != number:
            raise self._corrupted(
                number, f"says that it is line {line['line']}: lines were removed, added or moved"
            )
        if line["previous"] != previous:
            changed = max(number - 1, 1)
            raise self._corrupted(changed, f"is not the line that line {number} was written after")

    def _read_head(self) -> dict[str, Any] | None:
        if not self.head_path.exists():
            return None
        try:
            head = json.loads(self.head_path.read_bytes())
            return {"line": int(head["line"]), "sha256": str(head["sha256"])}
        except (ValueError, TypeError, KeyError):
            raise StoreCorrupted(
                f"{self.head_path} does not name the last line of {self.path.name}; expected its number and "
                "SHA-256. Restore it from a copy."
            ) from None

    def _check_head(self, head: Mapping[str, Any] | None, digests: tuple[str, ...]) -> None:
        if head is None:
            if len(digests) > 1:
                raise self._corrupted(
                    len(digests), f"cannot be known to be the last: {self.head_path} is gone"
                )
        elif head["line"] > len(digests):
            raise self._corrupted(len(digests) + 1, f"was written and is gone, up to line {head['line']}")
        elif digests[head["line"] - 1] != head["sha256"]:
            raise self._corrupted(head["line"], "is not the line that was written")

    def _corrupted(self, number: int, what: str) -> StoreCorrupted:
        return StoreCorrupted(
            f"line {number} of {self.path} {what}. Every line was expected as it was written, for each "
            "names the SHA-256 of the line before it. Restore the file and "
            f"{self.head_path.name} from a copy. If there is none, and serving must move now, set both aside "
            f"(mv {self.path} {self.path}.broken; mv {self.head_path} {self.head_path}.broken): a new ledger "
            "begins, and what serves is not touched."
        )

"""What the pages tell an operator to type is what the command line takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml.__main__ import build_parser

ROOT = Path(__file__).parents[3]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "deploy/prometheus/rules/alerts.yml",
]
COMMAND = re.compile(r"""python -m ml ([a-z_]+(?:"[^"\n]*"|[^"`|\n;#])*)""")
STANDS_FOR = {"<name>": "clicks", " …": " 2026-11-20", " N ": " 20261120001 "}


def commands() -> Iterator[tuple[str, str]]:
    """(page, what follows ``python -m ml``), of code blocks and of inline code; a sentence may follow."""
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        yield from ((page.name, command) for command in COMMAND.findall(text))


def words_of(command: str) -> list[str]:
    for placeholder, value in STANDS_FOR.items():
        command = command.replace(placeholder, value)
    return shlex.split(command.split(" > ")[0])


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_a_documented_command_is_taken(page: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = words_of(command)

    if "--pipeline" in words and words[-1] != "--reason":
        assert build_parser().parse_args(words).command
    else:
        # Only the name of a command, within a sentence.
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args([words[0].rstrip("."), "--help"])
        assert ended.value.code == 0

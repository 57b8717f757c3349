"""What pages, messages and docstrings tell an operator to type is what the command line takes."""

from __future__ import annotations

import ast
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
CODE = sorted(file for folder in ("ml", "plugins", "dags") for file in (ROOT / folder).rglob("*.py"))
COMMAND = re.compile(r"""python -m ml ([a-z_]+(?:"[^"\n]*"|[^"`|\n;#])*)""")
STANDS_FOR = {"<name>": "clicks", " …": " 2026-11-20", " N ": " 20261120001 "}


def commands() -> Iterator[tuple[str, str]]:
    """(file, what follows ``python -m ml``), of pages and strings; a sentence may follow."""
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        yield from ((page.name, command) for command in COMMAND.findall(text))
    for file in CODE:
        for text in strings_of(ast.parse(file.read_text())):
            found = COMMAND.findall(filled(text))
            yield from ((str(file.relative_to(ROOT)), command) for command in found)


def strings_of(node: ast.AST) -> Iterator[str]:
    """Every string, docstrings too, with ``%s`` for what an f-string puts in."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "%s" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            yield from strings_of(child)


def filled(text: str) -> str:
    """The same with what fits in each place."""
    before, *rest = text.split("%s")
    for after in rest:
        before += stand_in(before) + after
    return before


def stand_in(before: str) -> str:
    if before.endswith("python -m ml "):
        return "train_candidate"
    if before.endswith(("--day ", "--from ")):
        return "2026-11-20"
    # What follows another place directly is options that may be left out.
    return "20261120001" if before.endswith(" ") else ""


def words_of(command: str) -> list[str]:
    for placeholder, value in STANDS_FOR.items():
        command = command.replace(placeholder, value)
    return shlex.split(command.split(" > ")[0])


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_a_documented_command_is_taken(page: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = words_of(command)

    if any(word.startswith("--") for word in words):
        assert build_parser().parse_args(words).command
    else:
        # Only the name of a command, within a sentence.
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args([words[0].rstrip("."), "--help"])
        assert ended.value.code == 0

"""The commands of docs/backfills.md, as its reader would type them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PROMPT = "$ "


def commands_of(page: Path) -> list[str]:
    """The commands in a page's blocks of the language console."""
    blocks = page.read_text().split("```console\n")[1:]
    lines = [line for block in blocks for line in block.split("```")[0].splitlines()]
    return [line.removeprefix(PROMPT) for line in lines if line.startswith(PROMPT)]


COMMANDS = commands_of(ROOT / "docs" / "backfills.md")
